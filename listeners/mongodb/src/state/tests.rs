use proptest::prelude::*;

use super::*;
use crate::raw::{self, Builder, kind};

fn at(time: u64, place: u8) -> Position {
    Position { time: ClusterTime::of_bits(time), place: vec![place] }
}

fn time(time: u64) -> ClusterTime {
    ClusterTime::of_bits(time)
}

/// A delta that sets or removes a field.
fn delta(field: &str, value: Option<i32>) -> Vec<u8> {
    let (set, removed) = match value {
        Some(value) => (Builder::default().int(field, value), Builder::default()),
        None => (Builder::default(), Builder::default().text("0", field)),
    };
    Builder::default()
        .document("updatedFields", &set.finish())
        .with(kind::ARRAY, b"removedFields", &removed.finish())
        .finish()
}

fn document(fields: &[(&str, i32)]) -> Vec<u8> {
    fields.iter().fold(Builder::default().int("_id", 1), |builder, (name, value)| builder.int(name, *value)).finish()
}

/// What happens to a document.
#[derive(Clone, Debug)]
enum Step {
    Whole(i32),
    Gone,
    Set(u8, i32),
    Unset(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => any::<i32>().prop_map(Step::Whole),
        1 => Just(Step::Gone),
        4 => (0_u8..4, 0_i32..3).prop_map(|(field, value)| Step::Set(field, value)),
        2 => (0_u8..4).prop_map(Step::Unset),
    ];
    proptest::collection::vec(step, 0..14)
}

/// A document's life: its state after each event, and the events. Event `n` is at time `10 (n + 1)`.
struct Life {
    states: Vec<Option<Vec<u8>>>,
    events: Vec<(Position, Change)>,
}

fn life(first: Option<Vec<u8>>, steps: &[Step]) -> Life {
    let mut life = Life { states: vec![first], events: Vec::new() };
    for step in steps {
        let now = life.states.last().unwrap().clone();
        let name = |field: &u8| ["f", "g", "h", "i"][usize::from(*field)];
        let change = match (step, &now) {
            (Step::Whole(value), _) => Change::Whole(document(&[("f", *value), ("x", 1)])),
            (Step::Gone, Some(_)) => Change::Gone,
            (Step::Set(field, value), Some(_)) => Change::Delta(delta(name(field), Some(*value))),
            (Step::Unset(field), Some(document)) if raw::find(document, name(field)).unwrap().is_some() => {
                Change::Delta(delta(name(field), None))
            }
            _ => continue,
        };
        let next = match &change {
            Change::Whole(document) => Some(document.clone()),
            Change::Gone => None,
            Change::Delta(description) => Some(delta::apply(&now.unwrap(), description).unwrap()),
        };
        life.events.push((at(10 * (life.events.len() as u64 + 1), 0), change));
        life.states.push(next);
    }
    life
}

/// What shows, without whether it is settled; fields in the order of their names where it is not.
fn shown(state: State) -> (Option<Vec<u8>>, bool) {
    match state {
        State::Absent => (None, true),
        State::Exact(document) => (Some(document), true),
        State::Unsettled(document) => (Some(sorted(&document)), false),
    }
}

fn sorted(document: &[u8]) -> Vec<u8> {
    let mut elements: Vec<_> = raw::elements(document).map(Result::unwrap).collect();
    elements.sort_by_key(|element| element.name);
    let mut builder = Builder::default();
    elements.into_iter().for_each(|element| builder.push(element));
    builder.finish()
}

fn known(scan: Option<Scan>, events: &[(Position, Change)]) -> Known {
    let mut known = Known::default();
    scan.into_iter().for_each(|scan| known.scan(scan));
    events.iter().for_each(|(at, change)| known.event(at.clone(), change.clone()).unwrap());
    known
}

proptest! {
    /// A scan at any time, with any bracket around it, and all events since before it: at each later time the state is
    /// what it was.
    #[test]
    fn a_scan_and_the_events_since_give_the_state_at_every_later_time(
        steps in steps(), first in any::<bool>(), scan_at in 0_usize..15, early in 0_usize..4, late in 0_usize..4,
    ) {
        let life = life(first.then(|| document(&[("f", 0), ("g", 0)])), &steps);
        let scan_at = scan_at.min(life.events.len());
        let (from, until) = (scan_at.saturating_sub(early), (scan_at + late).min(life.events.len()));
        let bracket = |document: Vec<u8>| Scan { from: time(10 * from as u64 + 5), until: time(10 * until as u64 + 5), document };
        let known = known(life.states[scan_at].clone().map(bracket), &life.events);
        for (count, state) in life.states.iter().enumerate().skip(until) {
            let before = time(10 * count as u64 + 6);
            let (found, settled) = shown(known.before(before).unwrap());
            let expected = if settled { state.clone() } else { state.as_deref().map(sorted) };
            prop_assert_eq!(found, expected, "before {}", before);
            prop_assert!(settled || from < until, "without an event in the bracket it is settled");
        }
    }

    #[test]
    fn the_join_is_commutative_associative_and_idempotent(steps in steps(), cuts in proptest::collection::vec(0_u8..3, 14)) {
        let life = life(Some(document(&[])), &steps);
        let part = |of: u8| {
            let events: Vec<_> = life.events.iter().zip(&cuts).filter(|(_, cut)| **cut != of).map(|(e, _)| e.clone()).collect();
            known(Some(Scan { from: time(of.into()), until: time(5), document: document(&[]) }), &events)
        };
        let [a, b, c] = [part(0), part(1), part(2)];
        let join = |one: &Known, other: &Known| { let mut all = one.clone(); all.join(other.clone()).unwrap(); all };
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &a), a);
    }
}

#[test]
fn another_event_at_one_position_is_a_contradiction() {
    let mut known = Known::default();
    known.event(at(1, 1), Change::Gone).unwrap();
    known.event(at(1, 1), Change::Gone).unwrap();
    known.event(at(1, 2), Change::Whole(document(&[]))).unwrap();
    assert_eq!(known.event(at(1, 1), Change::Whole(document(&[]))), Err(Contradiction(at(1, 1))));
}

#[test]
fn events_of_one_transaction_show_together_and_in_their_order() {
    let mut known = Known::default();
    known.event(at(5, 2), Change::Delta(delta("f", Some(2)))).unwrap();
    known.event(at(5, 1), Change::Whole(document(&[("f", 1)]))).unwrap();
    assert_eq!(known.before(time(5)), Ok(State::Absent));
    assert_eq!(known.before(time(6)), Ok(State::Exact(document(&[("f", 2)]))));
}

#[test]
fn a_change_of_what_was_never_seen_or_is_gone_is_an_error() {
    let change = || Change::Delta(delta("f", Some(1)));
    let unseen = known(None, &[(at(5, 0), change())]);
    assert_eq!(unseen.before(time(9)), Err(Error::Unseen(at(5, 0))));
    let gone = known(None, &[(at(5, 0), Change::Gone), (at(6, 0), change())]);
    assert_eq!((gone.before(time(6)), gone.before(time(9))), (Ok(State::Absent), Err(Error::Unseen(at(6, 0)))));
}

/// Removed, set again, and another field set, all while it was scanned: the fields' order depends on what the scan saw.
#[test]
fn where_a_scan_cannot_be_placed_the_order_of_fields_is_unsettled_and_a_second_scan_settles_it() {
    let events = [
        (at(10, 0), Change::Delta(delta("f", None))),
        (at(20, 0), Change::Delta(delta("f", Some(2)))),
        (at(30, 0), Change::Delta(delta("g", Some(1)))),
    ];
    let seen =
        |fields: &[(&str, i32)], from, until| Scan { from: time(from), until: time(until), document: document(fields) };
    let mut known = known(Some(seen(&[("f", 2), ("g", 1)], 5, 35)), &events);
    assert!(matches!(known.before(time(50)), Ok(State::Unsettled(_))));
    known.scan(seen(&[("f", 2), ("g", 1)], 36, 40));
    assert_eq!(known.before(time(50)), Ok(State::Exact(document(&[("f", 2), ("g", 1)]))));
}
