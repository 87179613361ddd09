use std::collections::{BTreeMap, BTreeSet};

use crate::options::Options;
use tidemark_catalog::entry::{DegradedRange, Quality};

use super::judge;
use crate::{cluster::RingNode, ring::Placement};

const LEVELS: [&str; 9] = ["any", "one", "two", "three", "quorum", "all", "local_one", "local_quorum", "each_quorum"];

fn node(name: &str, dc: &str, token: i64) -> RingNode {
    RingNode {
        host_id: name.to_owned(),
        address: format!("{name}:9042"),
        dc: dc.to_owned(),
        rack: "r".to_owned(),
        tokens: vec![token.to_string()],
    }
}

fn placement(nodes: &[RingNode], factors: &[(&str, &str)]) -> Placement {
    let class = ("class", "NetworkTopologyStrategy");
    let options: BTreeMap<_, _> =
        factors.iter().chain([&class]).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Placement::new(nodes, &options).unwrap()
}

/// Three nodes, three replicas.
fn three() -> Placement {
    placement(&[node("a", "x", 0), node("b", "x", 10), node("c", "x", 20)], &[("x", "3")])
}

/// Three replicas in each of two data centres.
fn two_centres() -> Placement {
    let nodes: Vec<_> =
        (0..3).flat_map(|n| [node(&format!("x{n}"), "x", n * 10), node(&format!("y{n}"), "y", n * 10 + 5)]).collect();
    placement(&nodes, &[("x", "3"), ("y", "3")])
}

fn verdict(placement: &Placement, captured: &[&str], level: &str, repaired: bool) -> Quality {
    let captured: BTreeSet<_> = captured.iter().map(|host| (*host).to_owned()).collect();
    judge(placement, &captured, &Options { write_level: level.to_owned(), repaired })
}

/// Levels by which the captured hosts prove completeness.
fn proving(placement: &Placement, captured: &[&str]) -> Vec<&'static str> {
    LEVELS.into_iter().filter(|level| verdict(placement, captured, level, true) == Quality::Cut).collect()
}

#[test]
fn all_replicas_prove_every_level_but_any() {
    assert_eq!(proving(&three(), &["a", "b", "c"]), LEVELS[1..]);
    for level in &LEVELS[1..] {
        assert_eq!(verdict(&three(), &["a", "b", "c"], level, false), Quality::Cut);
    }
    assert_eq!(verdict(&three(), &["a", "b", "c"], "no such level", false), Quality::Cut);
}

#[test]
fn a_range_whose_replicas_are_not_known_is_degraded_by_name_whatever_was_captured() {
    let options: BTreeMap<String, String> =
        [("class", "SimpleStrategy"), ("replication_factor", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let (before, after) = ([node("a", "x", 0), node("b", "x", 10)], [node("a", "x", 0)]);
    let united = Placement::united(&[(&before, &options), (&after, &options)]).unwrap();
    let Quality::Degraded { ranges } = verdict(&united, &["a", "b"], "all", true) else { panic!("proven") };
    let [range] = &ranges[..] else { panic!("{ranges:?}") };
    assert_eq!(crate::segment::key::tokens(&range.range), Some((0, 10)));
    assert!(range.reason.contains("b (b:9042) is a member to some"), "{}", range.reason);
}

#[test]
fn one_node_down_of_three_needs_two_acknowledgements() {
    let proven = ["two", "three", "quorum", "all", "local_quorum", "each_quorum"];
    assert_eq!(proving(&three(), &["a", "b"]), proven);
}

#[test]
fn one_replica_of_three_needs_all_acknowledgements() {
    assert_eq!(proving(&three(), &["c"]), ["three", "all"]);
}

#[test]
fn without_the_operators_word_only_all_replicas_prove_anything() {
    for level in LEVELS {
        assert!(matches!(verdict(&three(), &["a", "b"], level, false), Quality::Degraded { .. }), "{level}");
    }
}

#[test]
fn local_levels_must_hold_in_each_data_centre() {
    let centres = two_centres();
    assert_eq!(proving(&centres, &["x0", "x1", "y0", "y1"]), ["three", "quorum", "all", "local_quorum", "each_quorum"]);
    // A whole data centre, nothing of the other.
    assert_eq!(proving(&centres, &["x0", "x1", "x2"]), ["quorum", "all", "each_quorum"]);
    assert_eq!(proving(&centres, &["x0", "x1", "x2", "y0"]), ["three", "quorum", "all", "each_quorum"]);
    assert_eq!(
        proving(&centres, &["x0", "x1", "x2", "y0", "y1"]),
        ["two", "three", "quorum", "all", "local_quorum", "each_quorum"]
    );
    assert_eq!(proving(&centres, &["x0", "y0", "y1"]), ["quorum", "all", "each_quorum"]);
    assert_eq!(proving(&centres, &["x0", "y0"]), ["all"]);
}

#[test]
fn nothing_captured_is_missing() {
    let missing = Quality::Missing { reason: "no replica captured".to_owned() };
    assert_eq!(verdict(&three(), &[], "all", true), missing);
    assert_eq!(verdict(&three(), &["stranger"], "three", true), missing);
}

#[test]
fn neighbours_with_one_verdict_are_one_range() {
    let quality = verdict(&three(), &["a", "b"], "one", true);
    let reason = "not captured: c (c:9042), and writes at level one need not be on the others".to_owned();
    let range = crate::segment::key::range(i64::MIN, i64::MAX);
    let ranges = vec![DegradedRange { range, replicas: 3, captured: 2, reason }];
    assert_eq!(quality, Quality::Degraded { ranges });
}

/// Four nodes, two replicas: a range is held by its node and the next one.
fn four() -> Placement {
    let nodes = [node("a", "x", 0), node("b", "x", 10), node("c", "x", 20), node("d", "x", 30)];
    placement(&nodes, &[("x", "2")])
}

fn described(quality: &Quality) -> Vec<String> {
    let Quality::Degraded { ranges } = quality else { panic!("{quality:?}") };
    let describe = |degraded: &DegradedRange| {
        let (after, through) = crate::segment::key::tokens(&degraded.range).unwrap();
        format!("{after}..{through}: {}/{}", degraded.captured, degraded.replicas)
    };
    ranges.iter().map(describe).collect()
}

#[test]
fn ranges_without_a_captured_replica_are_degraded_whatever_is_declared() {
    let quality = verdict(&four(), &["a", "d"], "all", true);
    assert_eq!(described(&quality), ["0..10: 0/2"]);
    let Quality::Degraded { ranges } = quality else { panic!("{quality:?}") };
    assert_eq!(ranges[0].reason, "no replica captured: b (b:9042), c (c:9042)");
}

#[test]
fn only_ranges_in_doubt_are_named() {
    let quality = verdict(&four(), &["a", "b", "d"], "quorum", false);
    assert_eq!(described(&quality), ["0..20: 1/2"]);
    let Quality::Degraded { ranges } = quality else { panic!() };
    assert!(ranges[0].reason.contains("c (c:9042)"), "{}", ranges[0].reason);
    assert!(ranges[0].reason.contains("does not declare"), "{}", ranges[0].reason);
}

#[test]
fn writes_at_any_are_never_proven() {
    let quality = verdict(&three(), &["a", "b", "c"], "ANY", true);
    assert_eq!(described(&quality).len(), 1);
}

#[test]
fn an_unknown_level_proves_nothing() {
    let quality = verdict(&three(), &["a", "b"], "most", true);
    let Quality::Degraded { ranges } = quality else { panic!("{quality:?}") };
    assert!(ranges[0].reason.contains("most is no write level"), "{}", ranges[0].reason);
}
