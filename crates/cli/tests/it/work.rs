//! Agents at work in a workspace, for tests of the ledger and of what is taken back.

use std::fs;

use serde_json::Value;

use crate::world::World;

/// The lines of a file that everybody works in.
pub fn numbered(changed: &[(usize, &str)]) -> String {
    let line = |number: usize| {
        let found = changed.iter().find(|(at, _)| *at == number);
        found.map_or_else(|| format!("line {number}\n"), |(_, text)| format!("{text}\n"))
    };
    (1..=30).map(line).collect()
}

impl World {
    /// A workspace with a file of thirty lines and a checkpoint.
    pub fn with_lines() -> Self {
        let world = Self::new();
        world.put("work/f.txt", &numbered(&[]));
        world.checkpoint("base");
        world
    }

    /// Writes a file, and the directories above it.
    pub fn put(&self, path: &str, text: &str) {
        let place = self.root().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    /// What a file holds.
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    /// The tree, times aside: what is put back gets the present.
    pub fn timeless(&self) -> wfr_testkit::Snapshot {
        self.snapshot().without_mtimes()
    }

    /// Whether anything is at a path.
    pub fn has(&self, path: &str) -> bool {
        self.root().join(path).symlink_metadata().is_ok()
    }

    /// An agent begins to work, on the task of its name.
    pub fn begin(&self, agent: &str, more: &[&str]) -> String {
        let call = [&["change", "begin", "--workflow", "wf", "--task", agent, "--agent", agent], more].concat();
        self.ok(&call).result("token").as_str().unwrap().to_owned()
    }

    /// And is done.
    pub fn end(&self, token: &str) -> Value {
        self.ok(&["change", "end", token]).json["result"].clone()
    }

    /// What an agent does, between the beginning and the end of its change.
    pub fn work(&self, agent: &str, what: impl FnOnce()) -> Value {
        let token = self.begin(agent, &[]);
        what();
        self.end(&token)
    }
}

/// The paths of a list in a result.
pub fn paths(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect()
}
