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
    let tests = test_names(tracked);
    found.extend(tracked.get("README.md").map(|readme| promises(readme, &tests)).unwrap_or_default());
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

/// Names of all functions that are tests, or that stand in files of tests.
fn test_names(tracked: &Tracked) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in tracked.rust() {
        let mut marked = false;
        for line in file.code.lines().map(str::trim) {
            marked |= line.starts_with("#[test]");
            let Some(rest) = line.strip_prefix("fn ").filter(|_| marked || file.is_test()) else { continue };
            names.extend(rest.split(['(', '<']).next().map(str::to_owned));
            marked = false;
        }
    }
    names
}

/// Each numbered line under the heading `Promises` names at least one test that is there, after `Proof:`.
fn promises(readme: &Text, tests: &BTreeSet<String>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut finding = |line, what: String| found.push(Finding { file: readme.path.clone(), line, what });
    for (line, text) in promise_items(&readme.text) {
        let Some((_, proof)) = text.split_once("Proof:") else {
            finding(line, "a promise without `Proof:` and a test's name".to_owned());
            continue;
        };
        let names: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            finding(line, "a promise whose proof names no test".to_owned());
        }
        for name in names.iter().filter(|name| !tests.contains(**name)) {
            finding(line, format!("no test is named `{name}`"));
        }
    }
    found
}

/// The items of the list of promises: the line where each begins, and its text.
fn promise_items(text: &str) -> Vec<(usize, String)> {
    let mut items: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (line, text) in prose(text) {
        if text.starts_with("## ") {
            inside = text.contains("Promises");
        } else if inside && text.starts_with(|c: char| c.is_ascii_digit()) {
            items.push((line, text.to_owned()));
        } else if let Some((_, item)) = items.last_mut().filter(|_| inside) {
            item.push(' ');
            item.push_str(text);
        }
    }
    items
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
        let text =
            "## Promises\n\n1. One.\n   Proof: `here`.\n2. Two.\n3. Three. Proof: `gone`.\n\n## Else\n4. Four.\n";
        let tests = BTreeSet::from(["here".to_owned()]);
        let lines: Vec<_> = promises(&Text::new("README.md", text), &tests).iter().map(|f| f.line).collect();
        assert_eq!(lines, [5, 6]);
    }
}
