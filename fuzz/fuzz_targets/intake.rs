//! Inputs for [`wfr_fuzzed::intake`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wfr_fuzzed::intake(bytes));
