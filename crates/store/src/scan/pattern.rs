//! Patterns of names: `*` stands for any letters, `?` for one.
//!
//! Owns what matches. Refuses paths: a name holds no `/`, so neither sign ever reaches over one.

/// A name with `*` or `?` in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(Vec<u8>);

impl Pattern {
    /// The pattern that a text is; `None` where it is a name like any other.
    pub fn read(text: &[u8]) -> Option<Self> {
        text.iter().any(|byte| matches!(byte, b'*' | b'?')).then(|| Self(text.to_vec()))
    }

    /// As it was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether all of a name is as the pattern says.
    pub fn matches(&self, name: &[u8]) -> bool {
        let pattern = &self.0;
        let (mut at, mut read) = (0, 0);
        // Where the last star stands, and up to where of the name it reaches.
        let mut star: Option<(usize, usize)> = None;
        while read < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, read));
                    at += 1;
                }
                Some(b'?') => {
                    at += 1;
                    read += letter(&name[read..]);
                }
                Some(byte) if *byte == name[read] => {
                    at += 1;
                    read += 1;
                }
                _ => {
                    let Some((place, reaches)) = star else { return false };
                    let reaches = reaches + letter(&name[reaches..]);
                    star = Some((place, reaches));
                    (at, read) = (place + 1, reaches);
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

/// The bytes of the first letter, by UTF-8; one where it is none.
fn letter(bytes: &[u8]) -> usize {
    1 + bytes.iter().skip(1).take_while(|byte| **byte & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_letters() {
        assert_eq!(Pattern::read(b".git"), None);
        for (pattern, name, fits) in [
            ("*.log", "a.log", true),
            ("*.log", ".log", true),
            ("*.log", "a.log.gz", false),
            ("*.log", "alog", false),
            ("*", "anything", true),
            ("a*b*c", "abxbc", true),
            ("a*b*c", "abxb", false),
            ("**.o", "x.o", true),
            ("?", "\u{e4}", true),
            ("?", "ab", false),
            ("file?.txt", "file1.txt", true),
            ("file?.txt", "file.txt", false),
            ("[ab]*", "a", false),
            ("[ab]*", "[ab]c", true),
        ] {
            let read = Pattern::read(pattern.as_bytes()).unwrap();
            assert_eq!(read.matches(name.as_bytes()), fits, "{pattern} {name}");
        }
    }
}
