//! Values that a server reads as others when they are bound as a whole.
//!
//! A bound collection is taken apart by the server into values of the element's type, and an `int` or `uuid` without bytes is
//! then no value at all: a list refuses it, a frozen list keeps a null. A literal with a call for each element,
//! `[blobAsInt(0x), blobAsInt(0x00000007)]`, is taken as it is; markers are not allowed there (`Lists.Literal.prepare` and the same
//! of sets and maps, 4.0 to 5.0). Collections of tuples, user-defined types and vectors have no such form.

use bytes::Bytes;
use tidemark_cassandra_format::types::CqlType;

use crate::restore::{
    values::raw::{self, Element},
    write::statements::rows::takes_empty,
};

/// A term of CQL without markers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) text: String,
}

/// The term that writes a value as it is; `None` where it can be bound as a whole.
///
/// # Errors
/// The type of an element without bytes that no form of CQL takes.
pub(super) fn apart<'t>(cql_type: &'t CqlType, value: &Bytes) -> Result<Option<Term>, &'t CqlType> {
    match children(cql_type, value) {
        Some(children) if children.iter().any(|(of, child)| is_odd(of, child)) => term(cql_type, value).map(Some),
        _ => Ok(None),
    }
}

/// The term for one element of a set, list or map, with brackets.
///
/// # Errors
/// As [`apart`].
pub(super) fn element<'t>(parts: &[(&'t CqlType, &Bytes)], [open, close]: [char; 2]) -> Result<Term, &'t CqlType> {
    let mut made = Term { text: open.to_string() };
    for (n, (of, value)) in parts.iter().enumerate() {
        made.text.push_str(if n > 0 { ": " } else { "" });
        made.add(of, value)?;
    }
    made.text.push(close);
    Ok(made)
}

/// True where an element without bytes, bound within its collection, is no value.
pub(super) fn is_odd(of: &CqlType, value: &Bytes) -> bool {
    value.is_empty() && !matches!(of, CqlType::Ascii | CqlType::Text | CqlType::Blob)
}

impl Term {
    fn add<'t>(&mut self, of: &'t CqlType, value: &Bytes) -> Result<(), &'t CqlType> {
        if value.is_empty() && !takes_empty(of) {
            return Err(of);
        }
        self.text.push_str(&literal(of, value)?);
        Ok(())
    }
}

/// A value of any bytes as text that CQL reads as these bytes.
fn literal<'t>(of: &'t CqlType, value: &Bytes) -> Result<String, &'t CqlType> {
    match of {
        CqlType::List { .. } | CqlType::Set { .. } | CqlType::Map { .. } => Ok(term(of, value)?.text),
        CqlType::Blob => Ok(format!("0x{}", hex::encode(value))),
        CqlType::Tuple(_) | CqlType::Udt { .. } | CqlType::Vector { .. } | CqlType::Empty | CqlType::Custom(_) => {
            Err(of)
        }
        // The old names of these functions are known to all releases: their case does not matter.
        native => Ok(format!("blobAs{native:?}(0x{})", hex::encode(value))),
    }
}

fn term<'t>(cql_type: &'t CqlType, value: &Bytes) -> Result<Term, &'t CqlType> {
    let (open, close) = if matches!(cql_type, CqlType::List { .. }) { ('[', ']') } else { ('{', '}') };
    let mut made = Term { text: open.to_string() };
    let is_map = matches!(cql_type, CqlType::Map { .. });
    for (n, (of, child)) in children(cql_type, value).unwrap_or_default().into_iter().enumerate() {
        let between = if is_map && n % 2 == 1 { ": " } else { ", " };
        made.text.push_str(if n > 0 { between } else { "" });
        made.add(of, &child)?;
    }
    made.text.push(close);
    Ok(made)
}

/// The elements of a collection, keys and values of a map in turn; `None` for other types, or where it is none.
fn children<'t>(cql_type: &'t CqlType, value: &Bytes) -> Option<Vec<(&'t CqlType, Bytes)>> {
    match cql_type {
        CqlType::List { element, .. } => {
            Some(raw::list(Some(value), None)?.into_iter().map(|e| (&**element, e.value)).collect())
        }
        CqlType::Set { element, .. } => {
            Some(raw::set(Some(value), None, None)?.into_iter().map(|e| (&**element, e.key)).collect())
        }
        CqlType::Map { key, value: of, .. } => {
            let entry = |e: Element| [(&**key, e.key), (&**of, e.value)];
            Some(raw::map(Some(value), None, None)?.into_iter().flat_map(entry).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(of: CqlType) -> CqlType {
        CqlType::List { element: Box::new(of), frozen: true }
    }

    fn packed(values: &[&[u8]]) -> Bytes {
        let sized = values.iter().flat_map(|v| [&(v.len() as u32).to_be_bytes()[..], v].concat());
        [&(values.len() as u32).to_be_bytes()[..], &sized.collect::<Vec<_>>()].concat().into()
    }

    #[test]
    fn only_elements_without_bytes_take_a_collection_apart() {
        let ints = list(CqlType::Int);
        assert_eq!(apart(&ints, &packed(&[&[0; 4]])), Ok(None));
        let made = apart(&ints, &packed(&[&[0], &[]])).unwrap().unwrap();
        assert_eq!(made.text, "[blobAsInt(0x00), blobAsInt(0x)]");
        assert_eq!(apart(&list(CqlType::Text), &packed(&[&[]])), Ok(None));
        assert_eq!(apart(&list(CqlType::SmallInt), &packed(&[&[]])), Err(&CqlType::SmallInt));
        assert_eq!(apart(&CqlType::Int, &Bytes::new()), Ok(None));
    }

    #[test]
    fn what_is_within_is_taken_apart_too() {
        let map = CqlType::Map { key: Box::new(CqlType::Int), value: Box::new(list(CqlType::Int)), frozen: true };
        let (odd, even) = (packed(&[&[]]), packed(&[&[0; 4]]));
        let value = [&2_u32.to_be_bytes()[..], &packed(&[&[], &odd, &[0; 4], &even])[4..]].concat();
        let made = apart(&map, &value.into()).unwrap().unwrap();
        assert_eq!(made.text, "{blobAsInt(0x): [blobAsInt(0x)], blobAsInt(0x00000000): [blobAsInt(0x00000000)]}");
    }

    #[test]
    fn one_element_has_its_brackets() {
        let made = element(&[(&CqlType::Int, &Bytes::new()), (&CqlType::Int, &Bytes::new())], ['{', '}']).unwrap();
        assert_eq!(made.text, "{blobAsInt(0x): blobAsInt(0x)}");
    }
}
