//! A workspace for tests of this crate, with a clock that something may happen at, and a store in memory.
//!
//! Owns the surroundings that the program would give. Refuses to know any operation.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use wfr_model::entry::{Content, Entry, Meta, Node};
use wfr_model::event::Draft;
use wfr_model::{Digest, Event, Timestamp};
use wfr_store::object::{ObjectKind, hash};
use wfr_store::{Objects, ReadError};

use crate::handlers::setup;
use crate::keyring::{Keyring, Secrets};
use crate::mint;
use crate::params::Init;
use crate::session::Session;
use crate::upkeep::Noted;
use crate::workspace::Directories;

/// What happens when the clock is looked at, after so many looks.
type Happening = (u32, Box<dyn FnOnce()>);

thread_local! {
    static TIME: Cell<i64> = const { Cell::new(1_700_000_000_000_000_000) };
    static HAPPENS: RefCell<Option<Happening>> = const { RefCell::new(None) };
}

/// A clock of which each look is a millisecond.
fn clock() -> Timestamp {
    let due = HAPPENS.with_borrow_mut(|happens| match happens.take() {
        Some((0, happening)) => Some(happening),
        Some((left, happening)) => {
            *happens = Some((left - 1, happening));
            None
        }
        None => None,
    });
    if let Some(happening) = due {
        happening();
    }
    TIME.set(TIME.get() + 1_000_000);
    Timestamp(TIME.get())
}

/// Lets something happen when the clock is looked at after so many looks.
pub fn at_look(looks: u32, happening: impl FnOnce() + 'static) {
    HAPPENS.set(Some((looks, Box::new(happening))));
}

/// Whether what was to happen has not happened, because nobody looked that often; it will not happen any more.
pub fn is_still_to_come() -> bool {
    HAPPENS.take().is_some()
}

/// Moves the clock, forwards or back.
pub fn move_clock(nanoseconds: i64) {
    TIME.set(TIME.get() + nanoseconds);
}

/// The event of a line.
pub fn event(line: &str) -> Event {
    Draft::read(line).unwrap().complete(mint::event, Timestamp(1), "tester")
}

/// A protected directory.
pub struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// An empty one.
    pub fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(world.dir.path().join("ws")).unwrap();
        setup::init(&mut world.session(), Init::default()).unwrap_or_else(|failure| panic!("{failure}"));
        world
    }

    /// Where it can be found.
    pub fn directories(&self) -> Directories {
        let (current, data) = (self.dir.path().join("ws"), Some(self.dir.path().join("data")));
        Directories { current, data, workspace: None, store: None, store_is_ambient: false }
    }

    /// A call's surroundings.
    pub fn session(&self) -> Session {
        let directories = self.directories();
        Session {
            keyring: Arc::new(Keyring::new(Secrets::default(), directories.data.clone())),
            directories,
            interactive: false,
            threads: 1,
            abort: Arc::default(),
            picker: None,
            meter: Arc::default(),
            clock,
            program: || Ok("/usr/bin/wfr".into()),
            variable: |_| None,
            actor: "tester".to_owned(),
            ids: crate::mint::Ids::New,
            raw: Box::new(io::sink()),
            input: Box::new(io::empty()),
            on_news: Box::new(|_| Ok(())),
            detach: |_, _| Err(io::Error::other("a test starts nothing")),
            on_step: Box::new(|_, _| {}),
            patience: None,
            needs_configuration: false,
            noted: Noted::default().into(),
        }
    }
}

/// A store in memory.
#[derive(Default)]
pub struct Shelf(HashMap<Digest, Vec<u8>>);

impl Shelf {
    /// A text with these words as lines.
    pub fn file(&mut self, words: &str) -> Entry {
        let text = words.replace(' ', "\n").into_bytes();
        let content = Content { size: text.len() as u64, hash: hash(&text), chunks: None };
        self.0.insert(content.hash, text);
        let meta = Meta { mode: 0o644, ..Meta::default() };
        Entry { name: b"f".to_vec(), meta, node: Node::File(content), xattrs: vec![] }
    }
}

impl Objects for Shelf {
    fn get(&self, _: ObjectKind, id: &Digest) -> Result<Vec<u8>, ReadError> {
        Ok(self.0[id].clone())
    }

    fn has(&self, id: &Digest) -> bool {
        self.0.contains_key(id)
    }

    fn still_holds(&self, _: &[u8]) -> bool {
        true
    }
}
