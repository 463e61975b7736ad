//! Commands within a traced one: how their launcher and the supervisor around them agree.
//!
//! Owns what is said: the kernel takes no second listener over one process, so the supervisor that is there keeps the account of
//! both. Refuses to know what a supervisor does with it.

use std::io;
use std::path::Path;

use wfr_trace::notes::{self, Notes};
use wfr_trace::saying;

use super::{ENDED, Tracing, WITHIN};

/// What a launcher says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word<'w> {
    /// What it starts from here on is of this change.
    Joins {
        /// The change.
        id: &'w str,
        /// As in a briefing.
        since: i64,
        /// As in a briefing.
        writer: u32,
        /// As in a briefing.
        key: Option<[u8; 32]>,
    },
    /// The command of this change has ended.
    Ended {
        /// The change.
        id: &'w str,
    },
}

const JOINS: u8 = b'J';
const HAS_ENDED: u8 = b'E';

impl<'w> Word<'w> {
    /// What stands for it: a mark, the length of the change's name, that, and for [`Self::Joins`] the time, the number and the key.
    pub fn bytes(&self) -> Vec<u8> {
        let (mark, id) = match self {
            Self::Joins { id, .. } => (JOINS, id),
            Self::Ended { id } => (HAS_ENDED, id),
        };
        let mut bytes = vec![mark, u8::try_from(id.len()).unwrap_or(u8::MAX)];
        bytes.extend(id.as_bytes());
        if let Self::Joins { since, writer, key, .. } = self {
            bytes.extend(since.to_le_bytes());
            bytes.extend(writer.to_le_bytes());
            bytes.extend(key.iter().flatten());
        }
        bytes
    }

    /// What bytes stand for; `None` where they are no word.
    pub fn read(bytes: &'w [u8]) -> Option<Self> {
        let [mark, length, rest @ ..] = bytes else { return None };
        let (id, rest) = rest.split_at_checked(usize::from(*length))?;
        let id = std::str::from_utf8(id).ok().filter(|id| id.parse::<wfr_model::ChangeId>().is_ok())?;
        match *mark {
            HAS_ENDED if rest.is_empty() => Some(Self::Ended { id }),
            JOINS => {
                let (since, rest) = rest.split_first_chunk()?;
                let (writer, key) = rest.split_first_chunk()?;
                let key = if key.is_empty() { None } else { Some(key.try_into().ok()?) };
                Some(Self::Joins { id, since: i64::from_le_bytes(*since), writer: u32::from_le_bytes(*writer), key })
            }
            _ => None,
        }
    }
}

/// Has the supervisor around this process, if there is one, see what it starts from here on; whether it does.
pub fn join(tracing: &Tracing) -> bool {
    say(&tracing.joins).is_ok() && has(&tracing.notes, WITHIN).unwrap_or(false)
}

/// Tells it that the command has ended, or was not run; whether it knows. Where not, that it has ended is noted here.
pub fn ended(tracing: &Tracing) -> bool {
    let is_known = say(&tracing.ended).is_ok() && has(&tracing.notes, ENDED).unwrap_or(false);
    if !is_known {
        // Where it cannot be noted, whoever supervised it is dead, and that is seen.
        Notes::open(&tracing.notes).and_then(|notes| notes.add(ENDED, &[])).ok();
    }
    is_known
}

fn say(word: &[u8]) -> io::Result<()> {
    saying::say(word)
}

fn has(place: &Path, mark: u8) -> io::Result<bool> {
    let bytes = std::fs::read(place)?;
    Ok(notes::read(&bytes).any(|(one, _)| one == mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_said() {
        let id = crate::mint::change().to_string();
        for word in [
            Word::Joins { id: &id, since: -5, writer: 1, key: None },
            Word::Joins { id: &id, since: 5, writer: u32::MAX, key: Some([9; 32]) },
            Word::Ended { id: &id },
        ] {
            let bytes = word.bytes();
            assert!(bytes.len() <= saying::WORD_MAX);
            assert_eq!(Word::read(&bytes), Some(word));
        }
        assert_eq!(Word::read(b"J\x03abc"), None);
        assert_eq!(Word::read(b""), None);
    }
}
