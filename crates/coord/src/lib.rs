//! Delivery: events and messages go from the catalog's log to the sinks of the configuration, each at least once and in
//! one order.
//!
//! Owns cursors' progress, retries, what is put aside, and how each kind of sink is reached. Refuses to know what an
//! event means, to decide when delivery happens, and to be waited for by a recovery: nothing here is ever called from
//! within one.
//!
//! **Order of writes.** An item is delivered, then the cursor behind it is committed. A crash between the two delivers
//! it again, under the same id; nothing is left out. One process at a time delivers to a sink: a kernel lock says
//! which, and ends with it.

mod cloudevent;
mod command;
mod delivery;
mod file;
mod item;
mod lock;
mod webhook;

pub use delivery::{Delivery, Ended, Report, begin_at_the_end, deliver, due, keep_up, lock_of};
pub use item::{Item, Refusal};
pub use lock::{Lock, wait};
