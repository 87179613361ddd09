//! What is read equals what Cassandra's own `sstabledump -t -l` prints: keys, clusterings, order, write times, TTLs,
//! deletions, paths, and the values that it prints plainly.

use bytes::Bytes;
use serde_json::Value;
use tidemark_cassandra_format::key;
use tidemark_cassandra_format::model::{
    BoundKind, Cell, CellState, ColumnData, ColumnIndex, Deletion, Expiry, Liveness, Marker, Partition, PathCell, Row,
    Unfiltered,
};
use tidemark_cassandra_format::schema::{Column, TableSchema};
use tidemark_cassandra_format::types::CqlType;

use crate::common::Fixture;

#[test]
fn every_fixture_reads_as_cassandra_dumps_it() {
    let mut compared = 0;
    // Cells of dropped columns are in the dump, but not for Cassandra's readers: see the test of that table.
    for fixture in Fixture::all().iter().filter(|fixture| fixture.path != "dropped") {
        let Some(dump) = fixture.dump() else {
            assert!(fixture.path.ends_with("/tuples"), "{} has no dump", fixture.path);
            continue;
        };
        let path = &fixture.path;
        let parse = |line: &str| serde_json::from_str(&without_huge_numbers(line)).unwrap();
        let dumped: Vec<Value> = dump.lines().map(parse).collect();
        let content = fixture.read().unwrap();
        assert_eq!(content.len(), dumped.len(), "{path}");
        for ((partition, rows), dumped) in content.iter().zip(&dumped) {
            Comparison { schema: &fixture.schema, table: path }.partition(partition, rows, dumped);
        }
        compared += 1;
    }
    assert!(compared > 90, "{compared} SSTables");
}

/// Some decimals are beyond what a JSON parser takes for a number; decimals are not compared.
fn without_huge_numbers(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("E+") {
        let digits = rest[at + 2..].bytes().take_while(u8::is_ascii_digit).count();
        let start =
            rest[..at].rfind(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').map_or(0, |before| before + 1);
        let end = at + 2 + digits;
        if digits > 2 && start < at {
            kept.push_str(&rest[..start]);
            kept.push_str("null");
        } else {
            kept.push_str(&rest[..end]);
        }
        rest = &rest[end..];
    }
    kept + rest
}

struct Comparison<'a> {
    schema: &'a TableSchema,
    table: &'a str,
}

impl Comparison<'_> {
    fn partition(&self, partition: &Partition, rows: &[Unfiltered], dumped: &Value) {
        self.key(&partition.key, &dumped["partition"]["key"]);
        assert_eq!(partition.deletion, deletion(&dumped["partition"]["deletion_info"]), "{}", self.table);
        let mut dumped = dumped["rows"].as_array().unwrap().iter().peekable();
        let static_row = dumped.next_if(|row| row["type"] == "static_block");
        assert_eq!(static_row.is_some(), partition.static_row.is_some(), "{}", self.table);
        if let (Some(row), Some(dumped)) = (&partition.static_row, static_row) {
            self.cells(row, &self.schema.statics, dumped);
        }
        let dumped: Vec<&Value> = dumped.collect();
        assert_eq!(rows.len(), dumped.len(), "{} {:?}", self.table, partition.key);
        for (unfiltered, dumped) in rows.iter().zip(dumped) {
            match unfiltered {
                Unfiltered::Row(row) => self.row(row, dumped),
                Unfiltered::Marker(marker) => self.marker(marker, dumped),
            }
        }
    }

    fn key(&self, key: &Bytes, dumped: &Value) {
        let values = key::split(self.schema, key).unwrap();
        let dumped = dumped.as_array().unwrap();
        assert_eq!(values.len(), dumped.len());
        for ((value, column), dumped) in values.iter().zip(&self.schema.partition_key).zip(dumped) {
            assert_eq!(Some(plain(&column.cql_type, value).as_str()), dumped.as_str(), "{}", self.table);
        }
    }

    fn row(&self, row: &Row, dumped: &Value) {
        assert_eq!(dumped["type"], "row", "{}", self.table);
        self.clustering(&row.clustering, &dumped["clustering"]);
        assert_eq!(row.liveness, liveness(&dumped["liveness_info"]), "{} {dumped}", self.table);
        assert_eq!(row.deletion.time, deletion(&dumped["deletion_info"]), "{} {dumped}", self.table);
        self.cells(row, &self.schema.regulars, dumped);
    }

    fn clustering(&self, values: &[Option<Bytes>], dumped: &Value) {
        let none = Vec::new();
        let dumped = dumped.as_array().unwrap_or(&none);
        // A bound's dump shows `*` for each column that its prefix lacks.
        assert!(dumped.iter().skip(values.len()).all(|value| value == "*"), "{dumped:?}");
        for ((value, column), dumped) in values.iter().zip(&self.schema.clustering).zip(dumped) {
            self.value(&column.column.cql_type, value.as_ref().expect("no fixture has null clusterings"), dumped);
        }
    }

    fn marker(&self, marker: &Marker, dumped: &Value) {
        let (start, end) = (&dumped["start"], &dumped["end"]);
        let side = |bound: &Value| bound.as_object().map(|bound| bound["type"].as_str().unwrap().to_owned());
        let expected = match marker.kind {
            BoundKind::ExclEnd => (None, Some("exclusive")),
            BoundKind::InclStart => (Some("inclusive"), None),
            BoundKind::ExclEndInclStart => (Some("inclusive"), Some("exclusive")),
            BoundKind::InclEndExclStart => (Some("exclusive"), Some("inclusive")),
            BoundKind::InclEnd => (None, Some("inclusive")),
            BoundKind::ExclStart => (Some("exclusive"), None),
        };
        assert_eq!((side(start).as_deref(), side(end).as_deref()), expected, "{dumped}");
        for (bound, time) in [(start, marker.open), (end, marker.close)] {
            let Some(time) = time else { continue };
            assert_eq!(time, deletion(&bound["deletion_info"]), "{dumped}");
            self.clustering(&marker.prefix, &bound["clustering"]);
        }
    }

    /// Compares cell by cell, in the dump's order, which is the file's.
    fn cells(&self, row: &Row, columns: &[Column], dumped: &Value) {
        let mut dumped = dumped["cells"].as_array().unwrap().iter().peekable();
        for (index, data) in &row.columns {
            let column = &columns[usize::from(*index)];
            let mut next = |is_deletion: bool| {
                let cell = dumped.next_if(|cell| {
                    unquoted(&cell["name"]) == column.name
                        && (cell["deletion_info"]["marked_deleted"] != Value::Null) == is_deletion
                });
                cell.unwrap_or_else(|| panic!("{} {} is not dumped here", self.table, column.name))
            };
            match data {
                ColumnData::Simple(cell) => self.cell(row, &column.cql_type, cell, next(false)),
                ColumnData::Complex { deletion: time, cells } => {
                    if !time.is_live() {
                        assert_eq!(*time, deletion(&next(true)["deletion_info"]), "{}", self.table);
                    }
                    cells.iter().for_each(|cell| self.path_cell(row, &column.cql_type, cell, next(false)));
                }
            }
        }
        assert_eq!(dumped.next(), None, "{}", self.table);
        let ascending = |pair: &[(ColumnIndex, ColumnData)]| pair[0].0 < pair[1].0;
        assert!(row.columns.windows(2).all(ascending), "{}", self.table);
    }

    fn path_cell(&self, row: &Row, column: &CqlType, cell: &PathCell, dumped: &Value) {
        let path = dumped["path"][0].as_str().unwrap();
        let value_type = match column {
            CqlType::List { element, .. } => element,
            CqlType::Map { value, .. } => value,
            CqlType::Set { .. } => &CqlType::Blob,
            CqlType::Udt { fields, .. } => {
                let index = usize::from(u16::from_be_bytes(cell.path[..].try_into().unwrap()));
                assert_eq!(fields[index].0, path);
                return self.cell(row, &fields[index].1, &cell.cell, dumped);
            }
            other => panic!("{other:?} has no paths"),
        };
        let path_type = column.path_type().unwrap();
        if is_plain(path_type) {
            assert_eq!(plain(path_type, &cell.path).trim_start_matches("0x"), path, "{}", self.table);
        }
        let is_set = matches!(column, CqlType::Set { .. });
        assert!(!is_set || cell.cell.value.is_empty());
        let value = if is_set { &CqlType::Text } else { value_type };
        self.cell(row, value, &cell.cell, dumped);
    }

    fn cell(&self, row: &Row, cql_type: &CqlType, cell: &Cell, dumped: &Value) {
        let row_ts = row.liveness.map(|liveness| liveness.ts);
        let dumped_ts = dumped.get("tstamp").map(number).or(row_ts);
        assert_eq!(Some(cell.ts), dumped_ts, "{} {dumped}", self.table);
        assert!(is_state(cell.state, row, dumped), "{} {:?} {dumped}", self.table, cell.state);
        match cell.state {
            CellState::Tombstone { .. } => assert!(cell.value.is_empty()),
            // sstabledump prints garbage for counters.
            _ if *cql_type == CqlType::Counter => {}
            _ => self.value(cql_type, &cell.value, &dumped["value"]),
        }
    }

    fn value(&self, cql_type: &CqlType, value: &Bytes, dumped: &Value) {
        if !is_plain(cql_type) {
            return;
        }
        let shown = dumped.as_str().map_or_else(|| dumped.to_string(), str::to_owned);
        let expected = plain(cql_type, value);
        // An empty value of a type that has none shows as null or as nothing.
        let both_empty = value.is_empty() && (dumped.is_null() || shown.is_empty());
        assert!(expected == shown || both_empty, "{}: {expected} and {shown}", self.table);
    }
}

/// True where the dump says this state. It leaves out a TTL that equals the row's.
fn is_state(state: CellState, row: &Row, dumped: &Value) -> bool {
    let row_ttl = row.liveness.and_then(|liveness| liveness.expiry).map(|expiry| expiry.ttl);
    match (state, dumped.get("deletion_info"), expiry(dumped)) {
        (CellState::Tombstone { local_time }, Some(info), None) => {
            i64::from(local_time) == number(&info["local_delete_time"])
        }
        (CellState::Expiring(ours), None, Some(dumped)) => ours == dumped,
        (CellState::Expiring(ours), None, None) => Some(ours.ttl) == row_ttl,
        (CellState::Live, None, None) => true,
        _ => false,
    }
}

fn expiry(dumped: &Value) -> Option<Expiry> {
    dumped.get("ttl").map(|ttl| Expiry { ttl: number(ttl) as u32, at: number(&dumped["expires_at"]) as u32 })
}

fn liveness(dumped: &Value) -> Option<Liveness> {
    dumped.get("tstamp").map(|ts| Liveness { ts: number(ts), expiry: expiry(dumped) })
}

fn deletion(dumped: &Value) -> Deletion {
    dumped.get("marked_deleted").map_or(Deletion::LIVE, |marked_at| Deletion {
        marked_at: number(marked_at),
        local_time: number(&dumped["local_delete_time"]) as u32,
    })
}

/// Numbers are dumped as strings, some as numbers.
fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// Names are dumped as CQL writes them.
fn unquoted(name: &Value) -> String {
    let name = name.as_str().unwrap();
    let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    quoted.map_or_else(|| name.to_owned(), |name| name.replace("\"\"", "\""))
}

fn is_plain(cql_type: &CqlType) -> bool {
    use CqlType::{Ascii, BigInt, Blob, Boolean, Int, SmallInt, Text, TimeUuid, TinyInt, Uuid};
    matches!(cql_type, Ascii | BigInt | Blob | Boolean | Int | SmallInt | Text | TimeUuid | TinyInt | Uuid)
}

/// A value as the dump shows it.
fn plain(cql_type: &CqlType, value: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match cql_type {
        CqlType::Blob => format!("0x{}", hex(value)),
        CqlType::Text | CqlType::Ascii => String::from_utf8(value.to_vec()).unwrap(),
        _ if value.is_empty() => String::new(),
        CqlType::Boolean => (value[0] != 0).to_string(),
        CqlType::TinyInt => i8::from_be_bytes(value.try_into().unwrap()).to_string(),
        CqlType::SmallInt => i16::from_be_bytes(value.try_into().unwrap()).to_string(),
        CqlType::Int => i32::from_be_bytes(value.try_into().unwrap()).to_string(),
        CqlType::BigInt => i64::from_be_bytes(value.try_into().unwrap()).to_string(),
        CqlType::Uuid | CqlType::TimeUuid => {
            [&value[..4], &value[4..6], &value[6..8], &value[8..10], &value[10..]].map(hex).join("-")
        }
        other => panic!("{other:?} is not compared"),
    }
}
