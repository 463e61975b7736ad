//! Whose a change to a path is, given who was at work between two looks.
//!
//! Owns the rules. Refuses to guess: where several may have done it, all of them are named.

use std::collections::BTreeSet;

use wfr_model::{ChangeId, TreePath};

/// A change that was open between two looks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Which.
    pub change_id: ChangeId,
    /// Paths that it said it would write, and no others; empty: any.
    pub declared: Vec<TreePath>,
    /// Whether it is one call of a tool that writes what it names, and cannot write anything else.
    pub is_exact: bool,
    /// The open change that it is a part of.
    pub parent: Option<ChangeId>,
    /// What is known of its writes where they are traced.
    pub told: Option<Told>,
}

/// What the supervisor of a traced change was told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Paths that it was about to change.
    pub paths: BTreeSet<TreePath>,
    /// Paths that it was about to move something from or to: what is below these moved, too, where it was a directory.
    pub moved: BTreeSet<TreePath>,
    /// Whether that is all: it may have written nowhere else.
    pub is_whole: bool,
    /// Paths at which something new was found that stood there, or below what moved, before it began.
    pub earlier: BTreeSet<TreePath>,
    /// Whether somebody who is not traced may have written on its behalf.
    pub has_delegates: bool,
    /// Whether the command itself is over, and these are the writes of what it left running, on whoever's behalf.
    pub is_left: bool,
}

impl Told {
    /// Whether it was about to write at a path.
    pub fn wrote(&self, path: &TreePath) -> bool {
        let mut above = Some(path.clone());
        let mut has_moved = false;
        while let Some(at) = above.filter(|_| !self.moved.is_empty() && !has_moved) {
            has_moved = self.moved.contains(&at);
            above = at.parent();
        }
        (has_moved || self.paths.contains(path)) && !self.earlier.contains(path)
    }
}

impl Opened {
    /// Whether it may have written at a path.
    fn may_write(&self, path: &TreePath) -> bool {
        match &self.told {
            Some(told) => told.wrote(path) || !(told.is_whole || told.earlier.contains(path)),
            None => self.declared.is_empty() || self.names(path),
        }
    }

    /// Whether it was seen writing at a path.
    fn wrote(&self, path: &TreePath) -> bool {
        self.told.as_ref().is_some_and(|told| told.wrote(path))
    }

    /// Whether somebody may have written anywhere on its behalf.
    fn has_delegates(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.has_delegates)
    }

    /// Whether it is what a command left running.
    fn is_left(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.is_left)
    }

    /// Whether all that it wrote is known, and what was written for it.
    fn is_settled(&self) -> bool {
        self.is_exact || self.told.as_ref().is_some_and(|told| told.is_whole && !told.has_delegates)
    }

    /// Whether it said that it would write at a path, or below it, or was seen doing so.
    fn names(&self, path: &TreePath) -> bool {
        let concerns = |named: &TreePath| {
            path.is_within(named) || named.is_within(path) || self.is_exact && is_temporary(path, named)
        };
        self.wrote(path) || self.declared.iter().any(concerns)
    }
}

/// Whether a path is that of a file which is written first and then becomes another one.
fn is_temporary(path: &TreePath, of: &TreePath) -> bool {
    let is_named = || path.name().strip_prefix(of.name()).is_some_and(|rest| rest.starts_with(b".tmp."));
    path.parent() == of.parent() && is_named()
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
    /// A person's, or an unannounced program's, while nobody was at work who may have done it.
    User,
}

/// Whose a change to a path is. A part of a change goes before the whole of it, unless both were seen writing there.
///
/// Why a declared path does not settle it where somebody else may write anywhere: between the two looks the other one
/// may have written there too.
pub fn owner(path: &TreePath, open: &[Opened]) -> Owner {
    let may: Vec<&Opened> = open.iter().filter(|change| change.may_write(path)).collect();
    // Whose part wrote it, did not write it himself.
    let is_outer = |change: &Opened| {
        let is_part = |inner: &Opened| is_within(inner, &change.change_id, open);
        may.iter().any(|inner| is_part(inner) && !(change.wrote(path) && inner.wrote(path)))
    };
    let mut innermost: Vec<&Opened> = may.iter().copied().filter(|change| !is_outer(change)).collect();
    if innermost.iter().all(|change| change.is_left()) && !innermost.is_empty() {
        // What was left running may have done it for whoever asked it to.
        innermost.extend(open.iter().filter(|change| change.has_delegates() && !change.is_left()));
    }
    let ids = |changes: &mut dyn Iterator<Item = &Opened>| {
        let mut ids: Vec<ChangeId> = changes.map(|change| change.change_id.clone()).collect();
        ids.sort();
        ids
    };
    match innermost.as_slice() {
        [] if open.iter().all(Opened::is_settled) => Owner::User,
        [] => Owner::Unknown(ids(&mut open.iter().filter(|change| !change.is_settled()))),
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
            is_exact: false,
            parent: parent.map(|id| id.parse().unwrap()),
            told: None,
        }
    }

    fn traced(id: &str, paths: &[&str]) -> Opened {
        let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
        Opened { told: Some(Told { paths, is_whole: true, ..Told::default() }), ..opened(id, &[], None) }
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
    fn a_tool_that_writes_what_it_names_is_no_candidate_elsewhere() {
        let open = [Opened { is_exact: true, ..opened("chg_1", &["src/a"], None) }];
        assert_eq!(owner_of("docs/a", &open), Owner::User);
        for own in ["src/a", "src/a.tmp.28653.1f", "src"] {
            assert_eq!(owner_of(own, &open), Owner::One(id("chg_1")), "{own}");
        }
        for other in ["src/a.tmp", "src/ab.tmp.1", "a.tmp.1"] {
            assert_eq!(owner_of(other, &open), Owner::User, "{other}");
        }
        // Beside one who may write anywhere it is his.
        let beside = [open[0].clone(), opened("chg_2", &[], None)];
        assert_eq!(owner_of("docs/a", &beside), Owner::One(id("chg_2")));
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
    fn a_traced_change_has_what_it_was_seen_writing_and_nothing_else() {
        let open = [traced("chg_1", &["a", "both"]), traced("chg_2", &["b", "both"])];
        assert_eq!(owner_of("a", &open), Owner::One(id("chg_1")));
        assert_eq!(owner_of("b", &open), Owner::One(id("chg_2")));
        assert_eq!(owner_of("both", &open), Owner::Shared(vec![id("chg_1"), id("chg_2")]));
        assert_eq!(owner_of("c", &open), Owner::User);
        let beside = [open[0].clone(), opened("chg_3", &[], None)];
        assert_eq!(owner_of("a", &beside), Owner::Likely(id("chg_1"), vec![id("chg_3")]));
        assert_eq!(owner_of("b", &beside), Owner::One(id("chg_3")));
    }

    #[test]
    fn what_was_moved_is_all_below_it() {
        let mut one = traced("chg_1", &[]);
        one.told.as_mut().unwrap().moved = ["d", "e/f"].map(|path| path.parse().unwrap()).into();
        let open = [one];
        for path in ["d", "d/x/y", "e/f/x"] {
            assert_eq!(owner_of(path, &open), Owner::One(id("chg_1")), "{path}");
        }
        assert_eq!(owner_of("e/g", &open), Owner::User);
        let mut open = open;
        open[0].told.as_mut().unwrap().earlier = ["d/x"].map(|path| path.parse().unwrap()).into();
        assert_eq!(owner_of("d/x", &open), Owner::User, "nobody had looked when it moved");
        assert_eq!(owner_of("d/y", &open), Owner::One(id("chg_1")));
    }

    #[test]
    fn where_not_all_was_seen_it_is_a_candidate_again() {
        let mut open = [traced("chg_1", &["a"]), traced("chg_2", &[])];
        open[0].told.as_mut().unwrap().is_whole = false;
        assert_eq!(owner_of("b", &open), Owner::One(id("chg_1")));
        open[1].told.as_mut().unwrap().is_whole = false;
        assert_eq!(owner_of("a", &open), Owner::Likely(id("chg_1"), vec![id("chg_2")]));
        assert_eq!(owner_of("b", &open), Owner::Shared(vec![id("chg_1"), id("chg_2")]));
    }

    #[test]
    fn what_was_changed_before_it_began_is_not_its_own_even_where_not_all_was_seen() {
        let mut open = [traced("chg_1", &["a"])];
        let told = open[0].told.as_mut().unwrap();
        (told.is_whole, told.earlier) = (false, ["a", "b"].map(|path| path.parse().unwrap()).into());
        assert_eq!(owner_of("a", &open), Owner::Unknown(vec![id("chg_1")]), "it tried to");
        assert_eq!(owner_of("b", &open), Owner::Unknown(vec![id("chg_1")]));
        assert_eq!(owner_of("c", &open), Owner::One(id("chg_1")));
    }

    #[test]
    fn what_was_left_running_may_have_served_whoever_asked() {
        let mut open = [traced("chg_1", &["a"]), traced("chg_2", &["b"])];
        open[0].told.as_mut().unwrap().is_left = true;
        assert_eq!(owner_of("a", &open), Owner::One(id("chg_1")));
        open[1].told.as_mut().unwrap().has_delegates = true;
        assert_eq!(owner_of("a", &open), Owner::Likely(id("chg_1"), vec![id("chg_2")]));
        assert_eq!(owner_of("b", &open), Owner::One(id("chg_2")));
        assert_eq!(owner_of("c", &open), Owner::Unknown(vec![id("chg_2")]));
    }

    #[test]
    fn a_traced_part_has_its_own_and_what_both_wrote_is_of_both() {
        let mut part = traced("chg_2", &["b", "both"]);
        part.parent = Some(id("chg_1"));
        let open = [traced("chg_1", &["a", "both"]), part.clone()];
        assert_eq!(owner_of("a", &open), Owner::One(id("chg_1")));
        assert_eq!(owner_of("b", &open), Owner::One(id("chg_2")));
        assert_eq!(owner_of("both", &open), Owner::Shared(vec![id("chg_1"), id("chg_2")]));
        // Whoever announced all of it has the rest.
        let open = [opened("chg_1", &[], None), part];
        assert_eq!(owner_of("b", &open), Owner::One(id("chg_2")));
        assert_eq!(owner_of("c", &open), Owner::One(id("chg_1")));
    }

    #[test]
    fn parts_that_name_each_other_end() {
        let open = [opened("chg_1", &[], Some("chg_2")), opened("chg_2", &[], Some("chg_1"))];
        assert!(matches!(owner_of("a", &open), Owner::Unknown(_)));
    }
}
