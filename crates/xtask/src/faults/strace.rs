//! strace as a source of system calls and as an injector of faults.
//!
//! Owns its arguments and the reading of its output. Refuses to know what the calls mean for `wfr`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::process::Command;

use super::world::{Outcome, World, finish};

/// Calls that change files or their durability. A `?` lets strace pass over names that an architecture lacks.
pub const MUTATING: &str = "?open,?creat,openat,openat2,write,pwrite64,?writev,?pwritev,?pwritev2,fdatasync,fsync,syncfs,\
?sync_file_range,?rename,?renameat,renameat2,?unlink,unlinkat,?mkdir,mkdirat,?rmdir,?symlink,symlinkat,?link,linkat,\
truncate,ftruncate,fallocate,?chmod,fchmod,fchmodat,?fchmodat2,?chown,fchown,fchownat,?lchown,utimensat,setxattr,\
lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr,copy_file_range,sendfile,?splice,?mknod,mknodat";

/// Calls that can fail on a bad disk or with too few resources: the mutating ones, and those that read.
pub const FALLIBLE: &str = "read,pread64,?readv,?preadv,?stat,?lstat,fstat,?newfstatat,statx,getdents64,?readlink,readlinkat,\
lseek,flock,?getxattr,?lgetxattr,?fgetxattr,?listxattr,?llistxattr,?flistxattr,mmap";

/// One place for a fault: the nth call (from 1) of a name within a thread.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Point {
    /// The call's name.
    pub call: String,
    /// Which of them, from 1.
    pub nth: usize,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.call, self.nth)
    }
}

/// Whether strace is there and may trace.
pub fn works() -> bool {
    Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output().is_ok_and(|output| output.status.success())
}

/// Runs a call of `wfr` untouched and lists the points of the calls that `wanted` lets through by name and text.
pub fn points(
    world: &World,
    arguments: &[&str],
    calls: &str,
    wanted: fn(&str, &str) -> bool,
) -> Result<Vec<Point>, String> {
    let log = world.root().join("trace");
    let select = format!("trace={calls}");
    let wrapper = ["strace", "-f", "-qq", "-e", "signal=none", "-e", &select, "-o"].map(OsStr::new);
    let wrapper: Vec<&OsStr> = wrapper.into_iter().chain([log.as_os_str()]).collect();
    finish(world.wrapped(&wrapper, arguments)).expect_ok("the traced run")?;
    let text = std::fs::read(&log).map_err(|error| error.to_string())?;
    Ok(read_log(&String::from_utf8_lossy(&text), wanted))
}

/// The points in a log of `strace -f`, each name's in order.
fn read_log(log: &str, wanted: fn(&str, &str) -> bool) -> Vec<Point> {
    let mut seen = BTreeMap::<(String, String), usize>::new();
    let mut points = BTreeSet::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(|c: char| c.is_whitespace()) else { continue };
        let Some((call, arguments)) = rest.trim_start().split_once('(') else { continue };
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let nth = seen.entry((thread.to_owned(), call.to_owned())).or_default();
        *nth += 1;
        if wanted(call, arguments) {
            points.insert(Point { call: call.to_owned(), nth: *nth });
        }
    }
    points.into_iter().collect()
}

/// Whether a call changes anything: an open that neither makes nor empties a file does not.
pub fn is_mutating(call: &str, arguments: &str) -> bool {
    !matches!(call, "open" | "openat" | "openat2")
        || ["O_CREAT", "O_TRUNC", "O_TMPFILE"].iter().any(|flag| arguments.contains(flag))
}

/// Runs a call of `wfr` with one fault: `fault` is strace's word for it, such as `signal=SIGKILL`; with `for_good`
/// later calls of the name fail, too.
pub fn inject(world: &World, arguments: &[&str], point: &Point, fault: &str, for_good: bool) -> Outcome {
    let last = if for_good { "+" } else { "" };
    let select = format!("trace={}", point.call);
    let injection = format!("inject={}:{fault}:when={}{last}", point.call, point.nth);
    let parts = ["strace", "-f", "-qq", "-e", "signal=none", "-e", &select, "-e", &injection, "-o"].map(OsStr::new);
    let log = world.root().join("injected");
    let wrapper: Vec<&OsStr> = parts.into_iter().chain([log.as_os_str()]).collect();
    finish(world.wrapped(&wrapper, arguments))
}

/// Whether the fault of the last [`inject`] took place.
pub fn was_hit(world: &World) -> bool {
    std::fs::read(world.root().join("injected")).is_ok_and(|log| log.windows(9).any(|window| window == b"(INJECTED"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_thread_and_name() {
        let log = "10 openat(AT_FDCWD, \"a\", O_RDONLY) = 3\n10 openat(3, \"b\", O_WRONLY|O_CREAT, 0600) = 4\n\
                   11 write(4, \"x\" <unfinished ...>\n10 write(4, \"y\", 1) = 1\n11 <... write resumed>) = 1\n\
                   10 write(4, \"z\", 1) = 1\n10 +++ exited with 0 +++\n";
        let points: Vec<String> = read_log(log, is_mutating).iter().map(ToString::to_string).collect();
        assert_eq!(points, ["openat:2", "write:1", "write:2"]);
    }
}
