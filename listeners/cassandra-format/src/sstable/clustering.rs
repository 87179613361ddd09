//! Clustering values and bounds of ranges, as rows, markers and statistics hold them.

use bytes::Bytes;

use super::cursor::{Cursor, Decoded};
use crate::model::{BoundKind, Clustering};

/// Values in batches of 32, each with two bits before: 0 a value follows, 1 it is empty, 2 it is null.
pub(super) fn read_clustering(c: &mut Cursor<'_>, lengths: &[Option<usize>]) -> Decoded<Clustering> {
    let mut clustering = Clustering::with_capacity(lengths.len());
    for batch in lengths.chunks(32) {
        let mut states = c.uvint()?;
        for length in batch {
            clustering.push(match states & 3 {
                0 => Some(read_value(c, *length)?),
                1 => Some(Bytes::new()),
                2 => None,
                _ => return c.corrupt("a clustering value that is empty and null"),
            });
            states >>= 2;
        }
        if states != 0 {
            return c.corrupt("states of clustering values that are not there");
        }
    }
    Ok(clustering)
}

fn read_value(c: &mut Cursor<'_>, fixed_length: Option<usize>) -> Decoded<Bytes> {
    match fixed_length {
        Some(length) => c.take(length),
        None => c.vbytes(),
    }
}

/// A kind, the number of values (u16), and these; `lengths` are those of the whole clustering.
pub(super) fn read_bound(c: &mut Cursor<'_>, lengths: &[Option<usize>]) -> Decoded<(BoundKind, Clustering)> {
    let kind = read_kind(c)?;
    let size = usize::from(c.u16()?);
    let Some(lengths) = lengths.get(..size) else { return c.corrupt("a bound longer than the clustering") };
    Ok((kind, read_clustering(c, lengths)?))
}

fn read_kind(c: &mut Cursor<'_>) -> Decoded<BoundKind> {
    Ok(match c.u8()? {
        0 => BoundKind::ExclEnd,
        1 => BoundKind::InclStart,
        2 => BoundKind::ExclEndInclStart,
        5 => BoundKind::InclEndExclStart,
        6 => BoundKind::InclEnd,
        7 => BoundKind::ExclStart,
        _ => return c.corrupt("unknown kind of a bound"),
    })
}
