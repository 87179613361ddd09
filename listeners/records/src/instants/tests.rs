use tidemark_catalog::{
    content::{Gap, Retraction},
    opaque::Opaque,
    position::Mark,
};

use super::*;

fn mark(at: u8) -> Mark {
    Mark { bytes: Opaque::new(vec![at]), text: at.to_string() }
}

fn at(at: u8) -> Position {
    Position::new([("p".to_owned(), mark(at))])
}

fn increment(after: u8, through: u8, interval: Interval) -> Increment {
    Increment { after: at(after), through: at(through), interval, gaps: Vec::new(), segments: Vec::new() }
}

fn exact(after: u8, through: u8) -> Increment {
    increment(after, through, Interval::Exact)
}

fn with_gap(after: u8, through: u8) -> Increment {
    let gap =
        Gap { partition: "p".to_owned(), after: mark(after), through: mark(through), reason: "pruned".to_owned() };
    Increment { gaps: vec![gap], ..exact(after, through) }
}

fn records(increments: Vec<Increment>) -> Records {
    Records { increments, ..Records::default() }
}

/// First, last, and the words of why it stops there.
fn course(increments: Vec<Increment>, end: u8) -> (u8, u8, Option<String>) {
    let (records, position) = (records(increments), at(end));
    let instants = Instants::of(&records, &position).unwrap();
    let number = |position: &Position| position.mark("p").unwrap().bytes.as_bytes()[0];
    (number(instants.first()), number(instants.last()), instants.stop().map(ToString::to_string))
}

#[test]
fn instants_go_as_far_as_every_change_is_held() {
    assert_eq!(course(vec![], 7), (7, 7, None), "a baseline alone is one instant");
    assert_eq!(course(vec![exact(3, 5), exact(5, 9)], 9), (3, 9, None));
    assert_eq!(course(vec![exact(3, 3), exact(3, 9)], 9), (3, 9, None), "nothing happened in one");
    for (second, word) in [
        (increment(5, 9, Interval::Cut), "only the end"),
        (with_gap(5, 9), "p from 5 to 9 are not held: pruned"),
        (exact(6, 9), "may be missing"),
        (exact(4, 9), "may be missing"),
    ] {
        let (first, last, stop) = course(vec![exact(3, 5), second, exact(9, 12)], 12);
        assert!((first, last) == (3, 5) && stop.as_deref().unwrap().contains(word), "{stop:?} for {word}");
    }
    assert_eq!(course(vec![increment(3, 5, Interval::Cut)], 5).1, 3);
}

#[test]
fn an_instant_is_read_from_the_increments_before_it_and_one_that_is_not_proven_is_refused() {
    let (records, position) = (records(vec![exact(3, 5), exact(5, 9), with_gap(9, 12)]), at(12));
    let instants = Instants::of(&records, &position).unwrap();
    let read = |number: u8| instants.to(&at(number)).map(<[Increment]>::len);
    assert_eq!([read(3), read(4), read(5), read(6), read(9)], [Ok(0), Ok(1), Ok(1), Ok(2), Ok(2)]);
    assert_eq!(read(2), Err(Refused::Before));
    for behind in [10, 12, 13] {
        let refused = read(behind).unwrap_err();
        assert!(matches!(&refused, Refused::Behind { stop: Some(Stop::Gap { .. }) }), "{refused:?}");
    }
    let other = Position::new([("q".to_owned(), mark(4))]);
    let both = Position::new([("p".to_owned(), mark(4)), ("q".to_owned(), mark(4))]);
    assert_eq!(
        [instants.to(&other), instants.to(&both), instants.to(&Position::default())].map(Result::unwrap_err),
        [Refused::Other, Refused::Other, Refused::Before]
    );
}

#[test]
fn what_does_not_fit_together_is_no_course() {
    let of = |records: &Records, end: u8| Instants::of(records, &at(end)).map(drop);
    assert_eq!(of(&records(vec![exact(3, 5)]), 6), Err(Broken::End));
    assert_eq!(of(&records(vec![exact(3, 5), exact(5, 4)]), 4), Err(Broken::Backwards(1)));
    let retractions = vec![Retraction { capture: 1, segments: Vec::new() }];
    assert_eq!(of(&Records { retractions, ..records(vec![]) }, 4), Err(Broken::Retractions));
}
