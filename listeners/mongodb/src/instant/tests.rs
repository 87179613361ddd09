use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::{
    delta,
    event::Change,
    raw::{Builder, kind},
    time::Position,
};

type Held = Vec<Result<Record, Infallible>>;

fn time(time: u64) -> ClusterTime {
    ClusterTime::of_bits(time)
}

fn id(number: u8) -> Id {
    Id::of(&document(number, 0)).unwrap()
}

fn document(number: u8, n: i32) -> Vec<u8> {
    Builder::default().int("_id", number.into()).int("n", n).finish()
}

fn set(n: i32) -> Vec<u8> {
    Builder::default()
        .document("updatedFields", &Builder::default().int("n", n).finish())
        .with(kind::ARRAY, b"removedFields", &Builder::default().finish())
        .finish()
}

fn event(number: u8, at: u64, change: Change) -> Record {
    Record { id: id(number), atom: Atom::Event(Position { time: time(at), place: vec![0] }, change) }
}

fn rest(number: u8, n: i32) -> Record {
    Record::rest(document(number, n)).unwrap()
}

fn held(records: Vec<Record>) -> Held {
    records.into_iter().map(Ok).collect()
}

/// The documents right before a time, by `_id`; or what is wrong.
fn shown(layers: &[Vec<Record>], from: u64, before: u64) -> Result<Vec<(Id, Vec<u8>)>, String> {
    let mut layers = layers.iter().map(|records| held(records.clone()).into_iter());
    let shown =
        Shown::new(layers.next().unwrap(), layers, time(from), time(before)).map_err(|early| early.to_string())?;
    let exact = |(id, state)| match state {
        State::Exact(document) => (id, document),
        other => panic!("{other:?}"),
    };
    shown.map(|next| next.map(exact)).collect::<Result<_, _>>().map_err(|error| joined(&error))
}

/// What happens to one of 5 documents.
#[derive(Clone, Debug)]
enum Step {
    Whole(i32),
    Set(i32),
    Gone,
}

fn steps() -> impl Strategy<Value = Vec<(u8, Step)>> {
    let step = prop_oneof![any::<i32>().prop_map(Step::Whole), any::<i32>().prop_map(Step::Set), Just(Step::Gone),];
    proptest::collection::vec((0_u8..5, step), 0..30)
}

type Collection = std::collections::HashMap<Id, Vec<u8>>;

/// The states of a collection, each right before the time of its number, and what happened at these times.
fn life(steps: Vec<(u8, Step)>) -> (Vec<Collection>, Vec<Record>) {
    let (mut states, mut events) = (vec![Collection::new(); 2], Vec::new());
    for (number, step) in steps {
        let (mut now, at) = (states.last().unwrap().clone(), states.len() as u64 - 1);
        let change = match (step, now.get(&id(number))) {
            (Step::Set(n), Some(_)) => Change::Delta(set(n)),
            (Step::Gone, Some(_)) => Change::Gone,
            (Step::Whole(n) | Step::Set(n), _) => Change::Whole(document(number, n)),
            (Step::Gone, None) => continue,
        };
        match &change {
            Change::Whole(document) => drop(now.insert(id(number), document.clone())),
            Change::Delta(description) => {
                let next = delta::apply(&now[&id(number)], description).unwrap();
                now.insert(id(number), next);
            }
            Change::Gone => drop(now.remove(&id(number))),
        }
        states.push(now);
        events.push(event(number, at, change));
    }
    (states, events)
}

fn by_key(mut records: Vec<Record>) -> Vec<Record> {
    let key = |record: &Record| match &record.atom {
        Atom::Rest(_) => (record.id.sort_bytes().unwrap(), None),
        Atom::Event(at, _) => (record.id.sort_bytes().unwrap(), Some(at.clone())),
    };
    records.sort_by_key(key);
    records
}

proptest! {
    /// At rest at any time, then two slices of the log that meet anywhere: each later instant is what it was.
    #[test]
    fn every_instant_behind_the_state_at_rest_is_what_it_was(steps in steps(), from in 0_usize..30, middle in 0_u64..40) {
        let (states, events) = life(steps);
        let from = 1 + from % (states.len() - 1);
        let start = from as u64;
        let rest: Vec<Record> = states[from].values().map(|document| Record::rest(document.clone()).unwrap()).collect();
        let slice = |times: std::ops::Range<u64>| {
            let within = |record: &&Record| matches!(&record.atom, Atom::Event(at, _) if times.contains(&at.time.bits()));
            by_key(events.iter().filter(within).cloned().collect())
        };
        let middle = start + middle;
        let layers = [by_key(rest), slice(start..middle), slice(middle..u64::MAX)];
        for (before, state) in states.iter().enumerate().skip(from) {
            let found = shown(&layers, start, before as u64).unwrap();
            prop_assert_eq!(found.into_iter().collect::<Collection>(), state.clone(), "before {}", before);
        }
    }
}

#[test]
fn what_does_not_fit_together_is_an_error_by_name_and_no_missing_document() {
    let wrong = |layers: &[Vec<Record>]| shown(layers, 10, 90).unwrap_err();
    let change = || event(1, 20, Change::Delta(set(1)));
    for (layers, word) in [
        (vec![vec![rest(2, 0), rest(1, 0)]], "out of order"),
        (vec![vec![rest(1, 0), rest(1, 1)]], "twice"),
        (vec![vec![], vec![rest(1, 0)]], "at rest stands among events"),
        (vec![vec![change()]], "an event stands in the state at rest"),
        (vec![vec![rest(1, 0)], vec![event(1, 9, Change::Gone)]], "before the state at rest"),
        (vec![vec![], vec![change()]], "not there"),
        (vec![vec![rest(1, 0)], vec![change()], vec![event(1, 20, Change::Gone)]], "two different events"),
    ] {
        let words = wrong(&layers);
        assert!(words.contains(word), "{words} for {word}");
    }
    let layers = [vec![rest(1, 0)], vec![change()], vec![change()]];
    assert_eq!(shown(&layers, 10, 90).unwrap(), [(id(1), document(1, 1))], "the same event in two slices");
}

#[test]
fn a_layer_that_cannot_be_read_ends_it_with_its_error() {
    #[derive(Debug, thiserror::Error)]
    #[error("a bit fell")]
    struct Fell;
    let rest: Vec<Result<Record, Fell>> = vec![Ok(rest(1, 0)), Ok(self::rest(2, 0)), Err(Fell)];
    let mut shown = Shown::new(rest.into_iter(), [], time(10), time(20)).unwrap();
    assert!(shown.next().unwrap().is_ok());
    // Behind the second one there may be more of it.
    assert!(matches!(shown.next(), Some(Err(Error::Read(Fell)))) && shown.next().is_none());
}

#[test]
fn an_instant_before_the_state_at_rest_is_refused() {
    assert_eq!(shown(&[vec![rest(1, 0)]], 10, 10).unwrap().len(), 1);
    assert!(shown(&[vec![rest(1, 0)]], 10, 9).unwrap_err().contains("nothing is known"));
}
