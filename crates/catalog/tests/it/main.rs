//! The catalog from outside: the conformance suite, and what only real files and processes can show.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod concurrency;
mod conformance;
mod crash;
mod damage;
mod files;
mod flushes;
mod mounts;
mod prefix;
mod sample;
