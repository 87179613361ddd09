//! The checkpoint moves over finished work only, in order, and the reach is saved before what it guards.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::Value;
use tidemark_listener_core::{
    driver::{CheckpointSaver, RestorePlan},
    progress,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;

#[derive(Default)]
struct Saves(Mutex<Vec<Checkpoint>>);

#[async_trait::async_trait]
impl CheckpointSaver for Saves {
    async fn save(&self, checkpoint: Value) -> Result<(), Error> {
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

fn mark(partition: u64) -> Mark {
    Mark { segment: 0, partition, rows: 0 }
}

fn piece(partition: u64) -> Piece {
    Piece {
        at: mark(partition),
        end: mark(partition + 1),
        token: 0,
        key: vec![],
        static_row: None,
        rows: vec![],
        after: None,
        last: true,
        bytes: 1,
    }
}

/// A closed channel with pieces of the partitions 0 to `count`.
fn pieces(count: u64) -> mpsc::Receiver<Result<Piece, Error>> {
    let (sender, receiver) = mpsc::channel(64);
    (0..count).for_each(|n| sender.try_send(Ok(piece(n))).unwrap());
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

#[tokio::test]
async fn the_mark_does_not_pass_work_that_is_not_done() {
    let (control, env) = (control(), env());
    let mut pipeline = pipeline(&control.0, &env);
    let work = |piece: Piece| async move {
        match piece.at.partition {
            3 => Err(Error::new("TM-TEST-0001", "refused")),
            _ => Ok(ONE),
        }
    };
    let error = pipeline.drive(pieces(6), "test", false, work).await.unwrap_err();
    assert_eq!(error.code, "TM-TEST-0001");
    assert!(pipeline.checkpoint.mark <= mark(3), "{:?}", pipeline.checkpoint.mark);
    assert_eq!(pipeline.checkpoint.counts.written, pipeline.checkpoint.mark.partition);
}

#[tokio::test]
async fn work_done_out_of_order_is_counted_once_all_before_it_is_done() {
    let (control, env) = (control(), env());
    let mut pipeline = pipeline(&control.0, &env);
    let gate = Notify::new();
    let work = |piece: Piece| {
        let gate = &gate;
        async move {
            match piece.at.partition {
                0 => gate.notified().await,
                5 => gate.notify_one(),
                _ => {}
            }
            Ok(ONE)
        }
    };
    pipeline.drive(pieces(6), "test", false, work).await.unwrap();
    assert_eq!((pipeline.checkpoint.mark, pipeline.checkpoint.counts.written), (mark(6), 6));
    // With a clock that stands still only the first acknowledged piece is saved, and nothing before piece 0.
    let saves = control.1.all();
    assert!(saves.iter().all(|c| c.counts.written == c.mark.partition), "{saves:?}");
}

#[tokio::test]
async fn the_reach_is_saved_before_an_append_may_go_out() {
    let (control, env) = (control(), env());
    let mut pipeline = pipeline(&control.0, &env);
    let saves = control.1.clone();
    let work = |piece: Piece| {
        let covered = saves.all().last().is_some_and(|c| c.reach >= piece.end);
        async move { if covered { Ok(ONE) } else { Err(Error::new("TM-TEST-0002", "not covered")) } }
    };
    pipeline.drive(pieces(10), "test", true, work).await.unwrap();
    assert_eq!(control.1.all()[0].mark, mark(0));
}

#[tokio::test]
async fn cancelling_ends_the_work_without_an_answer() {
    let (control, env) = (control(), env());
    let mut pipeline = pipeline(&control.0, &env);
    let cancel = control.0.cancel.clone();
    let work = |_: Piece| {
        cancel.cancel();
        std::future::pending()
    };
    assert!(pipeline.drive(pieces(3), "test", false, work).await.unwrap_err().cancelled);
    assert_eq!(pipeline.checkpoint.mark, mark(0));
}

#[tokio::test]
async fn work_in_flight_is_bounded() {
    let (control, env) = (control(), env());
    let mut pipeline = pipeline(&control.0, &env);
    pipeline.bounds = Bounds { pieces: 3, rows: usize::MAX, bytes: usize::MAX };
    let running = std::cell::Cell::new((0, 0));
    let work = |_: Piece| {
        let running = &running;
        let (now, most) = running.get();
        running.set((now + 1, most.max(now + 1)));
        async move {
            tokio::task::yield_now().await;
            running.set((running.get().0 - 1, running.get().1));
            Ok(ONE)
        }
    };
    pipeline.drive(pieces(40), "test", false, work).await.unwrap();
    assert_eq!((running.get().1, pipeline.checkpoint.counts.written), (3, 40));
}
