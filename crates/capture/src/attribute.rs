//! Whose a change to a path is, given who was at work between two looks.
//!
//! Owns the rules. Refuses to guess: where several may have done it, all of them are named.

use wfr_model::{ChangeId, TreePath};

/// A change that was open between two looks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Which.
    pub change_id: ChangeId,
    /// Paths that it said it would write, and no others; empty: any.
    pub declared: Vec<TreePath>,
    /// The open change that it is a part of.
    pub parent: Option<ChangeId>,
}

impl Opened {
    /// Whether it may have written at a path.
    fn may_write(&self, path: &TreePath) -> bool {
        self.declared.is_empty() || self.names(path)
    }

    /// Whether it said that it would write at a path, or below it.
    fn names(&self, path: &TreePath) -> bool {
        self.declared.iter().any(|named| path.is_within(named) || named.is_within(path))
    }
}

/// Whose a change to a path is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Owner {
    /// This one's: nobody else was at work.
    One(ChangeId),
    /// This one named the path, and others may write anywhere.
    Likely(ChangeId, Vec<ChangeId>),
    /// One of these.
    Shared(Vec<ChangeId>),
    /// Somebody's who was not announced, while these were at work elsewhere.
    Unknown(Vec<ChangeId>),
    /// A person's, or an unannounced program's, while nobody was at work.
    User,
}

/// Whose a change to a path is. A part of a change goes before the whole of it.
///
/// Why a declared path does not settle it where somebody else may write anywhere: between the two looks the other one
/// may have written there too.
pub fn owner(path: &TreePath, open: &[Opened]) -> Owner {
    let may: Vec<&Opened> = open.iter().filter(|change| change.may_write(path)).collect();
    // Whose part wrote it, did not write it himself.
    let is_outer = |change: &Opened| may.iter().any(|inner| is_within(inner, &change.change_id, open));
    let innermost: Vec<&Opened> = may.iter().copied().filter(|change| !is_outer(change)).collect();
    let ids = |changes: &mut dyn Iterator<Item = &Opened>| {
        let mut ids: Vec<ChangeId> = changes.map(|change| change.change_id.clone()).collect();
        ids.sort();
        ids
    };
    match innermost.as_slice() {
        [] if open.is_empty() => Owner::User,
        [] => Owner::Unknown(ids(&mut open.iter())),
        [one] => Owner::One(one.change_id.clone()),
        several => {
            let mut naming = several.iter().filter(|change| change.names(path));
            match (naming.next(), naming.next()) {
                (Some(one), None) => {
                    let others = several.iter().copied().filter(|other| other.change_id != one.change_id);
                    Owner::Likely(one.change_id.clone(), ids(&mut others.into_iter()))
                }
                _ => Owner::Shared(ids(&mut several.iter().copied())),
            }
        }
    }
}

/// Whether a change is a part of another one, at any depth.
fn is_within(inner: &Opened, outer: &ChangeId, open: &[Opened]) -> bool {
    let mut at = inner.parent.as_ref();
    // A part of a part of ... at most as many as there are.
    for _ in 0..=open.len() {
        match at {
            None => return false,
            Some(parent) if parent == outer => return true,
            Some(parent) => {
                at = open.iter().find(|change| change.change_id == *parent).and_then(|change| change.parent.as_ref());
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(id: &str, declared: &[&str], parent: Option<&str>) -> Opened {
        Opened {
            change_id: id.parse().unwrap(),
            declared: declared.iter().map(|path| path.parse().unwrap()).collect(),
            parent: parent.map(|id| id.parse().unwrap()),
        }
    }

    fn owner_of(path: &str, open: &[Opened]) -> Owner {
        owner(&path.parse().unwrap(), open)
    }

    fn id(id: &str) -> ChangeId {
        id.parse().unwrap()
    }

    #[test]
    fn nobody_at_work_makes_it_the_users() {
        assert_eq!(owner_of("a", &[]), Owner::User);
    }

    #[test]
    fn one_at_work_gets_it() {
        assert_eq!(owner_of("a", &[opened("chg_1", &[], None)]), Owner::One(id("chg_1")));
    }

    #[test]
    fn several_share_it_in_a_fixed_order() {
        let open = [opened("chg_2", &[], None), opened("chg_1", &[], None)];
        assert_eq!(owner_of("a", &open), Owner::Shared(vec![id("chg_1"), id("chg_2")]));
    }

    #[test]
    fn who_named_other_paths_is_no_candidate() {
        let open = [opened("chg_1", &["src"], None), opened("chg_2", &[], None)];
        assert_eq!(owner_of("docs/a", &open), Owner::One(id("chg_2")));
        assert_eq!(owner_of("docs/a", &open[..1]), Owner::Unknown(vec![id("chg_1")]));
        assert_eq!(owner_of("src/a", &open), Owner::Likely(id("chg_1"), vec![id("chg_2")]));
        // The directory of a named path may have been made for it.
        let deep = [opened("chg_1", &["src/new/a"], None)];
        assert_eq!(owner_of("src/new", &deep), Owner::One(id("chg_1")));
    }

    #[test]
    fn two_that_named_a_path_share_it() {
        let open = [opened("chg_1", &["a"], None), opened("chg_2", &["a"], None)];
        assert_eq!(owner_of("a", &open), Owner::Shared(vec![id("chg_1"), id("chg_2")]));
    }

    #[test]
    fn a_part_goes_before_the_whole() {
        let open =
            [opened("chg_1", &[], None), opened("chg_2", &[], Some("chg_1")), opened("chg_3", &[], Some("chg_2"))];
        assert_eq!(owner_of("a", &open), Owner::One(id("chg_3")));
        // A part that names other paths leaves the rest to the whole.
        let open = [opened("chg_1", &[], None), opened("chg_2", &["b"], Some("chg_1"))];
        assert_eq!(owner_of("a", &open), Owner::One(id("chg_1")));
    }

    #[test]
    fn parts_that_name_each_other_end() {
        let open = [opened("chg_1", &[], Some("chg_2")), opened("chg_2", &[], Some("chg_1"))];
        assert!(matches!(owner_of("a", &open), Owner::Unknown(_)));
    }
}
