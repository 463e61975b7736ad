//! What must hold whatever bytes come in: the bodies of the fuzz targets, one function for each.
//!
//! Owns these claims; a broken one panics. Refuses to make inputs: the targets in `fuzz/` get theirs from libFuzzer, and this
//! crate's test from the seeds in `fuzz/corpus`, as they are and changed at random. Never shipped.

use std::io::Write as _;

use wfr_catalog::{Catalog, SealedLedger, VaultIdentity};
use wfr_engine::intake::reading;
use wfr_model::checkpoint::{Manifest, ManifestFile};
use wfr_model::coverage::Coverage;
use wfr_model::event::{Draft, Message};
use wfr_model::path::{escape, unescape};
use wfr_model::workflow::{Nowhere, State, Whole, fold};
use wfr_model::{Event, Span, Timestamp, TreePath};

/// A claim about bytes.
pub type Claim = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const CLAIMS: [(&str, Claim); 9] = [
    ("events", events),
    ("intake", intake),
    ("ledger", ledger),
    ("links", links),
    ("manifest", manifest),
    ("pack", pack),
    ("record", record),
    ("tree", tree),
    ("values", values),
];

/// Messages one by one: whatever is taken has an envelope and a line that say the same, and folds.
pub fn events(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut state = State::new("wf".parse().expect("it is an id"));
    text.lines().for_each(|line| take(&mut state, Message::read(line).map_err(|why| why.to_string())));
}

/// A stream in any of its forms (lines, JSON lines, a document, a list; with a mark or not, lines too long): it ends, places
/// only grow, and what it gives is as sound as single messages.
pub fn intake(bytes: &[u8]) {
    let mut state = State::new("wf".parse().expect("it is an id"));
    let mut last = 0;
    let read = reading::read(Box::new(bytes), |items| {
        for item in items {
            assert!(item.line > last, "{} after {last}", item.line);
            last = item.line;
            take(&mut state, item.said);
        }
        true
    });
    read.expect("memory can be read");
}

fn take(state: &mut State, said: Result<Message, String>) {
    let draft = match said {
        Ok(Message::Event(draft)) => draft,
        Ok(Message::State(sync)) => sync.update,
        Ok(Message::Error(report)) => {
            assert!(report.message().is_some());
            return;
        }
        Err(why) => return assert!(!why.is_empty()),
    };
    let event = draft.complete(|| "evt_1".parse().expect("it is an id"), Timestamp(1), "fuzz");
    said_again(&event);
    let Ok(_) = fold::apply(state, &mut Nowhere, &event);
    let whole = Whole::of(state);
    assert_eq!(whole.head.tasks_known, whole.tasks.len() as u64);
}

/// An event says the same when it is written and read again.
fn said_again(event: &Event) {
    let envelope = serde_json::to_string(event).expect("an event has a JSON form");
    assert_eq!(serde_json::from_str::<Event>(&envelope).expect("it was just written"), *event);
    let value: serde_json::Value = serde_json::from_str(&envelope).expect("it was just written");
    let line = value["message"].as_str().expect("an envelope has its line");
    if let Ok(draft) = Draft::read(line) {
        assert_eq!(
            (&draft.event_type, &draft.workflow_id, &draft.data),
            (&event.event_type, &event.workflow_id, &event.data)
        );
    }
}

/// The ledger as checkpoints seal it: whatever is read is written so that it reads the same, and a catalog takes it or says why
/// not.
pub fn ledger(bytes: &[u8]) {
    let Ok(sealed) = serde_json::from_slice::<SealedLedger>(bytes) else { return };
    let text = serde_json::to_vec(&sealed).expect("a ledger has a JSON form");
    assert_eq!(serde_json::from_slice::<SealedLedger>(&text).expect("it was just written"), sealed);
    let dir = tempfile::tempdir().expect("a directory can be made");
    let (vault_id, workspace) = ("0".repeat(32), dir.path().to_owned());
    let identity = VaultIdentity { vault_id, workspace, created_at: Timestamp(0), encrypted: false };
    let catalog = Catalog::create(&dir.path().join("catalog.db"), &identity).expect("a catalog can be made");
    drop(catalog.insert_sealed_ledger(&sealed));
    drop(catalog.ledger_present());
}

/// Hard-link objects: whatever decodes encodes to the same bytes.
pub fn links(bytes: &[u8]) {
    if let Ok(groups) = wfr_store::links::decode(bytes) {
        assert_eq!(wfr_store::links::encode(&groups), bytes);
    }
}

/// Manifests and coverage lists: whatever is read is written so that it reads the same.
pub fn manifest(bytes: &[u8]) {
    if let Ok(file) = serde_json::from_slice::<ManifestFile>(bytes) {
        let text = serde_json::to_vec(&file).expect("a manifest has a JSON form");
        assert_eq!(serde_json::from_slice::<ManifestFile>(&text).expect("it was just written"), file);
    }
    drop(serde_json::from_slice::<Manifest>(bytes));
    drop(serde_json::from_slice::<Coverage>(bytes));
}

/// Packs: a scan ends, and what it found and what it passed over lies inside and apart.
pub fn pack(bytes: &[u8]) {
    let mut file = tempfile::tempfile().expect("the machine has room for a small file");
    file.write_all(bytes).expect("the machine has room for a small file");
    let end = bytes.len() as u64;
    let (found, gaps) = wfr_store::pack::scan(&file, 0, end).expect("a plain file can be read");
    let mut stretches: Vec<_> = found.iter().map(|f| (f.offset, f.offset + f.header.record_len())).collect();
    stretches.extend(gaps.iter().map(|gap| (gap.from, gap.to)));
    stretches.sort_unstable();
    assert!(stretches.iter().all(|(from, to)| from < to && *to <= end));
    assert!(stretches.windows(2).all(|pair| pair[0].1 <= pair[1].0));
}

/// Records: a header never makes a reader allocate or read out of bounds, and what decodes has the id asked for.
pub fn record(bytes: &[u8]) {
    let Some((head, payload)) = bytes.split_at_checked(56) else { return };
    let Ok(header) = wfr_store::record::Header::decode(head) else { return };
    let payload = &payload[..payload.len().min(header.stored_len as usize)];
    if let Ok(plain) = wfr_store::record::decode(&header, payload, &header.disk_id, None) {
        assert_eq!(wfr_store::object::hash(&plain), header.disk_id);
    }
}

/// Tree objects: whatever decodes encodes to the same bytes, and names stay inside their directory.
pub fn tree(bytes: &[u8]) {
    let Ok(part) = wfr_store::tree::decode(bytes) else { return };
    assert_eq!(wfr_store::tree::encode(&part), bytes);
    if let wfr_store::tree::Part::Leaf(entries) = part {
        assert!(entries.iter().all(|entry| wfr_model::path::check_component(&entry.name).is_ok()));
        assert!(entries.is_sorted_by(|a, b| a.name < b.name));
    }
}

/// Texts that users write: paths, durations, times, retention policies, configuration.
pub fn values(bytes: &[u8]) {
    assert_eq!(unescape(&escape(bytes)).as_deref(), Some(bytes));
    if let Ok(path) = TreePath::from_bytes(bytes) {
        assert!(path.components().all(|name| name != b".."));
        assert_eq!(path.to_string().parse(), Ok(path));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(span) = text.parse::<Span>() {
        assert_eq!(span.to_string().parse(), Ok(span));
    }
    drop(text.parse::<Timestamp>());
    drop(text.parse::<wfr_model::retention::Retention>());
    drop(toml::from_str::<wfr_model::config::Config>(text));
}
