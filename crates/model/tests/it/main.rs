//! Tests of the model from outside.

mod events;
mod folding;
mod stories;
