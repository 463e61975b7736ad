//! What of a row is sealed, so that who has the file alone learns no names of files from it.
//!
//! Owns when something is sealed and opened, and how a failure of that is told. Refuses to know a key: who opens the catalog
//! brings both ways along.

use std::error::Error;
use std::fmt;

use rusqlite::types::Type;

use crate::error::{CatalogError, Source};

/// From bytes to sealed ones.
pub type Sealing = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, Source> + Send>;

/// From sealed bytes back.
pub type Opening = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, Unopened> + Send>;

/// Both ways. Without one everything stands as it is.
pub struct Veil {
    /// Seals.
    pub seal: Sealing,
    /// Opens what was sealed, and refuses what was not sealed so.
    pub open: Opening,
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Veil")
    }
}

/// Why a sealed value could not be read.
#[derive(Debug)]
pub enum Unopened {
    /// There is no key: nothing is known of the value.
    Locked(Source),
    /// There is one, and it does not open the value: this one is damaged, and others need not be.
    Broken(Source),
}

impl Unopened {
    fn cause(&self) -> &Source {
        let (Self::Locked(cause) | Self::Broken(cause)) = self;
        cause
    }
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause().fmt(f)
    }
}

impl Error for Unopened {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause().source()
    }
}

/// What stands in a text's column and in that of its sealed form.
pub(crate) type Columns = (Option<String>, Option<Vec<u8>>);

/// A text in its two columns: as it is, or sealed.
pub(crate) fn covered(veil: Option<&Veil>, text: Option<String>) -> Result<Columns, CatalogError> {
    match (veil, text) {
        (Some(veil), Some(text)) => {
            let sealed = (veil.seal)(text.as_bytes()).map_err(|source| CatalogError::Sealed { source })?;
            Ok((None, Some(sealed)))
        }
        (_, text) => Ok((text, None)),
    }
}

/// The bytes of what stands sealed in a column.
pub(crate) fn uncovered(veil: Option<&Veil>, index: usize, sealed: &[u8]) -> rusqlite::Result<Vec<u8>> {
    let opened = match veil {
        Some(veil) => (veil.open)(sealed),
        None => Err(Unopened::Broken("it is sealed, and the store is not encrypted".into())),
    };
    opened.map_err(|why| rusqlite::Error::FromSqlConversionFailure(index, Type::Blob, Box::new(why)))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use wfr_model::recovery::{RecoveryKind, RecoveryRecord, RecoveryStatus};
    use wfr_model::{RecoveryId, Timestamp};

    use super::*;
    use crate::recoveries::{Beside, RecoveryEnd};
    use crate::{Catalog, schema};

    /// Not secret, but no name can be read in it.
    fn veil() -> Veil {
        let turned = |bytes: &[u8]| bytes.iter().map(|byte| !byte).collect::<Vec<u8>>();
        Veil { seal: Box::new(move |bytes| Ok(turned(bytes))), open: Box::new(move |bytes| Ok(turned(bytes))) }
    }

    fn id(number: u64) -> RecoveryId {
        format!("rec_{number:032x}").parse().unwrap()
    }

    /// A file of format 5 with a checkpoint, and a recovery that made one step.
    fn old(path: &std::path::Path) {
        let file = Connection::open(path).unwrap();
        schema::make_old(&file, 5).unwrap();
        let sql = format!(
            r#"INSERT INTO vault (one, vault_id, workspace, created_at, encrypted) VALUES (1, '0', x'2f', 0, 1);
               INSERT INTO workflows VALUES ('wf', 0);
               INSERT INTO checkpoints (checkpoint_id, workflow_id, name, checkpoint_type, trigger_kind, created_at, manifest,
                 tags, complete, has_files, verification, total, directories, bytes, added, changed, removed, size_bytes,
                 recovered) VALUES ('ckpt_{one:032x}', 'wf', 'base', 'manual', 'user_request', 0, zeroblob(32), '[]', 1, 1,
                 'unknown', 0, 0, 0, 0, 0, 0, 0, 0);
               INSERT INTO recoveries (recovery_id, kind, workflow_id, target, status, actor, parameters, started_at, ended_at,
                 report) VALUES ('{first}', 'restore', 'wf', 'ckpt_{one:032x}', 'done', 'me', '{{"files":["old-name"]}}', 1, 2,
                 '{{"changed":[{{"path":"old-name","action":"create","end":"done"}}],"kept":[],"failed":[],"displaced":[]}}'),
                 ('{third}', 'undo', 'wf', 'ckpt_{one:032x}', 'done', 'me', '{{"because":"functional_check"}}', 1, 2, NULL);"#,
            one = 1,
            first = id(1),
            third = id(3),
        );
        file.execute_batch(&sql).unwrap();
    }

    #[test]
    fn records_of_before_are_read_beside_sealed_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        old(&path);
        let catalog = Catalog::open(&path).unwrap().with_veil(veil());
        let before = catalog.recovery(&id(1)).unwrap().unwrap();
        assert_eq!(before.parameters["files"][0], "old-name");
        // The one that nobody asked for is passed over, and the steps of the other are counted.
        assert_eq!(catalog.latest_undoable(None, &|_| true).unwrap().unwrap().recovery_id, id(1));
        assert_eq!(catalog.recovery_rates(RecoveryKind::Restore, &id(9), 9).unwrap()[0].steps, 1);
        let new = RecoveryRecord {
            recovery_id: id(2),
            status: RecoveryStatus::Started,
            parameters: serde_json::json!({"files": ["new-name"]}),
            report: None,
            ended_at: None,
            ..before.clone()
        };
        catalog.begin_recovery(&new, None, &|_| Beside::default()).unwrap();
        let end = RecoveryEnd { status: RecoveryStatus::Done, report: before.report.clone(), ended_at: Timestamp(5) };
        let audit = crate::NewOperation {
            operation_id: format!("op_{:032x}", 1).parse().unwrap(),
            operation: "recovery".into(),
            actor: "me".into(),
            at: Timestamp(5),
            workflow_id: None,
            parameters: serde_json::Value::Null,
            inverse: None,
            result: serde_json::Value::Null,
        };
        catalog.finish_recovery(&id(2), &end, &audit, &|| Ok(Beside::default())).unwrap();
        let read = catalog.recovery(&id(2)).unwrap().unwrap();
        assert_eq!((read.parameters, read.report), (new.parameters, before.report));
        assert_eq!(catalog.recovery_rates(RecoveryKind::Restore, &id(9), 9).unwrap().len(), 2);
        // Who has no key is told so. What a key does not open is damaged, and so is what is sealed where nothing should be.
        let locked = Veil { open: Box::new(|_| Err(Unopened::Locked("no key".into()))), ..veil() };
        let told = Catalog::open(&path).unwrap().with_veil(locked).recovery(&id(2)).unwrap_err();
        assert!(matches!(&told, CatalogError::Sealed { source } if source.to_string() == "no key"), "{told}");
        let blind = Catalog::open(&path).unwrap();
        assert!(matches!(blind.recovery(&id(2)), Err(CatalogError::RecoveryDamaged { .. })));
        assert_eq!(blind.recovery(&id(1)).unwrap().unwrap().recovery_id, id(1));
        let broken = Veil { open: Box::new(|_| Err(Unopened::Broken("it was changed".into()))), ..veil() };
        let seen = blind.with_veil(broken);
        let told = seen.recovery(&id(2)).unwrap_err();
        let CatalogError::RecoveryDamaged { recovery, source, .. } = &told else { panic!("{told}") };
        assert_eq!(
            (recovery.as_str(), source.to_string().contains("it was changed")),
            (id(2).as_str(), true),
            "{told}"
        );
        // The others are listed beside it.
        let listed: Vec<RecoveryId> =
            seen.recoveries(&Default::default(), 9).unwrap().into_iter().map(|one| one.recovery_id).collect();
        assert_eq!(listed, [id(3), id(1)]);
        assert_eq!(seen.damaged_recoveries(None).unwrap()[0].recovery, id(2).as_str());
        let found = |name: &str| {
            ["catalog.db", "catalog.db-wal"].iter().any(|file| {
                let bytes = std::fs::read(dir.path().join(file)).unwrap_or_default();
                bytes.windows(name.len()).any(|window| window == name.as_bytes())
            })
        };
        assert!(found("old-name") && !found("new-name"));
    }
}
