//! Cells of a column from its value, `WRITETIME` and `TTL` as CQL returns them.

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes};

use super::image::{Cell, Expiry};

/// How a column is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One cell.
    Single,
    /// A list of several.
    List,
    /// A set of several.
    Set,
    /// A map of several.
    Map,
    /// A user-defined type with a cell per field.
    Udt,
}

/// Cells of a column; none where it has no value. `read` bounds when the TTL was asked for, s since 1970.
///
/// # Errors
/// Where the three do not fit each other.
pub(super) fn decode(
    shape: Shape,
    value: Option<Bytes>,
    writetime: Option<Bytes>,
    ttl: Option<Bytes>,
    read: (i64, i64),
) -> Result<Vec<Cell>> {
    let Some(value) = value else { return Ok(vec![]) };
    let parts = parts(shape, value)?;
    let stamps = match shape {
        Shape::Single => vec![(writetime, ttl)],
        _ => stamps(writetime, ttl)?,
    };
    ensure!(stamps.len() == parts.len(), "{} cells with {} write times", parts.len(), stamps.len());
    let cells =
        parts.into_iter().zip(stamps).filter_map(|((path, value), stamp)| value.map(|value| (path, value, stamp)));
    let mut cells = cells.map(|(path, value, stamp)| cell(path, value, stamp, read)).collect::<Result<Vec<_>>>()?;
    if matches!(shape, Shape::Set | Shape::Map) {
        cells.sort_by(|left, right| left.path.cmp(&right.path));
    }
    Ok(cells)
}

fn cell(path: Bytes, value: Bytes, (writetime, ttl): (Option<Bytes>, Option<Bytes>), read: (i64, i64)) -> Result<Cell> {
    let writetime = writetime.context("a value without a write time")?.try_get_i64().context("write time")?;
    let ttl = ttl.map(|mut ttl| ttl.try_get_i32()).transpose().context("ttl")?.map(i64::from);
    let expiry = ttl.map(|ttl| Expiry { earliest: read.0 + ttl, latest: read.1 + ttl });
    Ok(Cell { path, value, writetime, expiry })
}

/// Path and value of every cell; fields that are null have no value.
fn parts(shape: Shape, value: Bytes) -> Result<Vec<(Bytes, Option<Bytes>)>> {
    Ok(match shape {
        Shape::Single => vec![(Bytes::new(), Some(value))],
        Shape::List => numbered(counted(value, 1)?, |index| Bytes::copy_from_slice(&(index as u32).to_be_bytes())),
        Shape::Udt => numbered(sized(value)?, |index| Bytes::copy_from_slice(&[index as u8])),
        Shape::Set => counted(value, 1)?
            .into_iter()
            .map(|path| Ok((path.context("null in a set")?, Some(Bytes::new()))))
            .collect::<Result<_>>()?,
        Shape::Map => {
            let all = counted(value, 2)?;
            let pair = |pair: &[Option<Bytes>]| Ok((pair[0].clone().context("null key in a map")?, pair[1].clone()));
            all.chunks_exact(2).map(pair).collect::<Result<_>>()?
        }
    })
}

fn numbered(values: Vec<Option<Bytes>>, path: impl Fn(usize) -> Bytes) -> Vec<(Bytes, Option<Bytes>)> {
    values.into_iter().enumerate().map(|(index, value)| (path(index), value)).collect()
}

/// Write time and TTL of every cell.
fn stamps(writetime: Option<Bytes>, ttl: Option<Bytes>) -> Result<Vec<(Option<Bytes>, Option<Bytes>)>> {
    let writetimes = counted(writetime.context("cells without write times")?, 1)?;
    let ttls = ttl.map_or_else(|| Ok(vec![None; writetimes.len()]), |ttl| counted(ttl, 1))?;
    ensure!(writetimes.len() == ttls.len(), "{} write times with {} TTLs", writetimes.len(), ttls.len());
    Ok(writetimes.into_iter().zip(ttls).collect())
}

/// Elements of a serialised collection: a count of entries of `each` elements, then the elements.
fn counted(mut value: Bytes, each: usize) -> Result<Vec<Option<Bytes>>> {
    let count = usize::try_from(value.try_get_i32().context("count")?).context("count")?;
    let elements = sized(value)?;
    ensure!(elements.len() == count * each, "{count} entries with {} elements", elements.len());
    Ok(elements)
}

/// Values with their lengths, to the end; a negative length is null.
fn sized(mut rest: Bytes) -> Result<Vec<Option<Bytes>>> {
    let mut values = Vec::new();
    while rest.has_remaining() {
        let length = usize::try_from(rest.try_get_i32().context("length")?);
        values.push(match length {
            Ok(length) => {
                ensure!(length <= rest.len(), "{length} bytes announced, {} there", rest.len());
                Some(rest.split_to(length))
            }
            Err(_) => None,
        });
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::values;

    fn long(value: i64) -> Bytes {
        Bytes::copy_from_slice(&value.to_be_bytes())
    }

    #[test]
    fn a_map_has_a_cell_for_each_key() {
        let value = values::pairs(&[(Bytes::from("a"), Bytes::from("1")), (Bytes::from("b"), Bytes::from("2"))]);
        let ttls = values::tuple(&[None, Some(Bytes::copy_from_slice(&7_i32.to_be_bytes()))]);
        let ttls = [&2_i32.to_be_bytes()[..], &ttls].concat();
        let times = values::collection(&[long(10), long(20)]);
        let cells = decode(Shape::Map, Some(value), Some(times), Some(ttls.into()), (100, 101)).unwrap();
        assert_eq!(cells[0], Cell { path: "a".into(), value: "1".into(), writetime: 10, expiry: None });
        assert_eq!(cells[1].expiry, Some(Expiry { earliest: 107, latest: 108 }));
    }

    #[test]
    fn fields_that_are_null_are_no_cells() {
        let value = values::tuple(&[None, Some(Bytes::from("x"))]);
        let times = [&2_i32.to_be_bytes()[..], &values::tuple(&[None, Some(long(5))])].concat();
        let cells = decode(Shape::Udt, Some(value), Some(times.into()), None, (0, 0)).unwrap();
        assert_eq!(cells.len(), 1);
        assert_eq!(cells[0].path[..], [1]);
    }

    #[test]
    fn a_cell_without_a_write_time_is_an_error() {
        assert!(decode(Shape::Single, Some(Bytes::from("x")), None, None, (0, 0)).is_err());
        let value = values::collection(&[Bytes::from("x")]);
        assert!(decode(Shape::List, Some(value), Some(values::collection(&[])), None, (0, 0)).is_err());
    }
}
