//! Holds: who alone may write while a recovery runs.
//!
//! Owns one row for each held key, and fencing tokens that only grow, so that a holder that was taken for dead and
//! wakes up is found out. Refuses to look at processes: the caller says whether an owner is alive.

use rusqlite::{Connection, OptionalExtension, Row};
use wfr_model::Timestamp;

use crate::catalog::Catalog;
use crate::columns::{self, signed};
use crate::error::CatalogError;

/// Whoever holds. Process id and start time together name a process until the machine boots anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The process id.
    pub pid: u32,
    /// When the process started, in clock ticks since the machine booted.
    pub start_ticks: u64,
    /// The kernel's boot id.
    pub boot_id: String,
    /// What it does, for people: `restore of wf to base`.
    pub label: String,
}

/// A number that grows with every hold of the vault; of two holders of a key the later one has the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FencingToken(pub i64);

/// A hold that stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// What is held: `workspace`, `workflow:NAME`, ...
    pub key: String,
    /// Its token.
    pub token: FencingToken,
    /// By whom.
    pub owner: Owner,
    /// Since when.
    pub acquired_at: Timestamp,
    /// Until when at most; `None`: as long as the owner lives.
    pub expires_at: Option<Timestamp>,
}

/// A hold to be acquired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldRequest<'a> {
    /// What is to be held.
    pub key: &'a str,
    /// By whom.
    pub owner: &'a Owner,
    /// The time now.
    pub now: Timestamp,
    /// Until when at most.
    pub expires_at: Option<Timestamp>,
}

const SELECT: &str = "SELECT hold_key, token, pid, start_ticks, boot_id, label, acquired_at, expires_at FROM holds ";

impl Catalog {
    /// Acquires a hold. One whose owner is not `alive`, or that has expired, is taken over.
    ///
    /// [`CatalogError::Held`] with the standing hold otherwise; holds are not reentrant. `alive` runs under the
    /// catalog's write lock and must be quick.
    pub fn acquire_hold(
        &self,
        request: &HoldRequest<'_>,
        alive: &dyn Fn(&Owner) -> bool,
    ) -> Result<FencingToken, CatalogError> {
        self.write(|transaction| {
            if let Some(standing) = find(transaction, request.key)? {
                let expired = standing.expires_at.is_some_and(|end| end <= request.now);
                if !expired && alive(&standing.owner) {
                    return Err(CatalogError::Held(Box::new(standing)));
                }
            }
            let token = next_token(transaction)?;
            put(transaction, request, token)?;
            Ok(token)
        })
    }

    /// Gives a hold back; `false` where it is not held under this token any more, which changes nothing.
    pub fn release_hold(&self, key: &str, token: FencingToken) -> Result<bool, CatalogError> {
        let sql = "DELETE FROM holds WHERE hold_key = ?1 AND token = ?2";
        self.write(|transaction| Ok(transaction.prepare_cached(sql)?.execute((key, token.0))? > 0))
    }

    /// Moves the end of a hold; `false` where it is not held under this token any more.
    pub fn renew_hold(
        &self,
        key: &str,
        token: FencingToken,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, CatalogError> {
        let sql = "UPDATE holds SET expires_at = ?3 WHERE hold_key = ?1 AND token = ?2";
        let end = expires_at.map(|time| time.0);
        self.write(|transaction| Ok(transaction.prepare_cached(sql)?.execute((key, token.0, end))? > 0))
    }

    /// The hold on a key, if any. Whether its owner lives and whether it has expired is not looked at.
    pub fn hold(&self, key: &str) -> Result<Option<Hold>, CatalogError> {
        find(&self.connection, key)
    }

    /// All holds, sorted by key.
    pub fn holds(&self) -> Result<Vec<Hold>, CatalogError> {
        let mut statement = self.connection.prepare_cached(&format!("{SELECT} ORDER BY hold_key"))?;
        let rows = statement.query_map([], decode)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn find(connection: &Connection, key: &str) -> Result<Option<Hold>, CatalogError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE hold_key = ?1"))?;
    Ok(statement.query_row([key], decode).optional()?)
}

fn next_token(connection: &Connection) -> Result<FencingToken, CatalogError> {
    let sql = "UPDATE vault SET fencing = fencing + 1 RETURNING fencing";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0).map(FencingToken))?)
}

fn put(connection: &Connection, request: &HoldRequest<'_>, token: FencingToken) -> Result<(), CatalogError> {
    let sql = "INSERT OR REPLACE INTO holds
                 (hold_key, token, pid, start_ticks, boot_id, label, acquired_at, expires_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let owner = request.owner;
    connection.prepare_cached(sql)?.execute((
        request.key,
        token.0,
        owner.pid,
        signed(owner.start_ticks),
        &owner.boot_id,
        &owner.label,
        request.now.0,
        request.expires_at.map(|time| time.0),
    ))?;
    Ok(())
}

fn decode(row: &Row<'_>) -> rusqlite::Result<Hold> {
    Ok(Hold {
        key: row.get(0)?,
        token: FencingToken(row.get(1)?),
        owner: Owner {
            pid: row.get(2)?,
            start_ticks: columns::count(row, 3)?,
            boot_id: row.get(4)?,
            label: row.get(5)?,
        },
        acquired_at: columns::time(row, 6)?,
        expires_at: columns::time_or_null(row, 7)?,
    })
}
