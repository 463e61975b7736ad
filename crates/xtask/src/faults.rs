//! Faults: kills, failing calls, damage, power cuts, crowds, full disks and races against the built `wfr`.
//!
//! Owns the list of cases, their counts and the verdict. Refuses to look inside: everything goes through the
//! command line, as a user's own script would.

mod crowd;
mod errors;
mod flips;
mod full;
mod kills;
mod mounts;
mod obstacles;
mod operation;
mod power;
mod races;
mod strace;
mod tally;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tally::{Tallies, Tally};

/// What to run, how much of it, and on which program.
pub struct Plan {
    /// The program under test.
    pub wfr: PathBuf,
    /// The part that CI runs: every case, at a sample of its points.
    pub short: bool,
    /// Only points whose label contains this text, to repeat a failure.
    pub point: Option<String>,
    /// Seed of what is random.
    pub seed: u64,
    /// Where worlds are made.
    pub dir: PathBuf,
    /// Worlds at a time.
    pub jobs: usize,
    /// How long each kind of flips may go on, which would take hours: they come in random order.
    pub flipping: Option<Duration>,
}

/// One kind of fault.
type Case = (&'static str, fn(&Plan) -> Tallies<'_>);

/// All kinds.
const CASES: [Case; 8] = [
    ("kills", kills::run),
    ("errors", errors::run),
    ("flips", flips::run),
    ("power", power::run),
    ("crowd", crowd::run),
    ("full", full::run),
    ("races", races::run),
    ("obstacles", obstacles::run),
];

/// How the chore is called.
pub const USAGE: &str =
    "  faults      [--short] [--case NAME]... [--point TEXT] [--wfr FILE] [--dir DIR] [--jobs N] [--seed N]
              [--minutes N, of each kind of flips]
              runs wfr under faults and prints the counts; fails where a promise broke";

/// Runs the chore with its own arguments.
pub fn run(root: &Path, words: &[&str]) -> ExitCode {
    let (plan, cases) = match parse(words) {
        Ok(parsed) => parsed,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let plan = match plan.wfr.as_os_str().is_empty() {
        false => plan,
        true => match crate::build::release(root) {
            Ok(wfr) => Plan { wfr, ..plan },
            Err(why) => {
                eprintln!("{why}");
                return ExitCode::FAILURE;
            }
        },
    };
    let chosen = CASES.iter().filter(|(name, _)| cases.is_empty() || cases.iter().any(|case| case == name));
    tally::print_head();
    let mut all = Vec::new();
    for (_, case) in chosen {
        all.extend(case(&plan).inspect(Tally::print));
    }
    tally::verdict(&all, plan.seed)
}

/// The plan and the names of the cases that were asked for; none means all.
fn parse(words: &[&str]) -> Result<(Plan, Vec<String>), String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let dir = std::env::temp_dir();
    let mut plan = Plan { wfr: PathBuf::new(), short: false, point: None, seed: 1, dir, jobs, flipping: None };
    let mut cases = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().map(|text| (*text).to_owned()).ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("`{text}` is not a number"));
        match *word {
            "--short" => plan.short = true,
            "--case" => cases.push(value()?),
            "--point" => plan.point = Some(value()?),
            "--wfr" => plan.wfr = PathBuf::from(value()?),
            "--dir" => plan.dir = PathBuf::from(value()?),
            "--seed" => plan.seed = number(value()?)?,
            "--minutes" => plan.flipping = Some(Duration::from_secs(60 * number(value()?)?)),
            "--jobs" => plan.jobs = number(value()?)?.max(1) as usize,
            other => return Err(format!("`{other}` is not known")),
        }
    }
    match cases.iter().find(|case| CASES.iter().all(|(name, _)| name != case)) {
        Some(case) => Err(format!("no case is named `{case}`: {}", CASES.map(|(name, _)| name).join(", "))),
        None => Ok((plan, cases)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused() {
        let (plan, cases) = parse(&["--short", "--case", "kills", "--point", "write:3", "--seed", "9"]).unwrap();
        assert!(plan.short && plan.seed == 9 && plan.point.as_deref() == Some("write:3"));
        assert_eq!(cases, ["kills"]);
        for bad in [&["--case", "x"][..], &["--seed", "x"], &["--wfr"], &["kills"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
