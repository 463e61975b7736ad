//! Delivery from outside: real files, commands and a small HTTP server, with a catalog behind.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod order;
mod server;
mod trouble;
mod world;
