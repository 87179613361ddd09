//! From one part of a pattern to its glob.

use std::{iter::Peekable, str::Chars};

use globset::{GlobBuilder, GlobMatcher};

use super::Error;

/// The glob of one part of `pattern`.
pub(super) fn matcher(pattern: &str, part: &str) -> Result<GlobMatcher, Error> {
    let glob = Text { pattern, rest: part.chars().peekable(), glob: String::with_capacity(part.len()) }.read()?;
    // A part is no path: a '/' in it is a character like others. Options are named so that no platform differs.
    let built = GlobBuilder::new(&glob).literal_separator(false).backslash_escape(true).empty_alternates(true).build();
    match built {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(Error::Glob { pattern: pattern.to_owned(), kind: error.kind().clone() }),
    }
}

/// True where one part matches all that another one matches: it is `*`, the same, or matches the one text that the other is.
pub(super) fn covers(own: &GlobMatcher, other: &GlobMatcher) -> bool {
    let (own_text, other_text) = (own.glob().glob(), other.glob().glob());
    let is_plain = !other_text.contains(['*', '?', '[', ']', '{', '}', '\\']);
    own_text == "*" || own_text == other_text || is_plain && own.is_match(other_text)
}

/// Writes the part without its percent-encoding, what was encoded as plain characters.
struct Text<'a> {
    pattern: &'a str,
    rest: Peekable<Chars<'a>>,
    glob: String,
}

impl Text<'_> {
    fn read(mut self) -> Result<String, Error> {
        while let Some(next) = self.rest.next() {
            match next {
                '%' => self.encoded()?,
                '[' => self.brackets()?,
                '\\' => self.escaped(),
                other => self.glob.push(other),
            }
        }
        Ok(self.glob)
    }

    fn escaped(&mut self) {
        self.glob.push('\\');
        self.glob.extend(self.rest.next());
    }

    /// From behind a `[` to its `]`; one right at the start is a character like others.
    fn brackets(&mut self) -> Result<(), Error> {
        self.glob.push('[');
        self.glob.extend(self.rest.next_if(|c| matches!(c, '!' | '^')));
        self.glob.extend(self.rest.next_if_eq(&']'));
        while let Some(next) = self.rest.next() {
            if !next.is_ascii() {
                return Err(Error::Brackets(self.pattern.to_owned()));
            }
            if next == '[' && self.rest.peek() == Some(&':') {
                return Err(Error::Class(self.pattern.to_owned()));
            }
            self.glob.push(next);
            if next == ']' {
                break;
            }
        }
        Ok(())
    }

    /// From behind a `%` to the end of this and all encoded bytes that follow at once.
    fn encoded(&mut self) -> Result<(), Error> {
        let refuse = || Error::Encoding(self.pattern.to_owned());
        let mut bytes = Vec::new();
        loop {
            let digits = [self.rest.next(), self.rest.next()].map(|digit| digit.and_then(|c| c.to_digit(16)));
            let [Some(high), Some(low)] = digits else { return Err(refuse()) };
            bytes.push((high * 16 + low) as u8);
            if self.rest.next_if_eq(&'%').is_none() {
                break;
            }
        }
        for plain in String::from_utf8(bytes).map_err(|_| refuse())?.chars() {
            self.glob.extend(['\\', plain]);
        }
        Ok(())
    }
}
