//! The cutting of the version's stream.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidemark_cassandra_format::{
    key,
    model::{Clustering, Partition, PartitionReader, Unfiltered},
    schema::TableSchema,
};
use tidemark_records::difference::state;

use super::{Area, Part, Slice, Span, Unit};
use crate::{
    restore::pieces::feed::{Error, has_value, row_bytes},
    restore::select::{Selected, Tokens},
};

/// Rows of the version at which a span is full.
pub(super) const SPAN_ROWS: usize = 1_000;

/// Bytes of the version's rows at which a span is full.
const SPAN_BYTES: usize = 1 << 20;

/// Greatest width of a range of tokens: 1/64 of the ring, so that a ring with few rows is many spans, too.
const SPAN_TOKENS: u128 = 1 << 58;

/// A place between two spans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::restore::undo) struct Place {
    /// Index of the segment that the next span reads first.
    pub(in crate::restore::undo) segment: u64,
    /// Index of the partition within the segment.
    pub(in crate::restore::undo) partition: u64,
    /// Rows and markers of this partition that are done.
    pub(in crate::restore::undo) rows: u64,
    /// Token through which all is done, as text because JSON numbers are not 64-bit; absent at the start.
    pub(in crate::restore::undo) token: Option<String>,
    /// Within a partition: the clustering through which all is done, hexadecimal, null as null.
    pub(in crate::restore::undo) row: Option<Vec<Option<String>>>,
}

impl state::Place for Place {
    fn fault(&self) -> Option<String> {
        let token = self.token.iter().find(|token| token.parse::<i64>().is_err());
        let values = self.row.iter().flatten().flatten();
        let value = values.into_iter().find(|value| hex::decode(value).is_err());
        token.map(|token| format!("{token:?} is no token")).or(value.map(|value| format!("{value:?} is no value")))
    }
}

impl Place {
    fn covered(&self) -> Option<i64> {
        self.token.as_ref()?.parse().ok()
    }

    fn clustering(&self) -> Option<Clustering> {
        let value = |hex: &Option<String>| hex.as_ref().map(|hex| hex::decode(hex).unwrap_or_default().into());
        Some(self.row.as_ref()?.iter().map(value).collect())
    }
}

/// Hands out spans; `take` answers false where it has had enough.
pub(in crate::restore::undo) struct Cutter<'a, T> {
    schema: &'a TableSchema,
    selected: &'a Selected,
    take: T,
    /// Token through which all was handed out.
    covered: i64,
    /// Partitions for the next range of tokens, with their segments and places in them.
    parts: Vec<(Part, (u64, u64))>,
    rows: usize,
    bytes: usize,
    /// Where the stream is.
    segment: u64,
    partition: u64,
    /// Where it starts: what is before is done.
    from: Place,
}

impl<'a, T: FnMut(Span) -> bool> Cutter<'a, T> {
    /// A cutter that goes on at a place.
    pub(in crate::restore::undo) fn new(schema: &'a TableSchema, selected: &'a Selected, from: Place, take: T) -> Self {
        let covered = from.covered().unwrap_or(selected.tokens().after).max(selected.tokens().after);
        Self {
            schema,
            selected,
            take,
            covered,
            parts: Vec::new(),
            rows: 0,
            bytes: 0,
            segment: from.segment,
            partition: 0,
            from,
        }
    }

    /// Cuts the segment of this index; false where there was enough. Blocking.
    ///
    /// # Errors
    /// As the stream.
    pub(in crate::restore::undo) fn segment<R>(&mut self, index: u64, reader: &mut R) -> Result<bool, Error<R::Error>>
    where
        R: PartitionReader + ?Sized,
        R::Error: std::error::Error + 'static,
    {
        (self.segment, self.partition) = (index, 0);
        while let Some(partition) = reader.next_partition().map_err(Error::Read)? {
            let first = index == self.from.segment;
            let skipped = first && self.partition < self.from.partition;
            let skip = if first && self.partition == self.from.partition { self.from.rows } else { 0 };
            if !skipped && !self.one(reader, partition, skip)? {
                return Ok(false);
            }
            self.partition += 1;
        }
        Ok(true)
    }

    /// Hands out what is left, to the end of the chosen tokens; false where there was enough.
    pub(in crate::restore::undo) fn finish(mut self, segments: u64) -> bool {
        (self.segment, self.partition) = (segments, 0);
        let through = self.selected.tokens().through;
        match self.selected.key().map(<[Bytes]>::to_vec) {
            Some(key) if self.covered < through => self.alone(key, through),
            Some(_) => true,
            None => self.range(through),
        }
    }

    /// The one chosen partition, which the version does not have.
    fn alone(&mut self, key: Vec<Bytes>, token: i64) -> bool {
        let raw_key = key::join(self.schema, &key).unwrap_or_default();
        let part = Part { token, raw_key, key, static_row: None, rows: Vec::new() };
        let slice = Slice { inclusive: true, with_static: true, ..Slice::default() };
        self.slice((part, (self.segment, self.partition)), slice, 0, token)
    }

    fn one<R>(&mut self, reader: &mut R, partition: Partition, skip: u64) -> Result<bool, Error<R::Error>>
    where
        R: PartitionReader + ?Sized,
        R::Error: std::error::Error + 'static,
    {
        let hex = || hex::encode(&partition.key);
        let key = key::split(self.schema, &partition.key).map_err(|source| Error::Key { key: hex(), source })?;
        if !self.selected.takes_partition(partition.token, &key) {
            return Ok(true);
        }
        let static_row = partition.static_row.filter(|row| skip == 0 && has_value(row) && self.selected.takes_static());
        let token = partition.token;
        // A range ends before the token of a partition that does not fit, so that partitions of one token stay together.
        let full = self.rows >= SPAN_ROWS || self.bytes >= SPAN_BYTES;
        let last = self.parts.last().map(|(part, _)| part.token).filter(|last| full && *last < token);
        if !last.is_none_or(|last| self.range(last)) {
            return Ok(false);
        }
        let part = Part { token, raw_key: partition.key, key, static_row, rows: Vec::new() };
        self.partition_rows(reader, part, skip)
    }

    /// Reads the rows of a partition, as a whole into the open range, or in slices.
    fn partition_rows<R>(&mut self, reader: &mut R, mut part: Part, skip: u64) -> Result<bool, Error<R::Error>>
    where
        R: PartitionReader + ?Sized,
        R::Error: std::error::Error + 'static,
    {
        let mut after = (skip > 0).then(|| self.from.clustering()).flatten();
        // Of one chosen partition, and of one whose token is covered already, only itself is read.
        let mut sliced =
            skip > 0 || self.selected.key().is_some() || (part.token <= self.covered && self.covered != i64::MIN);
        let (mut seen, mut bytes) = (0, 0);
        let mut with_static = skip == 0;
        let at = (self.segment, self.partition);
        while let Some(unfiltered) = reader.next_unfiltered().map_err(Error::Read)? {
            seen += 1;
            let Unfiltered::Row(row) = unfiltered else { continue };
            if seen <= skip || !has_value(&row) || !self.selected.takes_row(&row.clustering) {
                continue;
            }
            if part.rows.len() >= SPAN_ROWS || bytes >= SPAN_BYTES {
                // All before this partition is handed out first.
                sliced = sliced || self.range(part.token.saturating_sub(1)) && self.wholes();
                if !sliced {
                    return Ok(false);
                }
                let until = part.rows.last().map(|row| row.clustering.clone());
                let slice = Slice { after: after.take(), until: until.clone(), inclusive: true, with_static };
                let rest = part.empty();
                if !self.slice((std::mem::replace(&mut part, rest), at), slice, seen - 1, i64::MIN) {
                    return Ok(false);
                }
                (after, with_static, bytes) = (until, false, 0);
            }
            bytes += row_bytes(&row);
            part.rows.push(row);
        }
        if sliced {
            let token = part.token;
            let slice = Slice { after, until: None, inclusive: true, with_static };
            return Ok(self.slice((part, at), slice, 0, token));
        }
        let rows = part.rows.len() + usize::from(part.static_row.is_some());
        self.rows += rows;
        self.bytes += bytes + part.static_row.as_ref().map_or(0, row_bytes);
        if rows > 0 {
            self.parts.push((part, at));
        }
        Ok(true)
    }

    /// Hands out the open partitions each by itself: they share their token with one that is too wide, so that no range of
    /// tokens has them without it.
    fn wholes(&mut self) -> bool {
        let parts = std::mem::take(&mut self.parts);
        let slice = Slice { inclusive: true, with_static: true, ..Slice::default() };
        parts.into_iter().all(|placed| self.slice(placed, slice.clone(), 0, i64::MIN))
    }

    /// Hands out a slice of a partition, which is at this segment and place, and after which all is done through a token.
    fn slice(&mut self, (part, at): (Part, (u64, u64)), slice: Slice, rows: u64, through: i64) -> bool {
        let last = slice.until.is_none();
        self.covered = self.covered.max(through);
        let row =
            slice.until.as_ref().map(|row| row.iter().map(|v: &Option<Bytes>| v.as_ref().map(hex::encode)).collect());
        let end = Place {
            segment: at.0,
            partition: at.1 + u64::from(last),
            rows: if last { 0 } else { rows },
            token: Some(self.covered.to_string()),
            row,
        };
        (self.take)(Span { unit: Unit { area: Area::Slice(slice), parts: vec![part] }, end })
    }

    /// Hands out the open partitions with everything up to a token, in ranges of bounded width. Those behind it stay open.
    fn range(&mut self, through: i64) -> bool {
        let mut parts = std::mem::take(&mut self.parts).into_iter().peekable();
        (self.rows, self.bytes) = (0, 0);
        while self.covered < through {
            let tokens = Tokens { after: self.covered, through: narrow(self.covered, through) };
            let mut own = Vec::new();
            while let Some((part, _)) = parts.next_if(|(part, _)| part.token <= tokens.through) {
                own.push(part);
            }
            self.covered = tokens.through;
            let (segment, partition) = parts.peek().map_or((self.segment, self.partition), |(_, at)| *at);
            let end = Place { segment, partition, rows: 0, token: Some(self.covered.to_string()), row: None };
            if !(self.take)(Span { unit: Unit { area: Area::Tokens(tokens), parts: own }, end }) {
                return false;
            }
        }
        self.parts.extend(parts);
        true
    }
}

/// The end of a range from `after`, at most at `through`, on the grid of widths.
fn narrow(after: i64, through: i64) -> i64 {
    let next = (i128::from(after).div_euclid(SPAN_TOKENS as i128) + 1) * SPAN_TOKENS as i128;
    i64::try_from(next).map_or(through, |next| next.min(through))
}
