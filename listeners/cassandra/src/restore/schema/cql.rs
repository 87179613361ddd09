//! CQL as tokens: just enough of its lexical structure to change names in statements without touching strings or comments.
//!
//! Lexical rules are those of Cassandra's `Lexer.g` (5.0): `--`, `//` and `/* */` comments, `'…'` strings with `''`, `$$…$$`
//! strings, `"…"` identifiers with `""`, words, numbers. Joining the texts of all tokens gives the input back.

use std::iter::Peekable;

/// Why a text is not CQL.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A string, quoted identifier or comment has no end.
    #[error("{what} at byte {offset} has no end")]
    Open {
        /// What was left open.
        what: &'static str,
        /// Where it starts.
        offset: usize,
    },
    /// Brackets do not match.
    #[error("brackets do not match in {0:?}")]
    Brackets(String),
    /// A statement does not have the expected shape.
    #[error("{0:?} is not a statement of the expected shape")]
    Shape(String),
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Spaces and comments.
    Blank,
    /// A keyword or an unquoted identifier.
    Word,
    /// `"…"`.
    Quoted,
    /// `'…'` or `$$…$$`.
    String,
    /// A number, possibly with a fraction or exponent, or a UUID that starts with a digit.
    Number,
    /// One character of anything else.
    Sign,
}

/// A piece of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its text, as it stands.
    pub text: String,
}

impl Token {
    /// A quoted identifier of this name.
    pub fn quoted(name: &str) -> Self {
        Self { kind: Kind::Quoted, text: quote(name) }
    }

    /// True iff it is this keyword, in any case.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// True iff it is this sign.
    pub fn is_sign(&self, sign: char) -> bool {
        self.kind == Kind::Sign && self.text.starts_with(sign)
    }

    /// The name that it stands for, where it can be an identifier: words are folded to lower case, quotes undone.
    pub fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_ascii_lowercase()),
            Kind::Quoted => Some(self.text[1..self.text.len() - 1].replace("\"\"", "\"")),
            _ => None,
        }
    }
}

/// `"name"` with quotes doubled: valid for every identifier, whatever it holds.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `'text'` with quotes doubled.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Cuts a text into tokens.
///
/// # Errors
/// [`Error::Open`] where a string, quoted identifier or comment has no end.
pub fn tokenize(text: &str) -> Result<Vec<Token>, Error> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let offset = text.len() - rest.len();
        let (kind, length) = next_token(rest).map_err(|what| Error::Open { what, offset })?;
        let (token, tail) = rest.split_at(length);
        tokens.push(Token { kind, text: token.to_owned() });
        rest = tail;
    }
    Ok(tokens)
}

/// Kind and length of the first token of a text that is not empty; the error says what has no end.
fn next_token(text: &str) -> Result<(Kind, usize), &'static str> {
    let first = text.chars().next().unwrap_or(' ');
    if text.starts_with("--") || text.starts_with("//") {
        return Ok((Kind::Blank, text.find(['\n', '\r']).unwrap_or(text.len())));
    }
    if let Some(body) = text.strip_prefix("/*") {
        return body.find("*/").map(|end| (Kind::Blank, end + 4)).ok_or("comment");
    }
    if let Some(body) = text.strip_prefix("$$") {
        return body.find("$$").map(|end| (Kind::String, end + 4)).ok_or("string");
    }
    match first {
        '\'' => delimited(text, '\'').map(|end| (Kind::String, end)).ok_or("string"),
        '"' => delimited(text, '"').map(|end| (Kind::Quoted, end)).ok_or("identifier"),
        c if c.is_whitespace() => Ok((Kind::Blank, run(text, char::is_whitespace))),
        c if c.is_ascii_alphabetic() => Ok((Kind::Word, run(text, |c| c.is_ascii_alphanumeric() || c == '_'))),
        c if c.is_ascii_digit() => Ok((Kind::Number, number(text))),
        c => Ok((Kind::Sign, c.len_utf8())),
    }
}

/// Bytes of the leading characters that satisfy the test.
fn run(text: &str, test: impl Fn(char) -> bool) -> usize {
    text.find(|c| !test(c)).unwrap_or(text.len())
}

/// Bytes of a number or of a UUID that starts with a digit: a dash goes on only where a hexadecimal digit follows, as in
/// both; a dot only where a digit follows, so that `1.x` is not swallowed.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = 0;
    while let Some(&byte) = bytes.get(end) {
        let next = bytes.get(end + 1).copied().unwrap_or(b' ');
        let goes_on = byte.is_ascii_alphanumeric()
            || (byte == b'-' && next.is_ascii_hexdigit())
            || (byte == b'.' && next.is_ascii_digit());
        if !goes_on {
            break;
        }
        end += 1;
    }
    end
}

/// Bytes of a text in delimiters, a doubled delimiter standing for itself; `None` where it has no end.
fn delimited(text: &str, delimiter: char) -> Option<usize> {
    let mut characters: Peekable<_> = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != delimiter {
            continue;
        }
        if characters.next_if(|(_, next)| *next == delimiter).is_none() {
            return Some(at + 1);
        }
    }
    None
}

/// The statements of a script, without blanks around and without the `;`.
pub fn statements(tokens: Vec<Token>) -> Vec<Vec<Token>> {
    tokens.split(|t| t.is_sign(';')).map(trim).filter(|s| !s.is_empty()).map(<[Token]>::to_vec).collect()
}

/// The tokens without blanks at either end.
pub fn trim(tokens: &[Token]) -> &[Token] {
    let solid = |t: &Token| t.kind != Kind::Blank;
    let start = tokens.iter().position(solid).unwrap_or(tokens.len());
    let end = tokens.iter().rposition(solid).map_or(start, |last| last + 1);
    &tokens[start..end]
}

/// The tokens without any blanks.
pub fn solid(tokens: &[Token]) -> Vec<&Token> {
    tokens.iter().filter(|t| t.kind != Kind::Blank).collect()
}

/// The text of the tokens.
pub fn text(tokens: &[Token]) -> String {
    tokens.iter().map(|t| t.text.as_str()).collect()
}

/// Cuts a list at its top-level separators (those outside all brackets), trimmed.
///
/// # Errors
/// [`Error::Brackets`] where brackets do not match.
pub fn split_top(tokens: &[Token], separator: impl Fn(&Token) -> bool) -> Result<Vec<&[Token]>, Error> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (i, token) in tokens.iter().enumerate() {
        depth = step(depth, token).ok_or_else(|| Error::Brackets(text(tokens)))?;
        if depth == 0 && separator(token) {
            parts.push(trim(&tokens[start..i]));
            start = i + 1;
        }
    }
    parts.push(trim(&tokens[start..]));
    if depth == 0 { Ok(parts) } else { Err(Error::Brackets(text(tokens))) }
}

/// Depth after a token; `None` where a bracket closes that was not opened.
fn step(depth: usize, token: &Token) -> Option<usize> {
    let opens = ['(', '<', '{', '['].iter().any(|c| token.is_sign(*c));
    let closes = [')', '>', '}', ']'].iter().any(|c| token.is_sign(*c));
    match (opens, closes) {
        (true, _) => Some(depth + 1),
        (_, true) => depth.checked_sub(1),
        _ => Some(depth),
    }
}

/// What stands before the first bracket of a statement, inside it and after it.
type Body<'a> = (&'a [Token], &'a [Token], &'a [Token]);

/// Cuts a statement into what stands before its first `(`, inside the matching brackets, and after them.
///
/// # Errors
/// [`Error::Brackets`] where there are none or they do not match.
pub fn split_body(tokens: &[Token]) -> Result<Body<'_>, Error> {
    let refuse = || Error::Brackets(text(tokens));
    let open = tokens.iter().position(|t| t.is_sign('(')).ok_or_else(refuse)?;
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        depth = step(depth, token).ok_or_else(refuse)?;
        if depth == 0 {
            return Ok((&tokens[..open], &tokens[open + 1..i], &tokens[i + 1..]));
        }
    }
    Err(refuse())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, String)> {
        tokenize(text).unwrap().into_iter().filter(|t| t.kind != Kind::Blank).map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn joining_the_tokens_gives_the_text_back() {
        let script =
            "CREATE TABLE \"a\"\"b\".t (k int) -- c; ' \n WITH comment = 'it''s; \"x\"' AND x = 0.1 /* ; */; $$a'b$$ é";
        assert_eq!(text(&tokenize(script).unwrap()), script);
    }

    #[test]
    fn separators_inside_strings_identifiers_and_comments_do_not_separate() {
        let script = tokenize("a ';' \"x;y\" /* ; */ -- ; \n b; $$;$$").unwrap();
        assert_eq!(statements(script).len(), 2);
    }

    #[test]
    fn names_are_folded_and_unquoted() {
        let tokens = tokenize("Abc \"A\"\"b\"").unwrap();
        assert_eq!(tokens[0].name().unwrap(), "abc");
        assert_eq!(tokens[2].name().unwrap(), "A\"b");
    }

    #[test]
    fn uuids_and_numbers_are_one_token() {
        assert_eq!(kinds("6ba7b810-9dad-11d1-80b4-00c04fd430c8").len(), 1);
        assert_eq!(kinds("0.01 1e-5 86400").len(), 3);
    }

    #[test]
    fn text_without_an_end_is_refused_with_its_offset() {
        assert_eq!(tokenize("a 'b"), Err(Error::Open { what: "string", offset: 2 }));
        assert_eq!(tokenize("\"b\"\""), Err(Error::Open { what: "identifier", offset: 0 }));
        assert_eq!(tokenize("/* x"), Err(Error::Open { what: "comment", offset: 0 }));
    }

    #[test]
    fn lists_are_cut_outside_brackets_only() {
        let tokens = tokenize("a map<int, text>, PRIMARY KEY (a, b)").unwrap();
        assert_eq!(split_top(&tokens, |t| t.is_sign(',')).unwrap().len(), 2);
        assert!(split_top(&tokenize("a ) (").unwrap(), |t| t.is_sign(',')).is_err());
    }
}
