//! The compressors of Cassandra 4.0 to 5.0: one chunk's stored bytes into its content.
//!
//! Sources: `LZ4Compressor`, `SnappyCompressor`, `DeflateCompressor`, `ZstdCompressor` and `NoopCompressor` of
//! `org.apache.cassandra.io.compress`, 5.0.9; those of 4.0 store the same.

use flate2::{Decompress, FlushDecompress, Status};

/// Package of Cassandra's compressors; CompressionInfo.db has their simple names.
const PACKAGE: &[u8] = b"org.apache.cassandra.io.compress.";

/// How the chunks of a file are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compressor {
    /// u32 little-endian length of the content, then one LZ4 block.
    Lz4,
    /// Snappy's raw format, which starts with the length of the content.
    Snappy,
    /// A zlib stream.
    Deflate,
    /// A zstd frame.
    Zstd,
    /// The content itself: Cassandra writes it on a flush with `flush_compression: none`.
    Noop,
}

impl Compressor {
    /// All compressors.
    pub const ALL: [Self; 5] = [Self::Lz4, Self::Snappy, Self::Deflate, Self::Zstd, Self::Noop];

    /// Simple name of Cassandra's class.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Lz4 => "LZ4Compressor",
            Self::Snappy => "SnappyCompressor",
            Self::Deflate => "DeflateCompressor",
            Self::Zstd => "ZstdCompressor",
            Self::Noop => "NoopCompressor",
        }
    }

    /// The compressor of a class's simple or full name; `None` for classes of others.
    pub(super) fn of_class(name: &[u8]) -> Option<Self> {
        let simple = name.strip_prefix(PACKAGE).unwrap_or(name);
        Self::ALL.into_iter().find(|compressor| compressor.class().as_bytes() == simple)
    }
}

/// A compressor's state, used for all chunks of a file.
pub(super) enum Decompressor {
    Lz4,
    Snappy(snap::raw::Decoder),
    Deflate(Decompress),
    Zstd(zstd::bulk::Decompressor<'static>),
    Noop,
}

impl Decompressor {
    /// # Errors
    /// Where the library cannot allocate its state.
    pub(super) fn new(compressor: Compressor) -> std::io::Result<Self> {
        Ok(match compressor {
            Compressor::Lz4 => Self::Lz4,
            Compressor::Snappy => Self::Snappy(snap::raw::Decoder::new()),
            Compressor::Deflate => Self::Deflate(Decompress::new(true)),
            Compressor::Zstd => Self::Zstd(zstd::bulk::Decompressor::new()?),
            Compressor::Noop => Self::Noop,
        })
    }

    /// Fills `content` with what `stored` holds; `None` unless it is exactly that long and nothing is left over.
    pub(super) fn decompress(&mut self, stored: &[u8], content: &mut [u8]) -> Option<()> {
        match self {
            // The empty chunk that some files end with; Deflate and Noop store nothing at all for it.
            _ if content.is_empty() && stored.is_empty() => Some(()),
            Self::Lz4 => lz4(stored, content),
            Self::Snappy(decoder) => {
                (snap::raw::decompress_len(stored).ok()? == content.len()).then_some(())?;
                (decoder.decompress(stored, content).ok()? == content.len()).then_some(())
            }
            Self::Deflate(decoder) => deflate(decoder, stored, content),
            Self::Zstd(decoder) => (decoder.decompress_to_buffer(stored, content).ok()? == content.len()).then_some(()),
            Self::Noop => (stored.len() == content.len()).then(|| content.copy_from_slice(stored)),
        }
    }
}

fn lz4(stored: &[u8], content: &mut [u8]) -> Option<()> {
    let (length, block) = stored.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*length) as usize == content.len()).then_some(())?;
    if content.is_empty() {
        // A token without literals, which the library does not take for a block.
        return (block == [0]).then_some(());
    }
    (lz4_flex::block::decompress_into(block, content).ok()? == content.len()).then_some(())
}

/// Reads the stream to its end, with Adler-32; an empty one needs room for a byte, or it would not look further.
fn deflate(decoder: &mut Decompress, stored: &[u8], content: &mut [u8]) -> Option<()> {
    decoder.reset(true);
    let mut spare = [0];
    let room = if content.is_empty() { &mut spare[..] } else { &mut *content };
    let status = decoder.decompress(stored, room, FlushDecompress::Finish).ok()?;
    let is_whole = decoder.total_in() == stored.len() as u64 && decoder.total_out() == content.len() as u64;
    (status == Status::StreamEnd && is_whole).then_some(())
}

/// Bound of the stored length of a chunk of `content` bytes, with Snappy's worst case, which is the greatest of all.
pub(super) const fn max_stored_bytes(content: usize) -> usize {
    content.saturating_add(content / 6).saturating_add(128)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn compress(compressor: Compressor, content: &[u8]) -> Vec<u8> {
        match compressor {
            Compressor::Lz4 => {
                [&(content.len() as u32).to_le_bytes()[..], &lz4_flex::block::compress(content)].concat()
            }
            Compressor::Snappy => snap::raw::Encoder::new().compress_vec(content).unwrap(),
            Compressor::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            Compressor::Zstd => zstd::bulk::compress(content, 3).unwrap(),
            Compressor::Noop => content.to_vec(),
        }
    }

    fn decompress(compressor: Compressor, stored: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut content = vec![0; length];
        Decompressor::new(compressor).unwrap().decompress(stored, &mut content)?;
        Some(content)
    }

    #[test]
    fn chunks_come_back_and_only_at_their_length() {
        let random: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
        for compressor in Compressor::ALL {
            for content in [&b""[..], b"a", &[7; 4096], &random] {
                let stored = compress(compressor, content);
                assert!(stored.len() <= max_stored_bytes(content.len()));
                assert_eq!(decompress(compressor, &stored, content.len()).as_deref(), Some(content), "{compressor:?}");
                assert_eq!(decompress(compressor, &stored, content.len() + 1), None, "{compressor:?}");
                assert_eq!(decompress(compressor, &stored, content.len().wrapping_sub(1) & 0xffff), None);
                assert_eq!(
                    decompress(compressor, &[&stored[..], &[0]].concat(), content.len()),
                    None,
                    "{compressor:?}"
                );
            }
        }
    }

    #[test]
    fn lz4_says_the_length_and_holds_it() {
        let stored = compress(Compressor::Lz4, b"abcdefghij");
        let saying = |length: u32| [&length.to_le_bytes()[..], &stored[4..]].concat();
        assert_eq!(decompress(Compressor::Lz4, &saying(10), 10).as_deref(), Some(&b"abcdefghij"[..]));
        assert_eq!(decompress(Compressor::Lz4, &saying(11), 10), None, "it says another length");
        assert_eq!(decompress(Compressor::Lz4, &saying(11), 11), None, "it holds less than it says");
    }

    #[test]
    fn one_state_serves_all_chunks_even_after_a_damaged_one() {
        for compressor in Compressor::ALL {
            let mut decompressor = Decompressor::new(compressor).unwrap();
            let mut content = [0; 9];
            for round in 0..3_u8 {
                let stored = compress(compressor, &[round; 9]);
                assert_eq!(decompressor.decompress(&stored[..stored.len() - 1], &mut content), None, "{compressor:?}");
                decompressor.decompress(&stored, &mut content).unwrap();
                assert_eq!(content, [round; 9]);
            }
        }
    }

    #[test]
    fn classes_have_simple_or_full_names() {
        assert_eq!(Compressor::of_class(b"ZstdCompressor"), Some(Compressor::Zstd));
        assert_eq!(
            Compressor::of_class(b"org.apache.cassandra.io.compress.SnappyCompressor"),
            Some(Compressor::Snappy)
        );
        assert_eq!(Compressor::of_class(b"com.example.LZ4Compressor"), None);
    }
}
