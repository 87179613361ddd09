//! Consolidation: the staged documents of all replicas become segments of the winners.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{StreamExt, stream};
use object_store::ObjectStore;
use serde_json::Value;
use tidemark_catalog::{
    content::SegmentRef,
    door,
    entry::{DegradedRange, Quality},
    identities::Identity,
    keys::KeyRange,
    opaque::Opaque,
    position::Position,
    slice::{self, SliceManifest, StagedFile},
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    failure::Failure,
    records::{ConsolidateJob, Consolidated, ObjectState, Part},
};
use tidemark_records::{
    consolidate::{
        Failed,
        budget::Budget,
        failure,
        watch::{Watch, Watched},
    },
    segments::{SegmentCutter, upload::stored_while},
};

use super::{
    CONSOLIDATION,
    options::PolicyOptions,
    record::{DOCUMENT_BYTES, Record, Winners},
    segment::{self, Columns, Counted},
};

/// Documents that are fetched at the same time.
const FETCHES: usize = 8;

/// Bytes that a record takes in memory besides its own, about.
const RECORD_BYTES: usize = 200;

/// Makes the part of a range.
///
/// # Errors
/// `TM-TOY-0004` where the store fails or the records of the range do not fit the memory; cancelled.
pub async fn part(job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
    let options = PolicyOptions::read(&job.options)?;
    let merged: Vec<_> = job.merged().collect();
    if merged.iter().all(|(_, held)| held.is_none()) {
        return Ok(Consolidated::Missing { reason: without(job) });
    }
    let mut reading = Reading::of(job, range);
    for (slice, held) in &merged {
        let files = held.map_or(&[][..], |held| &held.files);
        if let Some(reason) = reading.partition(slice, files).await? {
            return Ok(Consolidated::Unreadable { partition: slice.partition.clone(), reason });
        }
    }
    let state = state(job, options)?;
    let (segments, counted) = write(job, reading.winners, merged.len(), reading.watch).await?;
    let (merged, records, own) = (reading.identities, counted.alive, counted.own());
    Ok(Consolidated::Part(Box::new(Part { state, segments, merged, records, own, degraded: Vec::new() })))
}

/// Which replicas are not in the state, and why.
fn without(job: &ConsolidateJob) -> String {
    let left_out = job.left_out().into_iter().map(|left_out| left_out.to_string());
    let absent = job.absent.iter().map(|(partition, reason)| format!("{partition}: {reason}"));
    let reasons: Vec<String> = left_out.chain(absent).collect();
    if reasons.is_empty() { "no replica has it".to_owned() } else { reasons.join("; ") }
}

/// The documents of a range, as they are read.
struct Reading<'a> {
    job: &'a ConsolidateJob,
    range: &'a KeyRange,
    winners: Winners,
    /// About what the winners take.
    memory_bytes: usize,
    identities: Vec<Identity>,
    watch: Watch,
    bytes: Arc<AtomicU64>,
}

impl<'a> Reading<'a> {
    fn of(job: &'a ConsolidateJob, range: &'a KeyRange) -> Self {
        let bytes = Arc::new(AtomicU64::new(0));
        let watch = Watch::of(job, total_bytes(job), Arc::clone(&bytes));
        Self { job, range, winners: Winners::default(), memory_bytes: 0, identities: Vec::new(), watch, bytes }
    }

    /// Reads what a partition staged; gives why it cannot be read, if it cannot.
    async fn partition(&mut self, slice: &SliceManifest, files: &[StagedFile]) -> Result<Option<String>, Failure> {
        let store = &self.job.store;
        let mut records = pin!(stream::iter(files.to_vec()).map(|file| fetch(store, file)).buffered(FETCHES));
        while let Some(fetched) = records.next().await {
            if self.job.cancel.is_cancelled() {
                return Err(Failure::cancelled());
            }
            let (file, record) = match fetched? {
                Ok(read) => read,
                Err(damaged) => return Ok(Some(damaged)),
            };
            self.bytes.fetch_add(file.stored.size, Ordering::Relaxed);
            self.watch.report();
            let id = Opaque::new(file.digest.as_bytes().to_vec());
            self.identities.push(Identity { partition: slice.partition.clone(), id, own: Value::Null });
            self.add(record)?;
        }
        Ok(None)
    }

    fn add(&mut self, record: Record) -> Result<(), Failure> {
        if !self.range.holds(&record.segment_key().bytes) {
            return Ok(());
        }
        self.memory_bytes += memory_bytes(&record);
        if let Some(hidden) = self.winners.add(record) {
            self.memory_bytes -= memory_bytes(&hidden);
        }
        let most = self.job.limits.memory_bytes / 2;
        if self.memory_bytes <= most {
            return Ok(());
        }
        let words = format!("{}: the records of {} take more than {most} bytes", self.job.object, self.range.text);
        Err(Failure::new(CONSOLIDATION, words).with_hint("give consolidations more memory"))
    }
}

fn memory_bytes(record: &Record) -> usize {
    RECORD_BYTES + record.key.len() + record.value.get().len()
}

/// Bytes that are read, over all partitions.
fn total_bytes(job: &ConsolidateJob) -> u64 {
    job.merged().filter_map(|(_, held)| held).flat_map(|held| &held.files).map(|file| file.stored.size).sum()
}

/// A staged document; the inner error says why it cannot be read.
async fn fetch(
    store: &Arc<dyn ObjectStore>,
    file: StagedFile,
) -> Result<Result<(StagedFile, Record), String>, Failure> {
    if file.stored.size > DOCUMENT_BYTES {
        return Ok(Err(format!("{} is larger than a document", file.name)));
    }
    match door::read(store, &file.stored).await {
        Ok(bytes) => Ok(match Record::parse(&bytes) {
            Ok(record) => Ok((file, record)),
            Err(error) => Err(format!("{} is not a document: {error}", file.name)),
        }),
        Err(error) if error.is_of_the_store() => Err(Failure::retryable(CONSOLIDATION, joined(&error))),
        Err(error) => Ok(Err(format!("{}: {}", file.name, joined(&error)))),
    }
}

/// Stores the winners as segments.
async fn write(
    job: &ConsolidateJob,
    winners: Winners,
    inputs: usize,
    watch: Watch,
) -> Result<(Vec<SegmentRef>, Counted), Failure> {
    let limits = Budget::of(job.limits.memory_bytes, inputs).write_limits(&job.limits);
    let (builder, mut stream) = (Columns::new(&job.object), Watched::new(winners.into_iter(), watch));
    let made = stored_while(&job.store, &job.names, move |sink| {
        let (mut cutter, mut counted) = (SegmentCutter::new(builder, limits), Counted::default());
        while let Some(record) = stream.step(|winners| Ok::<_, Infallible>(winners.next()))? {
            cutter.begin(record.segment_key())?;
            cutter.append(|columns| columns.push(&record))?;
            counted.see(&record);
            if let Some(segment) = cutter.end()? {
                sink.put(segment)?;
            }
        }
        if let Some(segment) = cutter.finish()? {
            sink.put(segment)?;
        }
        Ok::<_, Failed<Infallible>>(counted)
    });
    made.await.map_err(|error| failure(&error, CONSOLIDATION))
}

/// What holds for the whole object.
fn state(job: &ConsolidateJob, options: PolicyOptions) -> Result<ObjectState, Failure> {
    let slices: Vec<_> = job.slices.iter().collect();
    let cut = slice::cut(&slices, job.limits.clock_bound_micros);
    let staged = || slices.iter().flat_map(|slice| &slice.objects).filter(|held| held.object == job.object);
    let files = || staged().flat_map(|held| &held.files);
    Ok(ObjectState {
        object_id: staged().next().map(|held| held.object_id.clone()).unwrap_or_default(),
        schema: segment::schema(),
        columns: segment::column_ids(),
        replicas: job.replicas(),
        cut: cut.ok_or_else(|| Failure::new(CONSOLIDATION, "there is no slice"))?,
        position: Position::default(),
        quality: quality(job, options),
        topology: None,
        left_out: job.left_out(),
        logical_bytes: files().map(|file| file.size).sum(),
        shipped_bytes: files().map(|file| file.stored.size).sum(),
    })
}

/// Complete with all replicas, or with one where the operator gave the word.
fn quality(job: &ConsolidateJob, options: PolicyOptions) -> Quality {
    let (merged, all) = (job.merged().count(), job.slices.len() + job.absent.len());
    if merged == all || (options.complete && merged > 0) {
        return Quality::Cut;
    }
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let (replicas, captured, reason) = (count(all), count(merged), without(job));
    Quality::Degraded { ranges: vec![DegradedRange { range: KeyRange::all(), replicas, captured, reason }] }
}
