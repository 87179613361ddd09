use proptest::prelude::*;

use super::*;
use crate::Stored;

const MIB: usize = 1 << 20;

/// Bytes without a pattern.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn hashed(bytes: &[u8], pieces: &[usize], mut hasher: TreeHasher) -> Stored {
    let (mut rest, mut lengths) = (bytes, pieces.iter().cycle());
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(lengths.next().map_or(rest.len(), |length| rest.len().min(*length)));
        hasher.update(piece);
        rest = tail;
    }
    assert_eq!(hasher.size(), bytes.len() as u64);
    hasher.finish()
}

fn tree_of(bytes: &[u8]) -> Tree {
    Stored::of(bytes).tree.unwrap()
}

/// All that holds of what `bytes` were hashed to.
fn assert_proven(bytes: &[u8], stored: &Stored) {
    let (size, digest) = (bytes.len(), Digest::of(bytes));
    assert_eq!((stored.size, stored.digest), (size as u64, digest), "{size}");
    assert_eq!(stored.tree.is_some(), size > MIB, "{size}");
    let Some(tree) = &stored.tree else { return };
    assert!(tree.proves(stored.size, &digest) && tree.blocks() == size.div_ceil(MIB), "{size}");
    for (number, block) in (0..).zip(bytes.chunks(MIB)) {
        tree.check(number, block).unwrap();
    }
}

#[test]
fn the_root_is_the_digest_at_every_size_and_in_all_pieces() {
    let sizes = [0, 1, 1023, 1024, 1025, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 5, 5 * MIB, 8 * MIB];
    let bytes = noise(8 * MIB);
    for bytes in sizes.map(|size| &bytes[..size]) {
        assert_proven(bytes, &Stored::of(bytes));
        for pieces in [&[1023][..], &[1024], &[1, 65_537, 7], &[MIB - 1], &[MIB], &[MIB + 1, 3]] {
            let stored = hashed(bytes, pieces, TreeHasher::new());
            assert_proven(bytes, &stored);
            assert_eq!(stored.tree, Stored::of(bytes).tree);
        }
    }
}

#[test]
fn an_object_of_too_many_blocks_has_its_digest_and_no_tree() {
    let bytes = noise(11 * MIB + 3);
    for most in [1, 2, 4] {
        for size in [most * MIB + 1, 8 * MIB, 9 * MIB, bytes.len()] {
            let stored = hashed(&bytes[..size], &[MIB], TreeHasher::with_most(most));
            assert_eq!((stored.digest, stored.tree), (Digest::of(&bytes[..size]), None), "{size} by {most}");
        }
    }
    let stored = hashed(&bytes[..4 * MIB], &[], TreeHasher::with_most(4));
    assert_proven(&bytes[..4 * MIB], &stored);
}

#[test]
fn a_flipped_bit_in_any_block_is_refused() {
    let mut bytes = noise(4 * MIB + 5);
    let tree = tree_of(&bytes);
    for (number, at) in [(0, 0), (1, 2 * MIB - 1), (2, 2 * MIB + 77_777), (3, 3 * MIB), (4, 4 * MIB + 4)] {
        bytes[at] ^= 0x10;
        for (block, bytes) in (0..).zip(bytes.chunks(MIB)) {
            let checked = tree.check(block, bytes);
            assert_eq!(matches!(checked, Err(Damage::Value { block, .. }) if block == number), block == number);
            assert_eq!(checked.is_err(), block == number);
        }
        assert!(!tree_of(&bytes).proves(bytes.len() as u64, &tree.digest()));
        bytes[at] ^= 0x10;
    }
}

#[test]
fn blocks_at_other_places_or_of_other_lengths_are_refused() {
    let bytes = vec![0; 2 * MIB + 5];
    let tree = tree_of(&bytes);
    for (number, len) in [(1, MIB - 1), (2, 4), (2, 6), (2, MIB)] {
        let error = tree.check(number, &bytes[..len]).unwrap_err();
        assert!(matches!(error, Damage::Value { .. }), "{error}");
    }
    for (number, len) in [(0, 0), (0, MIB + 1), (1, MIB + 1), (3, 5), (u64::MAX, 5)] {
        let error = tree.check(number, &bytes[..len]).unwrap_err();
        assert!(matches!(error, Damage::Shape { .. }), "{error}");
    }
    let mut swapped = noise(2 * MIB);
    let tree = tree_of(&swapped);
    swapped.rotate_left(MIB);
    assert!(tree.check(0, &swapped[..MIB]).is_err() && tree.check(1, &swapped[MIB..]).is_err());
}

#[test]
fn the_tree_of_another_object_is_refused() {
    let bytes = noise(5 * MIB);
    let ours = Stored::of(&bytes);
    for other in [&bytes[1..], &bytes[..4 * MIB], &bytes[..4 * MIB + 9], &bytes[MIB..]] {
        assert!(!tree_of(other).proves(ours.size, &ours.digest));
    }
    let tree = ours.tree.unwrap();
    for size in [0, ours.size - MIB as u64, ours.size + 1, u64::MAX] {
        assert!(!tree.proves(size, &ours.digest), "{size}");
    }
}

/// Inner values of the same tree lead to the same digest: the number of blocks tells them apart.
#[test]
fn values_of_larger_blocks_are_not_the_tree() {
    let tree = tree_of(&noise(4 * MIB));
    let larger = Tree([fold(&tree.0[..2]), fold(&tree.0[2..])].into());
    assert_eq!(larger.digest(), tree.digest());
    assert!(!larger.proves(4 << 20, &tree.digest()));
}

#[test]
fn text_and_json_round_trip() {
    let tree = tree_of(&noise(3 * MIB + 5));
    let text = tree.to_string();
    assert_eq!((text.len(), text.contains('=')), (171, false));
    assert_eq!(text.parse::<Tree>().unwrap(), tree);
    let json = serde_json::to_string(&tree).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<Tree>(&json).unwrap(), tree);
}

#[test]
fn anything_but_the_base64_of_some_values_is_refused() {
    let text = |bytes: usize| BASE64_STANDARD_NO_PAD.encode(vec![7; bytes]);
    let padded = format!("{}==", text(64));
    let loose = format!("{}x", &text(64)[..85]);
    let wrong = ["", "AAAA", &text(32), &text(63), &text(65), &padded, &loose, &text(64).replace('H', "-"), "ä"];
    for text in wrong {
        assert!(text.parse::<Tree>().is_err(), "{text}");
    }
    assert_eq!(text(MOST_BLOCKS * 32).parse::<Tree>().unwrap().blocks(), MOST_BLOCKS);
    let long = text(MOST_BLOCKS * 32 + 32).parse::<Tree>().unwrap_err().to_string();
    assert!(long.len() < 200, "an error never repeats a long text");
    assert!(serde_json::from_str::<Tree>("7").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_root_is_the_digest(size in 0..6 * MIB, pieces in proptest::collection::vec(1..3 * MIB, 1..5)) {
        let bytes = noise(size);
        assert_proven(&bytes, &hashed(&bytes, &pieces, TreeHasher::new()));
    }
}
