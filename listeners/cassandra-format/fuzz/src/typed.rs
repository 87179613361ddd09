//! Texts of types in both notations, and rows of `system_schema`.

use tidemark_cassandra_format::schema::{ColumnRow, TableRows, TableSchema};
use tidemark_cassandra_format::types::{CqlType, MarshalType, UserTypeDefinition, UserTypes};

use crate::fixture::{self, Fixture};
use crate::tables;

/// A text in marshal or CQL notation.
pub(crate) fn types(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let marshal = MarshalType::parse(text);
    assert_eq!(marshal, MarshalType::parse(text));
    let user = |name: &str| (name.len() < 4).then(|| user_type(name));
    let cql = CqlType::parse_cql(text, &user);
    assert_eq!(cql, CqlType::parse_cql(text, &user));
    let key = MarshalType::parse_key(text);
    let parsed = marshal.into_iter().map(|marshal| marshal.cql_type).chain(cql).chain(key.into_iter().flatten());
    parsed.for_each(|one| expect_type(&one));
}

fn user_type(name: &str) -> CqlType {
    let fields = vec![("a".to_owned(), CqlType::Int), ("b".to_owned(), CqlType::Text)];
    CqlType::Udt { keyspace: "fx".to_owned(), name: name.to_owned(), fields, frozen: false }
}

fn expect_type(parsed: &CqlType) {
    assert!(parsed.is_readable_as(parsed), "{parsed:?}");
    let frozen = parsed.clone().freeze();
    assert!(!frozen.is_multi_cell() && frozen.path_type().is_none(), "{parsed:?}");
    assert_eq!(frozen.clone().freeze(), frozen);
    assert_eq!(parsed.path_type().is_some(), parsed.is_multi_cell(), "{parsed:?}");
    assert_eq!(parsed.is_comparable(), frozen.is_comparable());
    assert_eq!(parsed.fixed_length(), frozen.fixed_length());
}

pub(crate) fn type_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        rows("column").into_iter().filter_map(|row| Some(row.get(6)?.clone().into_bytes())).collect();
    // Headers hold the types of all columns in marshal notation, as text.
    for fixture in Fixture::all() {
        let bytes = fixture.component("Statistics.db").unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let words = text.split(|c: char| !(c.is_ascii_graphic() || c == ' '));
        seeds.extend(words.filter(|word| word.starts_with("org.apache")).map(|word| word.as_bytes().to_vec()));
    }
    seeds.sort();
    seeds.dedup();
    seeds
}

/// Lines of `system_schema` as in `testdata/schema.tsv`, all of one table.
pub(crate) fn schema(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let definitions: Vec<UserTypeDefinition> = lines.iter().filter_map(|line| definition(line)).collect();
    let columns: Vec<ColumnRow> = lines.iter().filter_map(|line| column(line)).collect();
    let dropped: Vec<(String, i64)> = lines.iter().filter_map(|line| drop_of(line)).collect();
    let user_types = UserTypes::resolve("fx", &definitions);
    assert_eq!(user_types, UserTypes::resolve("fx", &definitions));
    let Ok(user_types) = user_types else { return };
    definitions.iter().filter_map(|one| user_types.get(&one.name)).for_each(|one| expect_type(&one));
    let rows = TableRows { keyspace: "fx", table: "t", columns: &columns, user_types: &user_types, dropped: &dropped };
    let built = TableSchema::build(&rows);
    assert_eq!(built, TableSchema::build(&rows));
    if let Ok(schema) = built {
        expect_schema(&schema, &columns);
    }
}

fn definition(line: &[&str]) -> Option<UserTypeDefinition> {
    let ["type", name, names, types] = line else { return None };
    let list = |text: &str| text.split('\u{1}').map(str::to_owned).collect();
    Some(UserTypeDefinition { name: (*name).to_owned(), field_names: list(names), field_types: list(types) })
}

fn column(line: &[&str]) -> Option<ColumnRow> {
    let ["column", _, name, kind, position, order, cql_type] = line else { return None };
    let [name, kind, clustering_order, cql_type] = [name, kind, order, cql_type].map(|text| (*text).to_owned());
    Some(ColumnRow { name, kind, position: position.parse().ok()?, clustering_order, cql_type })
}

fn drop_of(line: &[&str]) -> Option<(String, i64)> {
    let ["dropped", _, name, at] = line else { return None };
    Some(((*name).to_owned(), at.parse().ok()?))
}

/// Every column has a place, none has two, and columns of one cell come first.
fn expect_schema(schema: &TableSchema, rows: &[ColumnRow]) {
    let plain = [&schema.statics, &schema.regulars];
    let clustering = schema.clustering.iter().map(|column| &column.column);
    let all = schema.partition_key.iter().chain(clustering).chain(plain.into_iter().flatten());
    let mut names: Vec<&str> = all.map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    let mut given: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    given.sort_unstable();
    assert_eq!(names, given);
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "names are unique");
    for columns in plain {
        let place = |at: usize| (columns[at].cql_type.is_multi_cell(), columns[at].name.as_bytes());
        assert!((1..columns.len()).all(|at| place(at - 1) < place(at)), "columns are in the order of storage");
    }
    let key = schema.partition_key.iter().chain(schema.clustering.iter().map(|column| &column.column));
    assert!(key.into_iter().all(|column| !column.cql_type.is_multi_cell()), "keys are one value");
}

pub(crate) fn schema_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for table in tables::all() {
        let path = &table.fixture.path;
        let (run, name) = path.split_once('/').unwrap_or((".", path));
        let belongs = |line: &&str| line.starts_with("type\t") || line.split('\t').nth(1) == Some(name);
        let text = read_schema(run);
        seeds.push(text.lines().filter(belongs).collect::<Vec<_>>().join("\n").into_bytes());
    }
    seeds.sort();
    seeds.dedup();
    seeds
}

fn read_schema(run: &str) -> String {
    std::fs::read_to_string(fixture::testdata().join(run).join("schema.tsv")).expect("a schema of each run")
}

fn rows(kind: &str) -> Vec<Vec<String>> {
    let text = read_schema(".") + &read_schema("da");
    let lines = text.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| line.first().is_some_and(|first| first == kind)).collect()
}
