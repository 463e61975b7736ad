//! What changed, and who did it.
//!
//! Owns how two looks at a tree become segments and whose each of them is, and the watch of what was touched between them. Refuses
//! to know the catalog and to write anything, but for a watch's cookies: it is given trees and open changes as values, and answers
//! with values.

pub mod attribute;
pub mod slice;
pub mod watch;
