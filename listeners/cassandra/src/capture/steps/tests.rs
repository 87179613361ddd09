use super::*;
use crate::{
    capture::snapshot::TableRecord,
    cluster::{KeyspaceSchema, RingNode, TableRows},
    describe::Ghost,
};

fn object(name: &str) -> ObjectName {
    name.parse().unwrap()
}

fn table(name: &str) -> TableRows {
    TableRows {
        name: name.into(),
        id: format!("{name:0>32}"),
        flags: vec!["compound".into()],
        gc_grace_seconds: 864_000,
        default_time_to_live: 0,
        columns: Vec::new(),
        dropped: Vec::new(),
    }
}

fn member(host: &str) -> RingNode {
    RingNode {
        host_id: host.into(),
        address: format!("{host}:9042"),
        dc: "dc1".into(),
        rack: "r".into(),
        tokens: vec![host.len().to_string()],
    }
}

fn look() -> Look {
    let keyspace = KeyspaceSchema {
        name: "ks".into(),
        replication: BTreeMap::from([("class".into(), "SimpleStrategy".into())]),
        durable_writes: true,
        types: Vec::new(),
        tables: vec![table("t"), table("u")],
        statements: Vec::new(),
    };
    let node = NodeCapture {
        host_id: "a".into(),
        cluster: "c".into(),
        release: "5.0.9".into(),
        partitioner: "Murmur3Partitioner".into(),
        schema_version: "1".into(),
        generation: 1,
        ring: vec![member("a"), member("bb")],
        before: None,
        keyspaces: vec![keyspace],
        settings: BTreeMap::new(),
        clock_offset_millis: 0,
        truncated_at: BTreeMap::new(),
    };
    Look { node, states: BTreeMap::new(), ghosts: Vec::new() }
}

fn snapshot(asked: Option<&[&str]>, tables: &[&str]) -> SnapshotRecord {
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let record = |name: &&str| TableRecord { object: object(name), id: "0".into(), unreadable: None, files: vec![] };
    SnapshotRecord {
        tag: "t".into(),
        asked: asked.map(|asked| asked.iter().map(|name| object(name)).collect()),
        started: at,
        finished: at,
        tables: tables.iter().map(record).collect(),
    }
}

/// Two nodes that have looked, taken both tables and looked again; the second look of the first is `now`.
fn once(now: Look) -> Histories {
    let history =
        |last| History { looks: vec![(0, look()), (2, last)], takes: vec![(1, snapshot(None, &["ks/t", "ks/u"]))] };
    BTreeMap::from([("n1".to_owned(), history(now)), ("n2".to_owned(), history(look()))])
}

fn changed(change: impl Fn(&mut Look)) -> Histories {
    let mut now = look();
    change(&mut now);
    once(now)
}

fn truncated(look: &mut Look) {
    look.node.truncated_at.insert(table("t").id, "00".into());
}

/// What the nodes are to take again, by node; empty where they ship.
fn again(histories: &Histories) -> BTreeMap<String, Option<Vec<String>>> {
    let NextStep::Prepare(asked) = decide(3, histories) else { return BTreeMap::new() };
    let ask = |(listener, ask): (String, Value)| {
        let Ok(Ask::Take { tables }) = Ask::of(&ask) else { panic!("{ask}") };
        (listener, tables.map(|tables| tables.iter().map(ObjectName::to_string).collect()))
    };
    asked.asks.into_iter().map(ask).collect()
}

fn shipped(step: &NextStep, listener: &str) -> Ship {
    let NextStep::Ship(asked) = step else { panic!("{step:?}") };
    let Ok(Ask::Ship(ship)) = Ask::of(&asked.asks[listener]) else { panic!("{asked:?}") };
    ship
}

#[test]
fn nodes_look_take_and_look_again_and_ship_where_nothing_changed() {
    let histories = once(look());
    assert_eq!(decide(0, &BTreeMap::new()), NextStep::Prepare(Asked::default()));
    assert!(matches!(decide(1, &histories), NextStep::Prepare(asked) if asked.asks.len() == 2));
    assert_eq!(decide(2, &histories), NextStep::Prepare(Asked::default()));
    let ship = shipped(&decide(3, &histories), "n2");
    assert_eq!((ship.tables.len(), ship.left_out.len(), ship.looks), (2, 0, (0, 2)));
}

#[test]
fn a_table_that_changed_on_one_node_is_taken_again_on_all_and_no_other() {
    let only_t = Some(vec!["ks/t".to_owned()]);
    let both = BTreeMap::from([("n1".to_owned(), only_t.clone()), ("n2".to_owned(), only_t)]);
    assert_eq!(again(&changed(truncated)), both);
    assert_eq!(again(&changed(|now| now.node.keyspaces[0].tables[0].gc_grace_seconds = 1)), both);
}

#[test]
fn a_change_of_the_ring_is_everybodys_and_a_start_the_nodes_own() {
    let all = BTreeMap::from([("n1".to_owned(), None), ("n2".to_owned(), None)]);
    assert_eq!(again(&changed(|now| drop(now.node.ring.pop()))), all);
    assert_eq!(again(&changed(|now| drop(now.states.insert("bb".into(), "Leaving".into())))), all);
    assert_eq!(again(&changed(|now| now.node.keyspaces[0].replication.clear())), all);
    let started = again(&changed(|now| now.node.generation = 2));
    assert_eq!((&started["n1"], &started["n2"]), (&None, &Some(vec![])));
}

#[test]
fn views_that_differ_between_nodes_but_not_in_time_are_not_waited_for() {
    let mut histories = once(look());
    for (_, look) in &mut histories.get_mut("n1").unwrap().looks {
        look.node.ring.pop();
    }
    assert!(matches!(decide(3, &histories), NextStep::Ship(_)));
}

#[test]
fn each_table_ships_from_the_last_snapshot_that_was_to_hold_it() {
    let mut histories = changed(truncated);
    for history in histories.values_mut() {
        let last = history.looks[1].1.clone();
        history.looks.push((4, last));
        history.takes.push((3, snapshot(Some(&["ks/t"]), &["ks/t"])));
    }
    let step = decide(5, &histories);
    let ship = shipped(&step, "n1");
    assert_eq!(ship.tables, BTreeMap::from([(object("ks/t"), 3), (object("ks/u"), 1)]));
    assert_eq!(ship.looks, (0, 4));
    let NextStep::Ship(asked) = step else { unreachable!() };
    assert_eq!(asked.notes.len(), 1, "{:?}", asked.notes);
    // Dropped before it could be taken again.
    histories.get_mut("n1").unwrap().takes[1].1.tables.clear();
    assert_eq!(shipped(&decide(5, &histories), "n1").tables, BTreeMap::from([(object("ks/u"), 1)]));
}

#[test]
fn what_changes_during_the_last_capture_is_left_out_by_name_and_ships_both_views() {
    let last = 2 * CAPTURES + 1;
    let ship = shipped(&decide(last, &changed(truncated)), "n2");
    let [(table, reason)] = &ship.left_out.into_iter().collect::<Vec<_>>()[..] else { panic!("not one") };
    assert!(table == &object("ks/t") && reason.contains("truncated"), "{table} {reason}");
    let ring = decide(last, &changed(|now| drop(now.node.ring.pop())));
    assert!(shipped(&ring, "n1").left_out.is_empty());
    let NextStep::Ship(asked) = ring else { unreachable!() };
    assert!(asked.notes.iter().any(|note| note.contains("the ring changed")), "{:?}", asked.notes);
}

#[test]
fn ghosts_and_changes_of_many_nodes_are_one_line_each() {
    let mut histories = Histories::new();
    for node in 0..5000 {
        let mut now = look();
        now.node.ring.pop();
        let ghost = |row: u32| Ghost { name: format!("10.9.9.{row}:7000"), statement: "DELETE …".into() };
        now.ghosts = (0..2).map(ghost).collect();
        histories.insert(format!("n{node:04}"), once(now).remove("n1").unwrap());
    }
    let NextStep::Ship(asked) = decide(2 * CAPTURES + 1, &histories) else { panic!("nothing is shipped") };
    let [ring, ghosts] = &asked.notes[..] else { panic!("{:?}", asked.notes) };
    assert!(ring.contains("5000 nodes") && ring.contains("n0000") && ring.len() < 200, "{ring}");
    assert!(ghosts.starts_with("10000 rows in system.peers_v2 of 5000 nodes"), "{ghosts}");
    assert!(ghosts.ends_with("on n0000 10.9.9.0:7000 goes by DELETE …"), "{ghosts}");
}
