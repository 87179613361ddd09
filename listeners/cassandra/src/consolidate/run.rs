//! Runs a plan: opens the replicas' SSTables, collapses them on a thread of its own, and stores segments as they end.

use std::sync::{Arc, atomic::AtomicU64};

use futures::{StreamExt, TryStreamExt, stream};
use tidemark_cassandra_format::{
    model::PartitionReader,
    schema::TableSchema,
    sstable::{self, SsTableReader},
};
use tidemark_catalog::{content::SegmentRef, entry::Cut, identities::Identity};
use tidemark_listener_core::records::ConsolidateJob;
use tidemark_records::{
    consolidate::{
        budget::Budget,
        watch::{Stopped, Watch},
    },
    segments::upload::{self, SegmentSink, stored_while},
};
use tokio::runtime::Handle;

use super::{
    error::{Error, StreamError},
    identity,
    plan::{Plan, Replica},
    watch::Watched,
    within::Within,
};
use crate::{
    collapse::{Collapse, CollapseOptions, CollapseStats, Ownership, ReplicaInput},
    merge::MergeReader,
    segment::{Layout, SegmentWriter, WriteError, WriteLimits},
    staged::{self, OpenedSsTable, StagedSsTable},
};

/// SSTables whose components are fetched at the same time.
const OPEN_AT_A_TIME: usize = 8;

/// What a run gives.
pub(super) struct Outcome {
    pub(super) segments: Vec<SegmentRef>,
    pub(super) stats: CollapseStats,
    /// What was merged of all hosts.
    pub(super) merged: Vec<Identity>,
}

/// A replica with its files open, as far as the network is concerned.
struct OpenedReplica {
    host: String,
    owns: Ownership,
    files: Vec<OpenedSsTable>,
}

/// Runs the plan.
pub(super) async fn run(job: &ConsolidateJob, plan: &Plan) -> Result<Outcome, Error> {
    let budget = Budget::of(job.limits.memory_bytes, plan.replicas.iter().map(|r| r.sstables.len()).sum());
    let bytes_read = Arc::new(AtomicU64::new(0));
    let options = staged::ReadOptions {
        window_bytes: budget.window_bytes,
        bytes_read: bytes_read.clone(),
        runtime: Handle::current(),
    };
    let (mut opened, mut merged) = (Vec::new(), Vec::new());
    for replica in &plan.replicas {
        let files = open(job, plan, replica, &options).await?;
        merged.extend(identities(plan, replica, &files));
        opened.push(OpenedReplica { host: replica.host.clone(), owns: plan.placement.ownership(&replica.host), files });
    }
    let merge = Merge::of(job, plan, opened, budget, watch(job, plan, bytes_read));
    let (segments, stats) = write(job, plan, merge).await?;
    Ok(Outcome { segments, stats, merged })
}

fn watch(job: &ConsolidateJob, plan: &Plan, bytes_read: Arc<AtomicU64>) -> Watch {
    let files = plan.replicas.iter().flat_map(|replica| &replica.sstables);
    let total_bytes = files.fold(0_u64, |sum, table| sum.saturating_add(table.data.size));
    Watch::of(job, total_bytes, bytes_read)
}

async fn open(
    job: &ConsolidateJob,
    plan: &Plan,
    replica: &Replica,
    options: &staged::ReadOptions,
) -> Result<Vec<OpenedSsTable>, Error> {
    let opens: Vec<_> = replica.sstables.iter().map(|table| staged::open(&job.store, table, options)).collect();
    let opened = tokio::select! {
        opened = stream::iter(opens).buffered(OPEN_AT_A_TIME).try_collect() => opened,
        () = job.cancel.cancelled() => return Err(Error::Cancelled),
    };
    opened.map_err(|source| Error::Staged { table: plan.name.clone(), source })
}

fn identities(plan: &Plan, replica: &Replica, files: &[OpenedSsTable]) -> Vec<Identity> {
    let tables = replica.sstables.iter().zip(files);
    let identity = |(staged, opened): (&StagedSsTable, &OpenedSsTable)| {
        identity::of(&replica.host, &plan.object_id, &opened.name, &opened.components, staged.data.size)
    };
    tables.map(identity).collect()
}

/// Collapses on a thread of its own while finished segments are stored.
async fn write(job: &ConsolidateJob, plan: &Plan, merge: Merge) -> Result<(Vec<SegmentRef>, CollapseStats), Error> {
    let written = stored_while(&job.store, &job.names, move |sink| merge.run(sink)).await;
    written.map_err(|error| match error {
        upload::Error::Store(source) => Error::Upload { table: plan.name.clone(), source },
        upload::Error::Thread(reason) => Error::Thread(reason),
        upload::Error::Made(failure) => failure,
    })
}

/// The blocking part: everything it needs, owned.
struct Merge {
    name: String,
    table: Arc<TableSchema>,
    layout: Arc<Layout>,
    replicas: Vec<OpenedReplica>,
    tokens: (i64, i64),
    collapse: CollapseOptions,
    reading: sstable::ReadOptions,
    writing: WriteLimits,
    watch: Watch,
}

/// What one host would have read of the tokens.
type Merged = Within<MergeReader<SsTableReader>>;

type Replicas = Collapse<Merged>;

impl Merge {
    fn of(job: &ConsolidateJob, plan: &Plan, replicas: Vec<OpenedReplica>, budget: Budget, watch: Watch) -> Self {
        Self {
            name: plan.name.clone(),
            table: plan.table.clone(),
            layout: plan.layout.clone(),
            replicas,
            tokens: plan.tokens,
            collapse: collapse_options(&plan.cut),
            reading: sstable::ReadOptions { window_bytes: budget.window_bytes, ..sstable::ReadOptions::default() },
            writing: budget.write_limits(&job.limits),
            watch,
        }
    }

    fn run(self, finished: &SegmentSink) -> Result<CollapseStats, Error> {
        let Self { name, table, layout, replicas, tokens, collapse, reading, writing, watch } = self;
        let names: Vec<_> = replicas.iter().map(|r| (r.host.clone(), file_names(r))).collect();
        let inputs = replicas.into_iter().map(|replica| input(&name, &table, replica, tokens, reading));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let mut stream = Watched::new(Collapse::new(table, inputs, collapse), watch.clone());
        let written = write_all(&mut stream, SegmentWriter::new(layout, writing), finished);
        watch.report();
        match written {
            Ok(()) => Ok(stream.stream().stats()),
            Err(error) => Err(failure(name, error, stream.failed(), &names)),
        }
    }
}

fn collapse_options(cut: &Cut) -> CollapseOptions {
    let seconds = cut.through.as_second();
    CollapseOptions {
        now_seconds: u32::try_from(seconds.max(0)).unwrap_or(u32::MAX),
        cut_from_micros: cut.from.as_microsecond(),
    }
}

/// Instant of the live views of an entry's figures, s since 1970.
pub(crate) fn view_seconds(cut: &Cut) -> u32 {
    collapse_options(cut).now_seconds
}

fn file_names(replica: &OpenedReplica) -> Vec<String> {
    replica.files.iter().map(|file| format!("{}-Data.db", file.name)).collect()
}

fn input(
    name: &str,
    table: &Arc<TableSchema>,
    replica: OpenedReplica,
    tokens: (i64, i64),
    options: sstable::ReadOptions,
) -> Result<ReplicaInput<Merged>, Error> {
    let OpenedReplica { host, owns, files } = replica;
    let open = |file: OpenedSsTable| SsTableReader::open(file.into_files(), table.clone(), options);
    let readers = files.into_iter().map(open).collect::<Result<Vec<_>, _>>();
    let readers = readers.map_err(|source| Error::Open { table: name.to_owned(), host: host.clone(), source })?;
    let reader = Within::new(MergeReader::new(table.clone(), readers), tokens);
    Ok(ReplicaInput { host, reader, owns })
}

fn write_all(
    stream: &mut Watched<Replicas>,
    mut writer: SegmentWriter,
    finished: &SegmentSink,
) -> Result<(), WriteError<Stopped>> {
    let send = |segment| finished.put(segment).map_err(|_| WriteError::Stream(Stopped::Cancelled));
    while let Some(partition) = stream.next_partition().map_err(WriteError::Stream)? {
        if let Some(segment) = writer.write_partition(&partition, stream)? {
            send(segment)?;
        }
    }
    writer.finish()?.map_or(Ok(()), send)
}

fn failure(
    table: String,
    error: WriteError<Stopped>,
    cause: Option<StreamError>,
    files: &[(String, Vec<String>)],
) -> Error {
    match (error, cause) {
        (_, Some(source)) => Error::Read { file: blamed(&source, files), table, source },
        (WriteError::Stream(Stopped::Cancelled), None) => Error::Cancelled,
        (source, None) => Error::Write { table, source },
    }
}

/// The file that an error of the merge is about, where the error itself names it only by its place.
fn blamed(error: &StreamError, files: &[(String, Vec<String>)]) -> Option<String> {
    let crate::collapse::Error::Replica { host, source } = error else { return None };
    let (_, names) = files.iter().find(|(of, _)| of == host)?;
    // The collapse merges hosts; the merge of one host's files is the cause one level below.
    let index = match source {
        crate::merge::Error::Source { source, .. } => source.index()?,
        _ => return None,
    };
    names.get(index).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_judged_at_its_end() {
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let cut = Cut { from: at(5), through: at(9), partitions: Vec::new() };
        let options = collapse_options(&cut);
        assert_eq!((options.now_seconds, options.cut_from_micros), (9, 5_000_000));
    }
}
