//! Inputs for [`wfr_fuzzed::tree`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wfr_fuzzed::tree(bytes));
