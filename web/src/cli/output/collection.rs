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
                None => classes(source) + &objects(source),
            };
        }
        text
    }
}

/// What the stored bytes of a source serve; classes without anything are left out.
fn classes(source: &SourceUsage) -> String {
    let classes = [
        ("versions", source.versions),
        ("expired versions", source.expired),
        ("collected versions that are being read", source.pinned),
        ("staged, kept with its version", source.staged_kept),
        ("running operations", source.operations),
        ("marked, goes when it is due", source.marked),
        ("garbage, is marked next", source.garbage),
        ("not old enough to say", source.young),
        ("manifests, states, marks", source.lasting),
        ("foreign", source.foreign),
        ("of all that: staged", source.staged),
        ("of all that: segments", source.segments),
    ];
    let some = classes.iter().filter(|(_, stored)| stored.objects > 0);
    let row =
        |(class, stored): &(&str, Stored)| vec![(*class).to_owned(), stored.objects.to_string(), size(stored.bytes)];
    table(&["SERVES", "STORED OBJECTS", "BYTES"], some.map(row))
}

fn objects(source: &SourceUsage) -> String {
    let row = |usage: &crate::api::ObjectUsage| {
        vec![usage.object.clone(), usage.stored.objects.to_string(), size(usage.stored.bytes)]
    };
    format!("\n{}", table(&["OBJECT", "STORED OBJECTS", "BYTES"], source.objects.iter().map(row)))
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
