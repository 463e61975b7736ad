//! What every catalog must do, whatever stands behind it.
//!
//! Each case is a function over a factory that gives an empty catalog; `suite!` runs all cases against one factory.
//! A second backend adds one line here.

mod checkpoints;
mod events;
mod holds;
mod lists;
mod outbox;
mod packs;
mod rebuild;
mod recoveries;
mod references;
mod trail;

/// Makes one test of each case.
macro_rules! suite {
    ($backend:ident, $with:path: $($module:ident::{$($case:ident),+ $(,)?}),+ $(,)?) => {
        mod $backend {
            $(mod $module {
                $(#[test]
                fn $case() {
                    $with(&|make| crate::conformance::$module::$case(make));
                })+
            })+
        }
    };
}

suite! {
    sqlite, crate::conformance::with_sqlite:
    checkpoints::{
        a_commit_is_read_back_whole, an_unknown_workflow_is_registered, a_moved_head_is_refused,
        names_are_unique_among_the_undeleted, ids_are_used_once, a_refused_commit_leaves_no_trace,
        verification_is_recorded, deletion_keeps_the_chain, increments_go_on, free_names_are_found,
        a_row_of_a_manifest_says_what_it_says,
    },
    events::{
        events_are_kept_in_one_order, a_repeated_event_changes_nothing, a_state_is_what_its_events_make_of_it,
        parts_that_are_gone_stay_gone,
    },
    holds::{
        one_holds_the_others_wait, dead_and_expired_owners_are_replaced, tokens_only_grow,
        components_hold_until_their_time_is_over, who_matters_more_takes_over_and_the_other_is_named,
    },
    lists::{filters_join, orders_and_limits, tags_come_with_their_rows, order_is_the_catalogs_not_the_clocks},
    outbox::{
        messages_stand_behind_the_events_before_them, places_are_kept_and_never_go_back,
        what_is_put_aside_can_be_queued_again, a_request_is_answered_once,
        what_everybody_has_had_goes_after_a_time,
    },
    packs::{lengths_never_shrink, tombstones_have_generations, packs_are_replaced_in_one_step},
    rebuild::{rows_come_back_marked, names_that_clash_are_numbered, what_was_imported_stands_before_all, recoveries_come_back},
    recoveries::{
        a_recovery_runs_its_course, a_hold_and_messages_go_with_a_beginning, how_long_recoveries_took, an_end_stands, undo_and_undo_of_undo, a_failed_undo_undoes_nothing,
        what_can_not_begin, needed_checkpoints_are_not_deleted, what_a_recovery_saved_meanwhile_is_spared,
        roots_keep_what_is_needed, filters_and_order,
    },
    references::{
        keywords, ids_names_and_prefixes, ambiguity_lists_candidates, near_names_are_suggested,
        what_is_not_there_is_explained, malformed_ones_are_refused,
    },
    trail::{operations_are_kept_newest_first, a_repeated_operation_is_recorded_once, identity_and_workspace},
}

// Where the store is encrypted, records of recoveries are sealed.
suite! {
    sealed, crate::conformance::with_veiled:
    rebuild::{recoveries_come_back},
    recoveries::{
        a_recovery_runs_its_course, a_hold_and_messages_go_with_a_beginning, how_long_recoveries_took, an_end_stands,
        undo_and_undo_of_undo, a_failed_undo_undoes_nothing, what_can_not_begin, filters_and_order,
    },
}

/// The same, with catalogs that seal what names files. No key is needed to see that it is all turned around.
fn with_veiled(case: &dyn Fn(&dyn Fn() -> wfr_catalog::Catalog)) {
    let turned = |bytes: &[u8]| bytes.iter().map(|byte| !byte).collect::<Vec<u8>>();
    let veil = || wfr_catalog::Veil {
        seal: Box::new(move |bytes| Ok(turned(bytes))),
        open: Box::new(move |bytes| Ok(turned(bytes))),
    };
    with_sqlite(&|make| case(&|| make().with_veil(veil())));
}

/// Runs a case against catalogs in files of a temporary directory.
fn with_sqlite(case: &dyn Fn(&dyn Fn() -> wfr_catalog::Catalog)) {
    let dir = tempfile::tempdir().unwrap();
    let made = std::cell::Cell::new(0);
    case(&|| {
        made.set(made.get() + 1);
        let path = dir.path().join(format!("catalog-{}.db", made.get()));
        wfr_catalog::Catalog::create(&path, &crate::sample::identity()).unwrap()
    });
}
