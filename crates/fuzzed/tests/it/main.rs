//! The claims over the seeds of the fuzz targets, as they are and changed at random.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use wfr_fuzzed::{CLAIMS, Claim};
use wfr_testkit::Prng;

/// How often each seed is changed; a ledger needs a catalog of its own each time.
fn changes_of(name: &str) -> usize {
    if name == "ledger" { 8 } else { 2_000 }
}

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(corpora().join(name)).unwrap();
    let mut seeds: Vec<Vec<u8>> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    seeds.sort();
    seeds
}

fn holds(name: &str, claim: Claim, bytes: &[u8]) {
    assert!(catch_unwind(|| claim(bytes)).is_ok(), "{name} over {:?}", bytes.escape_ascii().to_string());
}

/// A seed with a few bytes changed, taken out, doubled, or taken from another one.
fn changed(seed: &[u8], others: &[Vec<u8>], prng: &mut Prng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + prng.below(4) {
        let at = prng.below(bytes.len() + 1);
        let end = at + prng.below((bytes.len() - at).min(16) + 1);
        match prng.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.splice(at..at, bytes[at..end].to_vec()).for_each(drop),
            3 => bytes.insert(at, *prng.pick(b"\0\xff\n{}[]\",:\\/.0-9e")),
            4 => {
                let other = prng.pick(others);
                let from = prng.below(other.len() + 1);
                bytes.splice(at..end, other[from..].iter().take(16).copied()).for_each(drop);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << prng.below(8);
                }
            }
        }
    }
    bytes
}

#[test]
fn every_claim_holds_over_every_seed_and_what_is_like_it() {
    // The same changes each time, unless others are asked for: looking for new ones is the fuzz targets' work.
    let is_asked = std::env::var_os("WFR_TEST_SEED").is_some();
    let mut prng = if is_asked { Prng::from_environment() } else { Prng::new(1) };
    for (name, claim) in CLAIMS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has seeds");
        for seed in &seeds {
            holds(name, claim, seed);
            for _ in 0..changes_of(name) {
                holds(name, claim, &changed(seed, &seeds, &mut prng));
            }
        }
    }
}

#[test]
fn every_target_has_seeds_and_a_claim() {
    let mut targets: Vec<String> = fs::read_dir(corpora().join("../fuzz_targets"))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    targets.sort();
    assert_eq!(targets, CLAIMS.map(|(name, _)| name));
}
