//! Looking at one entry of a directory.
//!
//! Owns whether the cache still speaks for it, and what it is if not. Refuses to know the directory's other entries.

use std::ffi::CStr;

use rustix::buffer::spare_capacity;
use rustix::fs::FileType;
use rustix::io::Errno;
use wfr_model::coverage::SkipReason;

use super::ScanError;
use super::found::{Linked, Skipped};
use super::listing::{Cached, Fresh, Kind, OMITTED, RACY, WRITER, copy_with_flags};
use super::read::{self, Captured, Outcome};
use super::stat::{self, Stat};
use super::task::{Known, Subdir, Task};
use super::touched::Touch;
use super::walk::{Folder, Worker};

/// The longest target of a symbolic link, in bytes (Linux `PATH_MAX`).
const TARGET_BYTES_MAX: usize = 4_096;

/// How often a link that changes while it is read is tried.
const TRIES: u32 = 3;

impl<'s> Worker<'s> {
    /// Notes that an entry is not part of the tree.
    fn skip(&mut self, folder: &Folder<'_>, name: &CStr, reason: SkipReason, bytes: Option<u64>) {
        self.skip_for(folder, name, reason, bytes, None);
    }

    fn skip_for(
        &mut self,
        folder: &Folder<'_>,
        name: &CStr,
        reason: SkipReason,
        bytes: Option<u64>,
        error: Option<Errno>,
    ) {
        let detail = error.map(|error| error.to_string());
        self.found.skips.push(Skipped { dir: folder.number, name: Some(name.to_owned()), reason, bytes, detail });
    }

    /// Leaves an entry out for its name.
    pub(super) fn leave_out(
        &mut self,
        folder: &mut Folder<'_>,
        name: &CStr,
        reason: SkipReason,
        cached: Option<&Cached<'_>>,
    ) {
        self.skip(folder, name, reason, None);
        let kind = if reason == SkipReason::Excluded { Kind::Excluded } else { Kind::Own };
        self.put(folder, cached, &Fresh::omitted(name, kind));
    }

    /// Takes a directory down for later.
    pub(super) fn subdir(
        &mut self,
        task: &Task<'s>,
        folder: &mut Folder<'_>,
        name: &CStr,
        cached: Option<&Cached<'_>>,
    ) {
        let rules = self.shared.options.rules;
        let (bytes, cached_dir) = (name.to_bytes(), cached.filter(|cached| cached.kind == Kind::Dir));
        let touch = task.touch.below(bytes, cached);
        let settled = cached.filter(|cached| matches!(touch, Touch::Nothing) && self.shared.sink.has(&cached.id()));
        self.subdirs.push(Subdir {
            name: name.to_owned(),
            known: cached_dir.map(Known::of),
            is_kept: task.kept.holds(rules, bytes),
            kept: task.kept.below(rules, bytes),
            touch,
            settled: settled.and_then(Cached::sum),
        });
        match cached_dir {
            Some(cached) => folder.keep(cached),
            // What it is will be filled in when it was visited.
            None => self.put(folder, cached, &Fresh::omitted(name, Kind::Dir)),
        }
    }

    /// Looks at an entry that is probably no directory.
    pub(super) fn entry(
        &mut self,
        task: &Task<'s>,
        folder: &mut Folder<'_>,
        name: &CStr,
        cached: Option<&Cached<'_>>,
    ) -> Result<(), ScanError> {
        if self.shared.is_late() {
            self.postpone(folder, name, cached);
            return Ok(());
        }
        let stat = match stat::at(folder.fd, name, folder.mount.is_remote) {
            Ok(stat) => stat,
            Err(error) => return self.refused(folder, name, cached, error),
        };
        let too_large = stat.kind() == FileType::RegularFile && self.shared.options.rules.is_too_large(stat.size);
        match cached {
            Some(cached) if !too_large && self.speaks_for(folder, cached, &stat) => {
                if cached.is_included() {
                    folder.keep(cached);
                } else {
                    self.entry.clear();
                    copy_with_flags(cached, 0, OMITTED, &mut self.entry);
                    folder.replace(Some(cached), &self.entry);
                }
                self.count(folder, name, &stat);
                Ok(())
            }
            _ => self.renew(task, folder, name, cached, stat),
        }
    }

    /// Whether the cache knows what stands there, and the store holds it.
    fn speaks_for(&self, folder: &Folder<'_>, cached: &Cached<'_>, stat: &Stat) -> bool {
        if cached.flags & RACY != 0 || !cached.is_same(stat, self.shared.root_dev) {
            return false;
        }
        if cached.kind != Kind::File || (folder.is_held && cached.is_included()) {
            return true;
        }
        let content = cached.content();
        self.shared.sink.has(&content.chunks.unwrap_or(content.hash))
    }

    /// Counts an entry that is part of the tree.
    fn count(&mut self, folder: &Folder<'_>, name: &CStr, stat: &Stat) {
        self.found.counts.files += 1;
        match stat.kind() {
            FileType::RegularFile => {
                self.found.counts.bytes += stat.size;
                if stat.nlink > 1 {
                    let (dev, ino, name) = (stat.dev, stat.ino, name.to_owned());
                    self.found.linked.push(Linked { dev, ino, dir: folder.number, name });
                }
            }
            // That it is there is recorded, and all that there is: nothing brings it back.
            FileType::Fifo | FileType::Socket => self.skip(folder, name, SkipReason::SpecialFile, Some(0)),
            _ => {}
        }
    }

    /// Takes over what the cache knows of a file or link that nothing has touched.
    pub(super) fn take_over(&mut self, folder: &mut Folder<'_>, cached: &Cached<'_>) {
        folder.keep(cached);
        self.found.counts.files += 1;
        self.found.counts.bytes += cached.bytes();
    }

    /// Leaves an entry for the next scan, with what the cache knew of it.
    fn postpone(&mut self, folder: &mut Folder<'_>, name: &CStr, cached: Option<&Cached<'_>>) {
        self.skip(folder, name, SkipReason::Deadline, None);
        match cached {
            Some(cached) if matches!(cached.kind, Kind::File | Kind::Symlink | Kind::Fifo | Kind::Socket) => {
                self.entry.clear();
                copy_with_flags(cached, OMITTED, 0, &mut self.entry);
                folder.replace(Some(cached), &self.entry);
            }
            _ => self.put(folder, cached, &Fresh::omitted(name, Kind::Unknown)),
        }
    }

    /// The next cached entry is now this one.
    fn put(&mut self, folder: &mut Folder<'_>, cached: Option<&Cached<'_>>, fresh: &Fresh<'_>) {
        self.entry.clear();
        fresh.encode(&mut self.entry);
        folder.replace(cached, &self.entry);
    }

    fn refused(
        &mut self,
        folder: &mut Folder<'_>,
        name: &CStr,
        cached: Option<&Cached<'_>>,
        error: Errno,
    ) -> Result<(), ScanError> {
        if error == Errno::NOENT {
            folder.replace(cached, &[]);
            return Ok(());
        }
        if let Some(error) = ScanError::of_process(error) {
            return Err(error);
        }
        self.skip_for(folder, name, SkipReason::Unreadable, single_size(folder, name), Some(error));
        self.put(folder, cached, &Fresh::omitted(name, Kind::Unknown));
        Ok(())
    }

    fn changed_while_read(&mut self, folder: &mut Folder<'_>, name: &CStr, cached: Option<&Cached<'_>>) {
        self.skip(folder, name, SkipReason::ChangedWhileRead, single_size(folder, name));
        self.put(folder, cached, &Fresh::omitted(name, Kind::Unknown));
    }

    /// Finds out what an entry is.
    fn renew(
        &mut self,
        task: &Task<'s>,
        folder: &mut Folder<'_>,
        name: &CStr,
        cached: Option<&Cached<'_>>,
        stat: Stat,
    ) -> Result<(), ScanError> {
        let kind = match stat.kind() {
            FileType::Directory => {
                self.subdir(task, folder, name, cached);
                return Ok(());
            }
            FileType::RegularFile => return self.renew_file(folder, name, cached),
            FileType::Symlink => return self.renew_link(folder, name, cached, stat),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            _ => {
                self.skip(folder, name, SkipReason::SpecialFile, Some(0));
                self.put(folder, cached, &Fresh::omitted(name, Kind::Device));
                return Ok(());
            }
        };
        self.count(folder, name, &stat);
        let flags = if folder.mount.is_racy(&stat) { RACY } else { 0 };
        self.put(folder, cached, &Fresh { flags, ..Fresh::of(name, kind, &stat, self.shared.root_dev) });
        Ok(())
    }

    fn renew_file(
        &mut self,
        folder: &mut Folder<'_>,
        name: &CStr,
        cached: Option<&Cached<'_>>,
    ) -> Result<(), ScanError> {
        if !self.read_file(folder, name, cached)? {
            self.changed_while_read(folder, name, cached);
        }
        Ok(())
    }

    /// Reads an entry that should be a regular file; `false` where it is none.
    pub(super) fn read_file(
        &mut self,
        folder: &mut Folder<'_>,
        name: &CStr,
        cached: Option<&Cached<'_>>,
    ) -> Result<bool, ScanError> {
        if self.shared.check_late() {
            self.postpone(folder, name, cached);
            return Ok(true);
        }
        let had_writer = cached.is_some_and(|cached| cached.flags & WRITER != 0);
        match read::file(self.shared, folder.fd, name, &folder.mount, had_writer, &mut self.buffers)? {
            Outcome::Read(captured) => self.captured(folder, name, cached, &captured),
            Outcome::Gone => folder.replace(cached, &[]),
            Outcome::Changed => self.changed_while_read(folder, name, cached),
            Outcome::Other => return Ok(false),
            Outcome::TooLarge(size) => {
                self.skip(folder, name, SkipReason::Quota, Some(size));
                self.put(folder, cached, &Fresh::omitted(name, Kind::Unknown));
            }
            Outcome::Refused(error) => self.refused(folder, name, cached, error)?,
            Outcome::Late => self.postpone(folder, name, cached),
        }
        Ok(true)
    }

    fn captured(&mut self, folder: &mut Folder<'_>, name: &CStr, cached: Option<&Cached<'_>>, captured: &Captured) {
        let stat = &captured.stat;
        if stat.nlink > 1 && cached.is_none_or(|cached| cached.nlink() != stat.nlink) {
            self.shared.want_all();
        }
        self.found.read.files += 1;
        self.found.read.bytes += stat.size;
        self.count(folder, name, stat);
        let mut flags = if folder.mount.is_racy(stat) { RACY } else { 0 };
        if captured.has_writer {
            flags |= RACY | WRITER;
        }
        let of = Fresh::of(name, Kind::File, stat, self.shared.root_dev);
        let (id, chunks) = (captured.content.hash, captured.content.chunks);
        self.put(folder, cached, &Fresh { flags, id, chunks, rest: &captured.xattrs, ..of });
    }

    fn renew_link(
        &mut self,
        folder: &mut Folder<'_>,
        name: &CStr,
        cached: Option<&Cached<'_>>,
        mut stat: Stat,
    ) -> Result<(), ScanError> {
        for _ in 0..TRIES {
            let mut target = Vec::with_capacity(TARGET_BYTES_MAX + 1);
            let after = rustix::fs::readlinkat_raw(folder.fd, name, spare_capacity(&mut target))
                .and_then(|_| stat::at(folder.fd, name, folder.mount.is_remote));
            match after {
                Ok(after) if after == stat => return self.link(folder, name, cached, &stat, &target),
                Ok(after) if after.kind() == FileType::Symlink => stat = after,
                Ok(_) | Err(Errno::INVAL) => break,
                Err(error) => return self.refused(folder, name, cached, error),
            }
        }
        self.changed_while_read(folder, name, cached);
        Ok(())
    }

    fn link(
        &mut self,
        folder: &mut Folder<'_>,
        name: &CStr,
        cached: Option<&Cached<'_>>,
        stat: &Stat,
        target: &[u8],
    ) -> Result<(), ScanError> {
        if target.is_empty() || target.len() > TARGET_BYTES_MAX {
            return self.refused(folder, name, cached, Errno::NAMETOOLONG);
        }
        self.count(folder, name, stat);
        let flags = if folder.mount.is_racy(stat) { RACY } else { 0 };
        let of = Fresh::of(name, Kind::Symlink, stat, self.shared.root_dev);
        self.put(folder, cached, &Fresh { flags, rest: target, ..of });
        Ok(())
    }
}

/// The size of an entry that is no directory; `None` where it is one, or the system does not say.
fn single_size(folder: &Folder<'_>, name: &CStr) -> Option<u64> {
    let stat = stat::at(folder.fd, name, false).ok()?;
    (stat.kind() != FileType::Directory).then_some(stat.size)
}
