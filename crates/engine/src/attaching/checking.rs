//! Whether attached clients are really heard.
//!
//! Owns what `doctor` says of them. Refuses to mend anything.
