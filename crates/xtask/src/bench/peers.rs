//! Peers and the machine's own limits on the same tree.
//!
//! Owns how each peer is called, at its defaults. Refuses to tune any of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Options;
use super::measure::{Runs, once};
use super::site::{megabytes, remove};

/// A shell command with the tree as `$TREE` and a store as `$STORE`.
fn shell(script: &str, tree: &Path, store: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).env("TREE", tree).env("STORE", store);
    for (key, value) in [("RESTIC_PASSWORD", "x"), ("BORG_PASSPHRASE", "x"), ("RUSTIC_PASSWORD", "x")] {
        command.env(key, value);
    }
    command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes").env("BORG_BASE_DIR", store.join("../borg-home"));
    command.env("XDG_CACHE_HOME", store.join("../cache"));
    command
}

/// One peer: its name, how a store is made, how a snapshot is taken.
pub struct Peer {
    /// As it is called.
    pub name: &'static str,
    init: &'static str,
    snapshot: &'static str,
}

/// All peers at their defaults.
const PEERS: [Peer; 4] = [
    Peer { name: "restic", init: "restic init -q -r \"$STORE\"", snapshot: "restic -q -r \"$STORE\" backup \"$TREE\"" },
    Peer {
        name: "borg",
        init: "borg init -e none \"$STORE\"",
        snapshot: "borg create \"$STORE::a$(date +%s%N)\" \"$TREE\"",
    },
    Peer {
        name: "rustic",
        init: "rustic -r \"$STORE\" init",
        snapshot: "rustic --no-progress -r \"$STORE\" backup \"$TREE\"",
    },
    Peer {
        name: "git",
        init: "git init -q --bare \"$STORE\"",
        snapshot: "cd \"$TREE\" && export GIT_DIR=\"$STORE\" GIT_WORK_TREE=\"$TREE\" && \
         git -c core.bare=false -c gc.auto=0 -c core.untrackedCache=true add -A -f . && git -c core.bare=false write-tree",
    },
];

/// Those that are installed; the others are named.
pub fn installed() -> Vec<Peer> {
    let (found, missing): (Vec<Peer>, Vec<Peer>) =
        PEERS.into_iter().partition(|peer| Command::new(peer.name).arg("--version").output().is_ok());
    missing.iter().for_each(|peer| eprintln!("{} is not installed", peer.name));
    found
}

impl Peer {
    fn store(&self, options: &Options) -> PathBuf {
        options.work.join("peers").join(self.name)
    }

    /// An empty store.
    pub fn init(&self, options: &Options) -> Result<(), String> {
        let store = self.store(options);
        remove(&store)?;
        std::fs::create_dir_all(options.work.join("peers")).map_err(|error| error.to_string())?;
        once(&mut shell(self.init, &options.tree, &store)).map(drop)
    }

    /// The command that takes a snapshot.
    pub fn snapshot(&self, options: &Options) -> Command {
        shell(self.snapshot, &options.tree, &self.store(options))
    }

    /// What its store takes, in megabytes.
    pub fn megabytes(&self, options: &Options) -> Result<f64, String> {
        megabytes(&self.store(options))
    }
}

/// Reads the whole tree, so that it is in memory as far as it fits, and writes out what waits to be written.
pub fn settle(options: &Options) -> Result<(), String> {
    let script = "sync; find \"$TREE\" -type f -print0 | xargs -0 cat > /dev/null";
    once(&mut shell(script, &options.tree, &options.work)).map(drop)
}

/// Walk, read and hash: what no tool can be faster than by much.
pub fn limits(runs: &mut Runs, options: &Options) -> Result<(), String> {
    let scripts = [
        ("limit: read all", "find \"$TREE\" -type f -print0 | xargs -0 -P2 -n500 cat > /dev/null"),
        ("limit: walk and stat", "find \"$TREE\" -printf '%s %T@\\n' > /dev/null"),
        ("limit: sha256sum", "find \"$TREE\" -type f -print0 | xargs -0 -P2 -n500 sha256sum > /dev/null"),
    ];
    scripts
        .into_iter()
        .try_for_each(|(name, script)| runs.measure(name, &mut shell(script, &options.tree, &options.work)))
}

/// The name of the run that copies the tree.
pub const COPY: &str = "limit: cp -a, sync -f";

/// A durable copy of the tree.
pub fn copy(runs: &mut Runs, options: &Options) -> Result<(), String> {
    let out = options.work.join("copy");
    runs.measure(COPY, &mut shell("cp -a \"$TREE\" \"$STORE\" && sync -f \"$STORE\"", &options.tree, &out))?;
    remove(&out)
}
