//! Cells, as rows of SSTables and of commit-log mutations hold them.

use bytes::Bytes;

use super::cursor::{Cursor, Decoded};
use super::header::Bases;
use crate::model::{Cell, CellState, Deletion, Expiry, Liveness};

const DELETED: u8 = 0x01;
const EXPIRING: u8 = 0x02;
const EMPTY_VALUE: u8 = 0x04;
const ROW_TIMESTAMP: u8 = 0x08;
const ROW_TTL: u8 = 0x10;
const KNOWN: u8 = 0x1f;

impl Bases {
    /// A write time, µs. Deltas wrap: the smallest times are far below the base.
    pub(super) fn timestamp(self, c: &mut Cursor<'_>) -> Decoded<i64> {
        Ok(self.timestamp.wrapping_add(c.uvint()? as i64))
    }

    /// A local deletion time or expiry, s; its low 32 bits count.
    pub(super) fn local_time(self, c: &mut Cursor<'_>) -> Decoded<u32> {
        Ok(self.local_time.wrapping_add(c.uvint()? as u32))
    }

    pub(super) fn ttl(self, c: &mut Cursor<'_>) -> Decoded<u32> {
        let ttl = self.ttl.wrapping_add(c.uvint()? as u32);
        if ttl == 0 || ttl > i32::MAX as u32 { c.corrupt("a TTL that is not positive") } else { Ok(ttl) }
    }

    /// A deletion; a write time of `i64::MIN` means none, whatever follows.
    pub(super) fn deletion(self, c: &mut Cursor<'_>) -> Decoded<Deletion> {
        let deletion = Deletion { marked_at: self.timestamp(c)?, local_time: self.local_time(c)? };
        Ok(if deletion.is_live() { Deletion::LIVE } else { deletion })
    }
}

/// What stands before a cell's path and value.
pub(super) struct CellHead {
    ts: i64,
    state: CellState,
    has_value: bool,
}

impl CellHead {
    pub(super) fn read(c: &mut Cursor<'_>, bases: Bases, row: Option<&Liveness>) -> Decoded<Self> {
        let flags = c.u8()?;
        check_flags(c, flags)?;
        let ts = match row {
            _ if flags & ROW_TIMESTAMP == 0 => bases.timestamp(c)?,
            Some(row) => row.ts,
            None => return c.corrupt("a cell refers to the write time of a row without one"),
        };
        let state = state(c, bases, flags, row.and_then(|row| row.expiry))?;
        Ok(Self { ts, state, has_value: flags & EMPTY_VALUE == 0 })
    }

    /// Reads the value, of a fixed length or with its length before it.
    pub(super) fn finish(self, c: &mut Cursor<'_>, fixed_length: Option<usize>) -> Decoded<Cell> {
        let value = match fixed_length {
            _ if !self.has_value => Bytes::new(),
            Some(length) => c.take(length)?,
            None => c.vbytes()?,
        };
        Ok(Cell { ts: self.ts, state: self.state, value })
    }
}

fn check_flags(c: &Cursor<'_>, flags: u8) -> Decoded<()> {
    let is = |wanted: u8| flags & wanted == wanted;
    if flags & !KNOWN != 0 || is(DELETED | EXPIRING) || (is(ROW_TTL) && !is(EXPIRING)) {
        return c.corrupt("unknown flags of a cell");
    }
    if is(DELETED) && !is(EMPTY_VALUE) { c.corrupt("a deleted cell with a value") } else { Ok(()) }
}

fn state(c: &mut Cursor<'_>, bases: Bases, flags: u8, row: Option<Expiry>) -> Decoded<CellState> {
    match row {
        _ if flags & DELETED != 0 => Ok(CellState::Tombstone { local_time: bases.local_time(c)? }),
        _ if flags & EXPIRING == 0 => Ok(CellState::Live),
        _ if flags & ROW_TTL == 0 => {
            let at = bases.local_time(c)?;
            Ok(CellState::Expiring(Expiry { ttl: bases.ttl(c)?, at }))
        }
        Some(expiry) => Ok(CellState::Expiring(expiry)),
        None => c.corrupt("a cell refers to the TTL of a row without one"),
    }
}
