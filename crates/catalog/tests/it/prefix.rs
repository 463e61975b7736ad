//! Prefixes of ids against a model: a list of texts.

use std::collections::BTreeSet;

use proptest::prelude::*;
use wfr_catalog::ReferenceError;
use wfr_model::CheckpointId;

use crate::sample::{add, make};

/// What a prefix means, by the definition: a whole id, else all that begin with it, newest first.
fn model(ids: &[String], reference: &str) -> Vec<String> {
    if ids.iter().any(|id| id == reference) {
        return vec![reference.to_owned()];
    }
    let full = if reference.starts_with("ckpt_") { reference.to_owned() } else { format!("ckpt_{reference}") };
    let fit = ids.iter().rev().filter(|id| id.starts_with(&full));
    fit.cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Few letters, so that prefixes clash often.
    #[test]
    fn a_prefix_resolves_as_the_definition_says(
        digits in proptest::collection::btree_set("[01a]{1,7}", 1..20),
        references in proptest::collection::vec("(ckpt_)?[01a]{1,7}", 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let catalog = make(dir.path());
        let ids: Vec<String> = digits.iter().map(|digits| format!("ckpt_{digits}")).collect();
        for (number, id) in ids.iter().enumerate() {
            add(&catalog, number as u64, |new| new.checkpoint_id = id.parse().unwrap());
        }
        let own = ids.iter().flat_map(|id| (6..=id.len()).map(|end| id[..end].to_owned()));
        let asked: BTreeSet<String> = references.into_iter().chain(own).collect();
        for reference in asked {
            let expected = model(&ids, &reference);
            let bare_and_short = !reference.starts_with("ckpt_") && reference.len() < 4;
            match catalog.resolve(None, &reference) {
                Ok(row) => prop_assert_eq!(vec![row.checkpoint_id.to_string()], expected),
                Err(ReferenceError::NotFound { .. }) => prop_assert!(expected.is_empty() || bare_and_short),
                Err(ReferenceError::Ambiguous { candidates, .. }) => {
                    let listed: Vec<_> = candidates.iter().map(|found| found.checkpoint_id.to_string()).collect();
                    prop_assert!(expected.len() > 1);
                    prop_assert_eq!(&listed[..], &expected[..expected.len().min(10)]);
                }
                Err(other) => prop_assert!(false, "{}: {}", reference, other),
            }
        }
    }

    /// No text whatever makes it panic or touch SQL.
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let dir = tempfile::tempdir().unwrap();
        let catalog = make(dir.path());
        add(&catalog, 1, |_| {});
        if let Ok(row) = catalog.resolve(None, &text) {
            prop_assert!(text == "latest" || text == row.name || row.checkpoint_id.as_str().contains(&text));
        }
        prop_assert!(catalog.names_like(&row_workflow(), &text).is_ok());
        prop_assert!(catalog.near_workflows(&text).is_ok());
    }
}

fn row_workflow() -> wfr_model::WorkflowId {
    crate::sample::wf("wf")
}

#[test]
fn ids_of_real_length_resolve_by_any_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = make(dir.path());
    let id: CheckpointId = "ckpt_0194f3c2a1b07def8123456789abcdef".parse().unwrap();
    add(&catalog, 1, |new| new.checkpoint_id = id.clone());
    for end in 6..=id.as_str().len() {
        assert_eq!(catalog.resolve(None, &id.as_str()[..end]).unwrap().checkpoint_id, id);
    }
}
