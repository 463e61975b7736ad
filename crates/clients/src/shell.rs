//! Shell scripts in which a client runs the command of a tool call.
//!
//! Owns finding the command again. Refuses to run anything.

use crate::Client;

/// The command within the script that Claude Code hands to its shell prefix, byte for byte as the tool call had it; `None` where
/// the script is none of a tool call: a hook, a server, a status line.
///
/// The script ends with the command as one quoted word behind `eval`, perhaps with its input from nowhere, and with where the
/// shell stands then being written down.
pub fn command_of_claude(script: &str) -> Option<String> {
    let (_, rest) = script.split_once("eval ").filter(|_| script.contains("pwd -P >|"))?;
    // What comes before may have an `eval ` of its own, within quotes or not: the last one that leads to the known end counts.
    let mut rest = Some(rest);
    while let Some(text) = rest {
        if let Some((word, behind)) = first_word(text) {
            let behind = behind.trim_start();
            let behind = behind.strip_prefix("< /dev/null").unwrap_or(behind).trim_start();
            if behind.strip_prefix("&&").is_some_and(|behind| behind.trim_start().starts_with("pwd -P >|")) {
                return Some(word);
            }
        }
        rest = text.split_once("eval ").map(|(_, rest)| rest);
    }
    None
}

/// The command within the script that Codex runs, which ends with the command as one quoted word; the script itself where it does
/// not: then it is the command.
pub fn command_of_codex(script: &str) -> String {
    let places = script.match_indices("\nexec '").map(|(at, found)| &script[at + found.len()..]);
    let quoted = places.filter_map(|rest| first_word(rest.split_once("' -c ")?.1));
    // The command may have the same words in it: what leads to the end of the script is all of it.
    let mut words = quoted.filter(|(_, behind)| behind.trim().is_empty());
    words.next().map_or_else(|| script.to_owned(), |(word, _)| word)
}

/// The command within the script that Gemini CLI runs, byte for byte as the tool call had it; `None` where it is another script.
pub fn command_of_gemini(script: &str) -> Option<&str> {
    let (head, rest) = script.split_once("\n(\n")?;
    let (trap, rest) = rest.split_once('\n')?;
    let is_known = head.contains("_bgpids_file=") && trap.trim_start().starts_with("trap ") && trap.ends_with(" EXIT");
    rest.strip_suffix("\n)\n__code=$?\nexit $__code").filter(|_| is_known)
}

/// How the name of the file begins that `bash` reads before it runs a command of a client.
pub const BASH_ENV: &str = "wfr-bash-env";

/// What `bash` reads before it runs a command of a client: it then has us run the command, once. Where the program is gone it goes
/// on by itself. `program` is quoted for a shell. `None` for a client whose commands are not run so.
pub fn bash_env(client: Client, program: &str) -> Option<String> {
    // A variable that only commands of calls have, and that tells one call from another one where there is such.
    let variable = match client {
        Client::Codex => "CODEX_TOOL_CALL_ID",
        Client::Gemini => "GEMINI_CLI",
        Client::Opencode => "WFR_OPENCODE_CALL",
        Client::Claude | Client::Cursor => return None,
    };
    let name = client.as_str();
    Some(format!(
        r#"# Has the shell commands of {name} traced by wfr. `wfr attach {name}` wrote it, and writes it again. Where wfr is gone it does
# nothing, so it stays when wfr is detached: what runs now may still name it.
if [ -n "${{BASH_EXECUTION_STRING+x}}" ] && [ -n "${{{variable}-}}" ] && [ "${{WFR_WITHIN-}}" != "${{{variable}}}" ] && [ -x {program} ]; then
  export WFR_WITHIN=${{{variable}}}
  shopt -s execfail
  exec {program} --client-bash {name} "$SHELLOPTS" "$BASHOPTS" "$BASH" "$BASH_EXECUTION_STRING" "$0" "$@" || shopt -u execfail
fi
"#
    ))
}

/// The words by which a `bash` is started as another one was that runs a script: what it says of its own options is handed on.
pub fn bash_words(set: &str, more: &str) -> Vec<String> {
    const DEFAULTS: [&str; 3] = ["braceexpand", "hashall", "interactive-comments"];
    let set: Vec<&str> = set.split(':').filter(|name| !name.is_empty()).collect();
    let lacking = DEFAULTS.iter().filter(|name| !set.contains(name)).flat_map(|name| ["+o", name]);
    let beyond = set.iter().filter(|name| !DEFAULTS.contains(name)).flat_map(|name| ["-o", name]);
    let login = more.split(':').any(|name| name == "login_shell").then_some("-l");
    lacking.chain(beyond).chain(login).map(str::to_owned).collect()
}

/// The first word of a script, its quotes taken off, and what is behind it; `None` where a quote is not closed.
fn first_word(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => return Some((word, &text[at..])),
            '\'' => loop {
                match letters.next()?.1 {
                    '\'' => break,
                    other => word.push(other),
                }
            },
            '"' => loop {
                match letters.next()?.1 {
                    '"' => break,
                    '\\' => match letters.next()?.1 {
                        '\n' => {}
                        other @ ('$' | '`' | '"' | '\\') => word.push(other),
                        other => word.extend(['\\', other]),
                    },
                    other => word.push(other),
                }
            },
            '\\' => match letters.next()?.1 {
                '\n' => {}
                other => word.push(other),
            },
            other => word.push(other),
        }
    }
    Some((word, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(quoted: &str, input: &str) -> String {
        format!("source /tmp/s.sh 2>/dev/null || true && eval {quoted}{input} && pwd -P >| /tmp/claude-1234-cwd")
    }

    #[test]
    fn the_command_of_a_call_is_found_byte_for_byte() {
        for (quoted, command) in [
            ("ls", "ls"),
            ("'echo hi'", "echo hi"),
            ("'echo '\"'\"'a b'\"'\"' > x'", "echo 'a b' > x"),
            ("\"echo \\\"\\$HOME\\\" \\`date\\` \\n\"", "echo \"$HOME\" `date` \\n"),
            ("'a\nb'", "a\nb"),
            ("a\\ b\\'c", "a b'c"),
            ("'eval ls && pwd -P >| /tmp/x'", "eval ls && pwd -P >| /tmp/x"),
            ("''", ""),
        ] {
            assert_eq!(command_of_claude(&script(quoted, "")).as_deref(), Some(command), "{quoted}");
            assert_eq!(command_of_claude(&script(quoted, " < /dev/null")).as_deref(), Some(command), "{quoted}");
        }
    }

    #[test]
    fn what_is_no_call_has_no_command() {
        for script in
            ["wfr hook claude", "", "eval 'ls'", "pwd -P >| /tmp/x", "eval 'ls && pwd -P >| /tmp/x", "node server.js"]
        {
            assert_eq!(command_of_claude(script), None, "{script}");
        }
    }

    #[test]
    fn the_commands_of_codex_and_gemini_are_found_in_their_scripts() {
        let script = |quoted: &str| format!("export A='b'\nexec 'x' -c no\nfi\n\nexec '/bin/bash' -c {quoted}");
        for (quoted, command) in [("'echo hi > x'", "echo hi > x"), ("'a'\"'\"'b\nexec '", "a'b\nexec "), ("ls", "ls")]
        {
            assert_eq!(command_of_codex(&script(quoted)), command);
        }
        for plain in ["echo hi", "exec 'a' -c b c", "", "\nexec '/bin/bash' -c 'open"] {
            assert_eq!(command_of_codex(plain), plain);
        }
        let script = |command: &str| {
            format!(
                "shopt -u promptvars nullglob extglob nocaseglob dotglob; _bgpids_file=/tmp/x/bgpids.tmp\n(\n  trap 'jobs -p > \
                 \"$_bgpids_file\"' EXIT\n{command}\n)\n__code=$?\nexit $__code"
            )
        };
        for command in ["ls", "a\nb\n", "(\nx\n)\n__code=$?\nexit $__code", ""] {
            assert_eq!(command_of_gemini(&script(command)), Some(command));
        }
        for other in ["ls", "wfr hook gemini", "(\n  trap 'x' EXIT\nls\n)\n__code=$?\nexit $__code"] {
            assert_eq!(command_of_gemini(other), None);
        }
    }

    #[test]
    fn options_of_a_bash_are_handed_on() {
        assert!(bash_words("braceexpand:hashall:interactive-comments", "checkwinsize:sourcepath").is_empty());
        let words = bash_words("braceexpand:errexit:interactive-comments:pipefail", "checkwinsize:login_shell");
        assert_eq!(words, ["+o", "hashall", "-o", "errexit", "-o", "pipefail", "-l"]);
    }
}
