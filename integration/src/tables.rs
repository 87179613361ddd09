//! Tables that between them hold every CQL type and every shape of table, and a generator of their writes.
//!
//! 27 types (counters aside), static columns, user-defined types and collections frozen and not, tuples, vectors,
//! composite partition keys, reversed clustering, default TTLs, secondary indexes of both kinds, `read_repair = 'NONE'`,
//! a table of 70 columns of which rows have few, and one without any column but its key.

mod all;
pub mod kind;
pub mod values;
pub mod workload;

pub use self::{all::all, kind::Kind};
use crate::cassandra::Release;

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type.
    pub kind: Kind,
}

/// A clustering column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clustering {
    /// The column.
    pub column: Column,
    /// True for `DESC`.
    pub descending: bool,
}

/// A table and how much is in it.
#[derive(Clone, Debug)]
pub struct Table {
    /// Name.
    pub name: &'static str,
    /// Partition key, in order.
    pub partition_key: Vec<Column>,
    /// Clustering columns, in order.
    pub clustering: Vec<Clustering>,
    /// Static columns.
    pub statics: Vec<Column>,
    /// Regular columns.
    pub regulars: Vec<Column>,
    /// Options after `WITH`, besides the clustering order.
    pub options: Vec<&'static str>,
    /// `CREATE INDEX` statements; `{}` stands for the table.
    pub indexes: Vec<&'static str>,
    /// `default_time_to_live`, s; 0 for none.
    pub default_ttl: u32,
    /// Partitions.
    pub partitions: usize,
    /// Rows of each partition at most.
    pub rows: usize,
}

impl Table {
    /// The same as a release can hold it: before 5.0 there are neither vectors nor storage-attached indexes.
    #[must_use]
    pub fn as_of(mut self, release: Release) -> Self {
        if release < Release::V5_0 {
            self.statics.retain(|column| !column.kind.has_vector());
            self.regulars.retain(|column| !column.kind.has_vector());
            self.indexes.retain(|index| !index.contains("USING 'sai'"));
        }
        self
    }

    /// Statements that create the table and its indexes in a keyspace, in order.
    pub fn create(&self, keyspace: &str) -> Vec<String> {
        let name = format!("{keyspace}.{}", self.name);
        let indexes = self.indexes.iter().map(|index| index.replace("{}", &name)).collect::<Vec<_>>();
        let table =
            format!("CREATE TABLE {name} ({}, PRIMARY KEY {}){}", self.columns(), self.primary_key(), self.with());
        [vec![table], indexes].concat()
    }

    fn columns(&self) -> String {
        let keys = self.partition_key.iter().chain(self.clustering.iter().map(|clustering| &clustering.column));
        let keys = keys.chain(&self.regulars).map(|column| format!("{} {}", column.name, column.kind));
        let statics = self.statics.iter().map(|column| format!("{} {} static", column.name, column.kind));
        keys.chain(statics).collect::<Vec<_>>().join(", ")
    }

    fn primary_key(&self) -> String {
        let partition = self.partition_key.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
        let clustering: String =
            self.clustering.iter().map(|clustering| format!(", {}", clustering.column.name)).collect();
        format!("(({partition}){clustering})")
    }

    fn with(&self) -> String {
        let order = |clustering: &Clustering| {
            format!("{} {}", clustering.column.name, if clustering.descending { "DESC" } else { "ASC" })
        };
        let orders: Vec<String> = self.clustering.iter().map(order).collect();
        let mut options: Vec<String> = self.options.iter().map(ToString::to_string).collect();
        options.extend((!orders.is_empty()).then(|| format!("CLUSTERING ORDER BY ({})", orders.join(", "))));
        options.extend((self.default_ttl > 0).then(|| format!("default_time_to_live = {}", self.default_ttl)));
        if options.is_empty() { String::new() } else { format!(" WITH {}", options.join(" AND ")) }
    }
}

/// Statements that create a keyspace with `SimpleStrategy` and the user-defined types of [`all`], in order.
pub fn create_keyspace(keyspace: &str, replication_factor: u32) -> Vec<String> {
    let replication = format!("{{'class': 'SimpleStrategy', 'replication_factor': {replication_factor}}}");
    vec![
        format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}"),
        format!("CREATE TYPE {keyspace}.address (street text, zip int, tags frozen<set<text>>)"),
        format!("CREATE TYPE {keyspace}.contact (name text, home frozen<address>, since date)"),
    ]
}
