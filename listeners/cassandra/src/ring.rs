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
}

/// Replicas of one keyspace on one ring.
#[derive(Clone, Debug)]
pub struct Placement {
    nodes: Vec<RingNode>,
    by_host: BTreeMap<String, usize>,
    ranges: Vec<TokenRange>,
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
        Ok(Self { nodes: ring.to_vec(), by_host, ranges })
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
            ranges.push(TokenRange { after, through, replicas });
            after = through;
        }
    }
    Ok(ranges)
}

/// Nodes in ring order from the token with index `first` on, once around.
fn walk(tokens: &[(i64, usize)], first: usize) -> impl Iterator<Item = usize> {
    tokens[first..].iter().chain(&tokens[..first]).map(|&(_, node)| node)
}
