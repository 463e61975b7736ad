//! The figures as Markdown tables, ready for `docs/performance.md`.
//!
//! Owns units and columns. Refuses to measure.

use super::measure::Cost;

/// A row of the table against the targets.
pub struct Target {
    /// What is measured.
    pub what: &'static str,
    /// The measured figure, in the unit of `must` and `aim`.
    pub measured: f64,
    /// What it must not exceed.
    pub must: f64,
    /// What it should reach.
    pub aim: f64,
    /// How the two were found: `0.45 x borg`.
    pub rule: String,
    /// The unit of the three figures.
    pub unit: &'static str,
}

impl Target {
    /// Prints the row.
    fn print(&self) {
        let verdict = match self.measured {
            measured if measured <= self.aim => "aim reached",
            measured if measured <= self.must => "must reached",
            _ => "**missed**",
        };
        let figure = |value: f64| format!("{} {}", digits(value), self.unit);
        let (measured, must, aim) = (figure(self.measured), figure(self.must), figure(self.aim));
        println!("| {} | {measured} | {must} | {aim} | {verdict} | {} |", self.what, self.rule);
    }
}

/// Prints the table against the targets.
pub fn print_targets(targets: &[Target]) {
    println!("\n| | measured | must | aim | verdict | must / aim are |\n| --- | --- | --- | --- | --- | --- |");
    targets.iter().for_each(Target::print);
}

/// Prints all measured costs.
pub fn print_costs(costs: &[(String, Cost)]) {
    println!("\n| run | wall, s | CPU, s | peak, MB |\n| --- | --- | --- | --- |");
    for (name, cost) in costs {
        println!("| {name} | {:.3} | {:.2} | {:.0} |", cost.wall, cost.cpu, cost.peak_mb);
    }
}

/// Three significant digits.
fn digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}
