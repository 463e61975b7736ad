//! Progress on standard error: what is being done, how fast, how much is left.
//!
//! Owns when it appears (after half a second, on a terminal only) and that it is gone before anything else is printed.
//! Refuses to know what is being done: it reads counters.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use wfr_engine::session::{Meter, RecoveryStage as OfRecovery};

use crate::arguments::Global;

/// Work that ends sooner shows none.
const PATIENCE: Duration = Duration::from_millis(500);

/// The time between two lines.
const BEAT: Duration = Duration::from_millis(100);

/// Progress that is shown until this is dropped.
pub struct Progress {
    /// Dropping it ends the thread at once.
    ended: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to watch the counters, where somebody can see it.
    pub fn watch(meter: &Arc<Meter>, global: &Global) -> Self {
        if global.quiet || !std::io::stderr().is_terminal() {
            return Self { ended: None, thread: None };
        }
        let (ended, wait) = mpsc::channel();
        let meter = Arc::clone(meter);
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || show(&meter, &wait));
        Self { ended: Some(ended), thread: thread.ok() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.ended.take());
        if let Some(thread) = self.thread.take() {
            // It only draws: were it to panic, the work would be no worse for it.
            let _ = thread.join();
        }
    }
}

fn show(meter: &Meter, wait: &mpsc::Receiver<()>) {
    let mut stage = (Stage::default(), Instant::now());
    let mut pause = PATIENCE;
    let mut bar = None;
    while wait.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let bar = bar.get_or_insert_with(bar_on_stderr);
        let reading = Reading::of(meter);
        if stage.0 != reading.stage() {
            stage = (reading.stage(), Instant::now() - pause);
        }
        bar.set_message(line(&reading, stage.1.elapsed()));
        bar.tick();
        pause = BEAT;
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

fn bar_on_stderr() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::default_spinner());
    bar
}

/// The counters at one moment.
#[derive(Clone, Copy, Default)]
struct Reading {
    entries: u64,
    read: u64,
    written: u64,
    recovery: Option<(OfRecovery, u64, u64)>,
    objects: u64,
    objects_all: u64,
    entries_expected: u64,
    bytes_expected: u64,
}

/// What is being done: rates and times left are those of one stage.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// The tree is looked at.
    #[default]
    Scan,
    /// Bytes are checked or written, so many objects or bytes in all.
    Bytes(u64),
    /// A recovery is at work, and at what.
    Recovery(OfRecovery),
}

impl Reading {
    fn of(meter: &Meter) -> Self {
        Self {
            entries: meter.scan.entries(),
            read: meter.scan.bytes(),
            written: meter.bytes.load(Relaxed),
            recovery: meter.recovery.stage().map(|stage| {
                let (done, all) = meter.recovery.of(stage);
                (stage, done as u64, all as u64)
            }),
            objects: meter.objects.0.load(Relaxed) as u64,
            objects_all: meter.objects.1.load(Relaxed) as u64,
            entries_expected: meter.entries_expected.load(Relaxed),
            bytes_expected: meter.bytes_expected.load(Relaxed),
        }
    }

    fn stage(&self) -> Stage {
        match (self.recovery, self.written) {
            (Some((stage, ..)), _) => Stage::Recovery(stage),
            (None, 1..) => Stage::Bytes(self.objects_all.max(self.bytes_expected)),
            _ => Stage::Scan,
        }
    }
}

/// One line: the stage with its rate and, where its end is known, the time left.
fn line(at: &Reading, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(0.001);
    let rate = |bytes: u64| HumanBytes((bytes as f64 / seconds) as u64);
    match at.stage() {
        Stage::Recovery(stage) => {
            let (done, all) = at.recovery.map_or((0, 0), |(_, done, all)| (done, all));
            let what = match stage {
                OfRecovery::Staging => "files staged",
                OfRecovery::Flushing => return "flushing to disk".to_owned(),
                OfRecovery::Steps => "steps",
                OfRecovery::Settling => "displaced files settled",
                OfRecovery::Comparing => "paths compared",
            };
            let counts = format!("{} of {} {what}", HumanCount(done), HumanCount(all));
            format!("{counts}, {:.0}/s{}", done as f64 / seconds, left(took, done, all))
        }
        Stage::Bytes(_) => {
            let of_objects = (at.objects, at.objects_all);
            let (done, all) = if at.objects_all > 0 { of_objects } else { (at.written, at.bytes_expected) };
            format!("{}, {}/s{}", HumanBytes(at.written), rate(at.written), left(took, done, all))
        }
        Stage::Scan => {
            let per_second = HumanCount((at.entries as f64 / seconds) as u64);
            let (entries, read, left) =
                (HumanCount(at.entries), rate(at.read), left(took, at.entries, at.entries_expected));
            format!("{entries} entries, {per_second}/s; {} read, {read}/s{left}", HumanBytes(at.read))
        }
    }
}

/// The time left, behind a comma; nothing where it is not known how much there is, or all is done.
fn left(took: Duration, done: u64, all: u64) -> String {
    if done == 0 || done >= all {
        return String::new();
    }
    format!(", {} left", HumanDuration(took.mul_f64((all - done) as f64 / done as f64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_rate_and_time_left() {
        let took = Duration::from_secs(2);
        let scan = Reading { entries: 20_000, read: 4 << 20, ..Reading::default() };
        assert_eq!(line(&scan, took), "20,000 entries, 10,000/s; 4.00 MiB read, 2.00 MiB/s");
        let at = |stage| Reading { recovery: Some((stage, 100, 400)), written: 1, ..scan };
        assert_eq!(line(&at(OfRecovery::Staging), took), "100 of 400 files staged, 50/s, 6 seconds left");
        assert_eq!(line(&at(OfRecovery::Flushing), took), "flushing to disk");
        assert_eq!(line(&at(OfRecovery::Steps), took), "100 of 400 steps, 50/s, 6 seconds left");
        assert_eq!(line(&at(OfRecovery::Settling), took), "100 of 400 displaced files settled, 50/s, 6 seconds left");
        assert!(at(OfRecovery::Staging).stage() != at(OfRecovery::Steps).stage(), "each has a rate of its own");
        assert_eq!(
            line(&Reading { entries_expected: 10, ..scan }, took),
            line(&scan, took),
            "there is more than before"
        );
        let known = line(&Reading { entries_expected: 60_000, ..scan }, took);
        assert!(known.ends_with(", 2.00 MiB/s, 4 seconds left"), "{known}");
        let bytes = Reading { written: 2 << 20, ..scan };
        assert_eq!(line(&bytes, took), "2.00 MiB, 1.00 MiB/s");
        let all = Reading { bytes_expected: 6 << 20, ..bytes };
        assert_eq!(line(&all, took), "2.00 MiB, 1.00 MiB/s, 4 seconds left");
        assert_eq!(line(&Reading { objects: 1, objects_all: 2, ..all }, took), "2.00 MiB, 1.00 MiB/s, 2 seconds left");
    }
}
