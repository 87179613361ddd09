//! The key of a document: its `_id`, as bytes that order as the server's simple comparison does.
//!
//! The order is that of MongoDB's "Comparison/Sort Order": by class of type (numbers of all types are one class, and so
//! are texts and symbols), then by value: numbers by their exact value, texts byte by byte, binaries by length, subtype
//! and bytes, documents field by field by class, name and value. Two `_id`s that a server takes for equal and that are
//! other bytes (1 and 1.0) are two keys, one behind the other: a document's `_id` never changes, so that its bytes tell
//! it from all others. A collection's collation changes the order in its index, not here.

mod number;
mod text;

use std::fmt;

use tidemark_catalog::{keys::Key, opaque::Opaque};

use crate::raw::{self, Element, MAX_DEPTH, kind};

/// An `_id`: type and bytes, as the source has them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id {
    /// Type byte.
    pub kind: u8,
    /// Bytes of the value.
    pub value: Vec<u8>,
}

/// Why a document has no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has no `_id`.
    #[error("a document without _id")]
    None,
    /// It is no document.
    #[error("a document is damaged")]
    Damaged(#[from] raw::Error),
}

impl Id {
    /// The `_id` of a document.
    ///
    /// # Errors
    /// [`Error`].
    pub fn of(document: &[u8]) -> Result<Self, Error> {
        raw::find(document, "_id")?.map(Self::from).ok_or(Error::None)
    }

    /// The `_id` in the bytes of [`Self::to_bytes`]; `None` where there are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, value) = bytes.split_first()?;
        Some(Self { kind: *kind, value: value.to_vec() })
    }

    /// Type byte and value, one after another.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[self.kind][..], &self.value].concat()
    }

    /// As an element called `name`.
    pub fn element<'a>(&'a self, name: &'a str) -> Element<'a> {
        Element { kind: self.kind, name: name.as_bytes(), value: &self.value }
    }

    /// The bytes that order as the server orders, then by type and value.
    ///
    /// # Errors
    /// [`raw::Error`] where a document in it is damaged or too deep.
    pub fn sort_bytes(&self) -> Result<Vec<u8>, raw::Error> {
        let mut out = Vec::with_capacity(self.value.len() + 4);
        encode(self.kind, &self.value, &mut out, 0)?;
        out.push(self.kind);
        if loses(self.kind) {
            out.extend_from_slice(&self.value);
        }
        Ok(out)
    }

    /// The key of segments, with its text for people.
    ///
    /// # Errors
    /// As [`Self::sort_bytes`].
    pub fn key(&self) -> Result<Key, raw::Error> {
        Ok(Key { bytes: Opaque::new(self.sort_bytes()?), text: self.to_string() })
    }
}

impl From<Element<'_>> for Id {
    fn from(element: Element<'_>) -> Self {
        Self { kind: element.kind, value: element.value.to_vec() }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::of(self.kind, &self.value))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({:#04x} {self})", self.kind)
    }
}

/// True of a type of which values that are other bytes can be equal.
fn loses(kind: u8) -> bool {
    matches!(
        kind,
        kind::DOUBLE | kind::DECIMAL128 | kind::DOCUMENT | kind::ARRAY | kind::CODE_WITH_SCOPE | kind::BOOLEAN
    )
}

/// The classes of types in their order; 0 is none, so that what ends is below what goes on.
fn class(kind: u8) -> u8 {
    match kind {
        kind::MIN_KEY => 1,
        kind::UNDEFINED => 2,
        kind::NULL => 5,
        kind::DOUBLE | kind::INT32 | kind::INT64 | kind::DECIMAL128 => 10,
        kind::STRING | kind::SYMBOL => 15,
        kind::DOCUMENT => 20,
        kind::ARRAY => 25,
        kind::BINARY => 30,
        kind::OBJECT_ID => 35,
        kind::BOOLEAN => 40,
        kind::DATE => 45,
        kind::TIMESTAMP => 47,
        kind::REGEX => 50,
        kind::DB_POINTER => 55,
        kind::CODE => 60,
        kind::CODE_WITH_SCOPE => 65,
        _ => 127,
    }
}

/// Appends what orders a value; none of two is the beginning of the other.
fn encode(kind: u8, value: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), raw::Error> {
    if depth > MAX_DEPTH {
        return Err(raw::Error::Depth);
    }
    out.push(class(kind));
    match kind {
        kind::DOUBLE | kind::INT32 | kind::INT64 | kind::DECIMAL128 => number::encode(kind, value, out),
        kind::STRING | kind::SYMBOL | kind::CODE => escaped(text_bytes(value), out),
        kind::DOCUMENT | kind::ARRAY => fields(value, out, depth)?,
        kind::CODE_WITH_SCOPE => {
            let (code, scope) = raw::scoped(value).ok_or(raw::Error::Length { at: 0, said: value.len() as i64 })?;
            escaped(text_bytes(code), out);
            fields(scope, out, depth)?;
        }
        kind::BINARY => binary(value, out),
        kind::DATE => {
            let flipped = value.try_into().map(|bytes| i64::from_le_bytes(bytes).cast_unsigned() ^ 1 << 63);
            out.extend_from_slice(&flipped.unwrap_or_default().to_be_bytes());
        }
        kind::TIMESTAMP => out.extend(value.iter().rev()),
        kind::BOOLEAN => out.push(u8::from(value.first().is_some_and(|byte| *byte != 0))),
        kind::DB_POINTER => {
            out.extend_from_slice(&(value.len() as u32).to_be_bytes());
            out.extend_from_slice(value);
        }
        _ => out.extend_from_slice(value),
    }
    Ok(())
}

/// A text's bytes, without its length and its last 0.
fn text_bytes(value: &[u8]) -> &[u8] {
    value.get(4..value.len().saturating_sub(1)).unwrap_or_default()
}

/// Bytes of any length, so that a shorter one is below what it begins: 0 becomes 0 and 255, and 0 0 ends.
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend([0, 0]);
}

fn fields(document: &[u8], out: &mut Vec<u8>, depth: usize) -> Result<(), raw::Error> {
    for element in raw::elements(document) {
        let element = element?;
        out.push(class(element.kind));
        out.extend_from_slice(element.name);
        out.push(0);
        encode(element.kind, element.value, out, depth + 1)?;
    }
    out.push(0);
    Ok(())
}

/// By length, then subtype, then bytes.
fn binary(value: &[u8], out: &mut Vec<u8>) {
    let (length, rest) = value.split_at(4.min(value.len()));
    out.extend(length.iter().rev());
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests;
