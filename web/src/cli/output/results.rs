//! Results of restores and of their counts, in words.

use serde_json::Value;

/// Counts of a restore's report, in the order in which they are printed; those in which nothing happened are left out, but for
/// the first three of what was done.
const COUNTS: [(&str, &str); 10] = [
    ("rows_read", "read"),
    ("rows_written", "written"),
    ("rows_untouched", "untouched"),
    ("rows_removed", "removed"),
    ("rows_kept", "hold what the version does not have: left as it is (--remove)"),
    ("rows_expired", "expired since"),
    ("rows_verified", "read back and equal"),
    ("rows_under_newer", "under newer data"),
    ("rows_hidden", "not there: under newer deletions, as far as can be told"),
    ("rows_newer", "newer than the undo's instant: left as they are"),
];

/// What a count found: each object, and all.
pub(super) fn counted(result: &Value) -> String {
    let mut text = String::new();
    for object in result["objects"].as_array().into_iter().flatten() {
        text += &format!("{}  {}\n", object["target"].as_str().unwrap_or("?"), sentence(object));
        for range in object["unreadable_ranges"].as_array().into_iter().flatten() {
            text += &format!("  not readable: {}\n", range.as_str().unwrap_or("?"));
        }
        if let Some(at) =
            object["newest_write_micros"].as_i64().and_then(|us| jiff::Timestamp::from_microsecond(us).ok())
        {
            text += &format!("  newest write among what differs: {at}\n");
        }
    }
    text + &format!("in all  {}\n", sentence(result))
}

/// What a count tells only where there is something to tell.
const BESIDES: [(&str, &str); 2] =
    [("rows_kept", "hold what the version does not have and would stay"), ("rows_newer", "are newer and would stay")];

/// `18,412 rows come back, 120 change, 3 would be removed, 1,000 are equal`.
fn sentence(counts: &Value) -> String {
    let of = |name: &str| counts[name].as_u64().unwrap_or(0);
    let always = [
        ("come_back", "rows come back"),
        ("change", "change"),
        ("would_be_removed", "would be removed"),
        ("untouched", "are equal"),
    ];
    let besides = BESIDES.into_iter().filter(|(name, _)| of(name) > 0);
    let parts = always.into_iter().chain(besides).map(|(name, words)| format!("{} {words}", grouped(of(name))));
    parts.collect::<Vec<_>>().join(", ")
}

/// What a restore did.
pub(super) fn restored(result: &Value) -> String {
    let mut text = String::new();
    let undo = result.get("instant_micros").is_some();
    for (n, (name, words)) in COUNTS.into_iter().enumerate() {
        let count = result[name].as_u64().unwrap_or(0);
        if count > 0 || n == 1 || (undo && n < 3) {
            text += &format!("rows       {} {words}\n", grouped(count));
        }
    }
    if undo {
        text += &match result["safety_version"].as_str() {
            Some(version) => {
                format!("safety     version {version} holds what was there before; it is kept until released\n")
            }
            None => "safety     none: what was there before was not kept\n".to_owned(),
        };
    }
    let differing = result["differing_rows"].as_u64().unwrap_or(0);
    if differing > 0 {
        text += &format!("differing  {} rows still differ; the first of them:\n", grouped(differing));
    }
    for row in result["differing"].as_array().into_iter().flatten() {
        let part = |name: &str| row[name].as_str().unwrap_or("?").to_owned();
        text += &format!("  {} {}: {}\n", part("target"), part("key"), part("why"));
    }
    for name in ["rows_refused", "objects_refused"] {
        let count = result[name].as_u64().unwrap_or(0);
        if count > 0 {
            let what = name.trim_end_matches("_refused");
            text += &format!("refused    {} {what} could not be written; the first of them:\n", grouped(count));
        }
    }
    for refused in result["refused"].as_array().into_iter().flatten() {
        let part = |name: &str| refused[name].as_str().unwrap_or("").to_owned();
        text += &format!("  {} {} {}: {}\n", part("object"), part("key"), part("code"), part("reason"));
    }
    for warning in result["warnings"].as_array().into_iter().flatten() {
        text += &format!("warning    {}\n", warning.as_str().unwrap_or("?"));
    }
    text
}

/// Digits in groups of three.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_count_is_a_sentence() {
        let counts =
            json!({"target": "shop/orders", "come_back": 18412, "change": 120, "would_be_removed": 3, "untouched": 5});
        let text = counted(&json!({"objects": [counts], "come_back": 18412, "change": 120, "would_be_removed": 3}));
        let words = "18,412 rows come back, 120 change, 3 would be removed";
        assert!(
            text.starts_with(&format!("shop/orders  {words}, 5 are equal\n"))
                && text.contains(&format!("in all  {words}"))
        );
        let kept = counted(&json!({"come_back": 1, "untouched": 5, "rows_kept": 2000}));
        assert!(kept.ends_with("5 are equal, 2,000 hold what the version does not have and would stay\n"), "{kept}");
    }

    #[test]
    fn an_undo_names_its_safety_version_and_what_still_differs() {
        let row = json!({"target": "ks/t", "key": "k = 1", "why": "the row is not there"});
        let result = json!({"rows_read": 1000, "rows_written": 0, "rows_untouched": 997, "rows_kept": 2,
            "instant_micros": "5", "safety_version": "a.safety-1.1", "differing_rows": 1, "differing": [row], "warnings": ["w"]});
        let text = restored(&result);
        for part in [
            "1,000 read",
            "0 written",
            "997 untouched",
            "2 hold what the version does not have",
            "a.safety-1.1",
            "ks/t k = 1: the row",
            "warning    w",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
