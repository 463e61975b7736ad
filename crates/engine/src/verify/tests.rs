//! Trees that nobody took: objects that are as they were written, and say what is not so.

use wfr_model::checkpoint::CheckpointType;
use wfr_model::entry::Meta;
use wfr_store::Sink;

use super::*;
use crate::checkpoint::{self, Request};
use crate::scanning::Effort;
use crate::testing::World;

/// What a check says of a tree with one file that declares this size, of these bytes; `None` for chunks where there are none.
fn judged(size: u64, bytes: &[u8], chunks: Option<&[u64]>) -> Vec<(String, Fault)> {
    let world = World::new();
    let session = world.session();
    let open = session.open().unwrap();
    let request = Request::new("wf".parse().unwrap(), CheckpointType::Manual, "tester");
    let made = checkpoint::create(&open, &request, &session, Effort::default()).unwrap().manifest;
    let mut row = open.catalog.resolve(None, made.checkpoint_id.as_str()).unwrap();
    let store = open.store_to_write().unwrap();
    let writer = store.writer(open.coding(), None);
    let blob = writer.put_new(ObjectKind::Blob, bytes).unwrap();
    let line = |length: &u64| [&blob.0[..], &(*length as u32).to_le_bytes()].concat();
    let list = chunks.map(|lengths| lengths.iter().flat_map(line).collect::<Vec<u8>>());
    let chunks = list.map(|list| writer.put_new(ObjectKind::Chunks, &list).unwrap());
    let node = Node::File(Content { size, hash: blob, chunks });
    let entry = Entry { name: b"f".to_vec(), meta: Meta::default(), node, xattrs: vec![] };
    row.tree = Some(writer.put_new(ObjectKind::Tree, &tree::encode(&Part::Leaf(vec![entry]))).unwrap());
    let sealed = writer.finish().unwrap();
    let extents: Vec<_> = sealed.extents().iter().map(|one| (one.pack.clone(), one.committed)).collect();
    open.catalog.replace_packs(&extents, &[]).unwrap();
    sealed.publish();
    let store = open.store().unwrap();
    let report = verify(&open, &store, &row, Level::Comprehensive, &session).unwrap();
    assert!(report.is_forged, "the catalog names another tree than the manifest");
    report.damages.into_iter().map(|one| (format!("{} {}", one.kind, one.path), one.fault)).collect()
}

#[test]
fn a_declared_size_that_is_wrong_is_found() {
    assert_eq!(judged(4, b"four", None), []);
    for size in [0, 3, 5, (1 << 63) - 1, 1 << 63, u64::MAX] {
        assert_eq!(judged(size, b"four", None), [("blob f".to_owned(), Fault::Malformed)], "{size}");
    }
    assert_eq!(judged(8, b"four", Some(&[4, 4])), []);
    assert_eq!(judged(9, b"four", Some(&[4, 4])), [("chunks f".to_owned(), Fault::Malformed)]);
    assert_eq!(judged(8, b"four", Some(&[5, 3])).len(), 2, "each length is held against the bytes");
}
