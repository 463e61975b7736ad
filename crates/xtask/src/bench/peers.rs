//! Peers and the machine's own limits on the same tree.
//!
//! Owns how each peer is called, at its defaults. Refuses to tune any of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Options;
use super::measure::{Cost, median};
use super::site::{megabytes, remove};

/// What peers came to; absent where a peer is not installed.
#[derive(Default)]
pub struct Peers {
    /// All measured runs by name.
    pub costs: Vec<(String, Cost)>,
    /// Sizes of their stores in megabytes.
    pub sizes: Vec<(&'static str, f64)>,
}

impl Peers {
    /// The wall time of a run, in seconds.
    pub fn wall(&self, name: &str) -> Option<f64> {
        self.costs.iter().find(|(run, _)| run == name).map(|(_, cost)| cost.wall)
    }

    /// The size of a store, in megabytes.
    pub fn size(&self, name: &str) -> Option<f64> {
        self.sizes.iter().find(|(peer, _)| *peer == name).map(|(_, size)| *size)
    }

    fn add(&mut self, name: &str, cost: Cost) {
        eprintln!("{name}: {:.2} s", cost.wall);
        self.costs.push((name.to_owned(), cost));
    }
}

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
type Peer = (&'static str, &'static str, &'static str);

/// All peers at their defaults.
const PEERS: [Peer; 4] = [
    (
        "git",
        "git init -q --bare \"$STORE\"",
        "cd \"$TREE\" && export GIT_DIR=\"$STORE\" GIT_WORK_TREE=\"$TREE\" && \
         git -c core.bare=false -c gc.auto=0 -c core.untrackedCache=true add -A -f . && git -c core.bare=false write-tree",
    ),
    ("restic", "restic init -q -r \"$STORE\"", "restic -q -r \"$STORE\" backup \"$TREE\""),
    ("borg", "borg init -e none \"$STORE\"", "borg create \"$STORE::a$(date +%s%N)\" \"$TREE\""),
    ("rustic", "rustic -r \"$STORE\" init", "rustic --no-progress -r \"$STORE\" backup \"$TREE\""),
];

/// Measures the machine's limits, then each peer that is installed.
pub fn measure(options: &Options) -> Result<Peers, String> {
    let mut peers = Peers::default();
    let tree = &options.tree;
    limits(&mut peers, tree, &options.work, options.repeat)?;
    for (name, init, snapshot) in PEERS {
        if Command::new(name).arg("--version").output().is_err() {
            eprintln!("{name} is not installed");
            continue;
        }
        let store = options.work.join("peers").join(name);
        let fresh = || {
            remove(&options.work.join("peers"))?;
            std::fs::create_dir_all(options.work.join("peers")).map_err(|error| error.to_string())?;
            super::measure::once(&mut shell(init, tree, &store)).map(drop)
        };
        let first = median(1, fresh, || shell(snapshot, tree, &store))?;
        peers.add(&format!("{name} first"), first);
        let again = median(options.repeat, || Ok(()), || shell(snapshot, tree, &store))?;
        peers.add(&format!("{name} unchanged"), again);
        peers.sizes.push((name, megabytes(&store)?));
        if name == "restic" {
            restic_restore(&mut peers, options, &store)?;
        }
    }
    remove(&options.work.join("peers"))?;
    Ok(peers)
}

/// Walk, read, hash and copy: what no tool can be faster than by much.
fn limits(peers: &mut Peers, tree: &Path, work: &Path, repeat: usize) -> Result<(), String> {
    let out = work.join("copy");
    let scripts = [
        ("limit: read all", "find \"$TREE\" -type f -print0 | xargs -0 -P2 -n500 cat > /dev/null"),
        ("limit: walk and stat", "find \"$TREE\" -printf '%s %T@\\n' > /dev/null"),
        ("limit: sha256sum", "find \"$TREE\" -type f -print0 | xargs -0 -P2 -n500 sha256sum > /dev/null"),
        ("limit: cp -a, sync -f", "cp -a \"$TREE\" \"$STORE\" && sync -f \"$STORE\""),
    ];
    for (name, script) in scripts {
        let cost = median(repeat, || remove(&out), || shell(script, tree, &out))?;
        peers.add(name, cost);
    }
    remove(&out)
}

fn restic_restore(peers: &mut Peers, options: &Options, store: &Path) -> Result<(), String> {
    let out: PathBuf = options.work.join("restic-out");
    let script = format!("restic -q -r \"$STORE\" restore latest --target '{}'", out.display());
    let cost = median(1, || remove(&out), || shell(&script, &options.tree, store))?;
    peers.add("restic restore", cost);
    remove(&out)
}
