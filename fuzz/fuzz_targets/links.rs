//! Hard-link objects: whatever decodes encodes to the same bytes.

#![no_main]

use wfr_store::links::{decode, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(groups) = decode(bytes) {
        assert_eq!(encode(&groups), bytes);
    }
});
