//! Choosing by change, file and piece what is taken back: what there is to choose from, and what a choice leads to.
//!
//! Owns how a choice narrows an order. Refuses to ask: whoever sits at the terminal is asked by a [`Picker`].

mod offer;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use wfr_catalog::ChangeSeq;
use wfr_model::entry::{Entry, Node};
use wfr_model::plan::{Conflict, Step};
use wfr_model::{Digest, TaskId, TreePath};
pub use wfr_recovery::merge::{Pieces, Shown};
use wfr_recovery::replay::from_store;
use wfr_store::object::hash;
use wfr_store::{Store, disk};

pub use offer::{Effect, Offer, Offered, OfferedFile};
pub use walk::{Answer, ChangeWalk, ConflictWalk, Pick, PieceWalk, Question, Side};

use crate::error::{Code, Failure};
use crate::open::Open;
use crate::recovery::telling::WORK_CONFLICT;
use crate::recovery::{self, Order, Planned};
use crate::session::Session;

/// Equal lines around a piece when it is shown.
pub const CONTEXT: usize = 3;

/// A file of which single pieces can be taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilePieces {
    /// Where.
    pub path: TreePath,
    /// From what is there now to what would be.
    pub pieces: Pieces,
}

/// Who chooses.
pub trait Picker: Send + Sync {
    /// For each change and each of its files what becomes of it; `None` where nobody wants to choose any more.
    fn changes(&mut self, offer: &Offer) -> Option<Vec<Vec<Pick>>>;

    /// For each conflict which side wins; `None` where nobody wants to choose any more.
    fn conflicts(&mut self, conflicts: &[Conflict]) -> Option<Vec<Side>>;

    /// For each file which of its pieces are taken back; `None` where nobody wants to choose any more.
    fn pieces(&mut self, files: &[FilePieces]) -> Option<Vec<Vec<bool>>>;

    /// Told what a file becomes of which some pieces stay.
    fn outcome(&mut self, file: &FilePieces);

    /// Told that the pieces of a file cannot be chosen one by one, and why.
    fn whole(&mut self, path: &TreePath, why: &str);
}

/// Whether somebody is there to choose.
pub fn check(session: &Session, is_asked: bool) -> Result<(), Failure> {
    if !is_asked || (session.interactive && session.picker.is_some()) {
        return Ok(());
    }
    Err(Failure::new(Code::WrongArguments, "choosing needs a terminal on standard input and standard error, and no `--json`")
        .with_hint(
            "without one `--change ID` and `--file PATH` choose, `--ours PATH` leaves a file, `--resolve PATH=FILE` says what \
             it becomes, and `--plan` shows what would be done",
        ))
}

/// Lets somebody choose what of an order's selection is taken back, and narrows it to that.
pub fn narrow(session: &mut Session, open: &Open, order: &mut Order) -> Result<(), Failure> {
    let Some(mut picker) = session.picker.take() else { return check(session, true) };
    let ended = Narrowing { session, open, picker: picker.as_mut() }.run(order);
    session.picker = Some(picker);
    ended
}

struct Narrowing<'n> {
    session: &'n Session,
    open: &'n Open,
    picker: &'n mut dyn Picker,
}

impl Narrowing<'_> {
    fn run(&mut self, order: &mut Order) -> Result<(), Failure> {
        let Some(selection) = &mut order.selection else { return Ok(()) };
        let offer = offer::of(self.open, selection)?;
        if offer.changes.is_empty() {
            return Err(Failure::new(
                Code::NothingSelected,
                "all that fits is taken back already: nothing is left to choose",
            ));
        }
        let picks = self.picker.changes(&offer).ok_or_else(given_up)?;
        let by_piece = apply_picks(selection, &offer, &picks);
        if selection.changes.is_empty() {
            return Err(Failure::new(Code::NothingSelected, "nothing was chosen: all stays as it is")
                .with_hint("call it again when something is to go"));
        }
        let store = self.open.store()?;
        let planned = recovery::plan_dry(self.session, self.open, &store, order)?;
        self.choose_sides(order, &planned, &by_piece)?;
        if !by_piece.is_empty() {
            self.choose_pieces(order, (&store, &planned), &by_piece)?;
        }
        order.keep_taken();
        Ok(())
    }

    fn choose_sides(
        &mut self,
        order: &mut Order,
        planned: &Planned,
        by_piece: &BTreeSet<TreePath>,
    ) -> Result<(), Failure> {
        let is_asked = |conflict: &&Conflict| conflict.code == WORK_CONFLICT;
        let conflicts: Vec<Conflict> = planned.plan.conflicts.iter().filter(is_asked).cloned().collect();
        let Some(selection) = order.selection.as_mut().filter(|_| !conflicts.is_empty()) else { return Ok(()) };
        for conflict in conflicts.iter().filter(|conflict| by_piece.contains(&conflict.path)) {
            self.picker.whole(&conflict.path, UNSEPARATED);
        }
        let sides = self.picker.conflicts(&conflicts).ok_or_else(given_up)?;
        if sides.contains(&Side::Neither) && !selection.decisions.partial {
            let left = sides.iter().filter(|side| **side == Side::Neither).count();
            return Err(Failure::new(
                Code::Conflicts,
                format!("{left} conflicts are not decided: nothing was changed"),
            ));
        }
        for (conflict, side) in conflicts.into_iter().zip(sides) {
            match side {
                Side::Present => selection.decisions.ours.push(conflict.path),
                Side::Before => selection.decisions.theirs.push(conflict.path),
                Side::Neither => {}
            }
        }
        Ok(())
    }

    fn choose_pieces(
        &mut self,
        order: &mut Order,
        (store, planned): (&Store, &Planned),
        chosen: &BTreeSet<TreePath>,
    ) -> Result<(), Failure> {
        let texts: BTreeMap<Digest, &Vec<u8>> = planned.texts.iter().map(|text| (hash(text), text)).collect();
        let mut files = Vec::new();
        for step in planned.plan.steps.iter().filter(|step| chosen.contains(&step.path)) {
            match self.pieces_of(store, step, &texts)? {
                Ok(file) => files.push(file),
                Err(why) => self.picker.whole(&step.path, why),
            }
        }
        if files.is_empty() {
            return Ok(());
        }
        let taken = self.picker.pieces(&files).ok_or_else(given_up)?;
        let Some(selection) = &mut order.selection else { return Ok(()) };
        for (file, taken) in files.iter().zip(taken) {
            match taken.iter().filter(|is_taken| **is_taken).count() {
                0 => selection.decisions.ours.push(file.path.clone()),
                count if count == file.pieces.count() => {}
                _ => {
                    let text = file.pieces.with(|number| taken.get(number) == Some(&true));
                    let now = file.pieces.with(|_| false);
                    selection.decisions.resolved.insert(file.path.clone(), text.clone());
                    if let Ok(pieces) = Pieces::of(&now, &text) {
                        self.picker.outcome(&FilePieces { path: file.path.clone(), pieces });
                    }
                }
            }
        }
        Ok(())
    }

    /// The pieces of a step from one text to another, or why there are none.
    fn pieces_of(
        &self,
        store: &Store,
        step: &Step,
        texts: &BTreeMap<Digest, &Vec<u8>>,
    ) -> Result<Result<FilePieces, &'static str>, Failure> {
        let (Some(before), Some(after)) = (&step.before, &step.after) else {
            return Ok(Err("it comes or goes as a whole"));
        };
        let (Node::File(now), Node::File(then)) = (&before.node, &after.node) else {
            return Ok(Err("it is no file before or after"));
        };
        if !same_but_content(before, after) {
            return Ok(Err("its mode or attributes change, too"));
        }
        if now.size.max(then.size) > wfr_recovery::merge::BYTES_MAX {
            return Ok(Err("it is too large"));
        }
        let now = self.present(&step.path, now.hash)?;
        let then = match texts.get(&then.hash) {
            Some(text) => (*text).clone(),
            None => from_store(store)(then)?,
        };
        Ok(match Pieces::of(&now, &then) {
            Ok(pieces) => Ok(FilePieces { path: step.path.clone(), pieces }),
            Err(_) => Err("it is no text, or too large"),
        })
    }

    /// What a file holds, if that is still what the plan began with.
    fn present(&self, path: &TreePath, wanted: Digest) -> Result<Vec<u8>, Failure> {
        let root = disk::open_dir(self.open.root())?;
        let place = Path::new(OsStr::from_bytes(path.as_bytes()));
        let file =
            disk::open_beneath(&root, place, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())?;
        let mut text = Vec::new();
        std::fs::File::from(file).read_to_end(&mut text)?;
        if hash(&text) == wanted {
            return Ok(text);
        }
        Err(Failure::new(Code::StalePlan, format!("`{path}` changed while somebody chose"))
            .with_hint("call it again, and choose again"))
    }
}

/// Why the clean pieces of a file in conflict are not offered.
const UNSEPARATED: &str = "one of its pieces cannot be separated from what others did there, so one side of the whole file \
                           wins; to have single pieces, leave it out and make it by hand with `--resolve PATH=FILE`";

fn given_up() -> Failure {
    Failure::new(Code::Interrupted, "given up: nothing was changed").with_hint("call it again when you want to choose")
}

/// Narrows a selection to what was picked. The paths of which pieces are to be chosen.
fn apply_picks(
    selection: &mut recovery::selective::Selection,
    offer: &Offer,
    picks: &[Vec<Pick>],
) -> BTreeSet<TreePath> {
    let mut by_piece = BTreeSet::new();
    let (mut gone, mut whole): (BTreeSet<ChangeSeq>, BTreeSet<TaskId>) = (BTreeSet::new(), BTreeSet::new());
    for (change, picks) in offer.changes.iter().zip(picks) {
        if picks.iter().all(|pick| *pick == Pick::Back) {
            whole.extend(change.task.clone());
        }
        if picks.iter().any(|pick| *pick != Pick::Stays) {
            gone.insert(change.seq);
        }
        for (file, pick) in change.files.iter().zip(picks) {
            match pick {
                Pick::Back => {}
                Pick::Stays => drop(selection.spared.insert((change.seq, file.path.clone()))),
                Pick::ByPiece => drop(by_piece.insert(file.path.clone())),
            }
        }
    }
    selection.changes.retain(|row| gone.contains(&row.seq));
    // As with `--file`: a task whose work goes in part is not to be done anew.
    selection.tasks.retain(|task| whole.contains(task));
    by_piece
}

/// Whether two entries differ in nothing but their content.
fn same_but_content(a: &Entry, b: &Entry) -> bool {
    a.meta.mode == b.meta.mode && a.xattrs == b.xattrs
}
