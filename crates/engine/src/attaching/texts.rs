//! Files of clients that are not JSON: our lines between two marks, which go again as they came.
//!
//! Owns where the lines may stand, and refusing what they would break. Refuses to read and write files.

use std::path::Path;

use super::{Form, Text};
use crate::error::{Code, Failure};

const BEGIN: &str = "# >>> wfr: `wfr attach` wrote this, and `wfr detach` takes it out";
const END: &str = "# <<< wfr";

/// Behind the last mark where the line before the first one had no end.
const JOINED: &str = ", which ended the line above";

/// The table that our line of TOML is in.
const TABLE: [&str; 2] = ["shell_environment_policy", "set"];

/// How a file that is all ours begins.
pub(super) const OURS: &str = "// Tells wfr of the tool calls";

/// The text with ours; `None` where it has it already.
///
/// Errors: something else stands there, or ours cannot be put in without changing something else.
pub(super) fn attach(text: &Text, found: &str) -> Result<Option<String>, Failure> {
    let with = match text.form {
        Form::Whole if found.is_empty() || found.starts_with(OURS) => text.text.clone(),
        Form::Whole => return Err(refused(&text.place, "somebody else's file stands there", "move it away")),
        Form::Env => with_lines(text, found)?,
        Form::Toml => with_table(text, found)?,
    };
    Ok((with != found).then_some(with))
}

/// The text without ours; `None` where it has nothing of it.
pub(super) fn detach(text: &Text, found: &str) -> Option<String> {
    match text.form {
        Form::Whole => found.starts_with(OURS).then(String::new),
        Form::Env | Form::Toml => without(found),
    }
}

/// Without our lines, and without the end of the line before them where that is ours.
fn without(found: &str) -> Option<String> {
    let from = found.find(BEGIN)?;
    let to = found[from..].find(END)? + from + END.len();
    let joined = found[to..].strip_prefix(JOINED);
    let from = if joined.is_some() { found[..from].trim_end_matches('\n').len() } else { from };
    let rest = joined.unwrap_or(&found[to..]);
    Some(format!("{}{}", &found[..from], rest.strip_prefix('\n').unwrap_or(rest)))
}

fn block(lines: &str, joined: bool) -> String {
    format!("{BEGIN}\n{lines}\n{END}{}\n", if joined { JOINED } else { "" })
}

fn with_lines(text: &Text, found: &str) -> Result<String, Failure> {
    let rest = without(found).unwrap_or_else(|| found.to_owned());
    let name = text.text.split('=').next().unwrap_or_default();
    let sets = |line: &str| {
        line.trim().trim_start_matches("export ").trim_start().split('=').next().map(str::trim) == Some(name)
    };
    if rest.lines().any(sets) {
        let hint = "take that line out, or call your file from ours by hand";
        return Err(refused(&text.place, &format!("it sets `{name}` already"), hint));
    }
    Ok(match (found.find(BEGIN), without(found).is_some()) {
        // Where it stood before.
        (Some(from), true) if found[..from].is_empty() || !found.contains(JOINED) => {
            format!("{}{}{}", &rest[..from], block(&text.text, false), &rest[from..])
        }
        _ => appended(&rest, &text.text),
    })
}

/// Behind all that is there, on lines of its own.
fn appended(found: &str, lines: &str) -> String {
    let joined = !found.is_empty() && !found.ends_with('\n');
    format!("{found}{}{}", if joined { "\n" } else { "" }, block(lines, joined))
}

fn with_table(text: &Text, found: &str) -> Result<String, Failure> {
    let rest = without(found).unwrap_or_else(|| found.to_owned());
    let before = parsed(&text.place, &rest)?;
    let set = before.get(TABLE[0]).and_then(|policy| policy.get(TABLE[1]));
    let by_hand = format!("put `{}` into `{}` by hand", text.text, TABLE.join("."));
    if set.is_some_and(|set| set.get("BASH_ENV").is_some()) {
        return Err(refused(&text.place, "it sets `BASH_ENV` already", "take that out"));
    }
    let header = format!("[{}]", TABLE.join("."));
    let with = match rest.lines().position(|line| line.split('#').next().unwrap_or_default().trim() == header) {
        // The table's own lines come first in it.
        Some(at) => {
            let head: String = rest.split_inclusive('\n').take(at + 1).collect();
            let joined = !head.ends_with('\n');
            let newline = if joined { "\n" } else { "" };
            format!("{head}{newline}{}{}", block(&text.text, joined), &rest[head.len()..])
        }
        None => appended(&rest, &format!("{header}\n{}", text.text)),
    };
    // Whatever way it is written, it must mean what it meant before, and ours.
    let mut after: toml::Table =
        with.parse().map_err(|_| refused(&text.place, "it has this table in another form", &by_hand))?;
    let taken = after.get_mut(TABLE[0]).and_then(|policy| policy.get_mut(TABLE[1])).and_then(toml::Value::as_table_mut);
    let is_ours = taken.is_some_and(|set| set.remove("BASH_ENV").is_some());
    if is_ours && emptied(after) == emptied(before) {
        Ok(with)
    } else {
        Err(refused(&text.place, "it cannot be put in without changing something else", &by_hand))
    }
}

/// A document without our table, where nothing is in it.
fn emptied(mut table: toml::Table) -> toml::Table {
    if let Some(policy) = table.get_mut(TABLE[0]).and_then(toml::Value::as_table_mut) {
        if policy.get(TABLE[1]).and_then(toml::Value::as_table).is_some_and(toml::Table::is_empty) {
            policy.remove(TABLE[1]);
        }
        if policy.is_empty() {
            table.remove(TABLE[0]);
        }
    }
    table
}

fn parsed(place: &Path, text: &str) -> Result<toml::Table, Failure> {
    text.parse().map_err(|error: toml::de::Error| {
        let why = format!("it is no TOML: {}", error.message());
        refused(place, &why, "mend it")
    })
}

fn refused(place: &Path, why: &str, hint: &str) -> Failure {
    Failure::new(Code::Conflicts, format!("{}: {why}; nothing was changed", place.display()))
        .with_hint(format!("{hint}, then call it again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: Form) -> Text {
        let text = match form {
            Form::Env => "BASH_ENV=/a/wfr-bash-env",
            Form::Toml => "BASH_ENV = \"/a/wfr-bash-env\"",
            Form::Whole => "// Tells wfr of the tool calls\n",
        };
        Text { place: "/x".into(), form, text: text.to_owned() }
    }

    /// What is put in comes out again, and is put in once.
    #[track_caller]
    fn assert_comes_and_goes(form: Form, found: &str) -> String {
        let text = text(form);
        let with = attach(&text, found).unwrap().unwrap();
        assert_eq!(attach(&text, &with).unwrap(), None, "{found}");
        assert_eq!(detach(&text, &with).unwrap(), found);
        assert_eq!(detach(&text, found), None);
        with
    }

    #[test]
    fn lines_of_an_environment_come_and_go() {
        for found in ["", "KEY=1\n", "KEY=1", "# BASH_ENV=no\n\nexport KEY = 2\n"] {
            assert_comes_and_goes(Form::Env, found);
        }
        for found in ["BASH_ENV=/other\n", "KEY=1\n export BASH_ENV = x"] {
            assert_eq!(attach(&text(Form::Env), found).unwrap_err().code, Code::Conflicts);
        }
    }

    #[test]
    fn toml_keeps_its_comments_and_its_meaning() {
        for found in [
            "",
            "# mine\nmodel = \"m\" # too\n\n[features]\na = true\n",
            "[shell_environment_policy]\ninherit = \"core\"\n[other]\n",
            "[shell_environment_policy.set] # mine\nA = \"1\"\n[other]\nb = 1\n",
            "[shell_environment_policy.set]",
            "model = 'm'",
        ] {
            let with = assert_comes_and_goes(Form::Toml, found);
            let table: toml::Table = with.parse().unwrap();
            assert_eq!(table["shell_environment_policy"]["set"]["BASH_ENV"].as_str(), Some("/a/wfr-bash-env"));
        }
        for found in [
            "[shell_environment_policy]\nset = { A = \"1\" }\n",
            "shell_environment_policy = { inherit = \"all\" }\n",
            "[shell_environment_policy.set]\nBASH_ENV = \"/other\"\n",
            "a = \n",
        ] {
            assert_eq!(attach(&text(Form::Toml), found).unwrap_err().code, Code::Conflicts, "{found}");
        }
    }

    #[test]
    fn a_file_that_is_not_ours_stays() {
        assert!(attach(&text(Form::Whole), "export const Mine = 1\n").is_err());
        assert_eq!(detach(&text(Form::Whole), "export const Mine = 1\n"), None);
        assert_eq!(
            attach(&text(Form::Whole), "// Tells wfr of the tool calls of old\n").unwrap().unwrap(),
            text(Form::Whole).text
        );
    }
}
