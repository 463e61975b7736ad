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
mod contract;
mod dependencies;
mod docs;
mod dying;
mod encrypted;
mod events;
mod exact;
mod exchange;
mod following;
mod injected;
mod integrity;
mod kept;
mod keys;
mod limits;
mod live;
mod loss;
mod malformed;
mod manual;
mod modes;
mod mount;
mod moving;
mod naming;
mod nested;
mod odd_contents;
mod odd_trees;
mod outbox;
mod parameters;
mod policy;
mod random;
mod reference;
mod requests;
mod resources;
mod retention;
mod rollback;
mod scenario;
mod sparse;
mod stateful;
mod states;
mod stopped;
mod tampering;
mod texts;
mod tls;
mod undoing;
mod watching;
mod work;
mod world;
