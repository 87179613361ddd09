//! Two streams of one table side by side.

use std::{cmp::Ordering, collections::VecDeque, sync::Arc};

use bytes::Bytes;
use tidemark_cassandra_format::{
    model::{Deletion, Partition, PartitionReader, Unfiltered},
    schema::TableSchema,
};

use super::{Atom, Difference, NormalReader, Place, Relation, rows::Finder};
use crate::merge;

/// Why a comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum Error<L, R> {
    /// The left stream failed.
    #[error("read the left copy")]
    Left(#[source] merge::Error<L>),
    /// The right stream failed.
    #[error("read the right copy")]
    Right(#[source] merge::Error<R>),
}

/// All differences between the normal forms of two streams at an instant, in the order of the streams.
pub struct Differences<L: PartitionReader, R: PartitionReader> {
    schema: Arc<TableSchema>,
    at_seconds: u32,
    left: Side<L>,
    right: Side<R>,
    /// Token and key of the current partition.
    partition: Option<(i64, Bytes)>,
    /// What each side's range tombstones delete behind the current position.
    opens: (Deletion, Deletion),
    found: VecDeque<Difference>,
}

impl<L: PartitionReader, R: PartitionReader> Differences<L, R> {
    /// Compares two streams of `schema`'s table at `at_seconds` (s since 1970).
    pub fn new(schema: Arc<TableSchema>, left: L, right: R, at_seconds: u32) -> Self {
        let left = Side::new(NormalReader::new(Arc::clone(&schema), left, at_seconds));
        let right = Side::new(NormalReader::new(Arc::clone(&schema), right, at_seconds));
        let opens = (Deletion::LIVE, Deletion::LIVE);
        Self { schema, at_seconds, left, right, partition: None, opens, found: VecDeque::new() }
    }

    /// The next place where the copies differ; none at the end of both.
    ///
    /// # Errors
    /// Naming the side that could not be read; then all later calls are errors too.
    #[allow(clippy::should_implement_trait, reason = "reading may fail, and must not be mistaken for the end")]
    pub fn next(&mut self) -> Result<Option<Difference>, Error<L::Error, R::Error>> {
        while self.found.is_empty() {
            if !self.step()? && !self.enter()? {
                return Ok(None);
            }
        }
        Ok(self.found.pop_front())
    }

    /// The next difference that copies of this relation must not have; none where the relation holds.
    ///
    /// # Errors
    /// As [`Differences::next`].
    pub fn next_against(&mut self, relation: Relation) -> Result<Option<Difference>, Error<L::Error, R::Error>> {
        while let Some(difference) = self.next()? {
            if !relation.allows(&difference, self.at_seconds) {
                return Ok(Some(difference));
            }
        }
        Ok(None)
    }

    /// Goes to the next partition of either side and compares the heads; false at the end of both.
    fn enter(&mut self) -> Result<bool, Error<L::Error, R::Error>> {
        let (left, right) = (self.left.key().map_err(Error::Left)?, self.right.key().map_err(Error::Right)?);
        let Some(key) = left.iter().chain(&right).min().cloned() else { return Ok(false) };
        let left = self.left.enter(&key).map_err(Error::Left)?;
        let right = self.right.enter(&key).map_err(Error::Right)?;
        self.partition = Some(key);
        self.opens = (Deletion::LIVE, Deletion::LIVE);
        let deletion = |head: &Option<Partition>| head.as_ref().map_or(Deletion::LIVE, |head| head.deletion);
        let deletions = (deletion(&left), deletion(&right));
        let mut finder = self.finder();
        finder.deletions(Place::PartitionDeletion, deletions.0, deletions.1);
        let static_row = |head: Option<Partition>| head.and_then(|head| head.static_row);
        finder.rows(None, static_row(left).as_ref(), static_row(right).as_ref());
        let found = finder.found;
        self.note(found);
        Ok(true)
    }

    /// Compares at the next position of the current partition; false at its end.
    fn step(&mut self) -> Result<bool, Error<L::Error, R::Error>> {
        let order = match (&self.left.next, &self.right.next) {
            (Some(left), Some(right)) => self.schema.compare_positions(left.position(), right.position()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(false),
        };
        let left = if order.is_le() { self.left.take().map_err(Error::Left)? } else { None };
        let right = if order.is_ge() { self.right.take().map_err(Error::Right)? } else { None };
        self.compare(left, right);
        Ok(true)
    }

    /// Compares two rows, or two markers, of the same position, or one with nothing.
    fn compare(&mut self, left: Option<Unfiltered>, right: Option<Unfiltered>) {
        follow(&mut self.opens.0, left.as_ref());
        follow(&mut self.opens.1, right.as_ref());
        let mut finder = self.finder();
        if let Some(Unfiltered::Marker(bound)) = left.as_ref().or(right.as_ref()) {
            let place = Place::RangeDeletion { prefix: bound.prefix.clone(), after: bound.kind.side().is_gt() };
            finder.deletions(place, self.opens.0, self.opens.1);
        } else {
            let row = |of: Option<Unfiltered>| if let Some(Unfiltered::Row(row)) = of { Some(row) } else { None };
            let (left, right) = (row(left), row(right));
            let clustering = left.as_ref().or(right.as_ref()).map(|row| row.clustering.clone());
            finder.rows(clustering, left.as_ref(), right.as_ref());
        }
        let found = finder.found;
        self.note(found);
    }

    fn finder(&self) -> Finder<'_> {
        Finder { schema: &self.schema, found: Vec::new() }
    }

    fn note(&mut self, found: Vec<(Place, Option<Atom>, Option<Atom>)>) {
        let Some((token, key)) = &self.partition else { return };
        let made = found.into_iter().map(|(place, left, right)| Difference {
            token: *token,
            key: key.clone(),
            place,
            left,
            right,
        });
        self.found.extend(made);
    }
}

/// What is open behind a marker; rows change nothing.
fn follow(open: &mut Deletion, next: Option<&Unfiltered>) {
    if let Some(Unfiltered::Marker(marker)) = next {
        *open = marker.open.unwrap_or(Deletion::LIVE);
    }
}

/// One stream, and what has been read ahead of it.
struct Side<R: PartitionReader> {
    reader: NormalReader<R>,
    /// Head of the partition that comes next.
    head: Option<Partition>,
    ended: bool,
    /// Next row or marker of the current partition, if this side holds it.
    next: Option<Unfiltered>,
}

impl<R: PartitionReader> Side<R> {
    fn new(reader: NormalReader<R>) -> Self {
        Self { reader, head: None, ended: false, next: None }
    }

    /// Token and key of the partition that comes next.
    fn key(&mut self) -> Result<Option<(i64, Bytes)>, merge::Error<R::Error>> {
        if self.head.is_none() && !self.ended {
            self.head = self.reader.next_partition()?;
            self.ended = self.head.is_none();
        }
        Ok(self.head.as_ref().map(|head| (head.token, head.key.clone())))
    }

    /// Takes the head of the partition `key`, if this side holds it.
    fn enter(&mut self, key: &(i64, Bytes)) -> Result<Option<Partition>, merge::Error<R::Error>> {
        let head = self.head.take_if(|head| head.token == key.0 && head.key == key.1);
        if head.is_some() {
            self.next = self.reader.next_unfiltered()?;
        }
        Ok(head)
    }

    /// Takes the next row or marker and reads the one behind it.
    fn take(&mut self) -> Result<Option<Unfiltered>, merge::Error<R::Error>> {
        let behind = self.reader.next_unfiltered()?;
        Ok(std::mem::replace(&mut self.next, behind))
    }
}
