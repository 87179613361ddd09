//! What an operation says of many things: one line with a count, and the list in its result.

use serde_json::{Value, json};
use tidemark_catalog::entry::{ObjectLine, Quality};

use super::Hints;
use crate::failure::Failure;

/// Most bytes of a list: the record of a task, with four of them, must fit into a value of the coordinator.
const LIST_BYTES: usize = 8 << 10;

/// Longest reason in a list, bytes; the version has the whole of it.
const REASON_BYTES: usize = 500;

/// Lists for the result of an operation, each `{"count", "list"}`; the list ends early where it would be too long.
pub(super) struct Lists {
    /// Objects of which the version holds nothing.
    pub(super) missing: Value,
    /// Partitions that could not be read, by object.
    pub(super) left_out: Value,
}

/// The lists of a version's lines.
pub(super) fn lists(lines: &[ObjectLine]) -> Lists {
    let left_out = lines.iter().flat_map(|line| line.left_out.iter().map(move |left| (line, left)));
    let left_out = left_out.map(|(line, left)| {
        json!({
            "object": line.object.to_string(),
            "partition": left.partition,
            "place": left.place,
            "reason": short(&left.reason),
        })
    });
    Lists { missing: list(missing(lines).into_iter().map(missed)), left_out: list(left_out) }
}

/// The list of listeners that did not answer; with `hint` where one is known.
pub(super) fn absent(absent: &[(String, String)], hints: &Hints) -> Value {
    list(absent.iter().map(|(listener, reason)| match hints.get(listener) {
        Some(hint) => json!({ "listener": listener, "reason": short(reason), "hint": short(hint) }),
        None => json!({ "listener": listener, "reason": short(reason) }),
    }))
}

/// A version in which nothing could be kept is not one.
pub(super) fn require_some(lines: &[ObjectLine]) -> Result<(), Failure> {
    let missing = missing(lines);
    if missing.len() < lines.len() {
        return Ok(());
    }
    let first = missing.first().map(|(line, reason)| format!("; {}: {}", line.object, short(reason)));
    let count = match missing.len() {
        1 => "the object could not be consolidated".to_owned(),
        count => format!("none of {count} objects could be consolidated"),
    };
    Err(Failure::permanent("TM-PROT-0004", count + &first.unwrap_or_default())
        .with_hint("the operation lists the first objects with node and file; a new run captures anew")
        .with_details(json!({ "missing": list(missing.into_iter().map(missed)) })))
}

fn missing(lines: &[ObjectLine]) -> Vec<(&ObjectLine, &str)> {
    let mut missing = Vec::new();
    for line in lines {
        if let Quality::Missing { reason } = &line.quality {
            missing.push((line, reason.as_str()));
        }
    }
    missing
}

fn missed((line, reason): (&ObjectLine, &str)) -> Value {
    json!({ "object": line.object.to_string(), "reason": short(reason) })
}

/// A list with its count.
pub(super) fn list(items: impl Iterator<Item = Value>) -> Value {
    let (mut count, mut bytes, mut kept) = (0_u64, 0, Vec::new());
    for item in items {
        count += 1;
        // With what parts it from the next.
        bytes += item.to_string().len() + 1;
        if bytes <= LIST_BYTES {
            kept.push(item);
        }
    }
    json!({ "count": count, "list": kept })
}

fn short(reason: &str) -> String {
    match reason.len() {
        0..=REASON_BYTES => reason.to_owned(),
        _ => format!("{}…", &reason[..reason.floor_char_boundary(REASON_BYTES)]),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tidemark_catalog::{
        entry::{Cut, LeftOut},
        figures::Figures,
    };

    use super::*;

    fn line(number: usize, quality: Quality) -> ObjectLine {
        ObjectLine {
            object: format!("ks/t{number}").parse().unwrap(),
            entry: None,
            cut: Cut { from: Timestamp::UNIX_EPOCH, through: Timestamp::UNIX_EPOCH, partitions: Vec::new() },
            quality,
            topology: None,
            figures: Figures::default(),
            left_out: Vec::new(),
        }
    }

    fn damaged(number: usize) -> ObjectLine {
        line(number, Quality::Missing { reason: format!("nb-{number}-big-Data.db is damaged {}", "x".repeat(2000)) })
    }

    #[test]
    fn a_failure_of_many_objects_is_one_line_with_a_count_and_a_list_that_fits() {
        let lines: Vec<_> = (0..5000).map(damaged).collect();
        let failure = require_some(&lines).unwrap_err();
        assert!(failure.message.starts_with("none of 5000 objects"), "{failure}");
        assert!(failure.message.contains("nb-0-big-Data.db") && failure.message.len() < 1000, "{failure}");
        let details = failure.details.unwrap();
        assert_eq!(details["missing"]["count"], 5000);
        let list = details["missing"]["list"].as_array().unwrap();
        assert!(list.len() > 10 && details.to_string().len() < 2 * LIST_BYTES, "{}", list.len());
        assert_eq!(list[1]["object"], "ks/t1");
    }

    #[test]
    fn listeners_that_did_not_answer_are_counted_and_listed_as_far_as_they_fit() {
        let absent: Vec<_> = (0..1000).map(|n| (format!("10.0.0.{n}:9042"), "refused ".repeat(500))).collect();
        let listed = super::absent(&absent, &Hints::from([("10.0.0.1:9042".to_owned(), "start it".to_owned())]));
        assert_eq!((&listed["count"], &listed["list"][1]["listener"]), (&json!(1000), &json!("10.0.0.1:9042")));
        assert_eq!((&listed["list"][1]["hint"], &listed["list"][0]["hint"]), (&json!("start it"), &Value::Null));
        assert!(listed.to_string().len() < LIST_BYTES + 100, "{}", listed.to_string().len());
        let numbers = list((0..100_000).map(|number: u64| json!(number)));
        assert!(numbers["count"] == 100_000 && numbers.to_string().len() < LIST_BYTES + 100);
    }

    #[test]
    fn what_is_kept_makes_a_version_and_what_is_not_is_listed() {
        let mut kept = line(1, Quality::Cut);
        let left = LeftOut { partition: "h".into(), place: "10.0.0.1:9042".into(), reason: "f is damaged".into() };
        kept.left_out.push(left);
        let lines = [kept, damaged(2)];
        require_some(&lines).unwrap();
        let Lists { missing, left_out } = lists(&lines);
        assert_eq!((&missing["count"], &missing["list"][0]["object"]), (&json!(1), &json!("ks/t2")));
        assert_eq!((&left_out["count"], &left_out["list"][0]["reason"]), (&json!(1), &json!("f is damaged")));
    }
}
