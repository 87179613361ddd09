//! BSON as bytes: documents are taken apart and put together without any value being decoded, so that what is not
//! understood comes back as it was. Format: <https://bsonspec.org/spec.html>, version 1.1.
//!
//! Nothing here recurses deeper than [`MAX_DEPTH`] or reads beyond its bytes, whatever the bytes are.

/// Type bytes of elements.
pub mod kind {
    /// IEEE 754, 8 bytes.
    pub const DOUBLE: u8 = 0x01;
    /// UTF-8 text.
    pub const STRING: u8 = 0x02;
    /// Embedded document.
    pub const DOCUMENT: u8 = 0x03;
    /// Array: a document whose names are its indexes.
    pub const ARRAY: u8 = 0x04;
    /// Bytes with a subtype.
    pub const BINARY: u8 = 0x05;
    /// Deprecated.
    pub const UNDEFINED: u8 = 0x06;
    /// 12 bytes.
    pub const OBJECT_ID: u8 = 0x07;
    /// One byte.
    pub const BOOLEAN: u8 = 0x08;
    /// ms since 1970, signed.
    pub const DATE: u8 = 0x09;
    /// Nothing.
    pub const NULL: u8 = 0x0A;
    /// Two texts ended by 0.
    pub const REGEX: u8 = 0x0B;
    /// Deprecated.
    pub const DB_POINTER: u8 = 0x0C;
    /// Text of code.
    pub const CODE: u8 = 0x0D;
    /// Deprecated text.
    pub const SYMBOL: u8 = 0x0E;
    /// Code with a document.
    pub const CODE_WITH_SCOPE: u8 = 0x0F;
    /// 4 bytes.
    pub const INT32: u8 = 0x10;
    /// Increment and seconds.
    pub const TIMESTAMP: u8 = 0x11;
    /// 8 bytes.
    pub const INT64: u8 = 0x12;
    /// IEEE 754-2008 decimal128 in its binary encoding.
    pub const DECIMAL128: u8 = 0x13;
    /// Below everything.
    pub const MIN_KEY: u8 = 0xFF;
    /// Above everything.
    pub const MAX_KEY: u8 = 0x7F;
}

/// Levels of documents within documents that are followed; a server takes 200.
pub const MAX_DEPTH: usize = 200;

/// Largest document, bytes: a server's 16 MiB for users and what it adds by itself.
pub const MAX_BYTES: usize = (16 << 20) + (16 << 10);

/// Smallest document: its length and the 0 at its end.
const LEAST: usize = 5;

/// Why bytes are no document. Offsets count from the document's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes, or more, than a length says.
    #[error("a length of {said} does not fit at offset {at}")]
    Length {
        /// Where.
        at: usize,
        /// What the length is.
        said: i64,
    },
    /// A byte that ends something is not 0.
    #[error("what should end at offset {at} does not")]
    End {
        /// Where.
        at: usize,
    },
    /// A type that BSON does not have.
    #[error("type {kind:#04x} at offset {at} is none of BSON's")]
    Kind {
        /// Where.
        at: usize,
        /// The byte.
        kind: u8,
    },
    /// Documents within documents without end.
    #[error("more than {MAX_DEPTH} levels of documents")]
    Depth,
}

/// An element of a document: borrowed, undecoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Type byte, of [`kind`].
    pub kind: u8,
    /// Name without its 0; of any bytes but 0.
    pub name: &'a [u8],
    /// Bytes of the value.
    pub value: &'a [u8],
}

impl<'a> Element<'a> {
    /// The bytes of the document or array that it is.
    pub fn document(&self) -> Option<&'a [u8]> {
        matches!(self.kind, kind::DOCUMENT | kind::ARRAY).then_some(self.value)
    }

    /// The text that it is.
    pub fn text(&self) -> Option<&'a str> {
        let text = (self.kind == kind::STRING).then(|| self.value.get(4..self.value.len() - 1)).flatten()?;
        std::str::from_utf8(text).ok()
    }

    /// The whole number that it is, of any type that holds one.
    pub fn whole(&self) -> Option<i64> {
        match self.kind {
            kind::INT32 => Some(i32::from_le_bytes(self.value.try_into().ok()?).into()),
            kind::INT64 => Some(i64::from_le_bytes(self.value.try_into().ok()?)),
            _ => None,
        }
    }

    /// The timestamp that it is: seconds in the upper half, increment in the lower.
    pub fn timestamp(&self) -> Option<u64> {
        (self.kind == kind::TIMESTAMP).then(|| Some(u64::from_le_bytes(self.value.try_into().ok()?))).flatten()
    }

    /// The bytes of the binary that it is, without its subtype.
    pub fn binary(&self) -> Option<&'a [u8]> {
        (self.kind == kind::BINARY).then(|| self.value.get(5..)).flatten()
    }
}

/// The elements of a document, in order; ends after the first error.
pub fn elements(document: &[u8]) -> Elements<'_> {
    let checked = whole(document);
    Elements { document, at: 4, failed: checked.err(), over: false }
}

/// Checks the length and the end of a document.
fn whole(document: &[u8]) -> Result<(), Error> {
    let said = document.get(..4).and_then(|head| Some(i32::from_le_bytes(head.try_into().ok()?)));
    let said = said.ok_or(Error::Length { at: 0, said: document.len() as i64 })?;
    if document.len() < LEAST || usize::try_from(said) != Ok(document.len()) {
        return Err(Error::Length { at: 0, said: said.into() });
    }
    if document[document.len() - 1] == 0 { Ok(()) } else { Err(Error::End { at: document.len() - 1 }) }
}

/// See [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    document: &'a [u8],
    at: usize,
    failed: Option<Error>,
    over: bool,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        if let Some(error) = self.failed.take() {
            self.over = true;
            return Some(Err(error));
        }
        if self.at == self.document.len() - 1 {
            self.over = true;
            return None;
        }
        let element = self.element();
        self.over = element.is_err();
        Some(element)
    }
}

impl<'a> Elements<'a> {
    fn element(&mut self) -> Result<Element<'a>, Error> {
        let (start, end) = (self.at, self.document.len() - 1);
        let kind = self.document[start];
        let name_len = c_string(&self.document[start + 1..end]).ok_or(Error::End { at: end })?;
        let value_at = start + 1 + name_len + 1;
        let len = value_len(kind, &self.document[value_at..end], value_at)?;
        self.at = value_at + len;
        let (name, value) = (&self.document[start + 1..start + 1 + name_len], &self.document[value_at..self.at]);
        Ok(Element { kind, name, value })
    }
}

/// Bytes before the first 0.
fn c_string(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == 0)
}

/// Bytes of the value that `rest` begins with.
fn value_len(kind: u8, rest: &[u8], at: usize) -> Result<usize, Error> {
    let fixed = |len: usize| if len <= rest.len() { Ok(len) } else { Err(Error::Length { at, said: len as i64 }) };
    match kind {
        kind::UNDEFINED | kind::NULL | kind::MIN_KEY | kind::MAX_KEY => Ok(0),
        kind::BOOLEAN => fixed(1),
        kind::INT32 => fixed(4),
        kind::DOUBLE | kind::DATE | kind::TIMESTAMP | kind::INT64 => fixed(8),
        kind::OBJECT_ID => fixed(12),
        kind::DECIMAL128 => fixed(16),
        kind::STRING | kind::CODE | kind::SYMBOL => text_len(rest, at),
        kind::DB_POINTER => fixed(text_len(rest, at)? + 12),
        kind::DOCUMENT | kind::ARRAY => said_len(rest, at, 0, LEAST),
        kind::CODE_WITH_SCOPE => scoped_len(rest, at),
        kind::BINARY => said_len(rest, at, 5, 0),
        kind::REGEX => {
            let pattern = c_string(rest).ok_or(Error::End { at })? + 1;
            Ok(pattern + c_string(&rest[pattern..]).ok_or(Error::End { at })? + 1)
        }
        _ => Err(Error::Kind { at: at.saturating_sub(1), kind }),
    }
}

/// A length in front, which counts all but `more` bytes and is at least `least`.
fn said_len(rest: &[u8], at: usize, more: usize, least: usize) -> Result<usize, Error> {
    let head = rest.get(..4).and_then(|head| Some(i32::from_le_bytes(head.try_into().ok()?)));
    let said = head.ok_or(Error::Length { at, said: 4 })?;
    let len = usize::try_from(said).ok().filter(|len| *len >= least).and_then(|len| len.checked_add(more));
    len.filter(|len| *len <= rest.len()).ok_or(Error::Length { at, said: said.into() })
}

fn text_len(rest: &[u8], at: usize) -> Result<usize, Error> {
    let len = said_len(rest, at, 4, 1)?;
    if rest[len - 1] == 0 { Ok(len) } else { Err(Error::End { at: at + len - 1 }) }
}

fn scoped_len(rest: &[u8], at: usize) -> Result<usize, Error> {
    let len = said_len(rest, at, 0, 4 + LEAST + LEAST)?;
    let code = text_len(&rest[4..len], at + 4)?;
    let scope = said_len(&rest[4 + code..len], at + 4 + code, 0, LEAST)?;
    if 4 + code + scope == len { Ok(len) } else { Err(Error::Length { at, said: len as i64 }) }
}

/// The parts of a code with scope: the text's value, and the document.
pub fn scoped(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let code = text_len(value.get(4..)?, 4).ok()?;
    Some((value.get(4..4 + code)?, value.get(4 + code..)?))
}

/// Proves that bytes are one document, through all its levels.
///
/// # Errors
/// [`Error`], the first in the order of the bytes within their level.
pub fn check(document: &[u8]) -> Result<(), Error> {
    let mut open = vec![elements(document)];
    while let Some(level) = open.last_mut() {
        match level.next() {
            None => drop(open.pop()),
            Some(element) => {
                let element = element?;
                let scope = if element.kind == kind::CODE_WITH_SCOPE {
                    scoped(element.value).map(|(_, scope)| scope)
                } else {
                    None
                };
                if let Some(inner) = element.document().or(scope) {
                    if open.len() >= MAX_DEPTH {
                        return Err(Error::Depth);
                    }
                    open.push(elements(inner));
                }
            }
        }
    }
    Ok(())
}

/// The first element of this name.
///
/// # Errors
/// [`Error`] where the document is damaged before it.
pub fn find<'a>(document: &'a [u8], name: &str) -> Result<Option<Element<'a>>, Error> {
    elements(document).find(|element| element.as_ref().map_or(true, |e| e.name == name.as_bytes())).transpose()
}

/// The documents that follow each other in `bytes`, as files of dumps have them; ends after the first error.
pub fn documents(mut bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], Error>> {
    let (mut at, mut over) = (0, false);
    std::iter::from_fn(move || {
        if over || bytes.is_empty() {
            return None;
        }
        let len = said_len(bytes, at, 0, LEAST);
        over = len.is_err();
        Some(len.map(|len| {
            let (document, rest) = bytes.split_at(len);
            (bytes, at) = (rest, at + len);
            document
        }))
    })
}

/// Puts a document together.
#[derive(Clone, Debug)]
pub struct Builder(Vec<u8>);

impl Default for Builder {
    fn default() -> Self {
        Self(vec![0; 4])
    }
}

impl Builder {
    /// Adds an element at the end. `name` holds no 0.
    #[must_use]
    pub fn with(mut self, kind: u8, name: &[u8], value: &[u8]) -> Self {
        self.push(Element { kind, name, value });
        self
    }

    /// Adds an element at the end.
    pub fn push(&mut self, element: Element<'_>) {
        self.0.push(element.kind);
        self.0.extend_from_slice(element.name);
        self.0.push(0);
        self.0.extend_from_slice(element.value);
    }

    /// Adds a text at the end.
    #[must_use]
    pub fn text(self, name: &str, text: &str) -> Self {
        let len = i32::try_from(text.len() + 1).unwrap_or(i32::MAX).to_le_bytes();
        let value = [&len[..], text.as_bytes(), &[0]].concat();
        self.with(kind::STRING, name.as_bytes(), &value)
    }

    /// Adds a whole number at the end.
    #[must_use]
    pub fn int(self, name: &str, number: i32) -> Self {
        self.with(kind::INT32, name.as_bytes(), &number.to_le_bytes())
    }

    /// Adds a truth at the end.
    #[must_use]
    pub fn truth(self, name: &str, truth: bool) -> Self {
        self.with(kind::BOOLEAN, name.as_bytes(), &[u8::from(truth)])
    }

    /// Adds a document at the end.
    #[must_use]
    pub fn document(self, name: &str, document: &[u8]) -> Self {
        self.with(kind::DOCUMENT, name.as_bytes(), document)
    }

    /// Adds an array of these documents at the end.
    #[must_use]
    pub fn documents<'a>(self, name: &str, documents: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut array = Self::default();
        for (index, value) in documents.into_iter().enumerate() {
            array.push(Element { kind: kind::DOCUMENT, name: index.to_string().as_bytes(), value });
        }
        self.with(kind::ARRAY, name.as_bytes(), &array.finish())
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.0.len() + 1
    }

    /// True where it holds no element.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 4
    }

    /// The document.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(0);
        let len = i32::try_from(self.0.len()).unwrap_or(i32::MAX);
        self.0[..4].copy_from_slice(&len.to_le_bytes());
        self.0
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
