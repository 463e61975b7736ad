//! Where git repositories stand: evidence beside a checkpoint, since `.git` is neither captured nor written.
//!
//! Owns the reading of HEAD, refs and the reflog, without git. Refuses to fail: what cannot be read is left out.

use wfr_model::TreePath;
use wfr_model::checkpoint::Repository;
use wfr_model::coverage::Coverage;

use crate::open::Open;
use crate::results::MovedHead;
use crate::scanning::read_file;

/// More repositories than this in one tree are not looked at.
const REPOSITORIES_MAX: usize = 64;

/// Files of git longer than this are not read.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// At most so many commits are named in a plan.
const COMMITS_MAX: usize = 20;

/// Files and directories that git keeps while something is going on.
const IN_PROGRESS: [(&str, &str); 6] = [
    ("MERGE_HEAD", "merge"),
    ("rebase-merge/head-name", "rebase"),
    ("rebase-apply/next", "rebase"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("BISECT_LOG", "bisect"),
];

/// The repositories whose `.git` a scan left out.
pub fn of(open: &Open, coverage: &Coverage) -> Vec<Repository> {
    let skipped = coverage.skips.iter().filter(|skip| skip.path.name() == b".git");
    skipped.filter_map(|skip| repository(open, &skip.path)).take(REPOSITORIES_MAX).collect()
}

fn repository(open: &Open, git: &TreePath) -> Option<Repository> {
    let head = text(open, git, "HEAD")?;
    let branch = head.trim().strip_prefix("ref: ").map(str::to_owned);
    let commit = match &branch {
        Some(branch) => text(open, git, branch).or_else(|| packed(open, git, branch)),
        None => Some(head),
    };
    let in_progress = IN_PROGRESS.iter().filter(|(file, _)| text(open, git, file).is_some());
    let mut in_progress: Vec<String> = in_progress.map(|(_, name)| (*name).to_owned()).collect();
    in_progress.dedup();
    let commit = commit.map(|commit| commit.trim().to_owned()).filter(|commit| is_commit(commit));
    Some(Repository { path: git.parent().unwrap_or_default(), branch, commit, in_progress })
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A file of git below the workspace, reached without following a link.
fn text(open: &Open, git: &TreePath, name: &str) -> Option<String> {
    // A name out of the repository itself may be anything.
    let path = TreePath::from_bytes(&[git.as_bytes(), b"/", name.as_bytes()].concat()).ok()?;
    String::from_utf8(read_file(open, &path, FILE_BYTES_MAX).ok()??).ok()
}

/// A ref out of `packed-refs`: lines of a commit, a space and the ref's name.
fn packed(open: &Open, git: &TreePath, name: &str) -> Option<String> {
    let refs = text(open, git, "packed-refs")?;
    refs.lines().find_map(|line| line.split_once(' ').filter(|(_, found)| *found == name)).map(|(id, _)| id.to_owned())
}

/// The repositories whose HEAD moved since a checkpoint, with the commits made since as the reflog has them.
pub fn moved(open: &Open, then: &[Repository]) -> Vec<MovedHead> {
    let moved = then.iter().filter_map(|before| {
        let git = before.path.join(b".git");
        let now = repository(open, &git)?;
        if now.commit == before.commit && now.branch == before.branch {
            return None;
        }
        let commits = before.commit.as_deref().map(|commit| commits_since(open, &git, commit)).unwrap_or_default();
        Some(MovedHead {
            path: before.path.clone(),
            command: command(before),
            before: place(before),
            now: place(&now),
            commits,
        })
    });
    moved.collect()
}

fn place(repository: &Repository) -> String {
    let branch = repository.branch.as_deref().map_or("detached", |name| name.trim_start_matches("refs/heads/"));
    format!("{branch} at {}", repository.commit.as_deref().unwrap_or("no commit"))
}

/// What would move HEAD back, for a person to run: `wfr` never writes in `.git`.
fn command(before: &Repository) -> Option<String> {
    let dir = if before.path.is_root() { ".".to_owned() } else { before.path.to_string() };
    let (dir, commit) = (quoted(&dir), before.commit.as_deref()?);
    Some(match before.branch.as_deref() {
        Some(branch) => {
            format!("git -C {dir} symbolic-ref HEAD {} && git -C {dir} reset --soft {commit}", quoted(branch))
        }
        None => format!("git -C {dir} update-ref --no-deref HEAD {commit}"),
    })
}

/// A word for the shell, whatever is in it.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Titles of the commits in the reflog behind the newest line that leads to `commit`.
fn commits_since(open: &Open, git: &TreePath, commit: &str) -> Vec<String> {
    let Some(log) = text(open, git, "logs/HEAD") else { return vec![] };
    let lines: Vec<(&str, &str, &str)> = log.lines().filter_map(reflog_line).collect();
    let start = lines.iter().rposition(|(_, new, _)| *new == commit).map_or(0, |at| at + 1);
    let made = lines[start..].iter().filter(|(_, _, message)| message.starts_with("commit"));
    made.take(COMMITS_MAX).map(|(_, new, message)| format!("{} {message}", &new[..new.len().min(12)])).collect()
}

/// Old commit, new commit and message of a line: `OLD NEW NAME <MAIL> TIME ZONE\tMESSAGE`.
fn reflog_line(line: &str) -> Option<(&str, &str, &str)> {
    let (head, message) = line.split_once('\t')?;
    let mut words = head.split(' ');
    Some((words.next()?, words.next()?, message))
}
