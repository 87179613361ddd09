//! The plan as a table: one thing changes, one check fails.

use std::time::Duration;

use jiff::Timestamp;
use tidemark_catalog::{
    entry::{Cut, DegradedRange},
    figures::Figures,
    keys::KeyRange,
    stored::StoredRef,
};
use tidemark_gateway::Stored;

use super::{super::existing::CONFIRM, *};
use crate::{
    cluster::{ColumnRow, CreateStatement, TableRows, UdtSchema},
    describe::Member,
    restore::{
        observe::{Contents, ObservedNode},
        schema::functions::Languages,
        write::statements::ttl::{LAST_EXPIRY_2038, LAST_EXPIRY_2106},
    },
};

fn keyspace(name: &str) -> KeyspaceSchema {
    let column = |name: &str, kind: &str| ColumnRow {
        name: name.into(),
        kind: kind.into(),
        position: if kind == "regular" { -1 } else { 0 },
        clustering_order: "none".into(),
        cql_type: "int".into(),
    };
    KeyspaceSchema {
        name: name.into(),
        replication: [("class", "SimpleStrategy"), ("replication_factor", "2")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        durable_writes: true,
        types: vec![],
        tables: vec![TableRows {
            name: "t".into(),
            id: "0".repeat(32),
            flags: vec!["compound".into()],
            gc_grace_seconds: 864_000,
            default_time_to_live: 0,
            columns: vec![column("k", "partition_key"), column("v", "regular")],
            dropped: vec![],
        }],
        statements: vec![
            CreateStatement {
                kind: "table".into(),
                name: "t".into(),
                statement: format!("CREATE TABLE {name}.t (k int PRIMARY KEY, v int);"),
            },
            CreateStatement {
                kind: "index".into(),
                name: "i".into(),
                statement: format!("CREATE INDEX i ON {name}.t (v);"),
            },
        ],
    }
}

fn line() -> ObjectLine {
    ObjectLine {
        object: "ks/t".parse().unwrap(),
        entry: Some(StoredRef::new(&"e".into(), Stored::of(b"e"))),
        cut: Cut { from: Timestamp::UNIX_EPOCH, through: Timestamp::UNIX_EPOCH, partitions: vec![] },
        quality: Quality::Cut,
        topology: None,
        figures: Figures {
            records: 7,
            kept_new_bytes: 100,
            own: [("cassandra".to_owned(), [("static_rows".to_owned(), 1)].into())].into(),
            ..Figures::default()
        },
        left_out: Vec::new(),
    }
}

fn member(host: &str, release: &str) -> Member {
    Member { host_id: host.into(), release: release.into(), schema_version: "v".into() }
}

fn seen() -> Observed {
    let node = |n: u8| ObservedNode { address: format!("10.0.0.{n}"), dc: "dc1".into(), up: true };
    Observed {
        cluster: "c".into(),
        release: "5.0.9".into(),
        partitioner: "org.apache.cassandra.dht.Murmur3Partitioner".into(),
        nodes: vec![node(1), node(2)],
        members: vec![member("a", "5.0.9"), member("b", "5.0.9")],
        modes: BTreeMap::from([("CASSANDRA_4".into(), vec!["10.0.0.1".into(), "10.0.0.2".into()])]),
        disagreement: BTreeMap::new(),
        write_timeout: Duration::from_secs(2),
        counter_timeout: Duration::from_secs(5),
        last_expiry: LAST_EXPIRY_2038,
        sizes: crate::restore::write::size::WriteSizes::below(16 << 20),
        allows_views: true,
        allows_masks: true,
        functions: Languages { java: true, others: false },
        authorizes: false,
        clock_offset_millis: 0,
        keyspaces: vec![],
        contents: BTreeMap::new(),
    }
}

/// The plan, and its failed checks' names.
fn plan(line: &ObjectLine, schema: KeyspaceSchema, options: &CqlOptions, seen: Observed) -> (RestorePlan, Vec<String>) {
    let wanted = [Wanted { line, schema: Ok(schema) }];
    let plan = decide(&wanted, options, "10.0.0.1:9042", &Ok(seen));
    let failed = refusals(&plan).iter().map(|l| l.name.clone()).collect();
    (plan, failed)
}

fn options() -> CqlOptions {
    CqlOptions { rename: BTreeMap::from([("ks".to_owned(), "to".to_owned())]), ..CqlOptions::default() }
}

#[test]
fn a_good_plan_makes_keyspace_table_and_then_the_index() {
    let (plan, failed) = plan(&line(), keyspace("ks"), &options(), seen());
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!((plan.rows, plan.stored_bytes, plan.write_level.as_deref()), (8, 100, Some("all")));
    assert_eq!(plan.objects[0].target.to_string(), "to/t");
    let starts = [
        "CREATE KEYSPACE IF NOT EXISTS \"to\"",
        "CREATE TABLE IF NOT EXISTS \"to\".t",
        "CREATE INDEX IF NOT EXISTS i ON \"to\".t",
    ];
    assert_eq!(plan.schema.len(), starts.len());
    assert!(plan.schema.iter().zip(starts).all(|(s, start)| s.starts_with(start)), "{:?}", plan.schema);
}

#[test]
fn what_is_asked_for_is_checked() {
    let degraded = DegradedRange {
        range: KeyRange { from: None, until: None, text: "all".into() },
        replicas: 3,
        captured: 1,
        reason: "x".into(),
    };
    let mut custom = keyspace("ks");
    custom.tables[0].columns[1].cql_type = "'org.example.Type'".into();
    let of_degraded = ObjectLine { quality: Quality::Degraded { ranges: vec![degraded] }, ..line() };
    let accepted = CqlOptions { accept_degraded: true, ..options() };
    let missing = ObjectLine { entry: None, ..line() };
    let to_system = CqlOptions { rename: BTreeMap::from([("ks".to_owned(), "system".to_owned())]), ..options() };
    let odd = CqlOptions { rename: BTreeMap::from([("ks".to_owned(), "a b".to_owned())]), ..options() };
    let any = CqlOptions { write_level: Some("any".into()), ..options() };
    let unknown = CqlOptions { rename: BTreeMap::from([("x".to_owned(), "y".to_owned())]), ..options() };
    let table = [
        (of_degraded.clone(), keyspace("ks"), options(), vec!["complete"]),
        (of_degraded, keyspace("ks"), accepted, vec![]),
        (missing, keyspace("ks"), options(), vec!["object"]),
        (line(), custom, options(), vec!["restorable"]),
        (line(), keyspace("ks"), to_system, vec!["target"]),
        (line(), keyspace("ks"), odd, vec!["target"]),
        (line(), keyspace("ks"), any, vec!["write-level"]),
        (line(), keyspace("ks"), CqlOptions { remove: true, ..options() }, vec!["remove"]),
        (line(), keyspace("ks"), CqlOptions { read_level: Some("any".into()), ..options() }, vec!["read-level"]),
        (line(), keyspace("ks"), CqlOptions { read_level: Some("one".into()), ..options() }, vec!["read-level"]),
        (line(), keyspace("ks"), CqlOptions { read_level: Some("quorum".into()), ..options() }, vec![]),
        (line(), keyspace("ks"), unknown, vec!["rename"]),
    ];
    for (line, schema, options, expected) in table {
        assert_eq!(plan(&line, schema, &options, seen()).1, expected, "{options:?} {:?}", line.quality);
    }
}

#[test]
fn a_table_takes_another_name_with_what_hangs_on_it() {
    let rename = |from: &str, to: &str| CqlOptions {
        rename: BTreeMap::from([(from.to_owned(), to.to_owned())]),
        ..CqlOptions::default()
    };
    let (made, failed) = plan(&line(), keyspace("ks"), &rename("ks/t", "ks2/t2"), seen());
    assert_eq!((failed, made.objects[0].target.to_string().as_str()), (vec![], "ks2/t2"));
    let starts = [
        "CREATE KEYSPACE IF NOT EXISTS \"ks2\"",
        "CREATE TABLE IF NOT EXISTS \"ks2\".\"t2\"",
        "CREATE INDEX IF NOT EXISTS \"t2_i\" ON \"ks2\".\"t2\"",
    ];
    assert!(made.schema.iter().zip(starts).all(|(s, start)| s.starts_with(start)), "{:?}", made.schema);
    for (from, to, expected) in [("ks/x", "a/b", "rename"), ("ks/t", "b", "rename"), ("ks/t", "ks/a b", "target")] {
        assert_eq!(plan(&line(), keyspace("ks"), &rename(from, to), seen()).1, [expected], "{from} {to}");
    }
}

#[test]
fn the_destination_is_checked() {
    type Change = fn(&mut Observed);
    let table: [(Change, &[&str]); 8] = [
        (|s| s.members[1].release = "3.11.4".into(), &["version"]),
        (|s| s.members[1].release = "4.1.10".into(), &["version"]),
        (|s| s.partitioner = "ByteOrderedPartitioner".into(), &["partitioner"]),
        (|s| drop(s.disagreement.insert("w".into(), vec![])), &["schema-agreement"]),
        (|s| drop(s.modes.insert("UPGRADING".into(), vec![])), &["version"]),
        (|s| s.nodes.truncate(1), &["keyspace"]),
        (|s| s.nodes[1].up = false, &["write-level"]),
        (|s| drop(s.contents.insert(("to".into(), "t".into()), Contents::Rows)), &["empty"]),
    ];
    for (change, expected) in table {
        let mut seen = seen();
        change(&mut seen);
        assert_eq!(plan(&line(), keyspace("ks"), &options(), seen).1, expected);
    }
}

/// The destination with the target table in it.
fn there(contents: Contents) -> Observed {
    let mut seen = seen();
    seen.keyspaces.push(keyspace("to"));
    seen.contents.insert(("to".into(), "t".into()), contents);
    seen
}

#[test]
fn a_table_that_exists_needs_a_choice_and_its_name_typed_where_it_is_written_over() {
    let typed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (merge, undo) = (Some(IfExists::Merge), Some(IfExists::Undo));
    let table = [
        (Contents::Rows, None, vec!["to/t"], vec!["empty"], Action::Load),
        (Contents::Empty, None, vec!["to/t"], vec!["empty"], Action::Load),
        (Contents::Rows, merge, vec!["to/t"], vec![], Action::Merge),
        (Contents::Rows, merge, vec!["ks/t"], vec![CONFIRM], Action::Merge),
        (Contents::Empty, merge, vec![], vec![], Action::Merge),
        (Contents::Rows, undo, vec!["to/t"], vec![], Action::Undo),
        (Contents::Empty, undo, vec![], vec![CONFIRM], Action::Undo),
        (Contents::Unknown("tombstones".into()), undo, vec!["to/t"], vec![], Action::Undo),
        (Contents::Unknown("tombstones".into()), merge, vec!["to/t"], vec!["empty"], Action::Load),
    ];
    for (contents, if_exists, names, expected, action) in table {
        let options = CqlOptions { if_exists, into_non_empty: typed(&names), ..options() };
        let (plan, failed) = plan(&line(), keyspace("ks"), &options, there(contents.clone()));
        assert_eq!((failed, plan.objects[0].action), (typed(&expected), action), "{contents:?} {if_exists:?}");
        let choices = plan.checks.iter().filter_map(|l| l.hint.as_ref()).any(|h| h.contains("--if-exists undo"));
        assert_eq!(choices, if_exists.is_none() || expected == ["empty"], "{:?}", plan.checks);
    }
}

#[test]
fn a_merge_strips_nothing_and_says_what_becomes_of_lists() {
    let merge = |ttl, contents, cql_type: &str| {
        let options =
            CqlOptions { if_exists: Some(IfExists::Merge), into_non_empty: vec!["to/t".into()], ttl, ..options() };
        let (mut captured, mut seen) = (keyspace("ks"), there(contents));
        captured.tables[0].columns[1].cql_type = cql_type.into();
        seen.keyspaces[0].tables[0].columns[1].cql_type = cql_type.into();
        plan(&line(), captured, &options, seen)
    };
    let warned = |cql_type: &str| {
        let (made, failed) = merge(TtlPolicy::Keep, Contents::Rows, cql_type);
        assert!(failed.is_empty(), "{failed:?}");
        made.checks.iter().any(|l| l.name == "lists" && l.status == Status::Warn && l.detail.contains("(v)"))
    };
    assert_eq!(["list<int>", "frozen<list<int>>", "set<int>"].map(warned), [true, false, false]);
    let no = Vec::<String>::new();
    assert_eq!(merge(TtlPolicy::Strip, Contents::Rows, "int").1, ["ttl"]);
    assert_eq!(merge(TtlPolicy::Strip, Contents::Empty, "int").1, no);
    assert_eq!(merge(TtlPolicy::Rebase, Contents::Rows, "int").1, no);
}

#[test]
fn an_undo_leaves_the_schema_alone_and_names_what_follows_it() {
    let options = CqlOptions { if_exists: Some(IfExists::Undo), into_non_empty: vec!["to/t".into()], ..options() };
    let mut seen = there(Contents::Rows);
    seen.keyspaces[0].statements.push(CreateStatement {
        kind: "materialized_view".into(),
        name: "by_v".into(),
        statement: "CREATE MATERIALIZED VIEW to.by_v AS SELECT * FROM to.t WHERE v IS NOT NULL PRIMARY KEY (v, k);"
            .into(),
    });
    seen.keyspaces[0].statements[0].statement = "CREATE TABLE to.t (k int PRIMARY KEY, v int) WITH cdc = true;".into();
    let (plan, failed) = plan(&line(), keyspace("ks"), &options, seen);
    assert!(failed.is_empty() && plan.schema.is_empty() && plan.undoes(), "{failed:?} {:?}", plan.schema);
    for name in ["view", "cdc", "lwt"] {
        assert!(plan.checks.iter().any(|l| l.name == name && l.status == Status::Warn), "{name}");
    }
}

#[test]
fn columns_may_come_and_go_before_an_undo_but_not_change() {
    let options = CqlOptions { if_exists: Some(IfExists::Undo), into_non_empty: vec!["to/t".into()], ..options() };
    let check = |change: fn(&mut TableRows)| {
        let mut seen = there(Contents::Rows);
        change(&mut seen.keyspaces[0].tables[0]);
        plan(&line(), keyspace("ks"), &options, seen).1
    };
    let mut seen = there(Contents::Rows);
    seen.keyspaces[0].tables[0].columns.pop();
    let (made, _) = plan(&line(), keyspace("ks"), &options, seen);
    assert_eq!(made.schema, ["ALTER TABLE \"to\".\"t\" ADD \"v\" int"]);
    let no = Vec::<String>::new();
    assert_eq!(check(|t| drop(t.columns.pop())), no);
    assert_eq!(check(|t| t.columns.push(ColumnRow { name: "w".into(), ..t.columns[1].clone() })), no);
    assert_eq!(check(|t| t.columns[1].cql_type = "text".into()), ["schema"]);
    assert_eq!(
        check(|t| t.columns.push(ColumnRow { name: "c".into(), kind: "clustering".into(), ..t.columns[1].clone() })),
        ["schema"]
    );
    let strip = CqlOptions { ttl: TtlPolicy::Strip, ..options.clone() };
    assert_eq!(plan(&line(), keyspace("ks"), &strip, there(Contents::Rows)).1, ["ttl"]);
}

#[test]
fn counters_need_an_empty_table_and_every_node() {
    let mut counters = keyspace("ks");
    counters.tables[0].columns[1].cql_type = "counter".into();
    let (made, failed) = plan(&line(), counters.clone(), &options(), seen());
    assert!(failed.is_empty() && made.checks.iter().any(|l| l.name == "counters" && l.status == Status::Warn));
    let of = |if_exists| CqlOptions { into_non_empty: vec!["to/t".into()], if_exists, ..options() };
    for contents in [Contents::Rows, Contents::EmptyAtQuorum] {
        let mut seen = seen();
        seen.contents.insert(("to".into(), "t".into()), contents);
        assert_eq!(plan(&line(), counters.clone(), &of(Some(IfExists::Merge)), seen.clone()).1, vec!["empty"]);
        assert_eq!(plan(&line(), counters.clone(), &of(Some(IfExists::Undo)), seen).1, vec!["undo"]);
    }
    let mut down = seen();
    down.nodes[0].up = false;
    let declared = CqlOptions { write_level: Some("quorum".into()), ..options() };
    assert_eq!(plan(&line(), counters, &declared, down).1, vec!["write-level"]);
}

#[test]
fn views_are_made_last_where_the_destination_allows_them() {
    let mut captured = keyspace("ks");
    captured.statements.push(CreateStatement {
        kind: "materialized_view".into(),
        name: "by_v".into(),
        statement: "CREATE MATERIALIZED VIEW ks.by_v AS SELECT * FROM ks.t WHERE v IS NOT NULL PRIMARY KEY (v, k);"
            .into(),
    });
    let warned = |plan: &RestorePlan| {
        let line = plan.checks.iter().find(|line| line.name == "view");
        line.is_some_and(|line| line.status == Status::Warn && line.detail.contains("by_v"))
    };
    let (made, _) = plan(&line(), captured.clone(), &options(), seen());
    assert!(
        made.schema.last().unwrap().starts_with("CREATE MATERIALIZED VIEW IF NOT EXISTS \"to\".by_v") && !warned(&made)
    );
    let (made, failed) = plan(&line(), captured, &options(), Observed { allows_views: false, ..seen() });
    assert!(failed.is_empty() && warned(&made) && made.schema.iter().all(|s| !s.contains("by_v")));
}

#[test]
fn functions_are_made_before_tables_and_named_where_they_are_not() {
    let mut captured = keyspace("ks");
    let table = captured.statements.iter_mut().find(|item| item.kind == "table").unwrap();
    table.statement = "CREATE TABLE ks.t (k int PRIMARY KEY, v int MASKED WITH ks.f(1));".into();
    for (kind, name, statement) in [
        ("aggregate", "a", "CREATE AGGREGATE ks.a(int) SFUNC f STYPE int INITCOND 0;"),
        ("function", "f", "CREATE FUNCTION ks.f(x int, y int) RETURNS int LANGUAGE java AS $$ return x; $$;"),
        ("trigger", "audit", "CREATE TRIGGER \"audit\" ON \"ks\".\"t\" USING 'a.B'"),
    ] {
        captured.statements.push(CreateStatement { kind: kind.into(), name: name.into(), statement: statement.into() });
    }
    let said = |plan: &RestorePlan, word: &str| {
        plan.checks.iter().any(|line| line.status == Status::Warn && line.detail.contains(word))
    };
    let (made, failed) = plan(&line(), captured.clone(), &options(), seen());
    let starts = ["CREATE KEYSPACE", "CREATE FUNCTION", "CREATE AGGREGATE", "CREATE TABLE"];
    assert!(made.schema.iter().zip(starts).all(|(statement, start)| statement.starts_with(start)), "{:?}", made.schema);
    assert!(
        failed.is_empty() && made.schema[3].contains("MASKED WITH \"to\".f(1)") && said(&made, "trigger audit on t")
    );
    assert!(made.checks.iter().any(|line| line.name == "roles" && line.status == Status::Ok));

    let none = Languages { java: false, others: false };
    let (made, failed) = plan(&line(), captured, &options(), Observed { functions: none, authorizes: true, ..seen() });
    let left = made.schema.iter().any(|s| s.contains("MASKED") || s.contains("FUNCTION") || s.contains("AGGREGATE"));
    assert!(failed.is_empty() && !left, "{:?}", made.schema);
    assert!(["function f", "aggregate a", "column v is not masked", "roles"].iter().all(|word| said(&made, word)));
}

#[test]
fn the_plan_says_what_becomes_of_times_to_live() {
    let line = line();
    let ttl = |ttl, default, last_expiry| {
        let mut keyspace = keyspace("ks");
        keyspace.tables[0].default_time_to_live = default;
        let seen = Observed { last_expiry, ..seen() };
        let (made, failed) = plan(&line, keyspace, &CqlOptions { ttl, ..options() }, seen);
        assert!(failed.is_empty(), "{failed:?}");
        made.checks
            .into_iter()
            .filter(|line| line.name == "ttl")
            .map(|line| (line.status, line.detail))
            .collect::<Vec<_>>()
    };
    for (policy, word) in [(TtlPolicy::Keep, "keep"), (TtlPolicy::Rebase, "rebase"), (TtlPolicy::Strip, "strip")] {
        let lines = ttl(policy, 0, LAST_EXPIRY_2038);
        assert!(lines.len() == 1 && lines[0].0 == Status::Ok && lines[0].1.starts_with(word), "{lines:?}");
        assert_eq!(lines[0].1.contains("2038-01-19T03:14:06Z"), policy != TtlPolicy::Strip);
    }
    let until_2038 = i32::MAX;
    assert_eq!(ttl(TtlPolicy::Keep, until_2038, LAST_EXPIRY_2038).last().unwrap().0, Status::Warn);
    assert_eq!(ttl(TtlPolicy::Keep, until_2038, LAST_EXPIRY_2106).len(), 1);
    assert_eq!(ttl(TtlPolicy::Strip, until_2038, LAST_EXPIRY_2038).len(), 1);
}

#[test]
fn a_node_that_is_down_needs_a_declared_level() {
    let mut seen = seen();
    seen.nodes[0].up = false;
    let declared = CqlOptions { write_level: Some("QUORUM".into()), ..options() };
    let (made, failed) = plan(&line(), keyspace("ks"), &declared, seen);
    assert_eq!((made.write_level.as_deref(), failed.len()), (Some("quorum"), 0));
    assert!(made.checks.iter().any(|l| l.name == "write-level" && l.status == Status::Warn));
    let (made, _) = plan(&line(), keyspace("ks"), &declared, super::tests::seen());
    assert_eq!(made.write_level.as_deref(), Some("all"));
}

#[test]
fn a_table_that_exists_must_have_the_same_columns() {
    let mut there = keyspace("to");
    let mut same = seen();
    same.keyspaces.push(there.clone());
    let (made, failed) = plan(&line(), keyspace("ks"), &options(), same);
    assert!(failed.is_empty() && !made.schema[0].starts_with("CREATE KEYSPACE"), "{:?}", made.schema);
    there.tables[0].columns[1].cql_type = "text".into();
    let mut other = seen();
    other.keyspaces.push(there);
    assert_eq!(plan(&line(), keyspace("ks"), &options(), other).1, vec!["schema"]);
}

#[test]
fn only_types_that_the_chosen_tables_use_must_be_the_same() {
    let udt =
        |field: &str| UdtSchema { name: "u".into(), field_names: vec!["f".into()], field_types: vec![field.into()] };
    let undo = CqlOptions { if_exists: Some(IfExists::Undo), into_non_empty: vec!["to/t".into()], ..options() };
    for (cql_type, expected) in [("int", vec![]), ("list<frozen<u>>", vec!["schema"])] {
        let (mut captured, mut seen) = (keyspace("ks"), there(Contents::Rows));
        captured.types.push(udt("int"));
        seen.keyspaces[0].types.push(udt("text"));
        captured.tables[0].columns[1].cql_type = cql_type.into();
        seen.keyspaces[0].tables[0].columns[1].cql_type = cql_type.into();
        assert_eq!(plan(&line(), captured, &undo, seen).1, expected, "{cql_type}");
    }
}

#[test]
fn an_unreachable_destination_fails_the_plan_but_still_shows_it() {
    let line = line();
    let wanted = [Wanted { line: &line, schema: Ok(keyspace("ks")) }];
    let plan = decide(
        &wanted,
        &options(),
        "10.0.0.1:9042",
        &Err(Unseen { why: "refused".into(), hint: "check the credentials", retryable: false }),
    );
    assert_eq!(refusals(&plan)[0].name, "connect");
    assert_eq!(plan.rows, 8);
}

#[test]
fn what_an_older_destination_does_not_know_is_refused_or_left_out_with_a_word() {
    let older =
        || Observed { members: vec![member("a", "4.1.10"), member("b", "4.1.9")], allows_masks: false, ..seen() };
    let mut captured = keyspace("ks");
    captured.statements[0].statement =
        "CREATE TABLE ks.t (k int PRIMARY KEY, v int MASKED WITH system.mask_default()) \
                                        WITH allow_auto_snapshot = true AND incremental_backups = false;"
            .into();
    captured.statements[1].statement = "CREATE CUSTOM INDEX i ON ks.t (v) USING 'sai';".into();
    let (made, failed) = plan(&line(), captured.clone(), &options(), older());
    let warned: Vec<&str> = made
        .checks
        .iter()
        .filter(|l| l.name == "release" && l.status == Status::Warn)
        .map(|l| l.subject.as_str())
        .collect();
    assert_eq!((failed, warned), (vec![], vec!["to/t", "to/t", "to/i"]));
    assert_eq!(made.schema[1..], ["CREATE TABLE IF NOT EXISTS \"to\".t (k int PRIMARY KEY, v int)"]);

    captured.types = vec![UdtSchema {
        name: "u".into(),
        field_names: vec!["f".into()],
        field_types: vec!["vector<float, 2>".into()],
    }];
    let (made, failed) = plan(&line(), captured.clone(), &options(), older());
    assert!(failed.is_empty() && made.schema.iter().all(|s| !s.contains("TYPE")), "{:?}", made.schema);
    captured.tables[0].columns[1].cql_type = "list<frozen<u>>".into();
    let (made, failed) = plan(&line(), captured.clone(), &options(), older());
    assert_eq!(failed, ["release"]);
    assert_eq!((refusals(&made)[0].subject.as_str(), refusals(&made)[0].detail.contains("\"v\"")), ("to/t", true));
    let (made, failed) = plan(&line(), captured, &options(), seen());
    assert!(failed.is_empty() && made.schema.iter().any(|s| s.contains("CREATE TYPE")), "{failed:?}");
}
