//! The forms of secrets that are known.
//!
//! Owns how each is told from other text, within one line. Refuses to know where the line is from, but for the file's name.

use super::assigned;

/// What is left in the place of a private key.
pub const PRIVATE_KEY: &str = "private key";

/// What a file is by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Anything.
    Any,
    /// Variables of an environment.
    Environment,
    /// A key or a certificate.
    Key,
}

impl Form {
    /// That of the file at a path.
    pub fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_environment = name == ".env" || name.starts_with(".env.") || name.ends_with(".env");
        let is_key = [".pem", ".key", ".p8", ".ppk"].iter().any(|end| name.ends_with(end))
            || name.starts_with("id_") && !name.ends_with(".pub") && !name.contains('.');
        match () {
            () if is_environment => Self::Environment,
            () if is_key => Self::Key,
            () => Self::Any,
        }
    }
}

/// A secret in a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its first byte.
    pub from: usize,
    /// The byte behind it.
    pub upto: usize,
    /// What it is.
    pub what: &'static str,
}

/// A token by what it begins with, how many letters follow at least, and what it is.
const PREFIXES: [(&str, usize, &str); 20] = [
    ("AKIA", 16, "AWS access key"),
    ("ASIA", 16, "AWS access key"),
    ("ghp_", 30, "GitHub token"),
    ("gho_", 30, "GitHub token"),
    ("ghu_", 30, "GitHub token"),
    ("ghs_", 30, "GitHub token"),
    ("ghr_", 30, "GitHub token"),
    ("github_pat_", 22, "GitHub token"),
    ("glpat-", 20, "GitLab token"),
    ("npm_", 36, "npm token"),
    ("AIza", 35, "Google key"),
    ("xoxa-", 10, "Slack token"),
    ("xoxb-", 10, "Slack token"),
    ("xoxp-", 10, "Slack token"),
    ("xoxr-", 10, "Slack token"),
    ("xoxs-", 10, "Slack token"),
    ("sk-", 20, "API key"),
    ("sk_live_", 16, "Stripe key"),
    ("rk_live_", 16, "Stripe key"),
    ("sk_test_", 16, "Stripe key"),
];

/// Where a private key begins.
pub fn key_begins(line: &str) -> Option<usize> {
    let at = line.find("-----BEGIN ")?;
    line[at..].contains("PRIVATE KEY").then_some(at)
}

/// Whether a private key ends here.
pub fn key_ends(line: &str) -> bool {
    line.contains("-----END ")
}

/// Every secret in a line, in order, none within another.
pub fn find(line: &str, form: Form) -> Vec<Found> {
    let mut found = match form {
        Form::Environment => variable(line).into_iter().collect(),
        Form::Key => encoded(line).into_iter().collect(),
        Form::Any => Vec::new(),
    };
    found.extend(tokens(line));
    found.extend(line.match_indices("://").filter_map(|(at, sign)| address(line, at + sign.len())));
    found.extend(assigned::find(line));
    found.sort_by_key(|one: &Found| (one.from, std::cmp::Reverse(one.upto)));
    let mut upto = 0;
    found.retain(|one| {
        one.from >= upto && {
            upto = one.upto;
            true
        }
    });
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// How many bytes from `at` on are of a word.
pub fn word(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().take_while(|byte| is_word(**byte)).count()
}

/// Tokens that are told by how they begin.
fn tokens(line: &str) -> Vec<Found> {
    let bytes = line.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = word(bytes, at);
        if length == 0 {
            at += 1;
            continue;
        }
        let text = &line[at..at + length];
        let known = PREFIXES.iter().find(|(prefix, least, _)| {
            text.strip_prefix(prefix).is_some_and(|rest| rest.len() >= *least && is_mixed(rest))
        });
        let jwt = jwt(bytes, at, length);
        if let Some((_, _, what)) = known {
            found.push(Found { from: at, upto: at + length, what });
        } else if let Some(upto) = jwt {
            found.push(Found { from: at, upto, what: "JSON web token" });
        }
        at = jwt.unwrap_or(at + length);
    }
    found
}

/// Where a JSON web token ends that may begin here.
fn jwt(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    if !bytes[at..].starts_with(b"eyJ") || length < 10 {
        return None;
    }
    let mut end = at + length;
    for _ in 0..2 {
        let rest = (bytes.get(end) == Some(&b'.')).then(|| word(bytes, end + 1))?;
        if rest < 5 {
            return None;
        }
        end += 1 + rest;
    }
    Some(end)
}

/// Whether there are digits among the letters, or capitals among small ones.
fn is_mixed(text: &str) -> bool {
    let has = |test: fn(&u8) -> bool| text.bytes().any(|byte| test(&byte));
    let kinds = [has(u8::is_ascii_digit), has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase)];
    kinds.iter().filter(|kind| **kind).count() >= 2 || text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// The password in an address such as `https://name:password@host`, whose host begins at `begin`.
fn address(line: &str, begin: usize) -> Option<Found> {
    let rest = &line[begin..];
    let place = &rest[..rest
        .find(|letter: char| letter == '/' || letter.is_whitespace() || "\"'`".contains(letter))
        .unwrap_or(rest.len())];
    let (user, _) = place.rsplit_once('@')?;
    let (name, password) = user.split_once(':')?;
    let from = begin + name.len() + 1;
    let is_literal = !password.is_empty() && !is_placeholder(password);
    is_literal.then_some(Found { from, upto: from + password.len(), what: "password in an address" })
}

/// The value of a variable in a file of an environment.
fn variable(line: &str) -> Option<Found> {
    if line.trim_start().starts_with('#') {
        return None;
    }
    let (name, value) = line.split_once('=')?;
    let name = name.trim().strip_prefix("export ").unwrap_or(name).trim();
    let is_name = !name.is_empty() && name.bytes().all(is_word);
    let from = line.len() - value.len();
    (is_name && !value.trim().is_empty()).then_some(Found {
        from,
        upto: line.trim_end().len(),
        what: "environment value",
    })
}

/// A line of a key's encoding.
fn encoded(line: &str) -> Option<Found> {
    let text = line.trim();
    let is_encoding = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    let from = line.len() - line.trim_start().len();
    (text.len() >= 16 && is_encoding).then_some(Found { from, upto: from + text.len(), what: PRIVATE_KEY })
}

/// Whether there are digits and letters.
pub fn is_mixed_with_digits(value: &str) -> bool {
    value.bytes().any(|byte| byte.is_ascii_digit()) && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether a value only stands for one.
pub fn is_placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let begins = ["$", "{", "<", "%", "[redacted", "..."];
    begins.iter().any(|begin| lower.starts_with(begin))
        || ["example", "changeme", "placeholder", "your_", "your-", "xxxx", "****"]
            .iter()
            .any(|part| lower.contains(part))
}

/// How much a letter of it tells, in bits (Shannon).
pub fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let all = text.len() as f64;
    counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all).map(|part| -part * part.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(line: &str) -> Vec<&'static str> {
        find(line, Form::Any).into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn known_forms_are_found() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.SflKxwRJSMeKKF2QT4fwpM";
        let long = "aB3dE6gH9kL2mN5pQ8rS1tU4vW7xY0zA3bC6";
        for (line, what) in [
            ("id = AKIAIOSFODNN7EXAMPLE".to_owned(), "AWS access key"),
            (format!("x: ghp_{long}"), "GitHub token"),
            (format!("github_pat_{long}"), "GitHub token"),
            (format!("(sk-proj-{long})"), "API key"),
            ("xoxb-123456789012-abcdef".to_owned(), "Slack token"),
            (format!("Bearer {jwt}"), "JSON web token"),
            ("postgres://me:hunter22@db/x".to_owned(), "password in an address"),
            ("password = \"correcthorsebattery\"".to_owned(), "assigned secret"),
            ("  \"client_secret\": \"8f2kd9Qx71Lm\",".to_owned(), "assigned secret"),
            ("API_KEY=8f2kd9Qx71Lm".to_owned(), "assigned secret"),
        ] {
            assert_eq!(kinds(&line), [what], "{line}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        for line in [
            "let token = self.next_token();",
            "password: String,",
            "password = \"${DB_PASSWORD}\"",
            "api_key = \"your_api_key_here\"",
            "the token is read twice",
            "task-management-for-everybody-1",
            "https://example.org/a:b@c",
            "if tokens == tokens_before_that {",
            digest.as_str(),
            "ckpt_018f3c2a9b7e",
        ] {
            assert!(kinds(line).is_empty(), "{line}: {:?}", find(line, Form::Any));
        }
    }

    proptest! {
        #[test]
        fn what_is_found_lies_in_order_and_on_letters(line in "(password|token|eyJ|://|@|[a-zA-Z0-9_:=\"' äß.-]){0,40}") {
            for form in [Form::Any, Form::Environment, Form::Key] {
                let mut at = 0;
                for one in find(&line, form) {
                    prop_assert!(one.from >= at && one.upto >= one.from);
                    prop_assert!(line.is_char_boundary(one.from) && line.is_char_boundary(one.upto));
                    at = one.upto;
                }
            }
        }
    }
}
