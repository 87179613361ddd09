//! Which nodes hold which tokens: Cassandra's placement of replicas on the ring, computed as Cassandra does.
//!
//! Follows `SimpleStrategy` and `NetworkTopologyStrategy` of Cassandra 4.0–5.0 with the Murmur3 partitioner. Every other way
//! of placing replicas is refused by name: guessing who owns a row would bring deleted data back or lose live data.

use std::{collections::BTreeMap, sync::Arc};

use crate::cluster::RingNode;

mod agree;
mod strategy;
#[cfg(test)]
mod tests;
mod views;

pub use agree::{Difference, agree};
use strategy::Strategy;

/// Why replicas cannot be placed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No node of the ring has a token.
    #[error("the ring has no tokens")]
    EmptyRing,
    /// A host id appears twice.
    #[error("host {host} is in the ring twice")]
    DuplicateHost {
        /// Its id.
        host: String,
    },
    /// A token is not one of the Murmur3 partitioner.
    #[error("token {token} of host {host} is no 64-bit integer")]
    Token {
        /// Host id.
        host: String,
        /// The token.
        token: String,
    },
    /// Two nodes claim one token.
    #[error("hosts {first} and {second} both have token {token}")]
    DuplicateToken {
        /// Host id.
        first: String,
        /// Host id.
        second: String,
        /// The token.
        token: i64,
    },
    /// The replication options name no strategy.
    #[error("the replication options have no class")]
    NoClass,
    /// The strategy is not one that this build can place.
    #[error("replication class {class} is not supported")]
    Class {
        /// As stored.
        class: String,
    },
    /// A replication factor is not a number.
    #[error("replication factor {value} of {subject} is not a number")]
    Factor {
        /// Data centre, or `replication_factor`.
        subject: String,
        /// As stored.
        value: String,
    },
    /// Transient replicas hold only part of their ranges.
    #[error("transient replication {value} of {subject} is not supported")]
    Transient {
        /// Data centre, or `replication_factor`.
        subject: String,
        /// As stored.
        value: String,
    },
    /// Replication that places nothing on the nodes of this ring.
    #[error("replication places no replica on this ring after token {after}")]
    NoReplica {
        /// Start of the range, exclusive.
        after: i64,
    },
}

/// A range of tokens and who owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRange {
    /// Start, exclusive.
    pub after: i64,
    /// End, inclusive; greater than `after`.
    pub through: i64,
    /// Replicas as indexes into [`Placement::nodes`], in Cassandra's order (primary first).
    pub replicas: Vec<usize>,
    /// False where views of the ring place other replicas: then `replicas` are those of all views, and nothing is proven.
    pub settled: bool,
}

/// What places the replicas of a keyspace: a ring and replication options, as one node saw them at one time.
pub type Seen<'a> = (&'a [RingNode], &'a BTreeMap<String, String>);

/// Replicas of one keyspace on one ring.
#[derive(Clone, Debug)]
pub struct Placement {
    nodes: Vec<RingNode>,
    by_host: BTreeMap<String, usize>,
    ranges: Vec<TokenRange>,
    unsettled: String,
}

impl Placement {
    /// Places the replicas of a keyspace with these options on `ring`.
    ///
    /// `replication` is as in `system_schema.keyspaces`: `class` with or without package, replication factors by data
    /// centre, or `replication_factor`. Nodes without tokens own nothing. Data centres that have no node are left out, as
    /// Cassandra leaves them out; a factor above the number of nodes means all of them.
    ///
    /// # Errors
    /// [`Error`], by what cannot be placed.
    pub fn new(ring: &[RingNode], replication: &BTreeMap<String, String>) -> Result<Self, Error> {
        let strategy = Strategy::parse(replication)?;
        let by_host = index_hosts(ring)?;
        let tokens = sorted_tokens(ring)?;
        let ranges = place(ring, &strategy, &tokens)?;
        Ok(Self { nodes: ring.to_vec(), by_host, ranges, unsettled: String::new() })
    }

    /// Places the replicas by several views. A range on which they differ has the replicas of all of them and is not settled:
    /// never are fewer replicas assumed than any view has.
    ///
    /// # Errors
    /// As [`Placement::new`], for the first view that cannot be placed; [`Error::EmptyRing`] where there is no view.
    pub fn united(views: &[Seen<'_>]) -> Result<Self, Error> {
        let mut distinct: Vec<Seen<'_>> = Vec::new();
        for view in views {
            if !distinct.contains(view) {
                distinct.push(*view);
            }
        }
        let placed = distinct.iter().map(|(ring, replication)| Self::new(ring, replication));
        let united = placed.reduce(|left, right| Ok(left?.with(&right?))).unwrap_or(Err(Error::EmptyRing))?;
        Ok(Self { unsettled: views::differences(&distinct), ..united })
    }

    /// Why ranges are not settled, for people; empty where all are.
    pub fn unsettled(&self) -> &str {
        &self.unsettled
    }

    /// Both views as one.
    fn with(self, other: &Self) -> Self {
        let (mut nodes, mut by_host) = (self.nodes.clone(), self.by_host.clone());
        for node in &other.nodes {
            by_host.entry(node.host_id.clone()).or_insert_with(|| {
                nodes.push(node.clone());
                nodes.len() - 1
            });
        }
        let ranges: Vec<TokenRange> = cut(&self.ranges, &other.ranges)
            .into_iter()
            .map(|(left, right, after, through)| {
                let theirs: Vec<usize> =
                    right.replicas.iter().map(|&index| by_host[&other.nodes[index].host_id]).collect();
                let lacking = |index: &&usize| !left.replicas.contains(index);
                let same = left.replicas.len() == theirs.len() && !theirs.iter().any(|index| lacking(&index));
                let replicas = left.replicas.iter().chain(theirs.iter().filter(lacking)).copied().collect();
                TokenRange { after, through, replicas, settled: left.settled && right.settled && same }
            })
            .collect();
        Self { ranges, nodes, by_host, unsettled: self.unsettled }
    }

    /// Nodes of the ring, in the order given.
    pub fn nodes(&self) -> &[RingNode] {
        &self.nodes
    }

    /// Ranges in ascending order, together all of `(i64::MIN, i64::MAX]`, which is every token that the Murmur3 partitioner
    /// gives to a key. None wraps: the range behind the last token of the ring is split in two.
    pub fn ranges(&self) -> &[TokenRange] {
        &self.ranges
    }

    /// Replicas of the token as indexes into [`Placement::nodes`], primary first.
    pub fn replicas_of(&self, token: i64) -> &[usize] {
        let index = self.ranges.partition_point(|range| range.through < token);
        self.ranges.get(index).map_or(&[], |range| &range.replicas)
    }

    /// True iff the host is a replica of the token.
    pub fn owns(&self, host_id: &str, token: i64) -> bool {
        self.by_host.get(host_id).is_some_and(|index| self.replicas_of(token).contains(index))
    }

    /// [`Placement::owns`] for one host, as a function to hand on.
    pub fn ownership(self: &Arc<Self>, host_id: &str) -> Arc<dyn Fn(i64) -> bool + Send + Sync> {
        let (placement, host) = (Arc::clone(self), self.by_host.get(host_id).copied());
        Arc::new(move |token| host.is_some_and(|host| placement.replicas_of(token).contains(&host)))
    }

    /// Replicas by data centre.
    pub fn by_dc<'a>(&'a self, replicas: &[usize]) -> BTreeMap<&'a str, Vec<usize>> {
        let mut by_dc = BTreeMap::<_, Vec<usize>>::new();
        for &index in replicas {
            by_dc.entry(self.nodes[index].dc.as_str()).or_default().push(index);
        }
        by_dc
    }
}

/// Both divisions of the ring as one, with the range of each that a part lies in.
fn cut<'a>(left: &'a [TokenRange], right: &'a [TokenRange]) -> Vec<(&'a TokenRange, &'a TokenRange, i64, i64)> {
    let (mut parts, mut after) = (Vec::new(), i64::MIN);
    let (mut lefts, mut rights) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(one), Some(other)) = (lefts.peek().copied(), rights.peek().copied()) {
        let through = one.through.min(other.through);
        parts.push((one, other, after, through));
        after = through;
        lefts.next_if(|range| range.through == through);
        rights.next_if(|range| range.through == through);
    }
    parts
}

fn index_hosts(ring: &[RingNode]) -> Result<BTreeMap<String, usize>, Error> {
    let mut by_host = BTreeMap::new();
    for (index, node) in ring.iter().enumerate() {
        if by_host.insert(node.host_id.clone(), index).is_some() {
            return Err(Error::DuplicateHost { host: node.host_id.clone() });
        }
    }
    Ok(by_host)
}

/// Tokens of all nodes, ascending, each with its node.
fn sorted_tokens(ring: &[RingNode]) -> Result<Vec<(i64, usize)>, Error> {
    let mut tokens = Vec::new();
    for (index, node) in ring.iter().enumerate() {
        for token in &node.tokens {
            let bad = || Error::Token { host: node.host_id.clone(), token: token.clone() };
            tokens.push((token.parse().map_err(|_| bad())?, index));
        }
    }
    tokens.sort_unstable();
    let duplicate = tokens.windows(2).find(|pair| pair[0].0 == pair[1].0);
    match duplicate {
        Some(&[(token, first), (_, second)]) => Err(Error::DuplicateToken {
            first: ring[first].host_id.clone(),
            second: ring[second].host_id.clone(),
            token,
        }),
        _ if tokens.is_empty() => Err(Error::EmptyRing),
        _ => Ok(tokens),
    }
}

/// A token ends the range that its node owns first; the range behind the last token belongs to the first.
fn place(ring: &[RingNode], strategy: &Strategy, tokens: &[(i64, usize)]) -> Result<Vec<TokenRange>, Error> {
    let racks = strategy::racks_by_dc(ring, tokens);
    let mut ranges = Vec::with_capacity(tokens.len() + 1);
    let mut after = i64::MIN;
    let ends = tokens.iter().map(|&(token, _)| token).enumerate().chain([(0, i64::MAX)]);
    for (first, through) in ends {
        // Empty where a node sits at i64::MIN or i64::MAX.
        if after < through {
            let replicas = strategy.replicas(ring, &racks, walk(tokens, first));
            if replicas.is_empty() {
                return Err(Error::NoReplica { after });
            }
            ranges.push(TokenRange { after, through, replicas, settled: true });
            after = through;
        }
    }
    Ok(ranges)
}

/// Nodes in ring order from the token with index `first` on, once around.
fn walk(tokens: &[(i64, usize)], first: usize) -> impl Iterator<Item = usize> {
    tokens[first..].iter().chain(&tokens[..first]).map(|&(_, node)| node)
}
