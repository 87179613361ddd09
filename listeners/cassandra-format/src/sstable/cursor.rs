//! A cursor over bytes that may end before what is being decoded does.

use bytes::Bytes;

use crate::vint;

/// Why decoding stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes must reach at least to this index to decode further; more may follow in the file.
    Incomplete(usize),
    /// The bytes are wrong at this index.
    Corrupt(usize, &'static str),
}

impl Fault {
    /// The same fault, `by` bytes further on.
    pub(super) fn shifted(self, by: usize) -> Self {
        match self {
            Self::Incomplete(needed) => Self::Incomplete(needed.saturating_add(by)),
            Self::Corrupt(offset, reason) => Self::Corrupt(offset + by, reason),
        }
    }
}

pub(super) type Decoded<T> = Result<T, Fault>;

/// A cursor over bytes; values are slices of them, not copies.
pub(super) struct Cursor<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a Bytes, at: usize) -> Self {
        Self { bytes, at }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What has not been decoded.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// A fault at the current position.
    pub(super) fn corrupt<T>(&self, reason: &'static str) -> Decoded<T> {
        Err(Fault::Corrupt(self.at, reason))
    }

    fn advance(&mut self, length: usize) -> Decoded<&'a [u8]> {
        // A length of 2⁶⁴ stays a length that no file has.
        let end = self.at.saturating_add(length);
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Incomplete(end))?;
        self.at = end;
        Ok(taken)
    }

    /// Asks for bytes up to `length` from here, without consuming them.
    pub(super) fn require(&self, length: usize) -> Decoded<()> {
        let end = self.at.saturating_add(length);
        if end > self.bytes.len() { Err(Fault::Incomplete(end)) } else { Ok(()) }
    }

    pub(super) fn take(&mut self, length: usize) -> Decoded<Bytes> {
        let start = self.at;
        self.advance(length)?;
        Ok(self.bytes.slice(start..self.at))
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.advance(N)?);
        Ok(array)
    }

    /// The next byte, without consuming it.
    pub(super) fn peek(&self) -> Decoded<u8> {
        self.bytes.get(self.at).copied().ok_or(Fault::Incomplete(self.at + 1))
    }

    pub(super) fn u8(&mut self) -> Decoded<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Decoded<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Decoded<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Decoded<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Decoded<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Decoded<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn uvint(&mut self) -> Decoded<u64> {
        let Some((value, size)) = vint::peek(&self.bytes[self.at..]) else {
            let length = self.bytes.get(self.at).map_or(1, |first| first.leading_ones() as usize + 1);
            return Err(Fault::Incomplete(self.at + length));
        };
        self.at += size;
        Ok(value)
    }

    /// A length or count as a vint; what does not fit the address space is as good as endless.
    pub(super) fn length(&mut self) -> Decoded<usize> {
        Ok(usize::try_from(self.uvint()?).unwrap_or(usize::MAX))
    }

    /// A vint length and that many bytes.
    pub(super) fn vbytes(&mut self) -> Decoded<Bytes> {
        let length = self.length()?;
        self.take(length)
    }

    /// A u16 length and that many bytes.
    pub(super) fn short_bytes(&mut self) -> Decoded<Bytes> {
        let length = self.u16()?;
        self.take(length.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_bytes_are_asked_for_without_allocating() {
        let bytes = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(Cursor::new(&bytes, 0).vbytes(), Err(Fault::Incomplete(usize::MAX)));
        assert_eq!(Cursor::new(&bytes, 9).u32(), Err(Fault::Incomplete(13)));
        assert_eq!(Cursor::new(&bytes, 8).uvint(), Err(Fault::Incomplete(17)));
        assert_eq!(Cursor::new(&bytes, 10).uvint(), Err(Fault::Incomplete(11)));
    }

    #[test]
    fn values_are_slices() {
        let bytes = Bytes::from_static(b"\x02ab\x00\x01c");
        let mut cursor = Cursor::new(&bytes, 0);
        assert_eq!(cursor.vbytes().unwrap().as_ptr(), bytes[1..].as_ptr());
        assert_eq!(cursor.short_bytes().unwrap(), "c");
        assert!(cursor.is_at_end());
    }
}
