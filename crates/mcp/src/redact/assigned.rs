//! Values that are given to names which tell of a secret, in whatever language.
//!
//! Owns what is such a name, and what is a literal rather than code. Refuses to know forms of the secrets themselves.

use super::shapes::{Found, entropy, is_mixed_with_digits, is_placeholder, word};

const WHAT: &str = "assigned secret";

/// Parts of names whose values are secrets.
const NAMES: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "access_key",
    "accountkey",
    "account_key",
    "private_key",
    "private-key",
    "credential",
    "auth_key",
];

/// What a name may have behind such a part and still be the secret's own: that of `password_file` or `token_count` is not.
const ENDS: [&str; 6] = ["", "key", "access_key", "accesskey", "key_base", "value"];

/// Words that stand where a value could, and are none.
const WORDS: [&str; 26] = [
    "none",
    "null",
    "nil",
    "true",
    "false",
    "undefined",
    "string",
    "str",
    "bytes",
    "bool",
    "boolean",
    "int",
    "integer",
    "number",
    "text",
    "any",
    "object",
    "unknown",
    "void",
    "never",
    "required",
    "optional",
    "redacted",
    "self",
    "u128",
    "i128",
];

/// Letters that a literal without quotes does not have in code.
const CODE: [char; 5] = ['(', '[', '{', '<', '&'];

/// How a value stands behind its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In quotes.
    Quoted,
    /// All that the line has behind a name with which it begins: as in the files of settings and environments.
    Line,
    /// Anywhere else, as in code.
    Within,
}

/// The values in a line that are given to such names; some may be within others.
pub fn find(line: &str) -> Vec<Found> {
    let lower = line.to_ascii_lowercase();
    let headers = lower.match_indices("authorization").filter_map(|(at, _)| authorization(line, &lower, at));
    let mut found: Vec<Found> = headers.chain(login(line, &lower)).collect();
    let mut begin = 0;
    while let Some((at, name)) =
        NAMES.iter().filter_map(|name| Some((begin + lower.get(begin..)?.find(name)?, *name))).min()
    {
        begin = at + name.len();
        let rest = word(line.as_bytes(), begin);
        let is_own = ENDS.contains(&lower[begin..begin + rest].trim_start_matches(['_', '-']));
        if let Some(one) = element(line, begin + rest).or_else(|| value(line, at, begin + rest, is_own)) {
            begin = one.upto;
            found.push(one);
        }
    }
    found
}

/// The value of a header that says who one is, whose name begins at `begin`.
fn authorization(line: &str, lower: &str, begin: usize) -> Option<Found> {
    let (at, scheme) =
        ["bearer ", "basic "].iter().find_map(|scheme| Some((begin + lower[begin..].find(scheme)?, scheme)))?;
    let from = at + scheme.len();
    let length =
        line[from..].bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte)).count();
    let value = &line[from..from + length];
    (length >= 8 && !is_placeholder(value)).then_some(Found { from, upto: from + length, what: WHAT })
}

/// The password of a line such as `login NAME password WORD`.
fn login(line: &str, lower: &str) -> Option<Found> {
    let begin = lower.find("login ")?;
    let from = begin + lower[begin..].find(" password ")? + " password ".len();
    let value = line[from..].split_whitespace().next()?;
    let from = from + line[from..].find(value)?;
    (line[begin..from].split_whitespace().count() == 3 && !is_placeholder(value)).then_some(Found {
        from,
        upto: from + value.len(),
        what: WHAT,
    })
}

/// What stands in an XML element whose name ends at `at`.
fn element(line: &str, at: usize) -> Option<Found> {
    let rest = line[at..].strip_prefix('>')?;
    let value = &rest[..rest.find("</")?];
    let is_literal = !value.is_empty() && !value.contains(['<', ' ']) && !is_placeholder(value);
    is_literal.then_some(Found { from: at + 1, upto: at + 1 + value.len(), what: WHAT })
}

/// The secret that is given to a name which has its part at `part` and ends at `at`.
fn value(line: &str, part: usize, at: usize, is_own: bool) -> Option<Found> {
    let bytes = line.as_bytes();
    let skip = |at: usize, letters: &[u8]| at + bytes[at..].iter().take_while(|byte| letters.contains(byte)).count();
    let behind = skip(at, b"\"'`]");
    let sign = skip(behind, b" \t");
    let upto = skip(sign, b":=>");
    let (sign, is_tight) = (line.get(sign..upto).filter(|sign| !sign.is_empty())?, sign == behind);
    // A type may stand in between.
    let is_type = |text: &&str| sign == ":" && !text.contains(['"', '\'', ',']);
    let typed = line[upto..].split_once(" = ").map(|(before, _)| before).filter(is_type);
    let from = skip(upto + typed.map_or(0, |text| text.len() + 3), b" \t");
    let rest = &line[from..];
    if let Some(quote) = rest.chars().next().filter(|letter| "\"'`".contains(*letter)) {
        let value = rest[1..].split(quote).next()?;
        return secret(value, from + 1, Place::Quoted, is_own);
    }
    let value = rest.split(|letter: char| letter.is_whitespace() || ",;\"'".contains(letter)).next()?;
    // In an address another name follows it.
    let parted = value.split_once('&').filter(|(_, more)| more.contains('='));
    let value = parted.map_or(value, |(value, _)| value);
    let value = value.trim_end_matches([')', '}', ']']);
    let before = line[..part].trim_start();
    let before = ["export ", "- "].iter().find_map(|begin| before.strip_prefix(begin)).unwrap_or(before);
    let is_first = before.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && !["self.", "this."].contains(&before);
    let is_setting = sign == ":" && typed.is_none() || sign == "=" && is_tight && from == upto;
    let is_line = is_first && is_setting && value == rest.trim_end();
    secret(value, from, if is_line { Place::Line } else { Place::Within }, is_own)
}

fn secret(value: &str, from: usize, place: Place, is_own: bool) -> Option<Found> {
    let is_secret = !is_placeholder(value) && (is_random(value, place) || is_own && is_chosen(value, place));
    is_secret.then_some(Found { from, upto: from + value.len(), what: WHAT })
}

/// Whether a value looks as if it was made by chance: a secret behind any name that tells of one.
fn is_random(value: &str, place: Place) -> bool {
    let is_code = place != Place::Quoted && (value.contains(CODE) || !is_mixed_with_digits(value));
    value.len() >= 8 && !is_code && !value.contains(' ') && entropy(value) >= 3.0
}

/// Whether a value is a literal that somebody has chosen, and neither code nor a word that only tells of one.
fn is_chosen(value: &str, place: Place) -> bool {
    let lower = value.to_ascii_lowercase();
    if value.len() < 4 || WORDS.contains(&lower.as_str()) || NAMES.contains(&lower.as_str()) {
        return false;
    }
    let is_odd = is_mixed_with_digits(value) || value.chars().skip(1).any(|letter| "@#$%^!".contains(letter));
    match place {
        Place::Quoted => !value.contains(' ') || value.split(' ').any(is_mixed_with_digits),
        Place::Line => {
            !value.contains(CODE)
                && !value.contains("://")
                && !value.contains("::")
                && (is_odd || !is_path(value) && !is_type(value))
        }
        Place::Within => !value.contains(CODE) && !value.contains("::") && is_odd,
    }
}

/// Whether it is a file's path, or one through the fields of something.
fn is_path(value: &str) -> bool {
    value.starts_with(['/', '~', '.']) || value.contains('.') && !value.ends_with('.')
}

/// Whether it is written as types are: `TwoWords`.
fn is_type(value: &str) -> bool {
    let is_capital = |byte: &u8| byte.is_ascii_uppercase();
    value.bytes().all(|byte| byte.is_ascii_alphabetic())
        && value.bytes().next().is_some_and(|byte| is_capital(&byte))
        && value.bytes().skip(1).any(|byte| is_capital(&byte))
        && value.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_chosen_is_found() {
        for (line, secret) in [
            ("password: hunter2", "hunter2"),
            ("  - db_password: swordfish", "swordfish"),
            ("password=P@ssw0rd", "P@ssw0rd"),
            ("spring.datasource.password=sesame", "sesame"),
            ("\"password\": \"swordfish\",", "swordfish"),
            ("export MYSQL_ROOT_PASSWORD=rootpassword", "rootpassword"),
            ("SECRET_KEY=abcdefghijklmnop", "abcdefghijklmnop"),
            ("token: deadbeefcafe", "deadbeefcafe"),
            ("PASSWORD='Zx9 kLm Q2rr'", "Zx9 kLm Q2rr"),
            ("const DB_PASSWORD: &str = \"letmein\";", "letmein"),
            ("connect(host, password=hunter2)", "hunter2"),
            ("Server=x;Password=hunter2;", "hunter2"),
            ("AccountName=a;AccountKey=qN4xTz81LrPw0cVb==;", "qN4xTz81LrPw0cVb=="),
            ("Authorization: Bearer abcdefgh.ijkl", "abcdefgh.ijkl"),
            ("-H 'authorization: Basic dXNlcjpwYXNz'", "dXNlcjpwYXNz"),
            ("machine host login me password swordfish", "swordfish"),
            ("<password>swordfish</password>", "swordfish"),
        ] {
            let found: Vec<&str> = find(line).iter().map(|found| &line[found.from..found.upto]).collect();
            assert!(found.iter().all(|found| *found == secret) && !found.is_empty(), "{line}: {found:?}");
        }
    }

    #[test]
    fn each_of_several_in_a_line_is_found() {
        for (line, secrets) in [
            (
                "docker run -e DB_PASSWORD=hunter2Correct -e API_TOKEN=hunter2Correct2 img",
                &["hunter2Correct", "hunter2Correct2"][..],
            ),
            ("export DB_PASSWORD=hunter2Correct API_TOKEN=hunter2Correct2", &["hunter2Correct", "hunter2Correct2"]),
            (
                "curl -H \"Authorization: Bearer abcdEFGH1234567890\" -d \"password=hunter2Correct\" https://x",
                &["abcdEFGH1234567890", "hunter2Correct"],
            ),
            ("https://x/?api_key=hunter2Correct&token=hunter2Correct3", &["hunter2Correct", "hunter2Correct3"]),
            ("machine a login me password swordfish; token=hunter2Correct", &["swordfish;", "hunter2Correct"]),
        ] {
            let found: Vec<&str> = find(line).iter().map(|found| &line[found.from..found.upto]).collect();
            assert_eq!(found, secrets, "{line}");
        }
    }

    #[test]
    fn code_placeholders_and_words_stay() {
        for line in [
            "let password = read_password();",
            "password: String,",
            "password: str",
            "token: TokenKind",
            "self.password=given",
            "connect(password=password)",
            "password = other",
            "password=settings.PASSWORD",
            "password_file: /run/secrets/db",
            "token_count: 12345",
            "password: <your password>",
            "PASSWORD=${DB_PASSWORD}",
            "password = None",
            "\"password\": \"the password of the user\"",
            "Authorization: Bearer $TOKEN",
            "<label>Password</label>",
            "whoever has a login gets a new password by mail",
            "if password == expected {",
        ] {
            assert_eq!(find(line), [], "{line}");
        }
    }

    #[test]
    fn this_programs_own_sources_are_shown_as_they_are() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (mut places, mut count, mut taken) = (vec![root], 0, Vec::new());
        while let Some(place) = places.pop() {
            if place.is_dir() {
                places.extend(std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
            } else if place.extension().is_some_and(|end| end == "rs") && !place.to_string_lossy().contains("redact") {
                let text = std::fs::read_to_string(&place).unwrap();
                count += text.lines().count();
                taken.extend(text.lines().filter(|line| !find(line).is_empty()).map(str::to_owned));
            }
        }
        // Tests have secrets of their own.
        assert!(count > 100_000 && taken.len() <= 12, "{count}: {taken:#?}");
    }
}
