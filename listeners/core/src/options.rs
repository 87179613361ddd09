//! Options in a source kind's own words, as they come from a policy or a restore.

use serde::{de::DeserializeOwned, de::Error as _};
use serde_json::Value;

/// Reads options into a type, which should deny fields that it does not know.
///
/// # Errors
/// Where they are no object, or not of the type; the message names the field.
pub fn read<T: DeserializeOwned>(options: &Value) -> Result<T, serde_json::Error> {
    match options {
        // A list would do for a structure's fields in their order.
        Value::Object(_) => T::deserialize(options),
        _ => Err(serde_json::Error::custom("options are an object")),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Own {
        deep: bool,
    }

    #[test]
    fn only_objects_are_options() {
        assert_eq!(read::<Own>(&json!({})).unwrap(), Own::default());
        assert_eq!(read::<Own>(&json!({"deep": true})).unwrap(), Own { deep: true });
        for (wrong, word) in [(json!([]), "object"), (json!(null), "object"), (json!({"deap": 1}), "deap")] {
            let error = read::<Own>(&wrong).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
