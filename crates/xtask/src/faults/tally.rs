//! Counts of one kind of fault, and the verdict over all.
//!
//! Owns the table that people read. Refuses to decide what a violation is.

use std::process::ExitCode;

/// What came of a kind of fault on one operation.
#[derive(Debug, Default)]
pub struct Tally {
    /// The kind and the operation.
    pub name: String,
    /// How often the operation was run under a fault.
    pub runs: usize,
    /// How many of the runs the fault really hit.
    pub hits: usize,
    /// Broken promises, each with how to have it again.
    pub violations: Vec<String>,
    /// Why it could not run here.
    pub skipped: Option<String>,
}

/// What came of a case, one after another: each is there once its runs are over.
pub type Tallies<'p> = Box<dyn Iterator<Item = Tally> + 'p>;

/// What one run under a fault came to: whether the fault hit, and which promise broke.
pub type Run = (bool, Result<(), String>);

impl Tally {
    /// Nothing counted yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A kind that cannot run here, and why.
    ///
    /// What a package would provide is a failure under `WFR_TEST_STRICT=1`; what the machine does not permit is not.
    pub fn skipped(name: impl Into<String>, why: &str, installable: bool) -> Self {
        let mut tally = Self { name: name.into(), skipped: Some(why.to_owned()), ..Self::default() };
        if installable && wfr_testkit::strict() {
            tally.violations.push(format!("WFR_TEST_STRICT=1 and this cannot run: {why}"));
        }
        tally
    }

    /// The only one of its case.
    pub fn alone(self) -> Tallies<'static> {
        Box::new(std::iter::once(self))
    }

    /// Adds one run; `label` says how to have it again.
    pub fn add(&mut self, label: &str, run: Run) {
        self.runs += 1;
        self.hits += usize::from(run.0);
        if let Err(what) = run.1 {
            let what: String = what.chars().take(1_500).collect();
            println!("VIOLATION {} {label}: {what}", self.name);
            self.violations.push(format!("--case {} --point {label}: {what}", self.case()));
        }
    }

    /// The case's name, as `--case` takes it.
    fn case(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }

    /// Prints the row.
    pub fn print(&self) {
        let note = self.skipped.as_ref().map(|why| format!("SKIPPED: {why}")).unwrap_or_default();
        println!("{:<34}{:>8}{:>8}{:>12}  {note}", self.name, self.runs, self.hits, self.violations.len());
    }
}

/// Prints the table's head.
pub fn print_head() {
    println!("{:<34}{:>8}{:>8}{:>12}", "case and operation", "runs", "hits", "violations");
}

/// Prints all violations and the sums; fails where there is one, or where nothing was hit.
pub fn verdict(all: &[Tally], seed: u64) -> ExitCode {
    let sum = |of: fn(&Tally) -> usize| all.iter().map(of).sum::<usize>();
    let violations: Vec<&String> = all.iter().flat_map(|tally| &tally.violations).collect();
    let skipped = all.iter().filter(|tally| tally.skipped.is_some()).count();
    println!("{:<34}{:>8}{:>8}{:>12}", "all", sum(|t| t.runs), sum(|t| t.hits), violations.len());
    for violation in violations.iter().take(50) {
        println!("again: cargo xtask faults --seed {seed} {violation}");
    }
    let idle = all.iter().filter(|tally| tally.skipped.is_none() && tally.hits == 0).map(|tally| tally.name.as_str());
    let idle: Vec<&str> = idle.collect();
    if !idle.is_empty() {
        println!("no fault was ever hit in: {}", idle.join(", "));
    }
    let verdict = if violations.is_empty() && idle.is_empty() { "ok" } else { "FAILED" };
    println!("faults: {verdict}. {} faults hit, {} violations, {skipped} skipped", sum(|t| t.hits), violations.len());
    if verdict == "ok" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
