//! Bodies of requests, from what the command line was given.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value};

use super::super::{Error, args::RestoreArguments};
use crate::api::Restore;

pub(super) fn read_json(path: &Path) -> Result<serde_json::Value, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.display().to_string(), source })?;
    serde_json::from_str(&text).map_err(|error| Error::Usage(format!("{} is not JSON: {error}", path.display())))
}

/// Options of a kind of source: those that have a flag of their own, and those of `--option`. Each is given once.
pub(super) fn options<const N: usize>(given: &[String], flags: [(&str, Option<Value>); N]) -> Result<Value, Error> {
    let mut all: Map<String, Value> =
        flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    for text in given {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Error::Usage(format!("--option {text:?} is not NAME=VALUE")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        if all.insert(name.to_owned(), value).is_some() {
            return Err(Error::Usage(format!("option {name} is given twice")));
        }
    }
    Ok(Value::Object(all))
}

/// A version's id with the store that it is in, where that is named: in the id itself, beside it, or in both alike.
pub(super) fn within(store: Option<&str>, id: &str) -> Result<String, Error> {
    match (store, id.split_once(':')) {
        (None, _) => Ok(id.to_owned()),
        (Some(store), None) => Ok(format!("{store}:{id}")),
        (Some(store), Some((named, _))) if store == named => Ok(id.to_owned()),
        (Some(store), Some(_)) => Err(Error::Usage(format!("{id} and --store {store} name two stores"))),
    }
}

pub(super) fn restore(what: &RestoreArguments) -> Result<Restore, Error> {
    let replication = what.replication.as_deref().map(parse_replication).transpose()?;
    Ok(Restore {
        version: within(what.store.as_deref(), &what.version)?,
        pin: what.pin.clone(),
        objects: what.objects.clone(),
        to: what.to.clone(),
        rename: what.rename.iter().map(|text| parse_rename(text)).collect::<Result<_, _>>()?,
        into_non_empty: what.into_non_empty.clone(),
        if_exists: what.if_exists,
        remove: what.remove,
        rows: what.rows.clone(),
        columns: what.columns.clone(),
        client_clock_bound_millis: what.client_clock_bound.as_deref().map(parse_millis).transpose()?,
        no_safety_version: what.no_safety_version.clone(),
        accept_degraded: what.accept_degraded,
        strict: what.strict,
        options: options(
            &what.options,
            [
                ("replication", replication.map(|replication| serde_json::json!(replication))),
                ("write_level", what.write_level.clone().map(Value::from)),
                ("read_level", what.read_level.clone().map(Value::from)),
                ("ttl", what.ttl.clone().map(Value::from)),
            ],
        )?,
    })
}

fn parse_rename(text: &str) -> Result<(String, String), Error> {
    let parts = text.split_once('=').filter(|(from, to)| !from.is_empty() && !to.is_empty());
    parts
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .ok_or_else(|| Error::Usage(format!("--rename {text:?} is not FROM=TO")))
}

/// `500ms` or `2s`.
fn parse_millis(text: &str) -> Result<u32, Error> {
    let refuse = || Error::Usage(format!("--client-clock-bound {text:?} is not a time such as 500ms or 2s"));
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u32 = number.parse().map_err(|_| refuse())?;
    match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        _ => None,
    }
    .ok_or_else(refuse)
}

fn parse_replication(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let refuse = |reason: &str| Error::Usage(format!("--replication {text:?} {reason}"));
    let value: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| refuse(&format!("is not a JSON object: {error}")))?;
    let plain = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(text) => Ok((name, text)),
        serde_json::Value::Number(number) => Ok((name, number.to_string())),
        _ => Err(refuse("holds more than texts and numbers")),
    };
    value.into_iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_needs_both_sides() {
        assert_eq!(parse_rename("a=b").unwrap(), ("a".to_owned(), "b".to_owned()));
        assert!(parse_rename("a=").is_err());
        assert!(parse_rename("ab").is_err());
    }

    #[test]
    fn a_bound_of_clocks_has_a_unit() {
        assert_eq!((parse_millis("500ms").unwrap(), parse_millis("2s").unwrap()), (500, 2_000));
        assert!(["2", "s", "", "-1s", "4294968s"].iter().all(|wrong| parse_millis(wrong).is_err()));
    }

    #[test]
    fn an_option_is_json_or_text_and_given_once() {
        let given = ["deep=true", "depth=3", "note=a=b", "path=\"x\""].map(str::to_owned);
        let found = options(&given, [("level", Some(Value::from("one"))), ("other", None)]).unwrap();
        let expected = serde_json::json!({"deep": true, "depth": 3, "note": "a=b", "path": "x", "level": "one"});
        assert_eq!(found, expected);
        for wrong in ["deep", "=1", "level=two"] {
            assert!(options(&[wrong.to_owned()], [("level", Some(Value::from("one")))]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn replication_takes_texts_and_numbers() {
        let parsed = parse_replication(r#"{"class":"SimpleStrategy","replication_factor":3}"#).unwrap();
        assert_eq!(parsed["replication_factor"], "3");
        assert!(parse_replication("[]").is_err());
    }
}
