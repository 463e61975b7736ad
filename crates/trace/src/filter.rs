//! The program that the kernel runs at each system call of a traced command: which of them it stops and reports.
//!
//! Owns the program's form. Refuses to know numbers of calls ([`crate::calls`]) and to install anything.
//!
//! Classic BPF over `struct seccomp_data` (`linux/seccomp.h`, `Documentation/userspace-api/seccomp_filter.rst`). Calls that the program
//! lets through whatever their arguments are, it is not even run for: the kernel keeps a bitmap of these.

use libc::sock_filter;

use crate::calls::{Arch, Arg, CONTROLS, Call, Flags};

/// Flags with which an opening call may change something: `O_WRONLY`, `O_RDWR`, `O_CREAT`, `O_TRUNC`, the same on all
/// architectures here. `O_TMPFILE` needs one of the first two.
pub const WRITES: u32 = 0o1 | 0o2 | 0o100 | 0o1000;

/// Set in the numbers of x32 calls, which have the mark of 64-bit ones.
const X32: u32 = 0x4000_0000;

/// `bind` and `connect` among the calls of `socketcall` (`linux/net.h`).
const SOCKET_CALLS: [u32; 2] = [2, 3];

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const IF_ANY: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// The lower half of an argument.
const fn argument(arg: Arg) -> u32 {
    let lower = if cfg!(target_endian = "big") { 4 } else { 0 };
    16 + 8 * arg as u32 + lower
}

const fn step(code: u16, value: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k: value }
}

/// Skips so many steps where the condition does not hold.
const fn unless(code: u16, value: u32, skip: u8) -> sock_filter {
    sock_filter { code, jt: 0, jf: skip, k: value }
}

const ALLOW: sock_filter = step(RETURN, libc::SECCOMP_RET_ALLOW);
const REPORT: sock_filter = step(RETURN, libc::SECCOMP_RET_USER_NOTIF);

const fn refuse(errno: i32) -> sock_filter {
    step(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32)
}

/// The program for an architecture and the one beside it. A process of any other is let through: it cannot run here.
pub fn program(arches: [Arch; 2]) -> Vec<sock_filter> {
    let mut program = vec![step(LOAD, ARCH)];
    for arch in arches {
        let calls = calls(arch);
        let length = u32::try_from(calls.len()).expect("a filter has some hundred steps");
        program.extend([sock_filter { code: IF_EQUAL, jt: 1, jf: 0, k: arch.audit() }, step(JUMP, length)]);
        program.extend(calls);
    }
    program.push(ALLOW);
    program
}

fn calls(arch: Arch) -> Vec<sock_filter> {
    let mut steps = vec![step(LOAD, NUMBER)];
    if arch == Arch::X86_64 {
        steps.extend([unless(IF_AT_LEAST, X32, 1), refuse(libc::ENOSYS)]);
    }
    for (number, call) in arch.calls() {
        let what = what(call);
        let length = u8::try_from(what.len()).expect("one call needs few steps");
        steps.push(unless(IF_EQUAL, number, length));
        steps.extend(what);
    }
    steps.push(ALLOW);
    steps
}

/// What is done at a call.
fn what(call: Call) -> Vec<sock_filter> {
    match call {
        Call::Ring => vec![refuse(libc::EPERM)],
        Call::Open { flags: Flags::Arg(arg), .. } => {
            vec![step(LOAD, argument(arg)), unless(IF_ANY, WRITES, 1), REPORT, ALLOW]
        }
        Call::Control => one_of(1, CONTROLS),
        Call::SocketCall => one_of(0, &SOCKET_CALLS),
        _ => vec![REPORT],
    }
}

/// Reports a call if an argument is one of these.
fn one_of(arg: Arg, values: &[u32]) -> Vec<sock_filter> {
    let mut steps = vec![step(LOAD, argument(arg))];
    for value in values {
        steps.extend([unless(IF_EQUAL, *value, 1), REPORT]);
    }
    steps.push(ALLOW);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program answers to a call: an interpreter of the steps that are used here.
    fn run(program: &[sock_filter], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            let holds = match step.code {
                RETURN => return step.k,
                LOAD => {
                    loaded = match step.k {
                        NUMBER => number,
                        ARCH => arch,
                        offset => {
                            let half = arguments[(offset as usize - 16) / 8].to_ne_bytes();
                            let from = (offset as usize - 16) % 8;
                            u32::from_ne_bytes(half[from..from + 4].try_into().unwrap())
                        }
                    };
                    continue;
                }
                JUMP => {
                    at += step.k as usize;
                    continue;
                }
                IF_EQUAL => loaded == step.k,
                IF_AT_LEAST => loaded >= step.k,
                IF_ANY => loaded & step.k != 0,
                other => panic!("no step {other}"),
            };
            at += usize::from(if holds { step.jt } else { step.jf });
        }
    }

    const PAIRS: [[Arch; 2]; 2] = [[Arch::X86_64, Arch::I386], [Arch::Aarch64, Arch::Arm]];

    #[test]
    fn every_call_of_every_table_has_its_answer() {
        for pair in PAIRS {
            let program = program(pair);
            assert!(program.len() < 4_096, "BPF_MAXINSNS");
            for arch in pair {
                for (number, call) in arch.calls() {
                    let quiet = run(&program, arch.audit(), number, [0; 6]);
                    let loud = run(&program, arch.audit(), number, [2, 0o1101, 0o1101, 0, 0, 0]);
                    let (expected, else_expected) = match call {
                        Call::Ring => (refuse(libc::EPERM).k, refuse(libc::EPERM).k),
                        Call::Open { flags: Flags::Arg(_), .. } => (ALLOW.k, REPORT.k),
                        Call::Control => (ALLOW.k, ALLOW.k),
                        Call::SocketCall => (ALLOW.k, REPORT.k),
                        _ => (REPORT.k, REPORT.k),
                    };
                    assert_eq!((quiet, loud), (expected, else_expected), "{arch:?} {number} {call:?}");
                }
            }
        }
    }

    #[test]
    fn what_only_reads_is_let_through() {
        for pair in PAIRS {
            let program = program(pair);
            for arch in pair {
                let reported = (0..600).filter(|number| run(&program, arch.audit(), *number, [0; 6]) != ALLOW.k);
                assert!(reported.into_iter().all(|number| arch.call(number).is_some()), "{arch:?}");
            }
            assert_eq!(run(&program, 1, 2, [u64::MAX; 6]), ALLOW.k, "another architecture");
        }
    }

    #[test]
    fn single_bits_and_commands_decide() {
        let program = program(PAIRS[0]);
        let x86 = Arch::X86_64.audit();
        let openat = |flags: u64| run(&program, x86, 257, [0, 0, flags, 0, 0, 0]);
        for flag in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC, libc::O_TMPFILE | libc::O_RDWR] {
            assert_eq!(openat(flag as u64), REPORT.k, "{flag:o}");
        }
        for flag in [libc::O_RDONLY, libc::O_DIRECTORY, libc::O_PATH | libc::O_NOFOLLOW, libc::O_APPEND] {
            assert_eq!(openat(flag as u64), ALLOW.k, "{flag:o}");
        }
        // The upper half of an argument says nothing.
        assert_eq!(openat(1 << 32), ALLOW.k);
        for command in CONTROLS {
            assert_eq!(run(&program, x86, 16, [0, u64::from(*command), 0, 0, 0, 0]), REPORT.k);
        }
        assert_eq!(run(&program, x86, X32 | 257, [0; 6]), refuse(libc::ENOSYS).k);
        assert_eq!(run(&program, Arch::I386.audit(), X32 | 5, [0; 6]), ALLOW.k);
    }
}
