//! One measured run of a command: wall time, CPU time, peak memory.
//!
//! Owns the clock and the counters. Refuses to compare.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// GNU time: it reads the kernel's own counters of the command and its children (`wait4`).
const TIME: &str = "/usr/bin/time";

/// What a run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Wall time in seconds.
    pub wall: f64,
    /// CPU time in seconds, user and system; 0 where GNU time is not installed.
    pub cpu: f64,
    /// Peak resident memory in megabytes; 0 where GNU time is not installed.
    pub peak_mb: f64,
}

/// Runs a command to its end; standard output is dropped, an error text holds the end of standard error.
pub fn once(command: &mut Command) -> Result<Cost, String> {
    if !Path::new(TIME).exists() {
        return wall(command);
    }
    let log = tempfile::NamedTempFile::new().map_err(|error| format!("cannot make a file: {error}"))?;
    let cost = wall(&mut wrap(command, log.path()))?;
    let text = std::fs::read_to_string(log.path()).unwrap_or_default();
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let number = |at: usize| numbers.get(at).copied().unwrap_or(0.0);
    Ok(Cost { cpu: number(0) + number(1), peak_mb: number(2) / 1024.0, ..cost })
}

/// The same with the wall time alone: nothing stands between this process and the command, and no file is made, which
/// would cost the command's own flushes something.
pub fn wall(command: &mut Command) -> Result<Cost, String> {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let wall = start.elapsed().as_secs_f64();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {} {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(Cost { wall, cpu: 0.0, peak_mb: 0.0 })
}

/// The same command, environment and directory below GNU time.
fn wrap(command: &Command, log: &Path) -> Command {
    let mut wrapped = Command::new(TIME);
    wrapped.args(["-f", "%U %S %M", "-o"]).arg(log).arg(command.get_program()).args(command.get_args());
    inherit(command, &mut wrapped);
    wrapped
}

fn inherit(from: &Command, to: &mut Command) {
    for (key, value) in from.get_envs() {
        match value {
            Some(value) => to.env(key, value),
            None => to.env_remove(key),
        };
    }
    if let Some(dir) = from.get_current_dir() {
        to.current_dir(dir);
    }
}

/// Runs by name, in the order in which each name came first.
///
/// Where rounds of all that is compared are added one after the other, a machine that is slow for a while is slow for
/// all of it.
#[derive(Default)]
pub struct Runs(Vec<(String, Vec<Cost>)>);

impl Runs {
    /// Runs a command and adds it.
    pub fn measure(&mut self, name: &str, command: &mut Command) -> Result<(), String> {
        let cost = once(command)?;
        eprintln!("{name}: {:.3} s", cost.wall);
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, costs)) => costs.push(cost),
            None => self.0.push((name.to_owned(), vec![cost])),
        }
        Ok(())
    }

    /// The median run of each.
    pub fn medians(&self) -> Vec<(String, Cost)> {
        self.0.iter().map(|(name, costs)| (name.clone(), middle(costs))).collect()
    }

    /// The median wall time of a run, in seconds.
    pub fn wall(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, costs)| middle(costs).wall)
    }
}

/// The median by wall time, with the highest of the peaks; there is at least one.
fn middle(costs: &[Cost]) -> Cost {
    let peak_mb = costs.iter().map(|cost| cost.peak_mb).fold(0.0, f64::max);
    let mut sorted = costs.to_vec();
    sorted.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    Cost { peak_mb, ..sorted[sorted.len() / 2] }
}

/// The median run by wall time of `repeat` runs; `before` comes before each and is not measured.
pub fn median(
    repeat: usize,
    before: impl FnMut() -> Result<(), String>,
    command: impl FnMut() -> Command,
) -> Result<Cost, String> {
    median_of(repeat, before, command, once)
}

/// The same for commands of a few milliseconds: wall time alone, with nothing between.
pub fn median_wall(
    repeat: usize,
    before: impl FnMut() -> Result<(), String>,
    command: impl FnMut() -> Command,
) -> Result<Cost, String> {
    median_of(repeat, before, command, wall)
}

fn median_of(
    repeat: usize,
    mut before: impl FnMut() -> Result<(), String>,
    mut command: impl FnMut() -> Command,
    run: impl Fn(&mut Command) -> Result<Cost, String>,
) -> Result<Cost, String> {
    let mut costs = Vec::with_capacity(repeat);
    for _ in 0..repeat {
        before()?;
        costs.push(run(&mut command())?);
    }
    Ok(middle(&costs))
}

/// The median time in seconds of one flush: 4 KiB appended to a file of `dir`, then `fdatasync`.
pub fn flush(dir: &Path) -> Result<f64, String> {
    let failed = |error: std::io::Error| format!("cannot measure a flush: {error}");
    let path = dir.join("flush");
    let mut file = File::create(&path).map_err(failed)?;
    let mut times = Vec::new();
    for _ in 0..101 {
        let start = Instant::now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).map_err(failed)?;
        times.push(start.elapsed().as_secs_f64());
    }
    std::fs::remove_file(path).map_err(failed)?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_measured_and_failures_told() {
        let cost = median(3, || Ok(()), || Command::new("true")).unwrap();
        assert!(cost.wall > 0.0);
        assert!(once(&mut Command::new("false")).is_err());
    }
}
