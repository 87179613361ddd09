//! Bytes that only a kind of source understands.

use std::{cmp::Ordering, fmt};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Bytes whose meaning only the kind of source knows, but whose order everybody does: byte by byte, unsigned, and what is only the
/// beginning of another before it. Hexadecimal text in JSON and in print.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opaque(Bytes);

impl Opaque {
    /// These bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opaque({self})")
    }
}

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refused = |_| {
            let shown: String = text.chars().take(80).collect();
            D::Error::custom(format!("{shown:?} is not hexadecimal text"))
        };
        hex::decode(&text).map(Self::new).map_err(refused)
    }
}

/// Opaque bytes with the same for people. Only the bytes are compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// Bytes that order as what they stand for does.
    pub bytes: Opaque,
    /// For people.
    pub text: String,
}

impl PartialEq for Labelled {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Labelled {}

impl PartialOrd for Labelled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labelled {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_not_compared() {
        let of = |byte: u8, text: &str| Labelled { bytes: Opaque::new(vec![byte]), text: text.to_owned() };
        assert_eq!(of(1, "one"), of(1, "another"));
        assert!(of(1, "z") < of(2, "a"));
    }

    #[test]
    fn order_is_that_of_unsigned_bytes_and_json_gives_them_back() {
        let ascending = [&b""[..], b"\0", b"\0\0", b"\x01", b"\x7f\xff", b"\x80", b"\xff"].map(Opaque::new);
        assert!(ascending.is_sorted());
        for bytes in &ascending {
            let json = serde_json::to_string(bytes).unwrap();
            assert_eq!(&serde_json::from_str::<Opaque>(&json).unwrap(), bytes);
        }
        assert_eq!(serde_json::to_string(&ascending[4]).unwrap(), "\"7fff\"");
        assert!(
            serde_json::from_str::<Opaque>("\"7ff\"").is_err() && serde_json::from_str::<Opaque>("\"zz\"").is_err()
        );
    }
}
