//! Objects that can be read until the time of a recovery is over.
//!
//! Owns that planning ends then: it reads all the way. Refuses to judge what was read; whoever plans with this asks in the end
//! whether the time was over, since some of it takes what cannot be read for something that is not there.

use std::io;
use std::time::Instant;

use wfr_model::Digest;
use wfr_store::{ObjectKind, Objects, ReadError};

/// Objects below, until the deadline.
pub(super) struct Limited<'o> {
    objects: &'o dyn Objects,
    deadline: Option<Instant>,
}

impl<'o> Limited<'o> {
    pub(super) fn new(objects: &'o dyn Objects, deadline: Option<Instant>) -> Self {
        Self { objects, deadline }
    }
}

/// Whether a time is over.
pub(super) fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

impl Objects for Limited<'_> {
    fn get(&self, kind: ObjectKind, id: &Digest) -> Result<Vec<u8>, ReadError> {
        if is_over(self.deadline) {
            let (place, source) = ("packs".to_owned(), io::ErrorKind::TimedOut.into());
            return Err(ReadError::Io { place, source });
        }
        self.objects.get(kind, id)
    }

    fn has(&self, id: &Digest) -> bool {
        self.objects.has(id)
    }

    fn still_holds(&self, holdings: &[u8]) -> bool {
        self.objects.still_holds(holdings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Held;

    impl Objects for Held {
        fn get(&self, _: ObjectKind, _: &Digest) -> Result<Vec<u8>, ReadError> {
            Ok(vec![7])
        }

        fn has(&self, _: &Digest) -> bool {
            true
        }

        fn still_holds(&self, _: &[u8]) -> bool {
            true
        }
    }

    #[test]
    fn nothing_is_read_when_the_time_is_over() {
        let get = |deadline| Limited::new(&Held, deadline).get(ObjectKind::Tree, &Digest([0; 32]));
        assert_eq!(get(None).unwrap(), [7]);
        assert!(matches!(get(Some(Instant::now())), Err(ReadError::Io { .. })));
    }
}
