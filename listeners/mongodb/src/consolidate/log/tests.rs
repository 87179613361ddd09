use std::sync::Arc;

use tidemark_records::segments::StoredSegment;
use tokio::runtime::Handle;

use super::{super::samples::*, *};
use crate::{
    codes::CONTRADICTION,
    event::{
        Change,
        samples::{delete, insert, set},
    },
    raw::Builder,
    segment,
};

fn time(text: &str) -> ClusterTime {
    text.parse().unwrap()
}

/// A member that scanned 1 to 3 from 20.0 to 30.0 and saw these events, from 10.0 to 90.0.
fn member(events: Vec<Vec<u8>>) -> Staged {
    let scan = vec![document(1, 10), document(2, 20), document(3, 30)];
    Staged {
        set: "rs",
        from: "10.0",
        before: "90.0",
        since: None,
        scans: vec![(("20.0", "30.0"), scan)],
        events: vec![events],
    }
}

/// A transaction of two documents at 40.0, then changes of one of them; what comes first and last is outside of 30.0 to
/// 60.0.
fn events() -> Vec<Vec<u8>> {
    vec![
        set("29.9", 1, &id(1), "n", 11),
        set("40.0", 3, &id(2), "n", 21),
        insert("40.0", 2, &document(4, 40)),
        set("40.1", 4, &id(2), "n", 22),
        delete("59.9", 5, &id(2)),
        set("60.0", 6, &id(1), "n", 12),
    ]
}

async fn logged(job: &ConsolidateJob, from: &str, until: &str) -> Result<Logged, Failure> {
    log(job, &KeyRange::all(), time(from)..time(until)).await
}

async fn made(job: &ConsolidateJob, from: &str, until: &str) -> Log {
    match logged(job, from, until).await.unwrap() {
        Logged::Log(log) => log,
        other @ Logged::Other(_) => panic!("{other:?}"),
    }
}

/// The events of a slice: `_id`, time, and what happened.
async fn held(job: &ConsolidateJob, log: &Log) -> Vec<(String, String, &'static str)> {
    let mut all = Vec::new();
    for reference in log.segments.clone() {
        let segment = StoredSegment::new(&job.store, reference, Handle::current());
        let read = tokio::task::spawn_blocking(move || {
            let records = segment::records(segment.open().unwrap()).unwrap().map(Result::unwrap);
            records.collect::<Vec<_>>()
        });
        all.extend(read.await.unwrap());
    }
    let line = |record: Record| match record.atom {
        Atom::Rest(_) => panic!("a document at rest in a slice of the log"),
        Atom::Event(at, Change::Whole(_)) => (record.id.to_string(), at.time.to_string(), "whole"),
        Atom::Event(at, Change::Delta(_)) => (record.id.to_string(), at.time.to_string(), "delta"),
        Atom::Event(at, Change::Gone) => (record.id.to_string(), at.time.to_string(), "gone"),
    };
    all.into_iter().map(line).collect()
}

#[tokio::test]
async fn a_slice_holds_the_events_of_its_window_by_key_then_position_constructed() {
    let job = job(vec![("a", member(events()))]).await;
    let log = made(&job, "30.0", "60.0").await;
    let line = |id: &str, at: &str, what| (id.to_owned(), at.to_owned(), what);
    let expected =
        [line("2", "40.0", "delta"), line("2", "40.1", "delta"), line("2", "59.9", "gone"), line("4", "40.0", "whole")];
    assert_eq!((held(&job, &log).await, log.events), (expected.to_vec(), 4));
    let all = made(&job, "10.0", "90.0").await;
    assert_eq!(all.events, 6);
    assert_eq!(made(&job, "61.0", "90.0").await.segments, [], "a window in which nothing happened");
}

#[tokio::test]
async fn two_members_give_the_slice_of_one_and_a_difference_is_an_error_by_name_constructed() {
    let job = job(vec![("a", member(events())), ("b", member(events()))]).await;
    let both = made(&job, "30.0", "60.0").await;
    let one = made(&ConsolidateJob { slices: Arc::new(job.slices[1..].to_vec()), ..job.clone() }, "30.0", "60.0").await;
    let digests = |log: &Log| log.segments.iter().map(|segment| segment.stored.digest).collect::<Vec<_>>();
    assert_eq!((digests(&both), both.events), (digests(&one), one.events));
    let mut other = events();
    other[1] = set("40.0", 3, &id(2), "n", 23);
    let job = super::super::samples::job(vec![("a", member(events())), ("b", member(other))]).await;
    let failure = logged(&job, "30.0", "60.0").await.unwrap_err();
    assert!(failure.code == CONTRADICTION && failure.message.contains("document 2"), "{failure}");
}

#[tokio::test]
async fn a_window_that_is_not_proven_is_refused_constructed() {
    let job = job(vec![("a", member(events()))]).await;
    for (from, until) in [("9.9", "60.0"), ("30.0", "90.1"), ("60.0", "30.0")] {
        let failure = logged(&job, from, until).await.unwrap_err();
        assert!(failure.message.contains("proven from 10.0 to 90.0") && !failure.retryable, "{failure}");
    }
    let since =
        Staged { since: Some("35.0"), scans: vec![(("36.0", "37.0"), vec![document(1, 10)])], ..member(events()) };
    let job = super::super::samples::job(vec![("a", since)]).await;
    let failure = logged(&job, "30.0", "60.0").await.unwrap_err();
    assert!(failure.message.contains("proven from 35.0"), "{failure}");
}

#[tokio::test]
async fn an_event_that_no_segment_holds_ends_the_slice_by_its_name_constructed() {
    let deep = (0..250).fold(Builder::default().finish(), |inner, _| Builder::default().document("d", &inner).finish());
    let deep = Builder::default().int("_id", 7).document("d", &deep).finish();
    let job = job(vec![("a", member(vec![insert("40.0", 1, &deep), set("41.0", 2, &id(1), "n", 2)]))]).await;
    let Logged::Other(Consolidated::Unreadable { partition, reason }) = logged(&job, "30.0", "60.0").await.unwrap()
    else {
        panic!()
    };
    assert!(partition == "a" && reason.contains("document 7"), "{reason}");
    assert!(matches!(logged(&job, "41.0", "60.0").await.unwrap(), Logged::Log(Log { events: 1, .. })));
}
