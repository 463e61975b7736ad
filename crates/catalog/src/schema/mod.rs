//! The file's format: its marks, its migrations, and which files are refused.
//!
//! Owns the one array of migrations: entry n brings a catalog from format n to format n + 1, and an entry that was
//! released is never edited. Refuses any file that it does not know for its own.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::CatalogError;

/// The `application_id` of a catalog: the bytes `wfrc`.
pub const APPLICATION_ID: i64 = 0x7766_7263;

/// The migrations, oldest first.
const MIGRATIONS: &[&str] = &[
    include_str!("001.sql"),
    include_str!("002.sql"),
    include_str!("003.sql"),
    include_str!("004.sql"),
    include_str!("005.sql"),
    include_str!("006.sql"),
    include_str!("007.sql"),
    include_str!("008.sql"),
    include_str!("009.sql"),
    include_str!("010.sql"),
];

/// The format that this build writes; it reads no later one.
pub const FORMAT_VERSION: i64 = MIGRATIONS.len() as i64;

/// What the marks of a file say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// A file without a table: new, or its making was cut off.
    Blank,
    /// A catalog of this format, from 1 to [`FORMAT_VERSION`].
    Known(i64),
}

/// Reads the marks and refuses what is not a catalog or is one from the future.
pub(crate) fn inspect(connection: &Connection, path: &Path) -> Result<Format, CatalogError> {
    let foreign = |why| CatalogError::Foreign { path: path.to_owned(), why };
    let (application, version) = marks(connection)?;
    match (application, version) {
        (0, 0) if table_count(connection)? == 0 => Ok(Format::Blank),
        (APPLICATION_ID, 0) => Err(foreign("its format version is 0")),
        (APPLICATION_ID, found) if found > FORMAT_VERSION => {
            Err(CatalogError::FutureFormat { found, known: FORMAT_VERSION })
        }
        (APPLICATION_ID, found) if found > 0 => Ok(Format::Known(found)),
        (APPLICATION_ID, _) => Err(foreign("its format version is negative")),
        _ => Err(foreign("it is a database of another program")),
    }
}

/// Brings the file from the given format to the newest, in the transaction that the caller commits.
pub(crate) fn migrate(transaction: &Transaction<'_>, from: i64) -> Result<(), CatalogError> {
    run(transaction, MIGRATIONS, from)
}

/// Brings an older catalog to the newest format, alone.
pub(crate) fn upgrade(connection: &Connection, path: &Path) -> Result<(), CatalogError> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Looked at again under the lock: another process may have upgraded it meanwhile.
    if let Format::Known(found) = inspect(&transaction, path)? {
        migrate(&transaction, found)?;
    }
    Ok(transaction.commit()?)
}

fn run(transaction: &Transaction<'_>, migrations: &[&str], from: i64) -> Result<(), CatalogError> {
    let done = usize::try_from(from).unwrap_or(0);
    for migration in migrations.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", migrations.len() as i64)?;
    Ok(())
}

/// Makes a blank file one of an older format.
#[cfg(test)]
pub(crate) fn make_old(connection: &Connection, format: usize) -> Result<(), CatalogError> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    run(&transaction, &MIGRATIONS[..format], 0)?;
    Ok(transaction.commit()?)
}

fn marks(connection: &Connection) -> Result<(i64, i64), CatalogError> {
    let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((application, version))
}

fn table_count(connection: &Connection) -> Result<i64, CatalogError> {
    Ok(connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    fn seen(connection: &Connection) -> Result<Format, CatalogError> {
        inspect(connection, Path::new("catalog.db"))
    }

    #[test]
    fn foreign_and_future_files_are_refused() {
        let file = blank();
        assert_eq!(seen(&file).unwrap(), Format::Blank);
        file.execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
        assert!(matches!(seen(&file), Err(CatalogError::Foreign { .. })));
        for (application, version, future) in
            [(1, 1, false), (APPLICATION_ID, 0, false), (APPLICATION_ID, -1, false), (APPLICATION_ID, 99, true)]
        {
            let file = blank();
            file.pragma_update(None, "application_id", application).unwrap();
            file.pragma_update(None, "user_version", version).unwrap();
            let refused = seen(&file).unwrap_err();
            assert_eq!(matches!(refused, CatalogError::FutureFormat { found: 99, .. }), future, "{refused}");
            assert_eq!(matches!(refused, CatalogError::Foreign { .. }), !future, "{refused}");
        }
    }

    #[test]
    fn migrations_go_on_from_where_a_file_stands() {
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE c (x)"];
        let file = blank();
        for upto in [1, 3] {
            let (_, from) = marks(&file).unwrap();
            let transaction = Transaction::new_unchecked(&file, TransactionBehavior::Immediate).unwrap();
            run(&transaction, &steps[..upto], from).unwrap();
            transaction.commit().unwrap();
            assert_eq!(marks(&file).unwrap(), (APPLICATION_ID, upto as i64));
            assert_eq!(table_count(&file).unwrap(), upto as i64);
        }
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let file = blank();
        let transaction = Transaction::new_unchecked(&file, TransactionBehavior::Immediate).unwrap();
        assert!(run(&transaction, &["CREATE TABLE a (x)", "CREATE TABLE a (x)"], 0).is_err());
        drop(transaction);
        assert_eq!(seen(&file).unwrap(), Format::Blank);
    }
}
