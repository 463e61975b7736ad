//! Inputs for [`wfr_fuzzed::pack`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wfr_fuzzed::pack(bytes));
