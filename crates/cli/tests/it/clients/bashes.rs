//! Commands of clients that run them in a `bash` which we are asked by to run them: nothing of them changes.
//!
//! Owns odd commands. Refuses to know any client: none is run.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use wfr_clients::Client;

use super::Stage;
use crate::traced::can_trace;

/// Commands that quoting, options or streams of ours could change.
const COMMANDS: [&str; 34] = [
    "echo hi",
    "echo 'a  b' \"c\td\" $'e\\nf'",
    "printf '%s|' \"$0\" \"$@\" $#",
    "echo \"$HOME\" `echo x` $(echo y) ${z-default}",
    "cat <<'EOF'\n$a `b` \\c \"d\" 'e'\nEOF",
    "a=(1 2 3); echo ${a[@]} ${#a[@]}",
    "cat",
    "read line; echo \"<$line>\"; cat",
    "exit 7",
    "kill -TERM $$",
    "false",
    "false; echo on",
    "set -e; false; echo never",
    "set -u; echo $nothing; echo never",
    "set -o pipefail; false | true",
    "echo out; echo err >&2",
    "trap 'echo bye' EXIT; echo hi",
    "no-such-command-here",
    "cd /; pwd",
    "f() { echo \"f $1\"; }; f x",
    "bash -c 'echo nested $0' name",
    "sh -c 'echo sh'",
    "exec echo replaced",
    "echo $BASH_SUBSHELL $SHLVL | cut -d' ' -f1",
    "( exit 3 )",
    "echo ä ö \u{1f600}",
    "echo \\\\ \\a '\\\\'",
    "echo 'it'\"'\"'s'",
    "-n",
    "",
    " \n\t\n",
    "# a comment",
    "echo $- | tr -d '\\n'; shopt -q expand_aliases; echo $?",
    "[[ a == a ]] && (( 1 + 1 == 2 )) && echo $((6*7)) {1..3}",
];

fn bash(stage: &Stage, env: Option<&Path>, options: &[&str], script: &str, words: &[&str]) -> Output {
    let mut command: Command = stage.command(Path::new("/bin/bash"));
    command.args(options).arg("-c").arg(script).args(words);
    command.env("CODEX_SESSION_ID", "s").env("CODEX_THREAD_ID", "s").env("CODEX_TOOL_CALL_ID", "call_1");
    if let Some(env) = env {
        command.env("BASH_ENV", env);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Some of them read nothing.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"one\ntwo\n");
    child.wait_with_output().unwrap()
}

#[track_caller]
fn assert_same(stage: &Stage, options: &[&str], script: &str, words: &[&str]) {
    let env = stage.bash_env(Client::Codex);
    let (plain, ours) = (bash(stage, None, options, script, words), bash(stage, Some(&env), options, script, words));
    let show = |output: &Output| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), output.status.signal(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(show(&plain), show(&ours), "{options:?} {script:?} {words:?}");
}

#[test]
fn odd_commands_do_the_same_as_without_us() {
    if !can_trace() {
        return;
    }
    let stage = Stage::new();
    for script in COMMANDS {
        assert_same(&stage, &[], script, &[]);
    }
    assert_same(&stage, &[], COMMANDS[2], &["zero", "one", "", "a b", "'q\"", "\n"]);
    for (options, script) in
        [(&["-e"][..], "false; echo never"), (&["-eu", "-o", "pipefail"], "echo $nothing"), (&["-f"], "echo *")]
    {
        assert_same(&stage, options, script, &[]);
    }
    let long = format!("echo {} | wc -c", "x".repeat(100_000));
    assert_same(&stage, &[], &long, &[]);
    bash(&stage, Some(&stage.bash_env(Client::Codex)), &[], &format!("{long}; echo made > made.txt"), &[]);
    let whose = stage.whose("made.txt");
    assert_eq!([whose.agent.as_str(), whose.call.as_str(), whose.source.as_str()], ["main", "call_1", "traced"]);
    stage.assert_no_trouble();
}

#[test]
fn without_our_program_commands_are_run_as_ever() {
    let stage = Stage::new();
    let text = wfr_clients::shell::bash_env(Client::Codex, "'/no/such/wfr'").unwrap();
    let env = stage.at_home("bin/gone", &text);
    let output = bash(&stage, Some(&env), &["-eu"], "echo \"$0 $-\"; exit 3", &["name"]);
    assert_eq!(
        (output.status.code(), &output.stdout[..], &output.stderr[..]),
        (Some(3), &b"name ehuBc\n"[..], &b""[..])
    );
}
