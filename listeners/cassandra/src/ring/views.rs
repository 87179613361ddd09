//! How several views of one ring differ, for people.

use std::collections::BTreeSet;

use super::Seen;
use crate::cluster::RingNode;

/// Most members that are named.
const NAMED: usize = 5;

/// What the views differ on; empty where they are one.
pub(super) fn differences(views: &[Seen<'_>]) -> String {
    let hosts: BTreeSet<&str> = views.iter().flat_map(|(ring, _)| *ring).map(|node| node.host_id.as_str()).collect();
    let mut moved: Vec<String> = hosts.into_iter().filter_map(|host| moved(host, views)).collect();
    let more = moved.len().saturating_sub(NAMED);
    moved.truncate(NAMED);
    moved.extend((more > 0).then(|| format!("{more} more members differ")));
    moved.extend(views.windows(2).any(|two| two[0].1 != two[1].1).then(|| "the replication is not one".to_owned()));
    if moved.is_empty() { String::new() } else { format!("the nodes' views of the ring differ: {}", moved.join(", ")) }
}

fn moved(host: &str, views: &[Seen<'_>]) -> Option<String> {
    let of = |(ring, _): &Seen<'_>| ring.iter().find(|node| node.host_id == host).cloned();
    let seen: Vec<Option<RingNode>> = views.iter().map(of).collect();
    let one = seen.iter().flatten().next()?;
    let what = if seen.iter().any(Option::is_none) {
        "is a member to some"
    } else if seen.iter().flatten().any(|node| node.tokens != one.tokens) {
        "has not one set of tokens"
    } else if seen.iter().flatten().any(|node| (&node.dc, &node.rack) != (&one.dc, &one.rack)) {
        "is not in one place"
    } else {
        return None;
    };
    Some(format!("{host} ({}) {what}", one.address))
}
