//! The outbox: messages beside the log of events, how far each subscription has come in both, and what was put aside.
//!
//! Owns the one order in which both go out. Refuses to deliver anything, and to know what a sink is.

pub(crate) mod damage;
mod waiting;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};
use wfr_model::coordination::Pattern;
use wfr_model::{EventId, Timestamp};

use self::damage::ATTEMPTS;
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;
use crate::events::{DamagedRow, EventQuery, EventRow, EventSeq, GIVEN, PLACE_MAX, text};

/// A message to be recorded.
#[derive(Clone, PartialEq, Debug)]
pub struct NewMessage {
    /// Its id, by which a repetition is known.
    pub message_id: String,
    /// What it is, for filters: an operation's name, or `response`.
    pub kind: String,
    /// The request that it answers, and that request as it was asked.
    pub answers: Option<(String, String)>,
    /// The envelope as JSON.
    pub body: String,
    /// When.
    pub at: Timestamp,
}

/// A message that is recorded.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageRow {
    /// Its place among messages.
    pub seq: i64,
    /// It goes out when the events up to here did.
    pub after_event: EventSeq,
    /// The message.
    pub message: NewMessage,
}

/// How far a subscription has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// Events up to here have gone out.
    pub events_upto: i64,
    /// Messages up to here have gone out.
    pub messages_upto: i64,
}

/// A subscription as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// Its name.
    pub name: String,
    /// How far it has come.
    pub cursor: Cursor,
    /// How often the next item was tried.
    pub attempts: u32,
    /// Before this time it is not tried again.
    pub next_try_at: Option<Timestamp>,
    /// Why the last attempt failed; `None` after one that did not.
    pub last_error: Option<String>,
    /// When anything of this changed.
    pub updated_at: Timestamp,
}

/// An item that was put aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// Its place among them.
    pub seq: i64,
    /// Whose.
    pub subscription: String,
    /// The id of the event or message.
    pub item: String,
    /// It as JSON.
    pub body: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: String,
    /// When it was put aside.
    pub at: Timestamp,
    /// Whether it is to be tried again.
    pub queued: bool,
}

/// One thing that goes out.
#[derive(Clone, PartialEq, Debug)]
pub enum Outgoing {
    /// An event.
    Event(Box<EventRow>),
    /// An event whose row cannot be read, with its place: nobody can be sent it as long as that is so.
    Unreadable(EventSeq, DamagedRow),
    /// A message.
    Message(MessageRow),
}

impl Cursor {
    /// Where it stands when this has gone out, too.
    pub fn after(self, item: &Outgoing) -> Self {
        match item {
            Outgoing::Event(row) => Self { events_upto: row.seq.0, ..self },
            Outgoing::Unreadable(seq, _) => Self { events_upto: seq.0, ..self },
            Outgoing::Message(row) => Self { messages_upto: row.seq, ..self },
        }
    }
}

const MESSAGE: &str = "SELECT seq, message_id, after_event, kind, answers, asked, body, at FROM messages ";
const SUBSCRIPTION: &str = "SELECT name, events_upto, messages_upto, attempts, next_try_at, last_error, updated_at
                            FROM subscriptions ";
const LETTER: &str = "SELECT seq, subscription, item, body, attempts, error, at, queued FROM dead_letters ";

impl Catalog {
    /// Records messages in their order; those that are known by their ids are passed over.
    ///
    /// [`CatalogError::IdTaken`] where another message answers the same request.
    pub fn add_messages(&self, messages: &[NewMessage]) -> Result<(), CatalogError> {
        self.write(|transaction| messages.iter().try_for_each(|message| insert(transaction, message)))
    }

    /// The message that answers a request.
    pub fn answer_to(&self, request: &str) -> Result<Option<MessageRow>, CatalogError> {
        let mut statement = self.connection.prepare_cached(&format!("{MESSAGE} WHERE answers = ?1"))?;
        Ok(statement.query_row([request], decode_message).optional()?)
    }

    /// The newest messages, the newest first.
    pub fn messages(&self, limit: u32) -> Result<Vec<MessageRow>, CatalogError> {
        let mut statement = self.connection.prepare_cached(&format!("{MESSAGE} ORDER BY seq DESC LIMIT ?1"))?;
        let rows = statement.query_map([limit], decode_message)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The end of both logs.
    pub fn log_end(&self) -> Result<Cursor, CatalogError> {
        let sql = format!(
            "SELECT (SELECT coalesce(max(seq), 0) FROM events WHERE {GIVEN}), (SELECT coalesce(max(seq), 0) FROM messages)"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let decode = |row: &Row<'_>| Ok(Cursor { events_upto: row.get(0)?, messages_upto: row.get(1)? });
        Ok(statement.query_row([], decode)?)
    }

    /// What comes after a place in both logs, in the order in which it goes out; at most so many of each.
    pub fn outgoing(&self, from: Cursor, limit: u32) -> Result<Vec<Outgoing>, CatalogError> {
        self.read(|transaction| {
            let mut statement =
                transaction.prepare_cached(&format!("{MESSAGE} WHERE seq > ?1 ORDER BY seq LIMIT ?2"))?;
            let messages = statement.query_map((from.messages_upto, limit), decode_message)?;
            let messages: Vec<MessageRow> = messages.collect::<Result<_, _>>()?;
            // What stands beyond the last place that can be given nobody recorded.
            let (after, upto) = (Some(EventSeq(from.events_upto)), Some(EventSeq(PLACE_MAX)));
            let query = EventQuery { after, upto, limit: Some(limit), ..EventQuery::default() };
            let mut events = Vec::new();
            self.each_kept_event(&query, |row| {
                events.extend(match row {
                    Ok(row) => Some((row.seq, Outgoing::Event(Box::new(row)))),
                    Err(row) => row.seq().map(|seq| (seq, Outgoing::Unreadable(seq, row))),
                });
                Ok(())
            })?;
            Ok(merged(events, messages, limit as usize))
        })
    }

    /// How much comes after a place, and how much of it fits one of the patterns; at most `count_max` of each log are
    /// looked at.
    pub fn backlog(&self, from: Cursor, patterns: &[Pattern], count_max: u32) -> Result<Backlog, CatalogError> {
        self.read(|transaction| {
            let mut backlog = Backlog { fitting: 0, events: 0, messages: 0 };
            let mut look = |sql: &str, upto: i64| -> Result<u64, CatalogError> {
                let mut statement = transaction.prepare_cached(sql)?;
                let mut rows = statement.query((upto, count_max))?;
                let mut count = 0;
                while let Some(row) = rows.next()? {
                    count += 1;
                    // One that is damaged stops no count.
                    let name = text(row.get_ref(0)?);
                    let fits = patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(&name));
                    backlog.fitting += u64::from(fits);
                }
                Ok(count)
            };
            let events = format!("SELECT event_type FROM events WHERE seq > ?1 AND {GIVEN} ORDER BY seq LIMIT ?2");
            let events = look(&events, from.events_upto)?;
            let messages = look("SELECT kind FROM messages WHERE seq > ?1 ORDER BY seq LIMIT ?2", from.messages_upto)?;
            Ok(Backlog { events, messages, ..backlog })
        })
    }

    /// Removes messages that every subscription has passed and that were written before a time, the oldest first, at most so
    /// many; how many went. Where there is no subscription none goes.
    pub fn prune_messages(&self, before: Timestamp, count_max: u32) -> Result<u64, CatalogError> {
        let sql = "DELETE FROM messages WHERE seq IN
                     (SELECT seq FROM messages
                      WHERE seq <= (SELECT min(messages_upto) FROM subscriptions) AND at < ?1 ORDER BY seq LIMIT ?2)";
        self.write(|transaction| Ok(transaction.prepare_cached(sql)?.execute((before.0, count_max))? as u64))
    }

    /// A subscription.
    pub fn subscription(&self, name: &str) -> Result<Option<Subscription>, CatalogError> {
        let mut statement = self.connection.prepare_cached(&format!("{SUBSCRIPTION} WHERE name = ?1"))?;
        Ok(statement.query_row([name], decode_subscription).optional()?)
    }

    /// All subscriptions, by name.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>, CatalogError> {
        let mut statement = self.connection.prepare_cached(&format!("{SUBSCRIPTION} ORDER BY name"))?;
        let rows = statement.query_map([], decode_subscription)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Begins a subscription, unless it is there.
    pub fn subscribe(&self, name: &str, from: Cursor, now: Timestamp) -> Result<(), CatalogError> {
        let sql = "INSERT INTO subscriptions (name, events_upto, messages_upto, updated_at) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT DO NOTHING";
        self.write(|transaction| {
            transaction.prepare_cached(sql)?.execute((name, from.events_upto, from.messages_upto, now.0))?;
            Ok(())
        })
    }

    /// Records how far a subscription has come, and how it stands. A place never goes back.
    pub fn advance(&self, standing: &Subscription) -> Result<(), CatalogError> {
        self.write(|transaction| put(transaction, standing))
    }

    /// Puts an item aside and goes on behind it, in one step.
    pub fn put_aside(&self, letter: &DeadLetter, standing: &Subscription) -> Result<(), CatalogError> {
        let sql = "INSERT INTO dead_letters (subscription, item, body, attempts, error, at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.put_letter(sql, &letter.subscription, (letter, standing))
    }

    /// Writes what was put aside by a statement that takes `key` first, in one step with how its subscription stands.
    fn put_letter(
        &self,
        sql: &str,
        key: &dyn ToSql,
        (letter, standing): (&DeadLetter, &Subscription),
    ) -> Result<(), CatalogError> {
        let DeadLetter { item, body, attempts, error, at, .. } = letter;
        self.write(|transaction| {
            transaction.prepare_cached(sql)?.execute((key, item, body, attempts, error, at.0))?;
            put(transaction, standing)
        })
    }

    /// What was put aside, of one subscription or of all, oldest first.
    pub fn dead_letters(&self, subscription: Option<&str>, limit: u32) -> Result<Vec<DeadLetter>, CatalogError> {
        let sql = format!("{LETTER} WHERE ?1 IS NULL OR subscription = ?1 ORDER BY seq LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map((subscription, limit), decode_letter)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many items of a subscription are put aside, and how many of these are to be tried again.
    pub fn count_dead_letters(&self, subscription: &str) -> Result<(u64, u64), CatalogError> {
        let sql = "SELECT count(*), coalesce(sum(queued), 0) FROM dead_letters WHERE subscription = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let counts = |row: &Row<'_>| Ok((columns::count(row, 0)?, columns::count(row, 1)?));
        Ok(statement.query_row([subscription], counts)?)
    }

    /// Queues what was put aside, of one subscription or of all, to be tried again; how many.
    pub fn requeue(&self, subscription: Option<&str>) -> Result<u64, CatalogError> {
        let sql = "UPDATE dead_letters SET queued = 1 WHERE queued = 0 AND (?1 IS NULL OR subscription = ?1)";
        self.write(|transaction| Ok(transaction.prepare_cached(sql)?.execute([subscription])? as u64))
    }

    /// The oldest items of a subscription that are to be tried again.
    pub fn queued_letters(&self, subscription: &str, limit: u32) -> Result<Vec<DeadLetter>, CatalogError> {
        let sql = format!("{LETTER} WHERE subscription = ?1 AND queued = 1 ORDER BY seq LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map((subscription, limit), decode_letter)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Takes an item away that has gone out after all.
    pub fn bury(&self, seq: i64) -> Result<(), CatalogError> {
        self.write(|transaction| {
            transaction.prepare_cached("DELETE FROM dead_letters WHERE seq = ?1")?.execute([seq])?;
            Ok(())
        })
    }

    /// Puts an item aside once more, with why it failed this time.
    pub fn put_aside_again(&self, seq: i64, error: &str, now: Timestamp) -> Result<(), CatalogError> {
        let sql = format!(
            "UPDATE dead_letters SET queued = 0, attempts = {ATTEMPTS} + 1, error = ?2, at = ?3 WHERE seq = ?1"
        );
        self.write(|transaction| {
            transaction.prepare_cached(&sql)?.execute((seq, error, now.0))?;
            Ok(())
        })
    }
}

/// What comes after a place in both logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backlog {
    /// How many of them fit.
    pub fitting: u64,
    /// How many events, up to the maximum.
    pub events: u64,
    /// How many messages, up to the maximum.
    pub messages: u64,
}

/// One order: a message behind the events up to its `after_event`. Where either list was cut off, what would have to
/// wait for the rest of it is left out.
fn merged(events: Vec<(EventSeq, Outgoing)>, messages: Vec<MessageRow>, limit: usize) -> Vec<Outgoing> {
    let last_event = events.last().map(|(seq, _)| *seq).filter(|_| events.len() >= limit);
    let last_message = messages.last().map(|row| row.after_event).filter(|_| messages.len() >= limit);
    let mut order = Vec::with_capacity(events.len() + messages.len());
    let mut events = events.into_iter().peekable();
    for message in messages {
        while let Some((_, event)) = events.next_if(|(seq, _)| *seq <= message.after_event) {
            order.push(event);
        }
        if last_event.is_some_and(|last| message.after_event > last) {
            return order;
        }
        order.push(Outgoing::Message(message));
    }
    let rest = events.take_while(|(seq, _)| last_message.is_none_or(|last| *seq <= last));
    order.extend(rest.map(|(_, event)| event));
    order
}

/// Records a message, within the caller's transaction.
pub(crate) fn insert(connection: &Connection, message: &NewMessage) -> Result<(), CatalogError> {
    let (answers, asked) = message.answers.as_ref().map(|(id, asked)| (id.as_str(), asked.as_str())).unzip();
    if let Some(request) = answers {
        let sql = "SELECT 1 FROM messages WHERE answers = ?1 AND message_id <> ?2";
        if connection.prepare_cached(sql)?.exists((request, &message.message_id))? {
            return Err(CatalogError::IdTaken { what: "answer to request", id: request.to_owned() });
        }
    }
    let sql = format!(
        "INSERT INTO messages (message_id, after_event, kind, answers, asked, body, at)
         VALUES (:id, (SELECT coalesce(max(seq), 0) FROM events WHERE {GIVEN}), :kind, :answers, :asked, :body, :at)
         ON CONFLICT (message_id) DO NOTHING"
    );
    connection.prepare_cached(&sql)?.execute(named_params! {
        ":id": message.message_id,
        ":kind": message.kind,
        ":answers": answers,
        ":asked": asked,
        ":body": message.body,
        ":at": message.at.0,
    })?;
    Ok(())
}

fn put(connection: &Connection, standing: &Subscription) -> Result<(), CatalogError> {
    let sql = "UPDATE subscriptions SET events_upto = max(events_upto, :events),
                 messages_upto = max(messages_upto, :messages), attempts = :attempts, next_try_at = :next,
                 last_error = :error, updated_at = :at
               WHERE name = :name";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":name": standing.name,
        ":events": standing.cursor.events_upto,
        ":messages": standing.cursor.messages_upto,
        ":attempts": standing.attempts,
        ":next": standing.next_try_at.map(|at| at.0),
        ":error": standing.last_error,
        ":at": standing.updated_at.0,
    })?;
    Ok(())
}

fn decode_message(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    let answers: Option<String> = row.get(4)?;
    let asked: Option<String> = row.get(5)?;
    Ok(MessageRow {
        seq: row.get(0)?,
        after_event: EventSeq(row.get(2)?),
        message: NewMessage {
            message_id: row.get(1)?,
            kind: row.get(3)?,
            answers: answers.map(|id| (id, asked.unwrap_or_default())),
            body: body(row, 6)?,
            at: columns::time(row, 7)?,
        },
    })
}

/// How often something was tried; a number that cannot be is none, and keeps nothing from being tried.
fn attempts(row: &Row<'_>, index: usize) -> rusqlite::Result<u32> {
    let number: i64 = row.get(index)?;
    Ok(u32::try_from(number).unwrap_or(0))
}

/// A body, which may be damaged: then it is no JSON, and whoever reads it finds that.
fn body(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8(row.get_ref(index)?.as_bytes()?.to_vec()).unwrap_or_default())
}

fn decode_subscription(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    Ok(Subscription {
        name: row.get(0)?,
        cursor: Cursor { events_upto: row.get(1)?, messages_upto: row.get(2)? },
        attempts: attempts(row, 3)?,
        next_try_at: columns::time_or_null(row, 4)?,
        last_error: row.get(5)?,
        updated_at: columns::time(row, 6)?,
    })
}

fn decode_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        seq: row.get(0)?,
        subscription: row.get(1)?,
        item: row.get(2)?,
        body: body(row, 3)?,
        attempts: attempts(row, 4)?,
        error: row.get(5)?,
        at: columns::time(row, 6)?,
        queued: row.get(7)?,
    })
}

impl Outgoing {
    /// The event's or the message's id: the same at every delivery. Of an event that cannot be read its place.
    pub fn id(&self) -> &str {
        match self {
            Self::Event(row) => EventId::as_str(&row.event.event_id),
            Self::Unreadable(_, row) => &row.place,
            Self::Message(row) => &row.message.message_id,
        }
    }
}
