//! The catalog from outside: the conformance suite, and what only real files and processes can show.

mod conformance;
mod sample;
