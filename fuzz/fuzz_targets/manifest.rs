//! Manifests and coverage lists: whatever is read is written so that it reads the same.

#![no_main]

use wfr_model::checkpoint::{Manifest, ManifestFile};
use wfr_model::coverage::Coverage;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = serde_json::from_slice::<ManifestFile>(bytes) {
        let text = serde_json::to_vec(&file).expect("a manifest has a JSON form");
        assert_eq!(serde_json::from_slice::<ManifestFile>(&text).expect("it was just written"), file);
    }
    drop(serde_json::from_slice::<Manifest>(bytes));
    drop(serde_json::from_slice::<Coverage>(bytes));
});
