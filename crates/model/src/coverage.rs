//! What a checkpoint does not hold, and why.
//!
//! Owns the list that keeps every checkpoint honest, and the rule which paths a restore must leave alone.
//! Refuses to decide what to skip: that is the scan's work.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::path::TreePath;

/// Why something was not captured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// An excluded name, such as `.git` or `node_modules`.
    Excluded,
    /// A directory with a CACHEDIR.TAG.
    CachedirTag,
    /// wfr's own vault, view or staging directory.
    OwnFiles,
    /// No permission, or an I/O error while reading.
    Unreadable,
    /// A device node, a pipe or a socket: it holds no data of its own. Of the latter two it is known that they were there.
    SpecialFile,
    /// It kept changing while it was read.
    ChangedWhileRead,
    /// Larger than the configured largest file, or over the quota.
    Quota,
    /// The deadline passed first.
    Deadline,
    /// It is on a file system that was mounted after the checkpoint. Plans say so; no coverage that is stored does.
    MountedSince,
    /// It is on a file system that was mounted before and is not now, or stands in the bare directory below that. No coverage
    /// that is stored says so.
    NotMounted,
    /// It is a file at which another one is mounted, which no rename replaces. Plans say so; no coverage that is stored does.
    MountPoint,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded => "it is excluded",
            Self::CachedirTag => "it is marked as a cache",
            Self::OwnFiles => "it is wfr's own",
            Self::Unreadable => "it cannot be read",
            Self::SpecialFile => "it is a device, a pipe or a socket",
            Self::ChangedWhileRead => "it kept changing while it was read",
            Self::Quota => "it is larger than files may be",
            Self::Deadline => "the time was over",
            Self::MountedSince => "it was mounted after the checkpoint",
            Self::MountPoint => "another file is mounted over it",
            Self::NotMounted => "a file system was mounted there and is not now",
        })
    }
}

impl SkipReason {
    /// Whether something that should be there is not: no rule left it out.
    pub fn is_gap(self) -> bool {
        matches!(self, Self::Unreadable | Self::ChangedWhileRead | Self::Quota | Self::Deadline | Self::NotMounted)
    }
}

/// One path that was not captured; a directory stands for all below it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Skip {
    /// Where.
    pub path: TreePath,
    /// Why.
    pub reason: SkipReason,
    /// Its size in bytes where known; `null` for a directory that was not walked, so that a number tells a single file.
    pub bytes: Option<u64>,
    /// What the system said, for unreadable paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Skip {
    /// Whether this makes a checkpoint incomplete. A single file that could not be read, such as a log that is written to all
    /// the time, does not: it is named, a restore leaves it alone, and all else is there. A directory that could not be
    /// walked may hide anything, and a limit may have cut off the best part.
    pub fn is_hole(&self) -> bool {
        let is_single =
            matches!(self.reason, SkipReason::Unreadable | SkipReason::ChangedWhileRead) && self.bytes.is_some();
        self.reason.is_gap() && !is_single
    }
}

/// The sum over one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SkipSum {
    /// Why.
    pub reason: SkipReason,
    /// How many paths; a directory that was not walked counts as one.
    pub count: u64,
    /// How many of these are directories, or what could not be looked at: what is in them was not counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub directories: u64,
    /// Bytes where known; `null` where any of them is not.
    pub bytes: Option<u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Everything a checkpoint does not cover, sorted by path.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Coverage {
    /// Each path that was skipped.
    pub skips: Vec<Skip>,
    /// Paths that a rule began to skip after they had been captured: they are captured until a person agrees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<TreePath>,
}

impl Coverage {
    /// Whether all that should be captured was, but for single files that could not be read.
    pub fn is_complete(&self) -> bool {
        !self.skips.iter().any(Skip::is_hole)
    }

    /// What should have been captured and was not, single files too.
    pub fn gaps(&self) -> impl Iterator<Item = &Skip> {
        self.skips.iter().filter(|skip| skip.reason.is_gap())
    }

    /// Sums by reason, in the order of the reasons.
    pub fn sums(&self) -> Vec<SkipSum> {
        let mut sums: BTreeMap<SkipReason, SkipSum> = BTreeMap::new();
        for skip in &self.skips {
            let none = SkipSum { reason: skip.reason, count: 0, directories: 0, bytes: Some(0) };
            let sum = sums.entry(skip.reason).or_insert(none);
            sum.count += 1;
            sum.directories += u64::from(skip.bytes.is_none());
            sum.bytes = sum.bytes.zip(skip.bytes).map(|(a, b)| a + b);
        }
        sums.into_values().collect()
    }

    /// The skip that keeps a restore away from `path`: one at the path, above it, or below it.
    ///
    /// One below counts too, because removing or replacing a directory would take the uncovered thing with it.
    pub fn shields(&self, path: &TreePath) -> Option<&Skip> {
        self.covering(path).or_else(|| self.below(path))
    }

    /// The skip at `path` or above it.
    pub fn covering(&self, path: &TreePath) -> Option<&Skip> {
        let mut at = path.as_bytes();
        loop {
            // Whatever is above a path is among those before it, and all that stand between the two begin as it does.
            let end = self.skips.partition_point(|skip| skip.path.as_bytes() <= at);
            let before = &self.skips[end.checked_sub(1)?];
            if path.is_within(&before.path) {
                return Some(before);
            }
            let alike = at.iter().zip(before.path.as_bytes()).take_while(|(a, b)| a == b).count();
            let above = at[..at.len().min(alike + 1)].iter().rposition(|byte| *byte == b'/');
            at = &at[..above.unwrap_or(0)];
        }
    }

    /// The first skip strictly below `path`.
    pub fn below(&self, path: &TreePath) -> Option<&Skip> {
        let start = self.skips.partition_point(|skip| skip.path <= *path);
        let mut prefix = path.as_bytes().to_vec();
        prefix.push(b'/');
        if path.is_root() {
            return self.skips.get(start);
        }
        let start = start + self.skips[start..].partition_point(|skip| skip.path.as_bytes() < prefix.as_slice());
        self.skips.get(start).filter(|skip| skip.path.is_within(path))
    }

    /// Sorts by path, which the look-ups rely on.
    pub fn sort(&mut self) {
        self.skips.sort_by(|a, b| a.path.cmp(&b.path));
        self.skips.dedup_by(|a, b| a.path == b.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        text.parse().unwrap()
    }

    #[test]
    fn shields_at_above_and_below() {
        let skip = |p: &str| Skip { path: path(p), reason: SkipReason::Excluded, bytes: None, detail: None };
        let skips = vec![skip("src/deep/.git"), skip("node_modules"), skip("src.x")];
        let mut coverage = Coverage { skips, kept: vec![] };
        coverage.sort();
        assert!(coverage.shields(&path("node_modules/a/b")).is_some());
        assert!(coverage.shields(&path("src")).is_some());
        assert!(coverage.shields(&path("src/deep")).is_some());
        assert!(coverage.shields(&path("src/other")).is_none());
        assert!(coverage.shields(&TreePath::ROOT).is_some());
        assert!(coverage.is_complete());
    }

    #[test]
    fn what_covers_a_path_is_found_among_names_that_are_alike() {
        let names = ["a", "a.b", "a/b", "a-", "b", "b/a", "ab", "a/b.c", "a/b/c/d", "b/a/a"];
        // Every choice of them.
        for chosen in 0..1_u32 << names.len() {
            let chosen = names.iter().enumerate().filter(|(n, _)| chosen >> n & 1 == 1);
            let mut coverage = Coverage { skips: chosen.map(|(_, name)| skip_of(name)).collect(), kept: vec![] };
            coverage.sort();
            for at in names.iter().chain(&["a/b/c", "a/b/c/d/e", "a.b/c", "b/a/b", "c", "a/a"]).map(|p| path(p)) {
                let near = coverage.skips.iter().filter(|skip| at.is_within(&skip.path));
                let nearest = near.max_by_key(|skip| skip.path.as_bytes().len());
                assert_eq!(coverage.covering(&at), nearest, "{at} {coverage:?}");
            }
        }
        let all = Coverage { skips: vec![Skip { path: TreePath::ROOT, ..skip_of("x") }], kept: vec![] };
        assert!(all.covering(&path("a/b")).is_some() && all.covering(&TreePath::ROOT).is_some());
        assert_eq!(Coverage::default().covering(&path("a/b")), None);
    }

    fn skip_of(text: &str) -> Skip {
        Skip { path: path(text), reason: SkipReason::Excluded, bytes: None, detail: None }
    }

    #[test]
    fn directories_are_counted_apart() {
        let skip = |p: &str, bytes| Skip { path: path(p), reason: SkipReason::Excluded, bytes, detail: None };
        let files = Coverage { skips: vec![skip("a", Some(3)), skip("b", Some(4))], kept: vec![] };
        let sum = |coverage: &Coverage| serde_json::to_value(&coverage.sums()[0]).unwrap();
        assert_eq!(sum(&files), serde_json::json!({"reason": "excluded", "count": 2, "bytes": 7}));
        let both = Coverage { skips: [files.skips, vec![skip("c", None)]].concat(), kept: vec![] };
        let expected = serde_json::json!({"reason": "excluded", "count": 3, "directories": 1, "bytes": null});
        assert_eq!(sum(&both), expected);
    }

    #[test]
    fn a_single_file_is_no_hole_and_a_directory_or_a_limit_is() {
        for (reason, bytes, complete) in [
            (SkipReason::Unreadable, Some(3), true),
            (SkipReason::ChangedWhileRead, Some(0), true),
            (SkipReason::Unreadable, None, false),
            (SkipReason::ChangedWhileRead, None, false),
            (SkipReason::Quota, Some(9), false),
            (SkipReason::Deadline, None, false),
            (SkipReason::Excluded, None, true),
        ] {
            let skips = vec![Skip { path: path("log"), reason, bytes, detail: None }];
            let coverage = Coverage { skips, kept: vec![] };
            assert_eq!(coverage.is_complete(), complete, "{reason:?} {bytes:?}");
            assert_eq!(coverage.gaps().count() == 1, reason.is_gap());
        }
    }
}
