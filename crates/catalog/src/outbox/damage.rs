//! Rows of the outbox that say what cannot be: a sink's place that the logs never gave, a body that is no JSON.
//!
//! Owns how they are found, and where a sink goes on whose place is lost. Refuses to say what a body means.

use rusqlite::Connection;

use super::{Cursor, Subscription};
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::events::{DamagedRow, EventSeq, GIVEN, PLACE_MAX};

/// What a body must be that anybody could be sent.
pub(crate) const READABLE: &str = "CASE WHEN json_valid(body) THEN json_type(body) = 'object' ELSE 0 END";

/// How often an item was tried, as a number that can be.
pub(crate) const ATTEMPTS: &str = "max(0, min(attempts, 4294967295))";

impl Catalog {
    /// Whether a subscription stands at a place that the logs never gave: nothing would ever go out behind it.
    pub fn is_astray(&self, standing: &Subscription) -> Result<bool, CatalogError> {
        let (end, at) = (self.last_ever()?, standing.cursor);
        Ok(!(0..=end.events_upto).contains(&at.events_upto) || !(0..=end.messages_upto).contains(&at.messages_upto))
    }

    /// Sets a subscription that is astray to a place that it had reached for sure or was about to: behind what was recorded when
    /// it was last written. Returns where it stands then; nothing changes where it is not astray.
    pub fn set_back(&self, standing: &Subscription) -> Result<Cursor, CatalogError> {
        let (end, at) = (self.last_ever()?, standing.cursor);
        self.write(|transaction| {
            let upto = |place: i64, last: i64, sql: &str| -> Result<i64, CatalogError> {
                if (0..=last).contains(&place) {
                    return Ok(place);
                }
                Ok(transaction.query_row(sql, [standing.updated_at.0], |row| row.get(0))?)
            };
            let events = format!("SELECT coalesce(max(seq), 0) FROM events WHERE recorded_at <= ?1 AND {GIVEN}");
            let events_upto = upto(at.events_upto, end.events_upto, &events)?;
            let messages = "SELECT coalesce(max(seq), 0) FROM messages WHERE at <= ?1";
            let messages_upto = upto(at.messages_upto, end.messages_upto, messages)?;
            let sql = "UPDATE subscriptions SET events_upto = ?2, messages_upto = ?3 WHERE name = ?1";
            transaction.execute(sql, (&standing.name, events_upto, messages_upto))?;
            Ok(Cursor { events_upto, messages_upto })
        })
    }

    /// Messages and items put aside that cannot be read, and those that were tried as often as nobody can.
    pub fn damaged_outbox(&self) -> Result<Vec<DamagedRow>, CatalogError> {
        let body = "its text is no JSON object, so nobody can be sent it";
        let attempts = "it was tried as often as nothing can be";
        let tried = format!("attempts = {ATTEMPTS}");
        let mut damaged = Vec::new();
        for (sql, place, why) in [
            (format!("SELECT message_id, body FROM messages WHERE NOT {READABLE}"), "messages", body),
            (format!("SELECT item, body FROM dead_letters WHERE NOT {READABLE}"), "dead_letters", body),
            (format!("SELECT item, body FROM dead_letters WHERE NOT {tried}"), "dead_letters", attempts),
            (format!("SELECT name, '' FROM subscriptions WHERE NOT {tried}"), "subscriptions", attempts),
        ] {
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let [name, text] = [0, 1].map(|column| row.get_ref(column).map(crate::events::text));
                let (place, text) = (format!("{place}/{}", name?), text?);
                damaged.push(DamagedRow { place, why: why.to_owned(), text });
            }
        }
        Ok(damaged)
    }

    /// The last places that were ever given in both logs.
    fn last_ever(&self) -> Result<Cursor, CatalogError> {
        let EventSeq(events_upto) = self.last_place()?;
        Ok(Cursor { events_upto, messages_upto: last_message(&self.connection)? })
    }
}

/// The last place that a message was ever given: those that have gone out are removed in time.
fn last_message(connection: &Connection) -> Result<i64, CatalogError> {
    let sql = "SELECT max((SELECT coalesce(max(seq), 0) FROM messages),
                          coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'messages' AND seq BETWEEN 1 AND ?1), 0))";
    Ok(connection.prepare_cached(sql)?.query_row([PLACE_MAX], |row| row.get(0))?)
}
