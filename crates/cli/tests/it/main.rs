//! The binary from outside, as a script or an agent calls it: arguments in, one JSON document and an exit code out.
//!
//! Owns what the command-line contract promises, on real trees and real processes. Refuses to look inside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod algebra;
mod announcements;
mod answers;
mod authorship;
mod bad_input;
mod beside;
mod catch;
mod checks;
mod choosing;
mod clashes;
mod cleanup;
mod closure;
mod contract;
mod dependencies;
mod docs;
mod dying;
mod encrypted;
mod events;
mod exact;
mod exchange;
mod following;
mod imports;
mod integrity;
mod kept;
mod keys;
mod live;
mod loss;
mod malformed;
mod mending;
mod modes;
mod mount;
mod mounting;
mod moving;
mod naming;
mod nested;
mod nobody;
mod odd_contents;
mod odd_trees;
mod outbox;
mod parameters;
mod policy;
mod previewing;
mod random;
mod reference;
mod requests;
mod resources;
mod retention;
mod rollback;
mod scenario;
mod shut;
mod sparse;
mod stateful;
mod states;
mod stopped;
mod tampering;
mod texts;
mod tls;
mod undoing;
mod unlooked;
mod watching;
mod work;
mod world;
