//! The ledger as checkpoints seal it: all rows since the last seal, and the look that the checkpoint itself is.
//!
//! Owns what a rebuild puts back. Refuses to know the object that holds it.

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use wfr_model::{CheckpointId, Digest, Timestamp};

use super::changes::{self, ChangeRow, ChangeSeq};
use super::points::{self, PointRow};
use super::{Closing, NewChange, NewPoint, PathKey, PointSeq};
use crate::catalog::Catalog;
use crate::columns;
use crate::error::CatalogError;

/// A seal: the object, and how far it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LedgerSeal {
    /// The object.
    pub object: Digest,
    /// The last point whose rows are in it.
    pub upto: PointSeq,
}

/// So many segments are in one part, about, so that an object stays of bearable size.
const SEGMENTS_MAX: i64 = if cfg!(test) { 1_000 } else { 100_000 };

/// A part of what no seal holds yet.
#[derive(Clone, PartialEq, Debug)]
pub struct LedgerPart {
    /// The rows.
    pub sealed: SealedLedger,
    /// The last point in it.
    pub upto: PointSeq,
    /// Whether there is no more.
    pub is_last: bool,
}

/// The ledger's rows since a point, under the numbers that they have.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SealedLedger {
    points: Vec<PointRow>,
    changes: Vec<Numbered>,
    paths: Vec<(i64, PathKey)>,
    segments: Vec<Segment>,
    /// Path, change, by which change, whether it is taken back.
    cancellations: Vec<(i64, i64, i64, bool)>,
    /// Path, by which change, and the point by which it was read.
    #[serde(default)]
    reads: Vec<(i64, i64, i64)>,
    /// The look that is recorded with the checkpoint itself, and has no number yet.
    pub next: Option<NewPoint>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Numbered {
    seq: i64,
    new: NewChange,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Segment {
    path: i64,
    point: i64,
    change: i64,
    replayed: bool,
    #[serde(with = "maybe")]
    before: Option<Vec<u8>>,
    #[serde(with = "bytes")]
    after: Vec<u8>,
}

impl Catalog {
    /// The next part of what no seal holds yet of the ledger, behind a point where one is given; `None` where nobody keeps
    /// one.
    pub fn unsealed_ledger(&self, from: Option<PointSeq>) -> Result<Option<LedgerPart>, CatalogError> {
        self.read(|transaction| {
            let Some(last) = super::points::last(transaction)? else { return Ok(None) };
            let from = match from {
                Some(from) => from.0,
                None => transaction
                    .prepare_cached("SELECT coalesce(max(upto_point), 0) FROM ledger_seals")?
                    .query_row([], |row| row.get(0))?,
            };
            let sql = "SELECT point FROM segments WHERE point > ?1 ORDER BY point LIMIT 1 OFFSET ?2";
            let beyond =
                transaction.prepare_cached(sql)?.query_row((from, SEGMENTS_MAX), |row| row.get(0)).optional()?;
            // One look may have found more by itself.
            let upto = beyond.map_or(last, |beyond: i64| PointSeq((beyond - 1).max(from + 1)));
            Ok(Some(LedgerPart {
                sealed: gather(transaction, from, upto.0, upto == last)?,
                upto,
                is_last: upto == last,
            }))
        })
    }

    /// The objects of all seals, oldest first.
    pub fn ledger_seals(&self) -> Result<Vec<Digest>, CatalogError> {
        let mut statement = self.connection.prepare_cached("SELECT object FROM ledger_seals ORDER BY upto_point")?;
        let objects = statement.query_map([], |row| columns::digest(row, 0))?;
        Ok(objects.collect::<Result<_, _>>()?)
    }

    /// Puts sealed rows back into a catalog that is built again; those that are there stay. The seals come in their order.
    ///
    /// [`CatalogError::IdTaken`] where a place has another look, or a number another change or path: they are of another ledger,
    /// and nothing of them is put back.
    pub fn insert_sealed_ledger(&self, sealed: &SealedLedger) -> Result<(), CatalogError> {
        self.write(|transaction| {
            check_same(transaction, sealed)?;
            put_back(transaction, sealed)
        })
    }
}

pub(crate) fn put_seal(connection: &Connection, seal: &LedgerSeal) -> Result<(), CatalogError> {
    let sql = "INSERT INTO ledger_seals (object, upto_point) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute((seal.object.0, seal.upto.0))?;
    Ok(())
}

fn gather(connection: &Connection, from: i64, upto: i64, is_last: bool) -> Result<SealedLedger, CatalogError> {
    let mut sealed = SealedLedger::default();
    let mut statement = connection
        .prepare_cached("SELECT seq, at, tree, checkpoint_id FROM points WHERE seq > ?1 AND seq <= ?2 ORDER BY seq")?;
    let points = statement.query_map([from, upto], points::decode)?;
    sealed.points = points.collect::<Result<_, _>>()?;
    let mut statement = connection.prepare_cached(
        "SELECT path_id, point, change, replayed, before, after FROM segments WHERE point > ?1 AND point <= ?2 ORDER BY point, path_id",
    )?;
    let segments = statement.query_map([from, upto], |row| {
        let (path, point, change) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Segment { path, point, change, replayed: row.get(3)?, before: row.get(4)?, after: row.get(5)? })
    })?;
    sealed.segments = segments.collect::<Result<_, _>>()?;
    // A change may have been open when the last seal was made: what has to do with later points is told again.
    let begun = sealed.points.first().map_or(Timestamp(i64::MAX), |point| point.at);
    // Later parts have those that began later.
    let ended = sealed.points.last().filter(|_| !is_last).map_or(Timestamp(i64::MAX), |point| point.at);
    let sql = "WITH meant (seq) AS
                 (SELECT seq FROM changes WHERE (ended_at IS NULL OR ended_at >= ?3) AND started_at <= ?4)
               SELECT seq FROM meant
               UNION SELECT change FROM segments WHERE point > ?1 AND point <= ?2
               UNION SELECT change FROM reads WHERE point > ?1 AND point <= ?2
               UNION SELECT by_change FROM cancellations WHERE by_change IN (SELECT seq FROM meant) ORDER BY 1";
    let mut statement = connection.prepare_cached(sql)?;
    let seqs = statement.query_map((from, upto, begun.0, ended.0), |row| row.get(0).map(ChangeSeq))?;
    let seqs: Vec<ChangeSeq> = seqs.collect::<Result<_, _>>()?;
    for seq in &seqs {
        let lost = || CatalogError::damaged("a change is lost that others name");
        let ChangeRow { change, declared, parent, .. } = changes::at(connection, *seq)?.ok_or_else(lost)?;
        let parent = parent.map(|seq| changes::at(connection, seq)).transpose()?.flatten();
        let parent = parent.map(|row| row.change.change_id);
        sealed.changes.push(Numbered { seq: seq.0, new: NewChange { change, declared, parent } });
    }
    // That somebody else had brought back what a recovery takes back becomes known with the recovery: an earlier seal may lack
    // it.
    let sql = "SELECT path_id, change, by_change, cancelled FROM cancellations WHERE by_change = ?1
               UNION SELECT x.path_id, x.change, x.by_change, x.cancelled FROM cancellations own
               JOIN cancellations x USING (path_id, change) JOIN changes c ON c.seq = x.by_change
               WHERE own.by_change = ?1 AND x.by_change < ?1 AND c.recovery_id IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    for seq in &seqs {
        let found = statement.query_map([seq.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        sealed.cancellations.extend(found.collect::<Result<Vec<_>, _>>()?);
    }
    sealed.cancellations.sort_unstable();
    sealed.cancellations.dedup();
    let mut statement =
        connection.prepare_cached("SELECT path_id, change, point FROM reads WHERE point > ?1 AND point <= ?2")?;
    let reads = statement.query_map([from, upto], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    sealed.reads = reads.collect::<Result<_, _>>()?;
    let mut paths: Vec<i64> = sealed.segments.iter().map(|segment| segment.path).collect();
    paths.extend(sealed.cancellations.iter().map(|one| one.0));
    paths.extend(sealed.reads.iter().map(|one| one.0));
    paths.sort_unstable();
    paths.dedup();
    let mut statement = connection.prepare_cached("SELECT key, sealed FROM paths WHERE path_id = ?1")?;
    for path in paths {
        let key = statement.query_row([path], |row| Ok(PathKey { key: row.get(0)?, sealed: row.get(1)? }))?;
        sealed.paths.push((path, key));
    }
    Ok(sealed)
}

/// Refuses rows that stand where others do.
fn check_same(connection: &Connection, sealed: &SealedLedger) -> Result<(), CatalogError> {
    let taken = |what, id: i64| Err(CatalogError::IdTaken { what, id: id.to_string() });
    let mut other = connection.prepare_cached("SELECT 1 FROM points WHERE seq = ?1 AND at <> ?2")?;
    for point in &sealed.points {
        if other.exists((point.seq, point.at.0))? {
            return taken("point", point.seq);
        }
    }
    let mut other = connection
        .prepare_cached("SELECT 1 FROM changes WHERE seq = ?1 AND change_id <> ?2 OR seq <> ?1 AND change_id = ?2")?;
    for change in &sealed.changes {
        if other.exists((change.seq, change.new.change.change_id.as_str()))? {
            return taken("change", change.seq);
        }
    }
    let mut other = connection
        .prepare_cached("SELECT 1 FROM paths WHERE path_id = ?1 AND key <> ?2 OR path_id <> ?1 AND key = ?2")?;
    for (path, key) in &sealed.paths {
        if other.exists((path, &key.key))? {
            return taken("path", *path);
        }
    }
    Ok(())
}

fn put_back(connection: &Connection, sealed: &SealedLedger) -> Result<(), CatalogError> {
    let sql = "INSERT INTO points (seq, at, tree, checkpoint_id) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    for PointRow { seq, at, tree, checkpoint_id } in &sealed.points {
        let id = checkpoint_id.as_ref().map(CheckpointId::as_str);
        statement.execute((seq, at.0, tree.map(|tree| tree.0), id))?;
    }
    for Numbered { seq, new } in &sealed.changes {
        let known: Option<Option<i64>> = connection
            .prepare_cached("SELECT ended_at FROM changes WHERE seq = ?1")?
            .query_row([seq], |row| row.get(0))
            .optional()?;
        match (known, new.change.ended_at) {
            (None, _) => changes::insert(connection, new, Some(*seq))?,
            (Some(None), Some(at)) => {
                changes::end(connection, &new.change.change_id, at, Some(&Closing::of(&new.change)))?;
            }
            _ => {}
        }
    }
    let mut statement = connection
        .prepare_cached("INSERT INTO paths (path_id, key, sealed) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    for (path, PathKey { key, sealed }) in &sealed.paths {
        statement.execute((path, key, sealed))?;
    }
    let sql = "INSERT INTO segments (path_id, point, change, replayed, before, after) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    for Segment { path, point, change, replayed, before, after } in &sealed.segments {
        statement.execute(params![path, point, change, replayed, before, after])?;
    }
    let sql = "INSERT INTO cancellations (path_id, change, by_change, cancelled) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    for one in &sealed.cancellations {
        statement.execute(*one)?;
    }
    let sql = "INSERT INTO reads (path_id, change, point) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET point = excluded.point";
    let mut statement = connection.prepare_cached(sql)?;
    for one in &sealed.reads {
        statement.execute(*one)?;
    }
    match &sealed.next {
        // A later seal has it under its number.
        Some(next) if super::points::last(connection)? == next.after => super::insert(connection, next).map(drop),
        _ => Ok(()),
    }
}

/// Bytes as hexadecimal digits.
pub(super) mod bytes {
    use serde::{Deserialize, Deserializer, Serializer};
    use wfr_model::digest::{hex, unhex};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        unhex(&String::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("hexadecimal digits are expected"))
    }
}

/// The same where there may be none.
pub(super) mod maybe {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::bytes::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| {
            wfr_model::digest::unhex(&text).ok_or_else(|| serde::de::Error::custom("hexadecimal digits"))
        };
        text.map(read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use wfr_model::ChangeId;
    use wfr_model::change::{Actor, Author, Change, Source};

    use super::super::NewSegment;
    use super::*;
    use crate::catalog::VaultIdentity;

    fn change(number: i64) -> Change {
        Change {
            change_id: format!("chg_{number:032x}").parse().unwrap(),
            author: Author::default(),
            actor: Actor::Agent,
            source: Source::Observed,
            confidence: 0.9,
            candidates: vec![],
            started_at: Timestamp(number),
            ended_at: Some(Timestamp(number)),
            note: None,
            recovery_id: None,
            evidence: None,
        }
    }

    /// A catalog with points of which each finds something at so many paths.
    fn catalog(points: &[usize]) -> (tempfile::TempDir, Catalog) {
        let dir = tempfile::tempdir().unwrap();
        let (vault_id, workspace) = ("0".repeat(32), dir.path().to_owned());
        let identity = VaultIdentity { vault_id, encrypted: false, created_at: Timestamp(0), workspace };
        let catalog = Catalog::create(&dir.path().join("catalog.db"), &identity).unwrap();
        let mut last = None;
        for (number, paths) in points.iter().enumerate() {
            let at = number as i64 + 1;
            let change = change(at);
            let id: ChangeId = change.change_id.clone();
            let path = |path: usize| PathKey { key: format!("p{path}").into_bytes(), sealed: None };
            let segment = |number: usize| NewSegment {
                path: path(number),
                change: id.clone(),
                replayed: false,
                before: None,
                after: Some(at.to_le_bytes().to_vec()),
            };
            let segments = (0..*paths).map(segment).collect();
            let changes = vec![NewChange { change, declared: vec![], parent: None }];
            let new = NewPoint { changes, segments, ..NewPoint::new(last, Timestamp(at)) };
            last = Some(catalog.commit_point(&new, &[]).unwrap());
        }
        (dir, catalog)
    }

    #[test]
    fn a_long_ledger_is_sealed_in_parts_and_comes_back_whole() {
        let most = SEGMENTS_MAX as usize;
        let (_dir, catalog) = catalog(&[10, most / 2, most / 2, most + 7, 3, most / 2]);
        let (mut parts, mut from) = (Vec::new(), None);
        loop {
            let part = catalog.unsealed_ledger(from).unwrap().unwrap();
            from = Some(part.upto);
            parts.push(part);
            if parts.last().unwrap().is_last {
                break;
            }
        }
        assert!(parts.len() >= 3, "{}", parts.len());
        let alone = parts.iter().filter(|part| part.sealed.segments.len() > most).count();
        assert_eq!(alone, 1, "one look found more by itself");
        let (_other, back) = self::catalog(&[]);
        parts.iter().for_each(|part| back.insert_sealed_ledger(&part.sealed).unwrap());
        let whole = |catalog: &Catalog| gather(&catalog.connection, 0, i64::MAX, true).unwrap();
        assert_eq!(whole(&back), whole(&catalog));
    }
}
