//! A file of JSON lines.
//!
//! Owns that its lines are whole: a line that a crash or a full disk tore is taken off again where the item that it came
//! from, which has not been acknowledged, is written anew. What others left there stays. Refuses to write into anything but a regular file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::item::{Item, Refusal};

/// How far back a torn line is looked for, in bytes: more than the longest item.
const TORN_BYTES_MAX: u64 = 64 << 20;

/// A file that lines are appended to.
pub struct Lines {
    path: PathBuf,
    file: Option<File>,
}

impl Lines {
    /// The file at a path; it is opened when there is something to write.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Appends one line for each item and makes them durable; all of them, or none.
    pub fn deliver(&mut self, items: &[Item]) -> Result<(), Refusal> {
        self.append(items).map_err(|error| Refusal(format!("{}: {error}", self.path.display())))
    }

    fn append(&mut self, items: &[Item]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.path, items)?),
        };
        let before = file.metadata()?.len();
        let mut text = String::new();
        for item in items {
            text.push_str(&item.body);
            text.push('\n');
        }
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line must not stay where the next one will begin. After a failed flush the file is opened anew.
            let _ = file.set_len(before);
            self.file = None;
        }
        written
    }
}

/// Opens a file to append these to, alone, and mends its end.
fn open(path: &Path, items: &[Item]) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits();
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(flags.cast_signed());
    let mut file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file: use a command to write there"));
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, "another process writes into it"))?;
    if file.metadata()?.permissions().mode() & 0o222 == 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    mend(&mut file, items)?;
    Ok(file)
}

/// Ends the last line of a file: one that is the beginning of an item which is written now was torn, and goes; any other may be
/// somebody else's, and gets its line end.
fn mend(file: &mut File, items: &[Item]) -> io::Result<()> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TORN_BYTES_MAX);
    let Some(last) = length.checked_sub(1) else { return Ok(()) };
    let mut end = [0];
    file.seek(SeekFrom::Start(last))?;
    file.read_exact(&mut end)?;
    if end == *b"\n" {
        return Ok(());
    }
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    (&*file).take(TORN_BYTES_MAX).read_to_end(&mut tail)?;
    let begin = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = &tail[begin..];
    // What goes is written again in its place.
    let is_ours = items.iter().any(|item| item.body.as_bytes().starts_with(line)) && (begin > 0 || from == 0);
    if is_ours {
        return file.set_len(from + begin as u64);
    }
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wfr_model::Timestamp;

    fn item(id: &str) -> Item {
        let body = format!("{{\"event_id\":\"{id}\"}}");
        Item { id: id.to_owned(), name: "X".into(), workflow: None, at: Timestamp(0), body }
    }

    fn after(before: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        std::fs::write(&path, before).unwrap();
        Lines::new(path.clone()).deliver(&[item("a"), item("b")]).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn torn_lines_go_and_others_stay() {
        let two = "{\"event_id\":\"a\"}\n{\"event_id\":\"b\"}\n";
        assert_eq!(after(b""), two);
        assert_eq!(after(b"{\"event_id\":\"0\"}\n"), format!("{{\"event_id\":\"0\"}}\n{two}"));
        assert_eq!(after(b"{\"event_id\":\"0\"}\n{\"eve"), format!("{{\"event_id\":\"0\"}}\n{two}"));
        assert_eq!(after(b"{\"eve"), two);
        assert_eq!(after(b"{\"whole\":1}"), format!("{{\"whole\":1}}\n{two}"));
        assert_eq!(after(b"a note"), format!("a note\n{two}"));
        assert_eq!(after(b"{\"event_id\":\"a\"}\n{\"event_id\":\"b"), format!("{{\"event_id\":\"a\"}}\n{two}"));
        assert_eq!(after(b"{\"event_id\":\"a\"}"), two, "one that lacks its end alone");
        assert_eq!(after(b"{\"mine\": 1, \"unfin"), format!("{{\"mine\": 1, \"unfin\n{two}"));
    }

    #[test]
    fn a_full_disk_leaves_whole_lines() {
        // Every write to /dev/full fails as on a full disk, but it is no regular file.
        let refused = Lines::new("/dev/full".into()).deliver(&[item("a")]).unwrap_err();
        assert!(refused.0.contains("not a regular file"), "{refused}");
        let dir = tempfile::tempdir().unwrap();
        let refused = Lines::new(dir.path().join("no/such/dir")).deliver(&[item("a")]).unwrap_err();
        assert!(refused.0.contains("No such file"), "{refused}");
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(Lines::new(path).deliver(&[item("a")]).is_err());
    }
}
