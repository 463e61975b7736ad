//! Merging beside git; plans and their application from outside: exactness, failing system calls, crashes between steps, and users who work
//! while a recovery runs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod back;
mod exact;
mod ground;
mod histories;
mod history;
mod limits;
mod merge;
mod races;
