//! Which processes of a traced command belong to a command within it.
//!
//! Owns who is whose child, as far as that can be known: who was left by its parents before it was ever seen is nobody's for sure.
//! Refuses to know what they do.

use std::collections::HashMap;
use std::fs;

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
    /// Those that started commands within it: their numbers, beginnings and accounts.
    roots: Vec<(u32, u64, usize)>,
    known: HashMap<(u32, u64), usize>,
    /// Whose all processes of a session or a group are that were seen; `None`: of several.
    groups: HashMap<(Group, u32), Option<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Group {
    Session,
    Job,
}

/// A process or a thread, as `/proc/PID/stat` shows it.
struct Stat {
    state: char,
    parent: u32,
    job: u32,
    session: u32,
    began: u64,
}

impl Stat {
    fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name, in brackets, may have any letters.
        let mut fields = stat.rsplit(") ").next()?.split(' ');
        let state = fields.next()?.chars().next()?;
        let mut number = || fields.next()?.parse().ok();
        let (parent, job, session) = (number()?, number()?, number()?);
        Some(Self { state, parent, job, session, began: fields.nth(15)?.parse().ok()? })
    }
}

/// The process that a thread is of.
fn process_of(thread: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

impl Kin {
    /// Those of a command that was started by this process.
    pub fn of(launcher: u32) -> Self {
        Self { launcher, roots: vec![], known: HashMap::new(), groups: HashMap::new() }
    }

    /// From now on what this process starts is of this account. `None` where it is gone.
    pub fn join(&mut self, thread: u32, account: usize) -> Option<()> {
        let process = process_of(thread)?;
        self.roots.push((process, Stat::of(process)?.began, account));
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
        let Some(stat) = Stat::of(thread) else { return Whose::Unsure { began: u64::MAX } };
        if let Some(account) = self.known.get(&(thread, stat.began)) {
            return Whose::One(*account);
        }
        let by_parents = process_of(thread).and_then(|process| self.by_parents(process));
        let Some(account) = by_parents.or_else(|| self.by_groups(&stat)) else {
            return Whose::Unsure { began: stat.began };
        };
        self.known.insert((thread, stat.began), account);
        for group in [(Group::Session, stat.session), (Group::Job, stat.job)] {
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
            let stat = Stat::of(at)?;
            let root = self.roots.iter().find(|(root, began, _)| (*root, *began) == (at, stat.began));
            // What a launcher itself does is of the command that it is a part of.
            if let Some((.., account)) = root.filter(|_| at != process) {
                return Some(*account);
            }
            if let Some(account) = self.known.get(&(at, stat.began)) {
                return Some(*account);
            }
            at = Some(stat.parent).filter(|parent| *parent > 1)?;
        }
        None
    }

    /// Whose all of its session or its group are that were seen.
    fn by_groups(&self, stat: &Stat) -> Option<usize> {
        // What began before all of them is none of theirs.
        if self.roots.iter().all(|(_, began, _)| stat.began < *began) {
            return Some(0);
        }
        let of = |group| self.groups.get(&group).copied().flatten();
        of((Group::Session, stat.session)).or_else(|| of((Group::Job, stat.job)))
    }

    /// The accounts that a process which began then may be of.
    pub fn candidates(&self, began: u64) -> Vec<usize> {
        let within = self.roots.iter().filter(|(_, root, _)| *root <= began).map(|(.., account)| *account);
        std::iter::once(0).chain(within).collect()
    }

    /// Whether anybody lives who is of this account, but whoever started its command.
    pub fn has_members(&self, account: usize) -> bool {
        let lives = |stat: &Stat| !matches!(stat.state, 'Z' | 'X');
        let mut seen = self.known.iter().filter(|(_, of)| **of == account).map(|(at, _)| at);
        if seen.any(|(process, began)| Stat::of(*process).is_some_and(|stat| stat.began == *began && lives(&stat))) {
            return true;
        }
        let Ok(all) = fs::read_dir("/proc") else { return true };
        let mut all = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        all.any(|process| self.by_parents(process) == Some(account) && Stat::of(process).is_some_and(|one| lives(&one)))
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
