//! JSON that people wrote in a source kind's own words: specifications, and options of policies and restores.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// JSON that is not of the shape that is wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Only objects have named fields.
    #[error("it is no object")]
    NoObject,
    /// A field is unknown, missing or of another type.
    #[error("{path}")]
    Field {
        /// Where, from the outside to the inside, for example `nodes[1].address`; `.` for the whole.
        path: String,
        /// What is wrong there.
        source: serde_json::Error,
    },
}

/// Reads an object into a type, which should deny fields that it does not know.
///
/// # Errors
/// [`Error`] naming the field.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    // A list would do for a structure's fields in their order.
    if !value.is_object() {
        return Err(Error::NoObject);
    }
    serde_path_to_error::deserialize(value)
        .map_err(|error| Error::Field { path: error.path().to_string(), source: error.into_inner() })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;
    use tidemark_gateway::causes::joined;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Own {
        deep: bool,
        parts: Vec<u8>,
    }

    #[test]
    fn only_objects_are_read_and_fields_are_named() {
        assert_eq!(read::<Own>(&json!({})).unwrap(), Own::default());
        assert_eq!(read::<Own>(&json!({"deep": true})).unwrap(), Own { deep: true, parts: vec![] });
        for (wrong, word) in [
            (json!([]), "object"),
            (json!(null), "object"),
            (json!({"deap": 1}), "deap"),
            (json!({"deep": 1}), "deep: "),
            (json!({"parts": [1, "x"]}), "parts[1]: "),
        ] {
            let error = joined(&read::<Own>(&wrong).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
