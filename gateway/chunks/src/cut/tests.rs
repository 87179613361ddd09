use std::{collections::HashSet, ops::Range};

use proptest::prelude::*;

use super::*;

pub(crate) fn chunking_key(byte: u8) -> ChunkingKey {
    ChunkingKey::new(Secret::take(&mut [byte; 32]))
}

/// Bytes that follow from a seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let key = blake3::hash(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(key.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Noise with runs of zero blocks in it.
fn image(seed: u64, blocks: usize, tail: usize) -> Vec<u8> {
    let mut bytes = noise(seed, blocks * BLOCK_BYTES + tail);
    let holes = noise(seed ^ 1, blocks);
    for (block, hole) in holes.into_iter().enumerate().filter(|(_, hole)| *hole < 80) {
        let end = (block + usize::from(hole % 5)).min(blocks);
        bytes[block * BLOCK_BYTES..end * BLOCK_BYTES].fill(0);
    }
    bytes
}

fn aligned(key: u8, bytes: &[u8]) -> Vec<Piece> {
    AlignedCutter::new(&chunking_key(key)).pieces(bytes).collect()
}

fn stream(key: u8, bytes: &[u8]) -> Vec<Range<usize>> {
    let cutter = StreamCutter::new(&chunking_key(key));
    let mut start = 0;
    let next = || {
        let length = cutter.next(&bytes[start..], true)?;
        start += length;
        Some(start - length..start)
    };
    std::iter::from_fn(next).collect()
}

fn contents<'a>(bytes: &'a [u8], ranges: &[Range<usize>]) -> HashSet<&'a [u8]> {
    ranges.iter().map(|range| &bytes[range.clone()]).collect()
}

fn chunk_ranges(pieces: &[Piece]) -> Vec<Range<usize>> {
    pieces.iter().filter(|piece| matches!(piece, Piece::Chunk(_))).map(Piece::range).collect()
}

/// Neighbouring zeros as one.
fn merged(pieces: impl IntoIterator<Item = Piece>) -> Vec<Piece> {
    let mut merged: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (merged.last_mut(), piece) {
            (Some(Piece::Zeros(before)), Piece::Zeros(more)) => before.end = more.end,
            (_, piece) => merged.push(piece),
        }
    }
    merged
}

#[test]
fn images_are_cut_near_the_average_and_by_the_key() {
    let bytes = noise(1, 16 << 20);
    let pieces = aligned(1, &bytes);
    let average = bytes.len() / pieces.len();
    assert!((14 << 10..19 << 10).contains(&average), "{average}");
    let others: HashSet<_> = aligned(2, &bytes).iter().map(|piece| piece.range().end).collect();
    let shared = pieces.iter().filter(|piece| others.contains(&piece.range().end)).count();
    assert!(shared < pieces.len() / 2, "{shared} of {}", pieces.len());
}

#[test]
fn streams_are_cut_near_the_average_and_by_the_key() {
    let bytes = noise(1, 8 << 20);
    let ranges = stream(1, &bytes);
    let average = bytes.len() / ranges.len();
    assert!((14 << 10..26 << 10).contains(&average), "{average}");
    let others: HashSet<_> = stream(2, &bytes).iter().map(|range| range.end).collect();
    let shared = ranges.iter().filter(|range| others.contains(&range.end)).count();
    assert!(shared < ranges.len() / 20, "{shared} of {}", ranges.len());
}

#[test]
fn bytes_that_shift_keep_most_chunks() {
    let bytes = noise(3, 4 << 20);
    let mut shifted = bytes.clone();
    shifted.splice(1_000_000..1_000_000, noise(4, 777));
    let (old, new) = (stream(1, &bytes), stream(1, &shifted));
    let known = contents(&bytes, &old);
    let fresh = contents(&shifted, &new).into_iter().filter(|chunk| !known.contains(chunk)).count();
    assert!(fresh <= 6, "{fresh} of {}", new.len());
}

#[test]
fn blocks_that_shift_keep_most_chunks() {
    let bytes = noise(5, 4 << 20);
    let mut shifted = bytes.clone();
    shifted.splice(100 * BLOCK_BYTES..100 * BLOCK_BYTES, noise(6, 3 * BLOCK_BYTES));
    let (old, new) = (chunk_ranges(&aligned(1, &bytes)), chunk_ranges(&aligned(1, &shifted)));
    let known = contents(&bytes, &old);
    let fresh = contents(&shifted, &new).into_iter().filter(|chunk| !known.contains(chunk)).count();
    assert!(fresh <= 6, "{fresh} of {}", new.len());
}

/// What these keys cut is what is in repositories: another cut would lose all that is shared with them.
#[test]
fn cuts_are_those_of_format_1() {
    let bytes = image(7, 64, 100);
    let ends: Vec<_> = aligned(1, &bytes).iter().map(|piece| piece.range().end / BLOCK_BYTES).collect();
    let streams: Vec<_> = stream(1, &bytes).iter().map(|range| range.end).collect();
    let all = format!("{ends:?} {streams:?}");
    assert_eq!(all, CUTS);
}

const CUTS: &str = "[4, 6, 14, 15, 16, 19, 21, 24, 29, 34, 37, 46, 48, 50, 56, 57, 61, 63, 64, 64] \
    [65536, 88082, 106916, 113726, 148601, 214137, 232647, 252367, 262244]";

#[test]
fn cutters_print_nothing_of_their_keys() {
    let key = chunking_key(1);
    let printed = format!("{:?} {:?}", AlignedCutter::new(&key), StreamCutter::new(&key));
    let (strict, loose) = fastcdc::v2020::select_masks(AVERAGE_BYTES, fastcdc::v2020::Normalization::Level1);
    let expected = format!(
        "AlignedCutter {{ words: ***, last: *** }} StreamCutter {{ gear: ***, doubled: ***, masks: ({strict}, {loose}) }}"
    );
    assert_eq!(printed, expected);
}

#[test]
fn a_reader_in_small_steps_is_cut_as_the_whole() {
    struct Slow<'a>(&'a [u8]);
    impl std::io::Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let len = self.0.len().min(buffer.len()).min(70_001);
            let (now, rest) = self.0.split_at(len);
            buffer[..len].copy_from_slice(now);
            self.0 = rest;
            Ok(len)
        }
    }
    let bytes = noise(8, 3_000_001);
    let cutter = StreamCutter::new(&chunking_key(1));
    let chunks: Vec<_> = cutter.chunks(Slow(&bytes)).map(Result::unwrap).collect();
    let whole: Vec<_> = stream(1, &bytes).into_iter().map(|range| bytes[range].to_vec()).collect();
    assert_eq!(chunks, whole);
}

#[test]
fn a_reader_that_fails_ends_the_chunks() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("gone"))
        }
    }
    let cutter = StreamCutter::new(&chunking_key(1));
    let results: Vec<_> = cutter.chunks(Broken).take(3).collect();
    assert!(matches!(results.as_slice(), [Err(_)]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pieces_cover_all_within_bounds(seed: u64, blocks in 0..80_usize, tail in 0..BLOCK_BYTES) {
        let bytes = image(seed, blocks, tail);
        let mut end = 0;
        for piece in aligned(1, &bytes) {
            let range = piece.range();
            prop_assert_eq!(range.start, end);
            prop_assert!(range.end > range.start && range.start.is_multiple_of(BLOCK_BYTES));
            match piece {
                Piece::Zeros(_) => prop_assert!(bytes[range.clone()].iter().all(|byte| *byte == 0)),
                Piece::Chunk(_) => prop_assert!(range.len() <= MOST_BYTES && bytes[range.clone()].iter().any(|byte| *byte != 0)),
            }
            end = range.end;
        }
        prop_assert_eq!(end, bytes.len());
    }

    #[test]
    fn chunks_of_streams_cover_all_within_bounds(seed: u64, len in 0..300_000_usize, same: bool) {
        let bytes = if same { vec![seed as u8; len] } else { noise(seed, len) };
        let ranges = stream(1, &bytes);
        prop_assert_eq!(ranges.iter().map(Range::len).sum::<usize>(), len);
        for (number, range) in ranges.iter().enumerate() {
            let last = number + 1 == ranges.len();
            prop_assert!(range.len() <= MOST_BYTES && (last || range.len() >= LEAST_BYTES));
        }
    }

    /// The rule in the module's header, on which tracking of changes rests.
    #[test]
    fn cutting_anew_from_the_changed_chunk_gives_the_same_pieces(
        seed: u64, from in 0..60_usize, blocks in 1..20_usize, zeros: bool,
    ) {
        let (old, mut new) = (image(seed, 64, 100), image(seed, 64, 100));
        let changed = from * BLOCK_BYTES..((from + blocks) * BLOCK_BYTES).min(new.len());
        let fresh = if zeros { vec![0; changed.len()] } else { noise(seed ^ 2, changed.len()) };
        new[changed.clone()].copy_from_slice(&fresh);
        let kept: Vec<_> = aligned(1, &old).into_iter().take_while(|piece| piece.range().end <= changed.start).collect();
        let start = kept.last().map_or(0, |piece| piece.range().end);
        let anew = aligned(1, &new[start..]).into_iter().map(|piece| match piece {
            Piece::Zeros(range) => Piece::Zeros(range.start + start..range.end + start),
            Piece::Chunk(range) => Piece::Chunk(range.start + start..range.end + start),
        });
        prop_assert_eq!(merged(kept.into_iter().chain(anew)), aligned(1, &new));
    }

    #[test]
    fn cutting_a_stream_anew_from_the_changed_chunk_gives_the_same(
        seed: u64, at in 0..200_000_usize, len in 1..9000_usize, on_border: bool,
    ) {
        let (old, mut new) = (noise(seed, 200_000), noise(seed, 200_000));
        let borders: Vec<_> = stream(1, &old).iter().map(|range| range.start).collect();
        let at = if on_border { borders[at % borders.len()] } else { at };
        let changed = at..(at + len).min(new.len());
        let fresh = noise(seed ^ 2, changed.len());
        new[changed].copy_from_slice(&fresh);
        let kept: Vec<_> = stream(1, &old).into_iter().take_while(|range| range.end <= at).collect();
        let start = kept.last().map_or(0, |range| range.end);
        let anew = stream(1, &new[start..]).into_iter().map(|range| range.start + start..range.end + start);
        prop_assert_eq!(kept.into_iter().chain(anew).collect::<Vec<_>>(), stream(1, &new));
    }
}
