//! The crates' walls: who may depend on whom.
//!
//! Owns the table of edges. Refuses any edge that is not in it, and any in it that is not there.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::files::{Text, Tracked};

/// Each crate and the crates of this workspace that it depends on, development dependencies apart.
const EDGES: [(&str, &[&str]); 14] = [
    ("wfr-model", &[]),
    ("wfr-store", &["wfr-model"]),
    ("wfr-catalog", &["wfr-model"]),
    ("wfr-capture", &["wfr-model", "wfr-store"]),
    ("wfr-trace", &["wfr-model"]),
    ("wfr-recovery", &["wfr-model", "wfr-store"]),
    ("wfr-coord", &["wfr-catalog", "wfr-model"]),
    ("wfr-clients", &[]),
    (
        "wfr-engine",
        &[
            "wfr-capture",
            "wfr-catalog",
            "wfr-clients",
            "wfr-coord",
            "wfr-model",
            "wfr-recovery",
            "wfr-store",
            "wfr-trace",
        ],
    ),
    ("wfr-mcp", &["wfr-engine"]),
    ("wfr-cli", &["wfr-clients", "wfr-engine", "wfr-mcp", "wfr-model", "wfr-trace"]),
    ("wfr-fuzzed", &["wfr-catalog", "wfr-engine", "wfr-model", "wfr-store"]),
    ("wfr-testkit", &[]),
    ("xtask", &["wfr-testkit"]),
];

/// The one crate that any other may use in its tests.
const TEST_ONLY: &str = "wfr-testkit";

/// Edges that differ from the table, and crates that do not take the workspace's lints.
pub fn check(tracked: &Tracked) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for file in tracked.files.iter().filter(|file| is_manifest(file)) {
        match file.text.parse::<toml::Table>() {
            Ok(manifest) => found.extend(check_crate(file, &manifest, &mut seen)),
            Err(error) => found.push(Finding::whole(&file.path, format!("is not TOML: {error}"))),
        }
    }
    let missing = EDGES.iter().filter(|(name, _)| !seen.contains(*name));
    found.extend(
        missing.map(|(name, _)| Finding::whole("crates", format!("the table names {name}, which is not there"))),
    );
    found
}

fn is_manifest(file: &Text) -> bool {
    file.path.starts_with("crates") && file.path.ends_with("Cargo.toml") && file.path.components().count() == 3
}

fn check_crate(file: &Text, manifest: &toml::Table, seen: &mut BTreeSet<String>) -> Vec<Finding> {
    let text = |table: &str, key: &str| manifest.get(table).and_then(|table| table.get(key));
    let name = text("package", "name").and_then(toml::Value::as_str).unwrap_or("a crate without a name").to_owned();
    let mut found = Vec::new();
    if text("lints", "workspace").and_then(toml::Value::as_bool) != Some(true) {
        found.push(Finding::whole(&file.path, "does not take the workspace's lints"));
    }
    let table: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    match table.get(name.as_str()) {
        None => found.push(Finding::whole(&file.path, format!("{name} is not in the table of edges"))),
        Some(allowed) => found.extend(compare(file, manifest, allowed)),
    }
    seen.insert(name);
    found
}

/// Compares one crate's edges with its row.
fn compare(file: &Text, manifest: &toml::Table, allowed: &[&str]) -> Vec<Finding> {
    let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
    let mut real = ours(manifest, "dependencies");
    real.extend(ours(manifest, "build-dependencies"));
    let tests: BTreeSet<&str> = ours(manifest, "dev-dependencies");
    let extra = real.difference(&allowed).map(|to| format!("an edge to {to} that the table does not have"));
    let absent = allowed.difference(&real).map(|to| format!("the table has an edge to {to} that is not there"));
    let known = |to: &&&str| !allowed.contains(**to) && **to != TEST_ONLY;
    let in_tests = tests.iter().filter(known).map(|to| format!("its tests use {to}, which it may not see"));
    extra.chain(absent).chain(in_tests).map(|what| Finding::whole(&file.path, what)).collect()
}

/// The names in one table of dependencies that are crates of this workspace.
fn ours<'a>(manifest: &'a toml::Table, table: &str) -> BTreeSet<&'a str> {
    let names = manifest.get(table).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
    names.map(String::as_str).filter(|name| name.starts_with("wfr-") || *name == "xtask").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, rest: &str) -> usize {
        let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{rest}");
        let file = Text::new("crates/x/Cargo.toml", &text);
        check_crate(&file, &text.parse().unwrap(), &mut BTreeSet::new()).len()
    }

    #[test]
    fn walls_hold() {
        let model = "wfr-model = {}\n";
        assert_eq!(problems("wfr-store", &format!("[dependencies]\n{model}")), 0);
        assert_eq!(problems("wfr-store", &format!("[dependencies]\n{model}wfr-catalog = {{}}")), 1);
        assert_eq!(problems("wfr-store", &format!("[dependencies]\n{model}wfr-testkit = {{}}")), 1);
        assert_eq!(problems("wfr-store", &format!("[dependencies]\n{model}[dev-dependencies]\nwfr-testkit = {{}}")), 0);
        assert_eq!(problems("wfr-store", &format!("[dependencies]\n{model}[dev-dependencies]\nwfr-engine = {{}}")), 1);
        assert_eq!(problems("wfr-store", ""), 1);
        assert_eq!(problems("wfr-unheard-of", ""), 1);
    }
}
