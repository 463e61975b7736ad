//! Whether the shim sees what the kernel sees.
//!
//! Owns the comparing of its counts with a trace of the same process. Refuses to make anything fail.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::PoisonError;

use wfr_store::disk::faults;

use super::{ONE, ground, run};

/// Where the traced process writes what the shim counted.
const COUNTS: &str = "WFR_TEST_SHIM_COUNTS";

/// A name that is nowhere: removing it marks in the trace where the counting begins and ends.
const MARK: &str = "/nowhere-wfr-shim-mark";

/// Calls that change something, as strace names them, and all that open.
const MUTATING: &str = "open,openat,openat2,write,pwrite64,writev,pwritev,fdatasync,fsync,syncfs,sync_file_range,rename,renameat,\
renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,symlink,symlinkat,link,linkat,truncate,ftruncate,fallocate,chmod,fchmod,\
fchmodat,fchown,fchownat,utimensat,setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr,copy_file_range,\
sendfile,mknodat";

#[test]
fn the_shim_counts_what_strace_counts() {
    if let Some(file) = std::env::var_os(COUNTS) {
        return counted_run(file.as_ref());
    }
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        return wfr_testkit::skip("strace is not installed or may not trace");
    }
    let dir = tempfile::tempdir().unwrap();
    let (log, counts) = (dir.path().join("log"), dir.path().join("counts"));
    let traced = Command::new("strace")
        .args(["-f", "-qq", "-e", "signal=none", "-e", &format!("trace={MUTATING}"), "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "beside_strace::the_shim_counts_what_strace_counts", "--test-threads", "1"])
        .env(COUNTS, &counts)
        .output()
        .unwrap();
    assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stdout));
    let ours: BTreeMap<String, u64> = serde_json::from_slice(&std::fs::read(counts).unwrap()).unwrap();
    let theirs = read_log(&String::from_utf8_lossy(&std::fs::read(log).unwrap()));
    assert_eq!(ours, theirs, "by name: the shim's counts and those of strace");
    assert!(ours.values().sum::<u64>() > 60 && ours.len() > 12, "{ours:?}");
}

/// A whole recovery under the shim, between two marks.
fn counted_run(file: &std::path::Path) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (ground, old, new) = ground();
    let store = ground.store();
    let plan = ground.plan(&old, &new);
    let environment = ground.environment(&store, &|_, _| {});
    faults::count();
    assert!(std::fs::remove_file(MARK).is_err());
    let committed = ground.prepare(&environment, &plan, &new).unwrap();
    run(&ground, &environment, committed);
    assert!(std::fs::remove_file(MARK).is_err());
    std::fs::write(file, serde_json::to_vec(&by_kernel(faults::counted())).unwrap()).unwrap();
}

/// The shim's names as the kernel's. Looks at links change nothing.
fn by_kernel(counted: BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (name, count) in counted.into_iter().filter(|(name, _)| *name != "readlink") {
        let call = match name {
            "open_at" => "openat",
            "open_beneath" => "openat2",
            "open_dir" => "open",
            "chmod" => "fchmodat",
            "futimens" => "utimensat",
            "mkdir" | "symlink" | "link" => &format!("{name}at"),
            "rename" => "renameat2",
            "rmdir" | "unlink" => "unlinkat",
            other => other,
        };
        *counts.entry(call.to_owned()).or_default() += count;
    }
    counts
}

/// How often each call stands between the marks.
fn read_log(log: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let between = log.lines().skip_while(|line| !line.contains(MARK)).skip(1).take_while(|line| !line.contains(MARK));
    // The store opens its packs to read them, and a library a directory once more to list it.
    let only_looks = |line: &str| line.contains(".pack\", O_RDONLY|O_CLOEXEC") || line.contains("\".\", O_RDONLY|");
    for line in between.filter(|line| !only_looks(line)) {
        let Some((call, _)) = line.split_once(' ').and_then(|(_, rest)| rest.trim_start().split_once('(')) else {
            continue;
        };
        *counts.entry(call.to_owned()).or_default() += 1;
    }
    counts
}
