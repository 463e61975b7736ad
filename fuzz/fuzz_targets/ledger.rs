//! Inputs for [`wfr_fuzzed::ledger`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wfr_fuzzed::ledger(bytes));
