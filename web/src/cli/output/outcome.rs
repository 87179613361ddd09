//! Results of operations, in words.

use std::fmt;

use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::totals;
use crate::api::Totals;

/// What is told first of a protect, in this order.
const TOLD: [&str; 4] = ["version", "store", "quality", "objects"];

/// Items of a list that are printed; `-o json` prints all that the operation keeps of it.
const LISTED: usize = 10;

/// What came of an operation: a line for each figure, then each list of it as a count with the first items.
pub(super) fn text(result: &Value) -> String {
    let Some(fields) = result.as_object() else { return format!("result     {result}\n") };
    fields.iter().map(|(name, value)| figure(name, value)).chain([lists(fields)]).collect()
}

/// What came of a protect: its version and how that is, what it took, and what is not in it.
pub(super) fn protected(result: &Value) -> String {
    let Some(fields) = result.as_object() else { return text(result) };
    let mut told = String::new();
    for (name, value) in TOLD.iter().filter_map(|name| Some((*name, fields.get(*name)?))) {
        told += &figure(name, value);
    }
    if let Some(until) = fields.get("complete_until").and_then(Value::as_str) {
        told += &format!("complete before  {until}\n");
    }
    if let Some(found) = fields.get("totals").and_then(|found| Totals::deserialize(found).ok()) {
        told += &format!("{}\n", totals(&found));
    }
    let is_told = |name: &str| TOLD.contains(&name) || ["complete_until", "totals"].contains(&name);
    let others = fields.iter().filter(|(name, _)| !is_told(name)).map(|(name, value)| figure(name, value));
    others.fold(told, |told, line| told + &line) + &lists(fields)
}

/// A line of a figure, or a line of each of several; nothing of what is not there, and of lists that are counted.
fn figure(name: &str, value: &Value) -> String {
    let name = name.replace('_', " ");
    let line = |value: &dyn fmt::Display| format!("{name:<10} {value}\n");
    match value {
        _ if counted(value).is_some() => String::new(),
        Value::Null => String::new(),
        Value::String(text) => line(text),
        Value::Array(items) => items.iter().map(|item| line(&item_text(item))).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| figure(name, value)).collect(),
        Value::Bool(_) | Value::Number(_) => line(value),
    }
}

/// Each list as a count with the first items.
fn lists(fields: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (name, (count, items)) in fields.iter().filter_map(|(name, value)| Some((name, counted(value)?))) {
        let name = name.replace('_', " ");
        text += &if count == 0 { String::new() } else { format!("{name:<10} {count}\n") };
        text.extend(items.iter().take(LISTED).map(|item| format!("  {}\n", item_text(item))));
        text += &more_text(count, items.len());
    }
    text
}

/// What a list counts beyond the items that are printed, and where the operation keeps some of them.
fn more_text(count: u64, kept: usize) -> String {
    let more = count.saturating_sub(kept.min(LISTED) as u64);
    match (more, kept.saturating_sub(LISTED)) {
        (0, _) => String::new(),
        (_, 0) => format!("  and {more} more\n"),
        (_, kept) if kept as u64 == more => format!("  and {more} more: -o json\n"),
        (_, kept) => format!("  and {more} more, {kept} of them: -o json\n"),
    }
}

/// Count and items of a list `{"count", "list"}`.
fn counted(value: &Value) -> Option<(u64, &Vec<Value>)> {
    Some((value.get("count")?.as_u64()?, value.get("list")?.as_array()?))
}

/// The texts of an item, its reason last; one without fields as it is.
fn item_text(item: &Value) -> String {
    if !item.is_object() {
        return item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    }
    let texts = |last: bool| {
        let fields = item.as_object().into_iter().flatten();
        let chosen =
            fields.filter(move |(name, _)| (*name == "reason") == last).filter_map(|(_, value)| value.as_str());
        chosen.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    };
    match texts(true).as_str() {
        "" => texts(false),
        reason => format!("{}: {reason}", texts(false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_a_result_are_counted_and_cut() {
        let item =
            |n: u32| serde_json::json!({"object": format!("ks/t{n}"), "partition": "h", "place": "", "reason": "why"});
        let list = serde_json::json!({"count": 5000, "list": (0..50).map(item).collect::<Vec<_>>()});
        let none = serde_json::json!({"count": 0, "list": []});
        let told = text(&serde_json::json!({"version": "a.b.1", "left_out": list, "missing": none}));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[..3], ["version    a.b.1", "left out   5000", "  ks/t0 h: why"]);
        assert_eq!((lines.len(), *lines.last().unwrap()), (13, "  and 4990 more, 40 of them: -o json"));
        assert_eq!([more_text(10, 10), more_text(12, 10)], ["", "  and 2 more\n"]);
        assert_eq!(more_text(12, 12), "  and 2 more: -o json\n");
        let told = text(&serde_json::json!({"gone_versions": {"count": 1, "list": [7]}}));
        assert_eq!(told, "gone versions 1\n  7\n");
    }

    #[test]
    fn a_protect_is_told_as_a_block_and_not_as_json() {
        let totals = serde_json::json!({
            "source_bytes": 3072, "shipped_bytes": 2048, "kept_bytes": 1024, "rows": 7, "static_rows": 0, "disagreeing_rows": 0,
            "not_owned_partitions": 0,
        });
        let absent =
            serde_json::json!({"count": 1, "list": [{"listener": "n3", "reason": "TM-LIST-0002: it did not attach"}]});
        let result = serde_json::json!({
            "version": "a.b.1", "store": "main", "quality": "degraded", "objects": 2, "totals": totals, "absent": absent,
            "missing": {"count": 0, "list": []}, "complete_until": "2026-05-05T12:00:00Z", "notes": ["two replicas differ"],
        });
        let expected = "version    a.b.1\nstore      main\nquality    degraded\nobjects    2\n\
                        complete before  2026-05-05T12:00:00Z\n\
                        shipped    2.0 KiB of 3.0 KiB at the source\nkept       1.0 KiB\n\
                        rows       7 and 0 static; replicas disagreed on 0\nnot owned  0 partitions dropped\n\n\
                        notes      two replicas differ\nabsent     1\n  n3: TM-LIST-0002: it did not attach\n";
        assert_eq!(protected(&result), expected);
        // Of one that failed, only what its message counts.
        let failed = serde_json::json!({"left_out": {"count": 1, "list": [{"object": "ks/a", "reason": "why"}]}});
        assert_eq!(protected(&failed), "left out   1\n  ks/a: why\n");
    }
}
