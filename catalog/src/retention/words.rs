//! Retention as it is written on a command line: `last=3,within=7d,daily=7`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::{Retention, Rules};
use crate::duration;

/// The words of the rules.
const WORDS: [&str; 7] = ["last", "within", "hourly", "daily", "weekly", "monthly", "yearly"];

/// Why rules are refused: what keeps nothing or is misspelt would let versions go that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No rule keeps anything.
    #[error("no rule keeps anything; at least one of {} must be above 0", WORDS.join(", "))]
    Empty,
    /// Not `word=value`.
    #[error("{0:?} is not rule=value, such as daily=7")]
    Shape(String),
    /// No rule is called so.
    #[error("there is no rule {word:?}; rules are {}", WORDS.join(", "))]
    Unknown {
        /// The word.
        word: String,
    },
    /// A rule is given twice.
    #[error("{0} is given twice")]
    Twice(String),
    /// Not a whole number.
    #[error("{rule} = {value:?} is not a whole number from 0 to {}", u32::MAX)]
    Number {
        /// The rule.
        rule: String,
        /// Its value.
        value: String,
    },
    /// Not a duration.
    #[error("within: {0}")]
    Within(#[source] duration::Error),
}

impl FromStr for Retention {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (mut rules, mut given) = (Rules::default(), BTreeSet::new());
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (rule, value) = part.split_once('=').ok_or_else(|| Error::Shape(shown(part)))?;
            let (rule, value) = (rule.trim(), value.trim());
            if !given.insert(rule) {
                return Err(Error::Twice(shown(rule)));
            }
            rules.set(rule, value)?;
        }
        rules.try_into()
    }
}

impl Rules {
    fn set(&mut self, rule: &str, value: &str) -> Result<(), Error> {
        let place = match rule {
            "within" => {
                self.within = Some(value.parse().map_err(Error::Within)?);
                return Ok(());
            }
            "last" => &mut self.last,
            "hourly" => &mut self.hourly,
            "daily" => &mut self.daily,
            "weekly" => &mut self.weekly,
            "monthly" => &mut self.monthly,
            "yearly" => &mut self.yearly,
            _ => return Err(Error::Unknown { word: shown(rule) }),
        };
        let count = value.parse().map_err(|_| Error::Number { rule: rule.to_owned(), value: shown(value) })?;
        *place = Some(count);
        Ok(())
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rules { last, within, hourly, daily, weekly, monthly, yearly } = self.rules();
        let counts = [last, &None, hourly, daily, weekly, monthly, yearly];
        let text = |(word, count): (&str, &Option<u32>)| match (word, within) {
            ("within", Some(within)) => Some(format!("within={within}")),
            _ => count.map(|count| format!("{word}={count}")),
        };
        let rules: Vec<_> = WORDS.into_iter().zip(counts).filter_map(text).collect();
        f.write_str(&rules.join(","))
    }
}
