//! The facade: one function per use case, over store, catalog and recovery.
//!
//! Owns what an operation is, and the order in which the layers below are called. Refuses to know the terminal, the
//! environment and the clock: the edge passes them in.

pub mod adopt;
pub mod agents;
pub mod announce;
pub mod attaching;
pub mod checkpoint;
pub mod cleanup;
mod conversions;
pub mod dependencies;
mod dir_lock;
pub mod error;
pub mod exchange;
mod exports;
pub mod failures;
mod full;
mod graph;
pub mod handlers;
pub mod holding;
pub mod hooks;
pub mod init;
pub mod intake;
pub mod keyring;
pub mod ledger;
mod links;
mod manifests;
mod medium;
pub mod mint;
mod missing;
mod mounted;
mod names;
pub mod open;
pub mod operation;
pub mod outbox;
mod owner;
pub mod params;
pub mod pathspec;
pub mod phases;
pub mod picking;
pub mod policy;
pub mod process;
pub mod rebuild;
pub mod recovery;
mod repositories;
mod request;
mod resources;
pub mod response;
pub mod results;
pub mod scanning;
pub mod session;
mod soundness;
pub mod state;
mod status;
#[cfg(test)]
mod testing;
mod textdiff;
pub mod tracing;
mod unknown;
pub mod upkeep;
pub mod verify;
pub mod view;
mod watch;
pub mod workspace;
pub mod writers;
