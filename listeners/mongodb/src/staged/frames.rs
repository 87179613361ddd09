//! Independent zstd frames of 1 MiB, as all staged files that are encoded have them.

use std::io;

/// Bytes of the file in one frame.
const FRAME_BYTES: usize = 1 << 20;

/// Level of compression: the host's CPU belongs to the source.
const LEVEL: i32 = 1;

/// The bytes as frames.
///
/// # Errors
/// Where zstd fails.
pub fn framed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    let mut out = Vec::with_capacity(bytes.len() / 2);
    for piece in bytes.chunks(FRAME_BYTES) {
        out.extend(compressor.compress(piece)?);
    }
    Ok(out)
}

/// The bytes in frames; `size` is what they must come to.
///
/// # Errors
/// `InvalidData` where they are no frames, or come to another size.
pub fn unframed(mut frames: &[u8], size: u64) -> io::Result<Vec<u8>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let size = usize::try_from(size).map_err(|_| wrong("it is too large"))?;
    let mut decompressor = zstd::bulk::Decompressor::new()?;
    let mut out = Vec::new();
    while !frames.is_empty() {
        let length = zstd::zstd_safe::find_frame_compressed_size(frames).map_err(|_| wrong("no zstd frame"))?;
        let (frame, rest) = frames.split_at_checked(length).ok_or_else(|| wrong("a zstd frame is cut"))?;
        out.extend(decompressor.decompress(frame, FRAME_BYTES)?);
        if out.len() > size {
            return Err(wrong("it is longer than it should be"));
        }
        frames = rest;
    }
    if out.len() == size { Ok(out) } else { Err(wrong("it is shorter than it should be")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_other_sizes_are_refused() {
        for length in [0, 1, FRAME_BYTES, 2 * FRAME_BYTES + 3] {
            let bytes: Vec<u8> = (0..length).map(|at| (at / 7 % 251) as u8).collect();
            let frames = framed(&bytes).unwrap();
            assert!(unframed(&frames, length as u64).unwrap() == bytes, "{length}");
            assert!(unframed(&frames, length as u64 + 1).is_err());
            assert!(length == 0 || unframed(&frames, length as u64 - 1).is_err());
            assert!(length == 0 || unframed(&frames[..frames.len() - 1], length as u64).is_err());
        }
        assert!(unframed(b"no frame", 8).is_err());
    }
}
