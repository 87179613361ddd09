//! Blocks that are of no use any more.

use std::collections::HashSet;

use object_store::path::Path;

use super::Blocks;
use crate::{
    ids::{SetId, VersionNumber},
    marks::Gone,
};

/// Blocks that a sweep deletes: each number of theirs is gone, or told by a block that was used instead.
pub(in crate::collect) fn over(blocks: &Blocks, set: &SetId, gone: &Gone) -> Vec<Path> {
    let used: HashSet<&str> = blocks.used.iter().map(|block| block.listed.stored.key.as_str()).collect();
    let told: HashSet<u64> = blocks.used.iter().flat_map(|block| &block.versions).map(|told| told.number.0).collect();
    let is_told = |number: u64| told.contains(&number) || gone.contains(set, VersionNumber(number));
    let unused = blocks.listed.iter().filter(|listed| !used.contains(listed.stored.key.as_str()));
    let over = unused.filter(|listed| (listed.first..=listed.last).all(is_told));
    over.map(|listed| listed.stored.path()).collect()
}
