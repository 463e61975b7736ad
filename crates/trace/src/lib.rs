//! What a command and all that it starts do to a tree, told by the kernel before it is done.
//!
//! Owns tracing by seccomp user notification: a filter over the command ([`filter`], [`calls`]), a supervisor that is asked at
//! each call that can change something ([`supervise`]), and a keeper that lets all calls go on should the supervisor die. Refuses
//! to know ledgers, stores and whose command it is; and to be a security boundary: between the question and the call the
//! arguments may change.

pub mod calls;
pub mod confine;
pub mod decode;
pub mod filter;
mod flight;
mod keeper;
pub mod launch;
pub mod notes;
pub mod place;
pub mod saying;
pub mod supervise;
mod sys;
pub mod writers;

pub use sys::{Waited, close_inherited, send_signal, take, wait};
