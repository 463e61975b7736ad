//! Each rule of the merge by itself, and what must hold of any three texts.

use super::*;
use proptest::prelude::*;

fn clean(base: &str, ours: &str, theirs: &str) -> Option<String> {
    match merge3(base.as_bytes(), ours.as_bytes(), theirs.as_bytes(), Unit::Lines) {
        Merge::Clean(text) => Some(String::from_utf8(text).unwrap()),
        _ => None,
    }
}

fn conflicts(base: &str, ours: &str, theirs: &str) -> Vec<ConflictHunk> {
    match merge3(base.as_bytes(), ours.as_bytes(), theirs.as_bytes(), Unit::Lines) {
        Merge::Conflict(hunks) => hunks,
        other => panic!("{other:?}"),
    }
}

#[test]
fn changes_apart_go_together() {
    assert_eq!(clean("a\nb\nc\nd\n", "A\nb\nc\nd\n", "a\nb\nc\nD\n").unwrap(), "A\nb\nc\nD\n");
    assert_eq!(clean("a\nb\nc\n", "x\na\nb\nc\n", "a\nb\n").unwrap(), "x\na\nb\n");
}

#[test]
fn changes_that_touch_or_overlap_are_conflicts() {
    let hunk = |base, ours, theirs| vec![ConflictHunk { base, ours, theirs }];
    assert_eq!(conflicts("a\nb\n", "A\nb\n", "a\nB\n"), hunk(0..2, 0..2, 0..2));
    assert_eq!(conflicts("a\nb\nc\n", "a\nx\nc\n", "a\ny\nc\n"), hunk(1..2, 1..2, 1..2));
    assert_eq!(conflicts("a\nb\n", "a\nx\nb\n", "a\ny\nb\n"), hunk(1..1, 1..2, 1..2));
    assert_eq!(conflicts("", "x\n", "y\n"), hunk(0..0, 0..1, 0..1));
}

#[test]
fn the_same_change_on_both_sides_is_clean() {
    assert_eq!(clean("a\nb\nc\n", "a\nx\nc\n", "a\nx\nc\n").unwrap(), "a\nx\nc\n");
    assert_eq!(clean("a\nb\nc\nd\ne\n", "a\nx\nc\nd\ne\n", "a\nx\nc\nd\nE\n").unwrap(), "a\nx\nc\nd\nE\n");
}

#[test]
fn a_conflict_leaves_out_what_both_sides_have_alike() {
    let found = conflicts("a\nb\nc\n", "a\nsame\nx\nc\n", "a\nsame\ny\nc\n");
    assert_eq!(found, [ConflictHunk { base: 1..2, ours: 2..3, theirs: 2..3 }]);
}

#[test]
fn line_ends_are_bytes_like_others() {
    assert_eq!(clean("a\r\nb\r\nc\n", "a\r\nb\r\nC\n", "A\r\nb\r\nc\n").unwrap(), "A\r\nb\r\nC\n");
    assert!(clean("a\nb\n", "a\r\nb\n", "A\nb\n").is_none());
    assert_eq!(clean("a\nb\nc", "a\nb\nc\n", "A\nb\nc").unwrap(), "A\nb\nc\n");
    assert_eq!(clean("a\nb\nc\n", "a\nb\nc", "A\nb\nc\n").unwrap(), "A\nb\nc");
    assert!(clean("a\nb", "a\nb\n", "a\nb\nc").is_none());
    let [base, ours, theirs] = [&b"\xff\n1\n2\n"[..], b"\xfe\n1\n2\n", b"\xff\n1\n\xfd\n"];
    assert_eq!(merge3(base, ours, theirs, Unit::Lines), Merge::Clean(b"\xfe\n1\n\xfd\n".to_vec()));
}

#[test]
fn binaries_are_conflicts_as_a_whole_unless_one_side_is_as_it_was() {
    let (base, left, right) = (b"a\0\n".as_slice(), b"b\0\n".as_slice(), b"c\0\n".as_slice());
    assert_eq!(merge3(base, left, right, Unit::Lines), Merge::Whole(Whole::Binary));
    assert_eq!(merge3(b"a\n", b"b\n", right, Unit::Lines), Merge::Whole(Whole::Binary));
    for (ours, theirs, result) in [(left, base, left), (base, right, right), (left, left, left)] {
        assert_eq!(merge3(base, ours, theirs, Unit::Lines), Merge::Clean(result.to_vec()));
    }
    let late = [vec![b'x'; PROBE_BYTES], b"\0\n".to_vec()].concat();
    assert!(!is_binary(&late) && is_binary(&late[1..]));
}

#[test]
fn what_is_too_large_or_too_different_is_a_conflict_as_a_whole() {
    let text = |line: &str, lines: usize| line.repeat(lines).into_bytes();
    let many = text("\n", LINES_MAX + 1);
    assert_eq!(merge3(&many, b"a\n", b"b\n", Unit::Lines), Merge::Whole(Whole::TooLarge));
    let long = text("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", BYTES_MAX as usize / 33 + 1);
    assert_eq!(merge3(b"c\n", &long, b"b\n", Unit::Lines), Merge::Whole(Whole::TooLarge));
}

/// Texts of which the sides have all lines of the base, each in an order of its own.
fn shuffled(lines: usize) -> [Vec<u8>; 3] {
    let side = |seed: u64| {
        let mut random = wfr_testkit::Prng::new(seed);
        let mut order: Vec<usize> = (0..lines).collect();
        (1..lines).for_each(|at| order.swap(at, random.below(at + 1)));
        order.into_iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
    };
    [1, 2, 3].map(side)
}

#[test]
fn comparing_ends_with_its_steps_and_that_is_a_conflict_as_a_whole() {
    let run = |texts: &[Vec<u8>; 3], given: u64| {
        let mut left = given;
        let texts = texts.each_ref().map(|text| lines::split(text));
        (Texts::of(texts, &mut left).err(), given - left)
    };
    for lines in [10, 100, 1_000] {
        let texts = shuffled(lines);
        let (none, needed) = run(&texts, STEPS_MAX);
        assert!(none.is_none() && needed > lines as u64, "{lines} lines take {needed} steps");
        // It is the steps that end it, wherever it is then: with one less it gives up, and it never takes more than it has.
        assert_eq!(run(&texts, needed), (None, needed));
        for given in [0, 1, needed / 7, needed / 2, needed - 1] {
            let (why, taken) = run(&texts, given);
            assert!(why == Some(Whole::TooDifferent) && taken <= given, "{lines} lines, {given} steps: {why:?}");
        }
    }
}

#[test]
fn conflicts_are_shown_between_markers() {
    let labels = Labels { base: "before", ours: "now", theirs: "without" };
    let show = |base: &str, ours: &str, theirs: &str| {
        let text = marked(base.as_bytes(), ours.as_bytes(), theirs.as_bytes(), Unit::Lines, &labels).unwrap();
        String::from_utf8(text).unwrap()
    };
    assert_eq!(
        show("0\na\n1\n2\n", "0\nb\n1\n2\n", "0\nc\n1\nz\n"),
        "0\n<<<<<<< now\nb\n||||||| before\na\n=======\nc\n>>>>>>> without\n1\nz\n"
    );
    assert_eq!(
        show("a\r\n", "b\r\n", "c"),
        "<<<<<<< now\r\nb\r\n||||||| before\r\na\r\n=======\r\nc\r\n>>>>>>> without\r\n"
    );
    assert_eq!(marked(b"\0", b"a", b"b", Unit::Lines, &labels), Err(Whole::Binary));
}

#[test]
fn values_without_parts_merge_as_a_whole() {
    assert_eq!(scalar(&1, 1, 2), Scalar::Clean(2));
    assert_eq!(scalar(&1, 2, 1), Scalar::Clean(2));
    assert_eq!(scalar(&1, 2, 2), Scalar::Clean(2));
    assert_eq!(scalar(&1, 2, 3), Scalar::Conflict);
}

#[test]
fn extended_attributes_merge_each_by_itself() {
    let list = |text: &str| -> Vec<wfr_model::entry::Xattr> {
        text.split_whitespace().map(|pair| (pair.as_bytes()[..1].to_vec(), pair.as_bytes()[1..].to_vec())).collect()
    };
    assert_eq!(xattrs(&list("a1 b1"), &list("a2 b1"), &list("a1 c1")), Ok(list("a2 c1")));
    assert_eq!(xattrs(&list("a1"), &list(""), &list("a2")), Err(b"a".to_vec()));
    assert_eq!(xattrs(&list(""), &list("a2"), &list("a2")), Ok(list("a2")));
}

fn by_words(base: &str, ours: &str, theirs: &str) -> Option<String> {
    match merge3(base.as_bytes(), ours.as_bytes(), theirs.as_bytes(), Unit::Words) {
        Merge::Clean(text) => Some(String::from_utf8(text).unwrap()),
        _ => None,
    }
}

#[test]
fn words_of_a_line_are_merged_where_they_can_be_told_apart() {
    let base = "let total = sum(list);\nend\n";
    let merged = by_words(base, "let total: u64 = sum(list);\nend\n", "let total = sum(rows);\nend\n");
    assert_eq!(merged.as_deref(), Some("let total: u64 = sum(rows);\nend\n"));
    // Lines that touch.
    assert_eq!(by_words("a\nb\n", "A\nb\n", "a\nB\n").as_deref(), Some("A\nB\n"));
    assert_eq!(by_words("a b\n", "new\na b\n", "a B\n").as_deref(), Some("new\na B\n"));
    // The same word, words that touch, two things at the same place, an edit of what goes.
    assert_eq!(by_words("a b\n", "a c\n", "a d\n"), None);
    assert_eq!(by_words("f(x)\n", "g(x)\n", "f[x)\n"), None);
    assert_eq!(by_words("a\n", "a\nb\n", "a\nc\n"), None);
    assert_eq!(by_words("a b\n", "", "a c\n"), None);
    // Both took the first line away: whoever takes one side out again has it back.
    assert_eq!(by_words("b\n\nc", "\na c", "\nc\n"), None);
    // One conflict is left, the other is none.
    let (base, ours, theirs) = ("a b\n1\n2\n3\nc d\n", "A b\n1\n2\n3\nc e\n", "a B\n1\n2\n3\nc f\n");
    let labels = Labels { base: "b", ours: "o", theirs: "t" };
    let shown = marked(base.as_bytes(), ours.as_bytes(), theirs.as_bytes(), Unit::Words, &labels).unwrap();
    let shown = String::from_utf8(shown).unwrap();
    assert_eq!(shown, "A B\n1\n2\n3\n<<<<<<< o\nc e\n||||||| b\nc d\n=======\nc f\n>>>>>>> t\n");
}

proptest! {
    #[test]
    fn by_words_each_side_can_be_taken_out_again(b in "([a-d] ?|\n){0,16}", x in "([a-d] ?|\n){0,16}",
        y in "([a-d] ?|\n){0,16}") {
        prop_assert_eq!(by_words(&b, &x, &y), by_words(&b, &y, &x));
        match (clean(&b, &x, &y), by_words(&b, &x, &y)) {
            (Some(by_lines), found) => prop_assert_eq!(Some(by_lines), found),
            (None, Some(merged)) => {
                // Whoever takes one side's part out of it by words, of the same lines, has the other one.
                for (side, other) in [(&x, &y), (&y, &x)] {
                    let left = merge3(side.as_bytes(), merged.as_bytes(), b.as_bytes(), Unit::Words);
                    if let Merge::Clean(left) = left {
                        prop_assert_eq!(String::from_utf8(left).unwrap(), other.clone());
                    }
                }
            }
            (None, None) => {}
        }
    }

    #[test]
    fn a_side_that_did_not_change_gives_way(b in "([abc]?\n|[abc]){0,20}", x in "([abc]?\n|[abc]){0,20}") {
        prop_assert_eq!(clean(&b, &b, &x), Some(x.clone()));
        prop_assert_eq!(clean(&b, &x, &b), Some(x.clone()));
        prop_assert_eq!(clean(&b, &x, &x), Some(x.clone()));
    }

    #[test]
    fn the_sides_can_be_exchanged(b in "([a-e]\n){0,20}", x in "([a-e]\n){0,20}", y in "([a-e]\n){0,20}") {
        prop_assert_eq!(clean(&b, &x, &y), clean(&b, &y, &x));
    }

    #[test]
    fn hunks_make_one_text_of_the_other(a in prop::collection::vec(0_u32..6, 0..60),
        b in prop::collection::vec(0_u32..6, 0..60)) {
        let (mut made, mut at) = (Vec::<u32>::new(), 0);
        for hunk in hunks(&a, &b, 6, &mut u64::MAX.clone()).unwrap() {
            made.extend(&a[at..hunk.before.start]);
            made.extend(&b[hunk.after]);
            at = hunk.before.end;
        }
        made.extend(&a[at..]);
        prop_assert_eq!(made, b);
    }

    #[test]
    fn any_bytes_merge_without_a_panic(parts in prop::collection::vec(prop::collection::vec(
        prop::sample::select(vec![0_u8, b'\n', b'\r', b'a', 0xff]), 0..40), 3)) {
        let labels = Labels { base: "", ours: "", theirs: "" };
        let merged = merge3(&parts[0], &parts[1], &parts[2], Unit::Lines);
        let shown = marked(&parts[0], &parts[1], &parts[2], Unit::Lines, &labels);
        if let (Merge::Clean(text), Ok(shown)) = (merged, shown) {
            prop_assert_eq!(text, shown);
        }
    }
}
