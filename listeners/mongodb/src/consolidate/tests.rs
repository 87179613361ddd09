use std::{collections::BTreeMap, sync::Arc};

use tidemark_listener_core::progress;
use tidemark_records::segments::StoredSegment;
use tokio::runtime::Handle;

use super::{samples::*, *};
use crate::{
    codes::CONTRADICTION,
    event::samples::{delete, insert, set},
    raw::{Builder, kind},
    segment::Atom,
};

/// A member that scanned 1 to 3 and saw these events.
fn member(events: Vec<Vec<u8>>) -> Staged {
    let scan = vec![document(1, 10), document(2, 20), document(3, 30)];
    let events = if events.is_empty() { vec![] } else { vec![events] };
    Staged { set: "rs", from: "10.0", before: "90.0", since: None, scans: vec![(("20.0", "30.0"), scan)], events }
}

async fn made(job: &ConsolidateJob) -> Part {
    match part(job, &KeyRange::all()).await.unwrap() {
        Consolidated::Part(part) => *part,
        other => panic!("{other:?}"),
    }
}

/// The documents of a part, by `_id`.
async fn documents(job: &ConsolidateJob, part: &Part) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for reference in part.segments.clone() {
        let segment = StoredSegment::new(&job.store, reference, Handle::current());
        let read = tokio::task::spawn_blocking(move || {
            let mut records = Vec::new();
            segment::read(&segment.open().unwrap(), |record| {
                records.push(record);
                true
            })
            .unwrap();
            records
        });
        all.extend(read.await.unwrap().into_iter().map(|record| match record.atom {
            Atom::Rest(document) => (record.id.to_string(), document),
            Atom::Event(..) => panic!("an event in a baseline"),
        }));
    }
    all
}

fn expected(documents: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    documents.iter().map(|document| (Id::of(document).unwrap().to_string(), document.clone())).collect()
}

use crate::key::Id;

/// Constructed: before, while and after the scan, a transaction of two documents, and what comes at the end is not in.
#[tokio::test]
async fn a_scan_and_its_events_are_the_state_right_before_the_last_time_constructed() {
    let events = vec![
        insert("15.0", 1, &document(4, 40)),
        set("25.0", 2, &id(1), "n", 10),
        delete("40.0", 3, &id(2)),
        set("50.0", 4, &id(4), "n", 41),
        set("50.0", 5, &id(3), "m", 1),
        insert("90.0", 6, &document(5, 50)),
    ];
    let job = job(vec![("a", member(events))]).await;
    let part = made(&job).await;
    let third = Builder::default().int("_id", 3).int("n", 30).int("m", 1).finish();
    assert_eq!(documents(&job, &part).await, expected(&[document(1, 10), third, document(4, 41)]));
    assert_eq!((part.records, part.degraded.len()), (3, 0));
    let mark = part.state.position.mark("a").unwrap();
    assert_eq!(mark.text, "89.4294967295");
    assert_eq!(read_schema(&part.state.schema).unwrap(), samples::schema());
}

/// Constructed: a document that one member scanned is gone before the other began.
#[tokio::test]
async fn what_was_deleted_between_two_members_does_not_come_back_constructed() {
    let early = Staged { before: "35.0", ..member(vec![]) };
    let scan = vec![document(1, 10), document(3, 30)];
    let late = Staged { from: "60.0", scans: vec![(("70.0", "71.0"), scan.clone())], ..member(vec![]) };
    let job = job(vec![("a", early), ("b", late)]).await;
    let both = made(&job).await;
    assert_eq!(documents(&job, &both).await, expected(&scan));
    assert_eq!(both.state.position.mark("b").unwrap().text, "89.4294967295");
}

/// Constructed: the collection was called otherwise, so that events were not kept, and came back at 35.0. What is told
/// of it before says nothing: document 4 was inserted then and is gone since, and 1 changed. Neither does what another
/// member told of that time.
#[tokio::test]
async fn events_before_a_collection_came_back_under_its_name_are_not_taken_constructed() {
    let scan = vec![document(1, 12), document(2, 20)];
    let before = || vec![insert("15.0", 1, &document(4, 40)), insert("16.0", 2, &document(1, 11))];
    let back = Staged {
        since: Some("35.0"),
        scans: vec![(("40.0", "41.0"), scan.clone())],
        ..member([before(), vec![set("50.0", 3, &id(2), "n", 21)]].concat())
    };
    let early = Staged { before: "34.0", ..member(before()) };
    let job = job(vec![("a", early), ("b", back)]).await;
    let part = made(&job).await;
    assert_eq!(documents(&job, &part).await, expected(&[document(1, 12), document(2, 21)]));
}

/// Constructed: it was read before it was called otherwise.
#[tokio::test]
async fn a_scan_before_a_collection_came_back_under_its_name_proves_nothing_constructed() {
    let staged = Staged { since: Some("35.0"), ..member(vec![]) };
    let consolidated = part(&job(vec![("a", staged)]).await, &KeyRange::all()).await.unwrap();
    assert!(matches!(&consolidated, Consolidated::Unreadable { reason, .. } if reason.contains("scan-0")));
}

#[tokio::test]
async fn two_members_give_the_segments_of_one() {
    let events = || vec![set("40.0", 1, &id(1), "n", 11), delete("41.0", 2, &id(3))];
    let job = job(vec![("a", member(events())), ("b", member(events()))]).await;
    let both = made(&job).await;
    let slices = Arc::new(job.slices[1..].to_vec());
    let one = made(&ConsolidateJob { slices, ..job.clone() }).await;
    let digests = |part: &Part| part.segments.iter().map(|s| s.stored.digest).collect::<Vec<_>>();
    assert_eq!(digests(&both), digests(&one));
    assert!(both.state.quality == Quality::Cut && one.state.replicas.len() == 1);
}

#[tokio::test]
async fn members_that_contradict_each_other_at_one_position_are_an_error_by_name_constructed() {
    let job = job(vec![
        ("a", member(vec![set("40.0", 1, &id(1), "n", 11)])),
        ("b", member(vec![set("40.0", 1, &id(1), "n", 12)])),
    ])
    .await;
    let failure = part(&job, &KeyRange::all()).await.unwrap_err();
    assert_eq!((failure.code.as_ref(), failure.retryable), (CONTRADICTION, false));
    assert!(failure.message.contains("document 1") && failure.message.contains("40.0/"), "{failure}");
}

/// Constructed: in one run, where they stand beside each other, and in two.
#[tokio::test]
async fn two_documents_of_one_id_are_an_error_by_name_and_none_is_dropped_constructed() {
    let brackets = [("20.0", "30.0"), ("31.0", "32.0")];
    let one = vec![(brackets[0], vec![document(1, 10), document(2, 20), document(2, 21)])];
    let two = vec![(brackets[0], vec![document(1, 10), document(2, 20)]), (brackets[1], vec![document(2, 21)])];
    for scans in [one, two] {
        let staged = Staged { scans, ..member(vec![]) };
        let consolidated = part(&job(vec![("a", staged)]).await, &KeyRange::all()).await.unwrap();
        let Consolidated::Unreadable { partition, reason } = consolidated else { panic!("{consolidated:?}") };
        assert!(partition == "a" && reason.contains("two documents have the _id 2"), "{reason}");
    }
}

#[tokio::test]
async fn members_of_two_sets_are_an_error_by_name_constructed() {
    let other = Staged { set: "other", ..member(vec![]) };
    let failure = part(&job(vec![("a", member(vec![])), ("b", other)]).await, &KeyRange::all()).await.unwrap_err();
    assert!(failure.code == CONTRADICTION && !failure.retryable, "{failure:?}");
    assert!(failure.message.contains("\"other\"") && failure.message.contains("\"rs\""), "{failure}");
}

#[tokio::test]
async fn events_that_do_not_fit_the_scan_make_the_member_unreadable_constructed() {
    let job = job(vec![("a", member(vec![set("40.0", 1, &id(9), "n", 1)]))]).await;
    let Consolidated::Unreadable { partition, reason } = part(&job, &KeyRange::all()).await.unwrap() else { panic!() };
    assert!(partition == "a" && reason.contains("document 9") && reason.contains("not there"), "{reason}");
}

#[tokio::test]
async fn a_document_whose_fields_order_is_unsettled_is_named_and_the_others_are_proven_constructed() {
    let removed =
        Builder::default().with(kind::ARRAY, b"removedFields", &Builder::default().text("0", "n").finish()).finish();
    let events = vec![
        crate::event::samples::update("24.0", 1, &id(1), &removed),
        set("25.0", 2, &id(1), "n", 10),
        set("26.0", 3, &id(1), "m", 1),
    ];
    let seen = Builder::default().int("_id", 1).int("n", 10).int("m", 1).finish();
    let staged = Staged { scans: vec![(("20.0", "30.0"), vec![seen, document(2, 20)])], ..member(events) };
    let part = made(&job(vec![("a", staged)]).await).await;
    assert_eq!((part.records, part.degraded.len()), (2, 1));
    assert!(part.degraded[0].reason.contains("document 1: it changed while it was read"), "{:?}", part.degraded);
}

#[tokio::test]
async fn a_damaged_document_is_left_out_by_name_and_stops_nothing_else_constructed() {
    let deep = (0..250).fold(Builder::default().finish(), |inner, _| Builder::default().document("d", &inner).finish());
    let deep = Builder::default().int("_id", 2).document("d", &deep).finish();
    let staged =
        Staged { scans: vec![(("20.0", "30.0"), vec![document(1, 1), deep, document(3, 3)])], ..member(vec![]) };
    let part = made(&job(vec![("a", staged)]).await).await;
    assert_eq!((part.records, part.degraded.len()), (2, 1));
    assert!(part.degraded[0].reason.contains("document 2") && part.degraded[0].reason.contains("left out"));
}

#[tokio::test]
async fn a_scan_outside_of_the_events_that_were_read_proves_nothing() {
    let staged = Staged { before: "30.0", ..member(vec![]) };
    let consolidated = part(&job(vec![("a", staged)]).await, &KeyRange::all()).await.unwrap();
    assert!(
        matches!(&consolidated, Consolidated::Unreadable { reason, .. } if reason.contains("scan-0")),
        "{consolidated:?}"
    );
}

#[tokio::test]
async fn memory_that_does_not_hold_the_open_runs_is_an_error_that_says_so() {
    let mut job = job(vec![("a", member(vec![]))]).await;
    job.limits.memory_bytes = 10;
    let failure = part(&job, &KeyRange::all()).await.unwrap_err();
    assert!(failure.code == CONSOLIDATION && failure.message.contains("open at once"), "{failure}");
}

#[tokio::test]
async fn an_entry_of_what_was_made_is_proven() {
    let job = job(vec![("a", member(vec![set("40.0", 1, &id(1), "n", 11)]))]).await;
    let line =
        tidemark_records::consolidate::object(&Whole, segment::KIND, job.clone(), &[KeyRange::all()]).await.unwrap();
    let entry = tidemark_catalog::document::read(&job.store, line.entry.as_ref().unwrap()).await.unwrap();
    assert_eq!(crate::verify::entry(&job.store, &entry, progress::silent()).await.unwrap(), 3);
}

/// The functions of this crate behind their seam.
struct Whole;

#[async_trait::async_trait]
impl tidemark_listener_core::records::RecordSource for Whole {
    async fn consolidate(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
        part(job, range).await
    }

    async fn verify(
        &self,
        store: &Arc<dyn object_store::ObjectStore>,
        entry: &tidemark_catalog::entry::Entry,
        progress: tidemark_listener_core::progress::ProgressSink,
    ) -> Result<u64, Failure> {
        crate::verify::entry(store, entry, progress).await
    }
}
