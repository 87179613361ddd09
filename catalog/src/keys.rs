//! Keys and ranges of keys of a record source, in the order that its segments are sorted by.

use serde::{Deserialize, Serialize};

use crate::opaque::{Labelled, Opaque};

/// A key of a record.
pub type Key = Labelled;

/// A range of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRange {
    /// The least key that is in it; `None`: it has no beginning.
    pub from: Option<Opaque>,
    /// The least key above `from` that is not in it; `None`: it has no end.
    pub until: Option<Opaque>,
    /// The same for people.
    pub text: String,
}

impl KeyRange {
    /// All keys there can be.
    pub fn all() -> Self {
        Self { from: None, until: None, text: "all".to_owned() }
    }

    /// True where the key is in it.
    pub fn holds(&self, key: &Opaque) -> bool {
        self.from.as_ref().is_none_or(|from| from <= key) && self.until.as_ref().is_none_or(|until| key < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_beginning_and_not_its_end() {
        let key = |byte: u8| Opaque::new(vec![byte]);
        let range = |from: Option<u8>, until: Option<u8>| KeyRange {
            from: from.map(key),
            until: until.map(key),
            text: String::new(),
        };
        let held = |range: &KeyRange| (0..6).filter(|byte| range.holds(&key(*byte))).collect::<Vec<_>>();
        assert_eq!(held(&range(Some(2), Some(4))), [2, 3]);
        assert_eq!(held(&range(None, Some(2))), [0, 1]);
        assert_eq!(held(&range(Some(4), None)), [4, 5]);
        assert_eq!(held(&range(None, None)), [0, 1, 2, 3, 4, 5]);
        assert!(held(&range(Some(3), Some(3))).is_empty());
    }
}
