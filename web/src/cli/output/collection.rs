//! What is stored, what it serves, and what was freed, in words.

use serde_json::Value;

use super::{Printed, size, table};
use crate::api::{GcPreview, SourceUsage, StoreUsage, Stored, VersionSize};

impl Printed for VersionSize {
    fn text(&self) -> String {
        format!("version  {}\nfrees    {}\n", self.id, stored(self.frees))
    }
}

impl Printed for StoreUsage {
    fn text(&self) -> String {
        let mut text = format!("store  {}\n", self.store);
        for source in &self.sources {
            text += &format!("\nsource {}\n", source.source);
            text += &match &source.problem {
                Some(problem) => format!("  cannot be looked into: {problem}\n"),
                None => rows(source) + &objects(source),
            };
        }
        text
    }
}

/// What the stored objects of a source serve, in words that `store usage --help` explains; rows without any are left out. They add up.
fn rows(source: &SourceUsage) -> String {
    let rows = [
        ("versions", source.versions),
        ("expired versions", source.expired),
        ("being read", source.pinned),
        ("kept staged files", source.staged_kept),
        ("operations", source.operations),
        ("to be deleted", source.marked),
        ("not needed", source.garbage),
        ("too new to tell", source.young),
        ("records", source.lasting),
        ("not Tidemark's", source.foreign),
    ];
    let total = [("total", source.total)];
    let some = rows.iter().filter(|(_, stored)| stored.objects > 0).chain(&total);
    let text = table(&["USED BY", "STORED OBJECTS", "BYTES"], some.map(|(name, stored)| usage(name, *stored)));
    let (staged, segments) = (stored(source.staged), stored(source.segments));
    text + &format!(
        "each stored object is in one row: they add up to the total\nof the total, staged files are {staged}; segments are {segments}\n"
    )
}

fn usage(name: &str, stored: Stored) -> Vec<String> {
    vec![name.to_owned(), stored.objects.to_string(), size(stored.bytes)]
}

/// What versions need of each object, with what belongs to none: these add up to what versions and expired versions use.
fn objects(source: &SourceUsage) -> String {
    let used = source.versions.and(source.expired);
    let shared = source.objects.iter().fold(used, |left, object| left.without(object.stored));
    let named = source.objects.iter().map(|object| usage(&object.object, object.stored));
    let rows = named.chain([usage("(shared, or of no object)", shared), usage("total", used)]);
    format!("\nversions and expired versions, by object:\n{}", table(&["OBJECT", "STORED OBJECTS", "BYTES"], rows))
}

impl Printed for GcPreview {
    fn text(&self) -> String {
        let row = |item: &crate::api::GcItem| {
            let after = item.after.map(|after| format!(", not before {after:.0}")).unwrap_or_default();
            vec![item.name.clone(), item.bytes.to_string(), item.frees_bytes.to_string(), item.serves.clone() + &after]
        };
        let mut text = table(&["STORED OBJECT", "BYTES", "FREES", "SERVES"], self.items.iter().map(row));
        if self.left_out > 0 {
            text += &format!("and {} more\n", self.left_out);
        }
        text += &format!("frees  {}\n", stored(self.frees));
        text + &self.problems.iter().map(|problem| format!("not collected  {problem}\n")).collect::<String>()
    }
}

fn stored(stored: Stored) -> String {
    format!("{} in {} stored objects", size(stored.bytes), stored.objects)
}

/// What a collection did, source by source.
pub(super) fn collected(result: &Value) -> String {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let mut text = String::new();
    for source in result["sources"].as_array().into_iter().flatten() {
        let name = source["source"].as_str().unwrap_or("?");
        let (freed, marked) = (&source["freed"], &source["marked"]);
        let sum = |of: &Value| stored(Stored { objects: count(&of["objects"]), bytes: count(&of["bytes"]) });
        text += &format!("{name}  {} versions expired, freed {}", count(&source["expired"]["count"]), sum(freed));
        text += &if marked.is_null() { "\n".to_owned() } else { format!(", marked {}\n", sum(marked)) };
        for resting in source["resting"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            text += &format!("{name}  no version expires by policy {resting}\n");
        }
        if let Some(problem) = source["problem"].as_str() {
            text += &format!("{name}  is not collected: {problem}\n");
        }
    }
    let removed = &result["removed"];
    if !removed.is_null() {
        let (uploads, probes) = (count(&removed["uploads"]), count(&removed["probes"]));
        if uploads + probes > 0 {
            text += &format!("left by crashes, removed: {uploads} uploads that were not ended, {probes} probes\n");
        }
        if let Some(problem) = removed["problem"].as_str() {
            text += &format!("uploads that were not ended stay: {problem}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_stored_of_a_source_adds_up_and_says_so() {
        let of = |objects: u64, bytes: u64| json!({"objects": objects, "bytes": bytes});
        let none = of(0, 0);
        let usage: StoreUsage = serde_json::from_value(json!({"store": "s", "sources": [{
            "source": "shop", "versions": of(5, 500), "expired": of(2, 200), "pinned": none, "staged_kept": none, "operations": none,
            "marked": of(1, 30), "garbage": none, "young": none, "lasting": of(4, 40), "foreign": none, "total": of(12, 770),
            "staged": none, "segments": of(3, 600), "objects": [{"object": "ks/a", "stored": of(3, 600)}], "problem": null,
        }]}))
        .unwrap();
        let text = usage.text();
        let figures = |name: &str, skip: usize| -> Vec<u64> {
            let line = text
                .lines()
                .map(str::trim_start)
                .filter(|line| line.starts_with(name))
                .nth(skip)
                .unwrap_or_else(|| panic!("{name}: {text}"));
            line[name.len()..].split_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        let rows = ["versions  ", "expired versions  ", "to be deleted  ", "records  "].map(|name| figures(name, 0));
        let sums = [0, 1].map(|n| rows.iter().map(|row| row[n]).sum::<u64>());
        assert_eq!(figures("total ", 0), sums);
        assert_eq!((figures("(shared, or of no object)", 0), figures("total ", 1)), (vec![4, 100], vec![7, 700]));
        assert!(text.contains("they add up to the total\n") && !text.contains("operations"), "{text}");
    }

    #[test]
    fn a_source_that_is_not_collected_is_named_with_its_reason() {
        let freed = json!({"objects": 2, "bytes": 2048});
        let one = json!({"source": "shop", "expired": {"count": 1}, "marked": null, "freed": freed, "problem": null});
        let nothing = json!({"objects": 0, "bytes": 0});
        let two =
            json!({"source": "web", "expired": {"count": 0}, "marked": freed, "freed": nothing, "problem": "damaged"});
        let text = collected(&json!({"store": "s", "sources": [one, two]}));
        let first = "shop  1 versions expired, freed 2.0 KiB in 2 stored objects\n";
        let second = "web  0 versions expired, freed 0 B in 0 stored objects, marked 2.0 KiB in 2 stored objects\n";
        assert_eq!(text, format!("{first}{second}web  is not collected: damaged\n"));
    }
}
