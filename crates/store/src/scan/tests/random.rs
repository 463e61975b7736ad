//! Random trees and edits: with a cache or without, the tree is the same.

use wfr_testkit::{Prng, TreeShape, edit_at_random, grow};

use super::*;

#[test]
fn with_and_without_cache_the_tree_is_the_same() {
    let mut prng = Prng::from_environment();
    for round in 0..12 {
        let mut bench = Bench::new();
        bench.now = if prng.one_in(4) { Now::Earlier } else { Now::Real };
        bench.threads = 1 + prng.below(4);
        bench.open_most = prng.below(6);
        bench.rules.exclude = vec![b"n7".to_vec()];
        grow(&bench.tree, &mut prng, TreeShape { entries: 60, specials: true, hard_links: true });
        bench.scan();
        for _ in 0..15 {
            let edits: Vec<String> = (0..prng.below(4)).map(|_| edit_at_random(&bench.tree, &mut prng)).collect();
            let cached = bench.scan();
            let fresh = bench.scan_fresh();
            assert_eq!(cached.tree, fresh.tree, "round {round}: {edits:?}");
            assert_eq!(cached.coverage, fresh.coverage, "{edits:?}");
            assert_eq!((cached.counts, cached.hard_links), (fresh.counts, fresh.hard_links), "{edits:?}");
            assert_eq!(cached.root_meta, fresh.root_meta);
        }
    }
}

#[test]
fn any_number_of_threads_yields_the_same() {
    let mut prng = Prng::from_environment();
    let mut bench = Bench::new();
    grow(&bench.tree, &mut prng, TreeShape { entries: 300, ..TreeShape::default() });
    let expected = bench.scan_fresh();
    for threads in [1, 2, 3, 8, 32] {
        bench.threads = threads;
        for scan in [bench.scan_fresh(), bench.scan(), bench.scan()] {
            assert_eq!(
                (scan.tree, scan.counts, scan.hard_links),
                (expected.tree, expected.counts, expected.hard_links)
            );
        }
    }
}
