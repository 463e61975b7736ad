//! Sliding of hunks: where the same lines stand before and behind a hunk, it can stand in several places.
//!
//! Owns the place that is taken: as far down as it goes, or beside the last hunk of the other side that it can reach,
//! as xdiff does without its indent heuristic. Refuses to find hunks.

use std::ops::Range;

/// A run of marked lines, perhaps empty, up to an unmarked one or the end. The runs of both sides go in pairs, since
/// both have the same unmarked lines.
struct Group<'a> {
    marks: &'a [bool],
    at: Range<usize>,
}

impl<'a> Group<'a> {
    fn first(marks: &'a [bool]) -> Self {
        Self { marks, at: 0..run_end(marks, 0) }
    }

    fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    fn next(&mut self) {
        let start = self.at.end + 1;
        self.at = start..run_end(self.marks, start);
    }

    fn previous(&mut self) {
        let end = self.at.start - 1;
        self.at = run_start(self.marks, end)..end;
    }
}

fn run_end(marks: &[bool], from: usize) -> usize {
    from + marks[from..].iter().take_while(|mark| **mark).count()
}

fn run_start(marks: &[bool], from: usize) -> usize {
    from - marks[..from].iter().rev().take_while(|mark| **mark).count()
}

/// The side whose hunks are slid.
struct Slider<'a> {
    ids: &'a [u32],
    marks: &'a mut [bool],
    at: Range<usize>,
}

impl Slider<'_> {
    /// Moves the run one line up, and joins it with one that it then touches. Whether it could.
    fn up(&mut self) -> bool {
        let Range { start, end } = self.at;
        if start == 0 || self.ids[start - 1] != self.ids[end - 1] {
            return false;
        }
        self.marks[start - 1] = true;
        self.marks[end - 1] = false;
        self.at = run_start(self.marks, start - 1)..end - 1;
        true
    }

    /// Moves the run one line down, as [`Self::up`].
    fn down(&mut self) -> bool {
        let Range { start, end } = self.at;
        if end == self.ids.len() || self.ids[start] != self.ids[end] {
            return false;
        }
        self.marks[start] = false;
        self.marks[end] = true;
        self.at = start + 1..run_end(self.marks, end + 1);
        true
    }
}

/// Slides the hunks of one side. `other` marks the other side's lines. `None` where `steps` did not suffice.
pub(super) fn compact(ids: &[u32], marks: &mut [bool], other: &[bool], steps: &mut u64) -> Option<()> {
    let at = 0..run_end(marks, 0);
    let (mut slider, mut beside) = (Slider { ids, marks, at }, Group::first(other));
    loop {
        if !slider.at.is_empty() {
            settle(&mut slider, &mut beside, steps)?;
        }
        if slider.at.end == ids.len() {
            return Some(());
        }
        let start = slider.at.end + 1;
        slider.at = start..run_end(slider.marks, start);
        beside.next();
    }
}

/// Slides one run all the way up, then all the way down, until it joins no more others; then back up to the last place
/// beside a run of the other side, if there was one.
fn settle(slider: &mut Slider<'_>, beside: &mut Group<'_>, steps: &mut u64) -> Option<()> {
    let (mut lines, mut top, mut meets);
    loop {
        lines = slider.at.len();
        while slider.up() {
            beside.previous();
            *steps = steps.checked_sub(1)?;
        }
        top = slider.at.end;
        meets = !beside.is_empty();
        while slider.down() {
            beside.next();
            meets |= !beside.is_empty();
            *steps = steps.checked_sub(1)?;
        }
        if lines == slider.at.len() {
            break;
        }
    }
    if slider.at.end != top && meets {
        while beside.is_empty() && slider.up() {
            beside.previous();
        }
    }
    Some(())
}
