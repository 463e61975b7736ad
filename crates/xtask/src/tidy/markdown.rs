//! Documents: links lead somewhere, the changelog knows the version, each promise names a test that is there.
//!
//! Owns these rules. Refuses to judge prose.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::Finding;
use super::files::{Text, Tracked};

/// All breaches in all documents.
pub fn check(tracked: &Tracked) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tracked.files.iter().filter(|file| file.path.extension().is_some_and(|e| e == "md")) {
        found.extend(dead_links(file, &|path| tracked.root.join(path).exists()));
    }
    found.extend(changelog(tracked));
    found.extend(tracked.get("README.md").map(|readme| promises(readme, &Known::of(tracked))).unwrap_or_default());
    found
}

/// Lines outside code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        (!inside && !fence).then_some((number + 1, line))
    })
}

fn dead_links(file: &Text, exists: &dyn Fn(&Path) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, text) in prose(&file.text) {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            let remote = path.contains("://") || path.starts_with("mailto:");
            let full = resolve(file.path.parent().unwrap_or(Path::new("")), path);
            if !remote && !path.is_empty() && !exists(&full) {
                let what = format!("the link to `{target}` leads nowhere");
                found.push(Finding { file: file.path.clone(), line, what });
            }
        }
    }
    found
}

/// A relative link's path from the repository's root.
fn resolve(base: &Path, link: &str) -> PathBuf {
    let mut full = base.to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                full.pop();
            }
            Component::Normal(name) => full.push(name),
            _ => {}
        }
    }
    full
}

/// The changelog has a heading for the version that the workspace has.
fn changelog(tracked: &Tracked) -> Option<Finding> {
    let manifest: toml::Table = tracked.get("Cargo.toml")?.text.parse().ok()?;
    let version = manifest.get("workspace")?.get("package")?.get("version")?.as_str()?;
    let Some(log) = tracked.get("CHANGELOG.md") else {
        return Some(Finding::whole("CHANGELOG.md", "is not there"));
    };
    let known = log.text.lines().any(|line| line.starts_with("## ") && line.contains(version));
    (!known).then(|| Finding::whole("CHANGELOG.md", format!("has no heading for version {version}")))
}

/// What a promise may name.
struct Known<'t> {
    /// The files that there are.
    tracked: &'t [Text],
    /// The names of the kinds of faults.
    faults: BTreeSet<String>,
}

impl<'t> Known<'t> {
    fn of(tracked: &'t Tracked) -> Self {
        // Each kind stands as `("kills", kills::run)`.
        let text = tracked.get("crates/xtask/src/faults.rs").map_or("", |file| file.text.as_str());
        let kind = |line: &str| line.trim().strip_prefix("(\"")?.split_once("\", ").map(|(name, _)| name.to_owned());
        Self { tracked: &tracked.files, faults: text.lines().filter_map(kind).collect() }
    }

    /// What is wrong with a proof: no file of tests where it says, no test of that name in it, no such kind of fault.
    fn faulty(&self, proof: &str) -> Vec<String> {
        let (mut wrong, mut file, mut named) = (Vec::new(), PathBuf::new(), 0);
        for (at, part) in proof.split('`').enumerate() {
            if at % 2 == 0 {
                continue;
            }
            let after = proof.split('`').nth(at + 1).unwrap_or_default();
            named += 1;
            if part.starts_with("cargo xtask faults") {
                let kinds = after.trim_start().strip_prefix('(').and_then(|rest| rest.split(')').next());
                let Some(kinds) = kinds else {
                    wrong.push("names no kinds of faults".to_owned());
                    continue;
                };
                let unknown = kinds.split(',').map(str::trim).filter(|kind| !self.faults.contains(*kind));
                wrong.extend(unknown.map(|kind| format!("no kind of faults is named `{kind}`")));
            } else if part.contains('/') || part.ends_with(".rs") {
                // A bare name lies beside the one before.
                let beside = file.parent().unwrap_or(Path::new("")).join(part);
                file = if part.contains('/') { PathBuf::from(part) } else { beside };
                if !self.has_tests(&file) {
                    wrong.push(format!("no tests are in `{}`", file.display()));
                }
            } else if !self.has_test(&file, part) {
                wrong.push(format!("no test in `{}` is named `{part}`", file.display()));
            }
        }
        if named == 0 {
            wrong.push("a promise that names no test".to_owned());
        }
        wrong
    }

    fn below(&self, place: &Path) -> impl Iterator<Item = &'t Text> {
        self.tracked.iter().filter(move |file| file.is_rust() && file.path.starts_with(place))
    }

    fn has_tests(&self, place: &Path) -> bool {
        let of_tests = ["#[test]", "proptest!"];
        self.below(place).any(|file| of_tests.iter().any(|mark| file.code.contains(mark)))
    }

    fn has_test(&self, place: &Path, name: &str) -> bool {
        let begins = format!("fn {name}(");
        self.below(place).any(|file| file.code.contains(&begins))
    }
}

/// Each row of the table under the heading `Promises` names at least one file of tests, or kind of faults, that is there.
fn promises(readme: &Text, known: &Known<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut finding = |line, what: String| found.push(Finding { file: readme.path.clone(), line, what });
    let (mut inside, mut rows) = (false, 0);
    for (line, text) in prose(&readme.text) {
        if text.starts_with("## ") {
            inside = text.contains("Promises");
            continue;
        }
        let is_head = text.contains("| ---") || text.starts_with("| promise ");
        if !inside || !text.starts_with('|') || is_head {
            continue;
        }
        rows += 1;
        let proof = text.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        known.faulty(proof).into_iter().for_each(|what| finding(line, what));
    }
    if rows == 0 {
        finding(1, "has no table of promises with their tests".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_are_found() {
        let file = Text::new(
            "docs/a.md",
            "[x](b.md#part) [y](../README.md) [z](https://e.org/c.md) [w](gone.md)\n```\n[v](no.md)\n```\n",
        );
        let exists = |path: &Path| path == Path::new("docs/b.md") || path == Path::new("README.md");
        let found = dead_links(&file, &exists);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("gone.md"));
    }

    #[test]
    fn promises_need_tests_that_exist() {
        let tracked = [
            Text::new("crates/a/tests/it/one.rs", "#[test]\nfn here() {}\n"),
            Text::new("crates/a/tests/it/two.rs", "fn helper() {}\n"),
        ];
        let known = Known { tracked: &tracked, faults: BTreeSet::from(["kills".to_owned()]) };
        let rows = [
            ("| One | `crates/a/tests/it/one.rs` (`here`), `cargo xtask faults` (kills) |", None),
            ("| A directory | `crates/a/tests` |", None),
            ("| No name | by hand |", Some("names no test")),
            ("| Gone | `crates/a/tests/it/gone.rs` |", Some("gone.rs")),
            ("| Beside | `crates/a/tests/it/one.rs`, `two.rs` |", Some("crates/a/tests/it/two.rs")),
            ("| Another test | `crates/a/tests/it/one.rs` (`there`) |", Some("`there`")),
            ("| Another fault | `cargo xtask faults` (kills, spills) |", Some("spills")),
            ("| Any fault | `cargo xtask faults` |", Some("no kinds")),
        ];
        for (row, wrong) in rows {
            let text = format!("## Promises\n\n| promise | test |\n| --- | --- |\n{row}\n\n## Else\n| x | y |\n");
            let found = promises(&Text::new("README.md", &text), &known);
            assert_eq!(found.len(), usize::from(wrong.is_some()), "{row}");
            assert!(found.iter().all(|one| one.line == 5 && one.what.contains(wrong.unwrap_or_default())), "{row}");
        }
        let without = Text::new("README.md", "## Promises\n\nMany.\n");
        assert_eq!(promises(&without, &known).len(), 1, "a table that is gone is found");
    }
}
