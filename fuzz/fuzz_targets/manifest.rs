//! Inputs for [`wfr_fuzzed::manifest`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wfr_fuzzed::manifest(bytes));
