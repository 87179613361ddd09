//! The fake's records: lines `key=value` with keys of one byte in staged files, merged and kept as such lines.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;
use tidemark_catalog::{
    content::{self, SegmentRef},
    door,
    entry::{DegradedRange, Entry, Quality},
    figures::Counts,
    keys::{Key, KeyRange},
    opaque::Opaque,
    position::Position,
    slice::{self, SliceObject},
    stored::StoredRef,
};
use tidemark_gateway::upload;
use tidemark_listener_core::{
    failure::Failure,
    progress::ProgressSink,
    records::{ConsolidateJob, Consolidated, ObjectState, Part, RecordSource},
};
use tokio_util::sync::CancellationToken;

use super::{World, driver::Driver};

/// Lines by key.
type Lines = BTreeMap<u8, String>;

#[async_trait]
impl RecordSource for Driver {
    async fn consolidate(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
        let name = job.object.to_string();
        self.world.consolidated.lock().unwrap().push(name.clone());
        if self.hang.here(&name, &job.cancel).await || job.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        if self.world.damaged.contains(&name) {
            return Err(Failure::new("TM-FAKE-0004", "n1: nb-1-big-Data.db: offset 7: checksum"));
        }
        let mut merged = Lines::new();
        for (slice, object) in job.merged() {
            match lines(job, object).await? {
                Ok(lines) => merged.extend(lines),
                Err(reason) => return Ok(Consolidated::Unreadable { partition: slice.partition.clone(), reason }),
            }
        }
        let left_out = job.left_out();
        if left_out.len() == job.slices.len() {
            let reasons: Vec<_> = left_out.into_iter().map(|left| left.reason).collect();
            return Ok(Consolidated::Missing { reason: reasons.join("; ") });
        }
        merged.retain(|key, _| range.holds(&Opaque::new(vec![*key])));
        let segments = self.world.segment(job, &merged).await?;
        let records = merged.len() as u64;
        Ok(Consolidated::Part(Box::new(Part {
            state: state(job),
            segments,
            merged: vec![],
            records,
            own: Counts::new(),
            degraded: Vec::new(),
        })))
    }

    fn split(&self, _: &ConsolidateJob, most: usize) -> Vec<KeyRange> {
        let most = u8::try_from(most.min(128)).unwrap_or(1).max(1);
        let end = |n: u8| (n > 0 && n < most).then(|| Opaque::new(vec![n * (u8::MAX / most)]));
        (0..most).map(|n| KeyRange { from: end(n), until: end(n + 1), text: format!("{n} of {most}") }).collect()
    }

    async fn verify(&self, store: &Arc<dyn ObjectStore>, entry: &Entry, _: ProgressSink) -> Result<u64, Failure> {
        // Whoever calls drops this when it is cancelled.
        self.hang.here("verify", &CancellationToken::new()).await;
        let wrong = |why: String| Failure::new("TM-FAKE-0009", format!("{}: {why}", entry.object));
        let records = entry.content.records().ok_or_else(|| wrong("no records".to_owned()))?;
        let ranges = content::ranges(store, &records.baseline).await.map_err(|error| wrong(error.to_string()))?;
        let mut found = 0;
        for range in ranges {
            let read = door::read(store, &range.stored).await.map_err(|error| wrong(error.to_string()))?;
            let lines = parse(&read).ok_or_else(|| wrong(format!("{} holds no lines", range.stored.key)))?;
            found += lines.len() as u64;
        }
        match found == entry.figures.records && entry.schema == Value::Null {
            true => Ok(found),
            false => Err(wrong(format!("{found} records, figures {:?}, schema {}", entry.figures, entry.schema))),
        }
    }
}

/// What a slice holds of the object; the inner error says why it cannot be read.
async fn lines(job: &ConsolidateJob, object: Option<&SliceObject>) -> Result<Result<Lines, String>, Failure> {
    let mut all = Lines::new();
    for file in object.into_iter().flat_map(|object| &object.files) {
        match door::read(&job.store, &file.stored).await {
            Ok(bytes) => match parse(&bytes) {
                Some(lines) => all.extend(lines),
                None => return Ok(Err(format!("{} holds no lines", file.name))),
            },
            Err(error) if error.is_of_the_store() => return Err(Failure::retryable("TM-FAKE-0010", error.to_string())),
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
    Ok(Ok(all))
}

fn parse(bytes: &Bytes) -> Option<Lines> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines().map(|line| Some((line.split_once('=')?.0.parse().ok()?, line.to_owned()))).collect()
}

impl World {
    /// The segment of these lines, which the store may lose.
    async fn segment(&self, job: &ConsolidateJob, lines: &Lines) -> Result<Vec<SegmentRef>, Failure> {
        let (Some(first), Some(last)) = (lines.keys().next(), lines.keys().last()) else { return Ok(vec![]) };
        let path = job.names.segment();
        let text = lines.values().map(|line| format!("{line}\n")).collect::<String>();
        let stored = upload::put_new(&job.store, &path, text).await;
        let stored = stored.map_err(|error| Failure::retryable("TM-FAKE-0010", error.to_string()))?;
        if self.losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            job.store.delete(&path).await.unwrap();
        }
        let key = |byte: u8| Key { bytes: Opaque::new(vec![byte]), text: byte.to_string() };
        let stored = StoredRef::new(&path, stored);
        Ok(vec![SegmentRef { first: key(*first), last: key(*last), stored, records: lines.len() as u64 }])
    }
}

fn state(job: &ConsolidateJob) -> ObjectState {
    let slices: Vec<_> = job.slices.iter().collect();
    ObjectState {
        object_id: "1".to_owned(),
        schema: Value::Null,
        columns: vec![],
        replicas: job.replicas(),
        cut: slice::cut(&slices, 0).unwrap(),
        position: Position::default(),
        quality: quality(job),
        topology: None,
        left_out: job.left_out(),
        logical_bytes: 0,
        shipped_bytes: 0,
    }
}

/// Complete where one of three may be absent, as the options of the suite say; else with all partitions only.
fn quality(job: &ConsolidateJob) -> Quality {
    let range = |(node, reason): &(String, String)| DegradedRange {
        range: KeyRange { from: None, until: None, text: "(0, 1]".to_owned() },
        replicas: 2,
        captured: 1,
        reason: format!("{node}: {reason}"),
    };
    let ranges: Vec<_> = job.absent.iter().map(range).collect();
    let proven = job.options["repaired"] == true && ranges.len() < 2;
    if ranges.is_empty() || proven { Quality::Cut } else { Quality::Degraded { ranges } }
}
