//! Rust text with comments and literals blanked out, so that rules look at code alone.
//!
//! Owns a lexer that knows just comments, strings, characters and lifetimes. Refuses to understand more.

/// The same text, of the same length and lines, with a space for each byte of a comment or of a literal's inside.
pub fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = at + token(&bytes[at..]);
        let keep = end - at == 1;
        out.extend(bytes[at..end].iter().map(|byte| if keep || *byte == b'\n' { *byte } else { b' ' }));
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The length of the comment or literal at the front; 1 where there is none.
fn token(bytes: &[u8]) -> usize {
    match bytes {
        [b'/', b'/', ..] => line(bytes),
        [b'/', b'*', ..] => block(bytes),
        [b'"', ..] => 1 + quoted(&bytes[1..], b'"'),
        // Since edition 2021 no name may stand right before a quote, so this `r` is a raw string's.
        [b'r', rest @ ..] => raw(rest).map_or(1, |length| 1 + length),
        [b'\'', ..] => character(bytes),
        _ => 1,
    }
}

fn line(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())
}

/// Block comments nest.
fn block(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 && at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

/// The length of a literal's rest up to and with its closing quote.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The length of a raw string after its `r`, if it is one.
fn raw(bytes: &[u8]) -> Option<usize> {
    let hashes = bytes.iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(hashes) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = [&b"\""[..], &bytes[..hashes]].concat();
    let inside = &bytes[hashes + 1..];
    let end = inside.windows(close.len()).position(|window| window == close)?;
    Some(hashes + 1 + end + close.len())
}

/// The length of a character literal; 1 for the mark of a lifetime.
fn character(bytes: &[u8]) -> usize {
    match &bytes[1..] {
        [b'\\', ..] => 1 + quoted(&bytes[1..], b'\''),
        [first, rest @ ..] => {
            let more = rest.iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
            if *first != b'\'' && rest.get(more) == Some(&b'\'') { more + 3 } else { 1 }
        }
        [] => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn comments_and_literals_vanish_and_code_stays() {
        let text = "a /* x /* y */ { */ b // {\nc \"q\\\"{\" d r#\"{\"\"#e '{' '\\'' &'a str 'é'";
        assert_eq!(mask(text).split_whitespace().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "&'a", "str"]);
        assert_eq!(mask(text).matches('\n').count(), 1);
        assert_eq!(mask(text).len(), text.len());
    }
}
