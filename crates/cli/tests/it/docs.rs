//! The documents say what the program does.

use std::fmt::Write;
use std::path::PathBuf;

use wfr_engine::error::Code;

const MARK: &str = "<!-- errors:";

fn document() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md")
}

fn table() -> String {
    let mut table = "\n| code | exit | meaning | what to do next |\n| --- | --- | --- | --- |\n".to_owned();
    for code in Code::ALL {
        let hint = code.hint().replace('|', "\\|");
        writeln!(table, "| `{code}` | {} | {} | {hint} |", code.kind().exit_code(), code.meaning()).unwrap();
    }
    table
}

#[test]
fn every_error_code_is_listed() {
    let text = std::fs::read_to_string(document()).unwrap();
    let mark = text.find(MARK).unwrap();
    let end = mark + text[mark..].find('\n').unwrap() + 1;
    let wanted = format!("{}{}", &text[..end], table());
    if std::env::var_os("WFR_UPDATE_DOCS").is_some() {
        std::fs::write(document(), &wanted).unwrap();
    } else {
        assert_eq!(text, wanted, "run this test with WFR_UPDATE_DOCS=1");
    }
}
