//! Whether a state can be: the reference's structural, semantic and cross-reference layers, as functions of the state.
//!
//! Owns the rules and their codes. The checksum layer needs what is kept on disk, so it is found by who keeps it; its
//! findings have the same shape. Refuses to change a state: a finding says what would mend it, see [`mend`].

mod crossing;
mod graph;
pub mod mend;
mod semantic;
mod structural;

use serde::{Deserialize, Serialize};

use super::Whole;
use crate::finding::Severity;

pub use mend::{Mend, Repair};

/// The format of a state that this version writes. One that says a higher number was written by a later version.
pub const STATE_FORMAT: u64 = 1;

/// How a state is looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// What is kept is what was written.
    Checksum,
    /// Its parts fit together.
    Structural,
    /// It makes sense.
    Semantic,
    /// It fits what it refers to.
    CrossReference,
}

/// One thing that is wrong with a state.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StateFinding {
    /// A stable code in capitals.
    pub code: String,
    /// Which layer found it.
    pub layer: Layer,
    /// Where: `tasks/t1/assigned_agent`, `phases/2/status`, `status`.
    pub place: String,
    /// How bad it is. From `error` on the state is invalid.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What would mend it; `null` where only a person can say.
    pub repair: Option<Repair>,
}

/// What a state is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// How many events it was folded from, where that is known.
    pub events: Option<u64>,
    /// Which layers to look at.
    pub layers: Layers,
}

/// The layers to look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layers {
    /// Whether sense is looked for.
    pub semantic: bool,
    /// Whether references are followed.
    pub cross_reference: bool,
}

impl Default for Layers {
    fn default() -> Self {
        Self { semantic: true, cross_reference: true }
    }
}

/// Everything that is wrong with a state, in the order of layers and places.
pub fn validate(whole: &Whole, context: Context) -> Vec<StateFinding> {
    let mut findings = Findings { found: Vec::new(), layer: Layer::Structural };
    structural::check(whole, &mut findings);
    if context.layers.semantic {
        findings.layer = Layer::Semantic;
        semantic::check(whole, &mut findings);
        let _edges = graph::check(whole, &mut findings);
    }
    if context.layers.cross_reference {
        findings.layer = Layer::CrossReference;
        crossing::check(whole, context.events, &mut findings);
    }
    findings
        .found
        .sort_by(|one, other| (one.layer, &one.place, &one.code).cmp(&(other.layer, &other.place, &other.code)));
    findings.found
}

/// Whether a state's counts are those of its tasks. An event changes counts by what it changes itself, so they never come right
/// by one.
pub fn is_counted(whole: &Whole) -> bool {
    let mut findings = Findings { found: Vec::new(), layer: Layer::Structural };
    structural::counts(whole, &mut findings);
    findings.found.is_empty()
}

/// Whether nothing that was found makes a state invalid.
pub fn is_valid(findings: &[StateFinding]) -> bool {
    findings.iter().all(|finding| finding.severity < Severity::Error)
}

/// Who waits for whom, as pairs of places (`tasks/t2`, `phases/1`), and what is wrong with that: circles, and what is not
/// there.
pub fn dependencies(whole: &Whole) -> (Vec<(String, String)>, Vec<StateFinding>) {
    let mut findings = Findings { found: Vec::new(), layer: Layer::Semantic };
    let edges = graph::check(whole, &mut findings);
    let pairs = edges.into_iter().flat_map(|(from, list)| list.into_iter().map(move |(to, _)| (from.clone(), to)));
    (pairs.collect(), findings.found)
}

/// What was found so far.
struct Findings {
    found: Vec<StateFinding>,
    layer: Layer,
}

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        code: &str,
        place: impl Into<String>,
        message: impl Into<String>,
        repair: Option<Repair>,
    ) {
        let (code, place, message) = (code.to_owned(), place.into(), message.into());
        self.found.push(StateFinding { code, layer: self.layer, place, severity, message, repair });
    }

    fn error(&mut self, code: &str, place: impl Into<String>, message: impl Into<String>, repair: Option<Repair>) {
        self.add(Severity::Error, code, place, message, repair);
    }

    fn warning(&mut self, code: &str, place: impl Into<String>, message: impl Into<String>, repair: Option<Repair>) {
        self.add(Severity::Warning, code, place, message, repair);
    }
}
