//! What was there at a checkpoint and is missing, or another one, when it is restored.
//!
//! Owns the comparison. Refuses to decide what follows from it, and to miss what the restore itself brings back.

use wfr_catalog::CheckpointRow;
use wfr_model::TreePath;
use wfr_model::config::DependencyValidation;
use wfr_model::finding::{Finding, Severity};
use wfr_store::{Objects, tree};

use super::kept::Kept;
use super::{Declared, Need, Probed, Scope, start};
use crate::manifests;
use crate::open::Open;
use crate::results::Verdict;
use crate::session::Session;

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validated {
    /// Whether all is there that was; `skipped` where nothing was looked for.
    pub verdict: Verdict,
    /// What is not.
    pub findings: Vec<Finding>,
}

/// What a checkpoint says of its workflow's needs; `None` where it says nothing that can be read.
fn of_checkpoint(objects: &dyn Objects, row: &CheckpointRow) -> Option<Kept> {
    let manifest = manifests::manifest(objects, row).ok()?;
    serde_json::from_value(manifest.dependencies?).ok()
}

/// Looks again for what was there at a checkpoint. What is the workflow's own is left out: its state comes back, too.
pub fn validate(
    open: &Open,
    session: &Session,
    objects: &dyn Objects,
    row: &CheckpointRow,
    depth: DependencyValidation,
) -> Validated {
    if depth == DependencyValidation::None {
        return Validated::default();
    }
    let Some(kept) = of_checkpoint(objects, row) else { return Validated::default() };
    let was_there = |one: &Probed| one.scope == Scope::External && one.status == Verdict::Passed;
    let comes_back = |one: &Probed| is_in_tree(objects, row, &Declared::of(one));
    let then: Vec<Probed> = kept.probes.into_iter().filter(|one| was_there(one) && !comes_back(one)).collect();
    let declared = then.iter().map(Declared::of).collect();
    let limits = (depth.asks_for_versions(), open.config.dependencies.budget());
    let now = start(open.root(), session, None, declared, limits).finish();
    compare(&then, &now)
}

/// Whether what is needed lies in the checkpoint's own tree.
fn is_in_tree(objects: &dyn Objects, row: &CheckpointRow, declared: &Declared) -> bool {
    let path = match &declared.need {
        Need::File(path) => path.to_str(),
        Need::Tool(_) if declared.name.contains('/') => Some(declared.name.as_str()),
        _ => None,
    };
    let path = path.map(|path| path.trim_start_matches("./").trim_end_matches('/'));
    let (Some(root), Some(Ok(path))) = (row.tree, path.map(str::parse::<TreePath>)) else { return false };
    tree::lookup(objects, &root, &path).is_ok_and(|entry| entry.is_some())
}

/// Compares what was found then with what is found now, in the same order.
fn compare(then: &[Probed], now: &[Probed]) -> Validated {
    let findings: Vec<Finding> = then.iter().zip(now).filter_map(|(then, now)| difference(then, now)).collect();
    let is_bad = |finding: &Finding| finding.severity > Severity::Info;
    let is_known = now.iter().any(|one| one.status != Verdict::Skipped);
    let verdict = if is_known { Verdict::of(!findings.iter().any(is_bad)) } else { Verdict::Skipped };
    Validated { verdict, findings }
}

/// What to do about another version.
const OTHER_VERSION: &str = "bring that version back, or see that this one does as well";

fn difference(then: &Probed, now: &Probed) -> Option<Finding> {
    let what = format!("{} `{}`", now.kind, now.name);
    match (now.status, &then.version, &now.version) {
        // It is there: what it lacks is the version that is asked for.
        (Verdict::Failed, _, Some(_)) => {
            let message = format!("{what} was there as asked for at the checkpoint and is another one: {}", now.detail);
            Some(Finding::new("DEPENDENCY_CHANGED", Severity::Warning, message, OTHER_VERSION))
        }
        (Verdict::Failed, _, None) => {
            let message = format!("{what} was there at the checkpoint and is missing: {}", now.detail);
            let fix = "bring it back, or go on without it";
            Some(Finding::new("DEPENDENCY_MISSING", Severity::Warning, message, fix))
        }
        (Verdict::Skipped, _, _) => {
            let message =
                format!("{what} was there at the checkpoint; whether it still is, is not known: {}", now.detail);
            Some(Finding::new("DEPENDENCY_UNKNOWN", Severity::Info, message, "look for it yourself"))
        }
        (Verdict::Passed, Some(before), Some(version)) if before != version => {
            let message = format!("{what} was `{before}` at the checkpoint and is `{version}`");
            Some(Finding::new("DEPENDENCY_CHANGED", Severity::Warning, message, OTHER_VERSION))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(status: Verdict, version: Option<&str>) -> Probed {
        Probed {
            name: "git".into(),
            scope: Scope::External,
            kind: "tool".into(),
            target: None,
            version: version.map(str::to_owned),
            status,
            detail: "d".into(),
        }
    }

    #[test]
    fn what_is_missing_or_another_one_is_found() {
        let then = [probed(Verdict::Passed, Some("git 1"))];
        let against = |now: Probed| {
            let found = compare(&then, &[now]);
            (found.verdict, found.findings.first().map(|finding| finding.code.clone()))
        };
        let code = |code: &str| Some(code.to_owned());
        assert_eq!(against(probed(Verdict::Passed, Some("git 1"))), (Verdict::Passed, None));
        assert_eq!(against(probed(Verdict::Passed, None)), (Verdict::Passed, None));
        assert_eq!(against(probed(Verdict::Passed, Some("git 2"))), (Verdict::Failed, code("DEPENDENCY_CHANGED")));
        assert_eq!(against(probed(Verdict::Failed, Some("git 2"))), (Verdict::Failed, code("DEPENDENCY_CHANGED")));
        assert_eq!(against(probed(Verdict::Failed, None)), (Verdict::Failed, code("DEPENDENCY_MISSING")));
        assert_eq!(against(probed(Verdict::Skipped, None)), (Verdict::Skipped, code("DEPENDENCY_UNKNOWN")));
        assert_eq!(compare(&[], &[]), Validated::default());
    }
}
