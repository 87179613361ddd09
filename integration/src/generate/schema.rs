//! Random tables.

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use crate::tables::{Clustering, Column, Kind, Table};

/// Types that may stand anywhere, also in keys, sets and keys of maps.
const COMPARABLE: [Kind; 19] = [
    Kind::Ascii,
    Kind::BigInt,
    Kind::Blob,
    Kind::Boolean,
    Kind::Date,
    Kind::Decimal,
    Kind::Double,
    Kind::Float,
    Kind::Inet,
    Kind::Int,
    Kind::SmallInt,
    Kind::Text,
    Kind::Time,
    Kind::Timestamp,
    Kind::TimeUuid,
    Kind::TinyInt,
    Kind::Uuid,
    Kind::Varchar,
    Kind::VarInt,
];

/// Default lives of values, s.
pub(super) const DEFAULT_TTL_SECONDS: [u32; 2] = [40_000_000, 60_000_000];

const FIELDS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

/// Options of tables, one of which each has.
pub const COMPRESSIONS: [&str; 8] = [
    "compression = {'class': 'LZ4Compressor'}",
    "compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 4}",
    "compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 64, 'min_compress_ratio': 1.1}",
    "compression = {'class': 'SnappyCompressor'}",
    "compression = {'class': 'DeflateCompressor', 'chunk_length_in_kb': 4}",
    "compression = {'class': 'ZstdCompressor', 'chunk_length_in_kb': 32}",
    "compression = {'class': 'ZstdCompressor', 'compression_level': 1, 'min_compress_ratio': 1.1}",
    "compression = {'enabled': false}",
];

/// A user-defined type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserType {
    /// Name.
    pub name: &'static str,
    /// Fields.
    pub fields: Vec<(&'static str, Kind)>,
}

/// A table, and the user-defined types that it needs.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Types, each before those that use it.
    pub types: Vec<UserType>,
    /// The table; its name is `generated`.
    pub table: Table,
}

impl Schema {
    /// The table of a seed.
    pub fn of(seed: u64) -> Self {
        Maker { rng: ChaCha8Rng::seed_from_u64(seed), types: Vec::new() }.schema()
    }

    /// Statements that create a keyspace and the types in it.
    pub fn create_keyspace(&self, keyspace: &str, replication_factor: u32) -> Vec<String> {
        let replication = format!("{{'class': 'SimpleStrategy', 'replication_factor': {replication_factor}}}");
        let types = self.types.iter().map(|of| {
            let fields: Vec<String> = of.fields.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
            format!("CREATE TYPE {keyspace}.{} ({})", of.name, fields.join(", "))
        });
        [format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}")].into_iter().chain(types).collect()
    }
}

struct Maker {
    rng: ChaCha8Rng,
    types: Vec<UserType>,
}

impl Maker {
    fn schema(mut self) -> Schema {
        for name in ["plain_type", "nested_type"] {
            let fields = FIELDS[..self.rng.random_range(1..=FIELDS.len())].iter();
            let fields = fields.map(|field| (*field, self.nested(1))).collect();
            self.types.push(UserType { name, fields });
        }
        let table = self.table();
        Schema { types: self.types, table }
    }

    fn table(&mut self) -> Table {
        let clustering = self.clustering();
        let statics = if clustering.is_empty() || self.one_in(2) { 0 } else { self.rng.random_range(1..4) };
        let statics = self.columns("s", statics, Self::column_kind);
        let regulars = match self.rng.random_range(0..12) {
            0 => self.columns("c", 66, Self::scalar),
            1 if !clustering.is_empty() => vec![],
            _ => {
                let count = self.rng.random_range(1..9);
                self.columns("c", count, Self::column_kind)
            }
        };
        let keys = [1, 1, 1, 1, 2, 3][self.rng.random_range(0..6)];
        Table {
            name: "generated",
            partition_key: self.columns("pk", keys, Self::key_kind),
            clustering,
            statics,
            regulars,
            options: vec![COMPRESSIONS[self.rng.random_range(0..COMPRESSIONS.len())]],
            indexes: vec![],
            default_ttl: if self.one_in(6) { DEFAULT_TTL_SECONDS[self.rng.random_range(0..2)] } else { 0 },
            partitions: self.rng.random_range(3..9),
            rows: self.rng.random_range(2..8),
        }
    }

    fn clustering(&mut self) -> Vec<Clustering> {
        let count = [0, 1, 1, 2, 2, 3][self.rng.random_range(0..6)];
        let columns = self.columns("ck", count, Self::key_kind);
        columns.into_iter().map(|column| Clustering { column, descending: self.one_in(2) }).collect()
    }

    fn columns(&mut self, prefix: &str, count: usize, kind: impl Fn(&mut Self) -> Kind) -> Vec<Column> {
        (0..count).map(|index| Column { name: format!("{prefix}{index:02}"), kind: kind(self) }).collect()
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.rng.random_range(0..count) == 0
    }

    fn comparable(&mut self) -> Kind {
        COMPARABLE[self.rng.random_range(0..COMPARABLE.len())].clone()
    }

    fn scalar(&mut self) -> Kind {
        if self.one_in(20) { Kind::Duration } else { self.comparable() }
    }

    /// A type of a key column.
    fn key_kind(&mut self) -> Kind {
        match self.rng.random_range(0..12) {
            0 => Kind::Tuple((0..self.rng.random_range(1..4)).map(|_| self.comparable()).collect()),
            1 => Kind::set(self.comparable()).frozen(),
            2 => Kind::list(self.comparable()).frozen(),
            3 => Kind::map(self.comparable(), self.comparable()).frozen(),
            _ => self.comparable(),
        }
    }

    /// A type of a column.
    fn column_kind(&mut self) -> Kind {
        match self.rng.random_range(0..20) {
            0..3 => Kind::list(self.nested(1)),
            3..6 => Kind::set(self.key_kind()),
            6..9 => Kind::map(self.key_kind(), self.nested(1)),
            9..11 => self.user_type(),
            _ => self.nested(3),
        }
    }

    /// A type of one cell: a scalar, or something frozen within `depth` levels.
    fn nested(&mut self, depth: u32) -> Kind {
        if depth == 0 || self.one_in(2) {
            return self.scalar();
        }
        match self.rng.random_range(0..6) {
            0 => Kind::Tuple((0..self.rng.random_range(1..4)).map(|_| self.nested(depth - 1)).collect()).frozen(),
            1 => Kind::list(self.nested(depth - 1)).frozen(),
            2 => Kind::set(self.comparable()).frozen(),
            3 => Kind::map(self.comparable(), self.nested(depth - 1)).frozen(),
            4 => Kind::vector(self.comparable(), self.rng.random_range(1..5)),
            _ => self.user_type().frozen(),
        }
    }

    /// One of the types made so far; a scalar where there is none yet.
    fn user_type(&mut self) -> Kind {
        match self.types.choose(&mut self.rng) {
            Some(of) => Kind::Udt(of.name, of.fields.clone()),
            None => Kind::Frozen(Box::new(Kind::list(self.comparable()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seed: u64) -> Vec<String> {
        let schema = Schema::of(seed);
        [schema.create_keyspace("ks", 1), schema.table.create("ks")].concat()
    }

    #[test]
    fn a_seed_has_one_schema_and_other_seeds_have_others() {
        assert_eq!(text(7), text(7));
        let different: std::collections::BTreeSet<_> = (0..100).map(text).collect();
        assert_eq!(different.len(), 100);
    }

    #[test]
    fn a_few_hundred_seeds_have_every_type_and_form() {
        let all: String = (0..300).flat_map(text).collect();
        for kind in COMPARABLE {
            assert!(all.contains(&format!(" {kind}")), "{kind}");
        }
        let forms =
            [" duration", " list<", " set<", " map<", "frozen<", "tuple<", "vector<", " static", " DESC", "c65 "];
        for form in forms.into_iter().chain(COMPRESSIONS).chain([" nested_type", "default_time_to_live"]) {
            assert!(all.contains(form), "{form}");
        }
    }
}
