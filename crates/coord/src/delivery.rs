//! Delivery to all sinks: who is due, in which order, what follows from a refusal.
//!
//! Owns the loop over each sink's part of the log, back-off and putting aside. Refuses to know how a sink is reached
//! beyond its kind. Sinks are served side by side: one that hangs keeps nobody waiting but itself.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wfr_catalog::{Catalog, CatalogError, Cursor, DeadLetter, Outgoing, Subscription};
use wfr_model::coordination::{Begin, Coordination, Sink, Target};
use wfr_model::{Span, Timestamp};

use crate::command;
use crate::file::Lines;
use crate::item::{Item, Refusal};
use crate::lock::Lock;
use crate::webhook::Webhook;

/// So many events and messages are read at once.
const PAGE: u32 = 500;

/// So many items are put aside in one run at most: a sink that refuses everything does not empty the log.
const ASIDE_MAX: u64 = 10;

/// So many events that do not fit are left behind a cursor before it is moved over them.
const UNFIT_MAX: u32 = 2_000;

/// Why an item is not sent whose text is damaged.
const UNREADABLE: &str = "its text in the catalog is damaged: `wfr doctor --rebuild-catalog` leaves it out";

/// Why an event is not sent whose row is damaged.
const UNREADABLE_EVENT: &str = "its row in the catalog is damaged: it goes out by itself once `wfr repair-state` or `wfr doctor \
                                --rebuild-catalog` has brought it back";

/// What a delivery works with.
pub struct Delivery<'d> {
    /// The configuration.
    pub config: &'d Coordination,
    /// Opens the catalog; every sink has its own.
    pub catalog: &'d (dyn Fn() -> Result<Catalog, CatalogError> + Sync),
    /// Where locks are.
    pub locks: &'d Path,
    /// Where relative paths of files begin.
    pub base: &'d Path,
    /// Where commands run.
    pub root: &'d Path,
    /// The source of CloudEvents.
    pub source: &'d str,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Set from outside to give up.
    pub abort: &'d AtomicBool,
    /// When to stop, at the next item.
    pub deadline: Option<Instant>,
    /// Whether the time of the next attempt is not waited for.
    pub force: bool,
}

/// What became of one sink's part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The sink.
    pub sink: String,
    /// Items that were delivered.
    pub delivered: u64,
    /// Items that were put aside.
    pub put_aside: u64,
    /// Where it stood, and where it was set to, where its place was one that the log never gave.
    pub set_back: Option<(Cursor, Cursor)>,
    /// How it ended.
    pub ended: Ended,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Nothing is left.
    Done,
    /// An item was refused, and will be tried again.
    Refused(String),
    /// The next attempt is not due yet.
    NotDue,
    /// Another process delivers to it.
    Busy,
    /// It was given up, by the caller or the deadline.
    Stopped,
    /// The catalog or the lock could not be used.
    Failed(String),
}

/// The sinks to which anything could be delivered now. Costs one look at each subscription, and at what stands behind its
/// cursor.
pub fn due<'c>(config: &'c Coordination, catalog: &Catalog, now: Timestamp) -> Result<Vec<&'c Sink>, CatalogError> {
    let mut due = Vec::new();
    for sink in &config.sinks {
        if is_due(config, sink, catalog, now)? {
            due.push(sink);
        }
    }
    Ok(due)
}

fn is_due(config: &Coordination, sink: &Sink, catalog: &Catalog, now: Timestamp) -> Result<bool, CatalogError> {
    let Some(standing) = catalog.subscription(&sink.name)? else { return Ok(true) };
    if is_waiting(config, &standing, now) {
        return Ok(false);
    }
    if catalog.is_astray(&standing)? {
        return Ok(true);
    }
    let backlog = catalog.backlog(standing.cursor, &sink.types, UNFIT_MAX)?;
    Ok(backlog.fitting > 0
        || backlog.events >= u64::from(UNFIT_MAX)
        || catalog.count_dead_letters(&sink.name)?.1 > 0
        || !catalog.came_back(&sink.name)?.is_empty())
}

/// Delivers to every sink what it has not had yet, or to those that are named.
pub fn deliver(delivery: &Delivery<'_>, only: Option<&str>) -> Vec<Report> {
    side_by_side(delivery, only, &deliver_to)
}

/// The same, and goes on with each sink, whatever the others do, for as long as something is due to it: what comes while its
/// lock is held is seen by whoever held it.
pub fn keep_up(delivery: &Delivery<'_>) -> Vec<Report> {
    side_by_side(delivery, None, &keep_up_with)
}

fn side_by_side(
    delivery: &Delivery<'_>,
    only: Option<&str>,
    run: &(dyn Fn(&Delivery<'_>, &Sink) -> Report + Sync),
) -> Vec<Report> {
    let sinks = delivery.config.sinks.iter().filter(|sink| only.is_none_or(|name| sink.name == name));
    std::thread::scope(|scope| {
        let runs: Vec<_> = sinks.map(|sink| (sink, scope.spawn(|| run(delivery, sink)))).collect();
        let gone = |sink: &Sink| Report::new(sink, Ended::Failed("its thread has ended".to_owned()));
        runs.into_iter().map(|(sink, run)| run.join().unwrap_or_else(|_| gone(sink))).collect()
    })
}

impl Report {
    fn new(sink: &Sink, ended: Ended) -> Self {
        Self { sink: sink.name.clone(), delivered: 0, put_aside: 0, set_back: None, ended }
    }
}

/// The name of the lock of whoever delivers to a sink.
pub fn lock_of(sink: &str) -> String {
    format!("sink-{sink}")
}

fn keep_up_with(delivery: &Delivery<'_>, sink: &Sink) -> Report {
    /// So many rounds that bring nothing on end it: what is left then waits for the next command.
    const IDLE_MAX: u32 = 2;
    let (mut delivered, mut put_aside, mut idle, mut set_back) = (0, 0, 0, None);
    loop {
        let report = deliver_to(delivery, sink);
        delivered += report.delivered;
        put_aside += report.put_aside;
        set_back = set_back.or(report.set_back);
        idle = if report.delivered + report.put_aside > 0 { 0 } else { idle + 1 };
        let is_over = matches!(report.ended, Ended::Busy | Ended::Stopped | Ended::Failed(_)) || idle >= IDLE_MAX;
        let is_due =
            || (delivery.catalog)().and_then(|catalog| is_due(delivery.config, sink, &catalog, (delivery.clock)()));
        if is_over || !is_due().unwrap_or(false) {
            return Report { delivered, put_aside, set_back, ..report };
        }
    }
}

fn deliver_to(delivery: &Delivery<'_>, sink: &Sink) -> Report {
    let lock = match Lock::take(delivery.locks, &lock_of(&sink.name)) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Report::new(sink, Ended::Busy),
        Err(error) => return Report::new(sink, Ended::Failed(error.to_string())),
    };
    let run = (delivery.catalog)().and_then(|catalog| {
        let mut standing = begin(&catalog, sink, (delivery.clock)())?;
        let set_back = set_back(&catalog, &mut standing)?;
        let channel = Channel::of(delivery, sink);
        let mut run = Run { delivery, sink, catalog, standing, channel, delivered: 0, put_aside: 0 };
        let ended = run.all()?;
        Ok(Report { sink: sink.name.clone(), delivered: run.delivered, put_aside: run.put_aside, set_back, ended })
    });
    drop(lock);
    run.unwrap_or_else(|error| Report::new(sink, Ended::Failed(error.to_string())))
}

/// Begins the subscriptions of sinks that begin where the log ends, so that what comes from now on is theirs. One that
/// has begun goes on.
pub fn begin_at_the_end(config: &Coordination, catalog: &Catalog, now: Timestamp) -> Result<(), CatalogError> {
    let mut new = config.sinks.iter().filter(|sink| sink.from == Begin::Now);
    new.try_for_each(|sink| begin(catalog, sink, now).map(drop))
}

/// The subscription of a sink, which begins where the sink says.
fn begin(catalog: &Catalog, sink: &Sink, now: Timestamp) -> Result<Subscription, CatalogError> {
    if let Some(standing) = catalog.subscription(&sink.name)? {
        return Ok(standing);
    }
    let from = match sink.from {
        Begin::Start => Cursor::default(),
        Begin::Now => catalog.log_end()?,
    };
    catalog.subscribe(&sink.name, from, now)?;
    let name = sink.name.clone();
    let new = Subscription { name, cursor: from, attempts: 0, next_try_at: None, last_error: None, updated_at: now };
    Ok(catalog.subscription(&sink.name)?.unwrap_or(new))
}

/// Sets a subscription back whose place the log never gave, since nothing would ever go out behind it; where it stood and stands.
fn set_back(catalog: &Catalog, standing: &mut Subscription) -> Result<Option<(Cursor, Cursor)>, CatalogError> {
    if !catalog.is_astray(standing)? {
        return Ok(None);
    }
    let stood = standing.cursor;
    standing.cursor = catalog.set_back(standing)?;
    Ok(Some((stood, standing.cursor)))
}

/// The way to a sink.
enum Channel {
    File(Lines),
    Command { command: String },
    Webhook(Box<Webhook>),
}

impl Channel {
    fn of(delivery: &Delivery<'_>, sink: &Sink) -> Self {
        match &sink.target {
            Target::File(path) => Self::File(Lines::new(delivery.base.join(path))),
            Target::Command(command) => Self::Command { command: command.clone() },
            Target::Webhook { url, authorization_file } => {
                let file = authorization_file.as_ref().map(|file| delivery.base.join(file));
                Self::Webhook(Box::new(Webhook::new(url, delivery.source, file, sink.timeout)))
            }
        }
    }

    /// How many items go at once.
    fn batch_max(&self) -> usize {
        if matches!(self, Self::File(_)) { PAGE as usize } else { 1 }
    }

    fn send(&mut self, items: &[Item], root: &Path, time_limit: Duration) -> Result<(), Refusal> {
        match self {
            Self::File(lines) => lines.deliver(items),
            Self::Command { command } => {
                items.iter().try_for_each(|item| command::deliver(command, root, item, time_limit))
            }
            Self::Webhook(webhook) => items.iter().try_for_each(|item| webhook.deliver(item)),
        }
    }
}

/// One sink's run.
struct Run<'d> {
    delivery: &'d Delivery<'d>,
    sink: &'d Sink,
    catalog: Catalog,
    standing: Subscription,
    channel: Channel,
    delivered: u64,
    put_aside: u64,
}

/// Items that go at once, each with the place behind it.
type Batch = Vec<(Item, Cursor)>;

impl Run<'_> {
    fn all(&mut self) -> Result<Ended, CatalogError> {
        if is_waiting(self.delivery.config, &self.standing, self.now()) && !self.delivery.force {
            return Ok(Ended::NotDue);
        }
        if let Some(ended) = self.came_back()? {
            return Ok(ended);
        }
        if let Some(ended) = self.queued()? {
            return Ok(ended);
        }
        loop {
            let page = self.catalog.outgoing(self.standing.cursor, PAGE)?;
            if page.is_empty() {
                return Ok(Ended::Done);
            }
            if let Some(ended) = self.page(&page)? {
                return Ok(ended);
            }
        }
    }

    fn now(&self) -> Timestamp {
        (self.delivery.clock)()
    }

    fn fits(&self, item: &Item) -> bool {
        self.sink.types.is_empty() || self.sink.types.iter().any(|pattern| pattern.fits(&item.name))
    }

    fn is_stopped(&self) -> bool {
        self.delivery.abort.load(Ordering::Relaxed)
            || self.delivery.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Events that could not be read when their turn came, and can be by now. They are tried as often as any other.
    fn came_back(&mut self) -> Result<Option<Ended>, CatalogError> {
        for (letter, row) in self.catalog.came_back(&self.sink.name)? {
            if self.is_stopped() {
                return Ok(Some(Ended::Stopped));
            }
            let item = Item::of(&Outgoing::Event(Box::new(row)));
            if !self.fits(&item) {
                self.catalog.bury(letter.seq)?;
                continue;
            }
            match self.channel.send(std::slice::from_ref(&item), self.delivery.root, self.sink.timeout) {
                Ok(()) => {
                    self.catalog.bury(letter.seq)?;
                    self.delivered += 1;
                    (self.standing.attempts, self.standing.next_try_at, self.standing.last_error) = (0, None, None);
                    self.keep()?;
                }
                Err(Refusal(why)) => {
                    if let Some(ended) = self.again_later(&why)? {
                        return Ok(Some(ended));
                    }
                    let aside = self.letter(&item, self.standing.attempts, why);
                    self.standing.attempts = 0;
                    self.put_aside += 1;
                    self.catalog.put_aside_for(letter.seq, &aside, &self.standing)?;
                }
            }
        }
        Ok(None)
    }

    /// What was put aside and is to be tried again goes first, each once.
    fn queued(&mut self) -> Result<Option<Ended>, CatalogError> {
        for letter in self.catalog.queued_letters(&self.sink.name, PAGE)? {
            if self.is_stopped() {
                return Ok(Some(Ended::Stopped));
            }
            let item = Item::again(&letter.item, &letter.body, letter.at);
            let sent = match item.is_readable() {
                _ if letter.waits_for().is_some() => Err(Refusal(UNREADABLE_EVENT.to_owned())),
                true => self.channel.send(&[item], self.delivery.root, self.sink.timeout),
                false => Err(Refusal(UNREADABLE.to_owned())),
            };
            match sent {
                Ok(()) => {
                    self.catalog.bury(letter.seq)?;
                    self.delivered += 1;
                    if self.standing.attempts == 0 && self.standing.last_error.take().is_some() {
                        self.standing.next_try_at = None;
                        self.keep()?;
                    }
                }
                Err(Refusal(why)) => {
                    self.catalog.put_aside_again(letter.seq, &why, self.now())?;
                    self.put_aside += 1;
                }
            }
        }
        Ok(None)
    }

    /// Delivers what of a page fits; `None` where it goes on with the next page.
    fn page(&mut self, page: &[Outgoing]) -> Result<Option<Ended>, CatalogError> {
        let mut place = self.standing.cursor;
        let mut batch = Batch::new();
        for outgoing in page {
            let before = place;
            place = place.after(outgoing);
            let item = Item::of(outgoing);
            let fits = self.fits(&item);
            // Of which type an event was nobody can tell where its row is damaged.
            let is_lost = matches!(outgoing, Outgoing::Unreadable(..)) || fits && !item.is_readable();
            if is_lost {
                match self.batch(std::mem::take(&mut batch))? {
                    Flow::On => self.standing.cursor = before,
                    Flow::Anew => return Ok(None),
                    Flow::End(ended) => return Ok(Some(ended)),
                }
                self.unreadable(outgoing, &item, place)?;
            } else if fits {
                batch.push((item, place));
            }
            if batch.len() >= self.channel.batch_max() {
                match self.batch(std::mem::take(&mut batch))? {
                    Flow::On => {}
                    Flow::Anew => return Ok(None),
                    Flow::End(ended) => return Ok(Some(ended)),
                }
            }
        }
        match self.batch(batch)? {
            Flow::On => {}
            Flow::Anew => return Ok(None),
            Flow::End(ended) => return Ok(Some(ended)),
        }
        // What did not fit is passed over for good.
        self.standing.cursor = place;
        self.keep()?;
        Ok(None)
    }

    fn batch(&mut self, batch: Batch) -> Result<Flow, CatalogError> {
        let Some((_, last)) = batch.last() else { return Ok(Flow::On) };
        let last = *last;
        if self.is_stopped() {
            return Ok(Flow::End(Ended::Stopped));
        }
        let (items, places): (Vec<Item>, Vec<Cursor>) = batch.into_iter().unzip();
        match self.channel.send(&items, self.delivery.root, self.sink.timeout) {
            Ok(()) => {
                self.delivered += items.len() as u64;
                self.standing.cursor = last;
                (self.standing.attempts, self.standing.next_try_at, self.standing.last_error) = (0, None, None);
                self.keep()?;
                Ok(Flow::On)
            }
            Err(Refusal(why)) => self.refused(&items[0], places[0], why),
        }
    }

    /// Records a refusal: the item is tried again later, or put aside after its last attempt.
    fn refused(&mut self, item: &Item, behind: Cursor, why: String) -> Result<Flow, CatalogError> {
        if let Some(ended) = self.again_later(&why)? {
            return Ok(Flow::End(ended));
        }
        let now = self.standing.updated_at;
        let letter = self.letter(item, self.standing.attempts, why.clone());
        self.standing.cursor = behind;
        self.standing.attempts = 0;
        self.put_aside += 1;
        let goes_on = self.put_aside < ASIDE_MAX;
        if !goes_on {
            self.standing.next_try_at = Some(later(now, wait(self.delivery.config, u32::MAX)));
        }
        self.catalog.put_aside(&letter, &self.standing)?;
        Ok(if goes_on { Flow::Anew } else { Flow::End(Ended::Refused(why)) })
    }

    /// Notes a refusal; `None` after the last attempt that an item has, and then nothing is recorded yet.
    fn again_later(&mut self, why: &str) -> Result<Option<Ended>, CatalogError> {
        let now = self.now();
        self.standing.attempts += 1;
        self.standing.last_error = Some(why.to_owned());
        self.standing.updated_at = now;
        if self.standing.attempts >= self.sink.attempts {
            self.standing.next_try_at = None;
            return Ok(None);
        }
        self.standing.next_try_at = Some(later(now, wait(self.delivery.config, self.standing.attempts)));
        self.catalog.advance(&self.standing)?;
        Ok(Some(Ended::Refused(why.to_owned())))
    }

    /// Puts an item aside that nobody can be sent: it stops no other.
    fn unreadable(&mut self, outgoing: &Outgoing, item: &Item, behind: Cursor) -> Result<(), CatalogError> {
        self.standing.cursor = behind;
        self.standing.updated_at = self.now();
        let letter = match outgoing {
            Outgoing::Unreadable(seq, _) => DeadLetter::waiting(&self.standing, *seq, UNREADABLE_EVENT.to_owned()),
            _ => self.letter(item, 0, UNREADABLE.to_owned()),
        };
        self.put_aside += 1;
        self.catalog.put_aside(&letter, &self.standing)
    }

    fn letter(&self, item: &Item, attempts: u32, error: String) -> DeadLetter {
        let (subscription, body) = (self.sink.name.clone(), item.body.clone());
        DeadLetter { seq: 0, subscription, item: item.id.clone(), body, attempts, error, at: self.now(), queued: false }
    }

    fn keep(&mut self) -> Result<(), CatalogError> {
        self.standing.updated_at = self.now();
        self.catalog.advance(&self.standing)
    }
}

/// How a run goes on behind a batch.
enum Flow {
    /// With the next item.
    On,
    /// With a page read anew from the cursor.
    Anew,
    /// Not at all.
    End(Ended),
}

/// How long is waited after so many attempts: the first time, doubled with each, up to the longest.
fn wait(config: &Coordination, attempts: u32) -> Duration {
    let length = |span: Span| span.duration().unwrap_or(Duration::MAX);
    let factor = 2u32.saturating_pow(attempts.saturating_sub(1));
    length(config.retry_initial).saturating_mul(factor).min(length(config.retry_max))
}

/// Whether the time of the next attempt is still to come. One that is longer to come than anybody waits after so many attempts is
/// of a clock that was ahead, or of another configuration.
fn is_waiting(config: &Coordination, standing: &Subscription, now: Timestamp) -> bool {
    // A sink that had too much put aside begins to count anew, and waits the longest.
    let attempts = if standing.attempts == 0 { u32::MAX } else { standing.attempts };
    standing.next_try_at.is_some_and(|at| at > now && at <= later(now, wait(config, attempts)))
}

fn later(now: Timestamp, length: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_doubles_up_to_its_longest() {
        let config = Coordination::default();
        let waits = [1, 2, 3, 4, 9, 10, 40, u32::MAX].map(|attempts| wait(&config, attempts).as_secs());
        assert_eq!(waits, [1, 2, 4, 8, 256, 300, 300, 300]);
    }

    #[test]
    fn a_clock_that_was_ahead_stops_no_delivery() {
        let config = Coordination::default();
        let waits = |attempts: u32, at: i64, now: i64| {
            let [at, now] = [at, now].map(|seconds| Timestamp(seconds * 1_000_000_000));
            let (name, next_try_at) = ("log".to_owned(), Some(at));
            let cursor = Cursor::default();
            let standing = Subscription { name, cursor, attempts, next_try_at, last_error: None, updated_at: now };
            is_waiting(&config, &standing, now)
        };
        assert_eq!([100, 103, 104, 105].map(|now| waits(3, 104, now)), [true, true, false, false]);
        assert!(!waits(3, 864_000, 100) && !waits(0, 864_000, 100));
        assert!(waits(0, 400, 100), "after too much was put aside it waits the longest");
    }
}
