//! Holds: who alone may write while a recovery runs, and who keeps a workflow's resources to itself.
//!
//! Owns one row for each held key, and fencing tokens that only grow, so that a holder that was taken for dead and
//! wakes up is found out. Refuses to look at processes: the caller says whether an owner is alive.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use wfr_model::Timestamp;
use wfr_model::message::Priority;

use crate::catalog::Catalog;
use crate::columns::{self, signed};
use crate::error::CatalogError;
use crate::events::PLACE_MAX;

/// Whoever holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// What stands for it.
    pub holder: Holder,
    /// What it does, for people: `restore of wf to base`.
    pub label: String,
}

/// What stands for an owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Holder {
    /// A process of this machine. Process id and start time together name it until the machine boots anew.
    Process {
        /// The process id.
        pid: u32,
        /// When it started, in clock ticks since the machine booted.
        start_ticks: u64,
        /// The kernel's boot id.
        boot_id: String,
    },
    /// A component, which holds until it releases or the time is over.
    Component(String),
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
    /// Why.
    pub reason: Option<String>,
    /// How much it matters.
    pub priority: Priority,
    /// Since when.
    pub acquired_at: Timestamp,
    /// Until when at most; `None`: as long as the owner lives.
    pub expires_at: Option<Timestamp>,
}

/// What stands before the key of a hold that gave way to a recovery, until that has ended.
const GAVE_WAY: &str = "gave_way:";

impl Hold {
    /// The key of the hold that this one gave way to, and stands under again afterwards; `None` where it gave way to none.
    pub fn waits_for(&self) -> Option<&str> {
        self.key.strip_prefix(GAVE_WAY)
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// A hold to be acquired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldRequest<'a> {
    /// What is to be held.
    pub key: &'a str,
    /// By whom.
    pub owner: &'a Owner,
    /// Why.
    pub reason: Option<&'a str>,
    /// How much it matters.
    pub priority: Priority,
    /// The time now.
    pub now: Timestamp,
    /// Until when at most.
    pub expires_at: Option<Timestamp>,
}

/// A hold that was acquired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acquired {
    /// Its token.
    pub token: FencingToken,
    /// The hold that stood before and was taken over, though its owner lives and its time was not over.
    pub preempted: Option<Hold>,
}

const SELECT: &str = "SELECT hold_key, token, pid, start_ticks, boot_id, label, acquired_at, expires_at, component,
                        reason, priority FROM holds ";

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
        Ok(self.acquire_hold_over(request, alive, &|_| false)?.token)
    }

    /// The same, where a hold that stands may be taken over all the same if `yields` says so.
    pub fn acquire_hold_over(
        &self,
        request: &HoldRequest<'_>,
        alive: &dyn Fn(&Owner) -> bool,
        yields: &dyn Fn(&Hold) -> bool,
    ) -> Result<Acquired, CatalogError> {
        self.write(|transaction| acquire(transaction, request, alive, yields))
    }

    /// Gives a hold back; `false` where it is not held under this token any more, which changes nothing. One that gave way to
    /// it stands again, under its own token.
    pub fn release_hold(&self, key: &str, token: FencingToken) -> Result<bool, CatalogError> {
        self.write(|transaction| release(transaction, key, token))
    }

    /// Gives several holds back in one transaction; those that are not held under their tokens any more are passed over.
    pub fn release_holds(&self, holds: &[(String, FencingToken)]) -> Result<(), CatalogError> {
        self.write(|transaction| holds.iter().try_for_each(|(key, token)| release(transaction, key, *token).map(drop)))
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

    /// Lets holds that were taken by a clock that was ahead begin now, so that each stands no longer than it was asked for.
    pub fn rebase_holds(&self, now: Timestamp) -> Result<(), CatalogError> {
        let of_ahead = "acquired_at > ?1 AND expires_at IS NOT NULL";
        let sql = format!("SELECT 1 FROM holds WHERE {of_ahead}");
        if !self.connection.prepare_cached(&sql)?.exists([now.0])? {
            return Ok(());
        }
        let sql =
            format!("UPDATE holds SET expires_at = expires_at - (acquired_at - ?1), acquired_at = ?1 WHERE {of_ahead}");
        self.write(|transaction| Ok(transaction.execute(&sql, [now.0]).map(drop)?))
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

/// See [`Catalog::acquire_hold_over`]; within the caller's transaction.
pub(crate) fn acquire(
    connection: &Connection,
    request: &HoldRequest<'_>,
    alive: &dyn Fn(&Owner) -> bool,
    yields: &dyn Fn(&Hold) -> bool,
) -> Result<Acquired, CatalogError> {
    let standing = find(connection, request.key)?;
    let preempted = standing.filter(|hold| !hold.is_expired(request.now) && alive(&hold.owner));
    if let Some(standing) = preempted.as_ref().filter(|hold| !yields(hold)) {
        return Err(CatalogError::Held(Box::new(standing.clone())));
    }
    let token = next_token(connection)?;
    put(connection, request, token)?;
    Ok(Acquired { token, preempted })
}

fn release(connection: &Connection, key: &str, token: FencingToken) -> Result<bool, CatalogError> {
    let sql = "DELETE FROM holds WHERE hold_key = ?1 AND token = ?2";
    if connection.prepare_cached(sql)?.execute((key, token.0))? == 0 {
        return Ok(false);
    }
    let sql = "UPDATE holds SET hold_key = ?1 WHERE hold_key = ?2";
    connection.prepare_cached(sql)?.execute((key, format!("{GAVE_WAY}{key}")))?;
    Ok(true)
}

/// Keeps a component's hold that gave way, so that it stands again when the one that took its place is given back, by
/// whomever. Its owner may release it meanwhile, by its token.
pub(crate) fn keep_waiting(connection: &Connection, hold: &Hold) -> Result<(), CatalogError> {
    if let Holder::Process { .. } = hold.owner.holder {
        return Ok(());
    }
    let request = HoldRequest {
        key: &format!("{GAVE_WAY}{}", hold.key),
        owner: &hold.owner,
        reason: hold.reason.as_deref(),
        priority: hold.priority,
        now: hold.acquired_at,
        expires_at: hold.expires_at,
    };
    put(connection, &request, hold.token)
}

/// See [`Catalog::hold`]; within the caller's transaction if there is one.
pub(crate) fn find(connection: &Connection, key: &str) -> Result<Option<Hold>, CatalogError> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE hold_key = ?1"))?;
    Ok(statement.query_row([key], decode).optional()?)
}

fn next_token(connection: &Connection) -> Result<FencingToken, CatalogError> {
    let sql = "UPDATE vault SET fencing = fencing + 1 WHERE fencing < ?1 RETURNING fencing";
    let token =
        connection.prepare_cached(sql)?.query_row([PLACE_MAX], |row| row.get(0).map(FencingToken)).optional()?;
    token.ok_or_else(|| CatalogError::damaged("the counter of tokens stands where it cannot have come to"))
}

fn put(connection: &Connection, request: &HoldRequest<'_>, token: FencingToken) -> Result<(), CatalogError> {
    let sql = "INSERT OR REPLACE INTO holds
                 (hold_key, token, pid, start_ticks, boot_id, label, acquired_at, expires_at, component, reason, priority)
               VALUES (:key, :token, :pid, :start, :boot, :label, :at, :end, :component, :reason, :priority)";
    let (pid, start_ticks, boot_id, component) = match &request.owner.holder {
        Holder::Process { pid, start_ticks, boot_id } => (*pid, *start_ticks, boot_id.as_str(), None),
        Holder::Component(name) => (0, 0, "", Some(name.as_str())),
    };
    connection.prepare_cached(sql)?.execute(named_params! {
        ":key": request.key,
        ":token": token.0,
        ":pid": pid,
        ":start": signed(start_ticks),
        ":boot": boot_id,
        ":label": request.owner.label,
        ":at": request.now.0,
        ":end": request.expires_at.map(|time| time.0),
        ":component": component,
        ":reason": request.reason,
        ":priority": request.priority.get(),
    })?;
    Ok(())
}

fn decode(row: &Row<'_>) -> rusqlite::Result<Hold> {
    let priority: u8 = row.get(10)?;
    let out_of_range = rusqlite::Error::IntegralValueOutOfRange(10, priority.into());
    let holder = match row.get::<_, Option<String>>(8)? {
        Some(component) => Holder::Component(component),
        None => Holder::Process { pid: row.get(2)?, start_ticks: columns::count(row, 3)?, boot_id: row.get(4)? },
    };
    Ok(Hold {
        key: row.get(0)?,
        token: FencingToken(row.get(1)?),
        owner: Owner { holder, label: row.get(5)? },
        reason: row.get(9)?,
        priority: Priority::new(priority.into()).ok_or(out_of_range)?,
        acquired_at: columns::time(row, 6)?,
        expires_at: columns::time_or_null(row, 7)?,
    })
}
