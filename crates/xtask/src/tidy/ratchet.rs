//! The exceptions to the rules on sources, each with its reason; the list may only shrink.
//!
//! Owns the list. Refuses exceptions that no longer happen.

use std::path::Path;

use super::Finding;
use super::files::Tracked;

/// A file, a part of the finding's text, how many such findings it may have, and why.
type Exception = (&'static str, &'static str, usize, &'static str);

/// All exceptions.
const EXCEPTIONS: [Exception; 2] = [
    ("crates/store/src/lease.rs", "`unsafe`", 1, "read leases are set by fcntl, which no safe crate offers"),
    (
        "crates/trace/src/sys.rs",
        "`unsafe`",
        35,
        "seccomp notification, Landlock, fork, the default action of signals, shared memory and unknown descriptors, which no safe crate offers",
    ),
];

/// Takes the excepted findings out; adds one for each exception that is too wide.
pub fn settle(found: Vec<Finding>, tracked: &Tracked) -> Vec<Finding> {
    apply(found, &EXCEPTIONS, |file| tracked.get(file).is_some())
}

fn apply(mut found: Vec<Finding>, exceptions: &[Exception], exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    for (file, part, allowed, why) in exceptions {
        let is_such = |finding: &Finding| finding.file == Path::new(file) && finding.what.contains(part);
        let count = found.iter().filter(|finding| is_such(finding)).count();
        if count <= *allowed {
            found.retain(|finding| !is_such(finding));
        }
        if count < *allowed && exists(file) {
            let what = format!("has {count} of {allowed} excepted findings on `{part}` ({why}): lower the exception");
            found.push(Finding::whole(*file, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_hold_exactly() {
        let one = || vec![Finding::whole("a.rs", "`unsafe` must not be here")];
        let after = |allowed| apply(one(), &[("a.rs", "unsafe", allowed, "mmap")], |_| true).len();
        assert_eq!([0, 1, 2].map(after), [1, 0, 1]);
    }
}
