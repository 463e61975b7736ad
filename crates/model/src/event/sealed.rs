//! Events as seals hold them: a line of JSON each.
//!
//! Owns that form, in and out. Refuses to know where seals are kept.

use serde::{Deserialize, Serialize};

use super::Event;
use crate::time::Timestamp;

/// A line of a seal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SealedEvent {
    /// The event's place in the order of the vault that sealed it.
    pub seq: i64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The event.
    pub event: Event,
}

impl SealedEvent {
    /// Adds it to lines, with the end of its own.
    pub fn write_line(&self, lines: &mut Vec<u8>) {
        serde_json::to_writer(&mut *lines, self).expect("events have string keys and finite numbers only");
        lines.push(b'\n');
    }

    /// Reads one line.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn read_line(line: &[u8]) -> Result<Self, serde_json::Error> {
        crate::json::stored(line)
    }
}
