//! Files of clients that are not JSON: our line, which goes again as it came.
//!
//! Owns our line's marks, and telling ours from others' lines; of TOML that is [`super::tables`]. Refuses to read and write files.
//!
//! The marks are for people. What is ours is told by what it says, wherever it stands: clients write their own settings between the
//! marks, and people move lines.

use std::path::Path;

use super::{Form, Text, tables};
use crate::error::{Code, Failure};

const BEGIN: &str = "# >>> wfr: `wfr attach` wrote this, and `wfr detach` takes it out";
const END: &str = "# <<< wfr";

/// Behind the last mark where the line before the first one had no end.
const JOINED: &str = ", which ended the line above";

/// How a file that is all ours begins.
pub(super) const OURS: &str = "// Tells wfr of the tool calls";

/// The text with ours; `None` where it has it already.
///
/// Errors: something else stands there, or ours cannot be put in without changing something else.
pub(super) fn attach(text: &Text, found: &str) -> Result<Option<String>, Failure> {
    let with = match text.form {
        Form::Whole if found.is_empty() || found.starts_with(OURS) => text.text.clone(),
        Form::Whole => return Err(refused(&text.place, "somebody else's file stands there", "move it away")),
        Form::Env => with_line(text, found)?,
        Form::Toml => tables::with(text, found)?,
    };
    Ok((with != found).then_some(with))
}

/// The text without ours; `None` where it has nothing of it. Errors: nobody can tell what is ours.
pub(super) fn detach(text: &Text, found: &str) -> Result<Option<String>, Failure> {
    let without = match text.form {
        Form::Whole if found.starts_with(OURS) => String::new(),
        Form::Whole => return Ok(None),
        Form::Env => without_lines(found, |line| value(text, line).is_some_and(|value| is_ours(text, value))),
        Form::Toml => tables::without(text, found)?,
    };
    Ok((without != found).then_some(without))
}

/// Without our marks, the lines that are ours, and the end of the line before them where that is ours and nothing follows.
pub(super) fn without_lines(found: &str, is_ours: impl Fn(&str) -> bool) -> String {
    let (mut kept, mut begin, mut joined) = (String::new(), None, None);
    for line in found.split_inclusive('\n') {
        match line.trim() {
            BEGIN => begin = Some(kept.len()),
            END => {}
            mark if mark.strip_prefix(END) == Some(JOINED) => joined = begin.filter(|begin| *begin == kept.len()),
            _ if is_ours(line) => {}
            _ => kept.push_str(line),
        }
    }
    if joined == Some(kept.len()) && kept.ends_with('\n') {
        kept.pop();
    }
    kept
}

/// Whether a line is our first mark.
pub(super) fn is_begin(line: &str) -> bool {
    line.trim() == BEGIN
}

/// Whether something of ours may be in a text that nobody can read.
pub(super) fn is_marked(text: &Text, found: &str) -> bool {
    found.contains(BEGIN) || found.contains(END) || found.contains(file_name(unquoted(&text.text)))
}

/// Our lines between their marks.
pub(super) fn block(lines: &str, joined: bool) -> String {
    format!("{BEGIN}\n{lines}\n{END}{}\n", if joined { JOINED } else { "" })
}

/// Behind all that is there, on lines of its own.
pub(super) fn appended(found: &str, lines: &str) -> String {
    let joined = !found.is_empty() && !found.ends_with('\n');
    format!("{found}{}{}", if joined { "\n" } else { "" }, block(lines, joined))
}

/// Whether a value names a file of ours, wherever that was.
pub(super) fn is_ours(text: &Text, value: &str) -> bool {
    file_name(value) == file_name(unquoted(&text.text))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches(['"', '\''])
}

/// What a line of an environment sets our name to; `None` where it does not.
fn value<'l>(text: &Text, line: &'l str) -> Option<&'l str> {
    let (ours, _) = text.text.split_once('=')?;
    let (name, value) = line.trim().trim_start_matches("export ").split_once('=')?;
    (name.trim() == ours).then(|| unquoted(value))
}

fn with_line(text: &Text, found: &str) -> Result<String, Failure> {
    let values: Vec<&str> = found.lines().filter_map(|line| value(text, line)).collect();
    if values.iter().any(|value| !is_ours(text, value)) {
        let name = text.text.split('=').next().unwrap_or_default();
        let hint = "take that line out, or call your file from ours by hand";
        return Err(refused(&text.place, &format!("it sets `{name}` already"), hint));
    }
    if values.is_empty() {
        return Ok(appended(&without_lines(found, |_| false), &text.text));
    }
    let wanted = value(text, &text.text);
    let line = |line: &str| match value(text, line) {
        Some(found) if Some(found) != wanted => {
            format!("{}{}", text.text, if line.ends_with('\n') { "\n" } else { "" })
        }
        _ => line.to_owned(),
    };
    Ok(found.split_inclusive('\n').map(line).collect())
}

pub(super) fn refused(place: &Path, why: &str, hint: &str) -> Failure {
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
        assert_eq!(detach(&text, &with).unwrap().unwrap(), found);
        assert_eq!(detach(&text, found).unwrap(), None);
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
            "[ shell_environment_policy . \"set\" ]\nA = '1'\n",
            "[shell_environment_policy]\nset = { A = \"1\" }\n",
            "[shell_environment_policy]\nset = { } # none\n",
            "[shell_environment_policy]\nset.A = \"1\"\n[other]\n",
            "shell_environment_policy = { inherit = \"all\" }\n",
            "shell_environment_policy = { inherit = \"all\", set = {} }\n",
            "shell_environment_policy.set.A = \"1\"\n[other]\n",
        ] {
            let with = assert_comes_and_goes(Form::Toml, found);
            let table: toml::Table = with.parse().unwrap();
            assert_eq!(table["shell_environment_policy"]["set"]["BASH_ENV"].as_str(), Some("/a/wfr-bash-env"));
        }
        for found in [
            "[shell_environment_policy]\nset = 1\n",
            "[shell_environment_policy.set]\nBASH_ENV = \"/other\"\n",
            "a = \n",
        ] {
            assert_eq!(attach(&text(Form::Toml), found).unwrap_err().code, Code::Conflicts, "{found}");
        }
    }

    /// What a client and a person wrote between the marks stays, and does not make ours missing.
    #[test]
    fn what_others_wrote_between_the_marks_stays() {
        let toml = text(Form::Toml);
        let with = attach(&toml, "model = 'm'\n").unwrap().unwrap();
        let mine = "\n[mcp_servers.mine]\ncommand = \"x\"\n";
        for (between, left) in [
            (mine.to_owned(), format!("model = 'm'\n{mine}")),
            ("A = \"1\"\n".to_owned(), "model = 'm'\n[shell_environment_policy.set]\nA = \"1\"\n".to_owned()),
        ] {
            let used = with.replace("# <<<", &format!("{between}# <<<"));
            assert_eq!(attach(&toml, &used).unwrap(), None);
            assert_eq!(detach(&toml, &used).unwrap().unwrap(), left);
            // The closing mark went, and the program moved.
            let used = used.replace("# <<< wfr\n", "").replace("/a/", "/b/");
            assert_eq!(attach(&toml, &used).unwrap().unwrap(), used.replace("/b/", "/a/"));
            assert_eq!(detach(&toml, &used).unwrap().unwrap(), left);
        }
        let behind = format!("{with}[mine]\na = 1\n");
        assert_eq!(attach(&toml, &behind).unwrap(), None);

        let env = text(Form::Env);
        let used = attach(&env, "KEY=1").unwrap().unwrap().replace("# <<<", "MINE=2\n# <<<");
        assert_eq!(attach(&env, &used).unwrap(), None);
        assert_eq!(detach(&env, &used).unwrap().unwrap(), "KEY=1\nMINE=2\n");
    }

    #[test]
    fn a_line_that_was_put_in_by_hand_is_ours() {
        let toml = text(Form::Toml);
        let by_hand = "[shell_environment_policy]\nset = { BASH_ENV = \"/a/wfr-bash-env\", A = \"1\" }\n";
        assert_eq!(attach(&toml, by_hand).unwrap(), None);
        let left = "[shell_environment_policy]\nset = { A = \"1\" }\n";
        assert_eq!(detach(&toml, by_hand).unwrap().unwrap(), left);
        let broken = "# >>> wfr\na = \n# <<< wfr\n";
        assert_eq!(detach(&toml, broken).unwrap_err().code, Code::Conflicts);
    }

    #[test]
    fn a_file_that_is_not_ours_stays() {
        assert!(attach(&text(Form::Whole), "export const Mine = 1\n").is_err());
        assert_eq!(detach(&text(Form::Whole), "export const Mine = 1\n").unwrap(), None);
        assert_eq!(
            attach(&text(Form::Whole), "// Tells wfr of the tool calls of old\n").unwrap().unwrap(),
            text(Form::Whole).text
        );
    }
}
