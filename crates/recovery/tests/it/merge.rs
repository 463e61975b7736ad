//! The merge beside `git merge-file`, on random texts and edits.

use wfr_recovery::merge::{Merge, Unit, merge3};
use wfr_testkit::{GIT_ABSENT, Git, Prng};

/// How a text is made and edited.
#[derive(Clone, Copy, Debug)]
struct Shape {
    lines: usize,
    /// At most, on either side.
    edits: (usize, usize),
    rounds: usize,
    /// One line in so many is one of a few.
    common: usize,
    /// The other lines are of so many kinds.
    kinds: usize,
    crlf: bool,
}

const SHAPES: [Shape; 8] = [
    Shape { lines: 40, edits: (2, 2), rounds: 300, common: usize::MAX, kinds: 1 << 40, crlf: false },
    Shape { lines: 40, edits: (3, 3), rounds: 300, common: 2, kinds: 1 << 40, crlf: false },
    Shape { lines: 12, edits: (3, 3), rounds: 400, common: 1, kinds: 3, crlf: false },
    Shape { lines: 100, edits: (12, 12), rounds: 200, common: 2, kinds: 20, crlf: false },
    Shape { lines: 30, edits: (3, 3), rounds: 300, common: 3, kinds: 1 << 40, crlf: true },
    Shape { lines: 400, edits: (6, 6), rounds: 200, common: 3, kinds: 1 << 40, crlf: false },
    Shape { lines: 1500, edits: (40, 4), rounds: 100, common: 2, kinds: 300, crlf: false },
    Shape { lines: 3000, edits: (900, 1), rounds: 60, common: 4, kinds: 500, crlf: false },
];

const COMMON: [&str; 5] = ["}", "", "    }", "end", "  return 0"];

fn line(random: &mut Prng, shape: Shape) -> Vec<u8> {
    let text = match shape.common != usize::MAX && random.one_in(shape.common) {
        true => (*random.pick(&COMMON)).to_owned(),
        false => format!("line {}", random.below(shape.kinds)),
    };
    let end = if shape.crlf && !random.one_in(6) { "\r\n" } else { "\n" };
    format!("{text}{end}").into_bytes()
}

fn edited(base: &[Vec<u8>], random: &mut Prng, shape: Shape, edits: usize) -> Vec<Vec<u8>> {
    let mut text = base.to_vec();
    for _ in 0..random.below(edits) + 1 {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(4)).min(text.len());
        let fresh: Vec<_> = (0..random.below(4)).map(|_| line(random, shape)).collect();
        match random.below(8) {
            // A block moves, or is doubled.
            0 => {
                let block: Vec<_> = text.drain(at..end).collect();
                let to = random.below(text.len() + 1);
                text.splice(to..to, block);
            }
            1 => drop(text.splice(at..at, text[at..end].to_vec())),
            2 | 3 => drop(text.splice(at..at, fresh)),
            4 | 5 => drop(text.drain(at..end)),
            _ => drop(text.splice(at..end, fresh)),
        }
    }
    text
}

/// Now and then without the end of the last line.
fn bytes(lines: &[Vec<u8>], random: &mut Prng) -> Vec<u8> {
    let mut bytes = lines.concat();
    if random.one_in(6) && bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    bytes
}

#[derive(Default, Debug)]
struct Counts {
    both_clean_and_equal: usize,
    both_conflict: usize,
    git_conflict_ours_clean: usize,
    ours_conflict_git_clean: usize,
    clean_but_different: usize,
}

impl Counts {
    fn add(&mut self, git: Option<Vec<u8>>, ours: &Merge) {
        let count = match (git, ours) {
            (Some(git), Merge::Clean(ours)) if git == *ours => &mut self.both_clean_and_equal,
            (Some(_), Merge::Clean(_)) => &mut self.clean_but_different,
            (Some(_), _) => &mut self.ours_conflict_git_clean,
            (None, Merge::Clean(_)) => &mut self.git_conflict_ours_clean,
            (None, _) => &mut self.both_conflict,
        };
        *count += 1;
    }
}

#[test]
fn merges_are_those_of_git() {
    let Some(git) = Git::find() else { return wfr_testkit::skip(GIT_ABSENT) };
    let mut random = Prng::from_environment();
    let times: usize = std::env::var("WFR_TEST_TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for shape in SHAPES {
        let mut counts = Counts::default();
        for _ in 0..shape.rounds * times {
            let base: Vec<_> = (0..random.below(shape.lines) + 1).map(|_| line(&mut random, shape)).collect();
            let (ours, theirs) =
                (edited(&base, &mut random, shape, shape.edits.0), edited(&base, &mut random, shape, shape.edits.1));
            let [base, ours, theirs] = [base, ours, theirs].map(|lines| bytes(&lines, &mut random));
            counts.add(git.merge(&base, &ours, &theirs), &merge3(&base, &ours, &theirs, Unit::Lines));
        }
        eprintln!("{shape:?}: {counts:?}");
        assert_eq!((counts.ours_conflict_git_clean, counts.clean_but_different), (0, 0), "{shape:?}");
    }
}
