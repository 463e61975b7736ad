//! Names that are given once: UUIDs of version 7, which sort by the time of their making.
//!
//! Owns that a clock before 1970, which such a UUID cannot say, keeps nobody from having one. Refuses to give names a meaning.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{NoContext, Timestamp, Uuid};

/// A new one.
pub fn uuid() -> Uuid {
    at(SystemTime::now())
}

/// One made at a time. Before 1970 it is of the first moment that it can say, and as random as any.
fn at(now: SystemTime) -> Uuid {
    match now.duration_since(UNIX_EPOCH) {
        Ok(_) => Uuid::now_v7(),
        Err(_) => Uuid::new_v7(Timestamp::from_unix(NoContext, 0, 0)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_gives_names_that_differ() {
        let then = UNIX_EPOCH - Duration::from_secs(229 * 365 * 86_400);
        let (one, other) = (at(then), at(then));
        assert_ne!(one, other);
        assert_eq!((one.get_version_num(), one.get_timestamp().map(|at| at.to_unix().0)), (7, Some(0)));
        assert!(at(SystemTime::now()) > one);
    }
}
