//! The tables themselves.

use super::{Clustering, Column, Kind, Table};

/// All tables, a few thousand rows between them.
pub fn all() -> Vec<Table> {
    vec![
        scalars(),
        collections(),
        user_types(),
        statics(),
        expiring(),
        deletions(),
        indexed(),
        key_types(),
        wide(),
        keys_only(),
    ]
}

/// `name type`.
fn column(name: &str, kind: Kind) -> Column {
    Column { name: name.to_owned(), kind }
}

fn ascending(name: &str, kind: Kind) -> Clustering {
    Clustering { column: column(name, kind), descending: false }
}

fn descending(name: &str, kind: Kind) -> Clustering {
    Clustering { column: column(name, kind), descending: true }
}

/// A table of 40 partitions of up to 10 rows, to be changed where it differs.
fn table(name: &'static str, partition_key: Vec<Column>) -> Table {
    Table {
        name,
        partition_key,
        clustering: vec![],
        statics: vec![],
        regulars: vec![],
        options: vec![],
        indexes: vec![],
        default_ttl: 0,
        partitions: 40,
        rows: 10,
    }
}

fn address() -> Kind {
    Kind::Udt("address", vec![("street", Kind::Text), ("zip", Kind::Int), ("tags", Kind::set(Kind::Text).frozen())])
}

fn contact() -> Kind {
    Kind::Udt("contact", vec![("name", Kind::Text), ("home", address().frozen()), ("since", Kind::Date)])
}

/// Every scalar type, tuples and vectors, under a composite key with reversed clustering.
fn scalars() -> Table {
    let scalars = [
        ("v_ascii", Kind::Ascii),
        ("v_bigint", Kind::BigInt),
        ("v_blob", Kind::Blob),
        ("v_boolean", Kind::Boolean),
        ("v_date", Kind::Date),
        ("v_decimal", Kind::Decimal),
        ("v_double", Kind::Double),
        ("v_duration", Kind::Duration),
        ("v_float", Kind::Float),
        ("v_inet", Kind::Inet),
        ("v_int", Kind::Int),
        ("v_smallint", Kind::SmallInt),
        ("v_text", Kind::Text),
        ("v_time", Kind::Time),
        ("v_timestamp", Kind::Timestamp),
        ("v_timeuuid", Kind::TimeUuid),
        ("v_tinyint", Kind::TinyInt),
        ("v_uuid", Kind::Uuid),
        ("v_varchar", Kind::Varchar),
        ("v_varint", Kind::VarInt),
        ("v_tuple", Kind::Tuple(vec![Kind::Int, Kind::Text, Kind::Double])),
        ("v_vector", Kind::vector(Kind::Float, 4)),
        ("v_texts", Kind::vector(Kind::Text, 2)),
    ];
    Table {
        clustering: vec![descending("at", Kind::Timestamp), ascending("name", Kind::Text)],
        regulars: scalars.into_iter().map(|(name, kind)| column(name, kind)).collect(),
        ..table("scalars", vec![column("pk", Kind::Text), column("bucket", Kind::Int)])
    }
}

/// Collections of several cells and frozen ones.
fn collections() -> Table {
    Table {
        clustering: vec![ascending("ck", Kind::Int)],
        regulars: vec![
            column("numbers", Kind::list(Kind::Int)),
            column("words", Kind::set(Kind::Text)),
            column("counts", Kind::map(Kind::Text, Kind::Int)),
            column("lists", Kind::map(Kind::Int, Kind::list(Kind::Text).frozen())),
            column("frozen_list", Kind::list(Kind::Text).frozen()),
            column("frozen_set", Kind::set(Kind::Uuid).frozen()),
            column("frozen_map", Kind::map(Kind::Int, Kind::Blob).frozen()),
            column("plain", Kind::Text),
        ],
        options: vec!["compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 4}"],
        ..table("collections", vec![column("id", Kind::Uuid)])
    }
}

/// User-defined types, frozen and of several cells, inside each other and inside collections.
fn user_types() -> Table {
    Table {
        clustering: vec![descending("seq", Kind::TimeUuid)],
        regulars: vec![
            column("home", address()),
            column("person", contact()),
            column("frozen_home", address().frozen()),
            column("frozen_person", contact().frozen()),
            column("homes", Kind::list(address().frozen())),
            column("by_name", Kind::map(Kind::Text, contact().frozen())),
            column("pair", Kind::Tuple(vec![address().frozen(), Kind::Duration])),
        ],
        ..table("user_types", vec![column("id", Kind::BigInt)])
    }
}

/// Static columns of one cell and of several, next to rows; some partitions have nothing else.
fn statics() -> Table {
    Table {
        clustering: vec![descending("ck", Kind::Text)],
        statics: vec![
            column("s_text", Kind::Text),
            column("s_number", Kind::BigInt),
            column("s_map", Kind::map(Kind::Text, Kind::Int)),
            column("s_home", address()),
        ],
        regulars: vec![column("v", Kind::Text), column("n", Kind::Int)],
        ..table("statics", vec![column("pk", Kind::Int)])
    }
}

/// A default TTL of 30 days, one row a partition.
fn expiring() -> Table {
    Table {
        regulars: vec![
            column("v", Kind::Text),
            column("n", Kind::Int),
            column("m", Kind::map(Kind::Text, Kind::Int)),
            column("home", address()),
        ],
        default_ttl: 30 * 86_400,
        partitions: 250,
        rows: 1,
        ..table("expiring", vec![column("id", Kind::Int)])
    }
}

/// Three clustering columns for range deletions of every form, uncompressed.
fn deletions() -> Table {
    Table {
        clustering: vec![ascending("a", Kind::Int), descending("b", Kind::Text), ascending("c", Kind::BigInt)],
        regulars: vec![column("v", Kind::Text), column("n", Kind::BigInt)],
        options: vec!["compression = {'enabled': false}"],
        partitions: 25,
        rows: 40,
        ..table("deletions", vec![column("pk", Kind::Int)])
    }
}

/// Secondary indexes of both kinds, and reads that repair nothing.
fn indexed() -> Table {
    Table {
        regulars: vec![
            column("status", Kind::Text),
            column("amount", Kind::Decimal),
            column("labels", Kind::set(Kind::Text)),
        ],
        options: vec!["read_repair = 'NONE'", "compaction = {'class': 'LeveledCompactionStrategy'}"],
        indexes: vec![
            "CREATE INDEX indexed_status ON {} (status)",
            "CREATE INDEX indexed_amount ON {} (amount) USING 'sai'",
        ],
        partitions: 300,
        rows: 1,
        ..table("indexed", vec![column("id", Kind::Uuid)])
    }
}

/// Unusual types in keys.
fn key_types() -> Table {
    Table {
        clustering: vec![
            ascending("flag", Kind::Boolean),
            descending("big", Kind::VarInt),
            ascending("host", Kind::Inet),
            descending("day", Kind::Date),
            ascending("pair", Kind::Tuple(vec![Kind::SmallInt, Kind::TinyInt])),
        ],
        regulars: vec![column("v", Kind::Text)],
        partitions: 30,
        ..table(
            "key_types",
            vec![column("raw", Kind::Blob), column("clock", Kind::Time), column("small", Kind::TinyInt)],
        )
    }
}

/// More than 64 columns, of which each row has a few: subsets are stored another way then.
fn wide() -> Table {
    Table {
        regulars: (0..70).map(|index| column(&format!("c{index:02}"), Kind::Int)).collect(),
        partitions: 200,
        rows: 1,
        ..table("wide", vec![column("id", Kind::Int)])
    }
}

/// No column but the key: a row is nothing but its marker.
fn keys_only() -> Table {
    Table {
        clustering: vec![descending("day", Kind::Date), ascending("name", Kind::Text)],
        partitions: 30,
        ..table("keys_only", vec![column("pk", Kind::Uuid)])
    }
}
