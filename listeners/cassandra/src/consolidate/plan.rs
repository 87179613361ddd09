//! What a consolidation does, decided from the slices and the nodes' descriptions before anything is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};
use tidemark_cassandra_format::schema::TableSchema;
use tidemark_catalog::{
    content::ColumnId,
    entry::{self, Cut, LeftOut, Quality, ReplicaState},
    figures::Figures,
    keys::KeyRange,
    opaque::Opaque,
    position::{Mark, Position},
    slice::{SliceManifest, cut},
};
use tidemark_gateway::{Digest, causes::joined};
use tidemark_listener_core::records::ConsolidateJob;

use super::{
    columns::{self, Columns},
    error::Error,
    schema::EntrySchema,
};
use crate::{
    cluster::NodeCapture,
    coverage,
    options::Options,
    ring::{self, Difference, Placement},
    segment::{Layout, key},
    staged::{self, StagedSsTable},
};

/// What there is to do.
pub(super) enum Verdict {
    /// There is no state to commit, and why.
    Missing(String),
    /// The replicas of the plan are merged.
    Merge(Box<Plan>),
}

/// One consolidation.
pub(super) struct Plan {
    /// Keyspace and table, for people.
    pub(super) name: String,
    pub(super) object_id: String,
    pub(super) schema: Value,
    pub(super) table: Arc<TableSchema>,
    pub(super) columns: Vec<ColumnId>,
    pub(super) layout: Arc<Layout>,
    pub(super) placement: Arc<Placement>,
    pub(super) replicas: Vec<Replica>,
    /// Partitions that give nothing, with the reason.
    pub(super) others: Vec<entry::Replica>,
    /// Those of them that were captured and cannot be read.
    pub(super) left_out: Vec<LeftOut>,
    pub(super) cut: Cut,
    pub(super) quality: Quality,
    pub(super) topology: Digest,
    /// How far the merged replicas were captured.
    pub(super) position: Position,
    /// Figures known before the merge.
    pub(super) figures: Figures,
    /// Tokens `(after, through]` that are merged.
    pub(super) tokens: (i64, i64),
}

/// A replica to be merged.
pub(super) struct Replica {
    pub(super) host: String,
    pub(super) sstables: Vec<StagedSsTable>,
    /// What the entry keeps about it beside its files.
    pub(super) clock_offset_millis: i64,
}

impl Plan {
    /// Plans the job for a range; `captures` stand in the order of its slices.
    pub(super) fn make(job: &ConsolidateJob, captures: &[NodeCapture], range: &KeyRange) -> Result<Verdict, Error> {
        let tokens = key::tokens(range).ok_or_else(|| Error::Range(range.text.clone()))?;
        let options = Options::parse(&job.options).map_err(Error::Options)?;
        let [keyspace, table] = job.object.parts() else {
            return Ok(Verdict::Missing("a table's name has two parts, keyspace and table".to_owned()));
        };
        if let Some(reason) = differences(captures, keyspace, table)? {
            return Ok(Verdict::Missing(reason));
        }
        let Some(schema) = captures.iter().find_map(|capture| EntrySchema::of(capture, keyspace, table)) else {
            return Ok(Verdict::Missing(nobody(job)));
        };
        match schema.table() {
            Ok(table) => Self::of(job, captures, (tokens, &options), schema, Arc::new(table)),
            Err(error) => Ok(Verdict::Missing(joined(&error))),
        }
    }

    fn of(
        job: &ConsolidateJob,
        captures: &[NodeCapture],
        (tokens, options): ((i64, i64), &Options),
        mut schema: EntrySchema,
        table: Arc<TableSchema>,
    ) -> Result<Verdict, Error> {
        let name = format!("{}.{}", table.keyspace, table.table);
        let object_id = schema.rows().map(|rows| rows.id.clone()).unwrap_or_default();
        let Sorted { captured, others, left_out } = sort(job, captures, &object_id);
        let slices: Vec<_> = captured.iter().map(|readable| readable.slice).collect();
        let Some(cut) = cut(&slices, job.limits.clock_bound_micros) else {
            return Ok(Verdict::Missing(reasons(&others)));
        };
        let placement = place(captures, &schema)?;
        let position = Position::new(captured.iter().map(|readable| mark(readable.slice)));
        let hosts: BTreeSet<String> = captured.iter().map(|readable| readable.slice.partition.clone()).collect();
        let quality = match coverage::judge(&placement, &hosts, options) {
            // Nodes that own nothing of the table may well have been captured.
            Quality::Missing { .. } => return Ok(Verdict::Missing(reasons(&others))),
            quality => with_reasons(quality, &left_out),
        };
        let Columns { ids: columns, last } = given(job, &schema, &table);
        schema.last_column_id = Some(last);
        let layout = match Layout::new(table.clone(), &columns) {
            Ok(layout) => Arc::new(layout),
            Err(error) => return Ok(Verdict::Missing(joined(&error))),
        };
        let encode = |source| Error::Encode { table: name.clone(), source };
        let topology = serde_json::to_vec(&(&captures[0].ring, &schema.keyspace.replication)).map_err(encode)?;
        Ok(Verdict::Merge(Box::new(Self {
            object_id,
            schema: serde_json::to_value(&schema).map_err(encode)?,
            replicas: replicas(captured, captures),
            figures: staged_figures(job),
            topology: Digest::of(&topology),
            placement: Arc::new(placement),
            name,
            table,
            columns,
            layout,
            others,
            left_out,
            cut,
            position,
            quality,
            tokens,
        })))
    }
}

/// Differences between the nodes: of the cluster an error, of this table's schema the reason why it is missing. Those of the ring
/// degrade the ranges that they concern.
fn differences(captures: &[NodeCapture], keyspace: &str, table: &str) -> Result<Option<String>, Error> {
    let found: Vec<Difference> =
        ring::agree(captures).into_iter().filter(|d| d.concerns(keyspace, table) && !d.is_of_the_ring()).collect();
    let Some(first) = found.first() else { return Ok(None) };
    // What concerns every table there could be is not this table's own matter.
    let (whole, own): (Vec<_>, Vec<_>) = found.iter().partition(|difference| difference.concerns("", ""));
    match whole.first() {
        Some(ring) => Err(Error::Disagree(more(&ring.to_string(), whole.len()))),
        None => Ok(Some(format!("the schema changed while it was captured: {}", more(&first.to_string(), own.len())))),
    }
}

fn more(first: &str, count: usize) -> String {
    if count > 1 { format!("{first} (and {} more)", count - 1) } else { first.to_owned() }
}

fn nobody(job: &ConsolidateJob) -> String {
    match job.absent.first() {
        Some((partition, reason)) if job.slices.is_empty() => format!("no node was captured; {partition}: {reason}"),
        _ => "no captured node has the table".to_owned(),
    }
}

/// Ids of the columns, carried on from the state before. One that cannot be understood is no reason to lose this state, whose
/// segments are all its own.
fn given(job: &ConsolidateJob, schema: &EntrySchema, table: &TableSchema) -> Columns {
    let Ok(rows) = schema.rows() else { return Columns::default() };
    columns::carried_on(rows, table, job.previous.as_deref()).unwrap_or_else(|error| {
        tracing::warn!(source_id = %job.source, object = %job.object, error = %joined(&error),
            "the state before cannot be understood, columns are numbered anew");
        columns::fresh(rows, table)
    })
}

/// A slice whose files of the table are merged.
struct Readable<'a> {
    slice: &'a SliceManifest,
    sstables: Vec<StagedSsTable>,
}

/// Slices whose files are merged, and the partitions that give nothing.
#[derive(Default)]
struct Sorted<'a> {
    captured: Vec<Readable<'a>>,
    others: Vec<entry::Replica>,
    left_out: Vec<LeftOut>,
}

fn sort<'a>(job: &'a ConsolidateJob, captures: &[NodeCapture], object_id: &str) -> Sorted<'a> {
    let mut sorted = Sorted::default();
    for slice in job.slices.iter() {
        match usable(slice, job, object_id) {
            Ok(sstables) => sorted.captured.push(Readable { slice, sstables }),
            Err(reason) => sorted.leave_out(&slice.partition, captures, reason),
        }
    }
    for (partition, reason) in job.absent.iter() {
        let state = ReplicaState::Absent { reason: reason.clone() };
        sorted.others.push(replica(partition, state, Value::Null));
    }
    sorted.left_out.sort_by(|a, b| a.partition.cmp(&b.partition));
    sorted
}

impl Sorted<'_> {
    fn leave_out(&mut self, partition: &str, captures: &[NodeCapture], reason: String) {
        let state = ReplicaState::Unreadable { reason: reason.clone() };
        self.others.push(replica(partition, state, Value::Null));
        let node = captures.iter().flat_map(|capture| &capture.ring).find(|node| node.host_id == partition);
        let place = node.map(|node| node.address.clone()).unwrap_or_default();
        self.left_out.push(LeftOut { partition: partition.to_owned(), place, reason });
    }
}

/// The SSTables of the table that a slice holds, or why they cannot be read.
fn usable(slice: &SliceManifest, job: &ConsolidateJob, object_id: &str) -> Result<Vec<StagedSsTable>, String> {
    let object = slice.objects.iter().find(|o| o.object == job.object).ok_or("the table is not in its slice")?;
    match (&object.unreadable, job.unreadable.get(&slice.partition)) {
        (Some(reason), _) | (None, Some(reason)) => Err(reason.clone()),
        (None, None) if object.object_id != object_id => Err(format!("it shipped table id {}", object.object_id)),
        (None, None) => staged::group(&slice.partition, &object.files).map_err(|error| joined(&error)),
    }
}

fn replica(partition: &str, state: ReplicaState, own: Value) -> entry::Replica {
    entry::Replica { partition: partition.to_owned(), state, own }
}

/// Partitions that are named one by one where nothing is readable.
const NAMED: usize = 5;

fn reasons(others: &[entry::Replica]) -> String {
    let mut reasons: Vec<_> =
        others.iter().take(NAMED).map(|other| format!("{}: {}", other.partition, other.state)).collect();
    reasons.extend(others.len().checked_sub(NAMED + 1).map(|rest| format!("and {} more", rest + 1)));
    format!("no replica of the table could be read: {}", reasons.join("; "))
}

/// Degraded ranges say of each replica that could not be read, why.
fn with_reasons(quality: Quality, left_out: &[LeftOut]) -> Quality {
    let Quality::Degraded { mut ranges } = quality else { return quality };
    for range in &mut ranges {
        // Its reason names the replicas that were not captured by their host ids.
        let concerned = left_out.iter().filter(|left| range.reason.contains(&left.partition));
        let why: String =
            concerned.map(|left| format!("; {} cannot be read: {}", left.partition, left.reason)).collect();
        range.reason.push_str(&why);
    }
    Quality::Degraded { ranges }
}

/// The clock of the partition's host before its capture: whatever it took until then is in.
fn mark(slice: &SliceManifest) -> (String, Mark) {
    let micros = slice.started.as_microsecond().cast_unsigned() ^ (1 << 63);
    let bytes = Opaque::new(micros.to_be_bytes().to_vec());
    (slice.partition.clone(), Mark { bytes, text: slice.started.to_string() })
}

fn place(captures: &[NodeCapture], schema: &EntrySchema) -> Result<Placement, Error> {
    let keyspace = &schema.keyspace.name;
    let now = captures.iter().filter_map(|c| Some((&c.ring[..], &c.keyspace(keyspace)?.replication)));
    let before = captures.iter().filter_map(|c| c.before.as_ref());
    let before = before.filter_map(|view| Some((&view.ring[..], view.replication.get(keyspace)?)));
    let placed = Placement::united(&now.chain(before).collect::<Vec<_>>());
    placed.map_err(|source| Error::Placement { keyspace: schema.keyspace.name.clone(), source })
}

fn replicas(captured: Vec<Readable<'_>>, captures: &[NodeCapture]) -> Vec<Replica> {
    let offsets: BTreeMap<_, _> = captures.iter().map(|c| (c.host_id.as_str(), c.clock_offset_millis)).collect();
    let replica = |Readable { slice, sstables }| Replica {
        host: slice.partition.clone(),
        sstables,
        clock_offset_millis: offsets.get(slice.partition.as_str()).copied().unwrap_or(0),
    };
    captured.into_iter().map(replica).collect()
}

/// What was shipped of the table, whether or not it could be read.
fn staged_figures(job: &ConsolidateJob) -> Figures {
    let objects = || job.slices.iter().flat_map(|slice| &slice.objects).filter(|object| object.object == job.object);
    let files = || objects().flat_map(|object| &object.files);
    Figures {
        logical_bytes: files().fold(0, |sum, file| sum.saturating_add(file.size)),
        shipped_bytes: files().fold(0, |sum, file| sum.saturating_add(file.stored.size)),
        ..Figures::default()
    }
}

impl Plan {
    /// All replicas of the entry, sorted by partition: those that are merged, and the others.
    pub(super) fn all_replicas(&self) -> Vec<entry::Replica> {
        let own = |merged: &Replica| json!({ "clock_offset_millis": merged.clock_offset_millis.to_string() });
        let merged = self.replicas.iter().map(|merged| replica(&merged.host, ReplicaState::Captured, own(merged)));
        let mut all: Vec<_> = merged.chain(self.others.iter().cloned()).collect();
        all.sort_by(|a, b| a.partition.cmp(&b.partition));
        all
    }
}
