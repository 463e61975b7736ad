//! Recovery of a workspace's files: a plan (reads only), applied through a journal, resumed after a crash.
//!
//! Owns every write to users' files. Refuses to know the catalog, what a checkpoint means and who asked: it is given
//! trees, and tells how each step ended.
//!
//! The way of a recovery: [`plan::plan`] -> [`apply::prepare`] (stages new files, writes the redo record: the commit
//! point) -> [`apply::Committed::run`] -> the caller records the end -> [`apply::Committed::finish`]. After a crash
//! [`apply::unfinished`] and [`apply::reopen`] lead back to the same value.

pub mod apply;
mod beneath;
pub mod checkout;
mod descent;
mod displaced;
mod effects;
pub mod failed;
mod fresh;
pub mod gone;
pub mod guard;
pub mod leftovers;
pub mod merge;
mod metadata;
mod mounts;
mod order;
mod outcome;
mod permissions;
pub mod plan;
pub mod probe;
pub mod progress;
mod redo;
pub mod replay;
mod room;
mod stage;
mod step;
mod times;
mod unprepared;
