//! Secrets in what agents are given: found by their well-known forms, and taken out.
//!
//! Owns what is looked at and how it is told. Paths, ids and digests stay as they are, and so does the number of lines. Refuses
//! to promise anything: a secret without a form that is known stays.

mod assigned;
mod encodings;
mod shapes;

use std::collections::BTreeMap;

use serde_json::Value;

use shapes::{Form, PRIVATE_KEY};

/// Keys whose values name something: these are never touched.
const NAMES: [&str; 9] = ["path", "paths", "from", "to", "digest", "checksum", "tree", "token", "uri"];

/// What was taken out.
#[derive(Default)]
pub struct Tally(BTreeMap<&'static str, usize>);

impl Tally {
    fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// It in words; `None` where it was nothing.
    pub fn told(&self) -> Option<String> {
        let parts: Vec<String> = self.0.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let all: usize = self.0.values().sum();
        let word = if all == 1 { "secret was" } else { "secrets were" };
        (all > 0).then(|| format!("{all} {word} redacted: {}; the files still have them", parts.join(", ")))
    }
}

/// Takes secrets out of every text of a document.
pub fn redact(document: &mut Value) -> Tally {
    let mut walk = Walk { tally: Tally::default(), form: Form::Any, is_in_key: false, is_encoded: false };
    walk.value(None, document);
    walk.tally
}

struct Walk {
    tally: Tally,
    /// What the file is that the texts are of.
    form: Form,
    /// Whether the last line was within a private key.
    is_in_key: bool,
    /// Whether the last line was of an encoding such as keys have.
    is_encoded: bool,
}

impl Walk {
    fn value(&mut self, key: Option<&str>, value: &mut Value) {
        match value {
            Value::String(text) if !key.is_some_and(is_name) => {
                // The lines of a list go on where the one before ended, and no other text does.
                let lines = (self.is_in_key, self.is_encoded);
                let is_line = key == Some("lines");
                (self.is_in_key, self.is_encoded) = if is_line { lines } else { (false, false) };
                if let Some(clean) = self.text(text) {
                    *text = clean;
                }
                if !is_line {
                    (self.is_in_key, self.is_encoded) = lines;
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.value(key, value)),
            Value::Object(map) => {
                let outer = self.form;
                if let Some(path) = map.get("path").and_then(Value::as_str) {
                    (self.form, self.is_in_key, self.is_encoded) = (Form::of(path), false, false);
                }
                map.iter_mut().for_each(|(key, value)| self.value(Some(key), value));
                self.form = outer;
            }
            _ => {}
        }
    }

    /// A text without its secrets; `None` where it has none.
    fn text(&mut self, text: &str) -> Option<String> {
        let (mut clean, mut is_changed) = (String::new(), false);
        for line in text.split_inclusive('\n') {
            match self.line(line) {
                Some(without) => {
                    clean.push_str(&without);
                    is_changed = true;
                }
                None => clean.push_str(line),
            }
        }
        is_changed.then_some(clean)
    }

    fn line(&mut self, line: &str) -> Option<String> {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        // A line of a patch begins with what becomes of it; a key's first and last line begin with dashes.
        let is_signed = body.starts_with(['+', '-', ' '])
            && !["-----BEGIN ", "-----END "].iter().any(|mark| body.starts_with(mark));
        let sign = usize::from(is_signed);
        let (sign, body) = body.split_at(sign);
        let was_in_key = self.is_in_key;
        if let Some(begins) = shapes::key_begins(body) {
            self.is_encoded = false;
            self.is_in_key = !shapes::key_ends(&body[begins..]);
            self.tally.note(PRIVATE_KEY);
            return Some(format!("{sign}{}[redacted: {PRIVATE_KEY}]{end}", &body[..begins]));
        }
        if was_in_key {
            self.is_in_key = !shapes::key_ends(body);
            return Some(format!("{sign}[redacted: {PRIVATE_KEY}]{end}"));
        }
        let parts = encodings::find(body, self.is_encoded);
        self.is_encoded = !parts.is_empty();
        let found = if self.is_encoded { parts } else { shapes::find(body, self.form) };
        if found.is_empty() {
            return None;
        }
        let (mut clean, mut at) = (sign.to_owned(), 0);
        for one in found {
            clean.push_str(&body[at..one.from]);
            clean.push_str(&format!("[redacted: {}]", one.what));
            at = one.upto;
            self.tally.note(one.what);
        }
        clean.push_str(&body[at..]);
        clean.push_str(end);
        Some(clean)
    }
}

/// Whether the values of a key name something.
fn is_name(key: &str) -> bool {
    NAMES.contains(&key) || key.ends_with("_id") || key.ends_with("_path") || key.ends_with("_digest")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_go_and_names_and_lines_stay() {
        let token = format!("ghp_{}", "aB3dE6gH9".repeat(4));
        let patch = format!(
            "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n-{token}\n+-----BEGIN RSA PRIVATE KEY-----\n+MIIEow\n+-----END RSA PRIVATE KEY-----\n fine\n"
        );
        let digest = format!("sha256:{}", "0f".repeat(32));
        let mut document = json!({"changes": [{"path": token, "patch": patch}], "digest": digest, "change_id": token});
        let tally = redact(&mut document);
        let patch = document["changes"][0]["patch"].as_str().unwrap_or_default();
        assert_eq!(patch.lines().count(), 8, "{patch}");
        assert!(!patch.contains(&token) && !patch.contains("MIIEow") && patch.ends_with(" fine\n"), "{patch}");
        assert_eq!((&document["changes"][0]["path"], &document["change_id"]), (&json!(token), &json!(token)));
        assert_eq!(document["digest"], digest);
        let told = tally.told().unwrap_or_default();
        assert_eq!(told, "2 secrets were redacted: 1 GitHub token, 1 private key; the files still have them");
    }

    #[test]
    fn a_key_goes_on_over_the_lines_of_a_list_and_ends_with_it() {
        let mut document = json!({"path": "x", "lines": [
            {"lines": ["-----BEGIN PRIVATE KEY-----\n", "abc\n"]}, {"lines": ["def\n", "-----END PRIVATE KEY-----\n", "free\n"]}]});
        redact(&mut document);
        let text = document.to_string();
        assert!(!text.contains("abc") && !text.contains("def") && text.contains("free"), "{text}");
    }

    #[test]
    fn an_environment_file_shows_names_only() {
        let mut document =
            json!({"path": "deploy/.env.production", "content": "# a\nPORT=80\nexport KEY='x y'\n\nEMPTY=\n"});
        redact(&mut document);
        let wanted = "# a\nPORT=[redacted: environment value]\nexport KEY=[redacted: environment value]\n\nEMPTY=\n";
        assert_eq!(document["content"], wanted);
    }
}
