//! Which processes of a traced command belong to a command within it.
//!
//! Owns who is whose child, as far as that can be known: who was left by its parents before it was ever seen is nobody's for sure.
//! Refuses to know what they do.

use std::collections::HashMap;

use crate::process::{self, Process, ProcessId, or_corpse, process_of};

/// Whose a process is: the number of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// This one's.
    One(usize),
    /// Of one of those that began before the process did.
    Unsure {
        /// When it began, in ticks since the boot.
        began: u64,
    },
}

/// What is known of the processes of a command.
#[derive(Debug)]
pub struct Kin {
    /// The process that started the outermost command.
    launcher: u32,
    /// Those that started commands within it, each with its account.
    roots: Vec<(ProcessId, usize)>,
    /// Processes and threads whose account is known.
    known: HashMap<ProcessId, usize>,
    /// Whose all processes of a session or a group are that were seen; `None`: of several.
    groups: HashMap<(Group, u32), Option<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Group {
    Session,
    Job,
}

impl Kin {
    /// Those of a command that was started by this process.
    pub fn of(launcher: u32) -> Self {
        Self { launcher, roots: vec![], known: HashMap::new(), groups: HashMap::new() }
    }

    /// From now on what this process starts is of this account. `None` where it is gone.
    pub fn join(&mut self, thread: u32, account: usize) -> Option<()> {
        let root = process_of(thread)?;
        self.roots.push((root, account));
        Some(())
    }

    /// What was started for this account is over.
    pub fn leave(&mut self, account: usize) {
        self.roots.retain(|(.., other)| *other != account);
        self.known.retain(|_, other| *other != account);
        self.groups.retain(|_, other| *other != Some(account));
    }

    /// Whose a thread that asks is. Account 0 is the outermost one's.
    pub fn whose(&mut self, thread: u32) -> Whose {
        if self.roots.is_empty() {
            return Whose::One(0);
        }
        let Some(stat) = or_corpse(thread) else { return Whose::Unsure { began: u64::MAX } };
        if let Some(account) = self.known.get(&stat.id) {
            return Whose::One(*account);
        }
        let by_parents = process_of(thread).and_then(|process| self.by_parents(process.pid));
        let Some(account) = by_parents.or_else(|| self.by_groups(&stat)) else {
            return Whose::Unsure { began: stat.id.start };
        };
        self.known.insert(stat.id, account);
        for group in [(Group::Session, stat.session), (Group::Job, stat.group)] {
            let known = self.groups.entry(group).or_insert(Some(account));
            *known = known.filter(|known| *known == account);
        }
        Whose::One(account)
    }

    /// Whose a process is by those that started it, as far as they live.
    fn by_parents(&self, process: u32) -> Option<usize> {
        let mut at = process;
        // None is its own grandparent, but what is read may be of different times.
        for _ in 0..1_000 {
            if at == self.launcher {
                return Some(0);
            }
            let stat = or_corpse(at)?;
            let root = self.roots.iter().find(|(root, _)| *root == stat.id);
            // What a launcher itself does is of the command that it is a part of.
            if let Some((_, account)) = root.filter(|_| at != process) {
                return Some(*account);
            }
            if let Some(account) = self.known.get(&stat.id) {
                return Some(*account);
            }
            at = Some(stat.parent).filter(|parent| *parent > 1)?;
        }
        None
    }

    /// Whose all of its session or its group are that were seen.
    fn by_groups(&self, stat: &Process) -> Option<usize> {
        // What began before all of them is none of theirs.
        if self.roots.iter().all(|(root, _)| stat.id.start < root.start) {
            return Some(0);
        }
        let of = |group| self.groups.get(&group).copied().flatten();
        of((Group::Session, stat.session)).or_else(|| of((Group::Job, stat.group)))
    }

    /// The accounts that a process which began then may be of.
    pub fn candidates(&self, began: u64) -> Vec<usize> {
        let within = self.roots.iter().filter(|(root, _)| root.start <= began).map(|(_, account)| *account);
        std::iter::once(0).chain(within).collect()
    }

    /// Whether anybody lives who is of this account, but whoever started its command.
    pub fn has_members(&self, account: usize) -> bool {
        let mut seen = self.known.iter().filter(|(_, of)| **of == account).map(|(id, _)| *id);
        if seen.any(process::is_there) {
            return true;
        }
        let Ok(all) = process::all() else { return true };
        all.into_keys().any(|pid| self.by_parents(pid) == Some(account))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_are_their_parents_and_who_was_there_before_is_not() {
        let own = std::process::id();
        let mut kin = Kin::of(1);
        assert_eq!(kin.whose(own), Whose::One(0), "nobody has joined");
        let mut shell = Command::new("sh");
        let mut shell = shell.args(["-c", "sleep 60 & echo $!; wait"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.take().unwrap()), &mut line).unwrap();
        let child: u32 = line.trim().parse().unwrap();
        kin.join(shell.id(), 1).unwrap();
        assert_eq!(kin.whose(child), Whose::One(1));
        assert!(kin.has_members(1) && !kin.has_members(2));
        assert_eq!(kin.whose(u32::MAX), Whose::Unsure { began: u64::MAX });
        assert_eq!(kin.candidates(u64::MAX), [0, 1]);
        assert_eq!(kin.candidates(0), [0]);
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(child as i32).unwrap(),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        shell.wait().unwrap();
        assert!(!kin.has_members(1));
        kin.leave(1);
        assert_eq!(kin.whose(own), Whose::One(0));
    }
}
