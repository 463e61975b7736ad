//! Committing, changing and naming checkpoints.

use wfr_catalog::{Catalog, CatalogError, ListQuery, NewCheckpoint, Sparing};
use wfr_model::checkpoint::{CheckpointType, FileCounts, Predecessor, Trigger, VerificationStatus};

use crate::sample::{add, at, checkpoint, ckpt, commit, digest, op, pack, wf};

type Make<'a> = &'a dyn Fn() -> Catalog;

pub fn a_commit_is_read_back_whole(make: Make<'_>) {
    let catalog = make();
    let new = NewCheckpoint {
        checkpoint_type: CheckpointType::PhaseComplete,
        trigger: Trigger::FailurePrevention,
        phase_id: Some(-3),
        phase_name: Some("thé phase".into()),
        hard_links: Some(digest(4, 7)),
        tags: vec!["b".into(), "a".into(), "b".into()],
        retention: Some("permanent".into()),
        complete: false,
        verification: VerificationStatus::Valid,
        verified_at: Some(at(5)),
        files: FileCounts { total: 1, directories: 2, bytes: u64::MAX, added: 4, changed: 5, removed: 6 },
        head_tag: Some(vec![1, 2, 3]),
        ..checkpoint(7)
    };
    let seq = catalog.commit_checkpoint(&new, &[(pack(1), 10)], &op(1, "create-checkpoint")).unwrap();
    let row = catalog.checkpoint(&ckpt(7)).unwrap().unwrap();
    assert_eq!(
        (row.seq, &row.checkpoint_id, &row.workflow_id, row.name.as_str()),
        (seq, &ckpt(7), &wf("wf"), "name_7")
    );
    assert_eq!((row.checkpoint_type, row.trigger), (CheckpointType::PhaseComplete, Trigger::FailurePrevention));
    assert_eq!((row.created_at, row.phase_id, row.phase_name.as_deref()), (at(1_007), Some(-3), Some("thé phase")));
    assert_eq!((row.tree, row.hard_links, row.coverage), (new.tree, new.hard_links, new.coverage));
    assert_eq!((row.manifest, row.predecessor.clone()), (new.manifest, None));
    assert_eq!(row.tags, ["b", "a"]);
    assert_eq!((row.retention.as_deref(), row.complete, row.has_files), (Some("permanent"), false, true));
    assert_eq!((row.verification, row.verified_at), (VerificationStatus::Valid, Some(at(5))));
    assert_eq!(row.files, FileCounts { bytes: i64::MAX as u64, ..new.files });
    assert_eq!((row.size_bytes, row.recovered, row.deleted_at), (70, false, None));
    let head = catalog.head().unwrap().unwrap();
    assert_eq!((head.seq, &head.checkpoint_id, head.manifest), (seq, &ckpt(7), new.manifest));
    assert_eq!(catalog.head_tag().unwrap(), Some(vec![1, 2, 3]));
    assert_eq!(catalog.pack_committed(&pack(1)).unwrap(), Some(10));
}

pub fn a_row_of_a_manifest_says_what_it_says(make: Make<'_>) {
    let text = r#"{"format_version":1,"checkpoint_id":"ckpt_1","name":"base","workflow_id":"wf",
        "checkpoint_type":"manual","created_at":"2025-01-15T11:30:00Z","phase_id":2,"phase_name":null,
        "trigger":"manual","workflow_state":null,"dependencies":null,
        "file_system_state":{"workspace":"/w","tree":"@3","hard_links":null,"root_mode":493,
          "files":{"total":3,"directories":1,"bytes":9,"added":3,"changed":0,"removed":0},
          "modified_files":[],"created_files":[],"deleted_files":[],"lists_truncated":false,
          "directory_structure":"store","coverage":{"skipped":[],"complete":false,"paths":"@5"}},
        "integrity":{"state_hash":null,"file_checksums":"tree","validation_timestamp":null,
          "verification_status":"unknown","predecessor":null},
        "metadata":{"size_bytes":77,"compression":"zstd","retention_policy":"30d","encryption":false,"tags":["t"]}}"#;
    let (tree, paths) = (digest(3, 1), digest(5, 1));
    let text = text.replace("@3", &tree.to_string()).replace("@5", &paths.to_string());
    let manifest = serde_json::from_str(&text).unwrap();
    let catalog = make();
    catalog.commit_checkpoint(&NewCheckpoint::of(&manifest, digest(6, 1)), &[], &op(1, "create-checkpoint")).unwrap();
    let row = catalog.resolve(Some(&wf("wf")), "base").unwrap();
    assert_eq!((row.tree, row.coverage, row.manifest), (Some(tree), Some(paths), digest(6, 1)));
    assert_eq!((row.complete, row.has_files, row.files.total, row.size_bytes), (false, true, 3, 77));
    assert_eq!(
        (row.phase_id, row.retention.as_deref(), row.tags.as_slice()),
        (Some(2), Some("30d"), &["t".to_owned()][..])
    );
    assert!(!row.is_sound());
}

pub fn an_unknown_workflow_is_registered(make: Make<'_>) {
    let catalog = make();
    assert!(!catalog.has_workflow(&wf("wf")).unwrap());
    add(&catalog, 1, |_| {});
    add(&catalog, 2, |new| new.workflow_id = wf("other"));
    add(&catalog, 3, |_| {});
    let known = catalog.workflows().unwrap();
    let seen: Vec<_> = known.iter().map(|row| (row.workflow_id.as_str(), row.registered_at, row.checkpoints)).collect();
    assert_eq!(seen, [("wf", at(101), 2), ("other", at(102), 1)]);
    assert!(!catalog.register_workflow(&wf("wf"), at(9)).unwrap());
    assert!(catalog.register_workflow(&wf("third"), at(9)).unwrap());
    assert_eq!(catalog.near_workflows("thirt").unwrap(), ["third"]);
}

pub fn a_moved_head_is_refused(make: Make<'_>) {
    let catalog = make();
    let base = add(&catalog, 1, |_| {});
    let link = catalog.head().unwrap().unwrap().link();
    let moved = |new: &NewCheckpoint| match catalog.commit_checkpoint(new, &[], &op(9, "x")).unwrap_err() {
        CatalogError::HeadMoved { head } => head,
        other => panic!("{other}"),
    };
    assert_eq!(moved(&checkpoint(2)), Some(base.clone()));
    let forged = Predecessor { manifest_hash: digest(6, 99), ..link.clone() };
    assert_eq!(moved(&NewCheckpoint { predecessor: Some(forged), ..checkpoint(2) }), Some(base.clone()));
    // A checkpoint of any workflow moves the head of the vault, and so does one that is deleted since.
    add(&catalog, 3, |new| new.workflow_id = wf("other"));
    catalog.delete_checkpoints(&[ckpt(3)], &Sparing::default(), &op(4, "cleanup-checkpoints")).unwrap();
    assert_eq!(moved(&NewCheckpoint { predecessor: Some(link), ..checkpoint(2) }), Some(ckpt(3)));
    assert_eq!(catalog.head().unwrap().unwrap().checkpoint_id, ckpt(3));
    add(&catalog, 2, |_| {});
    assert_eq!(catalog.checkpoint(&ckpt(2)).unwrap().unwrap().predecessor, Some(ckpt(3)));
}

pub fn names_are_unique_among_the_undeleted(make: Make<'_>) {
    let catalog = make();
    add(&catalog, 1, |new| new.name = "base".into());
    let again = NewCheckpoint { name: "base".into(), ..checkpoint(2) };
    match commit(&catalog, again.clone(), 2).unwrap_err() {
        CatalogError::NameTaken { name, existing } => assert_eq!((name.as_str(), existing), ("base", ckpt(1))),
        other => panic!("{other}"),
    }
    commit(&catalog, NewCheckpoint { workflow_id: wf("other"), ..again.clone() }, 2).unwrap();
    catalog.delete_checkpoints(&[ckpt(1)], &Sparing::default(), &op(3, "cleanup-checkpoints")).unwrap();
    commit(&catalog, NewCheckpoint { checkpoint_id: ckpt(3), ..again }, 4).unwrap();
    assert_eq!(catalog.resolve(Some(&wf("wf")), "base").unwrap().checkpoint_id, ckpt(3));
}

pub fn ids_are_used_once(make: Make<'_>) {
    let catalog = make();
    add(&catalog, 1, |_| {});
    catalog.delete_checkpoints(&[ckpt(1)], &Sparing::default(), &op(2, "cleanup-checkpoints")).unwrap();
    let refused = commit(&catalog, checkpoint(1), 3).unwrap_err();
    assert!(matches!(refused, CatalogError::IdTaken { what: "checkpoint", .. }), "{refused}");
}

pub fn a_refused_commit_leaves_no_trace(make: Make<'_>) {
    let catalog = make();
    add(&catalog, 1, |_| {});
    let stale = NewCheckpoint { workflow_id: wf("new"), ..checkpoint(2) };
    catalog.commit_checkpoint(&stale, &[(pack(1), 5_000), (pack(2), 7)], &op(2, "x")).unwrap_err();
    assert!(!catalog.has_workflow(&wf("new")).unwrap());
    assert_eq!(catalog.pack_committed(&pack(1)).unwrap(), Some(100));
    assert_eq!(catalog.pack_committed(&pack(2)).unwrap(), None);
    assert_eq!(catalog.operations(10).unwrap().len(), 1);
    assert_eq!(catalog.checkpoint(&ckpt(2)).unwrap(), None);
}

pub fn verification_is_recorded(make: Make<'_>) {
    let catalog = make();
    let id = add(&catalog, 1, |_| {});
    catalog.set_verification(&id, VerificationStatus::Corrupted, at(50)).unwrap();
    let row = catalog.checkpoint(&id).unwrap().unwrap();
    assert_eq!((row.verification, row.verified_at), (VerificationStatus::Corrupted, Some(at(50))));
    assert!(!row.is_sound());
    let refused = catalog.set_verification(&ckpt(2), VerificationStatus::Valid, at(50)).unwrap_err();
    assert!(matches!(refused, CatalogError::NotFound { what: "checkpoint", .. }), "{refused}");
}

pub fn deletion_keeps_the_chain(make: Make<'_>) {
    let catalog = make();
    for number in 1..=3 {
        add(&catalog, number, |_| {});
    }
    let asked = [ckpt(2), ckpt(2), ckpt(9)];
    assert_eq!(
        catalog.delete_checkpoints(&asked, &Sparing::default(), &op(5, "cleanup-checkpoints")).unwrap(),
        [ckpt(2)]
    );
    assert_eq!(catalog.delete_checkpoints(&asked, &Sparing::default(), &op(6, "cleanup-checkpoints")).unwrap(), []);
    assert_eq!(catalog.checkpoint(&ckpt(2)).unwrap().unwrap().deleted_at, Some(at(105)));
    let listed: Vec<_> =
        catalog.list(&ListQuery::default()).unwrap().into_iter().map(|row| row.checkpoint_id).collect();
    assert_eq!(listed, [ckpt(1), ckpt(3)]);
    let chain = catalog.chain().unwrap();
    let links: Vec<_> = chain.iter().map(|link| (link.checkpoint_id.clone(), link.predecessor.clone())).collect();
    assert_eq!(links, [(ckpt(1), None), (ckpt(2), Some(ckpt(1))), (ckpt(3), Some(ckpt(2)))]);
    assert_eq!(chain.iter().map(|link| link.deleted).collect::<Vec<_>>(), [false, true, false]);
    let roots = catalog.roots(5).unwrap();
    assert_eq!((roots[1].manifest, roots[1].tree, roots[1].coverage), (digest(6, 2), None, None));
    assert_eq!(
        (roots[2].manifest, roots[2].tree, roots[2].coverage),
        (digest(6, 3), Some(digest(3, 3)), Some(digest(5, 3)))
    );
    assert_eq!(catalog.committed_since(roots[0].seq).unwrap(), roots[1..]);
    assert_eq!(catalog.committed_since(roots[2].seq).unwrap(), []);
}

pub fn increments_go_on(make: Make<'_>) {
    let catalog = make();
    assert_eq!(catalog.next_increment(&wf("wf")).unwrap(), 1);
    let named = |name: &str| {
        let name = name.to_owned();
        move |new: &mut NewCheckpoint| (new.name, new.checkpoint_type) = (name, CheckpointType::Incremental)
    };
    add(&catalog, 1, named("inc_009_20250115_1030"));
    add(&catalog, 2, named("mine"));
    add(&catalog, 3, |new| new.name = "inc_500_manual".into());
    assert_eq!(catalog.next_increment(&wf("wf")).unwrap(), 10);
    catalog.delete_checkpoints(&[ckpt(1)], &Sparing::default(), &op(4, "cleanup-checkpoints")).unwrap();
    assert_eq!(catalog.next_increment(&wf("wf")).unwrap(), 10);
    assert_eq!(catalog.next_increment(&wf("other")).unwrap(), 1);
    add(&catalog, 5, named("inc_99999999999"));
    assert_eq!(catalog.next_increment(&wf("wf")).unwrap(), 1);
}

pub fn free_names_are_found(make: Make<'_>) {
    let catalog = make();
    for (number, name) in ["base", "base_2", "base_4", "basement", "%"].iter().enumerate() {
        add(&catalog, number as u64, |new| new.name = (*name).into());
    }
    assert_eq!(catalog.free_name(&wf("wf"), "base").unwrap(), "base_3");
    assert_eq!(catalog.free_name(&wf("wf"), "fresh").unwrap(), "fresh");
    assert_eq!(catalog.free_name(&wf("other"), "base").unwrap(), "base");
    assert_eq!(catalog.names_like(&wf("wf"), "base_").unwrap(), ["base_2", "base_4"]);
    assert_eq!(catalog.names_like(&wf("wf"), "%").unwrap(), ["%"]);
}
