//! Whether nodes said the same about their cluster.

use crate::cluster::{KeyspaceSchema, NodeCapture, TableRows};

/// Class name of the only partitioner whose tokens are understood.
const MURMUR3: &str = "org.apache.cassandra.dht.Murmur3Partitioner";

/// Something on which two captured nodes differ. Hosts are host ids; `first` is the capture that the others are compared with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// They belong to different clusters.
    #[error("{first} is in cluster {first_name}, {other} in {other_name}")]
    Cluster {
        /// Host.
        first: String,
        /// Its cluster.
        first_name: String,
        /// Host.
        other: String,
        /// Its cluster.
        other_name: String,
    },
    /// A node uses another partitioner than Murmur3.
    #[error("{host} uses {partitioner}")]
    Partitioner {
        /// Host.
        host: String,
        /// Its partitioner.
        partitioner: String,
    },
    /// A member is known to one of them only.
    #[error("{knows} has {member} in its ring, {misses} has not")]
    Member {
        /// Host that knows it.
        knows: String,
        /// Host that does not.
        misses: String,
        /// The member.
        member: String,
    },
    /// They disagree on a member's tokens, data centre or rack.
    #[error("{first} and {other} disagree on the {what} of {member}")]
    Place {
        /// Host.
        first: String,
        /// Host.
        other: String,
        /// The member.
        member: String,
        /// `tokens`, `data centre` or `rack`.
        what: &'static str,
    },
    /// A keyspace is known to one of them only.
    #[error("{knows} has keyspace {keyspace}, {misses} has not")]
    Keyspace {
        /// Host that knows it.
        knows: String,
        /// Host that does not.
        misses: String,
        /// The keyspace.
        keyspace: String,
    },
    /// They disagree on a keyspace's replication.
    #[error("{first} and {other} disagree on the replication of keyspace {keyspace}")]
    Replication {
        /// Host.
        first: String,
        /// Host.
        other: String,
        /// The keyspace.
        keyspace: String,
    },
    /// A table is known to one of them only.
    #[error("{knows} has table {keyspace}.{table}, {misses} has not")]
    Table {
        /// Host that knows it.
        knows: String,
        /// Host that does not.
        misses: String,
        /// The keyspace.
        keyspace: String,
        /// The table.
        table: String,
    },
    /// They disagree on a table's id, columns or the types that it is made of.
    #[error("{first} and {other} disagree on the {what} of table {keyspace}.{table}")]
    Shape {
        /// Host.
        first: String,
        /// Host.
        other: String,
        /// The keyspace.
        keyspace: String,
        /// The table.
        table: String,
        /// `id`, `types`, `columns` or `dropped columns`.
        what: &'static str,
    },
}

impl Difference {
    /// True iff it is about who owns what: the ranges that it concerns are not proven.
    pub fn is_of_the_ring(&self) -> bool {
        matches!(self, Self::Member { .. } | Self::Place { .. } | Self::Replication { .. })
    }

    /// True iff the difference matters to this table: it is about the ring, its keyspace as a whole, or itself.
    pub fn concerns(&self, of_keyspace: &str, of_table: &str) -> bool {
        match self {
            Self::Cluster { .. } | Self::Partitioner { .. } | Self::Member { .. } | Self::Place { .. } => true,
            Self::Keyspace { keyspace, .. } | Self::Replication { keyspace, .. } => keyspace == of_keyspace,
            Self::Table { keyspace, table, .. } | Self::Shape { keyspace, table, .. } => {
                keyspace == of_keyspace && table == of_table
            }
        }
    }
}

/// All differences between the captures of one cluster's nodes; empty where they agree. The order of captures decides only
/// which one the others are compared with.
///
/// Compared are cluster name, partitioner, ring (host ids, tokens, data centres, racks), replication, table ids, columns
/// and the types that the tables are made of. Addresses, release and settings may differ while a cluster is upgraded or moved.
pub fn agree(captures: &[NodeCapture]) -> Vec<Difference> {
    let mut found: Vec<_> = captures.iter().filter_map(partitioner).collect();
    if let Some((first, others)) = captures.split_first() {
        for other in others {
            let mut pair = Pair { first, other, found: &mut found };
            pair.clusters();
            pair.rings();
            pair.keyspaces();
        }
    }
    found
}

fn partitioner(capture: &NodeCapture) -> Option<Difference> {
    let wrong = capture.partitioner != MURMUR3 && Some(capture.partitioner.as_str()) != MURMUR3.rsplit('.').next();
    wrong.then(|| Difference::Partitioner { host: capture.host_id.clone(), partitioner: capture.partitioner.clone() })
}

struct Pair<'a> {
    first: &'a NodeCapture,
    other: &'a NodeCapture,
    found: &'a mut Vec<Difference>,
}

impl<'a> Pair<'a> {
    fn hosts(&self) -> (String, String) {
        (self.first.host_id.clone(), self.other.host_id.clone())
    }

    /// Host ids of the one that knows and the one that misses something.
    fn knows_misses(&self, first_knows: bool) -> (String, String) {
        let (first, other) = self.hosts();
        if first_knows { (first, other) } else { (other, first) }
    }

    fn clusters(&mut self) {
        if self.first.cluster != self.other.cluster {
            let (first, other) = self.hosts();
            let (first_name, other_name) = (self.first.cluster.clone(), self.other.cluster.clone());
            self.found.push(Difference::Cluster { first, first_name, other, other_name });
        }
    }

    fn rings(&mut self) {
        let (same, lone) = matched(&self.first.ring, &self.other.ring, |node| &node.host_id);
        for (node, first_knows) in lone {
            let (knows, misses) = self.knows_misses(first_knows);
            self.found.push(Difference::Member { knows, misses, member: node.host_id.clone() });
        }
        for (left, right) in same {
            let parts = [
                ("tokens", left.tokens == right.tokens),
                ("data centre", left.dc == right.dc),
                ("rack", left.rack == right.rack),
            ];
            for (what, _) in parts.into_iter().filter(|(_, equal)| !equal) {
                let (first, other) = self.hosts();
                self.found.push(Difference::Place { first, other, member: left.host_id.clone(), what });
            }
        }
    }

    fn keyspaces(&mut self) {
        let (same, lone) = matched(&self.first.keyspaces, &self.other.keyspaces, |keyspace| &keyspace.name);
        for (keyspace, first_knows) in lone {
            let (knows, misses) = self.knows_misses(first_knows);
            self.found.push(Difference::Keyspace { knows, misses, keyspace: keyspace.name.clone() });
        }
        for (left, right) in same {
            self.keyspace(left, right);
        }
    }

    fn keyspace(&mut self, left: &'a KeyspaceSchema, right: &'a KeyspaceSchema) {
        if left.replication != right.replication {
            let (first, other) = self.hosts();
            let keyspace = left.name.clone();
            self.found.push(Difference::Replication { first, other, keyspace });
        }
        self.tables(left, right);
    }

    fn tables(&mut self, left: &'a KeyspaceSchema, right: &'a KeyspaceSchema) {
        let (same, lone) = matched(&left.tables, &right.tables, |table| &table.name);
        for (table, first_knows) in lone {
            let (knows, misses) = self.knows_misses(first_knows);
            let (keyspace, table) = (left.name.clone(), table.name.clone());
            self.found.push(Difference::Table { knows, misses, keyspace, table });
        }
        for (of_first, of_other) in same {
            let types = left.types_of(of_first) == right.types_of(of_other);
            self.table(&left.name, types, of_first, of_other);
        }
    }

    fn table(&mut self, keyspace: &str, types: bool, left: &TableRows, right: &TableRows) {
        let parts = [
            ("id", left.id == right.id),
            ("types", types),
            ("columns", same_rows(&left.columns, &right.columns)),
            ("dropped columns", same_rows(&left.dropped, &right.dropped)),
        ];
        for (what, _) in parts.into_iter().filter(|(_, equal)| !equal) {
            let (first, other) = self.hosts();
            let (keyspace, table) = (keyspace.to_owned(), left.name.clone());
            self.found.push(Difference::Shape { first, other, keyspace, table, what });
        }
    }
}

/// Equality as sets: rows of a schema table come in no order that matters.
fn same_rows<T: PartialEq>(left: &[T], right: &[T]) -> bool {
    left.len() == right.len() && left.iter().all(|row| right.contains(row))
}

type Matched<'a, T> = (Vec<(&'a T, &'a T)>, Vec<(&'a T, bool)>);

/// Pairs of the same name, and items without partner with true where they are in `left`.
fn matched<'a, T>(left: &'a [T], right: &'a [T], name: impl Fn(&T) -> &String) -> Matched<'a, T> {
    let find = |items: &'a [T], of: &T| items.iter().find(|item| name(item) == name(of));
    let pairs = left.iter().filter_map(|item| find(right, item).map(|other| (item, other))).collect();
    let only_left = left.iter().filter(|item| find(right, item).is_none()).map(|item| (item, true));
    let only_right = right.iter().filter(|item| find(left, item).is_none()).map(|item| (item, false));
    (pairs, only_left.chain(only_right).collect())
}
