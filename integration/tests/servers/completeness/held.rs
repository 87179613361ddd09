//! What a version holds of a table, read from its Parquet files.

use std::{collections::BTreeSet, fs::File};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::{Field, Row},
};
use serde_json::Value;
use tidemark_integration::system::System;

/// `__kind` of a row.
const ROW: i8 = 2;

/// The keys of a table's rows in a version, and when its first node's capture began.
pub(super) struct Held {
    pub(super) keys: BTreeSet<i32>,
    pub(super) started: Timestamp,
    pub(super) quality: String,
}

impl Held {
    /// Reads the table `object` of `version`, whose key is an `int` named `k`.
    pub(super) fn read(system: &System, version: &str, object: &str) -> Result<Self> {
        let entry = entry(system, version, object)?;
        let mut keys = BTreeSet::new();
        for page in list(&entry["content"]["baseline"])? {
            for range in list(&system.document(key(page)?)?["ranges"])? {
                read_keys(system, key(&range["stored"])?, &mut keys)?;
            }
        }
        let partitions = list(&entry["cut"]["partitions"])?.iter();
        let started = partitions.map(|partition| timestamp(&partition["started"])).collect::<Result<Vec<_>>>()?;
        let started = started.into_iter().min().context("the cut names no node")?;
        let quality = entry["quality"]["verdict"].as_str().unwrap_or_default().to_owned();
        Ok(Self { keys, started, quality })
    }
}

/// The entry of an object in a version.
fn entry(system: &System, version: &str, object: &str) -> Result<Value> {
    let manifest = system.manifest(version)?;
    for page in list(&manifest["pages"])? {
        for line in list(&system.document(key(page)?)?["lines"])? {
            if line["object"] == *object {
                ensure!(!line["entry"].is_null(), "{object} has no entry: {line}");
                return system.document(key(&line["entry"])?);
            }
        }
    }
    anyhow::bail!("{object} is not in {version}: {manifest}")
}

fn read_keys(system: &System, segment: &str, keys: &mut BTreeSet<i32>) -> Result<()> {
    let path = system.store_dir().join(segment);
    let reader = SerializedFileReader::new(File::open(&path)?).with_context(|| path.display().to_string())?;
    for row in reader.get_row_iter(None)? {
        let row = row?;
        if let (Some(Field::Byte(ROW)), Some(Field::Int(key))) = (field(&row, "__kind"), field(&row, "k")) {
            keys.insert(*key);
        }
    }
    Ok(())
}

fn field<'a>(row: &'a Row, name: &str) -> Option<&'a Field> {
    row.get_column_iter().find(|(column, _)| *column == name).map(|(_, field)| field)
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("{value} is no list"))
}

fn key(reference: &Value) -> Result<&str> {
    reference["key"].as_str().with_context(|| format!("{reference} names nothing"))
}

fn timestamp(value: &Value) -> Result<Timestamp> {
    Ok(value.as_str().with_context(|| format!("{value} is no time"))?.parse()?)
}
