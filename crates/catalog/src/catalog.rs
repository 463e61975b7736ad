//! The open catalog: making, opening, transactions, upkeep, and the vault's identity.
//!
//! Owns the connection and its settings. Refuses to let anything else open the file: a plain open and close of it
//! would drop the locks of every connection in the process (POSIX locks belong to the process).

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use wfr_model::Timestamp;

use crate::columns;
use crate::error::{CatalogError, Source};
use crate::events::PLACE_MAX;
use crate::operations::{self, NewOperation};
use crate::schema::{self, Format};
use crate::veil::Veil;

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Statements kept prepared; more than this crate has.
const STATEMENTS_MAX: usize = 96;

/// A log longer than so many bytes is emptied by whoever wrote to it: the next process reads all of it at its start.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// Set on each connection; none of these writes. `journal_size_limit` bounds what the log keeps of the disk, `cache_size`
/// (in KiB, where it is negative) what a process keeps of it in memory, which only those that write much ever fill.
const SETTINGS: &str = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536; \
                        PRAGMA wal_autocheckpoint = 250; PRAGMA journal_size_limit = 8388608;";

/// How long the log may become, in pages, while much is written at once: all of it is moved into the main file then.
const BULK_PAGES: u32 = 16_384;

/// Tables whose rows have places that a counter gives, with what names a row; those of events and of the ledger are looked at
/// by who reads these.
const PLACED: [(&str, &str); 5] = [
    ("checkpoints", "checkpoint_id"),
    ("recoveries", "recovery_id"),
    ("operations", "operation_id"),
    ("messages", "message_id"),
    ("dead_letters", "item"),
];

/// What a catalog says of its vault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VaultIdentity {
    /// 32 hexadecimal digits, the same as in the vault's format file.
    pub vault_id: String,
    /// The absolute path of the workspace, any bytes.
    pub workspace: PathBuf,
    /// When the vault was made.
    pub created_at: Timestamp,
    /// Whether objects are encrypted.
    pub encrypted: bool,
}

/// How much [`Catalog::integrity_check`] looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntegrityLevel {
    /// Pages and rows.
    Quick,
    /// Also that every index agrees with its table.
    Full,
}

/// An open catalog. Not shared between threads: each opens its own, which costs well under a millisecond.
///
/// Every method that changes something is one transaction with one flush: when it returned, the change survives a
/// crash and power loss; when it failed, nothing changed.
#[derive(Debug)]
pub struct Catalog {
    pub(crate) connection: Connection,
    /// SQLite's write-ahead log.
    pub(crate) log: PathBuf,
    /// Whether much is being written at once.
    is_bulk: Cell<bool>,
    /// Seals what names files; `None` where it stands as it is.
    pub(crate) veil: Option<Veil>,
}

impl Catalog {
    /// The same, which seals what names files and opens it again.
    #[must_use]
    pub fn with_veil(self, veil: Veil) -> Self {
        Self { veil: Some(veil), ..self }
    }

    /// Makes a catalog, durably, with mode 0600. The directory must exist.
    ///
    /// [`CatalogError::Exists`] where there is one; a file whose making was cut off is completed.
    pub fn create(path: &Path, identity: &VaultIdentity) -> Result<Self, CatalogError> {
        claim(path)?;
        let catalog = Self {
            connection: connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?,
            log: log_of(path),
            is_bulk: Cell::new(false),
            veil: None,
        };
        if schema::inspect(&catalog.connection, path)? != Format::Blank {
            return Err(CatalogError::Exists(path.to_owned()));
        }
        catalog.connection.pragma_update(None, "journal_mode", "WAL")?;
        catalog.write(|transaction| {
            // Looked at again under the lock: of two makers one comes first.
            if schema::inspect(transaction, path)? != Format::Blank {
                return Err(CatalogError::Exists(path.to_owned()));
            }
            schema::migrate(transaction, 0)?;
            insert_identity(transaction, identity)
        })?;
        catalog.checkpoint_wal()?;
        sync_parent(path)?;
        Ok(catalog)
    }

    /// Opens a catalog for reading and writing; one of an older format is brought up to date.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        require(path)?;
        let catalog = Self {
            connection: connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?,
            log: log_of(path),
            is_bulk: Cell::new(false),
            veil: None,
        };
        match schema::inspect(&catalog.connection, path)? {
            Format::Blank => return Err(CatalogError::Absent(path.to_owned())),
            Format::Known(schema::FORMAT_VERSION) => {}
            Format::Known(_) => schema::upgrade(&catalog.connection, path)?,
        }
        Ok(catalog)
    }

    /// Opens a catalog for reading only; whatever would change it gives [`CatalogError::ReadOnly`].
    ///
    /// Where the disk is full, or SQLite's shared-memory file can't be made, it is read with the log's index in this
    /// process's memory, which keeps others out meanwhile; on a read-only medium without a log, as it stands.
    pub fn open_read_only(path: &Path) -> Result<Self, CatalogError> {
        require(path)?;
        let plain = match read_with(path, connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)) {
            Err(error @ (CatalogError::Full { .. } | CatalogError::Io { .. } | CatalogError::ReadOnly { .. })) => error,
            opened => return opened,
        };
        let alone = read_with(path, connect_alone(path));
        let ended = match alone {
            Err(_) if log_is_empty(path) => read_with(path, connect_frozen(path)),
            alone => alone,
        };
        ended.map_err(|then| plain.followed_by(&then))
    }

    /// What the catalog says of its vault.
    pub fn identity(&self) -> Result<VaultIdentity, CatalogError> {
        let sql = "SELECT vault_id, workspace, created_at, encrypted FROM vault";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([], |row| {
            Ok(VaultIdentity {
                vault_id: row.get(0)?,
                workspace: PathBuf::from(OsString::from_vec(row.get(1)?)),
                created_at: columns::time(row, 2)?,
                encrypted: row.get(3)?,
            })
        })?)
    }

    /// Records that the workspace is at another path now.
    pub fn set_workspace(&self, workspace: &Path, audit: &NewOperation) -> Result<(), CatalogError> {
        self.write(|transaction| {
            transaction.execute("UPDATE vault SET workspace = ?1", [workspace.as_os_str().as_bytes()])?;
            operations::insert(transaction, audit)
        })
    }

    /// What SQLite finds wrong with the file, one sentence each, at most 100; empty where nothing is.
    pub fn integrity_check(&self, level: IntegrityLevel) -> Result<Vec<String>, CatalogError> {
        let check = match level {
            IntegrityLevel::Quick => "PRAGMA quick_check(100)",
            IntegrityLevel::Full => "PRAGMA integrity_check(100)",
        };
        let mut statement = self.connection.prepare(check)?;
        let mut found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        found.retain(|line| line != "ok");
        let mut statement =
            self.connection.prepare("SELECT \"table\", rowid FROM pragma_foreign_key_check LIMIT 100")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (table, at): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
            found.push(format!("row {} of {table} refers to a row that is not there", at.unwrap_or(0)));
        }
        found.extend(self.cut_page()?);
        match self.wild_counters() {
            // What keeps it from being read has been found.
            Err(_) if !found.is_empty() => {}
            counters => found.extend(counters?),
        }
        Ok(found)
    }

    /// A sentence for each counter, and each place that a state is noted to have come to, that was never reached. The
    /// log of events does not go by its counter where that is wrong.
    fn wild_counters(&self) -> Result<Vec<String>, CatalogError> {
        let of_table = |(table, name): &(&str, &str)| {
            // What an import brought stands before all others.
            let below = if *table == "checkpoints" { "seq < 1 AND recovered = 0" } else { "seq < 1" };
            format!("UNION ALL SELECT 'the place of {table}/' || {name}, seq FROM {table} WHERE {below} OR seq > ?1 ")
        };
        let places: String = PLACED.iter().map(of_table).collect();
        let sql = "SELECT 'the counter of tokens', fencing FROM vault WHERE fencing NOT BETWEEN 0 AND ?1
                   UNION ALL SELECT 'the counter of generations', generation FROM vault WHERE generation NOT BETWEEN 0 AND ?1
                   UNION ALL SELECT 'the place of the state of ' || workflow_id, seq FROM states
                             WHERE seq NOT BETWEEN 1 AND ?1
                   UNION ALL SELECT 'the place of the stored state of ' || workflow_id, seq FROM snapshots
                             WHERE seq NOT BETWEEN 1 AND ?1
                   UNION ALL SELECT 'the checkpoint of the stored state of ' || workflow_id, checkpoint_id FROM snapshots
                             WHERE checkpoint_id NOT IN (SELECT checkpoint_id FROM checkpoints)
                   UNION ALL SELECT 'the counter of places in ' || name, seq FROM sqlite_sequence
                             WHERE name <> 'events' AND (typeof(seq) <> 'integer' OR seq NOT BETWEEN 0 AND ?1) ";
        let mut statement = self.connection.prepare(&format!("{sql}{places} LIMIT 100"))?;
        let mut rows = statement.query([PLACE_MAX])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (what, value): (String, String) = (row.get(0)?, columns::shown(row.get_ref(1)?));
            found.push(format!("{what} is {value}, which it cannot have come to"));
        }
        Ok(found)
    }

    /// A sentence where the file ends within a page, which SQLite reads as if zeroes followed.
    fn cut_page(&self) -> Result<Option<String>, CatalogError> {
        let page: u32 = self.connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let length = self.connection.path().and_then(|path| fs::metadata(path).ok()).map_or(0, |found| found.len());
        Ok((!length.is_multiple_of(u64::from(page))).then(|| format!("the file ends within a page, at {length} bytes")))
    }

    /// Moves the log into the main file and empties it. `false` where readers or writers kept it from finishing.
    ///
    /// Upkeep only: what is in the log is as durable as what is not. Commits do the same by themselves now and then.
    pub fn checkpoint_wal(&self) -> Result<bool, CatalogError> {
        let blocked: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        Ok(blocked == 0)
    }

    /// Runs `body` in one writing transaction and commits it; where either fails nothing is changed.
    ///
    /// The lock is taken at the beginning, so what `body` reads is what it changes.
    pub(crate) fn write<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let value = match body(&transaction) {
            Err(CatalogError::Full { source }) => return Err(exhausted(&transaction, source)),
            ended => ended?,
        };
        transaction.commit()?;
        self.shorten_log();
        Ok(value)
    }

    /// Runs `body`, which writes much in several transactions: each is durable as ever, but the log grows longer before it is
    /// moved into the main file.
    pub fn in_bulk<T>(&self, body: impl FnOnce() -> T) -> T {
        self.is_bulk.set(true);
        // Where it cannot be set the work only takes longer.
        let _ = self.connection.pragma_update(None, "wal_autocheckpoint", BULK_PAGES);
        let value = body();
        let _ = self.connection.pragma_update(None, "wal_autocheckpoint", 250);
        self.is_bulk.set(false);
        self.shorten_log();
        value
    }

    /// Empties a log that has grown long, unless somebody is reading it.
    ///
    /// SQLite's own checkpoints do not: they begin the log anew at the next commit of the same process, and a command
    /// makes few. What fails here was upkeep, and the next command tries again.
    fn shorten_log(&self) {
        if !self.is_bulk.get() && fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            let _ = self.connection.busy_timeout(Duration::ZERO);
            let _ = self.checkpoint_wal();
            let _ = self.connection.busy_timeout(BUSY_TIMEOUT);
        }
    }

    /// Runs `body` over one unchanging state: whatever it reads through this catalog was true at one moment.
    pub fn unchanging<T>(&self, body: impl FnOnce() -> Result<T, CatalogError>) -> Result<T, CatalogError> {
        // Within a transaction it is already.
        if self.connection.is_autocommit() { self.read(|_| body()) } else { body() }
    }

    /// Runs `body` over one unchanging state.
    pub(crate) fn read<T, E: From<rusqlite::Error>>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        body(&transaction)
    }
}

/// What a full disk is told as, and, by SQLite, just so a table in which the last place is given: no use of it gets there.
fn exhausted(transaction: &Transaction<'_>, source: Source) -> CatalogError {
    let ended = |table: &&(&'static str, &str)| {
        let sql = format!(
            "SELECT max((SELECT coalesce(max(seq), 0) FROM {0}),
                        coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = '{0}'), 0)) = ?1",
            table.0
        );
        transaction.query_row(&sql, [i64::MAX], |row| row.get(0)).unwrap_or(false)
    };
    let others = [("events", ""), ("changes", ""), ("points", "")];
    match PLACED.iter().chain(&others).find(ended) {
        Some((table, _)) => CatalogError::Exhausted { table },
        None => CatalogError::Full { source },
    }
}

/// Opens a connection with this crate's settings.
fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, CatalogError> {
    let connection = open_raw(path, mode)?;
    prepare(&connection)?;
    Ok(connection)
}

fn open_raw(path: &Path, mode: OpenFlags) -> Result<Connection, CatalogError> {
    // An absolute path, because SQLite takes one that begins with `file:` for a URI.
    let path = std::path::absolute(path).map_err(|source| CatalogError::Io { source: source.into() })?;
    Ok(Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?)
}

fn prepare(connection: &Connection) -> Result<(), CatalogError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // The last one to close would move the log into the main file: two flushes more for every command.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection.execute_batch(SETTINGS)?)
}

/// A connection that keeps others out and so needs no shared memory. It never writes.
fn connect_alone(path: &Path) -> Result<Connection, CatalogError> {
    let connection = open_raw(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // First of all: whatever reads the file before it is exclusive asks for shared memory.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA query_only = ON;")?;
    prepare(&connection)?;
    Ok(connection)
}

/// A connection to a file that nobody can change: no locks, no log.
fn connect_frozen(path: &Path) -> Result<Connection, CatalogError> {
    let path = std::path::absolute(path).map_err(|source| CatalogError::Io { source: source.into() })?;
    let escaped: String = path.as_os_str().as_bytes().iter().map(|byte| format!("%{byte:02x}")).collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file://{}?immutable=1", slashes(&escaped)), flags)?;
    prepare(&connection)?;
    Ok(connection)
}

/// Puts slashes back, because a URI's path must begin with one.
fn slashes(escaped: &str) -> String {
    escaped.replace("%2f", "/")
}

/// Reads the marks through a connection and accepts the newest format only.
fn read_with(path: &Path, connection: Result<Connection, CatalogError>) -> Result<Catalog, CatalogError> {
    let connection = connection?;
    match schema::inspect(&connection, path)? {
        Format::Blank => Err(CatalogError::Absent(path.to_owned())),
        Format::Known(schema::FORMAT_VERSION) => {
            Ok(Catalog { connection, log: log_of(path), is_bulk: Cell::new(false), veil: None })
        }
        Format::Known(found) => Err(CatalogError::OldFormat { found }),
    }
}

/// Whether the write-ahead log is absent or empty. Its metadata only is read: it is never opened.
fn log_is_empty(path: &Path) -> bool {
    fs::metadata(log_of(path)).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |found| found.len() == 0)
}

fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

fn require(path: &Path) -> Result<(), CatalogError> {
    match path.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(CatalogError::Absent(path.to_owned())),
        Err(source) => Err(CatalogError::Io { source: source.into() }),
    }
}

/// Makes the empty file, so that its mode is 0600 from the first moment; SQLite's other files take it over.
fn claim(path: &Path) -> Result<(), CatalogError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // Closing drops no lock: nobody else in this process can have opened a file that did not exist.
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(CatalogError::Full { source: error.into() }),
        Err(error) => Err(CatalogError::Io { source: error.into() }),
    }
}

/// Syncs the directory, so that the new file's name survives power loss too.
fn sync_parent(path: &Path) -> Result<(), CatalogError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|source| CatalogError::Io { source: source.into() })
}

fn insert_identity(transaction: &Transaction<'_>, identity: &VaultIdentity) -> Result<(), CatalogError> {
    let workspace = identity.workspace.as_os_str().as_bytes();
    transaction.execute(
        "INSERT INTO vault (one, vault_id, workspace, created_at, encrypted) VALUES (1, ?1, ?2, ?3, ?4)",
        (&identity.vault_id, workspace, identity.created_at.0, identity.encrypted),
    )?;
    Ok(())
}
