//! How operators name a version, and how a restore is held to the one that was planned.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tidemark_catalog::ids::{ParseError, StoreId, VersionId};
use tidemark_gateway::Digest;

/// A version by its id, `source.set.number`, which may name its store: `STORE:source.set.number`. Ids are unique within a store
/// only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionName {
    /// The store; any where it is absent.
    pub store: Option<StoreId>,
    /// The id.
    pub id: VersionId,
}

impl FromStr for VersionName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (store, id) = match text.split_once(':') {
            Some((store, id)) => (Some(store.parse()?), id),
            None => (None, text),
        };
        Ok(Self { store, id: id.parse()? })
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.store {
            Some(store) => write!(f, "{store}:{}", self.id),
            None => self.id.fmt(f),
        }
    }
}

/// Which manifest is meant, whatever is found under the version's name later: `repository@manifest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Id of the repository.
    pub repository: String,
    /// BLAKE3 of the manifest's stored bytes.
    pub manifest: Digest,
}

/// Not a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not REPOSITORY@MANIFEST, as a plan prints it")]
pub struct NotAPin;

impl FromStr for Pin {
    type Err = NotAPin;

    fn from_str(text: &str) -> Result<Self, NotAPin> {
        let (repository, manifest) = text.split_once('@').filter(|(id, _)| !id.is_empty()).ok_or(NotAPin)?;
        let manifest = manifest.parse().map_err(|_| NotAPin)?;
        Ok(Self { repository: repository.to_owned(), manifest })
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.manifest)
    }
}

macro_rules! as_text {
    ($name:ty) => {
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
    };
}

as_text!(VersionName);
as_text!(Pin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_pins_come_back_from_their_texts() {
        for text in ["src.daily.1", "main:src.daily.1"] {
            assert_eq!(text.parse::<VersionName>().unwrap().to_string(), text);
        }
        let text = format!("r-1@{}", Digest::of(b"m"));
        assert_eq!(text.parse::<Pin>().unwrap().to_string(), text);
        let pin: Pin = serde_json::from_value(text.into()).unwrap();
        assert_eq!(pin.manifest, Digest::of(b"m"));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", ":src.daily.1", "a:b:src.daily.1", "../x:src.daily.1", "main:src.daily"] {
            assert!(text.parse::<VersionName>().is_err(), "{text}");
        }
        for text in ["", "r", "@", "r@", "r@abc", &format!("@{}", Digest::of(b"m"))] {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
    }
}
