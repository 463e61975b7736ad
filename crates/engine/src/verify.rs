//! Checking that a checkpoint's objects are there and whole, and taking damaged ones back from files that still have
//! their content.
//!
//! Owns the three levels. Refuses to restore anything.

use std::collections::HashSet;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use wfr_catalog::{ChainLink, CheckpointRow, NewCheckpoint};
use wfr_model::checkpoint::{Manifest, VerificationStatus};
use wfr_model::entry::{Content, Entry, Node};
use wfr_model::plan::{Action, Step};
use wfr_model::{CheckpointId, Digest, Timestamp, TreePath};
use wfr_store::object::hash;
use wfr_store::reach::{self, Seen};
use wfr_store::tree::Part;
use wfr_store::{ObjectKind, Objects, ReadError, Store, content, tree};

use crate::checkpoint::HEAD_CONTEXT;
use crate::error::{Code, Failure};
use crate::open::Open;
use crate::params::ValidationLevel as Level;
use crate::results::{Damage, Fault, Verdict};
use crate::session::Session;
use crate::state;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Objects looked at.
    pub objects: u64,
    /// Objects read to the last byte.
    pub read: u64,
    /// What is damaged.
    pub damages: Vec<Damage>,
    /// Bytes of their plaintext.
    pub bytes: u64,
    /// Whether the manifest names the hash of the one before; skipped where that one is lost.
    pub chain: Verdict,
    /// The first checkpoint whose manifest the chain lacks: nothing is known past it, and nothing contradicts.
    pub gap: Option<CheckpointId>,
    /// Whether the catalog says other than the manifest does: what it names may be another checkpoint's.
    pub is_forged: bool,
}

impl Report {
    /// Whether it can be restored as it was taken.
    pub fn is_whole(&self) -> bool {
        self.damages.is_empty() && !self.is_forged
    }

    /// The verdict.
    pub fn status(&self) -> VerificationStatus {
        if !self.damages.is_empty() {
            return VerificationStatus::Corrupted;
        }
        if self.chain == Verdict::Failed { VerificationStatus::Invalid } else { VerificationStatus::Valid }
    }
}

/// Takes down what a check of a checkpoint found, and returns what holds of it from now on. Damage that is known stays known
/// until every byte was read: a check that looks at less may pass by what a deeper one found.
pub fn note(
    open: &Open,
    row: &CheckpointRow,
    (report, level): (&Report, Level),
    now: Timestamp,
) -> Result<VerificationStatus, Failure> {
    let found = report.status();
    if found == VerificationStatus::Valid && level != Level::Comprehensive && row.is_damaged() {
        return Ok(row.verification);
    }
    open.catalog.set_verification(&row.checkpoint_id, found, now)?;
    Ok(found)
}

/// One content in so many is read at the standard level.
const SAMPLE: u64 = 64;

/// So many parts of trees are read in one go, which bounds what of them is in memory.
const PARTS_MAX: usize = 256;

/// A blob that something needs: of which length, and in which part of a tree.
type Needed = (Digest, u64, usize);

struct Checker<'c> {
    store: &'c Store,
    level: Level,
    seen: Seen,
    report: Report,
    session: &'c Session,
    deadline: Option<Instant>,
}

/// Checks a checkpoint. Damage is in the report; an error means that the check itself could not go on.
pub fn verify(
    open: &Open,
    store: &Store,
    row: &CheckpointRow,
    level: Level,
    session: &Session,
) -> Result<Report, Failure> {
    verify_until(open, store, row, (level, None), session)
}

/// The same with a moment at which it ends with an error.
pub fn verify_until(
    open: &Open,
    store: &Store,
    row: &CheckpointRow,
    (level, deadline): (Level, Option<Instant>),
    session: &Session,
) -> Result<Report, Failure> {
    let report = Report::default();
    let mut checker = Checker { store, level, seen: Seen::new(), report, session, deadline };
    checker.check(ObjectKind::Manifest, &row.manifest, &TreePath::ROOT)?;
    checker.report.is_forged = is_forged(store, row);
    if checker.report.is_forged {
        checker.report.chain = Verdict::Failed;
    } else {
        (checker.report.chain, checker.report.gap) = chain(open, store, row, level)?;
    }
    for (kind, id) in [(ObjectKind::Coverage, row.coverage), (ObjectKind::Links, row.hard_links)] {
        if let Some(id) = id {
            checker.check(kind, &id, &TreePath::ROOT)?;
        }
    }
    if let Some(state) = row.state {
        checker.state(state, level)?;
    }
    match (row.tree, level) {
        (None, _) => {}
        (Some(root), Level::Basic) => checker.check(ObjectKind::Tree, &root, &TreePath::ROOT)?,
        (Some(root), _) => checker.tree(root)?,
    }
    Ok(checker.report)
}

impl Checker<'_> {
    /// Reads an object.
    fn check(&mut self, kind: ObjectKind, id: &Digest, path: &TreePath) -> Result<(), Failure> {
        self.check_interrupt()?;
        if !self.seen.insert((kind, *id)) {
            return Ok(());
        }
        self.report.objects += 1;
        self.report.read += 1;
        let found = self.store.get(kind, id).map(|bytes| {
            self.report.bytes += bytes.len() as u64;
            self.session.meter.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        });
        self.note(kind, id, path, found)
    }

    /// Reads a state: at the basic level its root only.
    fn state(&mut self, root: Digest, level: Level) -> Result<(), Failure> {
        let (mut waiting, noted) = (vec![root], self.report.damages.len());
        while let Some(id) = waiting.pop() {
            if self.seen.contains(&(ObjectKind::State, id)) {
                continue;
            }
            self.check(ObjectKind::State, &id, &TreePath::ROOT)?;
            if level == Level::Basic {
                continue;
            }
            // What cannot be read has been noted.
            let Ok(bytes) = self.store.get(ObjectKind::State, &id) else { continue };
            match reach::children(ObjectKind::State, &id, &bytes) {
                Ok(below) => waiting.extend(below.into_iter().map(|(_, child)| child)),
                Err(error) => self.note(ObjectKind::State, &id, &TreePath::ROOT, Err(error))?,
            }
        }
        // Objects that are as they were written may hold what is no state.
        let is_sound = self.report.damages.len() == noted;
        if !is_sound || level != Level::Comprehensive {
            return Ok(());
        }
        let read = state::read(self.store, &root).map(drop);
        self.note(ObjectKind::State, &root, &TreePath::ROOT, read)
    }

    fn note(
        &mut self,
        kind: ObjectKind,
        id: &Digest,
        path: &TreePath,
        found: Result<(), ReadError>,
    ) -> Result<(), Failure> {
        match found {
            Ok(()) => Ok(()),
            Err(error @ ReadError::Io { .. }) if !is_medium_error(&error) => Err(error.into()),
            Err(error) => {
                let kind = format!("{kind:?}").to_lowercase();
                let (fault, message) = (fault(&error), error.to_string());
                let damage = Damage { object: *id, path: path.clone(), kind, fault, message, repaired: false };
                self.report.damages.push(damage);
                Ok(())
            }
        }
    }

    /// Walks a tree, each part of it read once, some at a time by several threads. Then its blobs are looked at.
    fn tree(&mut self, root: Digest) -> Result<(), Failure> {
        let mut waiting = vec![(TreePath::ROOT, root)];
        let (mut parts, mut blobs) = (Vec::new(), Vec::new());
        while !waiting.is_empty() {
            let mut next = waiting.split_off(waiting.len().saturating_sub(PARTS_MAX));
            next.retain(|(_, id)| self.seen.insert((ObjectKind::Tree, *id)));
            self.check_interrupt()?;
            self.report.objects += next.len() as u64;
            self.report.read += next.len() as u64;
            let store = self.store;
            let read = in_parallel(self.session.threads, &next, |(_, id)| read_part(store, id));
            for ((path, id), part) in next.into_iter().zip(read) {
                match part {
                    Ok(Part::Branch(_, below)) => {
                        waiting.extend(below.into_iter().map(|(part, _)| (path.clone(), part)));
                    }
                    Ok(Part::Leaf(entries)) => {
                        self.entries(&path, &entries, parts.len(), &mut blobs, &mut waiting)?;
                        parts.push((path, id));
                    }
                    Err(error) => self.note(ObjectKind::Tree, &id, &path, Err(error))?,
                }
            }
        }
        self.blobs(&parts, blobs)?;
        self.report.damages.sort_by(|a, b| (&a.path, &a.object).cmp(&(&b.path, &b.object)));
        Ok(())
    }

    fn entries(
        &mut self,
        path: &TreePath,
        entries: &[Entry],
        part: usize,
        blobs: &mut Vec<Needed>,
        waiting: &mut Vec<(TreePath, Digest)>,
    ) -> Result<(), Failure> {
        for entry in entries {
            match &entry.node {
                Node::Dir(below) => waiting.push((path.join(&entry.name), *below)),
                Node::File(Content { hash, chunks: None, size }) => blobs.push((*hash, *size, part)),
                Node::File(found) => {
                    let Some(list) = &found.chunks else { continue };
                    let place = path.join(&entry.name);
                    self.check(ObjectKind::Chunks, list, &place)?;
                    match content::chunks(self.store, found) {
                        Ok(chunks) => blobs.extend(chunks.into_iter().map(|(id, length)| (id, length, part))),
                        Err(error @ ReadError::Malformed { .. }) => {
                            self.note(ObjectKind::Chunks, list, &place, Err(error))?;
                        }
                        // It has been noted.
                        Err(_) => {}
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads those blobs whose turn it is, in the order in which they were met, and looks whether the others are there.
    /// Each comes with the number of the part that it was met in.
    fn blobs(&mut self, parts: &[(TreePath, Digest)], mut blobs: Vec<Needed>) -> Result<(), Failure> {
        blobs.sort_unstable();
        blobs.dedup_by_key(|(id, length, _)| (*id, *length));
        self.report.objects += blobs.len() as u64;
        let level = self.level;
        let (mut read, held): (Vec<_>, Vec<_>) = blobs.into_iter().partition(|(id, ..)| is_read(id, level));
        read.sort_by_key(|(_, _, part)| *part);
        self.report.read += read.len() as u64;
        let ids: Vec<Digest> = held.iter().map(|(id, ..)| *id).collect();
        for at in self.store.absent(&ids) {
            let (id, _, part) = held[at];
            self.note(ObjectKind::Blob, &id, &self.path_of(&parts[part], &id), Err(ReadError::Missing(id)))?;
        }
        let (store, session, deadline) = (self.store, self.session, self.deadline);
        session.meter.objects.0.store(0, Ordering::Relaxed);
        session.meter.objects.1.store(read.len(), Ordering::Relaxed);
        let bytes = in_parallel(session.threads, &read, |(id, ..)| {
            if session.abort.load(Ordering::Relaxed) || is_over(deadline) {
                return Ok(0);
            }
            let bytes = store.get(ObjectKind::Blob, id)?.len() as u64;
            session.meter.bytes.fetch_add(bytes, Ordering::Relaxed);
            session.meter.objects.0.fetch_add(1, Ordering::Relaxed);
            Ok(bytes)
        });
        self.check_interrupt()?;
        for ((id, length, part), bytes) in read.iter().zip(bytes) {
            let bytes =
                bytes.and_then(|bytes| if bytes == *length { Ok(bytes) } else { Err(of_length(id, bytes, *length)) });
            match bytes {
                Ok(bytes) => self.report.bytes += bytes,
                Err(error) => self.note(ObjectKind::Blob, id, &self.path_of(&parts[*part], id), Err(error))?,
            }
        }
        Ok(())
    }

    /// A path in a part of a tree whose content needs a blob.
    fn path_of(&self, (dir, part): &(TreePath, Digest), blob: &Digest) -> TreePath {
        let needs = |found: &Content| match found.chunks {
            None => found.hash == *blob,
            Some(_) => content::chunks(self.store, found).is_ok_and(|all| all.iter().any(|(id, _)| id == blob)),
        };
        let Ok(Part::Leaf(entries)) = read_part(self.store, part) else { return dir.clone() };
        let named = entries.iter().find(|entry| matches!(&entry.node, Node::File(found) if needs(found)));
        named.map_or_else(|| dir.clone(), |entry| dir.join(&entry.name))
    }

    fn check_interrupt(&self) -> Result<(), Failure> {
        if self.session.abort.load(Ordering::Relaxed) {
            return Err(Failure::new(Code::Interrupted, "the validation was interrupted"));
        }
        if is_over(self.deadline) {
            return Err(Failure::new(Code::TimeLimit, "the validation's time was over before all was looked at"));
        }
        Ok(())
    }
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

fn fault(error: &ReadError) -> Fault {
    match error {
        ReadError::Missing(_) => Fault::Missing,
        ReadError::Malformed { .. } => Fault::Malformed,
        ReadError::Damaged { .. } | ReadError::Io { .. } => Fault::Altered,
    }
}

fn of_length(id: &Digest, bytes: u64, length: u64) -> ReadError {
    let why = format!("it has {bytes} bytes, and what needs it says {length}");
    ReadError::Malformed { id: *id, what: "content", why }
}

/// Whether a blob is read, or only looked for.
fn is_read(id: &Digest, level: Level) -> bool {
    level == Level::Comprehensive || u64::from(id.0[0]).is_multiple_of(SAMPLE)
}

fn read_part(store: &Store, id: &Digest) -> Result<Part, ReadError> {
    let bytes = store.get(ObjectKind::Tree, id)?;
    let malformed = |why: String| ReadError::Malformed { id: *id, what: "tree", why };
    tree::decode(&bytes).map_err(|error| malformed(error.to_string()))
}

/// What a function gives for each item, in their order, computed by several threads.
fn in_parallel<T: Sync, R: Send>(threads: usize, items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, each(item)));
        }
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(items.len())).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Whether the catalog says other than a checkpoint's manifest, where that can be read.
fn is_forged(store: &Store, row: &CheckpointRow) -> bool {
    contradictions(store, row).is_some_and(|fields| !fields.is_empty())
}

/// The fields of which the catalog says other than a checkpoint's manifest does; `None` where that cannot be read.
pub fn contradictions(store: &Store, row: &CheckpointRow) -> Option<Vec<&'static str>> {
    let manifest = manifest_at(store, &row.manifest)?;
    Some(row.differences(&NewCheckpoint::of(&manifest, row.manifest)))
}

/// Whether a checkpoint's manifest follows the manifest that it names, and the chain's head is the one that was
/// authenticated. The comprehensive level follows the chain from its beginning. A manifest that is lost contradicts
/// nothing: the checkpoints after it can be whole.
fn chain(
    open: &Open,
    store: &Store,
    row: &CheckpointRow,
    level: Level,
) -> Result<(Verdict, Option<CheckpointId>), Failure> {
    let Some(manifest) = manifest_at(store, &row.manifest) else { return Ok((Verdict::Skipped, None)) };
    let mut gap = None;
    if let Some(before) = manifest.integrity.predecessor.filter(|_| !row.recovered) {
        match manifest_at(store, &before.manifest_hash) {
            Some(found) if found.checkpoint_id == before.checkpoint_id => {}
            Some(_) => return Ok((Verdict::Failed, None)),
            None => gap = Some(before.checkpoint_id),
        }
    }
    let is_consistent = level != Level::Comprehensive || is_chain_consistent(open, store, &mut gap)?;
    if !is_consistent || !is_head_authentic(open)? {
        return Ok((Verdict::Failed, None));
    }
    Ok((if gap.is_some() { Verdict::Skipped } else { Verdict::Passed }, gap))
}

fn manifest_at(store: &Store, id: &Digest) -> Option<Manifest> {
    wfr_model::json::stored(&store.get(ObjectKind::Manifest, id).ok()?).ok()
}

/// Whether every manifest that is there names the one before it in the catalog's order by its hash; the first that is
/// lost is the gap. Those that an import or a rebuild brought need not: their place is not proved.
fn is_chain_consistent(open: &Open, store: &Store, gap: &mut Option<CheckpointId>) -> Result<bool, Failure> {
    let mut before: Option<ChainLink> = None;
    let mut imported = HashSet::new();
    for link in open.catalog.chain()? {
        let expected = before.as_ref().map(|before| (before.checkpoint_id.clone(), before.manifest));
        match manifest_at(store, &link.manifest) {
            None => drop(gap.get_or_insert_with(|| link.checkpoint_id.clone())),
            Some(manifest) if manifest.checkpoint_id != link.checkpoint_id => return Ok(false),
            Some(manifest) => {
                let named = manifest.integrity.predecessor.map(|named| (named.checkpoint_id, named.manifest_hash));
                // The first one here may have followed one that was imported before it.
                let follows = named == expected || expected.is_none() && imported.contains(&named);
                if !link.recovered && !follows {
                    return Ok(false);
                }
            }
        }
        if link.is_imported() {
            imported.insert(Some((link.checkpoint_id, link.manifest)));
        } else {
            before = Some(link);
        }
    }
    Ok(true)
}

/// Whether the head carries the tag that only a holder of the key can make. Without encryption there is none.
fn is_head_authentic(open: &Open) -> Result<bool, Failure> {
    let (Some(cipher), Some(head)) = (open.cipher(), open.catalog.head()?) else { return Ok(true) };
    let is_recovered = open.catalog.checkpoint(&head.checkpoint_id)?.is_some_and(|row| row.recovered);
    Ok(match &head.tag {
        Some(tag) => cipher.tag_fits(HEAD_CONTEXT, &head.manifest.0, tag),
        None => is_recovered,
    })
}

/// Whether an I/O error speaks of the medium, and so of damage, rather than of this process.
fn is_medium_error(error: &ReadError) -> bool {
    // EIO, and ENOENT: the pack is gone.
    matches!(error, ReadError::Io { source, .. } if matches!(source.raw_os_error(), Some(5 | 2)))
}

/// Takes damaged blobs back from the workspace's files where these still have the content, in one go; returns which.
pub fn repair(open: &Open, damages: &[Damage]) -> Result<HashSet<Digest>, Failure> {
    if !damages.iter().any(|damage| damage.kind == "blob") {
        return Ok(HashSet::new());
    }
    let store = open.store_to_write()?;
    let writer = store.writer(open.coding(), None);
    let root = wfr_store::disk::open_dir(open.root())?;
    let mut repaired = HashSet::new();
    for damage in damages.iter().filter(|damage| damage.kind == "blob") {
        let Some(bytes) = read_beneath(&root, &damage.path) else { continue };
        // Only a file stored whole has its blob's id; a chunk of a larger one is not looked for here.
        if hash(&bytes) == damage.object {
            writer.put_again(ObjectKind::Blob, &damage.object, &bytes)?;
            repaired.insert(damage.object);
        }
    }
    if !repaired.is_empty() {
        let sealed = writer.finish()?;
        let extents: Vec<_> = sealed.extents().iter().map(|e| (e.pack.clone(), e.committed)).collect();
        open.catalog.replace_packs(&extents, &[])?;
        sealed.publish();
    }
    Ok(repaired)
}

/// Reads back the stored content of files that are about to be replaced or deleted: what is damaged is stored again from
/// the files themselves, which are its last good copies.
///
/// # Errors
///
/// Where that cannot be done for one of them; nothing has been changed then.
pub fn secure(open: &Open, store: &Store, session: &Session, steps: &[Step]) -> Result<(), Failure> {
    let goes = steps.iter().filter(|step| matches!(step.action, Action::Replace | Action::Delete));
    let mut blobs: Vec<(Digest, &TreePath)> = Vec::new();
    for step in goes {
        match step.before.as_ref().map(|entry| &entry.node) {
            Some(Node::File(Content { hash, chunks: None, .. })) => blobs.push((*hash, &step.path)),
            Some(Node::File(found)) => {
                let chunks = content::chunks(store, found).map_err(|error| unsecured(&step.path, &error))?;
                blobs.extend(chunks.into_iter().map(|(id, _)| (id, &step.path)));
            }
            _ => {}
        }
    }
    blobs.sort_unstable();
    blobs.dedup_by_key(|(id, _)| *id);
    let read = in_parallel(session.threads, &blobs, |(id, _)| match session.abort.load(Ordering::Relaxed) {
        true => Ok(()),
        false => store.get(ObjectKind::Blob, id).map(drop),
    });
    let damaged: Vec<(Damage, ReadError)> = blobs
        .iter()
        .zip(read)
        .filter_map(|((id, path), read)| {
            let error = read.err()?;
            let (kind, fault, message) = ("blob".to_owned(), fault(&error), error.to_string());
            let damage = Damage { object: *id, path: (*path).clone(), kind, fault, message, repaired: false };
            Some((damage, error))
        })
        .collect();
    let (damages, errors): (Vec<Damage>, Vec<ReadError>) = damaged.into_iter().unzip();
    let repaired = repair(open, &damages)?;
    match damages.iter().zip(&errors).find(|(damage, _)| !repaired.contains(&damage.object)) {
        Some((damage, error)) => Err(unsecured(&damage.path, error)),
        None => Ok(()),
    }
}

fn unsecured(path: &TreePath, error: &ReadError) -> Failure {
    let message = format!("`{path}` would go, and its stored copy is damaged: nothing was changed");
    Failure::new(Code::CheckpointIntegrity, message)
        .with_details(error.to_string())
        .with_hint("move the file out of the workspace, which keeps it, then try again")
}

fn read_beneath(root: &std::os::fd::OwnedFd, path: &TreePath) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let place = std::path::Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
    let file = wfr_store::disk::open_beneath(root, place, flags, rustix::fs::Mode::empty()).ok()?;
    let mut file = std::fs::File::from(file);
    let meta = file.metadata().ok()?;
    if !meta.is_file() || meta.len() > content::BLOB_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;
