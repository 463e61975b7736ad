//! Benches: what `wfr` costs, beside its peers and the machine's own limits, in one run on one tree.
//!
//! Owns what is measured and how the figures are shown. Refuses to fail on a slow machine: figures are for people.

mod bare;
mod events;
mod exec;
mod growth;
mod hook;
mod ledger;
mod list;
mod mcp;
mod measure;
mod peers;
mod site;
mod small;
mod snapshot;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

/// How the chore is called.
pub const USAGE: &str =
    "  bench       snapshot --tree DIR | growth | list | mcp | small | events | exec | ledger [--tree DIR] | hook --tree DIR
              [--work DIR] [--wfr FILE] [--repeat N]
              [--files N,N,...] [--events N] [--changes N]
              measures wfr; `snapshot` also git, restic, borg and rustic where they are installed";

/// What was asked for.
pub struct Options {
    /// The tree to take checkpoints of; `snapshot`, `ledger` and `hook` only.
    pub tree: PathBuf,
    /// Where stores and copies go.
    pub work: PathBuf,
    /// The program under test.
    pub wfr: PathBuf,
    /// How often each measurement is repeated; the median counts.
    pub repeat: usize,
    /// How many events; `events` only.
    pub events: usize,
    /// How many changes; `ledger` only.
    pub changes: usize,
    /// Sizes for `growth`.
    pub files: Vec<usize>,
}

/// Runs the chore with its own arguments.
pub fn run(root: &std::path::Path, words: &[&str]) -> ExitCode {
    let [what, words @ ..] = words else { return refuse("bench needs a name") };
    let options = match parse(words) {
        Ok(options) => options,
        Err(why) => return refuse(&why),
    };
    let built = if options.wfr.as_os_str().is_empty() { crate::build::release(root) } else { Ok(options.wfr.clone()) };
    let done = built.and_then(|wfr| {
        let wfr = std::fs::canonicalize(wfr).map_err(|error| format!("cannot find wfr: {error}"))?;
        let options = Options { wfr, ..options };
        std::fs::create_dir_all(&options.work).map_err(|error| format!("cannot make the work directory: {error}"))?;
        let done = match *what {
            "snapshot" => snapshot::run(&options),
            "growth" => growth::run(&options),
            "list" => list::run(&options),
            "mcp" => mcp::run(&options),
            "events" => events::run(root, &options),
            "hook" => hook::run(&options),
            "exec" => exec::run(root, &options),
            "ledger" => ledger::run(&options),
            "small" => small::run(&options),
            other => Err(format!("no bench is named `{other}`")),
        };
        site::clear_aside(&options.work);
        done
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}\n{USAGE}");
    ExitCode::from(2)
}

fn parse(words: &[&str]) -> Result<Options, String> {
    let work = std::env::temp_dir().join("wfr-bench");
    let files = vec![1_000, 10_000, 100_000, 500_000];
    let (events, changes) = (1_000_000, 100_000);
    let mut options = Options { tree: PathBuf::new(), work, wfr: PathBuf::new(), repeat: 3, events, changes, files };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("`{text}` is not a number"));
        match *word {
            "--tree" => options.tree = PathBuf::from(value),
            "--work" => options.work = PathBuf::from(value),
            "--wfr" => options.wfr = PathBuf::from(value),
            "--events" => options.events = number(value)?.max(1),
            "--changes" => options.changes = number(value)?.max(2),
            "--repeat" => options.repeat = number(value)?.max(1),
            "--files" => options.files = value.split(',').map(number).collect::<Result<_, _>>()?,
            other => return Err(format!("`{other}` is not known")),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn arguments_are_read_or_refused() {
        let options = parse(&["--repeat", "5", "--files", "10,20"]).unwrap();
        assert_eq!((options.repeat, options.files), (5, vec![10, 20]));
        assert!(parse(&["--repeat"]).is_err() && parse(&["--files", "x"]).is_err() && parse(&["--fast", "1"]).is_err());
    }
}
