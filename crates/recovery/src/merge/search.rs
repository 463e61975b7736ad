//! The shortest way from one text to another, or one that is short enough.
//!
//! Owns the search for the middle of a way from both ends: E. W. Myers, "An O(ND) Difference Algorithm and Its
//! Variations", Algorithmica 1, 1986, section 4b, with the two short cuts of GNU diff and xdiff for texts that have
//! little in common. Among ways of equal length it takes the one that they take. Refuses to know what lines say.

use std::ops::Range;

use super::compare::rough_root;

/// More than so many equal lines in a row are a good sign.
const SNAKE_LINES: isize = 20;

/// Steps from either end before a good way is preferred to the shortest.
const GOOD_AFTER: isize = 256;

/// A way is good if it has come so many times further than it took steps.
const GOOD_FACTOR: isize = 4;

/// The least number of steps from either end after which any way is taken.
const STEPS_LEAST: usize = 256;

/// What a diagonal beside those searched counts as, seen from the end of both texts.
const BEYOND: isize = isize::MAX;

/// Calls `found` with each pair of ranges that have nothing in common, one of them perhaps empty. Each diagonal looked
/// at and each line passed is taken from `steps`; `None` where they did not suffice.
pub(super) fn search(
    a: &[u32],
    b: &[u32],
    steps: &mut u64,
    mut found: impl FnMut((Range<usize>, Range<usize>)),
) -> Option<()> {
    let mut search = Search::new(a, b, steps);
    let mut pending = vec![Area { x: 0..a.len() as isize, y: 0..b.len() as isize, exact: false }];
    while let Some(mut area) = pending.pop() {
        search.shrink(&mut area)?;
        if area.x.is_empty() || area.y.is_empty() {
            let lines = |range: Range<isize>| range.start as usize..range.end as usize;
            found((lines(area.x), lines(area.y)));
            continue;
        }
        let split = search.split(&area)?;
        pending.push(Area { x: split.x..area.x.end, y: split.y..area.y.end, exact: split.exact_after });
        pending.push(Area { x: area.x.start..split.x, y: area.y.start..split.y, exact: split.exact_before });
    }
    Some(())
}

/// A part of both texts. `exact`: the shortest way through it is wanted.
struct Area {
    x: Range<isize>,
    y: Range<isize>,
    exact: bool,
}

/// A point that the way leads through.
struct Split {
    x: isize,
    y: isize,
    exact_before: bool,
    exact_after: bool,
}

impl Split {
    fn exact(x: isize, diagonal: isize) -> Self {
        Self { x, y: x - diagonal, exact_before: true, exact_after: true }
    }

    fn from_start((x, y): (isize, isize)) -> Self {
        Self { x, y, exact_before: true, exact_after: false }
    }

    fn from_end((x, y): (isize, isize)) -> Self {
        Self { x, y, exact_before: false, exact_after: true }
    }
}

/// The diagonals (x - y) that were reached from one end, and the furthest x on each.
struct Front {
    x: Vec<isize>,
    zero: isize,
    middle: isize,
    least: isize,
    most: isize,
}

impl Front {
    fn new(a: &[u32], b: &[u32]) -> Self {
        let x = vec![0; a.len() + b.len() + 3];
        Self { x, zero: b.len() as isize + 1, middle: 0, least: 0, most: 0 }
    }

    fn at(&self, diagonal: isize) -> isize {
        self.x[(self.zero + diagonal) as usize]
    }

    fn set(&mut self, diagonal: isize, x: isize) {
        self.x[(self.zero + diagonal) as usize] = x;
    }

    fn start(&mut self, middle: isize, x: isize) {
        (self.middle, self.least, self.most) = (middle, middle, middle);
        self.set(middle, x);
    }

    /// One more diagonal at either side, or one less where that would leave the area.
    fn widen(&mut self, area: &Area, beyond: isize) {
        if self.least > area.x.start - area.y.end {
            self.least -= 1;
            self.set(self.least - 1, beyond);
        } else {
            self.least += 1;
        }
        if self.most < area.x.end - area.y.start {
            self.most += 1;
            self.set(self.most + 1, beyond);
        } else {
            self.most -= 1;
        }
    }

    fn has(&self, diagonal: isize) -> bool {
        self.least <= diagonal && diagonal <= self.most
    }

    /// Every second diagonal, the highest first.
    fn diagonals(&self) -> impl Iterator<Item = isize> + use<> {
        let (least, most) = (self.least, self.most);
        (0..=most - least).step_by(2).map(move |down| most - down).filter(move |diagonal| *diagonal >= least)
    }
}

/// What one step from one end gave.
enum Step {
    /// The two ends met.
    Met(Split),
    /// Whether it passed many equal lines in a row.
    On { snake: bool },
}

struct Search<'a> {
    a: &'a [u32],
    b: &'a [u32],
    forward: Front,
    backward: Front,
    rounds_max: isize,
    steps: &'a mut u64,
}

impl<'a> Search<'a> {
    fn new(a: &'a [u32], b: &'a [u32], steps: &'a mut u64) -> Self {
        let rounds_max = rough_root(a.len() + b.len() + 3).max(STEPS_LEAST) as isize;
        Self { a, b, forward: Front::new(a, b), backward: Front::new(a, b), rounds_max, steps }
    }

    fn equal(&self, x: isize, y: isize) -> bool {
        self.a[x as usize] == self.b[y as usize]
    }

    fn spend(&mut self, steps: isize) -> Option<()> {
        *self.steps = self.steps.checked_sub(steps as u64 + 1)?;
        Some(())
    }

    /// Takes equal lines at both ends away.
    fn shrink(&mut self, area: &mut Area) -> Option<()> {
        let lines = area.x.end - area.x.start;
        let is_open = |area: &Area| !area.x.is_empty() && !area.y.is_empty();
        while is_open(area) && self.equal(area.x.start, area.y.start) {
            (area.x.start, area.y.start) = (area.x.start + 1, area.y.start + 1);
        }
        while is_open(area) && self.equal(area.x.end - 1, area.y.end - 1) {
            (area.x.end, area.y.end) = (area.x.end - 1, area.y.end - 1);
        }
        self.spend(lines - (area.x.end - area.x.start))
    }

    /// Where to cut an area that has lines on both sides, the first and the last ones different.
    fn split(&mut self, area: &Area) -> Option<Split> {
        self.forward.start(area.x.start - area.y.start, area.x.start);
        self.backward.start(area.x.end - area.y.end, area.x.end);
        for round in 1.. {
            let snake_forward = match self.step_forward(area)? {
                Step::Met(split) => return Some(split),
                Step::On { snake } => snake,
            };
            let snake_backward = match self.step_backward(area)? {
                Step::Met(split) => return Some(split),
                Step::On { snake } => snake,
            };
            if area.exact {
                continue;
            }
            if (snake_forward || snake_backward) && round > GOOD_AFTER {
                let good = self.good_from_start(area, round).map(Split::from_start);
                let good = good.or_else(|| self.good_from_end(area, round).map(Split::from_end));
                if good.is_some() {
                    return good;
                }
            }
            if round >= self.rounds_max {
                break;
            }
        }
        Some(self.furthest(area))
    }

    /// The two ends meet on a diagonal of the forward search where their distance is odd, else of the backward one.
    fn is_odd(&self) -> bool {
        (self.forward.middle - self.backward.middle) & 1 != 0
    }

    fn step_forward(&mut self, area: &Area) -> Option<Step> {
        self.forward.widen(area, -1);
        let mut longest = 0;
        for diagonal in self.forward.diagonals() {
            let (below, above) = (self.forward.at(diagonal - 1), self.forward.at(diagonal + 1));
            let from = if below >= above { below + 1 } else { above };
            let (mut x, mut y) = (from, from - diagonal);
            while x < area.x.end && y < area.y.end && self.equal(x, y) {
                (x, y) = (x + 1, y + 1);
            }
            longest = longest.max(x - from);
            self.spend(x - from)?;
            self.forward.set(diagonal, x);
            if self.is_odd() && self.backward.has(diagonal) && self.backward.at(diagonal) <= x {
                return Some(Step::Met(Split::exact(x, diagonal)));
            }
        }
        Some(Step::On { snake: longest > SNAKE_LINES })
    }

    fn step_backward(&mut self, area: &Area) -> Option<Step> {
        self.backward.widen(area, BEYOND);
        let mut longest = 0;
        for diagonal in self.backward.diagonals() {
            let (below, above) = (self.backward.at(diagonal - 1), self.backward.at(diagonal + 1));
            let from = if below < above { below } else { above - 1 };
            let (mut x, mut y) = (from, from - diagonal);
            while x > area.x.start && y > area.y.start && self.equal(x - 1, y - 1) {
                (x, y) = (x - 1, y - 1);
            }
            longest = longest.max(from - x);
            self.spend(from - x)?;
            self.backward.set(diagonal, x);
            if !self.is_odd() && self.forward.has(diagonal) && x <= self.forward.at(diagonal) {
                return Some(Step::Met(Split::exact(x, diagonal)));
            }
        }
        Some(Step::On { snake: longest > SNAKE_LINES })
    }

    /// The best point that is well beyond what `round` steps would bring, behind many equal lines.
    fn good_from_start(&self, area: &Area, round: isize) -> Option<(isize, isize)> {
        let (mut best, mut point) = (GOOD_FACTOR * round, None);
        for diagonal in self.forward.diagonals() {
            let x = self.forward.at(diagonal);
            let y = x - diagonal;
            let gain = (x - area.x.start) + (y - area.y.start) - (diagonal - self.forward.middle).abs();
            let is_inside =
                area.x.start + SNAKE_LINES <= x && x < area.x.end && area.y.start + SNAKE_LINES <= y && y < area.y.end;
            if gain > best && is_inside && (1..=SNAKE_LINES).all(|back| self.equal(x - back, y - back)) {
                (best, point) = (gain, Some((x, y)));
            }
        }
        point
    }

    /// As [`Self::good_from_start`], seen from the end.
    fn good_from_end(&self, area: &Area, round: isize) -> Option<(isize, isize)> {
        let (mut best, mut point) = (GOOD_FACTOR * round, None);
        for diagonal in self.backward.diagonals() {
            let x = self.backward.at(diagonal);
            let y = x - diagonal;
            let gain = (area.x.end - x) + (area.y.end - y) - (diagonal - self.backward.middle).abs();
            let is_inside =
                area.x.start < x && x <= area.x.end - SNAKE_LINES && area.y.start < y && y <= area.y.end - SNAKE_LINES;
            if gain > best && is_inside && (0..SNAKE_LINES).all(|on| self.equal(x + on, y + on)) {
                (best, point) = (gain, Some((x, y)));
            }
        }
        point
    }

    /// The furthest point reached from either end.
    fn furthest(&self, area: &Area) -> Split {
        let (mut ahead, mut front) = (-1, (area.x.start, area.y.start));
        for diagonal in self.forward.diagonals() {
            let x = self.forward.at(diagonal).min(area.x.end).min(area.y.end + diagonal);
            if ahead < x + x - diagonal {
                (ahead, front) = (x + x - diagonal, (x, x - diagonal));
            }
        }
        let (mut behind, mut back) = (BEYOND, (area.x.end, area.y.end));
        for diagonal in self.backward.diagonals() {
            let x = self.backward.at(diagonal).max(area.x.start).max(area.y.start + diagonal);
            if x + x - diagonal < behind {
                (behind, back) = (x + x - diagonal, (x, x - diagonal));
            }
        }
        if (area.x.end + area.y.end) - behind < ahead - (area.x.start + area.y.start) {
            Split::from_start(front)
        } else {
            Split::from_end(back)
        }
    }
}
