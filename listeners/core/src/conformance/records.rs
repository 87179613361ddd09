//! Rules for [`RecordSource`].

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tidemark_catalog::{
    content::{self, SegmentRef},
    document,
    entry::{Entry, ObjectLine, Quality, ReplicaState},
    keys::KeyRange,
};

use super::{Broken, Rule, Suite, done, ensure};
use crate::{
    failure::Failure,
    progress,
    records::{ConsolidateJob, Consolidated, Part, RecordSource},
};

/// A source of records with one object to consolidate.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The implementation.
    fn source(&self) -> &dyn RecordSource;

    /// A job in a store of its own: slices of three partitions or more, each of which holds the whole object, and more than one
    /// key. None of the captures is absent, and the options prove the state with one partition less.
    async fn job(&self) -> ConsolidateJob;

    /// Two ranges that hold all keys, each of them some.
    async fn halves(&self) -> [KeyRange; 2];

    /// The line of parts: `tidemark_records::consolidate::object`, under the source's kind.
    async fn line(&self, job: ConsolidateJob, ranges: &[KeyRange]) -> Result<ObjectLine, Failure>;
}

/// Runs all rules.
///
/// # Errors
/// [`Broken`] naming every rule that is not kept.
pub async fn all(subject: &dyn Subject) -> Result<(), Broken> {
    let mut suite = Suite::default();
    suite.rule("a consolidation gives the same for the same", repeated(subject)).await;
    suite.rule("the order of slices does not matter", any_order(subject)).await;
    suite.rule("key ranges hold every record once", in_ranges(subject)).await;
    suite.rule("an absent partition is named, and what the others hold is there", absent(subject)).await;
    suite.rule("a damaged staged file is named or harmless, never fewer records", damaged_files(subject)).await;
    suite.rule("a staged file that is gone is named or harmless", lost_files(subject)).await;
    suite.rule("an object that a listener could not read is named", unreadable_line(subject)).await;
    suite.rule("no readable partition is no empty object", nothing_readable(subject)).await;
    suite.rule("an entry is proven by what it names", verified(subject)).await;
    suite.rule("a damaged segment proves nothing", damaged_segments(subject)).await;
    suite.rule("a lost segment proves nothing", lost_segments(subject)).await;
    suite.rule("other figures than the segments hold prove nothing", other_figures(subject)).await;
    suite.rule("a schema that is none is an error", other_schema(subject)).await;
    suite.rule("cancelled work says so", cancelled(subject)).await;
    suite.end()
}

async fn part(subject: &dyn Subject, job: &ConsolidateJob, range: &KeyRange) -> Result<Part, String> {
    match done("consolidate", subject.source().consolidate(job, range).await)? {
        Consolidated::Part(part) => Ok(*part),
        other => Err(format!("there is no part: {other:?}")),
    }
}

/// What segments hold, whatever they are called.
fn held(segments: &[SegmentRef]) -> Vec<(String, u64, u64)> {
    segments.iter().map(|s| (s.stored.digest.to_string(), s.stored.size, s.records)).collect()
}

async fn repeated(subject: &dyn Subject) -> Rule {
    let job = subject.job().await;
    let one = part(subject, &job, &KeyRange::all()).await?;
    let other = part(subject, &job, &KeyRange::all()).await?;
    ensure(one.records > 0 && !one.segments.is_empty(), || "the subject's object is empty".to_owned())?;
    ensure(held(&one.segments) == held(&other.segments), || "segments differ".to_owned())?;
    ensure((&one.state, one.records, &one.own) == (&other.state, other.records, &other.own), || {
        format!("{one:?} is not {other:?}")
    })
}

async fn any_order(subject: &dyn Subject) -> Rule {
    let job = subject.job().await;
    let one = part(subject, &job, &KeyRange::all()).await?;
    let turned = Arc::new(job.slices.iter().rev().cloned().collect());
    let other = part(subject, &ConsolidateJob { slices: turned, ..job }, &KeyRange::all()).await?;
    ensure(held(&one.segments) == held(&other.segments), || "segments differ".to_owned())
}

async fn in_ranges(subject: &dyn Subject) -> Rule {
    let (job, halves) = (subject.job().await, subject.halves().await);
    let whole = part(subject, &job, &KeyRange::all()).await?;
    let (mut records, mut stored) = (0, 0);
    for half in &halves {
        let part = part(subject, &job, half).await?;
        ensure(part.state == whole.state, || format!("{} says something else of the object", half.text))?;
        ensure(part.records > 0, || format!("{} holds no record", half.text))?;
        for segment in &part.segments {
            let inside = half.holds(&segment.first.bytes) && half.holds(&segment.last.bytes);
            ensure(inside, || format!("{} to {} is not in {}", segment.first.text, segment.last.text, half.text))?;
        }
        records += part.records;
        stored += part.segments.iter().map(|segment| segment.records).sum::<u64>();
    }
    let all = whole.segments.iter().map(|segment| segment.records).sum::<u64>();
    ensure((records, stored) == (whole.records, all), || format!("{records} of {}, {stored} of {all}", whole.records))
}

async fn absent(subject: &dyn Subject) -> Rule {
    let job = subject.job().await;
    let whole = part(subject, &job, &KeyRange::all()).await?;
    let (first, rest) = job.slices.split_first().ok_or("there is no slice")?;
    let name = first.partition.clone();
    let absent = Arc::new(vec![(name.clone(), "it was away".to_owned())]);
    let job = ConsolidateJob { slices: Arc::new(rest.to_vec()), absent, ..job.clone() };
    let Part { state, records, .. } = part(subject, &job, &KeyRange::all()).await?;
    ensure(records == whole.records, || format!("{records} records, {} with it", whole.records))?;
    let named = state.replicas.iter().find(|replica| replica.partition == name);
    ensure(
        matches!(named.map(|r| &r.state), Some(ReplicaState::Absent { reason }) if reason == "it was away"),
        || format!("the replicas are {:?}", state.replicas),
    )?;
    ensure(matches!(state.quality, Quality::Cut | Quality::Exact), || format!("{:?}", state.quality))
}

/// Every staged file of the first slice, harmed one after another.
async fn harmed(
    subject: &dyn Subject,
    may_pass: bool,
    harm: impl AsyncFn(&Arc<dyn ObjectStore>, &Path) -> Rule,
) -> Rule {
    let whole = part(subject, &subject.job().await, &KeyRange::all()).await?;
    let count = subject.job().await.slices.first().map_or(0, |slice| slice.objects.iter().map(|o| o.files.len()).sum());
    ensure(count > 0, || "the subject stages no file".to_owned())?;
    for index in 0..count {
        let job = subject.job().await;
        let slice = job.slices.first().ok_or("there is no slice")?;
        let file = slice.objects.iter().flat_map(|object| &object.files).nth(index).ok_or("a file is missing")?;
        harm(&job.store, &file.stored.path()).await?;
        match subject.source().consolidate(&job, &KeyRange::all()).await {
            Ok(Consolidated::Part(part)) => ensure(held(&part.segments) == held(&whole.segments), || {
                format!(
                    "with {} harmed the state is another: {} records, not {}",
                    file.name, part.records, whole.records
                )
            })?,
            Ok(Consolidated::Unreadable { partition, reason }) => {
                ensure(partition == slice.partition && !reason.is_empty(), || {
                    format!("{} of {} is harmed, blamed is {partition}: {reason}", file.name, slice.partition)
                })?;
            }
            Ok(Consolidated::Missing { reason }) => {
                return Err(format!("{} of one partition is harmed, and the object is missing: {reason}", file.name));
            }
            // What is gone may be there again; what is another will stay so.
            Err(failure) => ensure(failure.retryable && may_pass, || format!("{} is harmed: {failure}", file.name))?,
        }
    }
    Ok(())
}

pub(super) async fn flip(store: &Arc<dyn ObjectStore>, path: &Path) -> Rule {
    let read = done("read", store.get(path).await)?;
    let mut bytes = done("read", read.bytes().await)?.to_vec();
    let middle = bytes.len() / 2;
    match bytes.get_mut(middle) {
        Some(byte) => *byte ^= 4,
        None => bytes.push(4),
    }
    done("write", store.put(path, bytes.into()).await).map(drop)
}

async fn damaged_files(subject: &dyn Subject) -> Rule {
    harmed(subject, false, async |store: &Arc<dyn ObjectStore>, path: &Path| flip(store, path).await).await
}

async fn lost_files(subject: &dyn Subject) -> Rule {
    harmed(subject, true, async |store: &Arc<dyn ObjectStore>, path: &Path| done("delete", store.delete(path).await))
        .await
}

/// A slice says that its partition could not be read: others are merged, and the partition is left out by name.
async fn unreadable_line(subject: &dyn Subject) -> Rule {
    let mut job = subject.job().await;
    let whole = part(subject, &job, &KeyRange::all()).await?;
    let mut slices = job.slices.to_vec();
    let first = slices.first_mut().ok_or("there is no slice")?;
    for object in first.objects.iter_mut().filter(|object| object.object == job.object) {
        object.unreadable = Some("a bit fell".to_owned());
        object.files.clear();
    }
    let name = first.partition.clone();
    job.slices = Arc::new(slices);
    let Part { state, records, .. } = part(subject, &job, &KeyRange::all()).await?;
    ensure(records == whole.records, || format!("{records} records, {} with it", whole.records))?;
    let named = state.left_out.iter().any(|left| left.partition == name && left.reason.contains("a bit fell"));
    ensure(named, || format!("left out are {:?}", state.left_out))?;
    let replica = state.replicas.iter().find(|replica| replica.partition == name);
    ensure(matches!(replica.map(|r| &r.state), Some(ReplicaState::Unreadable { .. })), || format!("{replica:?}"))
}

async fn nothing_readable(subject: &dyn Subject) -> Rule {
    let mut job = subject.job().await;
    job.unreadable = job.slices.iter().map(|slice| (slice.partition.clone(), "a bit fell".to_owned())).collect();
    match done("consolidate", subject.source().consolidate(&job, &KeyRange::all()).await)? {
        Consolidated::Missing { reason } => ensure(reason.contains("a bit fell"), || format!("the reason is {reason}")),
        other => Err(format!("it is {other:?}")),
    }
}

/// The entry of the whole object, made in halves, and its store.
async fn entry(subject: &dyn Subject) -> Result<(Arc<dyn ObjectStore>, Entry), String> {
    let job = subject.job().await;
    let store = Arc::clone(&job.store);
    let line = done("consolidate", subject.line(job, &subject.halves().await).await)?;
    let reference = line.entry.ok_or("the line has no entry")?;
    let entry = done("read the entry", document::read(&store, &reference).await)?;
    Ok((store, entry))
}

async fn verified(subject: &dyn Subject) -> Rule {
    let (store, entry) = entry(subject).await?;
    let found = done("verify", subject.source().verify(&store, &entry, progress::silent()).await)?;
    let stored: u64 = segments(&store, &entry).await?.iter().map(|segment| segment.records).sum();
    ensure(found == stored, || format!("{found} records were read, stored are {stored}"))
}

async fn segments(store: &Arc<dyn ObjectStore>, entry: &Entry) -> Result<Vec<SegmentRef>, String> {
    let records = entry.content.records().ok_or("the entry holds no records")?;
    done("read the range pages", content::ranges(store, &records.baseline).await)
}

async fn unproven(subject: &dyn Subject, store: &Arc<dyn ObjectStore>, entry: &Entry, harm: &str) -> Rule {
    match subject.source().verify(store, entry, progress::silent()).await {
        Ok(records) => Err(format!("{records} records are proven with {harm}")),
        Err(failure) => ensure(!failure.message.is_empty() && !failure.cancelled, || format!("{failure:?}")),
    }
}

async fn damaged_segments(subject: &dyn Subject) -> Rule {
    for index in 0..count(subject).await? {
        let (store, entry) = entry(subject).await?;
        flip(&store, &segments(&store, &entry).await?[index].stored.path()).await?;
        unproven(subject, &store, &entry, "a bit of a segment turned").await?;
    }
    Ok(())
}

async fn lost_segments(subject: &dyn Subject) -> Rule {
    for index in 0..count(subject).await? {
        let (store, entry) = entry(subject).await?;
        done("delete", store.delete(&segments(&store, &entry).await?[index].stored.path()).await)?;
        unproven(subject, &store, &entry, "a segment deleted").await?;
    }
    Ok(())
}

/// Segments of the subject's entry: more than one, because it is made in halves.
async fn count(subject: &dyn Subject) -> Result<usize, String> {
    let (store, entry) = entry(subject).await?;
    let count = segments(&store, &entry).await?.len();
    ensure(count > 1, || format!("there are {count} segments"))?;
    Ok(count)
}

async fn other_figures(subject: &dyn Subject) -> Rule {
    let (store, mut entry) = entry(subject).await?;
    entry.figures.records += 1;
    unproven(subject, &store, &entry, "one record more in its figures").await
}

async fn other_schema(subject: &dyn Subject) -> Rule {
    let (store, mut entry) = entry(subject).await?;
    entry.schema = serde_json::json!(["no", "schema"]);
    unproven(subject, &store, &entry, "a schema that is none").await
}

async fn cancelled(subject: &dyn Subject) -> Rule {
    let job = subject.job().await;
    job.cancel.cancel();
    match subject.source().consolidate(&job, &KeyRange::all()).await {
        Err(failure) => ensure(failure.cancelled, || format!("{failure:?}")),
        Ok(consolidated) => Err(format!("it gives {consolidated:?}")),
    }
}

/// Objects of a store, for people.
pub async fn names(store: &Arc<dyn ObjectStore>) -> Result<Vec<String>, object_store::Error> {
    store.list(None).map_ok(|object| object.location.to_string()).try_collect().await
}
