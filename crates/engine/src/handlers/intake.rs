//! `event`: what others say, one by one or by the million.
//!
//! Owns where the messages come from, and how many are recorded at once. Refuses to read and to record any itself: see
//! [`crate::intake`].

use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use crate::error::{Code, Failure, code_of_io};
use crate::intake::{self, Item, Tally, reading};
use crate::open::Open;
use crate::params::RecordEvent;
use crate::policy::{Standings, Wishes};
use crate::response::Success;
use crate::results::EventsRecorded;
use crate::session::Session;

/// Messages that are recorded in one transaction, at most: beyond, a flush costs next to nothing.
const BATCH_MAX: usize = 20_000;

/// A batch of no more comes from something that goes on right now.
const LIVE_MAX: usize = 100;

/// Checkpoints of one stream before its end, at most.
const GRANTED_MAX: usize = 1_000;

/// Chunks of messages that wait to be recorded.
const WAITING_MAX: usize = 64;

/// The word for standard input.
const STANDARD_INPUT: &str = "-";

type Input = Box<dyn Read + Send + Sync>;

/// Where messages come from.
enum Source {
    Items(Vec<Item>),
    Stream(Input),
}

/// Records what happened.
pub fn event(session: &mut Session, parameters: RecordEvent) -> Result<Success<EventsRecorded>, Failure> {
    let source = source(session, parameters)?;
    let open = session.open()?;
    let mut tally = Tally::default();
    let mut wishes = Wishes::default();
    let is_stream = matches!(source, Source::Stream(_));
    let ended = match source {
        Source::Items(items) => take_in(session, &open, items, &mut tally, &mut wishes),
        Source::Stream(input) => open.catalog.in_bulk(|| stream(session, &open, input, &mut tally, &mut wishes)),
    };
    tally.result.checkpoints.extend(wishes.grant(session, &open));
    if let Err(failure) = ended {
        let failure = if is_stream { how_far(failure, &tally.result) } else { failure };
        return Err(failure.with_result(tally.result));
    }
    let verdict = tally.verdict();
    let workflow = tally.result.events.last().and_then(|line| line.event.workflow_id.clone());
    Ok(Success { workflow_id: workflow, ..Success::new(tally.result) }.with_verdict(verdict))
}

/// Records what is said right now, and takes the checkpoints that it asks for.
pub fn now(session: &Session, open: &Open, items: Vec<Item>) -> Result<(), Failure> {
    let (mut tally, mut wishes) = (Tally::default(), Wishes::default());
    take_in(session, open, items, &mut tally, &mut wishes)?;
    wishes.grant(session, open);
    Ok(())
}

/// The failure of a stream that ended in the midst, with what it came to and how to go on.
fn how_far(failure: Failure, told: &EventsRecorded) -> Failure {
    let (recorded, known) = (told.recorded, told.known);
    let taken = recorded + known + told.refused_total + told.ignored_total;
    let so_far = format!("before that, {recorded} new events were recorded, and {known} were known already");
    let details = if failure.details.is_empty() { so_far } else { format!("{}; {so_far}", failure.details) };
    let again = format!(
        "to go on, give all of it again: an event whose `event_id` is recorded is passed over; of events without one, \
         give only what follows the first {taken} messages"
    );
    failure.with_details(details).with_option(again)
}

fn source(session: &mut Session, parameters: RecordEvent) -> Result<Source, Failure> {
    let RecordEvent { event, file, envelope } = parameters;
    match (event.as_deref(), file, envelope.is_empty()) {
        (Some(STANDARD_INPUT), None, true) => {
            Ok(Source::Stream(std::mem::replace(&mut session.input, Box::new(io::empty()))))
        }
        (Some(text), None, true) => match reading::of_text(text) {
            items if items.is_empty() => {
                let message = "the event is empty: there is nothing to record";
                Err(Failure::new(Code::InvalidEvent, message))
            }
            items => Ok(Source::Items(items)),
        },
        (None, Some(path), true) => {
            let path = session.directories.current.join(path.as_path());
            let file = std::fs::File::open(&path).map_err(|error| unread(&error).with_hint("check the path"))?;
            Ok(Source::Stream(Box::new(file)))
        }
        (None, None, false) => Ok(Source::Items(vec![reading::of_fields(envelope)])),
        (None, None, true) => Err(Failure::new(Code::WrongArguments, "`event` needs EVENT, or `--file FILE`")),
        _ => Err(Failure::new(Code::WrongArguments, "events come from one place: a word, JSON, or a file")),
    }
}

fn unread(error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::NotFound { Code::FileNotFound } else { code_of_io(error) };
    Failure::new(code, "the events cannot be read").with_details(error.to_string())
}

/// Records a batch, and notes what it asks for.
fn take_in(
    session: &Session,
    open: &Open,
    items: Vec<Item>,
    tally: &mut Tally,
    wishes: &mut Wishes,
) -> Result<(), Failure> {
    let before = Standings::of(open, items.iter().filter_map(Item::sets_state_of));
    let new = intake::take_in(session, open, items, tally)?;
    let repeats = tally.take_repeats();
    wishes.note(new.iter().map(|(_, event)| event).filter(|event| !repeats.contains(&event.event_id)));
    wishes.note_again(open, &tally.take_again());
    wishes.note_turns(open, &before);
    Ok(())
}

/// Reads on one thread and records on this one: all that was read while one batch was recorded is the next one.
///
/// What a batch asks for is granted where it is a small one: larger ones are history, at whose end it is granted once at
/// most.
fn stream(session: &Session, open: &Open, input: Input, tally: &mut Tally, wishes: &mut Wishes) -> Result<(), Failure> {
    let (give, take) = sync_channel(WAITING_MAX);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || reading::read(input, |chunk| give.send(chunk).is_ok()));
        let recorded = batches(&take, |items| {
            if session.abort.load(Ordering::Relaxed) {
                return Err(Failure::new(Code::Interrupted, "interrupted: what is counted is recorded"));
            }
            let is_live = items.len() <= LIVE_MAX;
            take_in(session, open, items, tally, wishes)?;
            if is_live && tally.result.checkpoints.len() < GRANTED_MAX {
                tally.result.checkpoints.extend(wishes.grant(session, open));
            }
            Ok(())
        });
        // The reader must find nobody there, or it would wait for ever.
        drop(take);
        recorded?;
        match reader.join() {
            Ok(read) => read.map_err(|error| unread(&error)),
            Err(_) => Err(Failure::new(Code::Internal, "the reader of events panicked")),
        }
    })
}

/// Hands over batches until there are no more.
fn batches(
    take: &Receiver<Vec<Item>>,
    mut record: impl FnMut(Vec<Item>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    while let Ok(mut batch) = take.recv() {
        while batch.len() < BATCH_MAX {
            match take.try_recv() {
                Ok(more) => batch.extend(more),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        record(batch)?;
    }
    Ok(())
}
