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
use wfr_engine::session::Meter;

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
    let began = Instant::now();
    let mut pause = PATIENCE;
    let mut bar = None;
    while wait.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let bar = bar.get_or_insert_with(bar_on_stderr);
        bar.set_message(line(&Reading::of(meter), began.elapsed()));
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
    done: u64,
    all: u64,
}

impl Reading {
    fn of(meter: &Meter) -> Self {
        Self {
            entries: meter.scan.entries(),
            read: meter.scan.bytes(),
            written: meter.bytes.load(Relaxed),
            done: meter.steps.0.load(Relaxed) as u64,
            all: meter.steps.1.load(Relaxed) as u64,
        }
    }
}

/// One line: the latest stage that has begun, with its rate and, where its end is known, the time left.
fn line(at: &Reading, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(0.001);
    let rate = |bytes: u64| HumanBytes((bytes as f64 / seconds) as u64);
    if at.all > 0 {
        let left = took.mul_f64(at.all.saturating_sub(at.done) as f64 / at.done.max(1) as f64);
        let (done, all) = (HumanCount(at.done), HumanCount(at.all));
        return format!("{done} of {all} steps, {:.0}/s, {} left", at.done as f64 / seconds, HumanDuration(left));
    }
    if at.written > 0 {
        return format!("{}, {}/s", HumanBytes(at.written), rate(at.written));
    }
    let per_second = HumanCount((at.entries as f64 / seconds) as u64);
    format!("{} entries, {per_second}/s; {} read, {}/s", HumanCount(at.entries), HumanBytes(at.read), rate(at.read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_rate_and_time_left() {
        let took = Duration::from_secs(2);
        let scan = Reading { entries: 20_000, read: 4 << 20, ..Reading::default() };
        assert_eq!(line(&scan, took), "20,000 entries, 10,000/s; 4.00 MiB read, 2.00 MiB/s");
        let steps = Reading { done: 100, all: 400, ..scan };
        assert_eq!(line(&steps, took), "100 of 400 steps, 50/s, 6 seconds left");
        assert_eq!(line(&Reading { written: 2 << 20, ..scan }, took), "2.00 MiB, 1.00 MiB/s");
    }
}
