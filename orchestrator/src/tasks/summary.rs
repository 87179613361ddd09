//! A result cut down to what the coordinator takes: all figures and names, the first items of each list, and how many items each
//! list has that was cut.
//!
//! Whatever the result, its summary has at most the bytes that were asked for: a version that was committed is never reported as
//! failed because its result is large.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Least share of a list, bytes; where that is not little enough, nothing is kept.
const LEAST_SHARE: usize = 64;

/// Most lists that are named.
const NAMED_LISTS: usize = 32;

/// Fields that an object may have before they are cut as the items of a list are.
const FIELDS: usize = 64;

/// Longest name of a list that is kept, bytes.
const POINTER_BYTES: usize = 200;

/// A result that was cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    /// What is left of it.
    pub(super) value: Value,
    /// Lists that were cut: JSON pointer → items that the whole of it has. Only the first of them, where there are many.
    pub(super) lists: BTreeMap<String, u64>,
}

/// The summary of a result, of at most `bytes` of JSON; `None` where the whole of it fits.
pub(super) fn of(whole: &Value, bytes: usize) -> Option<Summary> {
    if encoded(whole) <= bytes {
        return None;
    }
    let mut share = bytes / 2;
    while share >= LEAST_SHARE {
        let mut cutter = Cutter { share, lists: BTreeMap::new() };
        let value = cutter.cut(whole, "");
        if encoded(&value) <= bytes {
            return Some(Summary { value, lists: cutter.lists });
        }
        share /= 2;
    }
    Some(Summary { value: Value::Null, lists: BTreeMap::from([(String::new(), 1)]) })
}

/// `text` as it is, or its beginning and an ellipsis, so that its JSON has at most `bytes`.
pub(super) fn short(text: &str, bytes: usize) -> String {
    let mut size = "\"\"".len();
    let ends = text.char_indices().map(|(at, character)| {
        size += json_bytes(character);
        (at, size)
    });
    let (mut fits, mut whole) = (0, true);
    for (at, size) in ends {
        if size + '…'.len_utf8() <= bytes {
            fits = at + text[at..].chars().next().map_or(0, char::len_utf8);
        }
        if size > bytes {
            whole = false;
            break;
        }
    }
    if whole { text.to_owned() } else { format!("{}…", &text[..fits]) }
}

/// Bytes of a character within a JSON text.
fn json_bytes(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

fn encoded(value: &Value) -> usize {
    value.to_string().len()
}

/// Gives each list the same share of bytes, and each text a part of that.
struct Cutter {
    share: usize,
    lists: BTreeMap<String, u64>,
}

impl Cutter {
    fn cut(&mut self, value: &Value, pointer: &str) -> Value {
        match value {
            Value::String(text) => Value::String(short(text, (self.share / 4).max(LEAST_SHARE))),
            Value::Array(items) => Value::Array(self.list(items, pointer)),
            Value::Object(fields) => Value::Object(self.fields(fields, pointer)),
            other => other.clone(),
        }
    }

    fn list(&mut self, items: &[Value], pointer: &str) -> Vec<Value> {
        let (mut kept, mut bytes) = (Vec::new(), 0);
        for (index, item) in items.iter().enumerate() {
            let item = self.cut(item, &format!("{pointer}/{index}"));
            bytes += encoded(&item) + 1;
            if bytes > self.share {
                self.was_cut(pointer, items.len());
                break;
            }
            kept.push(item);
        }
        kept
    }

    fn fields(&mut self, fields: &Map<String, Value>, pointer: &str) -> Map<String, Value> {
        let many = fields.len() > FIELDS;
        let (mut kept, mut bytes) = (Map::new(), 0);
        for (name, value) in fields {
            let value = self.cut(value, &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")));
            bytes += name.len() + encoded(&value) + 4;
            if many && bytes > self.share {
                self.was_cut(pointer, fields.len());
                break;
            }
            kept.insert(name.clone(), value);
        }
        kept
    }

    fn was_cut(&mut self, pointer: &str, items: usize) {
        if self.lists.len() < NAMED_LISTS && pointer.len() <= POINTER_BYTES {
            self.lists.insert(pointer.to_owned(), items as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_that_fits_is_left_alone() {
        assert_eq!(of(&json!({"version": "s.d.1", "notes": ["n"]}), 1000), None);
    }

    #[test]
    fn figures_and_names_stay_and_lists_are_counted_whole() {
        let notes: Vec<_> = (0..5000).map(|n| format!("note {n}")).collect();
        let missing: Vec<_> =
            (0..1500).map(|n| json!({"object": format!("ks/t{n}"), "reason": "x".repeat(500)})).collect();
        let whole = json!({
            "version": "s.d.1", "quality": "cut", "objects": 1500, "notes": notes,
            "missing": {"count": 1500, "list": missing},
        });
        let summary = of(&whole, 24 << 10).unwrap();
        assert!(encoded(&summary.value) <= 24 << 10);
        for field in ["version", "quality", "objects"] {
            assert_eq!(summary.value[field], whole[field]);
        }
        assert_eq!(summary.value["notes"][0], "note 0");
        assert_eq!(
            (&summary.value["missing"]["count"], &summary.value["missing"]["list"][0]["object"]),
            (&json!(1500), &json!("ks/t0"))
        );
        assert_eq!(summary.lists, BTreeMap::from([("/notes".to_owned(), 5000), ("/missing/list".to_owned(), 1500)]));
    }

    #[test]
    fn whatever_the_result_its_summary_has_at_most_the_bytes() {
        let wide: Map<String, Value> = (0..5000).map(|n| (format!("field {n}"), json!(n))).collect();
        let deep = (0..100).fold(json!("x".repeat(9000)), |inner, _| json!([inner, "y".repeat(900)]));
        let texts: Map<String, Value> = (0..60).map(|n| (format!("f{n}"), json!("\u{1}".repeat(3000)))).collect();
        let names: Map<String, Value> = (0..9).map(|n| (format!("{n}").repeat(3000), json!(n))).collect();
        for whole in [json!(wide), deep, json!(texts), json!(names), json!("z".repeat(90_000)), json!(vec![0; 90_000])]
        {
            for bytes in [2000, 24 << 10] {
                let summary = of(&whole, bytes);
                assert!(
                    summary.as_ref().is_none_or(|cut| encoded(&cut.value) <= bytes),
                    "{}",
                    &whole.to_string()[..50]
                );
                assert!(summary.is_some() || encoded(&whole) <= bytes);
            }
        }
    }

    #[test]
    fn a_text_is_cut_by_the_bytes_of_its_json() {
        for text in
            ["", "short", "ä\u{1}\"\\\n", &"ä".repeat(500), &"\u{1}".repeat(500), &"x".repeat(98), &"x".repeat(99)]
        {
            let cut = short(text, 100);
            assert!(json!(cut).to_string().len() <= 100, "{cut}");
            assert_eq!(cut == text, json!(text).to_string().len() <= 100, "{text}");
        }
    }
}
