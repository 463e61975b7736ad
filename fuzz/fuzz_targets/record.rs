//! Inputs for [`wfr_fuzzed::record`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wfr_fuzzed::record(bytes));
