//! Each rule of the replay by its name, and what must hold of any chain.

use std::collections::HashMap;

use proptest::prelude::*;
use wfr_model::Digest;
use wfr_model::entry::Meta;
use wfr_model::time::FileTime;
use wfr_store::object::hash;

use super::*;

/// Versions as words: `-` is absent, `@x` a link to `x`, `/` a directory, `!x` a binary; else a text with a line for each
/// letter. `+x` behind it makes it executable, `:3` sets the owner, `%v` an extended attribute; `=g` calls it `g`, else it is `f`.
fn version(word: &str, shelf: &mut HashMap<Digest, Vec<u8>>) -> Version {
    if word == "-" {
        return None;
    }
    let (word, name) = word.split_once('=').unwrap_or((word, "f"));
    let (word, xattrs) = match word.split_once('%') {
        Some((word, value)) => (word, vec![(b"user.x".to_vec(), value.as_bytes().to_vec())]),
        None => (word, Vec::new()),
    };
    let (word, uid) = word.split_once(':').map_or((word, 0), |(word, uid)| (word, uid.parse().unwrap()));
    let (word, mode) = word.strip_suffix("+x").map_or((word, 0o644), |word| (word, 0o755));
    let meta = Meta { mode, uid, gid: 0, mtime: FileTime::default() };
    let node = match word.as_bytes().first() {
        Some(b'@') => Node::Symlink(word.as_bytes()[1..].to_vec()),
        Some(b'/') => Node::Dir(Digest([0; 32])),
        first => {
            let text = match first {
                Some(b'!') => format!("\0{word}").into_bytes(),
                _ => word.chars().map(|letter| format!("{letter}\n")).collect::<String>().into_bytes(),
            };
            let content = Content { size: text.len() as u64, hash: hash(&text), chunks: None };
            shelf.insert(content.hash, text);
            Node::File(content)
        }
    };
    Some(Entry { name: name.as_bytes().to_vec(), meta, node, xattrs })
}

/// A chain from `first mark version mark version ...`: `k` kept, `r` removed, `n` neutral, `n1,2` neutral with 1 and 2
/// gone, `n_` with nothing gone. A digit behind `k` and `r` says whose the edit is, `*` that it is a recovery's that goes to a tree, `^` that it brings
/// back what was there, with the version to which it went, if one is known.
fn chain(words: &str) -> (Chain, HashMap<Digest, Vec<u8>>) {
    let mut shelf = HashMap::new();
    let mut words = words.split_whitespace();
    let first = version(words.next().unwrap(), &mut shelf);
    let mut edits = Vec::new();
    while let Some(mark) = words.next() {
        let by = match mark.split_at(1) {
            ("k" | "r", "*") => By::Recovery,
            ("k" | "r", back) if back.starts_with('^') => By::Return(back[1..].parse().ok()),
            ("k" | "r", digit) => By::Somebody(digit.parse().unwrap_or(0)),
            _ => By::Recovery,
        };
        let mark = match mark.split_at(1) {
            ("k", _) => Mark::Kept,
            ("r", _) => Mark::Removed,
            (_, "") => Mark::Neutral { gone: None },
            (_, gone) => Mark::Neutral { gone: Some(gone.split(',').flat_map(str::parse).collect()) },
        };
        edits.push(Edit { mark, by, after: version(words.next().unwrap(), &mut shelf) });
    }
    (Chain { first, edits }, shelf)
}

fn replayed(words: &str) -> (Replayed, HashMap<Digest, Vec<u8>>) {
    let (chain, shelf) = chain(words);
    (replay(&chain, Unit::Lines, &|content| Ok(shelf[&content.hash].clone())).unwrap(), shelf)
}

/// The letters of a text.
fn letters(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace('\n', "")
}

/// The outcome in short, and the notes.
fn told(words: &str) -> (String, Vec<Note>) {
    let (Replayed { outcome, notes }, shelf) = replayed(words);
    let said = match outcome {
        Outcome::Version(number) => format!("version {number}"),
        Outcome::Absent => "absent".to_owned(),
        Outcome::Merged(Merged { entry, text }) => {
            let mode = if entry.meta.mode == 0o755 { "+x" } else { "" };
            let text = text.or_else(|| shelf.get(&entries::content(&Some(entry.clone()))?.hash).cloned());
            let owner = if entry.meta.uid == 0 { String::new() } else { format!(":{}", entry.meta.uid) };
            let name = if entry.name == b"f" { String::new() } else { format!("={}", entry.name.escape_ascii()) };
            format!("{}{mode}{owner}{name}", letters(&text.unwrap_or_default()))
        }
        Outcome::Conflict(conflict) => match (&conflict.kind, &conflict.run) {
            (ConflictKind::Lines(hunks), run) => format!("{} lines {run:?}", hunks.len()),
            (kind, run) => format!("{kind:?} {run:?}"),
        },
    };
    (said, notes)
}

/// The outcome in short, where there are no notes.
fn said(words: &str) -> String {
    let (said, notes) = told(words);
    assert_eq!(notes, [], "{words}");
    said
}

fn line(edit: usize, text: &str) -> Line {
    Line { edit, text: text.as_bytes().to_vec() }
}

#[test]
fn nothing_removed_is_the_last_version() {
    assert_eq!(said("abc k abcd k abd"), "version 2");
    assert_eq!(said("abc"), "version 0");
    assert_eq!(said("- k abc k -"), "absent");
}

#[test]
fn everything_from_some_point_on_is_that_version() {
    assert_eq!(said("abc k abcd r xbcd r xbd"), "version 1");
    assert_eq!(said("!a k !b r !c"), "version 1");
    assert_eq!(said("- r abc"), "absent");
}

#[test]
fn what_others_make_again_is_theirs() {
    // A file that its maker removed, and that somebody else makes with the same content.
    assert_eq!(said("- r1 same r1 - k2 same"), "version 3");
    // A line that the user takes away, and somebody else writes.
    assert_eq!(said("abc r1 aXbc k2 abc k3 aXbc"), "version 3");
    // Put away and back by one and the same it is still whose it was.
    assert_eq!(said("abc r1 aXbc k2 abc k2 aXbc"), "version 0");
    // So it is where a recovery goes back to a tree that had it.
    assert_eq!(said("abc r1 aXbc k2 abc k* aXbc"), "version 0");
    assert_eq!(said("abcdefg r1 aXbcdefg k2 aXbcdefYg n1 abcdefYg n aXbcdefYg k* abcdefg k* aXbcdefYg"), "version 3");
}

#[test]
fn what_was_put_back_beside_other_work_is_taken_out() {
    // A, a stash, an edit elsewhere, the stash popped.
    assert_eq!(said("abcdefgh r1 aXbcdefgh k2 abcdefgh k2 abcdefgYh k2 aXbcdefgYh"), "version 3");
    assert_eq!(said("abcdefgh r1 aXbcdefgh k2 abcdefgh k2 abcdefgYh k2 aXbcdefgYhZ"), "abcdefgYhZ");
}

#[test]
fn kept_edits_stay_over_a_removed_one() {
    assert_eq!(said("abcde r aBcde k aBcdE"), "abcdE");
    assert_eq!(said("abcde r aBcde k aBcdE r aXcdE k aXcdEf"), "abcdEf");
}

#[test]
fn a_run_is_merged_once() {
    // Between them the kept edits change and change back what touches the removed one.
    assert_eq!(said("abcde r aBcde k aBCde k aBcdeF"), "abcdeF");
}

#[test]
fn a_second_opinion_that_differs_is_a_conflict() {
    // At once the run gives `dadba`; edit by edit another `d` counts as the one that it deletes.
    assert_eq!(said("adba r ada k adada k dada"), "SecondOpinion 2..=3");
    assert_eq!(said("faadd r faad k fad k fadd"), "SecondOpinion 2..=3");
}

#[test]
fn edits_that_touch_are_a_conflict_of_their_run() {
    assert_eq!(said("abc r aBc k aBC"), "1 lines 2..=2");
    let (Replayed { outcome, .. }, shelf) = replayed("abc r aBc k aBC k aBCd");
    let Outcome::Conflict(conflict) = outcome else { panic!("{outcome:?}") };
    assert_eq!((conflict.run.clone(), conflict.ours_text.clone()), (2..=3, None));
    let (chain, _) = chain("abc r aBc k aBC k aBCd");
    let labels = Labels { base: "b", ours: "o", theirs: "t" };
    let marked = conflict.marked(&chain, &|content| Ok(shelf[&content.hash].clone()), &labels).unwrap().unwrap();
    assert_eq!(
        String::from_utf8(marked).unwrap(),
        "a\n<<<<<<< o\nb\nc\n||||||| b\nB\nc\n=======\nB\nC\nd\n>>>>>>> t\n"
    );
}

#[test]
fn a_return_to_an_earlier_version_is_a_return_to_its_result() {
    // A, then a stash and a pop by another: A's lines do not come back with the pop.
    assert_eq!(said("abc r aBc k abc k aBc"), "version 0");
    // What is kept behind the return is merged from there.
    assert_eq!(said("abcde r aBcde k abcde k aBcde k aBcdE"), "abcdE");
    // The nearest equal version counts: what was undone by a removed edit stays.
    assert_eq!(said("abc k abd r abc k abcx k abc"), "version 1");
}

#[test]
fn a_conflict_ends_where_the_chain_returns_behind_it() {
    assert_eq!(said("abc k abcx r aBcx k aBCx k abcx"), "version 1");
    assert_eq!(told("abc r aBc k aBC r aBCd k -"), ("absent".to_owned(), vec![Note::KeptDeletion { edit: 4 }]));
}

#[test]
fn a_recovery_is_not_replayed() {
    // A rolled back before; now B, too.
    assert_eq!(said("abcde r aBcde r aBcdE n1 abcdE k abcdEf"), "1 lines 4..=4");
    assert_eq!(said("abcdefg r aBcdefg r aBcdEfg n1 abcdEfg k abcdEfG"), "abcdefG");
    // A is taken back in again: B's work and A's.
    assert_eq!(said("abcdefg k aBcdefg k aBcdEfg n1 abcdEfg k abcdEfG"), "aBcdEfG");
}

#[test]
fn a_recovery_keeps_what_was_resolved_by_hand() {
    assert_eq!(said("abc r aBc k aBC n1 abZ k abZx"), "version 4");
    assert_eq!(said("abc r aBc k aBC n abZ k abZx"), "1 lines 2..=2");
    assert_eq!(said("abc r aBc k aBC n1 abZ r abZx"), "version 3");
}

#[test]
fn what_is_made_anew_behind_a_recovery_stays() {
    let (said, notes) = told("abc r aBc n1 abc k aBc");
    assert_eq!((said.as_str(), notes), ("version 3", vec![]));
}

#[test]
fn what_is_brought_back_behind_a_recovery_is_not_new() {
    assert_eq!(said("abc r aBc n1 abc k^ aBc"), "version 0");
    assert_eq!(said("abcde r aBcde n1 abcde k^ aBcde k aBcdE"), "abcdE");
    // With what others did between.
    assert_eq!(said("abcdefgh r aXbcdefgh n1 abcdefgh k abcdefgY k^ aXbcdefgY"), "version 3");
    assert_eq!(said("abcdefgh r aXbcdefgh n1 abcdefgh k abcdefgY k^ aXbcdefgY k aXbcdZfgY"), "abcdZfgY");
    // Twice.
    assert_eq!(said("abc r aBc n1 abc k^ aBc n1 abc k^ aBc"), "version 0");
    // A file.
    assert_eq!(said("- r abc n1 - k^ abc"), "absent");
    // What comes back with it of others stays, and goes with theirs.
    assert_eq!(said("abcdefgh r aXbcdefgh k aXbcdefgY n1 abcdefgY k^ aXbcdefgY"), "version 3");
    assert_eq!(said("abcdefgh k aXbcdefgh r aXbcdefgY n1 abcdefgY k^ aXbcdefgY"), "version 1");
    // Where nothing of it goes, it is what it is.
    assert_eq!(said("abc k aBc n1 abc k^ aBc"), "version 1");
}

#[test]
fn undo_of_undo_then_roll_back_has_nothing_of_it() {
    assert_eq!(said("abc r aBc n1 abc n aBc"), "version 2");
    // The same by hand, without a recovery.
    assert_eq!(said("abc r aBc k abc k aBc"), "version 0");
    assert_eq!(said("abc k aBc n1 abc n aBc"), "version 1");
}

#[test]
fn a_pop_with_an_edit_between_is_known() {
    // A; another stashes; a user's edit; the pop: it brings A's line again, in an edit that stays.
    assert_eq!(said("abc r aBc k abc k abck k aBck"), "version 3");
    // Where that cannot be taken out it is shown.
    let (said, notes) = told("abc r aBc k abc k aQc k aBQc");
    assert_eq!(said, "version 4");
    assert_eq!(notes, [Note::Incomplete { remaining: vec![line(1, "B")], missing: vec![], count: 1 }]);
    // Where the stash was A's own it was A that took the line away.
    let (said, notes) = told("abc r aBc r abc k abck k aBck");
    assert_eq!((said.as_str(), notes.len()), ("version 4", 1));
}

#[test]
fn a_mode_that_is_put_back_beside_other_work_is_no_new_one() {
    // A stash, somebody else's edit, the stash popped; the same with the edit in the look that found the stash.
    assert_eq!(said("abc r1 abc+x k2 abc k3 Xabc k2 Xabc+x"), "version 3");
    assert_eq!(said("abc r1 abc+x k2 Xabc k2 Xabc+x"), "version 2");
    assert_eq!(said("abc r1 aBc+x k2 abc k3 abcX k2 aBcX+x"), "version 3", "with a line");
    // Of anybody else it is their own, as it is behind a recovery.
    assert_eq!(said("abc r1 abc+x k2 abc k3 Xabc k4 Xabc+x"), "version 4");
    assert_eq!(said("abc r1 abc+x k2 Xabc k3 Xabc+x"), "SecondOpinion 2..=3");
    assert_eq!(said("abc r1 abc+x n1 abc k2 Xabc k2 Xabc+x"), "version 4");
    assert_eq!(said("abc r1 abc+x n1 abc k2 Xabc k^ Xabc+x"), "version 3", "it is known to bring it back");
    // Where part of it went before, it is as where all goes at once.
    assert_eq!(said("abc+x r e r abc+x k a"), "a+x");
    assert_eq!(said("abc+x r e r abc+x k a n1 a+x"), "version 4");
    // Whose it is stays where that stays.
    assert_eq!(said("abc k1 abc+x k2 abc k3 Xabc k2 Xabc+x"), "version 4");
    assert_eq!(said("abc k1 abc+x r2 abc k3 Xabc r2 Xabc+x"), "version 4");
}

#[test]
fn what_a_pop_takes_away_again_is_there_without_whoever_took_it_away() {
    // A takes two lines away; a stash; the pop with an edit elsewhere.
    assert_eq!(said("abcdefgh r1 abefgh k0 abcdefgh k0 abefXh"), "abcdefXh");
    assert_eq!(said("abcdefgh r1 abefgh k0 abcdefgh k0 abefgh k0 abcdefgh k0 abefXh"), "abcdefXh");
    // Also where A brought something there.
    assert_eq!(said("abcdefgh r1 abYefgh k0 abcdefgh k0 abYefXh"), "abcdefXh");
    // Who takes away something else, or only some of it, or puts something else there, does that.
    assert_eq!(said("abcdefgh r1 abefgh k0 abcdefgh k0 abdefXh"), "version 3");
    assert_eq!(said("abcdefgh r1 abYefgh k0 abcdefgh k0 abZefXh"), "version 3");
    assert_eq!(said("abcdefgh r1 abefgh k0 abcdefgh k2 abefXh"), "version 3");
    assert_eq!(said("abcdefgh r1 abefgh k0 abcdefgh n abcdefgh k0 abefXh"), "version 4");
    // Where it cannot be told apart from what was done beside, it is said that they are missing.
    let missing = [line(0, "d"), line(0, "c")];
    let (outcome, notes) = told("abcdefgh r1 abefgh k0 abcdefgh k0 aXefgh");
    let [Note::Incomplete { remaining, missing: found, count: 2 }] = &notes[..] else { panic!("{notes:?}") };
    assert!(remaining.is_empty() && missing.iter().all(|line| found.contains(line)), "{found:?}");
    assert_eq!(outcome, "version 3");
}

#[test]
fn lines_that_are_missing_are_shown() {
    let (chain, shelf) = chain("abc k abcd r abcdx");
    let read = |content: &Content| Ok(shelf[&content.hash].clone());
    let mut texts = Texts::new(&read, Unit::Lines);
    let look = |words: &str, texts: &mut Texts<'_>| {
        let mut more = HashMap::new();
        let result = version(words, &mut more);
        for text in more.into_values() {
            texts.make(text);
        }
        lines::look_over(&chain, 0, &result, texts).unwrap()
    };
    assert_eq!(look("abcd", &mut texts), None);
    let note = Note::Incomplete { remaining: vec![line(2, "x")], missing: vec![line(1, "d")], count: 2 };
    assert_eq!(look("abcx", &mut texts), Some(note));
    // What a removed edit took away is missing, too; blank lines and such that occur twice say nothing.
    let note = Note::Incomplete { remaining: vec![], missing: vec![line(0, "a")], count: 1 };
    assert_eq!(look("bcd", &mut texts), Some(note));
}

#[test]
fn a_kept_deletion_stays_and_is_noted() {
    assert_eq!(told("abc r aBc k -"), ("absent".to_owned(), vec![Note::KeptDeletion { edit: 2 }]));
    assert_eq!(said("abc k aBc k - r x"), "absent");
    // A return to nothing is a deletion, too, unless only removed edits made what it deletes.
    assert_eq!(told("- k abc r aBc k -"), ("absent".to_owned(), vec![Note::KeptDeletion { edit: 3 }]));
    assert_eq!(said("- r abc k -"), "absent");
    // What comes again is no deletion.
    assert_eq!(said("abc r aBc k - r - k x"), "version 4");
}

#[test]
fn a_kept_edit_of_what_a_removed_one_created_is_a_conflict() {
    assert_eq!(said("- r abc k abcd"), "RemovedCreation 2..=2");
    assert_eq!(said("- r abc k abc+x"), "RemovedCreation 2..=2");
    assert_eq!(said("abc r - k x"), "TwoCreations 2..=2");
}

#[test]
fn absent_is_not_empty() {
    let (mut chain, shelf) = chain("- k abc r abcd");
    let empty = version("", &mut HashMap::new());
    chain.edits[0].after = empty.clone();
    let read = |content: &Content| Ok(shelf.get(&content.hash).cloned().unwrap_or_default());
    assert_eq!(replay(&chain, Unit::Lines, &read).unwrap().outcome, Outcome::Version(1));
    chain.first = empty;
    chain.edits[0] = Edit { mark: Mark::Removed, by: By::Somebody(0), after: None };
    assert_eq!(replay(&chain, Unit::Lines, &read).unwrap().outcome, Outcome::Version(0));
}

#[test]
fn mode_owner_and_attributes_merge_by_themselves() {
    assert_eq!(said("abc r abC k abC+x"), "abc+x");
    assert_eq!(said("abc r abc+x k abC+x"), "version 2".replace("version 2", "abC"));
    // The content is the first version's: it is not a new one.
    let (replayed, _) = replayed("abcde r abcdE k abcdE+x");
    assert!(matches!(replayed.outcome, Outcome::Merged(Merged { text: None, .. })));
    assert_eq!(said("abc r abc:3 k abC:3"), "abC");
    assert_eq!(said("abc r abc+x k abc:3+x".replace(":3+x", "+x:3").as_str()), "abc:3");
    assert_eq!(said("abc:1 r abc:2 k abc:3"), "Owner 2..=2");
    assert_eq!(said("abc%1 r abc%2 k abc%3"), "Xattr([117, 115, 101, 114, 46, 120]) 2..=2");
    assert_eq!(said("abc%1 r abc%2 k abC%2"), "abC");
}

#[test]
fn a_move_stays_or_goes_like_any_edit() {
    assert_eq!(said("abc r abX k abX=g"), "abc=g", "what goes is taken out where it moved");
    assert_eq!(said("abc r abc=g"), "version 0");
    assert_eq!(said("abc r abc=g k Xbc=g"), "Xbc", "it moves back with what was done since");
    assert_eq!(said("abc r abc=g k abc=h"), "version 2", "it moved on");
    assert_eq!(said("abc k abc=g r abc=h k Xbc=h"), "Xbc=g");
    let wandering = "abc r abc=g k Xbc=g k2 Xbc=h k3 Xbc=g";
    assert_eq!(said(wandering), "version 4", "where the last move that stays brought it");
    assert_eq!(said("- r abc k abc=g"), "absent", "what would not be there cannot move");
    assert_eq!(said("abc k abc=g n1 abc n abc=g r abX=g"), "version 1");
    assert_eq!(said("abc r abX k abX=g k* abc k* abX=g"), "abc=g", "a restore and its undo");
}

#[test]
fn three_modes_are_a_conflict() {
    let (mut chain, shelf) = chain("abc r abc k abc");
    for (number, mode) in [(0, 0o600), (1, 0o640)] {
        chain.edits[number].after.as_mut().unwrap().meta.mode = mode;
    }
    let read = |content: &Content| Ok(shelf[&content.hash].clone());
    let Outcome::Conflict(conflict) = replay(&chain, Unit::Lines, &read).unwrap().outcome else { panic!() };
    assert_eq!(conflict.kind, ConflictKind::Mode);
}

#[test]
fn binaries_links_and_kinds_are_conflicts_unless_trivial() {
    assert_eq!(said("!a r !b k !c"), "Binary 2..=2");
    assert_eq!(said("!a r !b k !b+x"), "!a+x".replace("!a", "\0!a"));
    assert_eq!(said("@a r @b k @c"), "LinkTarget 2..=2");
    assert_eq!(said("@a k @b r @c"), "version 1");
    assert_eq!(said("abc r @x k /"), "Kind 2..=2");
    assert_eq!(said("abc r abC k @x"), "Kind 2..=2");
}

#[test]
fn what_is_too_large_is_not_even_read() {
    let (mut chain, _) = chain("abc r abC k abCd");
    for edit in &mut chain.edits {
        let Some(Entry { node: Node::File(content), .. }) = &mut edit.after else { panic!() };
        content.size = merge::BYTES_MAX + 1;
    }
    let Outcome::Conflict(conflict) = replay(&chain, Unit::Lines, &|_| panic!()).unwrap().outcome else { panic!() };
    assert_eq!(conflict.kind, ConflictKind::TooLarge);
}

#[test]
fn what_is_brought_back_leads_to_where_it_counted() {
    // Edited and deleted, taken back, that undone, restored from before, edited: without the last.
    assert_eq!(said("abc k aBc k - n1,2 abc n - k^ abc r abcd"), "version 0");
    assert_eq!(said("abc r aBc r - n1,2 abc n - k^ abc r abcd"), "version 3", "as then");
}

#[test]
fn what_is_taken_out_behind_a_recovery_is_what_would_be_taken_out_without_it() {
    let both = "@b r - r aBc r abc k @b k abc+x r aBc";
    assert_eq!(said(both), "version 4");
    assert_eq!(said(&format!("{both} n1,2 @b")), "version 7", "the same again");
    let both = "xabc r abcd k xabc k xabc k e k abc+x r abcd";
    assert_eq!(said(both), said(&format!("{both} n1 xabc")));
}

#[test]
fn a_rollback_and_its_undo_are_as_if_they_had_never_been() {
    // A; a stash; C; the pop; C rolled back, and that undone; without A.
    assert_eq!(
        said("abcdefgh r1 aXbcdefgh k0 abcdefgh k2 abcdefghC k0 aXbcdefghC n3 aXbcdefgh n_ aXbcdefghC"),
        "version 3"
    );
    // The same with B, without B: A's work stays.
    let both = "abcdefgh k1 aXbcdefgh r2 aXbcdYefgh k0 abcdefgh k3 abcdefghC k0 aXbcdYefghC";
    assert_eq!(said(both), "aXbcdefghC");
    assert_eq!(said(&format!("{both} n1 abcdYefghC n_ aXbcdYefghC")), "aXbcdefghC");
    // With later work, and with work between the rollback and its undo.
    assert_eq!(said(&format!("{both} n1 abcdYefghC n_ aXbcdYefghC k0 aXbcdYefghCD")), "aXbcdefghCD");
    assert_eq!(said(&format!("{both} n1 abcdYefghC k0 abcdYefghCD n_ aXbcdYefghCD")), "aXbcdefghCD");
    // A stash and its pop behind both.
    let stashed = |between: &str| format!("abcdefgh r1 aXbcdefgh {between} k0 abcdefgh k3 abcdefghC k0 aXbcdefghC");
    assert_eq!(said(&stashed("n1 abcdefgh n_ aXbcdefgh")), "version 5");
    let with = "abcdefgh r1 aXbcdefgh n1 abcdefgh k2 abcdefghD n_ aXbcdefghD k0 abcdefgh k3 abcdefghC k0 aXbcdefghCD";
    assert_eq!(said(with), "abcdefghCD");
    // A decision by hand, undone; and a rollback beside it, before which it had gone.
    let decided =
        "abcdefgh k1 aXbcdefgh r2 aXbcdYefgh k0 abcdefgh k3 abcdefghC k0 aXbcdYefghC r^ abcdefgh k^ aXbcdYefghC";
    assert_eq!(said(decided), "aXbcdefghC");
    assert_eq!(said(&format!("{decided} n1,6 abcdYefghC n6 aXbcdYefghC")), "aXbcdefghC");
}

#[test]
fn of_two_opinions_that_counts_in_which_no_line_is_wrong() {
    // B's work on a branch; the branch is left, C; the branch is merged; without B.
    let branch = "abcdefgh r1 aBXcdefgh k0 abcdefgh k2 abcdefghC k0 aBXcdefghC";
    assert_eq!(said(branch), "version 3");
    let branch = "abcdefgh k1 aAbcdefgh r2 aAbcdefghB r2 aAbcdYefghB k0 aAbcdefghB k3 aAbcdefCghB k0 aAbcdYefCghB";
    assert_eq!(said(branch), "aAbcdefCgh");
    // A's commit, B's, A's reverted, C's, the revert reverted; without A.
    assert_eq!(said("abcdefgh r1 aAbcdefgh k2 aAbcdefghB k0 abcdefghB k3 abcdCefghB k0 aAbcdCefghB"), "version 4");
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let (chain, _) = chain("abcd r aBcd k aBcD");
    let missing = |content: &Content| Err(ReadError::Missing(content.hash));
    assert!(matches!(replay(&chain, Unit::Lines, &missing), Err(ReadError::Missing(_))));
}

const WORDS: [&str; 14] =
    ["-", "", "a", "abc", "aBc", "abcd", "xabc", "bca", "aabbcc", "abc+x", "abc:7", "@a", "@b", "!a"];

/// A chain of any versions, and which edits go.
fn any_chain() -> impl Strategy<Value = (Vec<&'static str>, Vec<bool>)> {
    let words = prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..9);
    (words, prop::collection::vec(any::<bool>(), 8))
}

/// The outcome where the edits go that `goes` names, by number.
fn without(words: &[&str], goes: impl Fn(usize) -> bool) -> (Replayed, Chain, HashMap<Digest, Vec<u8>>) {
    let mut shelf = HashMap::new();
    let mut versions = words.iter().map(|word| version(if word.is_empty() { "e" } else { word }, &mut shelf));
    let first = versions.next().unwrap();
    let mark = |number| if goes(number) { Mark::Removed } else { Mark::Kept };
    let edits =
        versions.enumerate().map(|(at, after)| Edit { mark: mark(at + 1), by: By::Somebody(0), after }).collect();
    let chain = Chain { first, edits };
    let replayed = replay(&chain, Unit::Lines, &|content| Ok(shelf[&content.hash].clone())).unwrap();
    (replayed, chain, shelf)
}

/// The entry that an outcome means.
fn entry(outcome: &Outcome, chain: &Chain) -> Version {
    match outcome {
        Outcome::Version(number) => chain.version(*number).clone(),
        Outcome::Absent => None,
        Outcome::Merged(merged) => Some(merged.entry.clone()),
        Outcome::Conflict(conflict) => panic!("{conflict:?}"),
    }
}

proptest! {
    #[test]
    fn removing_everything_from_some_point_on_is_the_version_there((words, _) in any_chain(), at in 0_usize..8) {
        let at = at.min(words.len() - 1);
        let (replayed, chain, _) = without(&words, |number| number > at);
        prop_assert!(entries::same(&entry(&replayed.outcome, &chain), chain.version(at)));
        prop_assert_eq!(replayed.notes, vec![]);
    }

    #[test]
    fn removing_nothing_is_the_last_version((words, _) in any_chain()) {
        let (replayed, chain, _) = without(&words, |_| false);
        prop_assert!(entries::same(&entry(&replayed.outcome, &chain), chain.version(chain.last())));
    }

    #[test]
    fn any_chain_has_an_answer((words, goes) in any_chain()) {
        let (replayed, ..) = without(&words, |number| goes[number - 1]);
        let (again, ..) = without(&words, |number| goes[number - 1]);
        prop_assert_eq!(replayed, again);
    }

    #[test]
    fn one_removal_then_another_is_both_at_once((words, goes) in any_chain(), then in prop::collection::vec(any::<bool>(), 8)) {
        let (both, ..) = without(&words, |number| goes[number - 1] || then[number - 1]);
        let (first, mut chain, mut shelf) = without(&words, |number| goes[number - 1]);
        let after = match first.outcome {
            Outcome::Conflict(_) => None,
            outcome => {
                if let Outcome::Merged(Merged { entry, text: Some(text) }) = &outcome {
                    shelf.insert(entries::content(&Some(entry.clone())).unwrap().hash, text.clone());
                }
                Some(entry(&outcome, &chain))
            }
        };
        let Some(after) = after else { return Ok(()) };
        let gone = chain.removed(chain.last() + 1).collect();
        chain.edits.push(Edit { mark: Mark::Neutral { gone: Some(gone) }, by: By::Recovery, after });
        let read = |content: &Content| Ok(shelf[&content.hash].clone());
        // Nothing more goes: what the recovery left.
        let again = replay(&chain, Unit::Lines, &read).unwrap();
        prop_assert!(entries::same(&entry(&again.outcome, &chain), chain.version(chain.last())));
        for (edit, goes) in chain.edits.iter_mut().zip(&then) {
            if *goes && edit.mark == Mark::Kept {
                edit.mark = Mark::Removed;
            }
        }
        match (replay(&chain, Unit::Lines, &read).unwrap().outcome, both.outcome) {
            (Outcome::Conflict(one), Outcome::Conflict(other)) => prop_assert_eq!(one.kind, other.kind),
            (one, other) => prop_assert!(entries::same(&entry(&one, &chain), &entry(&other, &chain))),
        }
    }

    #[test]
    fn a_popped_stash_is_no_work_of_whoever_popped_it(kind in 0..3, at in 8..44_usize, count in 1..4_usize,
        place in prop::sample::select(vec![0..5_usize, 48..52]).prop_flat_map(|places| places), is_seen: bool) {
        let base: String = ('A'..='Z').chain('a'..='z').collect();
        // Somebody takes lines away, or puts others there, or brings some.
        let new = &"123"[..count];
        let worked_on = |text: &str| match kind {
            0 => format!("{}{}", &text[..at], &text[at + count..]),
            1 => format!("{}{new}{}", &text[..at], &text[at + count..]),
            _ => format!("{}{new}{}", &text[..at], &text[at..]),
        };
        let edited = format!("{}5{}", &base[..place], &base[place + 1..]);
        let between = if is_seen { format!("k0 {edited}") } else { String::new() };
        let words = format!("{base} r1 {} k0 {base} {between} k0 {}", worked_on(&base), worked_on(&edited));
        let (outcome, notes) = told(&words);
        prop_assert_eq!(notes, vec![], "{}", &words);
        let wanted = if is_seen { "version 3".to_owned() } else { edited };
        prop_assert_eq!(outcome, wanted, "{}", words);
    }

    #[test]
    fn edits_apart_from_each_other_come_out_alone(order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
        goes in prop::collection::vec(any::<bool>(), 8)) {
        // Each edit changes a line of its own, three lines from the next one.
        let text = |changed: &[usize]| -> String {
            (0..8).map(|at| if changed.contains(&at) { (b'A' + at as u8) as char } else { (b'a' + at as u8) as char })
                .flat_map(|letter| [letter, '1', '2', letter.to_ascii_lowercase()].into_iter().skip(1).chain([letter]))
                .collect()
        };
        let words: Vec<String> = (0..=8).map(|made| text(&order[..made])).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (replayed, chain, shelf) = without(&words, |number| goes[number - 1]);
        let stay: Vec<usize> = order.iter().zip(&goes).filter(|(_, goes)| !**goes).map(|(at, _)| *at).collect();
        prop_assert_eq!(&replayed.notes, &vec![]);
        let result = entry(&replayed.outcome, &chain);
        let made = match replayed.outcome {
            Outcome::Merged(Merged { text: Some(text), .. }) => text,
            _ => shelf[&entries::content(&result).unwrap().hash].clone(),
        };
        prop_assert_eq!(letters(&made), text(&stay));
    }
}
