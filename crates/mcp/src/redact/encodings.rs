//! Private keys of which only a part is seen: told by how their bytes are written.
//!
//! Owns what a line of Base64 of a key looks like. Refuses to tell a key's from a certificate's: within a piece nothing does.

use super::shapes::{Found, PRIVATE_KEY, entropy};

/// How long lines of keys are: PEM has 64, OpenSSH 70, MIME 76, and a mark of a diff by words may stand on either side.
const LENGTHS: std::ops::RangeInclusive<usize> = 60..=80;

/// Bits that a letter of such a line tells at least: of 64 letters by chance 5 and more, of a digest in hexadecimal never over 4.
const ENTROPY_LEAST: f64 = 4.3;

/// How encodings begin that have less: RSA and EC keys in DER, OpenSSH's own, and one more time encoded PEM.
const BEGINNINGS: [&str; 4] = ["MII", "MHcCAQEE", "b3BlbnNzaC1rZXkt", "LS0tLS1CRUdJTi"];

/// The kinds of letters that each such line has.
const KINDS: [fn(&u8) -> bool; 3] = [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase];

/// What of a line is a part of a key. `goes_on`: the line before was one, so this may be its last, which is shorter.
pub fn find(line: &str, goes_on: bool) -> Vec<Found> {
    let bytes = line.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| is_letter(**byte)).count();
        let run = &line[at..at + length];
        if is_part(run) && !line[..at].ends_with("sha384-") || goes_on && run == line.trim() && is_rest(run) {
            found.push(Found { from: at, upto: at + length, what: PRIVATE_KEY });
        }
        at += length + 1;
        while !line.is_char_boundary(at.min(bytes.len())) {
            at += 1;
        }
    }
    found
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

fn is_part(run: &str) -> bool {
    let begins = BEGINNINGS.iter().any(|begin| run.trim_start_matches('+').starts_with(begin));
    let is_mixed = KINDS.iter().all(|kind| run.bytes().any(|byte| kind(&byte)));
    begins && run.len() >= *LENGTHS.start() || LENGTHS.contains(&run.len()) && is_mixed && entropy(run) >= ENTROPY_LEAST
}

/// Whether it may be the last line of an encoding, or one of little chance in it.
fn is_rest(run: &str) -> bool {
    let kinds = KINDS.iter().filter(|kind| run.bytes().any(|byte| kind(&byte))).count();
    run.len() >= 2 && run.len() <= *LENGTHS.end() && (run.ends_with('=') || kinds >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_keys_are_found_and_digests_and_names_are_not() {
        let line = "kNd8vQ2xLr7TfZ0pYb5WmEsHcJ4uGa9iOq1RtX6yVnPoKlD3jBzFgIeMwUhSACdx";
        for (text, goes_on) in [
            (line.to_owned(), false),
            (format!("    \"{line}\\n\" +"), false),
            (format!("[-{line}-]{{+x+}}"), false),
            (format!("MIIEpAIBAAKCAQEA{}", "A".repeat(48)), false),
            ("x8Kd0Q==".to_owned(), true),
        ] {
            assert_eq!(find(&text, goes_on).len(), 1, "{text}");
        }
        for text in [
            "0123456789abcdef".repeat(4),
            format!("integrity=\"sha384-{line}\""),
            format!("sha512-{line}{}", &line[..24]),
            "x8Kd0Q==".to_owned(),
            "ThisIsTheNameOfAClassThatSomebodyHasMadeRatherLongForNoGoodReason".to_owned(),
            "äöü".repeat(30),
        ] {
            assert_eq!(find(&text, false), [], "{text}");
        }
        assert_eq!(find("the next line", true), []);
    }
}
