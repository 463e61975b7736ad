//! The terminal: whether there is one, its colours and width, and text that must not act on it.
//!
//! Owns the only places where output streams are looked at. Refuses to know what is printed.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};

/// Whether to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set or it is a dumb one.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Headings.
pub const HEADING: Style = Style::new().bold();
/// What went well, and what is new.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What went wrong, and what is gone.
pub const BAD: Style = AnsiColor::Red.on_default();
/// What needs a look.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Places.
pub const PLACE: Style = AnsiColor::Cyan.on_default();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();
/// The word before a failure.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Takes everything off the screen, and begins at its top.
pub const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

impl Colour {
    fn choice(self, is_terminal: bool) -> ColorChoice {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match self {
            Self::Always => ColorChoice::AlwaysAnsi,
            Self::Never => ColorChoice::Never,
            Self::Auto if is_terminal && !set("NO_COLOR") && !dumb => ColorChoice::AlwaysAnsi,
            Self::Auto => ColorChoice::Never,
        }
    }
}

/// Standard output; colours are taken out where they are not wanted.
pub fn out(colour: Colour) -> AutoStream<io::StdoutLock<'static>> {
    let lock = io::stdout().lock();
    let choice = colour.choice(lock.is_terminal());
    AutoStream::new(lock, choice)
}

/// A line typed at the terminal that is not shown.
pub fn secret(question: &str) -> io::Result<String> {
    let terminal = console::Term::stderr();
    terminal.write_str(question)?;
    terminal.read_secure_line()
}

/// Standard error; colours are taken out where they are not wanted.
pub fn err(colour: Colour) -> AutoStream<io::StderrLock<'static>> {
    let lock = io::stderr().lock();
    let choice = colour.choice(lock.is_terminal());
    AutoStream::new(lock, choice)
}

/// Whether somebody can be asked: both the question and the answer go through a terminal.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether standard output is a terminal.
pub fn is_shown() -> bool {
    io::stdout().is_terminal()
}

/// How wide lines may be; `None` where standard output is no terminal.
pub fn width() -> Option<u16> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(out).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

/// How many lines the terminal has; `None` where standard output is none.
pub fn height() -> Option<u16> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(out).ok().map(|size| size.ws_row).filter(|rows| *rows > 1)
}

/// Writes all of a text. A reader that has gone away is no failure: it has what it wanted.
pub fn write(out: &mut dyn Write, text: &str) -> io::Result<()> {
    unless_gone(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The same, where a reader that has gone away is the end.
pub fn write_or_end(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// How writing went, where it is no failure that the reader has gone away.
pub fn unless_gone(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A text as one line that cannot act on a terminal: control characters, and those that change the direction of
/// writing, are written as `\xHH`, a byte each. A path stays a path's text form.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if acts(letter) {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                shown.push_str(&format!(r"\x{byte:02x}"));
            }
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// The same for text of several lines: line ends and tabs stay.
pub fn visible_lines(text: &str) -> String {
    text.split_inclusive(['\n', '\t'])
        .map(|part| match part.strip_suffix(['\n', '\t']) {
            Some(body) => visible(body) + &part[body.len()..],
            None => visible(part),
        })
        .collect()
}

fn acts(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// A text in a style.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_act() {
        assert_eq!(visible("a\x1b[2Jb\nc\u{9b}\u{202e}"), r"a\x1b[2Jb\x0ac\xc2\x9b\xe2\x80\xae");
        assert_eq!(visible("ümlaut \\x41"), "ümlaut \\x41");
        assert_eq!(visible_lines("a\x1b\tb\nc\r\n"), "a\\x1b\tb\nc\\x0d\n");
    }

    #[test]
    fn what_is_shown_of_a_path_is_still_its_text_form() {
        let path = wfr_model::TreePath::from_bytes(b"new\nline\x1b\xff\\").expect("a valid path");
        assert_eq!(visible(&path.to_string()).parse(), Ok(path));
    }
}
