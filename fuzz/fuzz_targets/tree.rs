//! Tree objects: whatever decodes encodes to the same bytes, and names stay inside their directory.

#![no_main]

use wfr_store::tree::{Part, decode, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(part) = decode(bytes) else { return };
    assert_eq!(encode(&part), bytes);
    if let Part::Leaf(entries) = part {
        assert!(entries.iter().all(|entry| wfr_model::path::check_component(&entry.name).is_ok()));
        assert!(entries.is_sorted_by(|a, b| a.name < b.name));
    }
});
