//! What comes of a protect task, as it is stored with the task and shown as the result of its operation.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_catalog::{
    ids::{ObjectName, StoreId, VersionId, VersionNumber},
    manifest::WorstQuality,
};

use crate::totals::Totals;

/// Most bytes of a list, so that the memory for a result is bounded. The record of its task keeps a summary of it.
const LIST_BYTES: usize = 4 << 20;

/// Longest reason in a list, bytes; the version has the whole of it.
const REASON_BYTES: usize = 500;

/// Result of a protect task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProtectResult {
    /// The version.
    pub version: VersionId,
    /// The store that it is in; absent where an older build wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreId>,
    /// Its worst quality.
    pub quality: WorstQuality,
    /// Its objects.
    pub objects: u64,
    /// Its figures.
    pub totals: Totals,
    /// Listeners that did not answer.
    #[serde(default)]
    pub absent: Listed<Absent>,
    /// Objects of which the version holds nothing.
    #[serde(default)]
    pub missing: Listed<Missed>,
    /// Partitions that could not be read, by object.
    #[serde(default)]
    pub left_out: Listed<Left>,
    /// Earlier versions whose manifests somebody deleted.
    #[serde(default)]
    pub gone_versions: Listed<VersionNumber>,
    /// Every write acknowledged before this is in it; absent where not all of its objects are complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_until: Option<Timestamp>,
    /// What the source says about what it compared, a line each.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A listener that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// The listener.
    pub listener: String,
    /// Why not.
    pub reason: String,
    /// What to do about it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// An object of which the version holds nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The object.
    pub object: ObjectName,
    /// Why.
    pub reason: String,
}

/// A partition that could not be read of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The object.
    pub object: ObjectName,
    /// The partition.
    pub partition: String,
    /// Where it is, for people.
    pub place: String,
    /// Why.
    pub reason: String,
}

/// Many things: their number, and the first of them as far as they fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed<T> {
    /// Their number.
    pub count: u64,
    /// The first of them.
    pub list: Vec<T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { count: 0, list: Vec::new() }
    }
}

impl<T: Serialize> FromIterator<T> for Listed<T> {
    /// Counts all; the list ends early where it would be too long.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let (mut listed, mut bytes) = (Self::default(), 0);
        for item in items {
            listed.count += 1;
            // With what parts it from the next.
            bytes += serde_json::to_string(&item).map_or(LIST_BYTES, |text| text.len()) + 1;
            if bytes <= LIST_BYTES {
                listed.list.push(item);
            }
        }
        listed
    }
}

/// A reason as a list has it.
pub(super) fn short(reason: &str) -> String {
    match reason.len() {
        0..=REASON_BYTES => reason.to_owned(),
        _ => format!("{}…", &reason[..reason.floor_char_boundary(REASON_BYTES)]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_counted_whole_and_kept_as_far_as_it_fits() {
        let numbers: Listed<u64> = (0..1_000_000).collect();
        let text = serde_json::to_string(&numbers).unwrap();
        assert!(numbers.count == 1_000_000 && text.len() < LIST_BYTES + 100, "{}", text.len());
        assert_eq!(numbers.list[..3], [0, 1, 2]);
    }

    #[test]
    fn the_result_is_stored_under_the_names_it_always_had() {
        let totals = json!({
            "source_bytes": 1, "shipped_bytes": 2, "kept_bytes": 3, "rows": 4, "static_rows": 5, "disagreeing_rows": 6,
            "not_owned_partitions": 7,
        });
        let whole = json!({
            "version": "shop.daily.7", "quality": "degraded", "objects": 2, "totals": totals,
            "absent": {"count": 2, "list": [{"listener": "n1", "reason": "refused", "hint": "start it"},
                {"listener": "n2", "reason": "refused"}]},
            "missing": {"count": 1, "list": [{"object": "ks/t", "reason": "damaged"}]},
            "left_out": {"count": 1, "list": [{"object": "ks/u", "partition": "h", "place": "n3", "reason": "damaged"}]},
            "gone_versions": {"count": 1, "list": [3]},
            "notes": ["n"],
        });
        let result: ProtectResult = serde_json::from_value(whole.clone()).unwrap();
        assert_eq!(serde_json::to_value(&result).unwrap(), whole);
        for (field, hostile) in [("version", json!("shop")), ("quality", json!("good")), ("objects", json!(-1))] {
            let mut whole = whole.clone();
            whole[field] = hostile;
            assert!(serde_json::from_value::<ProtectResult>(whole).is_err(), "{field}");
        }
    }
}
