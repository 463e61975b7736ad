//! Inputs for [`wfr_fuzzed::links`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wfr_fuzzed::links(bytes));
