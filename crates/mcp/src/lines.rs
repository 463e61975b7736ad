//! Lines of an input, none longer than fits.
//!
//! Owns that a line without an end takes no more memory than a line may. Refuses to know what is in them.

use std::io::{self, BufRead};

/// The longest line that is taken, in bytes.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// A line of the input.
#[derive(PartialEq, Eq, Debug)]
pub enum Line {
    /// Its bytes, without the line's end.
    Whole(Vec<u8>),
    /// One that is longer than fits; it has been passed over.
    TooLong,
}

/// The next line; `None` at the end of the input. What stands there without a line's end is a line, too.
pub fn next(input: &mut dyn BufRead) -> io::Result<Option<Line>> {
    next_within(input, LINE_BYTES_MAX)
}

fn next_within(input: &mut dyn BufRead, most: usize) -> io::Result<Option<Line>> {
    let (mut line, mut is_too_long, mut is_begun) = (Vec::new(), false, false);
    loop {
        let there = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            there => there?,
        };
        if there.is_empty() && !is_begun {
            return Ok(None);
        }
        let end = there.iter().position(|byte| *byte == b'\n');
        let part = &there[..end.unwrap_or(there.len())];
        is_too_long |= line.len() + part.len() > most;
        if is_too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        let (is_over, used) = (end.is_some() || there.is_empty(), end.map_or(there.len(), |end| end + 1));
        input.consume(used);
        is_begun = true;
        if is_over {
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Some(if is_too_long { Line::TooLong } else { Line::Whole(line) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_that_are_too_long_are_passed_over_and_the_next_one_is_whole() {
        let text = b"ab\r\n\nlonger than it may be\ncd\nlast";
        let mut input = BufReader::with_capacity(3, &text[..]);
        let mut all = Vec::new();
        while let Some(line) = next_within(&mut input, 4).expect("memory can be read") {
            all.push(line);
        }
        let whole = |text: &str| Line::Whole(text.into());
        assert_eq!(all, [whole("ab"), whole(""), Line::TooLong, whole("cd"), whole("last")]);
    }
}
