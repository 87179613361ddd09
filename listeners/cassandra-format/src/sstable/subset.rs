//! Which of the file's columns a row has.

use super::cursor::{Cursor, Decoded};

/// From this many columns on, indexes are written instead of a bitmap.
const LARGE: usize = 64;

/// Indexes of columns, ascending.
pub(super) enum Subset {
    /// The columns whose bits are set; at most 64.
    Bits(u64),
    /// All columns in a range.
    Range(std::ops::Range<usize>),
    /// The columns listed.
    List(std::vec::IntoIter<usize>),
}

impl Subset {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bits(bits) => bits.count_ones() as usize,
            Self::Range(range) => range.len(),
            Self::List(list) => list.len(),
        }
    }
}

impl Iterator for Subset {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Self::Bits(0) => None,
            Self::Bits(bits) => {
                let index = bits.trailing_zeros() as usize;
                *bits &= *bits - 1;
                Some(index)
            }
            Self::Range(range) => range.next(),
            Self::List(list) => list.next(),
        }
    }
}

pub(super) fn all(columns: usize) -> Subset {
    Subset::Range(0..columns)
}

/// Reads a subset: 0 for all; a bitmap of the missing ones; or from 64 columns on the number of missing ones, then the
/// present or the missing ones, whichever are fewer.
pub(super) fn read(c: &mut Cursor<'_>, columns: usize) -> Decoded<Subset> {
    let encoded = c.uvint()?;
    if encoded == 0 {
        return Ok(all(columns));
    }
    if columns >= LARGE {
        return read_large(c, columns, encoded);
    }
    let known = (1_u64 << columns) - 1;
    if encoded & !known != 0 {
        c.corrupt("columns that the file does not have")
    } else {
        Ok(Subset::Bits(!encoded & known))
    }
}

fn read_large(c: &mut Cursor<'_>, columns: usize, missing: u64) -> Decoded<Subset> {
    let Some(missing) = usize::try_from(missing).ok().filter(|missing| *missing <= columns) else {
        return c.corrupt("more missing columns than the file has");
    };
    let present = columns - missing;
    if present < columns / 2 {
        return Ok(Subset::List(read_indexes(c, present, columns)?.into_iter()));
    }
    let absent = read_indexes(c, missing, columns)?;
    let mut absent = absent.into_iter().peekable();
    let present: Vec<usize> = (0..columns).filter(|index| absent.next_if_eq(index).is_none()).collect();
    Ok(Subset::List(present.into_iter()))
}

fn read_indexes(c: &mut Cursor<'_>, count: usize, columns: usize) -> Decoded<Vec<usize>> {
    c.require(count)?;
    let mut indexes: Vec<usize> = Vec::with_capacity(count);
    for _ in 0..count {
        let index = c.length()?;
        if index >= columns || indexes.last().is_some_and(|last| *last >= index) {
            return c.corrupt("indexes of columns are not in order");
        }
        indexes.push(index);
    }
    Ok(indexes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn subset(bytes: &'static [u8], columns: usize) -> Option<Vec<usize>> {
        let bytes = Bytes::from_static(bytes);
        read(&mut Cursor::new(&bytes, 0), columns).ok().map(Iterator::collect)
    }

    #[test]
    fn small_subsets_are_bitmaps_of_what_is_missing() {
        assert_eq!(subset(&[0], 3), Some(vec![0, 1, 2]));
        assert_eq!(subset(&[0b101], 3), Some(vec![1]));
        assert_eq!(subset(&[0b111], 3), Some(vec![]));
        assert_eq!(subset(&[0b1000], 3), None);
    }

    #[test]
    fn large_subsets_list_what_is_fewer() {
        assert_eq!(subset(&[62, 0, 63], 64), Some(vec![0, 63]));
        let mut but_one: Vec<usize> = (0..64).collect();
        but_one.remove(5);
        assert_eq!(subset(&[1, 5], 64), Some(but_one));
        assert_eq!(subset(&[64], 64), Some(vec![]));
        for bytes in [&[62, 63, 0][..], &[62, 0, 64], &[65], &[1, 64]] {
            assert_eq!(subset(Box::leak(bytes.into()), 64), None);
        }
    }
}
