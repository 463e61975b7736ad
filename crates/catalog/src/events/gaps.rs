//! Places in the log that have no event any more.
//!
//! Owns how they are found: every place up to the last one that was ever given is taken, but for those that the log leapt over
//! where nobody could tell any more which that was. Refuses to know what was there.

use std::ops::RangeInclusive;

use rusqlite::Connection;
use wfr_model::{Timestamp, WorkflowId};

use super::{EventSeq, GIVEN, PLACE_MAX};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// Places from one to another, both included.
pub type Places = RangeInclusive<EventSeq>;

/// A leap ends at a multiple of this: more events than anybody records in a second.
const STEP: i64 = 1_000_000;

/// How far a leap goes where the clock does not show how long ago the one before was.
const FAR: i64 = 1_000 * STEP;

/// No leap ends before this place, and no log gets there by counting.
const LEAP_MIN: i64 = 1_000_000_000_000_000;

impl Catalog {
    /// The last place that was ever given; 0 where none was.
    pub fn last_place(&self) -> Result<EventSeq, CatalogError> {
        last_ever(&self.connection)
    }

    /// Gives no place up to this one any more.
    pub fn go_on_behind(&self, place: EventSeq) -> Result<(), CatalogError> {
        self.write(|transaction| {
            let sql = "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'events'";
            let place = place.max(last_ever(transaction)?);
            if transaction.execute(sql, [place.0])? == 0 {
                transaction.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?1)", [place.0])?;
            }
            Ok(())
        })
    }

    /// Goes on behind all places that may have been given, where nobody can tell any more which these were; returns the last one
    /// that is left out. That is the present time in microseconds, of a whole second: it grows faster than any log, so a second
    /// leap is beyond what was given since the first one. `before` is where the leap before this one ended, as far as anybody knows:
    /// in the same second, or where the clock went back, this one goes further by itself. Whoever keeps a place gets what comes.
    pub fn leap(&self, now: Timestamp, before: Option<EventSeq>) -> Result<EventSeq, CatalogError> {
        let by_clock = now.0 / 1_000_000_000 * STEP;
        let by_clock = if (LEAP_MIN..PLACE_MAX / 2).contains(&by_clock) { by_clock } else { LEAP_MIN };
        let last = self.last_place()?.0;
        let above = last.saturating_add(STEP - last % STEP);
        // How much was given since that one, the clock does not tell then.
        let before = before.map(|EventSeq(place)| place).filter(|place| (LEAP_MIN..PLACE_MAX / 2).contains(place));
        let beyond = before.filter(|before| by_clock <= *before).map_or(0, |before| before - before % STEP + FAR);
        let above = above.max(beyond);
        let last = last.max(before.unwrap_or(0));
        let place = EventSeq(if by_clock > last || above > PLACE_MAX / 2 { by_clock.max(last) } else { above });
        self.go_on_behind(place)?;
        Ok(place)
    }

    /// The places without an event, in their order, without those that were leapt over. Where there is none this looks at no
    /// event by itself.
    pub fn event_gaps(&self) -> Result<Vec<Places>, CatalogError> {
        self.read(|connection| {
            let last_sealed =
                connection.query_row("SELECT coalesce(max(upto_seq), 0) FROM seals", [], |row| row.get(0))?;
            let last = last_ever(connection)?.max(EventSeq(last_sealed));
            let count: i64 = count(connection)?;
            if count == last.0 {
                return Ok(vec![]);
            }
            let mut gaps = Vec::new();
            let mut next = 1;
            let mut statement = connection.prepare(&format!("SELECT seq FROM events WHERE {GIVEN} ORDER BY seq"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                if seq > next {
                    gaps.push(EventSeq(next)..=EventSeq(seq - 1));
                }
                next = seq.saturating_add(1);
            }
            if next <= last.0 {
                gaps.push(EventSeq(next)..=last);
            }
            let sealed = sealed(connection)?;
            Ok(gaps.into_iter().flat_map(|gap| without_leaps(gap, &sealed)).collect())
        })
    }

    /// Workflows of whose state checkpoints tell, and of which no event is there.
    pub fn eventless_workflows(&self) -> Result<Vec<WorkflowId>, CatalogError> {
        let sql = "SELECT workflow_id FROM workflows w
                   WHERE EXISTS (SELECT 1 FROM checkpoints c WHERE c.workflow_id = w.workflow_id AND c.state IS NOT NULL)
                     AND NOT EXISTS (SELECT 1 FROM events e WHERE e.workflow_id = w.workflow_id)
                   ORDER BY workflow_id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| columns::id(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Up to which places there are seals, in their order.
fn sealed(connection: &Connection) -> Result<Vec<i64>, CatalogError> {
    let mut statement = connection.prepare_cached("SELECT upto_seq FROM seals ORDER BY upto_seq")?;
    let places = statement.query_map([], |row| row.get(0))?;
    Ok(places.collect::<Result<_, _>>()?)
}

/// What of a gap was not leapt over: what stands behind a leap, and what seals prove to have been given before it.
fn without_leaps(gap: Places, sealed: &[i64]) -> Vec<Places> {
    let (start, mut end) = (gap.start().0, gap.end().0);
    let mut parts = Vec::new();
    while start <= end {
        let leap = end - end % STEP;
        let is_leap = leap >= LEAP_MIN && leap >= start;
        let from = if is_leap { leap + 1 } else { start };
        if from <= end {
            parts.push(EventSeq(from)..=EventSeq(end));
        }
        if !is_leap {
            break;
        }
        end = sealed[..sealed.partition_point(|upto| *upto < leap)].last().copied().unwrap_or(0);
    }
    parts.reverse();
    parts
}

fn count(connection: &Connection) -> Result<i64, CatalogError> {
    Ok(connection.query_row(&format!("SELECT count(*) FROM events WHERE {GIVEN}"), [], |row| row.get(0))?)
}

/// The last place that was ever given.
pub(super) fn last_ever(connection: &Connection) -> Result<EventSeq, CatalogError> {
    let sql = format!(
        "SELECT max((SELECT coalesce(max(seq), 0) FROM events WHERE {GIVEN}),
                    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events' AND {GIVEN}), 0))"
    );
    Ok(EventSeq(connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_ends_beyond_the_log_that_was_lost_whether_or_not_the_clock_is_right() {
        let leap_after = |last: i64, now: i64, before: Option<i64>| {
            let dir = tempfile::tempdir().unwrap();
            let (vault_id, workspace) = ("0".repeat(32), dir.path().to_owned());
            let identity = crate::VaultIdentity { vault_id, encrypted: false, created_at: Timestamp(0), workspace };
            let catalog = Catalog::create(&dir.path().join("catalog.db"), &identity).unwrap();
            catalog.go_on_behind(EventSeq(last)).unwrap();
            let place = catalog.leap(Timestamp(now * 1_000_000_000), before.map(EventSeq)).unwrap();
            assert_eq!(catalog.last_place().unwrap(), place);
            assert!(place.0 % STEP == 0 && place.0 > last && before.is_none_or(|before| place.0 > before));
            place.0
        };
        let leap_behind = |last: i64, now: i64| leap_after(last, now, None);
        let now = 1_800_000_000;
        assert_eq!(leap_behind(20, now), now * STEP);
        // What was given since is not known to the second rebuild.
        assert_eq!(leap_behind(20, now + 1), (now + 1) * STEP);
        assert_eq!(leap_behind(now * STEP + 3, now), (now + 1) * STEP);
        assert_eq!((leap_behind(20, 0), leap_behind(LEAP_MIN + 1, -5)), (LEAP_MIN, LEAP_MIN + STEP));
        // In the same second, and where the clock went back.
        assert_eq!(leap_after(20, now, Some(now * STEP)), now * STEP + FAR);
        assert_eq!(leap_after(20, now - 90, Some(now * STEP)), now * STEP + FAR);
        assert_eq!(leap_after(now * STEP + 3, now, Some(now * STEP)), now * STEP + FAR);
        assert_eq!(leap_after(20, now + 1, Some(now * STEP)), (now + 1) * STEP);
        assert_eq!(leap_after(20, now, Some(now * STEP + FAR)), now * STEP + 2 * FAR);
    }

    #[test]
    fn what_was_leapt_over_is_no_gap_and_what_is_gone_around_it_is() {
        let leap = LEAP_MIN + 7 * STEP;
        let left = |start: i64, end: i64, sealed: &[i64]| {
            let parts = without_leaps(EventSeq(start)..=EventSeq(end), sealed);
            parts.into_iter().map(|part| (part.start().0, part.end().0)).collect::<Vec<_>>()
        };
        assert_eq!(left(3, 2 * STEP, &[]), [(3, 2 * STEP)], "a log that was counted so far has no leaps");
        assert_eq!(left(11, leap, &[10]), []);
        assert_eq!(left(9, leap, &[5, 10]), [(9, 10)]);
        assert_eq!(left(11, leap + 2, &[10, leap + 4]), [(leap + 1, leap + 2)]);
        assert_eq!(left(9, leap + STEP, &[10, leap + 3]), [(9, 10), (leap + 1, leap + 3)]);
        assert_eq!(left(leap + 2, leap + 3, &[]), [(leap + 2, leap + 3)]);
    }
}
