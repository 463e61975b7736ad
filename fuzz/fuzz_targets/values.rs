//! Inputs for [`wfr_fuzzed::values`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wfr_fuzzed::values(bytes));
