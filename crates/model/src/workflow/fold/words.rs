//! Words that the protocol has for what messages say of errors and of others' checkpoints.
//!
//! Owns the lists. Refuses to judge: a word that is none of them is kept, and noted.

/// The group in which a key stands (or beside it), the key, and its words.
pub type Known = (&'static str, &'static str, &'static [&'static str]);

/// Of an `error_report`. Its `type` is open: errors are of more kinds than anybody lists.
pub const OF_ERRORS: &[Known] = &[
    ("classification", "category", &["execution", "resource", "dependency", "state", "system"]),
    ("classification", "severity", &["critical", "high", "medium", "low", "info"]),
    ("classification", "scope", &["workflow", "phase", "task", "agent", "system"]),
];

const VERDICTS: &[&str] = &["passed", "failed", "unknown"];

/// Of a `checkpoint_sync`.
pub const OF_CHECKPOINTS: &[Known] = &[
    ("", "checkpoint_type", &["phase_complete", "phase_boundary", "incremental", "emergency", "manual"]),
    (
        "",
        "trigger",
        &["automatic", "manual", "failure_prevention", "phase_completion", "time_interval", "pre_critical"],
    ),
    ("validation_results", "integrity_check", VERDICTS),
    ("validation_results", "dependency_validation", VERDICTS),
    ("validation_results", "resource_consistency", VERDICTS),
];
