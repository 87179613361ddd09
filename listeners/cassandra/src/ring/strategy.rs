//! Replication strategies.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use crate::cluster::RingNode;

/// Racks and nodes that have tokens, by data centre.
pub(crate) type Racks<'a> = BTreeMap<&'a str, (BTreeSet<&'a str>, BTreeSet<usize>)>;

/// How replicas are chosen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// The next nodes on the ring, whatever their data centre and rack.
    Simple(usize),
    /// Per data centre, the next nodes in different racks as far as there are racks.
    NetworkTopology(BTreeMap<String, usize>),
}

impl Strategy {
    pub(crate) fn parse(replication: &BTreeMap<String, String>) -> Result<Self, Error> {
        let class = replication.get("class").ok_or(Error::NoClass)?;
        match class.strip_prefix("org.apache.cassandra.locator.").unwrap_or(class) {
            "SimpleStrategy" => {
                let none = || Error::Factor { subject: "replication_factor".to_owned(), value: String::new() };
                let value = replication.get("replication_factor").ok_or_else(none)?;
                Ok(Self::Simple(factor("replication_factor", value)?))
            }
            "NetworkTopologyStrategy" => {
                let options = replication.iter().filter(|(name, _)| *name != "class");
                let factors = options.map(|(dc, value)| Ok((dc.clone(), factor(dc, value)?)));
                Ok(Self::NetworkTopology(factors.collect::<Result<_, _>>()?))
            }
            _ => Err(Error::Class { class: class.clone() }),
        }
    }

    /// Replicas of a range, given the nodes in ring order from its end on.
    pub(crate) fn replicas(
        &self,
        ring: &[RingNode],
        racks: &Racks<'_>,
        walk: impl Iterator<Item = usize>,
    ) -> Vec<usize> {
        match self {
            Self::Simple(factor) => simple(*factor, walk),
            Self::NetworkTopology(factors) => network_topology(factors, ring, racks, walk),
        }
    }
}

fn factor(subject: &str, value: &str) -> Result<usize, Error> {
    let (subject, owned) = (subject.to_owned(), value.to_owned());
    if value.contains('/') {
        return Err(Error::Transient { subject, value: owned });
    }
    value.trim().parse().map_err(|_| Error::Factor { subject, value: owned })
}

fn simple(factor: usize, walk: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut replicas = Vec::with_capacity(factor);
    for node in walk {
        if replicas.len() == factor {
            break;
        }
        if !replicas.contains(&node) {
            replicas.push(node);
        }
    }
    replicas
}

/// Racks and nodes with tokens, by data centre.
pub(crate) fn racks_by_dc<'a>(ring: &'a [RingNode], tokens: &[(i64, usize)]) -> Racks<'a> {
    let mut racks = Racks::new();
    for &(_, index) in tokens {
        let (names, nodes) = racks.entry(ring[index].dc.as_str()).or_default();
        names.insert(ring[index].rack.as_str());
        nodes.insert(index);
    }
    racks
}

/// What is still to be placed in one data centre.
struct Quota<'a> {
    left: usize,
    /// Nodes of racks that have a replica already which may be taken: with fewer racks than replicas the difference is
    /// filled by the first nodes met.
    repeats: usize,
    seen: BTreeSet<&'a str>,
}

impl<'a> Quota<'a> {
    fn new(factor: usize, racks: usize, nodes: usize) -> Self {
        Self { left: factor.min(nodes), repeats: factor.saturating_sub(racks), seen: BTreeSet::new() }
    }

    /// True iff a node of this rack, which is no replica yet, becomes one.
    fn accepts(&mut self, rack: &'a str) -> bool {
        if self.left == 0 {
            return false;
        }
        if !self.seen.insert(rack) {
            if self.repeats == 0 {
                return false;
            }
            self.repeats -= 1;
        }
        self.left -= 1;
        true
    }
}

fn network_topology(
    factors: &BTreeMap<String, usize>,
    ring: &[RingNode],
    racks: &Racks<'_>,
    walk: impl Iterator<Item = usize>,
) -> Vec<usize> {
    let mut quotas = quotas(factors, racks);
    let mut left: usize = quotas.values().map(|quota| quota.left).sum();
    let mut replicas = Vec::with_capacity(left);
    for node in walk {
        if left == 0 {
            break;
        }
        let quota = quotas.get_mut(ring[node].dc.as_str());
        if !replicas.contains(&node) && quota.is_some_and(|quota| quota.accepts(&ring[node].rack)) {
            replicas.push(node);
            left -= 1;
        }
    }
    replicas
}

fn quotas<'a>(factors: &'a BTreeMap<String, usize>, racks: &Racks<'_>) -> BTreeMap<&'a str, Quota<'a>> {
    let present = factors.iter().filter_map(|(dc, factor)| Some((dc, factor, racks.get(dc.as_str())?)));
    present.map(|(dc, factor, (racks, nodes))| (dc.as_str(), Quota::new(*factor, racks.len(), nodes.len()))).collect()
}
