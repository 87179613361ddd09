//! Rows and range tombstone markers, as SSTables hold them.

use bytes::Bytes;

use super::cell::CellHead;
use super::clustering::{read_bound, read_clustering};
use super::cursor::{Cursor, Decoded};
use super::layout::{FileColumn, Layout, Target};
use super::subset;
use crate::model::{
    Clustering, ColumnData, ColumnIndex, Deletion, Expiry, Liveness, Marker, PathCell, Row, RowDeletion, Unfiltered,
};
use crate::order::compare_paths;
use crate::types::CqlType;

#[cfg(test)]
mod tests;

const END_OF_PARTITION: u8 = 0x01;
const MARKER: u8 = 0x02;
const HAS_TIMESTAMP: u8 = 0x04;
const HAS_TTL: u8 = 0x08;
const HAS_DELETION: u8 = 0x10;
const ALL_COLUMNS: u8 = 0x20;
const COMPLEX_DELETION: u8 = 0x40;
const EXTENSION: u8 = 0x80;

/// Bits of the second byte of flags.
const STATIC: u8 = 0x01;
const SHADOWABLE: u8 = 0x02;

/// Size that Cassandra wrote for the unfiltered before.
pub(super) type PreviousSize = u64;

/// Reads what stands next in a partition; `None` at its end.
pub(super) fn read_unfiltered(c: &mut Cursor<'_>, layout: &Layout) -> Decoded<Option<(Unfiltered, PreviousSize)>> {
    match c.u8()? {
        END_OF_PARTITION => Ok(None),
        MARKER => read_marker(c, layout).map(|(marker, previous)| Some((Unfiltered::Marker(marker), previous))),
        flags if flags & (END_OF_PARTITION | MARKER) != 0 => c.corrupt("unknown flags of a row"),
        flags => {
            let flags = Flags::read(c, flags)?;
            if flags.extended & STATIC != 0 {
                return c.corrupt("a static row among the rows");
            }
            let clustering = read_clustering(c, &layout.clustering)?;
            let (row, previous) = read_row(c, flags, clustering, layout, &layout.regulars)?;
            Ok(Some((Unfiltered::Row(row), previous)))
        }
    }
}

/// Reads the static row, which stands first in each partition of a file with static columns, even when it is empty.
pub(super) fn read_static_row(c: &mut Cursor<'_>, layout: &Layout) -> Decoded<Row> {
    let first = c.u8()?;
    if first & (END_OF_PARTITION | MARKER) != 0 || first & EXTENSION == 0 {
        return c.corrupt("the static row is missing");
    }
    let flags = Flags::read(c, first)?;
    if flags.extended & STATIC == 0 {
        return c.corrupt("the static row is missing");
    }
    read_row(c, flags, Clustering::new(), layout, &layout.statics).map(|(row, _)| row)
}

#[derive(Clone, Copy)]
struct Flags {
    first: u8,
    extended: u8,
}

impl Flags {
    fn read(c: &mut Cursor<'_>, first: u8) -> Decoded<Self> {
        let extended = if first & EXTENSION == 0 { 0 } else { c.u8()? };
        let flags = Self { first, extended };
        let has_unknown = extended & !(STATIC | SHADOWABLE) != 0 || (flags.has(EXTENSION) && extended == 0);
        let lacks_base = (flags.has(HAS_TTL) && !flags.has(HAS_TIMESTAMP))
            || (extended & SHADOWABLE != 0 && !flags.has(HAS_DELETION));
        if has_unknown || lacks_base { c.corrupt("unknown flags of a row") } else { Ok(flags) }
    }

    fn has(self, flag: u8) -> bool {
        self.first & flag != 0
    }
}

/// Reads the size of a body and the size before; returns where the body ends and the latter.
fn read_sizes(c: &mut Cursor<'_>) -> Decoded<(usize, PreviousSize)> {
    let size = c.length()?;
    let end = c.position().saturating_add(size);
    // All of the body at once: then a row that does not fit in the window is decoded twice, not once per cell.
    c.require(size)?;
    Ok((end, c.uvint()?))
}

fn check_end(c: &Cursor<'_>, end: usize) -> Decoded<()> {
    if c.position() == end { Ok(()) } else { c.corrupt("the size of a row does not fit its content") }
}

fn read_row(
    c: &mut Cursor<'_>,
    flags: Flags,
    clustering: Clustering,
    layout: &Layout,
    columns: &[FileColumn],
) -> Decoded<(Row, PreviousSize)> {
    let (end, previous) = read_sizes(c)?;
    let liveness = read_liveness(c, flags, layout)?;
    let deletion = read_row_deletion(c, flags, layout)?;
    let present = if flags.has(ALL_COLUMNS) { subset::all(columns.len()) } else { subset::read(c, columns.len())? };
    let mut row = Row { clustering, liveness, deletion, columns: Vec::with_capacity(present.len()) };
    let context = RowContext { layout, liveness, has_deletions: flags.has(COMPLEX_DELETION) };
    for index in present {
        if let Some(column) = context.read_column(c, &columns[index])? {
            row.columns.push(column);
        }
    }
    check_end(c, end)?;
    Ok((row, previous))
}

fn read_liveness(c: &mut Cursor<'_>, flags: Flags, layout: &Layout) -> Decoded<Option<Liveness>> {
    if !flags.has(HAS_TIMESTAMP) {
        return Ok(None);
    }
    let ts = layout.bases.timestamp(c)?;
    if !flags.has(HAS_TTL) {
        return Ok(Some(Liveness { ts, expiry: None }));
    }
    let ttl = layout.bases.ttl(c)?;
    Ok(Some(Liveness { ts, expiry: Some(Expiry { ttl, at: layout.bases.local_time(c)? }) }))
}

fn read_row_deletion(c: &mut Cursor<'_>, flags: Flags, layout: &Layout) -> Decoded<RowDeletion> {
    if !flags.has(HAS_DELETION) {
        return Ok(RowDeletion::default());
    }
    let time = layout.bases.deletion(c)?;
    Ok(RowDeletion { time, shadowable: flags.extended & SHADOWABLE != 0 })
}

/// What the cells of a row refer to.
struct RowContext<'a> {
    layout: &'a Layout,
    liveness: Option<Liveness>,
    has_deletions: bool,
}

impl RowContext<'_> {
    /// Reads one column; `None` where nothing of it is left after what was dropped.
    fn read_column(&self, c: &mut Cursor<'_>, column: &FileColumn) -> Decoded<Option<(ColumnIndex, ColumnData)>> {
        let data = if column.is_complex {
            self.read_complex(c, column)?
        } else {
            let cell = CellHead::read(c, self.layout.bases, self.liveness.as_ref())?.finish(c, column.fixed_length)?;
            column.keeps(cell.ts).then_some(ColumnData::Simple(cell))
        };
        Ok(match column.target {
            Target::Keep(index, _) => data.map(|data| (index, data)),
            Target::Skip => None,
        })
    }

    fn read_complex(&self, c: &mut Cursor<'_>, column: &FileColumn) -> Decoded<Option<ColumnData>> {
        let mut deletion = if self.has_deletions { self.layout.bases.deletion(c)? } else { Deletion::LIVE };
        let cells = self.read_path_cells(c, column)?;
        if !column.keeps(deletion.marked_at) {
            deletion = Deletion::LIVE;
        }
        let is_empty = deletion.is_live() && cells.is_empty();
        Ok((!is_empty).then_some(ColumnData::Complex { deletion, cells }))
    }

    fn read_path_cells(&self, c: &mut Cursor<'_>, column: &FileColumn) -> Decoded<Vec<PathCell>> {
        let count = c.length()?;
        // Each cell has at least flags and a path's length; what is allocated before they are seen stays small.
        c.require(count.saturating_mul(2))?;
        let mut cells = Vec::with_capacity(count.min(1024));
        let mut last: Option<Bytes> = None;
        for _ in 0..count {
            let cell = self.read_path_cell(c)?;
            check_path(c, &column.cql_type, last.as_deref(), &cell.path)?;
            last = Some(cell.path.clone());
            if column.keeps(cell.cell.ts) {
                cells.push(cell);
            }
        }
        Ok(cells)
    }

    /// In a column of several cells every value has its length before it, whatever its type.
    fn read_path_cell(&self, c: &mut Cursor<'_>) -> Decoded<PathCell> {
        let head = CellHead::read(c, self.layout.bases, self.liveness.as_ref())?;
        let path = c.vbytes()?;
        Ok(PathCell { path, cell: head.finish(c, None)? })
    }
}

fn check_path(c: &Cursor<'_>, column: &CqlType, last: Option<&[u8]>, path: &[u8]) -> Decoded<()> {
    let fits = match column {
        CqlType::List { .. } => path.len() == 16,
        CqlType::Udt { .. } => path.len() == 2,
        _ => true,
    };
    if !fits {
        return c.corrupt("a path of the wrong length");
    }
    match last {
        Some(last) if compare_paths(column, last, path).is_ge() => c.corrupt("cells of a column are not in order"),
        _ => Ok(()),
    }
}

impl FileColumn {
    /// False for what was written before the column was dropped and added again.
    fn keeps(&self, ts: i64) -> bool {
        !matches!(self.target, Target::Keep(_, Some(dropped_at)) if ts <= dropped_at)
    }
}

fn read_marker(c: &mut Cursor<'_>, layout: &Layout) -> Decoded<(Marker, PreviousSize)> {
    let (kind, prefix) = read_bound(c, &layout.clustering)?;
    let (end, previous) = read_sizes(c)?;
    let close = if kind.closes() { Some(read_deletion(c, layout)?) } else { None };
    let open = if kind.opens() { Some(read_deletion(c, layout)?) } else { None };
    check_end(c, end)?;
    Ok((Marker { kind, prefix, close, open }, previous))
}

fn read_deletion(c: &mut Cursor<'_>, layout: &Layout) -> Decoded<Deletion> {
    let deletion = layout.bases.deletion(c)?;
    if deletion.is_live() { c.corrupt("a range tombstone that deletes nothing") } else { Ok(deletion) }
}
