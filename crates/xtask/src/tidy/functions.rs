//! Functions: none is longer than 70 lines.
//!
//! Owns finding functions in masked text by their braces. Refuses to parse Rust.

use super::Finding;
use super::files::{Text, Tracked};

/// The most lines of a function, from its `fn` to its closing brace.
const LINES_MAX: usize = 70;

/// Functions that are too long.
pub fn check(tracked: &Tracked) -> Vec<Finding> {
    tracked.rust().flat_map(long_functions).collect()
}

fn long_functions(file: &Text) -> Vec<Finding> {
    let lengths = function_lines(&file.code);
    let too_long = lengths.into_iter().filter(|(_, lines)| *lines > LINES_MAX);
    let finding = |(line, lines)| Finding {
        file: file.path.clone(),
        line,
        what: format!("a function of {lines} lines; at most {LINES_MAX}: split it by concept"),
    };
    too_long.map(finding).collect()
}

/// Where each function with a body begins (line from 1), and how many lines it has.
fn function_lines(code: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let named = at == 0 || !code.as_bytes()[at - 1].is_ascii_alphanumeric() && code.as_bytes()[at - 1] != b'_';
        let Some(length) = named.then(|| body(&code[at..])).flatten() else { continue };
        let first = code[..at].matches('\n').count() + 1;
        found.push((first, code[at..at + length].matches('\n').count() + 1));
    }
    found
}

/// The length in bytes of a function up to its closing brace; `None` for a declaration.
fn body(code: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' if depth == 1 => return Some(at + 1),
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::function_lines;

    #[test]
    fn bodies_are_measured_and_declarations_are_not() {
        let code = "fn a(x: [u8; 3]) -> u8 {\n  { }\n}\ntrait T { fn b(); }\nfn c() {}";
        assert_eq!(function_lines(code), [(1, 3), (5, 1)]);
    }
}
