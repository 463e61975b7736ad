//! What a scan leaves out by rule.
//!
//! Owns the decision by name, by identity and by size. Refuses to look at a file system.

use wfr_model::TreePath;
use wfr_model::coverage::SkipReason;

use super::pattern::Pattern;
use crate::vault;

/// The directory in which recoveries stage files, at the root of each mount: never part of a tree.
pub const STAGING_NAME: &[u8] = b".wfr-staging";

/// The view's place below the workspace root, by component: never part of a tree.
pub const VIEW_NAMES: [&[u8]; 2] = [b".claude", b"recovery"];

/// The file that marks a directory as a cache.
pub const TAG_NAME: &[u8] = b"CACHEDIR.TAG";

/// How a tag file begins (<https://bford.info/cachedir/>).
pub(super) const TAG_SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Names that every vault has: a directory with all of them is looked at more closely.
pub(super) const VAULT_NAMES: [&[u8]; 3] = [vault::FORMAT_FILE.as_bytes(), b"packs", b"leases"];

/// Names that every view has.
pub(super) const OTHER_VIEW_NAMES: [&[u8]; 2] = [b"config.toml", b"checkpoints"];

/// The number of the rules that no configuration changes.
const BUILT_IN: u8 = 3;

/// What to leave out. [`STAGING_NAME`] anywhere, the view at its place, and below the root every directory that is a vault
/// or a view are left out in any case: they are other workspaces' own, and a restore would take them back in time.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Names that are skipped wherever they stand, whatever their kind.
    pub exclude: Vec<Vec<u8>>,
    /// Patterns of such names.
    pub exclude_like: Vec<Pattern>,
    /// Whether directories below the root with a valid `CACHEDIR.TAG` are skipped.
    pub skip_cachedir_tag: bool,
    /// Files larger than this many bytes are skipped.
    pub file_bytes_max: Option<u64>,
    /// Directories of wfr's own by device and inode number: vault, view, staging.
    pub own: Vec<(u64, u64)>,
    /// Paths that neither an excluded name nor a tag skips: the answer to a rule that would begin to skip what was
    /// captured before. What lies below them follows the rules again.
    pub keep: Vec<TreePath>,
}

/// Where a directory stands, as far as names of its entries depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Root,
    ViewParent,
    /// A `.claude` that is not the root's: another workspace's view may be in it.
    OtherViewParent,
    OtherView,
    Elsewhere,
}

impl Place {
    /// Where the directory `name` stands when its parent stands here.
    pub(super) fn below(self, name: &[u8]) -> Self {
        match self {
            Self::Root if name == VIEW_NAMES[0] => Self::ViewParent,
            Self::OtherViewParent if name == VIEW_NAMES[1] => Self::OtherView,
            _ if name == VIEW_NAMES[0] => Self::OtherViewParent,
            _ => Self::Elsewhere,
        }
    }
}

impl Rules {
    /// These, with what a list of names and patterns says is skipped.
    pub fn excluding(self, list: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let (mut exclude, mut exclude_like) = (vec![], vec![]);
        for text in list {
            match Pattern::read(&text) {
                Some(pattern) => exclude_like.push(pattern),
                None => exclude.push(text),
            }
        }
        Self { exclude, exclude_like, ..self }
    }

    /// The list again: names, then patterns.
    pub fn excluded(&self) -> impl Iterator<Item = &[u8]> {
        self.exclude.iter().map(Vec::as_slice).chain(self.exclude_like.iter().map(Pattern::as_bytes))
    }

    /// Why an entry is skipped for its name alone, if it is.
    pub(super) fn by_name(&self, place: Place, name: &[u8]) -> Option<SkipReason> {
        if name == STAGING_NAME || (place == Place::ViewParent && name == VIEW_NAMES[1]) {
            return Some(SkipReason::OwnFiles);
        }
        let is_excluded = self.exclude.iter().any(|excluded| excluded == name)
            || self.exclude_like.iter().any(|pattern| pattern.matches(name));
        is_excluded.then_some(SkipReason::Excluded)
    }

    /// Whether this is one of wfr's own directories.
    pub(super) fn is_own(&self, dev: u64, ino: u64) -> bool {
        self.own.contains(&(dev, ino))
    }

    /// Whether a file of this size is skipped.
    pub(super) fn is_too_large(&self, size: u64) -> bool {
        self.file_bytes_max.is_some_and(|most| size > most)
    }

    /// A number that differs where lists of names made under other rules may not be trusted.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut names: Vec<&[u8]> = self.excluded().collect();
        names.sort_unstable();
        names.dedup();
        let mut kept: Vec<&[u8]> = self.keep.iter().map(TreePath::as_bytes).collect();
        kept.sort_unstable();
        // Neither names nor paths hold NUL, so these bytes can be read in one way only.
        let mut bytes = vec![BUILT_IN, u8::from(self.skip_cachedir_tag)];
        for part in names.into_iter().chain([&b""[..]]).chain(kept) {
            bytes.extend_from_slice(part);
            bytes.push(0);
        }
        let hash = crate::object::hash(&bytes).0;
        u64::from_le_bytes(hash[..8].try_into().expect("a hash has 32 bytes"))
    }
}

/// The paths of [`Rules::keep`] that lie below one directory: each its index and where its rest begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(Box<[(usize, usize)]>);

impl Kept {
    /// Those below the root.
    pub(super) fn at_root(rules: &Rules) -> Self {
        Self(rules.keep.iter().enumerate().filter(|(_, path)| !path.is_root()).map(|(n, _)| (n, 0)).collect())
    }

    /// Whether the entry `name` is one of them.
    pub(super) fn holds(&self, rules: &Rules, name: &[u8]) -> bool {
        self.0.iter().any(|(path, from)| rules.keep[*path].as_bytes()[*from..] == *name)
    }

    /// Those below the entry `name`.
    pub(super) fn below(&self, rules: &Rules, name: &[u8]) -> Self {
        let rest = |(path, from): &(usize, usize)| {
            let below = rules.keep[*path].as_bytes()[*from..].strip_prefix(name)?.strip_prefix(b"/")?;
            Some((*path, rules.keep[*path].as_bytes().len() - below.len()))
        };
        Self(self.0.iter().filter_map(rest).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decided_by_place() {
        let rules = Rules { exclude: vec![b".git".to_vec()], ..Rules::default() };
        let claude = Place::Root.below(b".claude");
        assert_eq!(rules.by_name(claude, b"recovery"), Some(SkipReason::OwnFiles));
        assert_eq!(rules.by_name(claude.below(b".claude"), b"recovery"), None);
        assert_eq!(Place::Elsewhere.below(b".claude").below(b"recovery"), Place::OtherView);
        assert_eq!(rules.by_name(Place::Root, b"recovery"), None);
        assert_eq!(rules.by_name(Place::Elsewhere, STAGING_NAME), Some(SkipReason::OwnFiles));
        assert_eq!(rules.by_name(Place::Elsewhere, b".git"), Some(SkipReason::Excluded));
        assert_eq!(rules.by_name(Place::Elsewhere, b".github"), None);
        let rules = rules.excluding([b".git".to_vec(), b"*.log".to_vec()]);
        assert_eq!(rules.by_name(Place::Elsewhere, b"a.log"), Some(SkipReason::Excluded));
        assert_eq!(rules.by_name(Place::Elsewhere, b"logs"), None);
    }

    #[test]
    fn kept_paths_are_followed_down() {
        let keep = ["src", "src/cache", "lib/x/y"].map(|text| text.parse().unwrap()).to_vec();
        let rules = Rules { keep, ..Rules::default() };
        let root = Kept::at_root(&rules);
        assert!(root.holds(&rules, b"src") && !root.holds(&rules, b"lib") && !root.holds(&rules, b"sr"));
        assert!(root.below(&rules, b"src").holds(&rules, b"cache"));
        assert!(root.below(&rules, b"lib").below(&rules, b"x").holds(&rules, b"y"));
        assert!(!root.below(&rules, b"li").holds(&rules, b"b/x/y"));
    }

    #[test]
    fn other_rules_have_another_fingerprint() {
        let base = Rules { exclude: vec![b"a".to_vec(), b"b".to_vec()], ..Rules::default() };
        let swapped = Rules { exclude: vec![b"b".to_vec(), b"a".to_vec()], ..Rules::default() };
        assert_eq!(base.fingerprint(), swapped.fingerprint());
        let kept = Rules { keep: vec!["a".parse().unwrap()], ..base.clone() };
        let tagged = Rules { skip_cachedir_tag: true, ..base.clone() };
        let fewer = Rules { exclude: vec![b"a".to_vec()], ..base.clone() };
        let like = base.clone().excluding([b"a".to_vec(), b"b".to_vec(), b"b*".to_vec()]);
        for other in [kept, tagged, fewer, like] {
            assert_ne!(base.fingerprint(), other.fingerprint());
        }
    }
}
