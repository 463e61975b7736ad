//! Texts that users write: paths, durations, times, retention policies, configuration.

#![no_main]

use wfr_model::path::{escape, unescape};
use wfr_model::{Span, Timestamp, TreePath};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert_eq!(unescape(&escape(bytes)).as_deref(), Some(bytes));
    if let Ok(path) = TreePath::from_bytes(bytes) {
        assert!(path.components().all(|name| name != b".."));
        assert_eq!(path.to_string().parse(), Ok(path));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(span) = text.parse::<Span>() {
        assert_eq!(span.to_string().parse(), Ok(span));
    }
    drop(text.parse::<Timestamp>());
    drop(text.parse::<wfr_model::retention::Retention>());
    drop(toml::from_str::<wfr_model::config::Config>(text));
});
