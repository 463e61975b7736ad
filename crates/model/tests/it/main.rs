//! Tests of the model from outside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod documents;
mod events;
mod folding;
mod meanings;
mod merging;
mod stories;
mod validity;
