//! Lists: filters, orders, tags.

use wfr_catalog::{Catalog, ListQuery, SortBy, Sparing};
use wfr_model::checkpoint::{CheckpointType, Summary};

use crate::sample::{add, at, op, wf};

type Make<'a> = &'a dyn Fn() -> Catalog;

/// The numbers of the checkpoints that a query lists.
fn listed(catalog: &Catalog, query: ListQuery) -> Vec<u64> {
    let rows = catalog.list(&query).unwrap();
    assert_eq!(rows.len() as u64, catalog.count(&query).unwrap().min(query.limit.map_or(u64::MAX, u64::from)));
    let summaries: Vec<Summary> = rows.iter().cloned().map(Summary::from).collect();
    assert_eq!(catalog.summaries(&query, |summary| summary).unwrap(), summaries);
    rows.iter().map(|row| u64::from_str_radix(&row.checkpoint_id.as_str()[5..], 16).unwrap()).collect()
}

fn filled(make: Make<'_>) -> Catalog {
    let catalog = make();
    for number in 1..=6 {
        add(&catalog, number, |new| {
            new.workflow_id = wf(if number == 4 { "other" } else { "wf" });
            new.name = ["f", "e", "d", "c", "b", "a"][number as usize - 1].into();
            new.size_bytes = [5, 5, 1, 9, 9, 0][number as usize - 1];
            let kinds = [CheckpointType::Manual, CheckpointType::Emergency, CheckpointType::Incremental];
            new.checkpoint_type = kinds[number as usize % 3];
            new.tags = ["even", "third"]
                .iter()
                .zip([2, 3])
                .filter(|(_, n)| number % n == 0)
                .map(|(t, _)| (*t).into())
                .collect();
        });
    }
    catalog
}

pub fn filters_join(make: Make<'_>) {
    let catalog = filled(make);
    let all = ListQuery::default;
    assert_eq!(listed(&catalog, all()), [1, 2, 3, 4, 5, 6]);
    assert_eq!(listed(&catalog, ListQuery { workflow: Some(wf("wf")), ..all() }), [1, 2, 3, 5, 6]);
    assert_eq!(listed(&catalog, ListQuery { workflow: Some(wf("none")), ..all() }), [0u64; 0]);
    assert_eq!(listed(&catalog, ListQuery { tags: vec!["even".into()], ..all() }), [2, 4, 6]);
    assert_eq!(listed(&catalog, ListQuery { tags: vec!["even".into(), "third".into()], ..all() }), [6]);
    assert_eq!(listed(&catalog, ListQuery { since: Some(at(1_002)), until: Some(at(1_004)), ..all() }), [2, 3, 4]);
    let types = vec![CheckpointType::Manual, CheckpointType::Emergency];
    assert_eq!(listed(&catalog, ListQuery { types: types.clone(), ..all() }), [1, 3, 4, 6]);
    let joined =
        ListQuery { workflow: Some(wf("wf")), types, tags: vec!["third".into()], since: Some(at(1_004)), ..all() };
    assert_eq!(listed(&catalog, joined), [6]);
    catalog.delete_checkpoints(&[crate::sample::ckpt(2)], &Sparing::default(), &op(9, "cleanup-checkpoints")).unwrap();
    assert_eq!(listed(&catalog, all()), [1, 3, 4, 5, 6]);
    assert_eq!(listed(&catalog, ListQuery { include_deleted: true, ..all() }), [1, 2, 3, 4, 5, 6]);
    let injected = ListQuery { tags: vec!["' OR 1=1 --".into()], ..all() };
    assert_eq!(listed(&catalog, injected), [0u64; 0]);
}

pub fn orders_and_limits(make: Make<'_>) {
    let catalog = filled(make);
    let sorted =
        |sort_by, descending, limit| listed(&catalog, ListQuery { sort_by, descending, limit, ..ListQuery::default() });
    assert_eq!(sorted(SortBy::CreationTime, true, Some(2)), [6, 5]);
    assert_eq!(sorted(SortBy::CreationTime, false, Some(0)), [0u64; 0]);
    assert_eq!(sorted(SortBy::Name, false, None), [6, 5, 4, 3, 2, 1]);
    assert_eq!(sorted(SortBy::Size, false, None), [6, 3, 1, 2, 4, 5]);
    assert_eq!(sorted(SortBy::Size, true, Some(3)), [5, 4, 2]);
    assert_eq!(sorted(SortBy::Type, false, None), [1, 4, 2, 5, 3, 6]);
}

pub fn tags_come_with_their_rows(make: Make<'_>) {
    let catalog = filled(make);
    let query = ListQuery { sort_by: SortBy::Name, limit: Some(3), ..ListQuery::default() };
    let tags: Vec<_> = catalog.list(&query).unwrap().into_iter().map(|row| row.tags.join(" ")).collect();
    assert_eq!(tags, ["even third", "", "even"]);
}

pub fn order_is_the_catalogs_not_the_clocks(make: Make<'_>) {
    let catalog = make();
    for (number, time) in [(1, 500), (2, -7), (3, 20)] {
        add(&catalog, number, |new| new.created_at = at(time));
    }
    assert_eq!(listed(&catalog, ListQuery::default()), [1, 2, 3]);
    assert_eq!(catalog.resolve(None, "latest").unwrap().created_at, at(20));
    assert_eq!(listed(&catalog, ListQuery { until: Some(at(20)), ..ListQuery::default() }), [2, 3]);
}
