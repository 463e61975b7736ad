//! Skips: a test that cannot run here says so in one line, and is counted.
//!
//! Owns the wording and the variable that turns skips into failures. Refuses to decide what can run.

use std::sync::atomic::{AtomicUsize, Ordering};

/// With this variable set to `1`, as CI does, a skip is a failure.
const STRICT: &str = "WFR_TEST_STRICT";

/// Skips so far in this process.
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Whether skips are failures in this run.
pub fn strict() -> bool {
    std::env::var_os(STRICT).is_some_and(|value| value == "1")
}

/// Says why the calling test cannot run here, and counts it; the caller returns right after.
///
/// ```
/// fn strace_is_there() -> bool { true }
/// if !strace_is_there() {
///     return wfr_testkit::skip("strace is not installed");
/// }
/// ```
///
/// Panics where `WFR_TEST_STRICT=1`. The line goes to standard error itself, so that it shows without
/// `--nocapture`.
#[track_caller]
pub fn skip(reason: &str) {
    use std::io::Write as _;
    let place = std::panic::Location::caller();
    assert!(!strict(), "{STRICT}=1 and a test cannot run: {reason}");
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    // The harness captures `eprintln!`; a skip that nobody sees is a lie. A closed standard error is no failure.
    let line = format!("SKIPPED ({count} in this binary) {}:{}: {reason}\n", place.file(), place.line());
    let written = std::io::stderr().write_all(line.as_bytes());
    drop(written);
}

/// How many tests of this process were skipped so far.
pub fn skipped() -> usize {
    SKIPPED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_counted_or_fails() {
        let before = skipped();
        let run = std::panic::catch_unwind(|| skip("to try the helper itself"));
        assert_eq!(run.is_err(), strict());
        assert_eq!(skipped() - before, usize::from(!strict()));
    }
}
