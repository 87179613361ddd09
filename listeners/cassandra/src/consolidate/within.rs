//! The partitions of a stream that lie within a range of tokens.

use tidemark_cassandra_format::model::{Partition, PartitionReader, Unfiltered};

/// A stream cut down to the tokens `(after, through]`; the lowest token is in a range that begins there.
pub(super) struct Within<R> {
    reader: R,
    after: i64,
    through: i64,
    ended: bool,
}

impl<R: PartitionReader> Within<R> {
    pub(super) fn new(reader: R, (after, through): (i64, i64)) -> Self {
        Self { reader, after, through, ended: false }
    }

    fn is_before(&self, token: i64) -> bool {
        token <= self.after && self.after != i64::MIN
    }
}

impl<R: PartitionReader> PartitionReader for Within<R> {
    type Error = R::Error;

    fn next_partition(&mut self) -> Result<Option<Partition>, R::Error> {
        while !self.ended {
            let Some(partition) = self.reader.next_partition()? else { break };
            if partition.token > self.through {
                break;
            }
            if !self.is_before(partition.token) {
                return Ok(Some(partition));
            }
        }
        self.ended = true;
        Ok(None)
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, R::Error> {
        if self.ended { Ok(None) } else { self.reader.next_unfiltered() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::samples::MemoryReader;

    #[test]
    fn ranges_that_touch_hold_every_partition_once() {
        let keys = [-3, -1, 0, 4, 7, 9];
        let all = |range| {
            let partitions: Vec<_> = keys.iter().map(|key| (*key, vec![])).collect();
            let mut reader = Within::new(MemoryReader::of(&partitions), range);
            let mut tokens = Vec::new();
            while let Some(partition) = reader.next_partition().unwrap() {
                assert!(reader.next_unfiltered().unwrap().is_none());
                tokens.push(partition.token);
            }
            assert!(reader.next_partition().unwrap().is_none());
            tokens
        };
        let whole = all((i64::MIN, i64::MAX));
        assert_eq!(whole.len(), keys.len());
        for cut in whole.iter().flat_map(|token| [*token - 1, *token, *token + 1]) {
            let halves = [all((i64::MIN, cut)), all((cut, i64::MAX))];
            assert!(halves[0].iter().all(|token| *token <= cut));
            assert_eq!(halves.concat(), whole, "{cut}");
        }
    }
}
