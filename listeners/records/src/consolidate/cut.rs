//! The cut of captures that were taken from files.

use jiff::SignedDuration;
use tidemark_catalog::{
    entry::{Cut, PartitionCut},
    slice::SliceManifest,
};

/// The cut of these slices; `None` where there are none. It begins the bound of the clocks, µs, before the first of them does.
pub fn cut(slices: &[&SliceManifest], clock_bound_micros: i64) -> Option<Cut> {
    let bound = SignedDuration::from_micros(clock_bound_micros);
    let started = slices.iter().map(|slice| slice.started).min()?;
    let through = slices.iter().map(|slice| slice.finished).max()?;
    let mut partitions: Vec<_> = slices.iter().map(|slice| partition_cut(slice)).collect();
    partitions.sort_by(|a, b| a.partition.cmp(&b.partition));
    Some(Cut { from: started.checked_sub(bound).unwrap_or(started), through, partitions })
}

fn partition_cut(slice: &SliceManifest) -> PartitionCut {
    PartitionCut { partition: slice.partition.clone(), started: slice.started, finished: slice.finished }
}
