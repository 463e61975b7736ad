//! Records: a header never makes a reader allocate or read out of bounds, and what decodes has the id asked for.

#![no_main]

use wfr_store::record::{Header, decode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((head, payload)) = bytes.split_at_checked(56) else { return };
    let Ok(header) = Header::decode(head) else { return };
    let payload = &payload[..payload.len().min(header.stored_len as usize)];
    if let Ok(plain) = decode(&header, payload, &header.disk_id, None) {
        assert_eq!(wfr_store::object::hash(&plain), header.disk_id);
    }
});
