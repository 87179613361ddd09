//! Ids and numbers, each a type of its own so that they cannot be swapped.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Why a text is not a name, an object name or a version id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// Names are 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter or digit.
    #[error("name {0:?} is not 1 to 63 of a-z, 0-9 and '-', starting with a letter or digit")]
    Name(String),
    /// Object names are percent-encoded parts joined by `/`.
    #[error("object name {0:?} is not one or more percent-encoded parts joined by '/'")]
    Object(String),
    /// Version ids are `source.set.number`.
    #[error("version id {0:?} is not source.set.number")]
    Version(String),
    /// Fencing tokens are `generation-revision`.
    #[error("fencing token {0:?} is not generation-revision")]
    Token(String),
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                let mut bytes = text.bytes();
                let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
                let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                if first && rest && text.len() <= 63 {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseError::Name(text.chars().take(80).collect()))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

name_type!(
    /// Name of a protected system, chosen by the operator.
    SourceId
);
name_type!(
    /// Name of a registered store, chosen by the operator.
    StoreId
);
name_type!(
    /// Name of a version set: the chain of versions of one policy on one source. It is the policy's name.
    SetId
);
name_type!(
    /// Id of a task, new with each request that is not repeated; starts with the time it was made at.
    TaskId
);

/// Orders the holders of a claim: the coordinator's generation first, then the revision of the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken {
    /// Grows each time a coordinator is created or restored.
    pub generation: u64,
    /// Revision of the claim in the coordinator.
    pub revision: u64,
}

impl FencingToken {
    /// Greatest generation that a token can have: its text has 10 digits for it.
    pub const GREATEST_GENERATION: u64 = 9_999_999_999;
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}-{:020}", self.generation, self.revision)
    }
}

impl FromStr for FencingToken {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parsed = text.split_once('-').and_then(|(generation, revision)| {
            let generation = digits(generation).filter(|number| *number <= Self::GREATEST_GENERATION)?;
            Some(Self { generation, revision: digits(revision)? })
        });
        parsed.ok_or_else(|| ParseError::Token(text.chars().take(80).collect()))
    }
}

/// Place of a version in its set, from 1, without holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionNumber(pub u64);

impl fmt::Display for VersionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version everywhere outside the store: `source.set.number`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId {
    /// The protected system.
    pub source: SourceId,
    /// The version set.
    pub set: SetId,
    /// The number in the set.
    pub number: VersionNumber,
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.source, self.set, self.number)
    }
}

impl FromStr for VersionId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError::Version(text.chars().take(200).collect());
        let mut parts = text.split('.');
        let (Some(source), Some(set), Some(number), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        let number = digits(number).filter(|n| *n > 0).ok_or_else(refuse)?;
        Ok(Self {
            source: source.parse().map_err(|_| refuse())?,
            set: set.parse().map_err(|_| refuse())?,
            number: VersionNumber(number),
        })
    }
}

/// A protected object within a source, as parts: for Cassandra keyspace and table. Printed with each part percent-encoded
/// (all but letters, digits, `_`, `-`, `.`) and joined by `/`; a part may be any non-empty UTF-8 text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(Vec<String>);

impl ObjectName {
    /// A name of these parts.
    ///
    /// # Errors
    /// [`ParseError::Object`] where there is no part or an empty one.
    pub fn new<P: Into<String>>(parts: impl IntoIterator<Item = P>) -> Result<Self, ParseError> {
        let parts: Vec<String> = parts.into_iter().map(Into::into).collect();
        if parts.is_empty() || parts.iter().any(String::is_empty) {
            return Err(ParseError::Object(parts.join("/")));
        }
        Ok(Self(parts))
    }

    /// The parts, decoded.
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("/")?;
            }
            for byte in part.bytes() {
                if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') {
                    write!(f, "{}", char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for ObjectName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError::Object(text.chars().take(200).collect());
        let parts = text.split('/').map(decode_part).collect::<Option<Vec<_>>>().ok_or_else(refuse)?;
        Self::new(parts).map_err(|_| refuse())
    }
}

/// Undoes the percent-encoding of one part; `None` where it is not valid.
fn decode_part(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let mut byte = [0];
            hex::decode_to_slice(tail.get(..2)?, &mut byte).ok()?;
            bytes.extend(byte);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// A number of decimal digits only: no sign, no space.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

macro_rules! text_serde {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

text_serde!(FencingToken, VersionId, ObjectName);

impl Serialize for VersionNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for VersionNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests;
