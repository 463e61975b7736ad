//! Links `wfr` to a fixed address: the loader would otherwise mend 12,500 pointers, and copy the fifty pages that hold
//! them, at every start, a quarter of what a start costs. Heap, stack and libraries are still placed at random.
//!
//! Owns this one flag. Refuses to know what is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
