//! Words that answers choose from a few, as types. In JSON they are the words; another one is refused.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Makes an enumeration of words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every one of them.
            pub const EVERY: &'static [Self] = &[$(Self::$variant),+];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// What an operation does.
    OperationKind {
        /// Makes a version.
        Protect = "protect",
        /// Writes a version to a destination.
        Restore = "restore",
        /// Reads and proves a version.
        Verify = "verify",
        /// Counts what an undo would write.
        Count = "count",
        /// Frees space in a store.
        Collect = "collect",
        /// Makes a part of a version, for the operation that makes it.
        Consolidate = "consolidate",
    }
}

words! {
    /// Where an operation stands.
    OperationState {
        /// Waits for its time, for another one, or for a free place.
        Queued = "queued",
        /// Is at work.
        Running = "running",
        /// Ended as it should.
        Succeeded = "succeeded",
        /// Ended, and somebody should read the result.
        Warnings = "warnings",
        /// Ended without what it was for.
        Failed = "failed",
        /// Ended because somebody asked.
        Cancelled = "cancelled",
    }
}

words! {
    /// What is known of the completeness of a version or of an object in it.
    Quality {
        /// Every mutation is kept.
        Exact = "exact",
        /// Complete at the cut.
        Cut = "cut",
        /// Not proven complete.
        Degraded = "degraded",
        /// Nothing of an object is there.
        Missing = "missing",
        /// Of versions: the manifest does not verify.
        Damaged = "damaged",
        /// Of versions: the number holds none, because the store was put back to before it.
        Lost = "lost",
        /// Of versions: the number holds none, because collection took it so that older claims cannot commit.
        Fence = "fence",
        /// Of lines in a list: the store cannot be looked into.
        Unknown = "unknown",
    }
}

words! {
    /// What becomes of a version.
    VersionState {
        /// It stays, as far as its policy's rules keep it.
        Kept = "kept",
        /// It stays whatever rules say.
        Held = "held",
        /// It is hidden, and collected after a grace unless that is undone or it is held.
        Expired = "expired",
        /// It is given up for good.
        Collected = "collected",
        /// The number holds none: collection took it.
        Fence = "fence",
        /// The number holds none: the store was put back to before it, or damage is sealed by it.
        Lost = "lost",
        /// Of lines in a list: the store cannot be looked into.
        Unknown = "unknown",
    }
}

words! {
    /// How a check came out, from best to worst.
    CheckStatus {
        /// As it should be.
        Ok = "ok",
        /// Works, but is worth a look.
        Warn = "warn",
        /// Does not work.
        Fail = "fail",
    }
}

words! {
    /// How an object comes to its target.
    Action {
        /// Into what is new or empty.
        Load = "load",
        /// Into what exists: newer data and deletions win.
        Merge = "merge",
        /// What exists becomes what the version says.
        Undo = "undo",
    }
}

words! {
    /// How a listener stands.
    ListenerStatus {
        /// It is there.
        Attached = "attached",
        /// It was started and is waited for.
        Starting = "starting",
        /// It is not wanted now.
        Stopped = "stopped",
    }
}

words! {
    /// How versions are committed to a store.
    CommitMode {
        /// The store creates a name atomically, and once.
        AtomicCreate = "a",
    }
}

/// A time that is an empty text where there is none.
pub(super) mod time_or_empty {
    use jiff::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_str(""),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    fn are_words<T: Copy + fmt::Debug + fmt::Display + PartialEq + Serialize + DeserializeOwned>(every: &[T]) {
        for one in every {
            let json = serde_json::to_value(one).unwrap();
            assert_eq!(json, one.to_string());
            assert_eq!(serde_json::from_value::<T>(json).unwrap(), *one);
        }
        for other in ["", "Ok", "most", "succeeded "] {
            assert!(serde_json::from_value::<T>(other.into()).is_err(), "{other}");
        }
    }

    #[test]
    fn each_is_its_word_and_other_words_are_refused() {
        are_words(OperationKind::EVERY);
        are_words(OperationState::EVERY);
        are_words(Quality::EVERY);
        are_words(VersionState::EVERY);
        are_words(CheckStatus::EVERY);
        are_words(Action::EVERY);
        are_words(ListenerStatus::EVERY);
        are_words(CommitMode::EVERY);
    }

    #[test]
    fn the_worst_status_is_the_greatest() {
        assert!(CheckStatus::Ok < CheckStatus::Warn && CheckStatus::Warn < CheckStatus::Fail);
    }

    #[test]
    fn no_time_is_an_empty_text() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Line(#[serde(with = "time_or_empty")] Option<jiff::Timestamp>);
        let read = |text: &str| serde_json::from_value::<Line>(text.into());
        for (text, line) in [("", Line(None)), ("1970-01-01T00:00:00Z", Line(Some(jiff::Timestamp::UNIX_EPOCH)))] {
            assert_eq!(serde_json::to_value(&line).unwrap(), text);
            assert_eq!(read(text).unwrap(), line);
        }
        assert!(read("yesterday").is_err());
    }
}
