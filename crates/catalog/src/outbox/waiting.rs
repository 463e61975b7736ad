//! Events that could not be read when their turn came, and wait with what was put aside until they can be.
//!
//! Owns how such an item is told from others: its id is the event's place, `events/17`, which no event's or message's id can be.
//! Refuses to mend a row: a rebuild or a repair does.

use super::{DeadLetter, LETTER, Subscription, decode_letter};
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::events::{EventQuery, EventRow, EventSeq};

/// What such an item's place begins with, as damaged rows are named.
const PLACES: &str = "events/";

/// Its text: nothing is known of it, and it is kept by whoever takes the outbox over.
const NOTHING: &str = "{}";

impl DeadLetter {
    /// An event that cannot be read, put aside for a subscription.
    pub fn waiting(of: &Subscription, seq: EventSeq, error: String) -> Self {
        let (subscription, item) = (of.name.clone(), format!("{PLACES}{}", seq.0));
        let (body, at) = (NOTHING.to_owned(), of.updated_at);
        Self { seq: 0, subscription, item, body, attempts: 0, error, at, queued: false }
    }

    /// The place of the event that it stands for, where that could not be read.
    pub fn waits_for(&self) -> Option<EventSeq> {
        self.item.strip_prefix(PLACES)?.parse().ok().map(EventSeq)
    }
}

impl Catalog {
    /// Items of a subscription, or of all, that wait for an event to be readable, oldest first.
    pub fn waiting_letters(&self, subscription: Option<&str>) -> Result<Vec<DeadLetter>, CatalogError> {
        let sql =
            format!("{LETTER} WHERE (?1 IS NULL OR subscription = ?1) AND item GLOB '{PLACES}[0-9]*' ORDER BY seq");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([subscription], decode_letter)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Those of a subscription whose event can be read again, with it.
    pub fn came_back(&self, subscription: &str) -> Result<Vec<(DeadLetter, EventRow)>, CatalogError> {
        let mut back = Vec::new();
        for letter in self.waiting_letters(Some(subscription))? {
            let Some(EventSeq(seq)) = letter.waits_for() else { continue };
            let (after, upto) = (Some(EventSeq(seq - 1)), Some(EventSeq(seq)));
            let row = self.events(&EventQuery { after, upto, ..EventQuery::default() })?.pop();
            back.extend(row.map(|row| (letter, row)));
        }
        Ok(back)
    }

    /// Puts an event aside as any other in the place of the item that waited for it, in one step with how its subscription stands.
    pub fn put_aside_for(&self, waited: i64, letter: &DeadLetter, standing: &Subscription) -> Result<(), CatalogError> {
        let sql = "UPDATE dead_letters SET item = ?2, body = ?3, attempts = ?4, error = ?5, at = ?6, queued = 0
                   WHERE seq = ?1";
        self.put_letter(sql, &waited, (letter, standing))
    }
}
