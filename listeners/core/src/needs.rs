//! Features that work may need: how an older listener tells work that it must not do from fields that it may pass over.
//!
//! A field that changes nothing for those who do not know it comes without a need. One that does comes with the name of its
//! feature in `needs`, and a listener that does not know the name refuses the work, not the connection.

use serde::{Deserialize, de::DeserializeOwned};

use crate::failure::Failure;

/// Captures that ship only what is not held yet.
pub const JOIN: &str = "join";

/// Captures that leave objects alone which their patterns would name.
pub const EXCLUDES: &str = "excludes";

/// Code of a message that cannot be read.
const BAD_MESSAGE: &str = "TM-CTRL-0101";

/// Code of work that needs what the listener does not know.
const UNKNOWN_NEED: &str = "TM-CTRL-0103";

const HINT: &str = "install the listener of the daemon's version beside tidemarkd";

/// What is read of a message before the rest of it.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    needs: Vec<String>,
}

/// The message, where its `needs` are all among the `known`; they are looked at first, because what needs them may be
/// unreadable without.
///
/// # Errors
/// `TM-CTRL-0103` naming what is not known; `TM-CTRL-0101` where it cannot be read.
pub fn read<T: DeserializeOwned>(json: &str, known: &[&str]) -> Result<T, Failure> {
    let Envelope { needs } = serde_json::from_str(json).map_err(|error| unreadable(&error))?;
    require(needs.iter().map(String::as_str), known)?;
    serde_json::from_str(json).map_err(|error| unreadable(&error))
}

/// # Errors
/// `TM-CTRL-0103` naming the needs that are not among the `known`.
pub fn require<'n>(needs: impl IntoIterator<Item = &'n str>, known: &[&str]) -> Result<(), Failure> {
    let unknown: Vec<_> = needs.into_iter().filter(|need| !known.contains(need)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let words = format!("the work needs what this listener does not know: {}", unknown.join(", "));
    Err(Failure::new(UNKNOWN_NEED, words).with_hint(HINT))
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new(BAD_MESSAGE, format!("the listener cannot read what it is asked: {error}")).with_hint(HINT)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemark_gateway::Digest;

    use super::*;
    use crate::assignment::{Assignment, CheckRequest, Work};

    fn assignment() -> Value {
        json!({
            "id": "a", "source": "shop", "task": "t", "token": "1-1", "repository": "r",
            "work": {
                "kind": "capture", "objects": ["ks/*"],
                "step": {"number": 0, "ask": null, "over": false},
                "limits": {"uploads": 2, "part_bytes": 100},
            },
        })
    }

    /// The same with a field of a later version in each object, but for those of `but`.
    fn grown(value: Value, but: &str) -> Value {
        match value {
            Value::Object(fields) => {
                let grow = |(name, value)| if name == but { (name, value) } else { (name, grown(value, but)) };
                let later = ("later".to_owned(), json!({"a": [1]}));
                Value::Object(fields.into_iter().map(grow).chain([later]).collect())
            }
            other => other,
        }
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over_wherever_they_are() {
        let mut message = assignment();
        // A reference is read as it is meant or not at all.
        message["work"]["held"] = json!({"key": "k", "size": 1, "digest": Digest::of(b"1")});
        message["work"]["checkpoint"] = json!({"own": "words"});
        let whole: Assignment = read(&message.to_string(), &[]).unwrap();
        let Work::Capture(capture) = &whole.work else { panic!("{whole:?}") };
        assert!(capture.held.is_some() && capture.checkpoint.is_some());
        let mut grown = grown(message, "held");
        grown["work"]["checkpoint"] = json!({"own": "words"});
        grown["work"]["step"]["ask"] = Value::Null;
        assert_eq!(read::<Assignment>(&grown.to_string(), &[]).unwrap(), whole);
        let check: CheckRequest = read(r#"{"store": true, "objects": [], "later": 1}"#, &[]).unwrap();
        assert_eq!(check, CheckRequest { needs: vec![], store: true, objects: vec![], excludes: vec![] });
    }

    #[test]
    fn a_need_that_is_not_known_is_refused_by_its_name_even_where_the_rest_cannot_be_read() {
        let mut message = assignment();
        message["needs"] = json!(["join", "by-moonlight"]);
        message["work"] = json!({"kind": "by-moonlight"});
        let refused = read::<Assignment>(&message.to_string(), &[JOIN]).unwrap_err();
        assert_eq!(refused.code, "TM-CTRL-0103");
        assert!(refused.message.ends_with(": by-moonlight") && !refused.retryable, "{refused}");
        let unreadable = read::<Assignment>(&message.to_string(), &[JOIN, "by-moonlight"]).unwrap_err();
        assert_eq!(unreadable.code, "TM-CTRL-0101");
    }

    #[test]
    fn a_listener_that_would_capture_what_is_excluded_refuses_the_work() {
        let mut message = assignment();
        message["work"]["excludes"] = json!(["ks/tmp"]);
        let asked: Assignment = read(&message.to_string(), &[]).unwrap();
        let needs = asked.work.needs();
        assert_eq!(needs, [EXCLUDES]);
        assert_eq!(require(needs.clone(), &[JOIN]).unwrap_err().code, "TM-CTRL-0103");
        require(needs, &[JOIN, EXCLUDES]).unwrap();
        message["work"]["excludes"] = json!([]);
        assert!(read::<Assignment>(&message.to_string(), &[]).unwrap().work.needs().is_empty());
    }

    #[test]
    fn a_kind_or_mode_that_is_not_known_is_never_taken_for_another() {
        for (field, value) in [("kind", json!("erase")), ("mode", json!("delta"))] {
            let mut message = assignment();
            message["work"][field] = value;
            assert_eq!(read::<Assignment>(&message.to_string(), &[]).unwrap_err().code, "TM-CTRL-0101", "{field}");
        }
    }
}
