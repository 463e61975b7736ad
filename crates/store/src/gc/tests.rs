//! Cleanup against sessions that begin and end at every step of it, against damage and against being stopped.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use wfr_model::entry::{Content, Entry, Meta, Node};
use zeroize::Zeroizing;

use super::leases::Lease;
use super::run::{Ledger, LedgerError, Options, PackFact, Report, preview, run};
use super::*;
use crate::crypto::{Cipher, MasterKey};
use crate::object::{Objects, Sink, hash};
use crate::pack::Extent;
use crate::record::Coding;
use crate::tree;
use crate::vault::{FORMAT_VERSION, Identity, Vault};
use crate::writer::Writer;

static NEVER: AtomicBool = AtomicBool::new(false);

/// What happens at the nth question to the ledger.
type Hook = Box<dyn Fn(usize)>;

/// A catalog in memory.
#[derive(Default)]
struct Facts {
    packs: RefCell<BTreeMap<PackId, (u64, Option<i64>)>>,
    checkpoints: RefCell<Vec<(Digest, Vec<String>)>>,
    /// Trees of checkpoints that no commit covers.
    uncommitted: RefCell<Vec<Digest>>,
    generation: Cell<i64>,
    asked: Cell<usize>,
    hook: RefCell<Option<Hook>>,
}

impl Facts {
    fn extents(&self) -> Vec<Extent> {
        let packs = self.packs.borrow();
        let live = packs.iter().filter(|(_, (_, tombstone))| tombstone.is_none());
        live.map(|(pack, (committed, _))| Extent { pack: pack.clone(), committed: *committed }).collect()
    }

    fn advance(&self, extents: &[Extent]) {
        for extent in extents {
            self.packs.borrow_mut().insert(extent.pack.clone(), (extent.committed, None));
        }
    }

    fn ask(&self) {
        self.asked.set(self.asked.get() + 1);
        if let Some(hook) = &*self.hook.borrow() {
            hook(self.asked.get());
        }
    }
}

impl Ledger for Facts {
    fn packs(&self) -> Result<Vec<PackFact>, LedgerError> {
        self.ask();
        let fact = |(pack, (committed, tombstone)): (&PackId, &(u64, Option<i64>))| PackFact {
            extent: Extent { pack: pack.clone(), committed: *committed },
            tombstone: *tombstone,
        };
        Ok(self.packs.borrow().iter().map(fact).collect())
    }

    fn roots(&self) -> Result<Vec<(ObjectKind, Digest)>, LedgerError> {
        self.ask();
        Ok(self.checkpoints.borrow().iter().map(|(tree, _)| (ObjectKind::Tree, *tree)).collect())
    }

    fn uncommitted(&self) -> Result<Vec<(ObjectKind, Digest)>, LedgerError> {
        Ok(self.uncommitted.borrow().iter().map(|tree| (ObjectKind::Tree, *tree)).collect())
    }

    fn generation(&self) -> Result<i64, LedgerError> {
        Ok(self.generation.get())
    }

    fn replace(&self, extents: &[Extent], old: &[PackId]) -> Result<(), LedgerError> {
        self.ask();
        self.advance(extents);
        self.generation.set(self.generation.get() + 1);
        for pack in old {
            let mut packs = self.packs.borrow_mut();
            let (_, tombstone) = packs.get_mut(pack).ok_or("no such pack")?;
            tombstone.get_or_insert(self.generation.get());
        }
        Ok(())
    }

    fn revive(&self, revived: &[PackId]) -> Result<(), LedgerError> {
        self.ask();
        for pack in revived {
            self.packs.borrow_mut().get_mut(pack).ok_or("no such pack")?.1 = None;
        }
        Ok(())
    }

    fn forget(&self, gone: &[PackId]) -> Result<(), LedgerError> {
        self.ask();
        for pack in gone {
            let (_, tombstone) = self.packs.borrow_mut().remove(pack).ok_or("no such pack")?;
            tombstone.ok_or("a live pack was forgotten")?;
        }
        Ok(())
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    vault: Vault,
    cipher: Option<Arc<Cipher>>,
    facts: Facts,
}

impl Bench {
    fn new(encrypted: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity { format_version: FORMAT_VERSION, vault_id: "0".repeat(32), encrypted };
        let vault = Vault::create(&dir.path().join("vault"), identity).unwrap();
        let key = MasterKey::from_bytes(Zeroizing::new([5; 32]));
        let cipher = encrypted.then(|| Arc::new(Cipher::new(&key)));
        Self { _dir: dir, vault, cipher, facts: Facts::default() }
    }

    fn store(&self) -> Store {
        Store::open(&self.vault, self.facts.extents(), self.cipher.clone()).unwrap()
    }

    /// A session in a pack of its own, so that packs differ in what they hold.
    fn commit(&self, texts: &[&str]) {
        let lease = Lease::begin(&self.vault.leases()).unwrap();
        lease.rely_on(self.facts.generation.get()).unwrap();
        let store = self.store();
        let all: Vec<PackId> = self.facts.packs.borrow().keys().cloned().collect();
        let writer = store.writer(Coding::default(), None).avoiding(&all);
        let tree = write_tree(&writer, texts);
        self.finish(writer, tree, texts);
    }

    fn finish(&self, writer: Writer<'_>, tree: Digest, texts: &[&str]) {
        let sealed = writer.finish().unwrap();
        self.facts.advance(sealed.extents());
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        self.facts.checkpoints.borrow_mut().push((tree, texts));
        sealed.publish();
    }

    fn options(&self) -> Options<'static> {
        Options { rules: Rules::default(), coding: Coding::default(), drops_unknown: false, abort: &NEVER }
    }

    fn turn(&self) -> leases::Turn {
        leases::turn(&self.vault.leases()).unwrap().unwrap()
    }

    fn clean(&self) -> Result<Report, GcError> {
        run(&self.turn(), &self.vault, self.cipher.as_ref(), &self.facts, &self.options())
    }

    fn assert_all_readable(&self) {
        let store = self.store();
        for (tree, texts) in &*self.facts.checkpoints.borrow() {
            let entries = tree::read(&store, tree).unwrap();
            assert_eq!(entries.len(), texts.len());
            for text in texts {
                assert_eq!(
                    store.get(ObjectKind::Blob, &hash(content(text).as_bytes())).unwrap(),
                    content(text).as_bytes()
                );
            }
        }
    }

    fn pack_files(&self) -> usize {
        self.vault.packs().read_dir().unwrap().count()
    }
}

/// Contents that do not compress to nothing.
fn content(text: &str) -> String {
    (0..40u8).map(|n| hash(&[text.as_bytes(), &[n]].concat()).to_hex()).collect()
}

fn write_tree(sink: &dyn Sink, texts: &[&str]) -> Digest {
    let mut entries: Vec<Entry> = texts
        .iter()
        .map(|text| {
            let bytes = content(text);
            let id = sink.put_new(ObjectKind::Blob, bytes.as_bytes()).unwrap();
            let node = Node::File(Content { size: bytes.len() as u64, hash: id, chunks: None });
            Entry { name: text.as_bytes().to_vec(), meta: Meta::default(), node, xattrs: vec![] }
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    tree::write(sink, &entries).unwrap()
}

#[test]
fn what_nobody_needs_goes_and_the_rest_stays() {
    for encrypted in [false, true] {
        let bench = Bench::new(encrypted);
        bench.commit(&["a", "b", "c"]);
        bench.commit(&["c", "d", "e", "f"]);
        bench.commit(&["a", "g"]);
        bench.facts.checkpoints.borrow_mut().remove(1);
        assert_eq!(
            preview(&bench.vault, bench.cipher.as_ref(), &bench.facts, &bench.options()).unwrap().delete.len(),
            1
        );
        assert_eq!(bench.pack_files(), 3);
        let report = bench.clean().unwrap();
        assert_eq!((report.deleted.len(), report.waiting.len()), (1, 0));
        assert_eq!(bench.pack_files(), 2);
        bench.assert_all_readable();
        bench.facts.checkpoints.borrow_mut().remove(0);
        let report = bench.clean().unwrap();
        // "a" lay beside "b" and "c": that pack is rewritten.
        assert_eq!((report.deleted.len(), report.rewritten_objects), (1, 1));
        bench.assert_all_readable();
        let again = bench.clean().unwrap();
        assert_eq!(again, Report::default());
        bench.facts.checkpoints.borrow_mut().clear();
        bench.clean().unwrap();
        assert_eq!(bench.pack_files(), 0);
    }
}

#[test]
fn a_session_may_begin_and_commit_at_any_step() {
    // The hook runs at each question that cleanup asks, so the session spans every part of it.
    for encrypted in [false, true] {
        for begin in 0..14 {
            for commit in begin..15 {
                session_across(begin, commit, encrypted);
            }
        }
    }
}

fn session_across(begin: usize, commit: usize, encrypted: bool) {
    let bench = Bench::new(encrypted);
    bench.commit(&["a", "b"]);
    bench.commit(&["c", "d", "e", "f"]);
    bench.commit(&["a", "b", "c"]);
    // "d", "e" and "f" are not needed now, but the session will want "d" and "e".
    bench.facts.checkpoints.borrow_mut().remove(1);
    {
        let lent: &Bench = &bench;
        let begun: RefCell<Option<(Lease, &'static Store)>> = RefCell::new(None);
        let has_begun = Cell::new(false);
        let step = |now: usize| {
            // While cleanup looks for leftovers, sessions wait at the gate.
            if now >= begin && !has_begun.get() && is_gate_open(&lent.vault.leases()) {
                has_begun.set(true);
                let lease = Lease::begin(&lent.vault.leases()).unwrap();
                lease.rely_on(lent.facts.generation.get()).unwrap();
                // Leaked: the session outlives this call.
                *begun.borrow_mut() = Some((lease, Box::leak(Box::new(lent.store()))));
            }
            if now < commit {
                return;
            }
            if let Some((lease, store)) = begun.borrow_mut().take() {
                let writer = store.writer(Coding::default(), None);
                let tree = write_tree(&writer, &["d", "e", "new"]);
                lent.finish(writer, tree, &["d", "e", "new"]);
                drop(lease);
            }
        };
        step(0);
        // The ledger is asked by `run` alone while the hook stands.
        let asked = Cell::new(0);
        let before = || {
            asked.set(asked.get() + 1);
            step(asked.get());
        };
        let spy = Spy { facts: &lent.facts, before: &before };
        run(&lent.turn(), &lent.vault, lent.cipher.as_ref(), &spy, &lent.options()).unwrap();
        for late in asked.get() + 1..=15 {
            step(late);
        }
    }
    let report = bench.clean().unwrap();
    assert!(report.waiting.is_empty(), "begin {begin} commit {commit}: {report:?}");
    bench.assert_all_readable();
    assert_eq!(bench.clean().unwrap().revived.len(), 0);
    bench.assert_all_readable();
}

fn is_gate_open(leases: &Path) -> bool {
    let gate = File::options().write(true).create(true).truncate(false).open(leases.join("gate")).unwrap();
    flock(&gate, FlockOperation::NonBlockingLockShared).is_ok()
}

/// The ledger, with something done before each answer.
struct Spy<'a> {
    facts: &'a Facts,
    before: &'a dyn Fn(),
}

impl Ledger for Spy<'_> {
    fn packs(&self) -> Result<Vec<PackFact>, LedgerError> {
        (self.before)();
        self.facts.packs()
    }
    fn roots(&self) -> Result<Vec<(ObjectKind, Digest)>, LedgerError> {
        (self.before)();
        self.facts.roots()
    }
    fn uncommitted(&self) -> Result<Vec<(ObjectKind, Digest)>, LedgerError> {
        self.facts.uncommitted()
    }
    fn generation(&self) -> Result<i64, LedgerError> {
        self.facts.generation()
    }
    fn replace(&self, extents: &[Extent], old: &[PackId]) -> Result<(), LedgerError> {
        (self.before)();
        self.facts.replace(extents, old)
    }
    fn revive(&self, packs: &[PackId]) -> Result<(), LedgerError> {
        self.facts.revive(packs)
    }
    fn forget(&self, packs: &[PackId]) -> Result<(), LedgerError> {
        (self.before)();
        self.facts.forget(packs)
    }
}

#[test]
fn a_cleanup_stopped_at_any_step_is_finished_by_the_next() {
    for stop in 1.. {
        let bench = Bench::new(false);
        bench.commit(&["a", "b", "c", "d"]);
        bench.commit(&["e"]);
        bench.commit(&["a"]);
        bench.facts.checkpoints.borrow_mut().truncate(3);
        bench.facts.checkpoints.borrow_mut().drain(..2);
        *bench.facts.hook.borrow_mut() = Some(Box::new(move |asked| assert!(asked != stop, "stopped")));
        let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bench.clean().unwrap())).is_err();
        *bench.facts.hook.borrow_mut() = None;
        bench.assert_all_readable();
        bench.clean().unwrap();
        bench.assert_all_readable();
        // A pack that was grown in vain keeps its tail, and what would have gone there goes to a new one.
        assert!((1..=2).contains(&bench.pack_files()), "stopped at {stop}");
        if !stopped {
            break;
        }
    }
}

#[test]
fn an_unreadable_tree_stops_cleanup_before_anything_goes() {
    let bench = Bench::new(false);
    bench.commit(&["a"]);
    bench.commit(&["b"]);
    bench.facts.checkpoints.borrow_mut()[0].0 = Digest([9; 32]);
    assert!(matches!(bench.clean(), Err(GcError::Read(ReadError::Missing(_)))));
    assert_eq!(bench.pack_files(), 2);
}

#[test]
fn a_pack_with_a_damaged_object_is_kept() {
    let bench = Bench::new(false);
    bench.commit(&["a", "b", "c", "d"]);
    bench.commit(&["a"]);
    bench.facts.checkpoints.borrow_mut().remove(0);
    let store = bench.store();
    let place = store.places(&hash(content("a").as_bytes()))[0];
    let pack = pack::path(&bench.vault.packs(), &store.extents()[place.pack as usize].pack);
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[place.offset as usize + crate::record::HEADER] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    let report = bench.clean().unwrap();
    assert_eq!((report.damaged.len(), report.deleted.len()), (1, 0));
    assert!(pack.exists());
}

#[test]
fn packs_that_the_catalog_does_not_know_go_unless_they_hold_manifests() {
    for (kind, is_kept) in [(ObjectKind::Blob, false), (ObjectKind::Manifest, true)] {
        let bench = Bench::new(true);
        bench.commit(&["a"]);
        let store = bench.store();
        let writer = store.writer(Coding::default(), None).avoiding(&[store.extents()[0].pack.clone()]);
        writer.put_new(kind, b"stray").unwrap();
        // The session dies after its flush, before the catalog is told.
        drop(writer.finish().unwrap());
        assert_eq!(bench.pack_files(), 2);
        // While any session is alive, its packs may just not be committed yet.
        let lease = Lease::begin(&bench.vault.leases()).unwrap();
        assert_eq!(bench.clean().unwrap(), Report::default());
        drop(lease);
        let report = bench.clean().unwrap();
        assert_eq!((report.unknown.len(), report.leftovers), if is_kept { (1, 0) } else { (0, 1) });
        assert_eq!(bench.pack_files(), if is_kept { 2 } else { 1 });
        bench.assert_all_readable();
    }
}

#[test]
fn what_no_commit_covers_keeps_no_other_bytes_of_its_pack() {
    let bench = Bench::new(true);
    bench.commit(&["gone", "gone, too", "shared", "more", "much more"]);
    bench.commit(&["a"]);
    bench.facts.checkpoints.borrow_mut().remove(0);
    let (store, before) = (bench.store(), bench.facts.extents());
    let writer = store.writer(Coding::default(), None);
    let texts = ["shared", "new"];
    let tree = write_tree(&writer, &texts);
    writer.put_new(ObjectKind::Manifest, b"of a checkpoint that nobody was told of").unwrap();
    // The session dies after its flush, before the catalog is told.
    let written = writer.finish().unwrap().extents().to_vec();
    assert!(before.iter().any(|extent| extent.pack == written[0].pack), "it goes on in a pack that is there");
    bench.facts.uncommitted.borrow_mut().push(tree);
    for _ in 0..2 {
        let report = bench.clean().unwrap();
        assert_eq!(report.unknown.len(), 1);
        bench.assert_all_readable();
        let extents = std::fs::read_dir(bench.vault.packs()).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let pack = pack::id_of(entry.file_name().to_str().unwrap()).unwrap();
            Extent { pack, committed: entry.metadata().unwrap().len() }
        });
        let all = Store::open(&bench.vault, extents.collect(), bench.cipher.clone()).unwrap();
        for text in texts {
            assert!(all.get(ObjectKind::Blob, &hash(content(text).as_bytes())).is_ok(), "{text}");
        }
        for text in ["gone", "gone, too", "more", "much more"] {
            assert!(!all.has(&hash(content(text).as_bytes())), "{text}");
        }
    }
    bench.facts.uncommitted.borrow_mut().clear();
    let dropped = run_with(&bench, Options { drops_unknown: true, ..bench.options() });
    assert_eq!((dropped.unknown.len(), dropped.leftovers), (0, 1));
    bench.assert_all_readable();
}

fn run_with(bench: &Bench, options: Options<'_>) -> Report {
    run(&bench.turn(), &bench.vault, bench.cipher.as_ref(), &bench.facts, &options).unwrap()
}

#[test]
fn recompressing_rewrites_everything_once() {
    let bench = Bench::new(true);
    bench.commit(&["a", "b"]);
    bench.commit(&["c"]);
    let rules = Rules { recompress: true, ..Rules::default() };
    let options = Options { rules, coding: Coding { level: Some(19) }, drops_unknown: false, abort: &NEVER };
    let report = run(&bench.turn(), &bench.vault, bench.cipher.as_ref(), &bench.facts, &options).unwrap();
    assert_eq!((report.deleted.len(), report.rewritten_objects), (2, 5));
    bench.assert_all_readable();
    assert_eq!(bench.pack_files(), 1);
}

#[test]
fn one_cleanup_at_a_time() {
    let bench = Bench::new(false);
    bench.commit(&["a"]);
    bench.facts.checkpoints.borrow_mut().clear();
    let leases = bench.vault.leases();
    let is_free = move || leases::turn(&leases).unwrap().is_some();
    assert!(is_free());
    let during = std::rc::Rc::new(RefCell::new(vec![]));
    let seen = during.clone();
    *bench.facts.hook.borrow_mut() = Some(Box::new({
        let is_free = is_free.clone();
        move |_| seen.borrow_mut().push(is_free())
    }));
    bench.clean().unwrap();
    assert!(during.borrow().len() > 5 && !during.borrow().contains(&true));
    assert!(is_free());
    assert_eq!(leases::oldest(&bench.vault.leases(), None).unwrap(), None);
}

#[test]
fn leases_tell_their_generation_and_end_with_their_holder() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert_eq!(leases::oldest(dir, None).unwrap(), None);
    let untold = Lease::begin(dir).unwrap();
    assert_eq!(leases::oldest(dir, None).unwrap(), Some(i64::MIN));
    untold.rely_on(7).unwrap();
    let other = Lease::begin(dir).unwrap();
    other.rely_on(3).unwrap();
    assert_eq!(leases::oldest(dir, None).unwrap(), Some(3));
    assert_eq!(leases::oldest(dir, Some(&other)).unwrap(), Some(7));
    assert!(leases::alone(dir).unwrap().is_none());
    drop(other);
    assert_eq!(leases::oldest(dir, None).unwrap(), Some(7));
    drop(untold);
    std::fs::write(dir.join("99999-dead"), "    5").unwrap();
    assert_eq!(leases::oldest(dir, None).unwrap(), None);
    assert!(!dir.join("99999-dead").exists());
    std::fs::write(dir.join(".x.1.tmp"), "").unwrap();
    let alone = leases::alone(dir).unwrap().unwrap();
    assert_eq!(alone.remove_temporary(&[dir.to_owned()]).unwrap(), 1);
}

#[test]
fn only_packs_that_no_older_session_uses_may_go() {
    let id = |text: &str| text.parse::<PackId>().unwrap();
    let tombstones = [(id("p1"), 1), (id("p2"), 2)];
    assert_eq!(deletable(&tombstones, None).len(), 2);
    assert_eq!(deletable(&tombstones, Some(2)).len(), 2);
    assert_eq!(deletable(&tombstones, Some(1)), [id("p1")]);
    assert!(deletable(&tombstones, Some(0)).is_empty());
    assert!(deletable(&tombstones, Some(i64::MIN)).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn histories_keep_what_is_kept(
        steps in prop::collection::vec((prop::collection::btree_set("[a-f]", 1..4), any::<Option<prop::sample::Index>>(), any::<bool>()), 1..8),
    ) {
        let bench = Bench::new(false);
        for (texts, removed, cleaned) in steps {
            bench.commit(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            if let Some(removed) = removed {
                let mut checkpoints = bench.facts.checkpoints.borrow_mut();
                let index = removed.index(checkpoints.len());
                checkpoints.remove(index);
            }
            if cleaned {
                bench.clean().unwrap();
            }
            bench.assert_all_readable();
        }
    }
}
