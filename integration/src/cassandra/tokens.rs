//! Tokens of nodes, given before they start.
//!
//! Nodes that choose their own tokens must start one after another, a minute each. Given tokens may not collide, and are
//! interleaved so that every node is a replica of ranges all around the ring.

/// Size of the token space.
const SPACE: i128 = 1 << 64;

/// Tokens of node `node` of `nodes`, `count` each: evenly spread over the ring, ascending, no two nodes' equal.
pub(super) fn interleaved(node: usize, nodes: usize, count: usize) -> Vec<i64> {
    let slots = (nodes * count) as i128;
    (0..count).map(|turn| token_at(((turn * nodes + node) as i128 * SPACE) / slots)).collect()
}

/// `count` tokens for one more node: middles of the widest gaps that `taken` leaves, one after another.
pub(super) fn between(taken: &[i64], count: usize) -> Vec<i64> {
    let mut all: Vec<i64> = taken.to_vec();
    for _ in 0..count {
        all.push(middle_of_widest_gap(&all));
    }
    all.split_off(taken.len())
}

fn middle_of_widest_gap(taken: &[i64]) -> i64 {
    let mut sorted: Vec<i128> = taken.iter().map(|token| place_of(*token)).collect();
    sorted.sort_unstable();
    let next = |index: usize| {
        sorted.get(index + 1).copied().unwrap_or_else(|| sorted.first().map_or(SPACE, |first| first + SPACE))
    };
    let gaps = sorted.iter().enumerate().map(|(index, start)| (next(index) - start, *start));
    let (width, start) = gaps.max_by_key(|(width, _)| *width).unwrap_or((SPACE, 0));
    token_at((start + width / 2) % SPACE)
}

/// Place of a token on a ring that starts at the smallest one.
fn place_of(token: i64) -> i128 {
    i128::from(token) - i128::from(i64::MIN)
}

/// Token at a place. The smallest token is Cassandra's "minimum" and may belong to no node.
fn token_at(place: i128) -> i64 {
    let token = i64::try_from(place + i128::from(i64::MIN)).unwrap_or(i64::MAX);
    if token == i64::MIN { i64::MIN + 1 } else { token }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_nodes_share_a_token() {
        let all: Vec<i64> = (0..3).flat_map(|node| interleaved(node, 3, 4)).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 12);
        assert!(!all.contains(&i64::MIN));
    }

    #[test]
    fn a_new_node_halves_the_widest_gaps() {
        assert_eq!(between(&[i64::MIN + 1, 0], 1), [1 << 62]);
        let all: Vec<i64> = (0..3).flat_map(|node| interleaved(node, 3, 4)).collect();
        let new = between(&all, 4);
        assert!(new.iter().all(|token| !all.contains(token)));
        assert_eq!(new.iter().collect::<BTreeSet<_>>().len(), 4);
    }
}
