//! How somebody within a traced command says something to whoever supervises it.
//!
//! Owns the way: a connection to a name that nobody listens at, which the supervisor is told of as of any, and before it fails. So
//! what is said is heard when the call returns, by whom it is meant for alone, and nobody waits. Refuses to know what is said.

use std::io;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// What all such names begin with, behind the zero of names that are no files.
const PREFIX: &[u8] = b"wfr.says/";

/// Bytes that can be said at once.
pub const WORD_MAX: usize = 98;

/// Says something to the supervisor around this process, if there is one. Nobody answers: whoever heard it does something.
///
/// Errors: what the system says, and `InvalidInput` where it is too much.
pub fn say(word: &[u8]) -> io::Result<()> {
    if word.len() > WORD_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let to = SocketAddrUnix::new_abstract_name(&[PREFIX, word].concat())?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Nobody is there.
    connect(&socket, &to).ok();
    Ok(())
}

/// What is said by connecting to a local address, as it stands behind the family; `None` where it is an address as any.
pub(crate) fn heard(address: &[u8]) -> Option<&[u8]> {
    address.strip_prefix(b"\0")?.strip_prefix(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_and_other_addresses_say_nothing() {
        assert_eq!(heard(b"\0wfr.says/word\0\xff"), Some(&b"word\0\xff"[..]));
        assert!(heard(b"/run/wfr.says/word").is_none() && heard(b"\0other").is_none() && heard(b"").is_none());
        say(&[0xff; WORD_MAX]).unwrap();
        assert!(say(&[0; WORD_MAX + 1]).is_err());
    }
}
