//! Shell commands of a client that were not traced, though they could have been.
//!
//! Owns three counts for each client. Refuses to know why: `doctor` says what to do about them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wfr_clients::Client;
use wfr_model::Timestamp;

use super::desk;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Odd {
    /// The client was told to use our launcher, and ran the command without it.
    PastLauncher,
    /// The client was not told of it: its hooks come from elsewhere, or it began before.
    NotTold,
    /// It came to us from a session that no hook told of.
    Unheard,
}

/// How often, and when last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Count {
    pub times: u64,
    pub since: Timestamp,
    pub last: Timestamp,
}

impl Odd {
    fn place(self, vault: &Path, client: Client) -> PathBuf {
        let name = match self {
            Self::PastLauncher => "past-launcher.json",
            Self::NotTold => "not-told.json",
            Self::Unheard => "unheard.json",
        };
        vault.join("clients").join(client.as_str()).join(name)
    }

    /// Counts one. Where it cannot be noted, nobody is the worse for it.
    pub fn note(self, vault: &Path, client: Client, now: Timestamp) {
        let place = self.place(vault, client);
        let _ = place.parent().map(fs::create_dir_all);
        let before = desk::read(&place).unwrap_or(Count { times: 0, since: now, last: now });
        let _ = desk::write(&place, &Count { times: before.times + 1, last: now, ..before });
    }

    /// How many there were.
    pub fn count(self, vault: &Path, client: Client) -> Option<Count> {
        desk::read(&self.place(vault, client))
    }

    /// Begins anew.
    pub fn forget(self, vault: &Path, client: Client) {
        let _ = fs::remove_file(self.place(vault, client));
    }
}
