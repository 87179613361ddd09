//! A cursor over a type's text, shared by both notations.

/// A type's text that does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("type {text:?} at byte {offset}: {reason}")]
pub struct ParseError {
    /// The whole text.
    pub text: String,
    /// Offset of the first byte that was not understood.
    pub offset: usize,
    /// What was expected or found.
    pub reason: String,
}

/// Types nest no deeper than this; real ones stay below ten.
pub(super) const MAX_DEPTH: usize = 32;

/// A cursor over a type's text.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    pub(super) fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Consumes `wanted` after spaces, if it is next.
    pub(super) fn eat(&mut self, wanted: char) -> bool {
        self.skip_spaces();
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    pub(super) fn expect(&mut self, wanted: char) -> Result<(), ParseError> {
        if self.eat(wanted) { Ok(()) } else { Err(self.error(format!("expected {wanted:?}"))) }
    }

    /// Consumes the longest run of accepted characters, after spaces; an empty run is an error.
    pub(super) fn word(&mut self, accepted: impl Fn(char) -> bool) -> Result<&'a str, ParseError> {
        self.skip_spaces();
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !accepted(c)).unwrap_or(rest.len())];
        if word.is_empty() {
            return Err(self.error("expected a name"));
        }
        self.at += word.len();
        Ok(word)
    }

    /// Consumes up to the quote that closes what the caller opened; a doubled quote stands for one.
    pub(super) fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        let mut name = String::new();
        loop {
            let Some(length) = self.rest().find(quote) else { return Err(self.error("unclosed quote")) };
            name.push_str(&self.rest()[..length]);
            self.at += length + quote.len_utf8();
            if !self.rest().starts_with(quote) {
                return Ok(name);
            }
            name.push(quote);
            self.at += quote.len_utf8();
        }
    }

    pub(super) fn number(&mut self) -> Result<u16, ParseError> {
        let digits = self.word(|c| c.is_ascii_digit())?;
        digits
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| self.error(format!("{digits} is not a vector's dimension")))
    }

    pub(super) fn end(&mut self) -> Result<(), ParseError> {
        self.skip_spaces();
        if self.rest().is_empty() { Ok(()) } else { Err(self.error("text after the type")) }
    }

    /// Runs `inner` one level deeper.
    pub(super) fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> ParseError {
        ParseError { text: self.text.to_owned(), offset: self.at, reason: reason.into() }
    }
}
