//! Real commands, traced by the example program, which is launcher and supervisor as a user of this crate would be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod dying;
mod seen;
mod world;
