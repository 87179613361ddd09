//! What an operation says of many things: one line with a count, and the list in its result.

use serde_json::json;
use tidemark_catalog::entry::{ObjectLine, Quality};

use super::{
    Hints,
    result::{Absent, Left, Listed, Missed, short},
};
use crate::failure::Failure;

/// Objects of which the version holds nothing.
pub(super) fn missing_objects(lines: &[ObjectLine]) -> Listed<Missed> {
    missing(lines).into_iter().map(missed).collect()
}

/// Partitions that could not be read, by object.
pub(super) fn left_out(lines: &[ObjectLine]) -> Listed<Left> {
    let left_out = lines.iter().flat_map(|line| line.left_out.iter().map(move |left| (line, left)));
    let left = left_out.map(|(line, left)| Left {
        object: line.object.clone(),
        partition: left.partition.clone(),
        place: left.place.clone(),
        reason: short(&left.reason),
    });
    left.collect()
}

/// Listeners that did not answer; with a hint where one is known.
pub(super) fn absent(absent: &[(String, String)], hints: &Hints) -> Listed<Absent> {
    let one = |(listener, reason): &(String, String)| Absent {
        listener: listener.clone(),
        reason: short(reason),
        hint: hints.get(listener).map(|hint| short(hint)),
    };
    absent.iter().map(one).collect()
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
        .with_details(json!({ "missing": missing_objects(lines) })))
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

fn missed((line, reason): (&ObjectLine, &str)) -> Missed {
    Missed { object: line.object.clone(), reason: short(reason) }
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
    fn a_failure_of_many_objects_is_one_line_with_a_count_and_a_list() {
        let lines: Vec<_> = (0..5000).map(damaged).collect();
        let failure = require_some(&lines).unwrap_err();
        assert!(failure.message.starts_with("none of 5000 objects"), "{failure}");
        assert!(failure.message.contains("nb-0-big-Data.db") && failure.message.len() < 1000, "{failure}");
        let details = failure.details.unwrap();
        assert_eq!(details["missing"]["count"], 5000);
        let list = details["missing"]["list"].as_array().unwrap();
        assert_eq!(list.len(), 5000);
        assert_eq!(list[1]["object"], "ks/t1");
    }

    #[test]
    fn listeners_that_did_not_answer_are_listed_with_short_reasons() {
        let absent: Vec<_> = (0..1000).map(|n| (format!("10.0.0.{n}:9042"), "refused ".repeat(500))).collect();
        let listed = super::absent(&absent, &Hints::from([("10.0.0.1:9042".to_owned(), "start it".to_owned())]));
        assert_eq!((listed.count, listed.list[1].listener.as_str()), (1000, "10.0.0.1:9042"));
        assert_eq!((listed.list[1].hint.as_deref(), &listed.list[0].hint), (Some("start it"), &None));
        assert!(listed.list.len() == 1000 && listed.list.iter().all(|absent| absent.reason.len() < 600));
    }

    #[test]
    fn what_is_kept_makes_a_version_and_what_is_not_is_listed() {
        let mut kept = line(1, Quality::Cut);
        let left = LeftOut { partition: "h".into(), place: "10.0.0.1:9042".into(), reason: "f is damaged".into() };
        kept.left_out.push(left);
        let lines = [kept, damaged(2)];
        require_some(&lines).unwrap();
        let (missing, left_out) = (missing_objects(&lines), left_out(&lines));
        assert_eq!((missing.count, missing.list[0].object.to_string().as_str()), (1, "ks/t2"));
        assert_eq!((left_out.count, left_out.list[0].reason.as_str()), (1, "f is damaged"));
    }
}
