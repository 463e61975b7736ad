//! Values in columns: how the model's types stand in SQLite, and back.
//!
//! Owns the conversions, each of which refuses what the type refuses, so that a damaged row is found when it is
//! read. Refuses to know any table.

use std::error::Error;
use std::str::FromStr;

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Result, Row};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};
use serde_json::Value;
use wfr_model::{Digest, Timestamp};

/// A count or size as SQLite has integers; one over 2^63 - 1, which no disk holds, is kept as that.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count or size.
pub(crate) fn count(row: &Row<'_>, index: usize) -> Result<u64> {
    let number: i64 = row.get(index)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, number))
}

/// A digest.
pub(crate) fn digest(row: &Row<'_>, index: usize) -> Result<Digest> {
    row.get(index).map(Digest)
}

/// A digest, or nothing.
pub(crate) fn digest_or_null(row: &Row<'_>, index: usize) -> Result<Option<Digest>> {
    row.get::<_, Option<[u8; 32]>>(index).map(|bytes| bytes.map(Digest))
}

/// A moment.
pub(crate) fn time(row: &Row<'_>, index: usize) -> Result<Timestamp> {
    row.get(index).map(Timestamp)
}

/// A moment, or nothing.
pub(crate) fn time_or_null(row: &Row<'_>, index: usize) -> Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(index).map(|nanos| nanos.map(Timestamp))
}

/// An id.
pub(crate) fn id<T: FromStr<Err: Error + Send + Sync + 'static>>(row: &Row<'_>, index: usize) -> Result<T> {
    text(row, index)?.parse().map_err(|error| malformed(index, error))
}

/// An id, or nothing.
pub(crate) fn id_or_null<T: FromStr<Err: Error + Send + Sync + 'static>>(
    row: &Row<'_>,
    index: usize,
) -> Result<Option<T>> {
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        _ => id(row, index).map(Some),
    }
}

/// A word of one of the model's closed sets.
pub(crate) fn word<'a, T: Deserialize<'a>>(row: &'a Row<'_>, index: usize) -> Result<T> {
    let word: StrDeserializer<'a, WordError> = text(row, index)?.into_deserializer();
    T::deserialize(word).map_err(|error| malformed(index, error))
}

/// A JSON value of a known type.
pub(crate) fn json<T: for<'a> Deserialize<'a>>(row: &Row<'_>, index: usize) -> Result<T> {
    wfr_model::json::stored(text(row, index)?.as_bytes()).map_err(|error| malformed(index, error))
}

/// A JSON value of a known type, from the bytes that a column held in another form.
pub(crate) fn json_of<T: for<'a> Deserialize<'a>>(index: usize, bytes: &[u8]) -> Result<T> {
    wfr_model::json::stored(bytes).map_err(|error| malformed(index, error))
}

/// A JSON value of a known type, or nothing.
pub(crate) fn json_or_null<T: for<'a> Deserialize<'a>>(row: &Row<'_>, index: usize) -> Result<Option<T>> {
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        _ => json(row, index).map(Some),
    }
}

/// What a value of the model is kept as, which has only texts for keys.
pub(crate) fn json_text<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("the model's values have only texts for keys")
}

/// A JSON value as it is kept.
pub(crate) fn to_text(value: &Value) -> String {
    value.to_string()
}

/// A value in words, which names a row.
pub(crate) fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        _ => "?".to_owned(),
    }
}

/// A word of one of the model's closed sets, as `as_str` gave it.
fn text<'a>(row: &'a Row<'_>, index: usize) -> Result<&'a str> {
    row.get_ref(index)?.as_str().map_err(|error| malformed(index, error))
}

fn malformed(index: usize, error: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
}
