//! A restore of a few numbers: each segment holds the numbers from its first key to its last.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_catalog::{keys::Key, opaque::Opaque, stored::StoredRef};
use tidemark_gateway::{Env, Stored};
use tidemark_listener_core::{
    progress,
    restorer::{Action, CheckpointSaver, PlannedObject, RestoreControl},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::restore::{checkpoint::Checkpoint, pipeline::Bounds, within::Within};

#[derive(Default)]
struct Saves(Mutex<Vec<Value>>);

#[async_trait::async_trait]
impl CheckpointSaver for Saves {
    async fn save(&self, checkpoint: Value) -> Result<(), Failure> {
        self.0.lock().unwrap().push(checkpoint);
        Ok(())
    }
}

/// A number, at its place.
struct Number(u8, Mark);

impl Piece for Number {
    fn end(&self) -> Mark {
        Mark { group: self.1.group + 1, ..self.1 }
    }

    fn records(&self) -> usize {
        1
    }

    fn bytes(&self) -> usize {
        1
    }
}

fn plan() -> RestorePlan {
    let object = PlannedObject {
        object: "a".parse().unwrap(),
        target: "b".parse().unwrap(),
        entry: StoredRef::new(&"e".into(), Stored::of(b"e")),
        action: Action::Load,
        rows: 6,
        stored_bytes: 1,
    };
    let (schema, checks, destination) = (Vec::new(), Vec::new(), "d".to_owned());
    RestorePlan { objects: vec![object], schema, checks, rows: 6, stored_bytes: 1, write_level: None, destination }
}

fn control() -> (RestoreControl, Arc<Saves>) {
    let (save, cancel) = (Arc::new(Saves::default()), CancellationToken::new());
    let control =
        RestoreControl { progress: progress::silent(), cancel, checkpoint: None, save: save.clone(), instant: None };
    (control, save)
}

fn segments() -> Vec<SegmentRef> {
    let key = |byte: u8| Key { bytes: Opaque::new(vec![byte]), text: byte.to_string() };
    let segment = |first: u8, last: u8| SegmentRef {
        first: key(first),
        last: key(last),
        stored: StoredRef::new(&"s".into(), Stored::of(&[first])),
        records: 3,
    };
    vec![segment(1, 3), segment(4, 6), segment(7, 9)]
}

/// Reads numbers.
type Read = Box<dyn FnOnce(&mut dyn FnMut(Number) -> bool) -> Result<(), Failure> + Send>;

/// Reads a segment's numbers; the second segment has none that is chosen.
fn read(segment: &SegmentRef, from: Mark) -> Option<Read> {
    let numbers = segment.first.bytes.as_bytes()[0]..=segment.last.bytes.as_bytes()[0];
    let read = move |take: &mut dyn FnMut(Number) -> bool| {
        let placed = (0..).zip(numbers).skip(usize::try_from(from.group).unwrap());
        placed.map(|(group, number)| Number(number, Mark { group, ..from })).all(take);
        Ok(())
    };
    (from.segment != 1).then(|| Box::new(read) as Read)
}

const STEP: Step<'_> = Step { phase: "test", guarded: false };

#[tokio::test]
async fn all_segments_are_done_once_in_however_many_runs() {
    let ((control, _), env, done) = (control(), Env::seeded(1, Timestamp::UNIX_EPOCH), Mutex::new(Vec::new()));
    let mut checkpoint = Checkpoint::begin(&plan(), &control, &env).await.unwrap();
    for fails_at in [2, 8, 0] {
        let bounds = Bounds { pieces: 1, ..Bounds::for_nodes(1) };
        let mut pipeline = Pipeline::new(&control, &env, bounds, checkpoint, 6, false);
        let work = |piece: Number| {
            let done = &done;
            async move {
                if piece.0 == fails_at {
                    return Err(Failure::new("TM-TEST-0001", "away"));
                }
                done.lock().unwrap().push(piece.0);
                Ok(Counts { written: 1, ..Counts::default() })
            }
        };
        let ran = pipeline.segments(&segments(), STEP, read, work).await;
        assert_eq!(ran.is_err(), fails_at > 0);
        checkpoint = Checkpoint::resume(&pipeline.checkpoint.to_value(), &plan(), |_| true).unwrap();
    }
    assert_eq!(done.into_inner().unwrap(), [1, 2, 3, 7, 8, 9]);
    assert_eq!((checkpoint.mark.segment, checkpoint.counts.written), (3, 6));
}

#[tokio::test]
async fn where_nothing_was_written_the_first_refusal_is_the_failure() {
    let ((control, saves), env) = (control(), Env::seeded(1, Timestamp::UNIX_EPOCH));
    let start = || Checkpoint::start(&plan());
    let mut pipeline = Pipeline::new(&control, &env, Bounds::for_nodes(1), start(), 6, false);
    pipeline.refuse(&"b".parse().unwrap(), Failure::new("TM-TEST-0002", "no such type")).await.unwrap();
    assert_eq!((pipeline.checkpoint.object, pipeline.checkpoint.objects_refused), (1, 1));
    assert_eq!(saves.0.lock().unwrap()[0]["not_made"], json!([0]));
    assert_eq!(pipeline.report(&plan(), Vec::new()).unwrap_err().code, "TM-TEST-0002");
    let mut pipeline = Pipeline::new(&control, &env, Bounds::for_nodes(1), start(), 6, false);
    pipeline.checkpoint.counts = Counts { written: 2, verified: 2, refused: 1, ..Counts::default() };
    let report = pipeline.report(&plan(), vec!["own".to_owned()]).unwrap();
    assert_eq!((report.rows_written, report.rows_refused, report.warnings.len()), (2, 1, 2));
}

#[tokio::test]
async fn the_place_of_an_undo_is_saved_within_the_restores() {
    let ((control, saves), env) = (control(), Env::seeded(1, Timestamp::UNIX_EPOCH));
    let mut checkpoint = Checkpoint::start(&plan());
    checkpoint.undo = Some(json!(1));
    let pipeline = Pipeline::new(&control, &env, Bounds::for_nodes(1), checkpoint, 6, false);
    let within = Within::of(&pipeline);
    assert_eq!(within.place(), Some(json!(1)));
    within.save(json!(2)).await.unwrap();
    assert_eq!(within.place(), Some(json!(2)));
    let saved = saves.0.lock().unwrap()[0].clone();
    assert_eq!(Checkpoint::parse(&saved, &plan()).unwrap().undo, Some(json!(2)));
}
