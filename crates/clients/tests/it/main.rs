//! What clients were heard to say, read as it was said.

mod payloads;
