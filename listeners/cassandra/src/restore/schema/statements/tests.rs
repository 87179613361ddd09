use super::*;
use crate::restore::schema::known::built;

fn item(kind: &str, name: &str, statement: &str) -> CreateStatement {
    CreateStatement { kind: kind.into(), name: name.into(), statement: statement.into() }
}

pub(in crate::restore::schema) fn column(name: &str, kind: &str, cql_type: &str) -> ColumnRow {
    let (name, kind, cql_type) = (name.to_owned(), kind.to_owned(), cql_type.to_owned());
    ColumnRow { name, kind, position: -1, clustering_order: "none".into(), cql_type }
}

fn dropped(name: &str) -> crate::cluster::DroppedColumnRow {
    let (kind, cql_type) = ("regular".to_owned(), "int".to_owned());
    crate::cluster::DroppedColumnRow { name: name.into(), kind, cql_type, dropped_micros: "1".into() }
}

pub(in crate::restore::schema) fn keyspace(
    statements: Vec<CreateStatement>,
    columns: Vec<ColumnRow>,
    gone: Vec<&str>,
) -> KeyspaceSchema {
    KeyspaceSchema {
        name: "ks".into(),
        replication: BTreeMap::from([("class".to_owned(), "SimpleStrategy".to_owned())]),
        durable_writes: true,
        types: vec![],
        tables: vec![TableRows {
            name: "t".into(),
            id: "0".repeat(32),
            flags: vec!["compound".into()],
            gc_grace_seconds: 864_000,
            default_time_to_live: 0,
            columns,
            dropped: gone.into_iter().map(dropped).collect(),
        }],
        statements,
    }
}

fn made(captured: &KeyspaceSchema) -> SchemaStatements {
    statements(captured, &["t"], "to", &captured.replication).unwrap()
}

#[test]
fn the_keyspace_is_renamed_by_structure_and_the_id_leaves() {
    let text = "CREATE TABLE ks.t (\n    k int PRIMARY KEY,\n    ks text\n) WITH ID = 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n    AND comment = 'ks.t; ID = 1 AND x'\n    AND caching = {'keys': 'ALL'};";
    let columns = vec![column("k", "partition_key", "int"), column("ks", "regular", "text")];
    let table = &made(&keyspace(vec![item("table", "t", text)], columns, vec![])).tables[0];
    assert_eq!(
        table,
        "CREATE TABLE IF NOT EXISTS \"to\".t (k int PRIMARY KEY, ks text) WITH comment = 'ks.t; ID = 1 AND x' AND caching = {'keys': 'ALL'}"
    );
}

#[test]
fn dropped_columns_leave_and_those_added_again_come_as_added() {
    let text = "CREATE TABLE ks.t (\n k int,\n gone int,\n again int,\n PRIMARY KEY (k)\n) WITH ID = 6ba7b810-9dad-11d1-80b4-00c04fd430c8;\nALTER TABLE ks.t DROP gone USING TIMESTAMP 5;\nALTER TABLE ks.t DROP again USING TIMESTAMP 6;\nALTER TABLE ks.t ADD again bigint static;";
    let columns = vec![column("k", "partition_key", "int"), column("again", "static", "bigint")];
    let captured = keyspace(vec![item("table", "t", text)], columns, vec!["gone", "again"]);
    let table = &made(&captured).tables[0];
    assert_eq!(table, "CREATE TABLE IF NOT EXISTS \"to\".t (k int, again bigint static, PRIMARY KEY (k))");
}

#[test]
fn hostile_names_stay_names() {
    let text = "CREATE TABLE ks.t (\"k\"\"; DROP TABLE x\" int PRIMARY KEY) WITH comment = 'it''s'";
    let columns = vec![column("k\"; DROP TABLE x", "partition_key", "int")];
    let captured = keyspace(vec![item("table", "t", text)], columns, vec![]);
    let made = statements(&captured, &["t"], "we\"ird", &captured.replication).unwrap();
    assert!(made.keyspace.starts_with("CREATE KEYSPACE IF NOT EXISTS \"we\"\"ird\" WITH"));
    assert!(made.tables[0].starts_with("CREATE TABLE IF NOT EXISTS \"we\"\"ird\".t (\"k\"\"; DROP TABLE x\" int"));
}

#[test]
fn types_come_after_the_types_they_use() {
    let mut captured = keyspace(
        vec![
            item("table", "t", "CREATE TABLE ks.t (k int PRIMARY KEY)"),
            item("type", "a", "CREATE TYPE ks.a (x frozen<b>);"),
            item("type", "b", "CREATE TYPE ks.b (y int);"),
        ],
        vec![column("k", "partition_key", "int")],
        vec![],
    );
    let udt = |name: &str, field: &str| UdtSchema {
        name: name.into(),
        field_names: vec!["x".into()],
        field_types: vec![field.into()],
    };
    captured.types = vec![udt("a", "frozen<b>"), udt("b", "int")];
    let types = made(&captured).types;
    assert_eq!(types[0], "CREATE TYPE IF NOT EXISTS \"to\".b (y int)");
    assert_eq!(types[1], "CREATE TYPE IF NOT EXISTS \"to\".a (x frozen<b>)");
}

#[test]
fn indexes_and_views_of_chosen_tables_are_made() {
    let captured = keyspace(
        vec![
            item("table", "t", "CREATE TABLE ks.t (k int PRIMARY KEY)"),
            item("index", "i", "CREATE CUSTOM INDEX i ON ks.t (values(m)) USING 'sai' WITH OPTIONS = {'a': 'ks.t'};"),
            item("index", "j", "CREATE INDEX j ON ks.other (v);"),
            item(
                "materialized_view",
                "V",
                "CREATE MATERIALIZED VIEW ks.\"V\" AS\n SELECT *\n FROM ks.t\n WHERE m IS NOT NULL\n PRIMARY KEY (m, k)\n WITH ID = 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n AND CLUSTERING ORDER BY (k ASC)\n AND comment = 'ks.t WITH';",
            ),
            item(
                "materialized_view",
                "w",
                "CREATE MATERIALIZED VIEW ks.w AS SELECT * FROM ks.other WHERE k = 1 PRIMARY KEY (k);",
            ),
            item("aggregate", "a", "CREATE AGGREGATE ks.a(int)\n SFUNC f\n STYPE int\n INITCOND 0;"),
            item(
                "function",
                "f",
                "CREATE FUNCTION ks.f(x int, y int)\n RETURNS int\n LANGUAGE java\n AS $$ return ks.f; /* ' */ $$;",
            ),
            item("function", "g", "CREATE FUNCTION ks.g() AS $$ $$ x $$;"),
            item("trigger", "T", "CREATE TRIGGER \"T\" ON \"ks\".\"t\" USING 'a.B'"),
            item("trigger", "U", "CREATE TRIGGER \"U\" ON \"ks\".\"other\" USING 'a.B'"),
        ],
        vec![column("k", "partition_key", "int")],
        vec![],
    );
    let made = made(&captured);
    let index = "CREATE CUSTOM INDEX IF NOT EXISTS i ON \"to\".t (values(m)) USING 'sai' WITH OPTIONS = {'a': 'ks.t'}";
    assert_eq!(made.indexes, vec![index.to_owned()]);
    let view = "CREATE MATERIALIZED VIEW IF NOT EXISTS \"to\".\"V\" AS\n SELECT *\n FROM \"to\".t\n WHERE m IS NOT NULL\n PRIMARY KEY (m, k) WITH CLUSTERING ORDER BY (k ASC) AND comment = 'ks.t WITH'";
    assert_eq!(made.views, vec![("V".to_owned(), view.to_owned())]);
    let functions: Vec<(&str, &str)> = made.functions.iter().map(|f| (f.name.as_str(), f.statement.as_str())).collect();
    let function = "CREATE FUNCTION IF NOT EXISTS \"to\".f(x int, y int)\n RETURNS int\n LANGUAGE java\n AS $$ return ks.f; /* ' */ $$";
    let aggregate = "CREATE AGGREGATE IF NOT EXISTS \"to\".a(int)\n SFUNC f\n STYPE int\n INITCOND 0";
    assert_eq!(functions, [("f", function), ("a", aggregate)]);
    assert!(functions.iter().all(|(_, statement)| built(statement).is_none()));
    let warnings = made.warnings.join("; ");
    assert!(made.warnings.len() == 2 && warnings.contains("function g is not"), "{warnings}");
    assert!(warnings.contains("trigger T on t is not part"), "{warnings}");
    let named = |statement: &str| built(statement).map(|built| built.to_string());
    assert_eq!(named(index).as_deref(), Some("index to.i"));
    assert_eq!(named(view).as_deref(), Some("materialised view to.V"));
    assert_eq!((named(&made.tables[0]), named(&made.keyspace)), (None, None));
}

/// A keyspace `ks` with a table `t` and one more item.
fn with(other: CreateStatement) -> KeyspaceSchema {
    let table = item("table", "t", "CREATE TABLE ks.t (k int PRIMARY KEY)");
    keyspace(vec![table, other], vec![column("k", "partition_key", "int")], vec![])
}

#[test]
fn a_statement_that_makes_something_else_is_not_run() {
    let strays = [
        ("type", "a", "DROP TYPE ks.a"),
        ("type", "a", "CREATE TYPE prod.a (x int)"),
        ("type", "a", "CREATE TYPE ks.b (x int)"),
        ("index", "i", "DROP INDEX prod.i ON ks.t"),
        ("materialized_view", "v", "DROP MATERIALIZED VIEW prod.v; CREATE VIEW FROM ks.t"),
        ("trigger", "x", "DROP TRIGGER x ON ks.t"),
    ];
    for (kind, name, statement) in strays {
        let mut captured = with(item(kind, name, statement));
        let fields = (vec!["x".to_owned()], vec!["int".to_owned()]);
        captured.types = vec![UdtSchema { name: "a".into(), field_names: fields.0, field_types: fields.1 }];
        let error = statements(&captured, &["t"], "prod", &captured.replication).unwrap_err();
        assert!(matches!(&error, Error::Stray { name: of, .. } if of == name), "{statement}: {error}");
    }
    for statement in
        ["CREATE TABLE prod.t (k int PRIMARY KEY)", "CREATE TABLE ks.u (k int PRIMARY KEY)", "DROP TABLE ks.t"]
    {
        let captured = keyspace(vec![item("table", "t", statement)], vec![], vec![]);
        let error = statements(&captured, &["t"], "prod", &captured.replication).unwrap_err();
        assert!(matches!(&error, Error::Stray { .. }), "{statement}: {error}");
    }
}

#[test]
fn a_function_that_is_none_is_left_out_and_named() {
    for statement in ["DROP FUNCTION IF EXISTS prod.f", "CREATE FUNCTION prod.f() RETURNS int LANGUAGE java AS $$ $$"] {
        let captured = with(item("function", "f", statement));
        let made = statements(&captured, &["t"], "prod", &captured.replication).unwrap();
        assert_eq!(made.functions, []);
        assert!(
            made.warnings.len() == 1 && made.warnings[0].starts_with("function f is not made again"),
            "{:?}",
            made.warnings
        );
        assert!(made.warnings[0].contains("does not make it in keyspace \"ks\""), "{:?}", made.warnings);
    }
}

#[test]
fn a_script_with_an_unknown_statement_is_refused() {
    let text = "CREATE TABLE ks.t (k int PRIMARY KEY); GRANT ALL ON ks.t TO x;";
    let captured = keyspace(vec![item("table", "t", text)], vec![column("k", "partition_key", "int")], vec![]);
    assert!(matches!(
        statements(&captured, &["t"], "to", &captured.replication),
        Err(Error::Statement { source: cql::Error::Shape(_), .. })
    ));
}
