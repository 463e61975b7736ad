//! Real commands, traced by the example program, which is launcher and supervisor as a user of this crate would be.

mod dying;
mod seen;
mod world;
