//! The checkpoint moves over finished work only, in order, and the reach is saved before what it guards.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::Value;
use tidemark_listener_core::{
    progress,
    restorer::{CheckpointSaver, RestorePlan},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;

#[derive(Default)]
struct Saves(Mutex<Vec<Checkpoint>>);

#[async_trait::async_trait]
impl CheckpointSaver for Saves {
    async fn save(&self, checkpoint: Value) -> Result<(), Failure> {
        self.0.lock().unwrap().push(Checkpoint::parse(&checkpoint, &plan()).unwrap());
        Ok(())
    }
}

impl Saves {
    fn all(&self) -> Vec<Checkpoint> {
        self.0.lock().unwrap().clone()
    }
}

fn plan() -> RestorePlan {
    RestorePlan {
        objects: vec![],
        schema: vec![],
        checks: vec![],
        rows: 0,
        stored_bytes: 0,
        write_level: Some("all".into()),
        destination: "d".into(),
    }
}

fn mark(group: u64) -> Mark {
    Mark { segment: 0, group, records: 0 }
}

/// The n-th group, with so many records and bytes.
#[derive(Clone, Copy)]
struct Few {
    n: u64,
    records: usize,
    bytes: usize,
}

impl Piece for Few {
    fn end(&self) -> Mark {
        mark(self.n + 1)
    }

    fn records(&self) -> usize {
        self.records
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A closed channel with the pieces of some groups, of one record and one byte each.
fn pieces(groups: std::ops::Range<u64>) -> mpsc::Receiver<Result<Few, Failure>> {
    let (sender, receiver) = mpsc::channel(64);
    groups.for_each(|n| sender.try_send(Ok(Few { n, records: 1, bytes: 1 })).ok().unwrap());
    receiver
}

fn control() -> (RestoreControl, Arc<Saves>) {
    let saves = Arc::new(Saves::default());
    let cancel = CancellationToken::new();
    (
        RestoreControl { progress: progress::silent(), cancel, checkpoint: None, save: saves.clone(), instant: None },
        saves,
    )
}

fn pipeline<'a>(control: &'a RestoreControl, env: &'a Env) -> Pipeline<'a> {
    Pipeline::new(control, env, Bounds::for_nodes(1), Checkpoint::start(&plan()), 0, false)
}

fn env() -> Env {
    Env::seeded(1, Timestamp::UNIX_EPOCH)
}

const ONE: Counts = Counts { written: 1, expired: 0, verified: 0, newer: 0, hidden: 0, refused: 0 };
const REFUSED: Counts = Counts { written: 0, refused: 1, ..ONE };

#[tokio::test]
async fn the_mark_does_not_pass_work_that_is_not_done() {
    let (control, env) = (control(), env());
    let mut pipeline = pipeline(&control.0, &env);
    let work = |piece: Few| async move {
        match piece.n {
            3 => Err(Failure::new("TM-TEST-0001", "refused")),
            _ => Ok(ONE),
        }
    };
    let error = pipeline.drive(pieces(0..6), "test", false, work).await.unwrap_err();
    assert_eq!(error.code, "TM-TEST-0001");
    assert!(pipeline.checkpoint.mark <= mark(3), "{:?}", pipeline.checkpoint.mark);
    assert_eq!(pipeline.checkpoint.counts.written, pipeline.checkpoint.mark.group);
}

#[tokio::test]
async fn work_done_out_of_order_is_counted_once_all_before_it_is_done() {
    let (control, env) = (control(), env());
    let mut pipeline = pipeline(&control.0, &env);
    let gate = Notify::new();
    let work = |piece: Few| {
        let gate = &gate;
        async move {
            match piece.n {
                0 => gate.notified().await,
                5 => gate.notify_one(),
                _ => {}
            }
            Ok(ONE)
        }
    };
    pipeline.drive(pieces(0..6), "test", false, work).await.unwrap();
    assert_eq!((pipeline.checkpoint.mark, pipeline.checkpoint.counts.written), (mark(6), 6));
    // With a clock that stands still only the first acknowledged piece is saved, and nothing before piece 0.
    let saves = control.1.all();
    assert!(saves.iter().all(|c| c.counts.written == c.mark.group), "{saves:?}");
}

#[tokio::test]
async fn the_reach_is_saved_before_an_append_may_go_out() {
    let (control, env) = (control(), env());
    let mut pipeline = pipeline(&control.0, &env);
    let saves = control.1.clone();
    let work = |piece: Few| {
        let covered = saves.all().last().is_some_and(|c| c.reach >= piece.end());
        async move { if covered { Ok(ONE) } else { Err(Failure::new("TM-TEST-0002", "not covered")) } }
    };
    pipeline.drive(pieces(0..10), "test", true, work).await.unwrap();
    assert_eq!(control.1.all()[0].mark, mark(0));
}

#[tokio::test]
async fn cancelling_ends_the_work_without_an_answer() {
    let (control, env) = (control(), env());
    let mut pipeline = pipeline(&control.0, &env);
    let cancel = control.0.cancel.clone();
    let work = |_: Few| {
        cancel.cancel();
        std::future::pending()
    };
    assert!(pipeline.drive(pieces(0..3), "test", false, work).await.unwrap_err().cancelled);
    assert_eq!(pipeline.checkpoint.mark, mark(0));
}

/// Most pieces that are in flight at the same time within these bounds.
async fn most_in_flight(bounds: Bounds) -> usize {
    let (control, env) = (control(), env());
    let mut pipeline = pipeline(&control.0, &env);
    pipeline.bounds = bounds;
    let running = std::cell::Cell::new((0, 0));
    let work = |_: Few| {
        let running = &running;
        let (now, most) = running.get();
        running.set((now + 1, most.max(now + 1)));
        async move {
            tokio::task::yield_now().await;
            running.set((running.get().0 - 1, running.get().1));
            Ok(ONE)
        }
    };
    pipeline.drive(pieces(0..40), "test", false, work).await.unwrap();
    assert_eq!(pipeline.checkpoint.counts.written, 40);
    running.get().1
}

#[tokio::test]
async fn work_in_flight_is_bounded() {
    const NONE: Bounds = Bounds { pieces: usize::MAX, records: usize::MAX, bytes: usize::MAX };
    assert_eq!(most_in_flight(Bounds { pieces: 3, ..NONE }).await, 3);
    assert_eq!(most_in_flight(Bounds { records: 4, ..NONE }).await, 4);
    assert_eq!(most_in_flight(Bounds { bytes: 5, ..NONE }).await, 5);
}

/// Refuses the second piece, and fails at the fifth.
async fn refuse_and_fail(refusals: Arc<Refusals>, piece: Few) -> Result<Counts, Failure> {
    let no_form = || Failure::new("TM-TEST-0003", "no form");
    match piece.n {
        1 => refusals.add(&"ks/t".parse().unwrap(), Some("1".to_owned()), no_form()).map(|()| REFUSED),
        4 => Err(Failure::new("TM-TEST-0001", "away")),
        _ => Ok(ONE),
    }
}

#[tokio::test]
async fn a_run_goes_on_after_the_saved_mark_and_knows_what_was_refused() {
    let (mut control, env) = (control(), env());
    let mut first = pipeline(&control.0, &env);
    let refusals = first.refusals.clone();
    let failed = first.drive(pieces(0..6), "test", true, |piece| refuse_and_fail(refusals.clone(), piece)).await;
    assert_eq!(failed.unwrap_err().code, "TM-TEST-0001");
    first.save().await.unwrap();
    let saved = control.1.all().pop().unwrap();
    assert!(saved.reach > mark(4) && saved.mark <= mark(4), "{saved:?}");
    control.0.checkpoint = Some(saved.to_value());
    let mut second = Pipeline::new(&control.0, &env, Bounds::for_nodes(1), saved.clone(), 0, false);
    assert!(second.is_resumed());
    second.drive(pieces(saved.mark.group..6), "test", true, |_| async { Ok(ONE) }).await.unwrap();
    let counts = second.checkpoint.counts;
    assert_eq!((second.checkpoint.mark, counts.written + counts.refused), (mark(6), 6));
    assert_eq!(second.refusals.named().len(), 1);
}

#[tokio::test]
async fn a_strict_run_ends_at_the_first_refusal() {
    let (control, env) = (control(), env());
    let mut pipeline = Pipeline::new(&control.0, &env, Bounds::for_nodes(1), Checkpoint::start(&plan()), 0, true);
    let refusals = pipeline.refusals.clone();
    let refused = pipeline.drive(pieces(0..3), "test", false, |piece| refuse_and_fail(refusals.clone(), piece)).await;
    assert_eq!(refused.unwrap_err().code, "TM-TEST-0003");
    assert!(pipeline.checkpoint.mark <= mark(1));
}
