//! Words on a command line: which key each of them stands for.
//!
//! Owns telling workflows, checkpoints, recoveries and paths apart, by prefix and by what exists. Refuses to look
//! anything up that the words' number already decides.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use wfr_model::path::{escape, unescape};
use wfr_model::{CheckpointId, RecoveryId, TreePath};

use super::places::normal;
use super::{Operation, Positional, Slot};
use crate::error::{Code, Failure};
use crate::params::HostPath;

/// What must be known to tell words apart.
pub trait Known {
    /// Whether there is a workflow of that name.
    fn has_workflow(&mut self, name: &str) -> Result<bool, Failure>;

    /// Whether the text refers to a checkpoint, of a workflow where one is given.
    fn has_checkpoint(&mut self, workflow: Option<&str>, reference: &str) -> Result<bool, Failure>;

    /// The workspace's root, absolute and without symbolic links.
    fn root(&mut self) -> Result<PathBuf, Failure>;

    /// The root as it was named, absolute, where that is another way to it.
    fn named_root(&self) -> Option<PathBuf> {
        None
    }

    /// The directory that relative paths begin at.
    fn current(&self) -> &Path;
}

/// Puts words into the parameters under the keys that they stand for. A word `--` makes all further ones paths, or the
/// words of a command.
pub fn bind(
    operation: &Operation,
    words: &[OsString],
    parameters: Map<String, Value>,
    known: &mut dyn Known,
) -> Result<Map<String, Value>, Failure> {
    let split = words.iter().position(|word| word == "--");
    let (words, rest) = split.map_or((words, &words[words.len()..]), |at| (&words[..at], &words[at + 1..]));
    let mut binder = Binder { operation, parameters, known };
    binder.bind(words)?;
    binder.bind_rest(rest)?;
    binder.check_needed()?;
    Ok(binder.parameters)
}

struct Binder<'b> {
    operation: &'b Operation,
    parameters: Map<String, Value>,
    known: &'b mut dyn Known,
}

impl Binder<'_> {
    fn bind(&mut self, words: &[OsString]) -> Result<(), Failure> {
        let words = self.without_repetitions(words);
        let mut words = words.into_iter().peekable();
        let mut slots = self.free();
        slots.retain(|slot| slot.slot != Slot::Command);
        for (at, slot) in slots.iter().enumerate() {
            while let Some(word) = words.peek().copied() {
                let left = words.clone().count();
                if !self.fits(slot, word, left, &slots[at + 1..])? {
                    break;
                }
                self.put(slot, word)?;
                words.next();
                if !slot.many {
                    break;
                }
            }
        }
        match words.next() {
            None => Ok(()),
            Some(extra) => {
                let message = format!("`{}` is one word too many", extra.to_string_lossy());
                Err(Failure::new(Code::WrongArguments, message).with_hint(self.usage()))
            }
        }
    }

    /// The words without those that only repeat, in their order, what keys say already, where there are more of them than
    /// places are left.
    fn without_repetitions<'w>(&self, words: &'w [OsString]) -> Vec<&'w OsStr> {
        let mut words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
        let free = self.free();
        let mut at = 0;
        for slot in self.operation.positionals {
            if free.iter().any(|one| one.many) || words.len() <= free.len() {
                break;
            }
            let said = self.parameters.get(slot.key).and_then(Value::as_str);
            if said.is_some_and(|said| words.get(at).is_some_and(|word| *word == said)) {
                words.remove(at);
            } else {
                at += 1;
            }
        }
        words
    }

    /// Slots that no key has filled.
    fn free(&self) -> Vec<&'static Positional> {
        let is_filled = |slot: &Positional| self.parameters.get(slot.key).is_some_and(|value| !value.is_null());
        self.operation.positionals.iter().filter(|slot| slot.many || !is_filled(slot)).collect()
    }

    /// Whether a slot must be filled: nothing else says it.
    fn needs(&self, slot: &Positional) -> bool {
        let said = |(outer, inner)| self.parameters.get(outer).and_then(|block| block.get(inner));
        slot.needed && slot.instead.and_then(said).is_none_or(Value::is_null)
    }

    /// Whether a word is for this slot, given how many words are left and which slots come after it.
    fn fits(&mut self, slot: &Positional, word: &OsStr, left: usize, after: &[&Positional]) -> Result<bool, Failure> {
        let needed_after = after.iter().filter(|slot| self.needs(slot)).count();
        if self.needs(slot) || after.is_empty() && slot.slot != Slot::Recovery {
            return Ok(true);
        }
        if left <= needed_after {
            return Ok(false);
        }
        let Some(text) = word.to_str() else { return Ok(slot.slot == Slot::Path || slot.slot == Slot::HostPath) };
        match slot.slot {
            Slot::Workflow => self.is_workflow(text, left, after),
            Slot::Recovery => {
                Ok(RecoveryId::PREFIXES.iter().any(|prefix| text.starts_with(prefix)) || after.is_empty())
            }
            Slot::CheckpointOrTree => {
                let workflow = self.parameters.get("workflow_id").and_then(Value::as_str).map(str::to_owned);
                Ok(text == "tree" || self.known.has_checkpoint(workflow.as_deref(), text)?)
            }
            _ => Ok(true),
        }
    }

    /// Whether the first word is the optional workflow.
    fn is_workflow(&mut self, text: &str, left: usize, after: &[&Positional]) -> Result<bool, Failure> {
        let recovery = after.iter().any(|slot| slot.slot == Slot::Recovery);
        if recovery && RecoveryId::PREFIXES.iter().any(|prefix| text.starts_with(prefix)) || is_reference(text) {
            return Ok(false);
        }
        let is_open_ended = after.iter().any(|slot| slot.many);
        if !is_open_ended && left > after.len() {
            return Ok(true);
        }
        if recovery && left == 1 {
            return Ok(true);
        }
        Ok(self.known.has_workflow(text)? && !self.known.has_checkpoint(None, text)?)
    }

    fn put(&mut self, slot: &Positional, word: &OsStr) -> Result<(), Failure> {
        let value = match slot.slot {
            Slot::HostPath | Slot::Command => HostPath::text_of(word),
            Slot::Path => tree_path(word, self.known)?.to_string(),
            _ => text_of(word)?,
        };
        let value = Value::String(value);
        if !slot.many {
            self.parameters.insert(slot.key.to_owned(), value);
            return Ok(());
        }
        match self.parameters.entry(slot.key).or_insert_with(|| Value::Array(vec![])) {
            Value::Array(list) => list.push(value),
            single => *single = Value::Array(vec![single.take(), value]),
        }
        Ok(())
    }

    /// Words after `--` are paths, or a command.
    fn bind_rest(&mut self, rest: &[OsString]) -> Result<(), Failure> {
        let takes = |slot: &&Positional| matches!(slot.slot, Slot::Path | Slot::HostPath | Slot::Command);
        let mut slots = self.free().into_iter().filter(takes);
        let mut slot = slots.next();
        for word in rest {
            let Some(place) = slot else {
                let message = format!("`{}` is one word too many", word.to_string_lossy());
                return Err(Failure::new(Code::WrongArguments, message).with_hint(self.usage()));
            };
            self.put(place, word)?;
            slot = if place.many { Some(place) } else { slots.next() };
        }
        Ok(())
    }

    fn check_needed(&self) -> Result<(), Failure> {
        let is_there = |slot: &&Positional| self.parameters.get(slot.key).is_some_and(|value| !value.is_null());
        let mut missing =
            self.operation.positionals.iter().filter(|slot| self.needs(slot)).filter(|slot| !is_there(slot));
        match missing.next() {
            None => Ok(()),
            Some(slot) => {
                let message = format!("`{}` needs {}", self.operation.name, shown(slot));
                Err(Failure::new(Code::WrongArguments, message).with_hint(self.usage()))
            }
        }
    }

    fn usage(&self) -> String {
        format!("call it as `wfr {}`", usage(self.operation, ""))
    }
}

/// How an operation is called, without the program's name: `restore [WORKFLOW] CHECKPOINT`. The options stand behind all
/// words, but before a command.
pub fn usage(operation: &Operation, options: &str) -> String {
    let (mut text, mut command) = (operation.name.to_owned(), String::new());
    for slot in operation.positionals {
        let name = shown(slot);
        let dots = if slot.many { "..." } else { "" };
        match (slot.slot, slot.needed) {
            (Slot::Command, _) => command = format!(" -- {name}{dots}"),
            (_, true) => text.push_str(&format!(" {name}{dots}")),
            (_, false) => text.push_str(&format!(" [{name}{dots}]")),
        }
    }
    text + options + &command
}

/// The placeholder of a word: its key in capitals, without `_id`.
pub fn shown(slot: &Positional) -> String {
    let key = if slot.many { slot.key.trim_end_matches('s') } else { slot.key };
    key.trim_end_matches("_id").to_ascii_uppercase()
}

/// Whether a text can be nothing but a reference to a checkpoint.
fn is_reference(text: &str) -> bool {
    matches!(text, "latest" | "latest-valid")
        || text.starts_with("phase:")
        || CheckpointId::PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

fn text_of(word: &OsStr) -> Result<String, Failure> {
    word.to_str().map(str::to_owned).ok_or_else(|| {
        let message = format!("`{}` is not UTF-8, so it cannot be an id or a name", escape(word.as_bytes()));
        Failure::new(Code::InvalidParameter, message)
    })
}

/// The path in a tree that a word means. From the workspace's root, unless it begins with `./` or `../`: these count
/// from the current directory. An absolute path must lie below the root.
///
/// Both a name as the file system has it and one as wfr prints it are understood: a word with a malformed escape, or
/// one that is not UTF-8, stands for itself.
fn tree_path(word: &OsStr, known: &mut dyn Known) -> Result<TreePath, Failure> {
    let text = escape(word.as_bytes());
    let refuse = |why: String| {
        Failure::new(Code::InvalidParameter, format!("`{text}` cannot be a path in the workspace: {why}"))
    };
    let bytes = word.to_str().and_then(unescape).unwrap_or_else(|| word.as_bytes().to_vec());
    let path = Path::new(OsStr::from_bytes(&bytes));
    let from_here = bytes.starts_with(b"./") || bytes.starts_with(b"../") || bytes == b"." || bytes == b"..";
    if !from_here && !path.is_absolute() {
        let trimmed = bytes.strip_suffix(b"/").unwrap_or(&bytes);
        return TreePath::from_bytes(trimmed).map_err(|error| refuse(error.why.to_owned()));
    }
    let root = known.root()?;
    let whole = normal(&known.current().join(path));
    match whole.strip_prefix(&root) {
        Ok(below) => TreePath::from_bytes(below.as_os_str().as_bytes()).map_err(|error| refuse(error.why.to_owned())),
        Err(_) => Err(refuse(format!("it is not below {}", root.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{Definition, Effect};
    use crate::params;
    use serde_json::json;

    struct World;

    impl Known for World {
        fn has_workflow(&mut self, name: &str) -> Result<bool, Failure> {
            Ok(matches!(name, "wf" | "both"))
        }

        fn has_checkpoint(&mut self, _: Option<&str>, reference: &str) -> Result<bool, Failure> {
            Ok(matches!(reference, "base" | "next" | "both" | "latest"))
        }

        fn root(&mut self) -> Result<PathBuf, Failure> {
            Ok("/w".into())
        }

        fn current(&self) -> &Path {
            Path::new("/w/src")
        }
    }

    fn operation<P: Definition>() -> Operation {
        Operation {
            name: P::NAME,
            positionals: P::POSITIONALS,
            effect: Effect::Reads,
            aliases: &[],
            examples: &[],
            marks: &[],
            parameters: || Value::Null,
            result: || Value::Null,
            check: |_| Ok(()),
            run: |_, _| Err(Failure::new(Code::Internal, "not to be run")),
        }
    }

    fn bound<P: Definition>(words: &[&[u8]], given: Value) -> Result<Value, Failure> {
        let words: Vec<OsString> = words.iter().map(|word| OsStr::from_bytes(word).to_owned()).collect();
        let given = given.as_object().cloned().unwrap_or_default();
        bind(&operation::<P>(), &words, given, &mut World).map(Value::Object)
    }

    fn of<P: Definition>(words: &str) -> Value {
        let words: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
        bound::<P>(&words, json!({})).unwrap_or_else(|failure| json!(failure.code.as_str()))
    }

    #[test]
    fn ids_are_told_apart_by_number_and_by_what_exists() {
        assert_eq!(of::<params::Restore>("wf base"), json!({"workflow_id": "wf", "checkpoint": "base"}));
        assert_eq!(of::<params::Restore>("base"), json!({"checkpoint": "base"}));
        assert_eq!(of::<params::Restore>(""), json!("WRONG_ARGUMENTS"));
        assert_eq!(of::<params::Restore>("wf base x"), json!("WRONG_ARGUMENTS"));
        let said = json!({"state_restoration": {"source_checkpoint": "base"}});
        for (words, key) in [("", None), ("wf", Some("workflow_id")), ("next", Some("checkpoint"))] {
            let mut expected = said.clone();
            key.into_iter().for_each(|key| expected[key] = json!(words));
            let words: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
            assert_eq!(bound::<params::Restore>(&words, said.clone()).unwrap(), expected, "the block says it");
        }
        assert_eq!(of::<params::Cat>("base a/b"), json!({"checkpoint": "base", "path": "a/b"}));
        assert_eq!(of::<params::Cat>("wf base a"), json!({"workflow_id": "wf", "checkpoint": "base", "path": "a"}));
        assert_eq!(of::<params::Cat>("ckpt_1 a b"), json!("WRONG_ARGUMENTS"));
        assert_eq!(of::<params::Undo>("rec_1"), json!({"recovery_id": "rec_1"}));
        assert_eq!(of::<params::Undo>("wf"), json!({"workflow_id": "wf"}));
        assert_eq!(of::<params::Undo>("wf rec_1"), json!({"workflow_id": "wf", "recovery_id": "rec_1"}));
        assert_eq!(of::<params::ListCheckpoints>(""), json!({}));
    }

    #[test]
    fn differences_take_checkpoints_and_then_paths() {
        assert_eq!(of::<params::Diff>("base"), json!({"from": "base"}));
        assert_eq!(of::<params::Diff>("base tree"), json!({"from": "base", "to": "tree"}));
        assert_eq!(of::<params::Diff>("base next a"), json!({"from": "base", "to": "next", "paths": ["a"]}));
        assert_eq!(of::<params::Diff>("base a b"), json!({"from": "base", "paths": ["a", "b"]}));
        assert_eq!(of::<params::Diff>("wf base next"), json!({"workflow_id": "wf", "from": "base", "to": "next"}));
        assert_eq!(of::<params::Diff>("base -- next"), json!({"from": "base", "paths": ["next"]}));
        assert_eq!(of::<params::Diff>("both base"), json!({"from": "both", "to": "base"}));
    }

    #[test]
    fn paths_come_from_the_root_or_from_here() {
        let path = |word: &[u8]| match bound::<params::Cat>(&[b"base", word], json!({})) {
            Ok(found) => found["path"].as_str().unwrap_or_default().to_owned(),
            Err(failure) => failure.code.as_str().to_owned(),
        };
        assert_eq!(path(b"src/a"), "src/a");
        assert_eq!(path(b"src/"), "src");
        assert_eq!(path(b"./a"), "src/a");
        assert_eq!(path(b"../b"), "b");
        assert_eq!(path(b"/w/c"), "c");
        // As wfr prints them, and as the file system has them.
        assert_eq!(path(br"a\xff"), r"a\xff");
        assert_eq!(path(b"a\xff"), r"a\xff");
        assert_eq!(path(br"a\\b"), r"a\\b");
        assert_eq!(path(br"a\b"), r"a\\b");
        assert_eq!(path(b"new\nline"), "new\nline");
        for out in [&b"../../x"[..], b"/etc/passwd", b"a/../b", b"a//b"] {
            assert_eq!(path(out), "INVALID_PARAMETER", "{out:?}");
        }
    }

    #[test]
    fn keys_and_words_fill_each_other_up() {
        let bound = |words: &[&[u8]], given| bound::<params::Restore>(words, given);
        assert_eq!(
            bound(&[b"wf"], json!({"checkpoint": "base"})).ok(),
            Some(json!({"checkpoint": "base", "workflow_id": "wf"}))
        );
        let both = json!({"workflow_id": "wf", "checkpoint": "base"});
        assert_eq!(bound(&[], both.clone()).ok(), Some(both.clone()));
        assert!(bound(&[b"x"], both).is_err());
        assert_eq!(usage(&operation::<params::Diff>(), ""), "diff [WORKFLOW] FROM [TO] [PATH...]");
        assert_eq!(usage(&operation::<params::Guard>(), " [--flags]"), "guard [WORKFLOW] [--flags] -- COMMAND...");
    }
}
