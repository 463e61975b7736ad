//! Inputs for [`wfr_fuzzed::events`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wfr_fuzzed::events(bytes));
