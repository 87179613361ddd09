//! What the nodes of a ring run and which schema they have, as one of them knows it, and what each says of its own mode.

use std::collections::{BTreeMap, BTreeSet};

use scylla::{
    client::session::Session,
    policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy},
    statement::{Consistency, unprepared::Statement},
};

use super::{Error, LocalNode, peers, rows};
use crate::release::Release;

/// A node of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Host id, UUID text.
    pub host_id: String,
    /// Server version, for example `5.0.9`.
    pub release: String,
    /// Version of the schema that it has, UUID text.
    pub schema_version: String,
}

/// The nodes of the ring, the described one first. Rows of peers that do not say all of it belong to nodes that have left or
/// are about to join.
///
/// # Errors
/// [`Error`].
pub async fn members(session: &Session, local: &LocalNode) -> Result<Vec<Member>, Error> {
    let mut members = vec![Member {
        host_id: local.node.host_id.clone(),
        release: local.release.clone(),
        schema_version: local.schema_version.clone(),
    }];
    for peer in peers(session).await? {
        if let (Some(host), Some(release), Some(schema)) = (peer.host_id, peer.release_version, peer.schema_version) {
            members.push(Member { host_id: host.to_string(), release, schema_version: schema.to_string() });
        }
    }
    Ok(members)
}

/// Storage compatibility modes of the nodes that the session is connected with, each with their addresses: every node is asked for
/// its own. Nodes before 5.0 have none.
///
/// # Errors
/// [`Error`].
pub async fn modes(session: &Session) -> Result<BTreeMap<String, Vec<String>>, Error> {
    const QUERY: &str = "SELECT value FROM system_views.settings WHERE name = 'storage_compatibility_mode'";
    let mut modes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in session.get_cluster_state().get_nodes_info().iter().filter(|node| node.is_connected()) {
        let this_one = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(node.clone()), None);
        let mut statement = Statement::new(QUERY);
        statement.set_consistency(Consistency::One);
        statement.set_load_balancing_policy(Some(this_one));
        let found: Vec<(Option<String>,)> = rows(session, "system_views.settings", statement, ()).await?;
        for (mode,) in found {
            modes.entry(mode_of(mode)).or_default().push(node.address.ip().to_string());
        }
    }
    Ok(modes)
}

/// A node whose configuration names no mode answers with null, and has the mode that 5.0 starts with.
fn mode_of(told: Option<String>) -> String {
    told.map_or_else(|| "CASSANDRA_4".to_owned(), |mode| mode.to_ascii_uppercase())
}

/// Releases among the nodes, ascending; what has no known form of a version stands for none.
pub fn releases(members: &[Member]) -> BTreeSet<Release> {
    members.iter().filter_map(|member| Release::of(&member.release)).collect()
}

/// Versions of the schema, each with the host ids that have it, of every release whose nodes have several: a change is on its
/// way, or a node is down and missed one. Empty where the nodes agree.
///
/// The version is a digest of tables that differ between releases, so that nodes of two releases never have the same one.
pub fn disagreement(members: &[Member]) -> BTreeMap<String, Vec<String>> {
    let mut by_release: BTreeMap<Option<Release>, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for member in members {
        let versions = by_release.entry(Release::of(&member.release)).or_default();
        versions.entry(member.schema_version.clone()).or_default().push(member.host_id.clone());
    }
    by_release.into_values().filter(|versions| versions.len() > 1).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(host: &str, release: &str, schema: &str) -> Member {
        Member { host_id: host.into(), release: release.into(), schema_version: schema.into() }
    }

    #[test]
    fn a_mode_that_is_not_configured_is_the_default() {
        assert_eq!(mode_of(None), "CASSANDRA_4");
        assert_eq!(mode_of(Some("upgrading".into())), "UPGRADING");
    }

    #[test]
    fn nodes_of_one_release_must_have_one_schema() {
        let mut members = vec![member("a", "4.1.9", "x"), member("b", "4.1.10", "x"), member("c", "5.0.9", "y")];
        assert_eq!(disagreement(&members), BTreeMap::new());
        assert_eq!(releases(&members), BTreeSet::from([Release::V4_1, Release::V5_0]));
        members[1].schema_version = "z".into();
        let both = BTreeMap::from([("x", "a"), ("z", "b")].map(|(v, host)| (v.to_owned(), vec![host.to_owned()])));
        assert_eq!(disagreement(&members), both);
    }
}
