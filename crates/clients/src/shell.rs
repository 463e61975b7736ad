//! Shell scripts in which a client runs the command of a tool call.
//!
//! Owns finding the command again. Refuses to run anything.

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
}
