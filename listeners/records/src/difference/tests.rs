//! An undo over a few numbers: spans are done side by side and saved in order.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidemark_gateway::Env;
use tidemark_listener_core::{
    failure::Failure,
    progress::{self, ProgressSink},
    restorer::{CheckpointSaver, DIFFERING_KEPT},
};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    attempts::{Attempts, another},
    course::Course,
    keep::Keeper,
    standing::{Finding, Standing},
    state::{Outcome, Place, State},
};

/// The number of the next span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Next(u64);

impl Place for Next {
    fn fault(&self) -> Option<String> {
        (self.0 > 1_000).then(|| format!("{} is no span", self.0))
    }
}

/// What was saved, and how often that was said to be no progress.
#[derive(Default)]
struct Saves(Mutex<Vec<Value>>, AtomicUsize);

#[async_trait::async_trait]
impl CheckpointSaver for Saves {
    async fn save(&self, place: Value) -> Result<(), Failure> {
        self.0.lock().unwrap().push(place);
        Ok(())
    }

    async fn note(&self, place: Value) -> Result<(), Failure> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.save(place).await
    }
}

impl Saves {
    fn states(&self) -> Vec<State<Next>> {
        self.0.lock().unwrap().iter().map(|saved| State::parse(saved.clone(), 5).unwrap()).collect()
    }
}

/// What came of one span: a record that was changed.
fn one() -> Outcome {
    let mut outcome = Outcome::default();
    outcome.totals.count(Finding { standing: Standing::Changed, is_there: true, ..Finding::default() });
    outcome
}

fn spans(numbers: std::ops::Range<u64>) -> mpsc::Receiver<Result<u64, Failure>> {
    let (sender, receiver) = mpsc::channel(64);
    numbers.for_each(|n| sender.try_send(Ok(n)).unwrap());
    receiver
}

/// Handles that outlive a course.
struct Desk(ProgressSink, CancellationToken, Env);

impl Desk {
    fn new() -> Self {
        Self(progress::silent(), CancellationToken::new(), Env::seeded(1, Timestamp::UNIX_EPOCH))
    }

    fn course(&self) -> Course<'_> {
        Course { in_work: 4, phase: "test".to_owned(), rows: 0, progress: &self.0, cancel: &self.1, env: &self.2 }
    }
}

#[tokio::test]
async fn spans_done_out_of_order_move_the_place_in_order() {
    let (desk, saves, gate) = (Desk::new(), Saves::default(), Notify::new());
    let (keeper, requests) = Keeper::saving(State::<Next>::start(5));
    let work = |n: u64| {
        let gate = &gate;
        async move {
            match n {
                0 => gate.notified().await,
                3 => gate.notify_one(),
                _ => {}
            }
            Ok((Next(n + 1), one()))
        }
    };
    keeper.serving(&saves, requests, desk.course().drive(&keeper, spans(0..6), work)).await.unwrap();
    let states = saves.states();
    assert!(
        !states.is_empty() && states.iter().all(|state| state.outcome.totals.changed == state.place.0),
        "{states:?}"
    );
    let state = keeper.into_state();
    assert_eq!((state.place, state.outcome.totals.changed), (Next(6), 6));
}

#[tokio::test]
async fn an_undo_goes_on_from_the_place_before_what_failed() {
    let (desk, saves) = (Desk::new(), Saves::default());
    let (keeper, requests) = Keeper::saving(State::<Next>::start(5));
    let work = |n: u64| async move {
        match n {
            3 => Err(Failure::new("TM-TEST-0001", "away")),
            _ => Ok((Next(n + 1), one())),
        }
    };
    let failed = keeper.serving(&saves, requests, desk.course().drive(&keeper, spans(0..6), work)).await;
    assert_eq!(failed.unwrap_err().code, "TM-TEST-0001");
    let saved = saves.states().pop().unwrap();
    assert!(saved.place.0 <= 3 && saved.outcome.totals.changed == saved.place.0);
    let from = saved.place.0;
    let (keeper, requests) = Keeper::saving(saved);
    let rest = desk.course();
    let work = |n: u64| async move { Ok((Next(n + 1), one())) };
    keeper.serving(&saves, requests, rest.drive(&keeper, spans(from..6), work)).await.unwrap();
    assert_eq!(keeper.into_state().outcome.totals.changed, 6);
}

#[tokio::test]
async fn cancelling_ends_an_undo_without_an_answer() {
    let (desk, keeper) = (Desk::new(), Keeper::counting(State::<Next>::start(5)));
    let work = |_: u64| {
        desk.1.cancel();
        std::future::pending::<Result<(Next, Outcome), Failure>>()
    };
    assert!(desk.course().drive(&keeper, spans(0..3), work).await.unwrap_err().cancelled);
    assert_eq!(keeper.into_state().place, Next(0));
}

#[tokio::test]
async fn what_is_tried_again_is_sent_under_another_number_that_was_saved() {
    let (attempts, saves) = (Attempts::default(), Arc::new(Saves::default()));
    let (keeper, requests) = Keeper::saving(State::<Next>::start(5));
    let work = async {
        let first = attempts.current(&keeper).await?;
        assert_eq!(saves.states().last().map(|state| state.attempts), Some(first + 1));
        assert_eq!(attempts.current(&keeper).await?, first);
        attempts.renew().await;
        let second = attempts.current(&keeper).await?;
        let third = another(&keeper).await?;
        assert!(first < second && second < third);
        Ok(())
    };
    keeper.serving(&*saves, requests, work).await.unwrap();
    assert_eq!(keeper.into_state().attempts, 3);
    assert_eq!((saves.states().len(), saves.1.load(Ordering::Relaxed)), (3, 3), "an attempt is no progress");
}

#[test]
fn a_state_comes_back_as_it_was_saved_and_for_its_own_instant_only() {
    let mut state = State::<Next>::start(5);
    state.outcome.differs("pk = 1".into(), "gone".into());
    let saved = state.to_value();
    assert_eq!(State::parse(saved.clone(), 5).unwrap(), state);
    let refused = |saved: Value, instant| State::<Next>::parse(saved, instant).unwrap_err().code;
    assert_eq!(refused(saved.clone(), 6), "TM-REST-0501");
    assert_eq!(refused(Value::Null, 5), "TM-REST-0501");
    let mut damaged = saved;
    damaged["place"] = json!(1_001);
    assert_eq!(refused(damaged, 5), "TM-REST-0501");
}

/// As it was saved before the state was shared by all sources.
#[test]
fn an_undo_goes_on_from_what_earlier_builds_saved() {
    let totals = json!({"read": 1, "absent": 2, "changed": 3, "extra": 4, "untouched": 5, "kept": 6, "written": 7,
        "removed": 8, "cells_removed": 9, "newer": 10, "withheld": 11, "newest": 12});
    let outcome = json!({"totals": totals, "differing_rows": 1, "differing": [{"key": "k", "why": "w"}],
        "unreadable_places": 1, "unreadable": ["u"]});
    let saved = json!({"format": 1, "instant": 5, "place": 4, "attempts": 2, "outcome": outcome});
    let state = State::<Next>::parse(saved.clone(), 5).unwrap();
    assert_eq!((state.place, state.attempts, state.outcome.totals.cells_removed), (Next(4), 2, 9));
    assert_eq!(state.to_value(), saved);
}

#[test]
fn what_stays_although_it_was_to_go_is_a_warning() {
    let mut state = State::<Next>::start(5);
    state.outcome.totals.kept = 2;
    let report = |remove| state.report(&"ks/t".parse().unwrap(), remove);
    assert_eq!((report(false).rows_kept, report(false).warnings.len()), (2, 0));
    assert!(report(true).warnings[0].contains("2 rows hold what the version does not have"));
}

#[test]
fn named_places_are_bounded_and_counts_are_not() {
    let mut outcome = Outcome::default();
    for n in 0..1_000 {
        outcome.differs(n.to_string(), String::new());
        outcome.cannot_read(n.to_string());
    }
    let mut sum = outcome.clone();
    sum.add(outcome);
    assert_eq!((sum.differing_rows, sum.differing.len()), (2_000, DIFFERING_KEPT));
    assert_eq!((sum.unreadable_places, sum.unreadable.len()), (2_000, 20));
}
