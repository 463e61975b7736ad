//! Extended attributes of an open file.
//!
//! Owns which of them are captured. Refuses symbolic links, which have none that matter.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use wfr_model::entry::Xattr;

use super::listing::encode_xattrs;

/// The kernel's limits on a list of names and on one value, in bytes.
const BYTES_MAX: usize = 64 << 10;

/// Whether an attribute is part of what a file is: users' own, capabilities and access control lists.
fn is_captured(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || matches!(name, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default")
}

/// The captured attributes, sorted by name and encoded for the cache; empty where the file system has none.
pub(super) fn read(file: impl AsFd, buffer: &mut Vec<u8>) -> Result<Vec<u8>, Errno> {
    let file = file.as_fd();
    // Most files have none at all: one call with a small buffer says so.
    buffer.clear();
    buffer.reserve(256);
    let listed = match rustix::fs::flistxattr(file, spare_capacity(buffer)) {
        Err(Errno::RANGE) => {
            buffer.reserve(BYTES_MAX);
            rustix::fs::flistxattr(file, spare_capacity(buffer))
        }
        other => other,
    };
    match listed {
        Ok(0) | Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(vec![]),
        Ok(_) => {}
        Err(error) => return Err(error),
    }
    let mut xattrs: Vec<Xattr> = Vec::new();
    for name in buffer.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        if is_captured(name.to_bytes())
            && let Some(value) = value(file, name)?
        {
            xattrs.push((name.to_bytes().to_vec(), value));
        }
    }
    xattrs.sort_unstable();
    Ok(encode_xattrs(&xattrs))
}

/// One value; `None` where the attribute went away.
fn value(file: BorrowedFd<'_>, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    let mut value = Vec::with_capacity(256);
    let got = match rustix::fs::fgetxattr(file, name, spare_capacity(&mut value)) {
        Err(Errno::RANGE) => {
            value.reserve(BYTES_MAX);
            rustix::fs::fgetxattr(file, name, spare_capacity(&mut value))
        }
        other => other,
    };
    match got {
        Ok(_) => Ok(Some(value)),
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(error),
    }
}
