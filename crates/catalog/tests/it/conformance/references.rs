//! References and what is said where none fits.

use wfr_catalog::{Catalog, NewCheckpoint, Reference, ReferenceError, Sparing};
use wfr_model::CheckpointId;
use wfr_model::checkpoint::{CheckpointType, SAFETY_TAG, Trigger, VerificationStatus};

use crate::sample::{add, at, ckpt, op, wf};

type Make<'a> = &'a dyn Fn() -> Catalog;

fn resolved(catalog: &Catalog, workflow: Option<&str>, reference: &str) -> CheckpointId {
    catalog.resolve(workflow.map(wf).as_ref(), reference).unwrap().checkpoint_id
}

fn refused(catalog: &Catalog, workflow: Option<&str>, reference: &str) -> ReferenceError {
    catalog.resolve(workflow.map(wf).as_ref(), reference).unwrap_err()
}

fn has_id(id: &str) -> impl Fn(&mut NewCheckpoint) + '_ {
    move |new| new.checkpoint_id = id.parse().unwrap()
}

pub fn keywords(make: Make<'_>) {
    let catalog = make();
    assert!(matches!(refused(&catalog, None, "latest"), ReferenceError::NotFound { near, .. } if near.is_empty()));
    add(&catalog, 1, |new| new.phase_id = Some(2));
    add(&catalog, 2, |new| (new.phase_id, new.tags) = (Some(2), vec!["t".into()]));
    add(&catalog, 3, |new| new.complete = false);
    add(&catalog, 4, |new| (new.has_files, new.tree) = (false, None));
    add(&catalog, 5, |new| new.verification = VerificationStatus::Invalid);
    add(&catalog, 6, |new| new.verification = VerificationStatus::Corrupted);
    add(&catalog, 7, |_| {});
    add(&catalog, 8, |new| new.workflow_id = wf("other"));
    assert_eq!(resolved(&catalog, Some("wf"), "latest"), ckpt(7));
    assert_eq!(resolved(&catalog, None, "latest"), ckpt(8));
    catalog.delete_checkpoints(&[ckpt(7)], &Sparing::default(), &op(9, "cleanup-checkpoints")).unwrap();
    assert_eq!(resolved(&catalog, Some("wf"), "latest"), ckpt(6));
    assert_eq!(resolved(&catalog, Some("wf"), "latest-valid"), ckpt(2));
    let row = catalog.resolve(Some(&wf("wf")), "phase:2").unwrap();
    assert_eq!((row.checkpoint_id, row.tags), (ckpt(2), vec!["t".to_owned()]));
    assert!(matches!(refused(&catalog, Some("wf"), "phase:3"), ReferenceError::NotFound { .. }));
    catalog.set_verification(&ckpt(6), VerificationStatus::Valid, at(1)).unwrap();
    assert_eq!(resolved(&catalog, Some("wf"), "latest-valid"), ckpt(6));
    // What a recovery saved is not the newest; with the tag alone it would be.
    add(&catalog, 10, |new| new.tags = vec![SAFETY_TAG.into()]);
    add(&catalog, 11, |new| {
        (new.checkpoint_type, new.trigger) = (CheckpointType::Emergency, Trigger::PreCritical);
        new.tags = vec![SAFETY_TAG.into()];
    });
    for reference in ["latest", "latest-valid"] {
        assert_eq!(resolved(&catalog, Some("wf"), reference), ckpt(10));
    }
    assert!(catalog.checkpoint(&ckpt(11)).unwrap().unwrap().is_safety());
}

pub fn ids_names_and_prefixes(make: Make<'_>) {
    let catalog = make();
    add(&catalog, 1, has_id("ckpt_aabb11"));
    add(&catalog, 2, has_id("ckpt_aabb22"));
    add(&catalog, 3, |new| {
        has_id("ckpt_aabb2")(new);
        new.name = "aabb22".into();
    });
    add(&catalog, 4, has_id("chkpt_5"));
    let id = |text: &str| text.parse::<CheckpointId>().unwrap();
    for (reference, expected) in [
        ("ckpt_aabb11", "ckpt_aabb11"),
        ("ckpt_aabb1", "ckpt_aabb11"),
        ("aabb1", "ckpt_aabb11"),
        ("AABB1", "ckpt_aabb11"),
        // A whole id comes before a prefix, and a name before a bare prefix.
        ("ckpt_aabb2", "ckpt_aabb2"),
        ("ckpt_aabb22", "ckpt_aabb22"),
        ("aabb22", "ckpt_aabb2"),
        ("chkpt_5", "chkpt_5"),
        ("name_4", "chkpt_5"),
    ] {
        assert_eq!(resolved(&catalog, Some("wf"), reference), id(expected), "{reference}");
        assert_eq!(resolved(&catalog, None, reference), id(expected), "{reference}");
    }
    // Too short for a prefix: neither is ever taken for "the only one".
    for short in ["ckpt_", "chkpt_", "c", "aab"] {
        assert!(matches!(refused(&catalog, None, short), ReferenceError::NotFound { .. }), "{short}");
    }
}

pub fn ambiguity_lists_candidates(make: Make<'_>) {
    let catalog = make();
    for number in 1..=12 {
        add(&catalog, number, |new| new.workflow_id = wf(if number % 2 == 0 { "even" } else { "odd" }));
    }
    add(&catalog, 13, |new| (new.workflow_id, new.name) = (wf("even"), "name_1".into()));
    let ReferenceError::Ambiguous { candidates, .. } = refused(&catalog, None, "ckpt_0") else { panic!() };
    assert_eq!(candidates.len(), 10);
    assert_eq!(candidates[0].checkpoint_id, ckpt(13));
    let ReferenceError::Ambiguous { candidates, .. } = refused(&catalog, None, "name_1") else { panic!() };
    let found: Vec<_> = candidates.iter().map(|c| (c.workflow_id.as_str(), c.checkpoint_id.clone())).collect();
    assert_eq!(found, [("even", ckpt(13)), ("odd", ckpt(1))]);
    assert_eq!(resolved(&catalog, Some("odd"), "name_1"), ckpt(1));
}

pub fn near_names_are_suggested(make: Make<'_>) {
    let catalog = make();
    for (number, name) in ["phase_1_complete", "phase_2_complete", "base"].iter().enumerate() {
        add(&catalog, number as u64, |new| new.name = (*name).into());
    }
    let near = |reference| match refused(&catalog, Some("wf"), reference) {
        ReferenceError::NotFound { near, .. } => near,
        other => panic!("{other}"),
    };
    assert_eq!(near("bsae"), ["base"]);
    assert_eq!(near("phase_2_complet"), ["phase_2_complete", "phase_1_complete"]);
    assert_eq!(near("latset"), ["latest"]);
    assert_eq!(near("nothing_like_it_at_all"), [""; 0]);
    assert_eq!(refused(&catalog, None, "bsae").to_string(), "no checkpoint `bsae`, but there is base");
}

pub fn what_is_not_there_is_explained(make: Make<'_>) {
    let catalog = make();
    add(&catalog, 1, |new| new.workflow_id = wf("other"));
    add(&catalog, 2, |_| {});
    catalog.delete_checkpoints(&[ckpt(2)], &Sparing::default(), &op(9, "cleanup-checkpoints")).unwrap();
    let elsewhere = refused(&catalog, Some("wf"), ckpt(1).as_str());
    assert!(
        matches!(&elsewhere, ReferenceError::Elsewhere { workflow_id, .. } if *workflow_id == wf("other")),
        "{elsewhere}"
    );
    let deleted = refused(&catalog, None, ckpt(2).as_str());
    assert!(matches!(&deleted, ReferenceError::Deleted { deleted_at, .. } if *deleted_at == at(109)), "{deleted}");
}

pub fn malformed_ones_are_refused(make: Make<'_>) {
    let catalog = make();
    add(&catalog, 1, |_| {});
    let long = "x".repeat(129);
    for bad in ["", "../x", "%2e%2e", "--output=x", "a b", "phase:", "phase:x", "phase:1.5", "a'b", "a\0b", &long] {
        assert!(matches!(refused(&catalog, None, bad), ReferenceError::Malformed(_)), "{bad:?}");
        assert!(Reference::is_reserved(bad), "{bad:?}");
    }
    for (name, reserved) in
        [("latest", true), ("latest-valid", true), ("ckpt_1", true), ("base", false), ("deadbeef", false)]
    {
        assert_eq!(Reference::is_reserved(name), reserved, "{name}");
    }
}
