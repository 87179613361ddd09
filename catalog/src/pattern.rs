//! Patterns of object names.
//!
//! A pattern is parts joined by `/`, as many as the names it matches have. Each is a glob (crate `globset`) for the text of the
//! name's part at its place, so that no wildcard reaches from one part into the next:
//!
//! - `*` any text, also none; `{a,b}` either of two globs;
//! - `?` any one character, `[a-z]` and `[!a-z]` one of these or none of these. These three know ASCII only: other characters
//!   are matched by `*`, and by themselves outside of brackets;
//! - outside of brackets `\` makes the character after it an ordinary one, and `%` and two hex digits are a byte of plain text;
//!   within them both are characters like others, and `[:` of a POSIX class is refused.
//!
//! So a name as it is printed is the pattern of this one name, and what a name holds beyond letters, digits, `_`, `-` and `.`
//! may be written as it is, unless it is one of the above.

mod glob;

use std::{fmt, str::FromStr};

use globset::{ErrorKind, GlobMatcher};

/// Longest pattern, bytes: braces nest as deep as the pattern is long.
const MAX_BYTES: usize = 1024;

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing before, after or between two `/`.
    #[error("{0:?} has an empty part")]
    EmptyPart(String),
    /// Longer than any that is meant.
    #[error("{0:?}… is longer than {MAX_BYTES} bytes")]
    TooLong(String),
    /// A `%` without two hex digits, or bytes that are no UTF-8.
    #[error("{0:?} is not percent-encoded: a plain % is written \\%")]
    Encoding(String),
    /// Brackets hold a character beyond ASCII.
    #[error("{0:?} has a character beyond ASCII in brackets: braces hold any")]
    Brackets(String),
    /// Brackets hold what elsewhere is a named class, such as `[:digit:]`.
    #[error("{0:?} has [: in brackets: named classes are not known, write [0-9] for one")]
    Class(String),
    /// Brackets, braces or a backslash without their other half.
    #[error("{pattern:?} is no pattern: {kind}")]
    Glob {
        /// As given.
        pattern: String,
        /// What is wrong.
        kind: ErrorKind,
    },
}

/// A pattern; printed as it was given.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    parts: Vec<GlobMatcher>,
}

impl Pattern {
    /// Number of parts, from 1, of the names that it can match.
    pub fn depth(&self) -> usize {
        self.parts.len()
    }

    /// True where a name of these decoded parts matches.
    pub fn matches<P: AsRef<str>>(&self, name: &[P]) -> bool {
        let mut parts = self.parts.iter().zip(name);
        name.len() == self.depth() && parts.all(|(glob, part)| glob.is_match(part.as_ref()))
    }

    /// True where every name that `other` matches is matched by this too, as far as that can be told part by part: of two wildcards
    /// only that they are the same, or that this one is `*`.
    pub fn covers(&self, other: &Self) -> bool {
        let mut parts = self.parts.iter().zip(&other.parts);
        self.depth() == other.depth() && parts.all(|(own, other)| glob::covers(own, other))
    }

    /// True where names whose first decoded part is `first` may match.
    pub fn touches(&self, first: &str) -> bool {
        self.parts.first().is_some_and(|glob| glob.is_match(first))
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_BYTES {
            return Err(Error::TooLong(text.chars().take(80).collect()));
        }
        if text.split('/').any(str::is_empty) {
            return Err(Error::EmptyPart(text.to_owned()));
        }
        let parts = text.split('/').map(|part| glob::matcher(text, part)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Patterns of which a name must match any, and others of which it must match none.
#[derive(Clone, Debug)]
pub struct Patterns {
    any: Vec<Pattern>,
    none: Vec<Pattern>,
}

impl Patterns {
    /// # Errors
    /// [`Error`] for the first text that is not a pattern.
    pub fn parse(texts: &[String]) -> Result<Self, Error> {
        Ok(Self { any: parse(texts)?, none: Vec::new() })
    }

    /// The same without the names that match any of the patterns `texts`: these win.
    ///
    /// # Errors
    /// [`Error`] for the first text that is not a pattern.
    pub fn without(self, texts: &[String]) -> Result<Self, Error> {
        Ok(Self { none: parse(texts)?, ..self })
    }

    /// All patterns in the order they were given, those that exclude last.
    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.any.iter().chain(&self.none)
    }

    /// True where there is none that a name could match.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty()
    }

    /// True where a name of these decoded parts matches any, and none of those that exclude.
    pub fn matches<P: AsRef<str>>(&self, name: &[P]) -> bool {
        let matching = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        matching(&self.any) && !matching(&self.none)
    }

    /// The first pattern of which one that excludes leaves nothing ([`Pattern::covers`]), and that one.
    pub fn shadowed(&self) -> Option<(&Pattern, &Pattern)> {
        let by = |pattern| self.none.iter().find(|other| other.covers(pattern));
        self.any.iter().find_map(|pattern| Some((pattern, by(pattern)?)))
    }

    /// True where names whose first decoded part is `first` may match.
    pub fn touches(&self, first: &str) -> bool {
        self.any.iter().any(|pattern| pattern.touches(first))
    }

    /// Those that match none of the names, each given by its decoded parts, as they were given; those that exclude do not count.
    pub fn unmatched<P: AsRef<str>, N: AsRef<[P]>>(&self, names: &[N]) -> Vec<String> {
        let matched = |pattern: &&Pattern| names.iter().any(|name| pattern.matches(name.as_ref()));
        self.any.iter().filter(|pattern| !matched(pattern)).map(Pattern::to_string).collect()
    }
}

fn parse(texts: &[String]) -> Result<Vec<Pattern>, Error> {
    texts.iter().map(|text| text.parse()).collect()
}

#[cfg(test)]
mod tests;
