//! Archives are written, read, cut, flipped, forged and failed.

use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use serde_json::json;
use wfr_model::entry::{Content, Entry, Meta, Node};
use zeroize::Zeroizing;

use std::collections::BTreeMap;

use super::*;
use crate::keys::Passphrase;
use crate::object::memory::Memory;
use crate::state;
use crate::{content, tree};

fn entry(name: &str, node: Node) -> Entry {
    Entry { name: name.as_bytes().to_vec(), meta: Meta::default(), node, xattrs: vec![] }
}

fn file(memory: &Memory, bytes: &[u8]) -> Content {
    let mut source = bytes;
    content::store(&mut source, bytes.len() as u64, memory, &mut Vec::new()).unwrap()
}

/// A checkpoint with small files, a directory and, if asked for, a file in chunks.
fn checkpoint(memory: &Memory, name: &str, with_large: bool) -> Roots {
    let mut entries = vec![entry("a", Node::File(file(memory, name.as_bytes())))];
    let inner = tree::write(memory, &[entry("x", Node::File(file(memory, b"shared")))]).unwrap();
    entries.push(entry("dir", Node::Dir(inner)));
    if with_large {
        let noise: Vec<u8> = (0u32..2_500_000).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect();
        entries.push(entry("large", Node::File(file(memory, &noise))));
    }
    entries.push(entry("link", Node::Symlink(b"a".to_vec())));
    Roots {
        manifest: Some(memory.put_new(ObjectKind::Manifest, format!("{{\"name\":\"{name}\"}}").as_bytes()).unwrap()),
        tree: Some(tree::write(memory, &entries).unwrap()),
        links: None,
        coverage: Some(memory.put_new(ObjectKind::Coverage, format!("cover {name}").as_bytes()).unwrap()),
        state: Some(state::write(memory, None, name.as_bytes(), &BTreeMap::from([((1, 7), b"[]".to_vec())])).unwrap()),
        seals: vec![],
    }
}

struct Case {
    dir: tempfile::TempDir,
    memory: Memory,
    roots: Vec<Roots>,
}

impl Case {
    fn new(with_large: bool) -> Self {
        let memory = Memory::default();
        let roots = vec![checkpoint(&memory, "one", with_large), checkpoint(&memory, "two", false)];
        Self { dir: tempfile::tempdir().unwrap(), memory, roots }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("state.wfr")
    }

    fn write(&self, recipients: Option<&Recipients>) -> Result<Summary, ArchiveError> {
        let options = WriteOptions { recipients, ..WriteOptions::default() };
        write(&self.memory, &self.roots, &json!({"workflow": "w"}), &self.path(), &options)
    }

    fn read(&self, unlock: Option<&Unlock>) -> Result<(Memory, Contents), ArchiveError> {
        let memory = Memory::default();
        let contents = read(&self.path(), &memory, &ReadOptions { unlock, abort: None })?;
        Ok((memory, contents))
    }

    fn assert_round_trip(&self, summary: &Summary, unlock: Option<&Unlock>) {
        let (memory, contents) = self.read(unlock).unwrap();
        assert_eq!(contents.checkpoints, self.roots);
        assert_eq!(contents.header, json!({"workflow": "w"}));
        assert_eq!((contents.objects, memory.len()), (summary.objects, self.memory.len()));
        let roots = self.roots.iter().flat_map(Roots::objects);
        let mut seen = Seen::new();
        reach::walk::<ReadError>(&memory, roots, &mut |kind, id| seen.insert((kind, *id)), &mut |kind, id, _| {
            assert_eq!(memory.get(kind, id)?, self.memory.get(kind, id)?);
            Ok(())
        })
        .unwrap();
        assert_eq!(verify(&self.path(), &ReadOptions { unlock, abort: None }).unwrap(), contents);
    }

    fn only_the_archive_is_there(&self) -> bool {
        self.dir.path().read_dir().unwrap().all(|found| found.unwrap().path() == self.path())
    }
}

#[test]
fn archives_round_trip() {
    let case = Case::new(true);
    let summary = case.write(None).unwrap();
    let bytes = std::fs::read(case.path()).unwrap();
    assert_eq!((summary.file_bytes, summary.file_hash), (bytes.len() as u64, crate::object::hash(&bytes)));
    case.assert_round_trip(&summary, None);
    assert!(case.only_the_archive_is_there());
}

#[test]
fn encrypted_archives_open_with_what_they_were_locked_for() {
    let identity = age::x25519::Identity::generate();
    let recipients = Recipients::Keys(vec![identity.to_public().to_string()]);
    let text = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    let unlock = Unlock::Identities(Zeroizing::new(text));
    let case = Case::new(true);
    let summary = case.write(Some(&recipients)).unwrap();
    assert_eq!(lock(&case.path()).unwrap(), Some(Lock::Identities));
    case.assert_round_trip(&summary, Some(&unlock));
    assert!(matches!(case.read(None), Err(ArchiveError::Encrypted)));
    let wrong = Unlock::Passphrase(Passphrase::new("x".to_owned()));
    assert!(matches!(case.read(Some(&wrong)), Err(ArchiveError::Unlock(UnlockError::NeedsIdentity))));
    let whole = std::fs::read(case.path()).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 50) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(case.path(), &changed).unwrap();
        assert!(case.read(Some(&unlock)).is_err(), "byte {at}");
        std::fs::write(case.path(), &whole[..at]).unwrap();
        assert!(case.read(Some(&unlock)).is_err(), "length {at}");
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let case = Case::new(false);
    case.write(None).unwrap();
    let whole = std::fs::read(case.path()).unwrap();
    // Changed in place: a file that is truncated and written anew costs a flush on some file systems.
    let file = std::fs::File::options().write(true).open(case.path()).unwrap();
    for bit in 0..whole.len() * 8 {
        let at = bit / 8;
        file.write_all_at(&[whole[at] ^ 1 << (bit % 8)], at as u64).unwrap();
        assert!(case.read(None).is_err(), "bit {bit}");
        file.write_all_at(&whole[at..=at], at as u64).unwrap();
    }
    assert!(case.read(None).is_ok());
    for length in (0..whole.len()).rev() {
        file.set_len(length as u64).unwrap();
        assert!(case.read(None).is_err(), "length {length}");
    }
    std::fs::write(case.path(), [&whole[..], b"x"].concat()).unwrap();
    assert!(matches!(case.read(None), Err(ArchiveError::Damaged { .. })));
}

/// An archive of these records, with a proper head and end.
fn forged(roots: Vec<Roots>, records: &[Vec<u8>], count: u64, plain_bytes: u64) -> Vec<u8> {
    let head = serde_json::to_vec(&Head { checkpoints: roots, header: Value::Null }).unwrap();
    let mut bytes = [&PREAMBLE[..], &(head.len() as u32).to_le_bytes(), &head].concat();
    records.iter().for_each(|record| bytes.extend_from_slice(record));
    bytes.extend_from_slice(&END);
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&plain_bytes.to_le_bytes());
    let digest = crate::object::hash(&bytes);
    bytes.extend_from_slice(&digest.0);
    bytes
}

#[test]
fn consistent_forgeries_are_refused() {
    let case = Case::new(false);
    let encode =
        |kind, bytes: &[u8]| record::encode(kind, &crate::object::hash(bytes), bytes, Coding::default(), None).unwrap();
    let blob = encode(ObjectKind::Blob, b"x");
    let mark = encode(ObjectKind::Import, b"{}");
    let bad_tree = encode(ObjectKind::Tree, b"junk");
    let lonely = tree::encode(&tree::Part::Leaf(vec![entry("d", Node::Dir(Digest([7; 32])))]));
    let roots = Roots { manifest: Some(Digest([1; 32])), ..Roots::default() };
    let other_id = record::encode(ObjectKind::Blob, &Digest([9; 32]), b"x", Coding::default(), None).unwrap();
    let refuse = |bytes: Vec<u8>| {
        std::fs::write(case.path(), bytes).unwrap();
        case.read(None).map(|(_, contents)| contents).unwrap_err()
    };
    assert!(matches!(refuse(forged(vec![], &[blob.clone(), blob.clone()], 2, 2)), ArchiveError::Damaged { .. }));
    assert!(matches!(refuse(forged(vec![], std::slice::from_ref(&blob), 2, 1)), ArchiveError::Damaged { .. }));
    assert!(matches!(refuse(forged(vec![], &[bad_tree], 1, 4)), ArchiveError::Damaged { .. }));
    assert!(matches!(refuse(forged(vec![], &[other_id], 1, 1)), ArchiveError::Damaged { .. }));
    assert!(matches!(refuse(forged(vec![], &[mark], 1, 2)), ArchiveError::Damaged { .. }));
    assert!(matches!(refuse(forged(vec![roots], &[blob], 1, 1)), ArchiveError::Incomplete { count: 1, .. }));
    let size = lonely.len() as u64;
    let lonely = encode(ObjectKind::Tree, &lonely);
    assert!(matches!(refuse(forged(vec![], &[lonely], 1, size)), ArchiveError::Incomplete { count: 1, .. }));
}

#[test]
fn what_is_no_archive_is_told_so() {
    let case = Case::new(false);
    for (bytes, version) in [(&b""[..], None), (b"PK\x03\x04 something else", None), (b"wfrarch\x03....", Some(3))] {
        std::fs::write(case.path(), bytes).unwrap();
        match (case.read(None).err(), version) {
            (Some(ArchiveError::NotAnArchive(_)), None) => {}
            (Some(ArchiveError::Version(found)), Some(expected)) => assert_eq!(found, expected),
            (other, _) => panic!("{other:?}"),
        }
    }
    let greedy = [&PREAMBLE[..], &u32::MAX.to_le_bytes()].concat();
    std::fs::write(case.path(), greedy).unwrap();
    assert!(matches!(case.read(None), Err(ArchiveError::Damaged { .. })));
}

#[test]
fn nothing_is_replaced_or_left_behind() {
    let case = Case::new(false);
    std::fs::write(case.path(), "precious").unwrap();
    assert!(matches!(case.write(None), Err(ArchiveError::Exists(_))));
    assert_eq!(std::fs::read(case.path()).unwrap(), b"precious");
    std::fs::remove_file(case.path()).unwrap();
    let abort = AtomicBool::new(true);
    let options = WriteOptions { abort: Some(&abort), ..WriteOptions::default() };
    let given_up = write(&case.memory, &case.roots, &Value::Null, &case.path(), &options);
    assert!(matches!(given_up, Err(ArchiveError::Interrupted)));
    let missing = Roots { tree: Some(Digest([3; 32])), ..Roots::default() };
    let failed = write(&case.memory, &[missing], &Value::Null, &case.path(), &WriteOptions::default());
    assert!(matches!(failed, Err(ArchiveError::Read(ReadError::Missing(_)))));
    assert_eq!(case.dir.path().read_dir().unwrap().count(), 0);
}

proptest! {
    #[test]
    fn junk_never_panics_and_never_passes(junk in prop::collection::vec(any::<u8>(), 0..300), head in any::<bool>()) {
        let case = Case::new(false);
        let start = if head { forged(vec![], &[], 0, 0) } else { PREAMBLE.to_vec() };
        let start = if head { start[..start.len() - 52].to_vec() } else { start };
        std::fs::write(case.path(), [start, junk].concat()).unwrap();
        prop_assert!(case.read(None).is_err());
    }
}
