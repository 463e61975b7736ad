//! How long a recovery took, against earlier ones of its kind.
//!
//! Owns what counts as slow. Refuses to guess without history.

use std::time::Duration;

use wfr_catalog::{CatalogError, Took};
use wfr_model::finding::{Finding, Severity};
use wfr_model::recovery::RecoveryKind;
use wfr_model::{RecoveryId, Span};

use crate::open::Open;
use crate::results::Verdict;

/// How many earlier recoveries are looked at, the newest ones.
const HISTORY_MAX: u32 = 10;

/// With fewer of them nothing is said.
const HISTORY_MIN: usize = 3;

/// So much more than expected is slow.
const FACTOR: u32 = 3;

/// What is never slow: below it, other things than the recovery decide.
const SHORT: Duration = Duration::from_secs(1);

/// Whether a recovery that has ended well took no longer than others of its kind let expect, by the steps of each.
pub fn measure(
    open: &Open,
    (id, kind): (&RecoveryId, RecoveryKind),
    this: Took,
) -> Result<(Verdict, Option<Finding>), CatalogError> {
    let before = open.catalog.recovery_rates(kind, id, HISTORY_MAX)?;
    let Some(expected) = expected(this, &before) else { return Ok((Verdict::Skipped, None)) };
    let is_slow = this.length > SHORT.max(expected.saturating_mul(FACTOR));
    Ok((Verdict::of(!is_slow), is_slow.then(|| slow(id, this, expected, before.len()))))
}

/// How long so many steps take, by the median of earlier ones; `None` with too few of these.
fn expected(this: Took, before: &[Took]) -> Option<Duration> {
    let mut rates: Vec<Duration> = before.iter().map(|took| took.length / count(took.steps)).collect();
    rates.sort_unstable();
    let median = rates.get(rates.len() / 2).filter(|_| rates.len() >= HISTORY_MIN)?;
    Some(median.saturating_mul(count(this.steps)))
}

fn count(steps: u64) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX).max(1)
}

fn slow(id: &RecoveryId, this: Took, expected: Duration, history: usize) -> Finding {
    let span = |length: Duration| Span::Finite(Duration::from_millis(length.as_millis() as u64)).to_string();
    let message = format!(
        "recovery {id} took {} for {} steps; by the {history} before it {} was to be expected",
        span(this.length),
        this.steps,
        span(expected)
    );
    let fix = "look what else keeps the disk busy: `wfr recoveries` has the earlier ones";
    Finding::new("RECOVERY_SLOW", Severity::Warning, message, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(ms: u64, steps: u64) -> Took {
        Took { length: Duration::from_millis(ms), steps }
    }

    #[test]
    fn what_is_expected_grows_with_the_steps() {
        let before = [took(100, 10), took(20, 2), took(900, 3)];
        assert_eq!(expected(took(1, 200), &before), Some(Duration::from_secs(2)));
        assert_eq!(expected(took(1, 200), &before[1..]), None, "two say too little");
    }
}
