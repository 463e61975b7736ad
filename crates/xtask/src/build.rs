//! The program under test: built as users build it.
//!
//! Owns the call of cargo. Refuses to guess where the result is: cargo says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds `wfr` for release; returns where it is.
pub fn release(root: &Path) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--release", "--package", "wfr-cli", "--message-format", "json-render-diagnostics"];
    let output = Command::new(cargo).current_dir(root).args(arguments).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot run cargo: {error}"))?;
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    messages.lines().find_map(executable).ok_or_else(|| "cargo build did not yield a `wfr`".to_owned())
}

/// The program that one of cargo's messages names, if it is `wfr`.
fn executable(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let is_wfr = message["target"]["name"] == "wfr";
    message["executable"].as_str().filter(|_| is_wfr).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn the_program_is_found_in_messages() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"wfr"},"executable":"/t/release/wfr"}"#;
        assert_eq!(executable(line), Some("/t/release/wfr".into()));
        assert_eq!(executable(&line.replace("\"wfr\"", "\"xtask\"")), None);
        assert_eq!(executable(&line.replace("\"/t/release/wfr\"", "null")), None);
    }
}
