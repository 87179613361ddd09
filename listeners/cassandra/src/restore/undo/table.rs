//! The table that is undone: what it is compared with, and how it is read and written.

use std::sync::{Arc, atomic::AtomicU32};

use bytes::Bytes;
use scylla::statement::Consistency;
use tidemark_cassandra_format::schema::TableSchema;
use tidemark_catalog::entry::{DegradedRange, Entry, Quality};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::failure::Failure;
use tidemark_records::restore::refusals::Refusals;

use crate::{
    consolidate::{EntrySchema, view_seconds},
    release::Release,
    restore::job::TtlPolicy,
    restore::select::{Selected, Tokens},
    restore::undo::{UndoObject, compare::Comparison, text},
    restore::{
        observe::Observed,
        write::{
            statements::ttl::Lifetimes,
            target::{Target, TargetSettings, parse_read_level},
        },
    },
    segment::Layout,
    segment::key,
};

/// A table of the destination, with the version's state of it.
pub(super) struct Table {
    /// Statements, session and levels.
    pub(super) target: Target,
    /// Of the version's segments.
    pub(super) layout: Arc<Layout>,
    /// Level of reads.
    pub(super) read_level: Consistency,
    /// The chosen rows and columns.
    pub(super) selected: Selected,
    /// Write time of values, µs; deletions have the one before.
    pub(super) stamp: i64,
    /// True where what the version does not have goes.
    pub(super) remove: bool,
    /// Our clock minus the destination's, ms.
    clock_offset_millis: i64,
    /// True where ranges that are not proven complete are overwritten.
    consent: bool,
    /// Ranges that are not proven complete.
    degraded: Vec<Tokens>,
}

impl Table {
    /// Looks at the version and prepares the target. `instant` is that of the undo, µs since 1970.
    ///
    /// # Errors
    /// `TM-UNDO-0001` for counters, `TM-UNDO-0003` where the selection is none of this table, `TM-REST-0103` where the entry
    /// cannot be understood, `TM-REST-0301` where the destination refuses a statement.
    pub(super) async fn open(object: &UndoObject<'_>, instant: i64) -> Result<Self, Failure> {
        let name = &object.planned.target;
        let refuse = |why: String| Failure::new("TM-REST-0103", format!("{}: {why}", object.planned.object));
        let layout = EntrySchema::layout(object.entry).map_err(|e| refuse(joined(&e)))?;
        let schema = layout.table().clone();
        if schema.has_counters() {
            let text = format!("{name} holds counters: a counter cannot be set to a value in place");
            return Err(Failure::new("TM-UNDO-0001", text).with_hint("restore it under another name"));
        }
        let options = &object.job.options;
        let selected = Selected::parse(&options.selection, &schema);
        let selected = selected.map_err(|why| Failure::new("TM-UNDO-0003", format!("{name}: {why}")))?;
        let target = Target::prepare(object.session.clone(), schema, settings(object, &refuse)?).await?;
        Ok(Self {
            target,
            layout,
            read_level: read_level(object)?,
            selected,
            stamp: instant.saturating_add(1),
            remove: options.remove,
            clock_offset_millis: object.seen.clock_offset_millis,
            consent: options.accept_degraded,
            degraded: degraded(object.entry),
        })
    }

    /// The version's schema.
    pub(super) fn schema(&self) -> &TableSchema {
        &self.target.schema
    }

    /// Refuses an instant that is not later than the drops of the version's columns: what is written then is not there for
    /// the destination.
    ///
    /// # Errors
    /// `TM-UNDO-0002`.
    pub(super) fn refuse_later_drops(&self, seen: &Observed) -> Result<(), Failure> {
        let (keyspace, table) = &self.target.name;
        let table = seen.keyspaces.iter().filter(|k| k.name == *keyspace).find_map(|k| k.table(table));
        let dropped: Vec<_> = table.into_iter().flat_map(|table| &table.dropped).collect();
        let is_later = |at: &str| at.parse::<i64>().map_or(true, |at| at >= self.stamp);
        let columns = [&self.schema().statics, &self.schema().regulars].into_iter().flatten();
        let later =
            columns.into_iter().find(|c| dropped.iter().any(|d| d.name == c.name && is_later(&d.dropped_micros)));
        let Some(column) = later else { return Ok(()) };
        let text = format!(
            "{}: column {:?} was dropped after the instant of this undo, and what is written before a drop is not there",
            self.name(),
            column.name
        );
        Err(Failure::new("TM-UNDO-0002", text).with_hint("start the undo again: it takes a later instant"))
    }

    /// `keyspace/table`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.target.name.0, self.target.name.1)
    }

    /// Seconds since 1970 by the destination's clock, by which its data expires.
    pub(super) fn now(&self) -> u32 {
        at_destination(self.target.env.now(), self.clock_offset_millis)
    }

    /// By what rows are compared that were read between two times, s since 1970.
    pub(super) fn comparison(&self, attempts: u32, before: u32, after: u32, written: bool) -> Comparison<'_> {
        Comparison {
            schema: self.schema(),
            selected: &self.selected,
            stamp: self.stamp,
            list_stamp: self.list_stamp(attempts),
            element_times: self.target.element_times,
            before,
            after,
            written,
        }
    }

    /// Write time of the elements of a list in its n-th attempt, from 0, µs; the list's deletion has the one before.
    pub(super) fn list_stamp(&self, attempt: u32) -> i64 {
        self.stamp.saturating_add(2 * i64::from(attempt))
    }

    /// True where the version is proven complete.
    pub(super) fn is_proven(&self, token: i64) -> bool {
        !self.degraded.iter().any(|range| range.contains(token))
    }

    /// True where what differs may be written.
    pub(super) fn may_write(&self, token: i64) -> bool {
        self.consent || self.is_proven(token)
    }

    /// True where what the version does not have goes.
    pub(super) fn may_remove(&self, token: i64) -> bool {
        self.remove && self.is_proven(token)
    }

    /// True where static rows are looked at.
    pub(super) fn reads_static(&self) -> bool {
        self.selected.takes_static() && self.comparison(0, 0, 0, false).columns(true).next().is_some()
    }

    /// A row, or a partition, for people: names and values of its key.
    pub(super) fn key_text(&self, key: &[Bytes], clustering: &[Option<Bytes>]) -> String {
        let partition = self.schema().partition_key.iter().zip(key);
        let mut text: Vec<String> = partition.map(|(column, value)| text::comparison(column, Some(value))).collect();
        text.extend(Some(self.clustering_text(clustering)).filter(|text| !text.is_empty()));
        text.join(" AND ")
    }

    /// A row of a partition for people.
    pub(super) fn clustering_text(&self, clustering: &[Option<Bytes>]) -> String {
        let columns = self.schema().clustering.iter().zip(clustering);
        let text: Vec<String> = columns.map(|(c, value)| text::comparison(&c.column, value.as_ref())).collect();
        text.join(" AND ")
    }
}

fn settings(object: &UndoObject<'_>, refuse: &impl Fn(String) -> Failure) -> Result<TargetSettings, Failure> {
    let [keyspace, table] = object.planned.target.parts() else {
        return Err(refuse("its name is not keyspace/table".to_owned()));
    };
    Ok(TargetSettings {
        name: (keyspace.clone(), table.clone()),
        level: object.level.clone(),
        env: object.job.env.clone(),
        // What has expired since the cut does not come back, and what is left of a life is kept.
        lifetimes: Lifetimes {
            policy: TtlPolicy::Keep,
            cut: view_seconds(&object.entry.cut),
            last_expiry: object.seen.last_expiry,
        },
        started: 0,
        write_timeout: object.seen.write_timeout,
        element_times: Release::of(&object.seen.release) >= Some(Release::V5_0),
        shared: true,
        slowest_write_seconds: Arc::new(AtomicU32::new(0)),
        sizes: object.seen.sizes,
        refusals: Arc::new(Refusals::new(object.job.options.strict, Vec::new(), false)),
    })
}

/// The level to read at: one that meets every acknowledged write where nobody says otherwise.
fn read_level(object: &UndoObject<'_>) -> Result<Consistency, Failure> {
    let Some(name) = object.job.options.read_level.as_deref() else { return Ok(Consistency::All) };
    let unknown = || Failure::new("TM-REST-0201", format!("{name:?} is not a level that an undo can read at"));
    parse_read_level(name).ok_or_else(unknown)
}

/// Seconds since 1970 by a clock that ours is ahead of by some ms.
fn at_destination(now: jiff::Timestamp, ahead_millis: i64) -> u32 {
    let seconds = now.as_millisecond().saturating_sub(ahead_millis).div_euclid(1_000);
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}

/// Ranges of the version that are not proven complete; all of it where one of them cannot be read.
fn degraded(entry: &Entry) -> Vec<Tokens> {
    let Quality::Degraded { ranges } = &entry.quality else { return Vec::new() };
    let parsed = |degraded: &DegradedRange| {
        key::tokens(&degraded.range).map_or(Tokens::ALL, |(after, through)| Tokens { after, through })
    };
    ranges.iter().map(parsed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_are_judged_by_the_destinations_clock() {
        let now = jiff::Timestamp::from_millisecond(100_500).unwrap();
        assert_eq!(at_destination(now, 0), 100);
        assert_eq!(at_destination(now, 10_600), 89);
        assert_eq!(at_destination(now, -10_600), 111);
        assert_eq!(at_destination(now, 200_000), 0);
    }
}
