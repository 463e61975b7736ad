//! The directories that a client says it works in.
//!
//! Owns how their addresses become paths. Refuses to look whether anything is there.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The path of a `file:` address on this machine.
pub fn path_of(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    let mut bytes = Vec::with_capacity(path.len());
    let mut letters = path.bytes();
    while let Some(letter) = letters.next() {
        bytes.push(match letter {
            b'%' => {
                let (high, low) = (letters.next()?, letters.next()?);
                u8::from_str_radix(std::str::from_utf8(&[high, low]).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    let is_path = bytes.starts_with(b"/") && !bytes.contains(&0);
    is_path.then(|| PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_machine_are_taken() {
        assert_eq!(path_of("file:///a%20b/c"), Some(PathBuf::from("/a b/c")));
        assert_eq!(path_of("file://localhost/a"), Some(PathBuf::from("/a")));
        for none in ["https://a/b", "file://other/a", "file:///a%0", "file:///a%00", "file:///%zz", "/a"] {
            assert_eq!(path_of(none), None, "{none}");
        }
    }
}
