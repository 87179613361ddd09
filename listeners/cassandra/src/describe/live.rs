//! The ring as a node's own token metadata has it, which `nodetool ring` prints.
//!
//! `system.peers_v2` may hold rows of nodes that are long gone; what the node places replicas by is its token metadata. It has
//! addresses, tokens, states and data centres; host ids and racks come from the rows of the same addresses. A node that another one
//! is replacing is still a member, but its tokens are printed as the other's: its row tells.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Known, sorted_tokens};
use crate::cluster::RingNode;

/// State of a member that has not all of its share yet.
const JOINING: &str = "Joining";

/// Words that `nodetool ring` prints as a member's state.
const STATES: [&str; 4] = ["Normal", JOINING, "Leaving", "Moving"];

/// What a node knows of its ring now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Members that own ranges, sorted by host id.
    pub ring: Vec<RingNode>,
    /// Members in another state than `Normal`, by host id or, of those that join, address.
    pub states: BTreeMap<String, String>,
    /// Rows of the system tables that are about no member, sorted.
    pub ghosts: Vec<Ghost>,
}

/// A row of `system.peers_v2` about a node that the ring does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ghost {
    /// Its address and host id, for people.
    pub name: String,
    /// What removes it, on the node that has it.
    pub statement: String,
}

/// What `nodetool` printed is not a ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nodetool ring printed no members; its first words are {words:?}")]
pub struct NoRing {
    words: String,
}

/// A line of a token.
struct Line<'a> {
    dc: &'a str,
    peer: String,
    rack: String,
    state: &'a str,
    token: &'a str,
}

impl Live {
    /// Reads what `nodetool -pp ring` printed; `known` has the rows of the node's system tables, its own included.
    ///
    /// # Errors
    /// [`NoRing`] where it names no member that owns a token.
    pub fn parse(printed: &str, known: &[Known]) -> Result<Self, NoRing> {
        let mut live = Self::default();
        let mut members = BTreeMap::<String, RingNode>::new();
        for line in lines(printed) {
            let member = members.entry(line.peer.clone()).or_insert_with(|| member(&line, known));
            if line.state != STATES[0] {
                live.states.insert(member.host_id.clone(), line.state.to_owned());
            }
            // Who joins owns nothing until it has its share: until then whom it replaces does.
            if line.state != JOINING {
                member.tokens.push(line.token.to_owned());
            } else if let Some((peer, node)) = replaced(&line, known) {
                let owner = || RingNode { tokens: Vec::new(), ..node.clone() };
                members.entry(peer.to_owned()).or_insert_with(owner).tokens.push(line.token.to_owned());
            }
        }
        live.ghosts = known.iter().filter(|known| !members.contains_key(&known.peer)).filter_map(ghost).collect();
        live.ghosts.sort();
        live.ring = members.into_values().filter(|member| !member.tokens.is_empty()).map(ordered).collect();
        live.ring.sort_by(|a, b| a.host_id.cmp(&b.host_id));
        match live.ring.is_empty() {
            true => Err(NoRing { words: printed.chars().take(200).collect() }),
            false => Ok(live),
        }
    }
}

fn lines(printed: &str) -> impl Iterator<Item = Line<'_>> {
    let mut dc = "";
    printed.lines().filter_map(move |line| {
        if let Some(name) = line.strip_prefix("Datacenter:") {
            dc = name.trim();
        }
        Line::parse(dc, line)
    })
}

impl<'a> Line<'a> {
    /// `Address Rack Status State Load Owns Token`, parted by blanks; a long rack runs into the status.
    fn parse(dc: &'a str, line: &'a str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let state = words.iter().rposition(|word| STATES.contains(word))?;
        let (peer, token) = (*words.first()?, *words.last()?);
        // IPv6 addresses are printed in full.
        let peer = peer.parse::<SocketAddr>().map_or_else(|_| peer.to_owned(), |address| address.to_string());
        token.parse::<i64>().ok()?;
        let named = words.get(1..state)?.join(" ");
        let rack = ["Up", "Down", "?"].iter().find_map(|status| named.strip_suffix(status)).unwrap_or(&named);
        Some(Self { dc, peer, rack: rack.trim().to_owned(), state: words[state], token })
    }
}

/// The member of a line. One that the system tables know nothing of is named by its address: its files are never captured,
/// and it counts as a replica.
fn member(line: &Line<'_>, known: &[Known]) -> RingNode {
    let row = known.iter().find(|known| known.peer == line.peer).and_then(|known| known.node.as_ref());
    let blank = RingNode {
        host_id: line.peer.clone(),
        address: line.peer.clone(),
        dc: String::new(),
        rack: line.rack.clone(),
        tokens: Vec::new(),
    };
    RingNode { dc: line.dc.to_owned(), tokens: Vec::new(), ..row.cloned().unwrap_or(blank) }
}

/// Whom a joining member replaces: the other known node that has its token.
fn replaced<'k>(line: &Line<'_>, known: &'k [Known]) -> Option<(&'k str, &'k RingNode)> {
    let others = known.iter().filter(|row| row.peer != line.peer);
    let mut nodes = others.filter_map(|row| Some((row.peer.as_str(), row.node.as_ref()?)));
    nodes.find(|(_, node)| node.tokens.iter().any(|token| token == line.token))
}

fn ordered(member: RingNode) -> RingNode {
    RingNode { tokens: sorted_tokens(Some(member.tokens)), ..member }
}

/// A row that says all of a member but is about none.
fn ghost(known: &Known) -> Option<Ghost> {
    let node = known.node.as_ref()?;
    let (ip, port) = (&known.ip, known.port);
    Some(Ghost {
        name: format!("{} ({})", known.peer, node.host_id),
        statement: format!(
            "DELETE FROM system.peers_v2 WHERE peer = '{ip}' AND peer_port = {port}; \
             DELETE FROM system.peers WHERE peer = '{ip}';"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a node of 5.0.9.
    const PRINTED: &str = "
Datacenter: dc1
==========
Address                    Rack        Status State   Load            Owns                Token
                                                                                          9
127.0.0.1:7000  rack1       Up     Normal  101.5 KiB       ?                   -9
127.0.0.2:7000  rack-eu-west-1aDown   Leaving ?               33.33%              -3
127.0.0.1:7000  rack1       Up     Normal  101.5 KiB       ?                   9

Datacenter: dc2
==========
Address                    Rack        Status State   Load            Owns                Token
                                                                                          5
127.0.0.3:7000  rack1       Up     Joining 1 MiB           ?                   5

  Warning: \"nodetool ring\" is used to output all the tokens of a node.
";

    fn known(ip: &str, host: &str) -> Known {
        let node = RingNode {
            host_id: host.into(),
            address: format!("{ip}:9042"),
            dc: "dc1".into(),
            rack: "r".into(),
            tokens: vec!["77".into()],
        };
        Known { peer: format!("{ip}:7000"), ip: ip.into(), port: 7000, node: Some(node) }
    }

    #[test]
    fn members_are_those_of_the_token_metadata_with_its_tokens() {
        let rows = [known("127.0.0.1", "a"), known("127.0.0.9", "gone")];
        let live = Live::parse(PRINTED, &rows).unwrap();
        let ring: Vec<_> =
            live.ring.iter().map(|m| (m.host_id.as_str(), m.rack.as_str(), m.tokens.join(","))).collect();
        assert_eq!(ring, [("127.0.0.2:7000", "rack-eu-west-1a", "-3".to_owned()), ("a", "r", "-9,9".to_owned())]);
        let states: Vec<_> = live.states.iter().map(|(host, state)| format!("{host} {state}")).collect();
        assert_eq!(states, ["127.0.0.2:7000 Leaving", "127.0.0.3:7000 Joining"]);
    }

    #[test]
    fn a_row_about_no_member_is_a_ghost_with_what_removes_it() {
        let live = Live::parse(PRINTED, &[known("127.0.0.1", "a"), known("127.0.0.9", "gone")]).unwrap();
        let [ghost] = &live.ghosts[..] else { panic!("{live:?}") };
        assert_eq!(ghost.name, "127.0.0.9:7000 (gone)");
        assert!(
            ghost.statement.starts_with("DELETE FROM system.peers_v2 WHERE peer = '127.0.0.9' AND peer_port = 7000;")
        );
    }

    fn owner(ip: &str, host: &str, tokens: &[&str]) -> Known {
        let known = known(ip, host);
        let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        Known { node: known.node.clone().map(|node| RingNode { tokens, ..node }), ..known }
    }

    #[test]
    fn a_node_that_is_being_replaced_owns_its_tokens_until_the_other_has_its_share() {
        let printed = "Datacenter: dc1\n\
            127.0.0.1:7000 r Up Normal 1 KiB ? 3\n\
            127.0.0.8:7000 r Up Joining 1 KiB ? 7\n\
            127.0.0.8:7000 r Up Joining 1 KiB ? -7\n\
            127.0.0.7:7000 r Up Joining 1 KiB ? 9\n";
        let replacing = owner("127.0.0.8", "d", &["-7", "7"]);
        let rows = [owner("127.0.0.1", "a", &["3"]), replacing, owner("127.0.0.9", "dead", &["-7", "7"])];
        let live = Live::parse(printed, &rows).unwrap();
        let ring: Vec<_> = live.ring.iter().map(|m| (m.host_id.as_str(), m.tokens.join(","))).collect();
        assert_eq!(ring, [("a", "3".to_owned()), ("dead", "-7,7".to_owned())]);
        assert!(live.ghosts.is_empty() && live.states.contains_key("d"), "{live:?}");
    }

    #[test]
    fn addresses_of_six_words_are_found_however_they_are_printed() {
        let printed = "Datacenter: x\n[2001:db8:0:0:0:0:0:1]:7000 r Up Normal 1 KiB ? 3\n";
        let row = Known { peer: "[2001:db8::1]:7000".into(), ..known("2001:db8::1", "a") };
        let live = Live::parse(printed, &[row]).unwrap();
        assert_eq!((live.ring[0].host_id.as_str(), live.ghosts.len()), ("a", 0));
    }

    #[test]
    fn other_words_are_no_ring() {
        assert!(Live::parse("Error: The node does not have system_traces yet", &[]).is_err());
    }
}
