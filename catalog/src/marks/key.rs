//! Names as 16 bytes, so that many of them fit into memory.

/// The first 16 bytes of the BLAKE3 of a name. Two names that meet on one are taken for the same object: one of them is then kept
/// because of the other, which costs its bytes and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(u128);

impl Key {
    pub(crate) fn of(name: &str) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..16]);
        Self(u128::from_le_bytes(first))
    }

    /// The bytes that it is made of.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }
}
