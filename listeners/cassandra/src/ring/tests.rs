use std::{collections::BTreeMap, sync::Arc};

use super::{Difference, Error, Placement, agree};
use crate::cluster::{ColumnRow, KeyspaceSchema, NodeCapture, RingNode, TableRows};

fn node(name: &str, dc: &str, rack: &str, tokens: &[i64]) -> RingNode {
    RingNode {
        host_id: name.to_owned(),
        address: format!("address-of-{name}"),
        dc: dc.to_owned(),
        rack: rack.to_owned(),
        tokens: tokens.iter().map(i64::to_string).collect(),
    }
}

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn simple(factor: &str) -> BTreeMap<String, String> {
    options(&[("class", "org.apache.cassandra.locator.SimpleStrategy"), ("replication_factor", factor)])
}

fn network(factors: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut all = options(factors);
    all.insert("class".to_owned(), "NetworkTopologyStrategy".to_owned());
    all
}

/// Names of the replicas of each range, as `after..through: a b c`.
fn described(placement: &Placement) -> Vec<String> {
    let name = |&index: &usize| placement.nodes()[index].host_id.as_str();
    let edge = |token: i64| match token {
        i64::MIN => "min".to_owned(),
        i64::MAX => "max".to_owned(),
        token => token.to_string(),
    };
    let range = |range: &super::TokenRange| {
        let names: Vec<_> = range.replicas.iter().map(name).collect();
        format!("{}..{}: {}", edge(range.after), edge(range.through), names.join(" "))
    };
    placement.ranges().iter().map(range).collect()
}

#[test]
fn simple_strategy_takes_the_next_nodes_on_the_ring() {
    let ring = [node("a", "x", "r", &[0]), node("b", "x", "r", &[100]), node("c", "y", "r", &[-100])];
    let placement = Placement::new(&ring, &simple("2")).unwrap();
    assert_eq!(described(&placement), ["min..-100: c a", "-100..0: a b", "0..100: b c", "100..max: c a"]);
}

#[test]
fn simple_strategy_counts_a_node_with_many_tokens_once() {
    let ring = [node("a", "x", "r", &[0, 10, 30]), node("b", "x", "r", &[20])];
    let placement = Placement::new(&ring, &simple("3")).unwrap();
    let expected = ["min..0: a b", "0..10: a b", "10..20: b a", "20..30: a b", "30..max: a b"];
    assert_eq!(described(&placement), expected);
}

#[test]
fn replicas_go_to_different_racks_while_there_are_some() {
    let ring = [
        node("a1", "x", "r1", &[0]),
        node("b1", "x", "r1", &[10]),
        node("c2", "x", "r2", &[20]),
        node("d2", "x", "r2", &[30]),
        node("e3", "x", "r3", &[40]),
    ];
    let placement = Placement::new(&ring, &network(&[("x", "3")])).unwrap();
    assert_eq!(
        described(&placement),
        [
            "min..0: a1 c2 e3",
            "0..10: b1 c2 e3",
            "10..20: c2 e3 a1",
            "20..30: d2 e3 a1",
            "30..40: e3 a1 c2",
            "40..max: a1 c2 e3"
        ]
    );
}

#[test]
fn with_fewer_racks_than_replicas_the_first_nodes_met_fill_up() {
    let ring = [
        node("a1", "x", "r1", &[0]),
        node("b1", "x", "r1", &[10]),
        node("c1", "x", "r1", &[20]),
        node("d2", "x", "r2", &[30]),
    ];
    let placement = Placement::new(&ring, &network(&[("x", "3")])).unwrap();
    let expected = ["min..0: a1 b1 d2", "0..10: b1 c1 d2", "10..20: c1 d2 a1", "20..30: d2 a1 b1", "30..max: a1 b1 d2"];
    assert_eq!(described(&placement), expected);
}

#[test]
fn data_centres_are_filled_apart() {
    let ring = [
        node("a", "x", "r1", &[0]),
        node("b", "y", "r1", &[10]),
        node("c", "x", "r2", &[20]),
        node("d", "y", "r1", &[30]),
        node("idle", "z", "r1", &[40]),
        node("tokenless", "x", "r9", &[]),
    ];
    let placement = Placement::new(&ring, &network(&[("x", "2"), ("y", "1"), ("gone", "3")])).unwrap();
    assert_eq!(
        described(&placement),
        ["min..0: a b c", "0..10: b c a", "10..20: c d a", "20..30: d a c", "30..40: a b c", "40..max: a b c"]
    );
    let by_dc = placement.by_dc(placement.replicas_of(25));
    assert_eq!(by_dc, BTreeMap::from([("x", vec![0, 2]), ("y", vec![3])]));
}

#[test]
fn nodes_at_the_ends_of_the_ring_leave_no_empty_range() {
    let ring = [node("a", "x", "r", &[i64::MIN]), node("b", "x", "r", &[0]), node("c", "x", "r", &[i64::MAX])];
    let placement = Placement::new(&ring, &simple("1")).unwrap();
    assert_eq!(described(&placement), ["min..0: b", "0..max: c"]);
    let ring = [node("a", "x", "r", &[i64::MIN]), node("b", "x", "r", &[0])];
    let placement = Placement::new(&ring, &simple("1")).unwrap();
    assert_eq!(described(&placement), ["min..0: b", "0..max: a"]);
}

#[test]
fn owners_are_found_by_token() {
    let ring = [node("a", "x", "r", &[0]), node("b", "x", "r", &[100])];
    let placement = Arc::new(Placement::new(&ring, &simple("1")).unwrap());
    let table = [(i64::MIN, 'a'), (-1, 'a'), (0, 'a'), (1, 'b'), (100, 'b'), (101, 'a'), (i64::MAX, 'a')];
    for (token, owner) in table {
        assert_eq!(placement.owns("a", token), owner == 'a', "{token}");
        assert_eq!(placement.owns("b", token), owner == 'b', "{token}");
        assert_eq!((placement.ownership("b"))(token), owner == 'b', "{token}");
        assert!(!placement.owns("stranger", token));
        assert!(!(placement.ownership("stranger"))(token));
    }
}

#[test]
fn ranges_cover_the_ring_without_gaps() {
    let tokens = |seed: i64| {
        (0..16).map(|n: i64| (n * 7919 + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64)).collect::<Vec<_>>()
    };
    let ring: Vec<_> = (0..5).map(|n| node(&n.to_string(), "x", &(n % 2).to_string(), &tokens(n))).collect();
    let placement = Placement::new(&ring, &network(&[("x", "3")])).unwrap();
    let ranges = placement.ranges();
    assert_eq!((ranges[0].after, ranges[ranges.len() - 1].through), (i64::MIN, i64::MAX));
    for pair in ranges.windows(2) {
        assert_eq!(pair[0].through, pair[1].after);
    }
    assert!(ranges.iter().all(|range| range.after < range.through && range.replicas.len() == 3));
}

#[test]
fn what_cannot_be_placed_is_refused_by_name() {
    let ring = [node("a", "x", "r", &[0])];
    let refused = |ring: &[RingNode], replication| Placement::new(ring, &replication).unwrap_err();
    for class in ["LocalStrategy", "org.apache.cassandra.locator.EverywhereStrategy", "com.example.SimpleStrategy"] {
        let error = refused(&ring, options(&[("class", class), ("replication_factor", "1")]));
        assert_eq!(error, Error::Class { class: class.to_owned() });
    }
    assert_eq!(refused(&ring, options(&[])), Error::NoClass);
    let transient = Error::Transient { subject: "x".to_owned(), value: "3/1".to_owned() };
    assert_eq!(refused(&ring, network(&[("x", "3/1")])), transient);
    assert!(matches!(refused(&ring, simple("many")), Error::Factor { .. }));
    assert!(matches!(refused(&ring, options(&[("class", "SimpleStrategy")])), Error::Factor { .. }));
    assert_eq!(refused(&ring, network(&[("elsewhere", "3")])), Error::NoReplica { after: i64::MIN });
    assert_eq!(refused(&[], simple("1")), Error::EmptyRing);
    assert_eq!(
        refused(&[ring[0].clone(), ring[0].clone()], simple("1")),
        Error::DuplicateHost { host: "a".to_owned() }
    );
    let twin = [ring[0].clone(), node("b", "x", "r", &[0])];
    assert!(matches!(refused(&twin, simple("1")), Error::DuplicateToken { token: 0, .. }));
    let odd = RingNode { tokens: vec!["abc".to_owned()], ..ring[0].clone() };
    assert!(matches!(refused(&[odd], simple("1")), Error::Token { .. }));
}

fn capture(host: &str) -> NodeCapture {
    let column = |name: &str| ColumnRow {
        name: name.to_owned(),
        kind: "regular".to_owned(),
        position: -1,
        clustering_order: "none".to_owned(),
        cql_type: "int".to_owned(),
    };
    let table = TableRows {
        name: "t".to_owned(),
        id: "1".repeat(32),
        flags: vec![],
        gc_grace_seconds: 864_000,
        default_time_to_live: 0,
        columns: vec![column("a"), column("b")],
        dropped: vec![],
    };
    let keyspace = KeyspaceSchema {
        name: "ks".to_owned(),
        replication: simple("2"),
        durable_writes: true,
        types: vec![],
        tables: vec![table],
        statements: vec![],
    };
    NodeCapture {
        host_id: host.to_owned(),
        cluster: "c".to_owned(),
        release: "5.0.9".to_owned(),
        partitioner: "org.apache.cassandra.dht.Murmur3Partitioner".to_owned(),
        schema_version: "v".to_owned(),
        generation: 1,
        ring: vec![node("h1", "x", "r", &[0]), node("h2", "x", "r", &[100])],
        before: None,
        keyspaces: vec![keyspace],
        settings: BTreeMap::new(),
        clock_offset_millis: 0,
        truncated_at: BTreeMap::new(),
    }
}

#[test]
fn views_that_differ_have_the_replicas_of_all_and_prove_nothing_where_they_do() {
    let before = [node("a", "x", "r", &[0]), node("b", "x", "r", &[100]), node("c", "x", "r", &[200])];
    let after = [node("d", "x", "r", &[50]), before[0].clone(), before[1].clone(), before[2].clone()];
    let one = simple("1");
    let united = Placement::united(&[(&before, &one), (&after, &one), (&before, &one)]).unwrap();
    let expected = ["min..0: a", "0..50: b d", "50..100: b", "100..200: c", "200..max: a"];
    assert_eq!(described(&united), expected);
    let settled: Vec<bool> = united.ranges().iter().map(|range| range.settled).collect();
    assert_eq!(settled, [true, false, true, true, true]);
    assert!(united.owns("d", 20) && united.owns("b", 20) && !united.owns("d", 60));
    assert!(united.unsettled().contains("d (address-of-d) is a member to some"), "{}", united.unsettled());
}

#[test]
fn views_that_are_one_are_settled_and_another_replication_unsettles_all() {
    let ring = [node("a", "x", "r", &[0]), node("b", "x", "r", &[100])];
    let (one, two) = (simple("1"), simple("2"));
    let settled = Placement::united(&[(&ring, &one), (&ring, &one)]).unwrap();
    assert!(settled.ranges().iter().all(|range| range.settled) && settled.unsettled().is_empty());
    let united = Placement::united(&[(&ring, &one), (&ring, &two)]).unwrap();
    assert!(united.ranges().iter().all(|range| !range.settled && range.replicas.len() == 2));
    assert!(Placement::united(&[]).is_err());
}

#[test]
fn captures_that_say_the_same_agree() {
    let mut other = capture("h2");
    other.release = "5.0.10".to_owned();
    other.ring[0].address = "moved".to_owned();
    other.keyspaces[0].tables[0].columns.reverse();
    assert_eq!(agree(&[capture("h1"), other]), []);
    assert_eq!(agree(&[]), []);
}

#[test]
fn each_difference_is_named() {
    let words = |change: &dyn Fn(&mut NodeCapture)| {
        let mut other = capture("h2");
        change(&mut other);
        agree(&[capture("h1"), other]).iter().map(Difference::to_string).collect::<Vec<_>>()
    };
    assert_eq!(words(&|c| c.cluster = "d".to_owned()), ["h1 is in cluster c, h2 in d"]);
    assert_eq!(words(&|c| c.partitioner = "ByteOrderedPartitioner".to_owned()), ["h2 uses ByteOrderedPartitioner"]);
    assert_eq!(words(&|c| drop(c.ring.pop())), ["h1 has h2 in its ring, h2 has not"]);
    assert_eq!(words(&|c| c.ring.push(node("h3", "x", "r", &[5]))), ["h2 has h3 in its ring, h1 has not"]);
    assert_eq!(words(&|c| c.ring[0].tokens[0] = "1".to_owned()), ["h1 and h2 disagree on the tokens of h1"]);
    assert_eq!(words(&|c| c.ring[1].rack = "q".to_owned()), ["h1 and h2 disagree on the rack of h2"]);
    assert_eq!(words(&|c| c.ring[1].dc = "q".to_owned()), ["h1 and h2 disagree on the data centre of h2"]);
    assert_eq!(words(&|c| c.keyspaces.clear()), ["h1 has keyspace ks, h2 has not"]);
    let replication = words(&|c| c.keyspaces[0].replication = simple("3"));
    assert_eq!(replication, ["h1 and h2 disagree on the replication of keyspace ks"]);
    assert_eq!(words(&|c| c.keyspaces[0].tables.clear()), ["h1 has table ks.t, h2 has not"]);
    let id = words(&|c| c.keyspaces[0].tables[0].id = "2".repeat(32));
    assert_eq!(id, ["h1 and h2 disagree on the id of table ks.t"]);
    let columns = words(&|c| drop(c.keyspaces[0].tables[0].columns.pop()));
    assert_eq!(columns, ["h1 and h2 disagree on the columns of table ks.t"]);
}

#[test]
fn differences_concern_only_what_they_are_about() {
    let shape = |keyspace: &str, table: &str| Difference::Table {
        knows: "a".to_owned(),
        misses: "b".to_owned(),
        keyspace: keyspace.to_owned(),
        table: table.to_owned(),
    };
    assert!(shape("ks", "t").concerns("ks", "t"));
    assert!(!shape("ks", "u").concerns("ks", "t"));
    assert!(!shape("other", "t").concerns("ks", "t"));
    let member = Difference::Member { knows: "a".to_owned(), misses: "b".to_owned(), member: "c".to_owned() };
    assert!(member.concerns("ks", "t"));
}
