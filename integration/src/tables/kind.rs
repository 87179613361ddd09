//! CQL types as the generator knows them.

use std::fmt;

/// A CQL type. Collections and user-defined types are of several cells unless inside [`Kind::Frozen`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ascii`
    Ascii,
    /// `bigint`
    BigInt,
    /// `blob`
    Blob,
    /// `boolean`
    Boolean,
    /// `date`
    Date,
    /// `decimal`
    Decimal,
    /// `double`
    Double,
    /// `duration`
    Duration,
    /// `float`
    Float,
    /// `inet`
    Inet,
    /// `int`
    Int,
    /// `smallint`
    SmallInt,
    /// `text`
    Text,
    /// `time`
    Time,
    /// `timestamp`
    Timestamp,
    /// `timeuuid`
    TimeUuid,
    /// `tinyint`
    TinyInt,
    /// `uuid`
    Uuid,
    /// `varchar`, another name of `text`
    Varchar,
    /// `varint`
    VarInt,
    /// `list<T>`
    List(Box<Kind>),
    /// `set<T>`
    Set(Box<Kind>),
    /// `map<K, V>`
    Map(Box<Kind>, Box<Kind>),
    /// `tuple<…>`
    Tuple(Vec<Kind>),
    /// A user-defined type: name, fields.
    Udt(&'static str, Vec<(&'static str, Kind)>),
    /// `vector<T, n>`
    Vector(Box<Kind>, usize),
    /// `frozen<T>`
    Frozen(Box<Kind>),
}

impl Kind {
    /// `list<element>`
    pub fn list(element: Kind) -> Self {
        Self::List(Box::new(element))
    }

    /// `set<element>`
    pub fn set(element: Kind) -> Self {
        Self::Set(Box::new(element))
    }

    /// `map<key, value>`
    pub fn map(key: Kind, value: Kind) -> Self {
        Self::Map(Box::new(key), Box::new(value))
    }

    /// `vector<element, dimensions>`
    pub fn vector(element: Kind, dimensions: usize) -> Self {
        Self::Vector(Box::new(element), dimensions)
    }

    /// `frozen<self>`
    #[must_use]
    pub fn frozen(self) -> Self {
        Self::Frozen(Box::new(self))
    }

    /// True where a column of this type is several cells.
    pub fn is_multi_cell(&self) -> bool {
        matches!(self, Self::List(_) | Self::Set(_) | Self::Map(..) | Self::Udt(..))
    }

    /// True for vectors, also inside other types.
    pub fn has_vector(&self) -> bool {
        match self {
            Self::Vector(..) => true,
            Self::List(inner) | Self::Set(inner) | Self::Frozen(inner) => inner.has_vector(),
            Self::Map(key, value) => key.has_vector() || value.has_vector(),
            Self::Tuple(parts) => parts.iter().any(Self::has_vector),
            Self::Udt(_, fields) => fields.iter().any(|(_, kind)| kind.has_vector()),
            _ => false,
        }
    }

    /// Length of a value where all have the same and vectors pack them without lengths.
    pub(crate) fn fixed_length(&self) -> Option<usize> {
        match self {
            Self::Boolean => Some(1),
            Self::Int | Self::Float => Some(4),
            Self::BigInt | Self::Double | Self::Timestamp => Some(8),
            Self::Uuid | Self::TimeUuid => Some(16),
            _ => None,
        }
    }

    /// True where Cassandra takes a value of no bytes that is not null.
    pub(crate) fn may_be_empty(&self) -> bool {
        use Kind::{
            Ascii, BigInt, Blob, Boolean, Decimal, Double, Float, Inet, Int, Text, TimeUuid, Timestamp, Uuid, VarInt,
            Varchar,
        };
        matches!(
            self,
            Ascii
                | BigInt
                | Blob
                | Boolean
                | Decimal
                | Double
                | Float
                | Inet
                | Int
                | Text
                | TimeUuid
                | Timestamp
                | Uuid
                | VarInt
                | Varchar
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(element) => write!(f, "list<{element}>"),
            Self::Set(element) => write!(f, "set<{element}>"),
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Self::Vector(element, dimensions) => write!(f, "vector<{element}, {dimensions}>"),
            Self::Frozen(inner) => write!(f, "frozen<{inner}>"),
            Self::Udt(name, _) => f.write_str(name),
            Self::Tuple(parts) => {
                let parts: Vec<String> = parts.iter().map(Self::to_string).collect();
                write!(f, "tuple<{}>", parts.join(", "))
            }
            scalar => f.write_str(&format!("{scalar:?}").to_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_found_inside_other_types() {
        let vector = || Kind::vector(Kind::Float, 2);
        let holders = [Kind::map(Kind::Int, vector().frozen()), Kind::Udt("u", vec![("f", Kind::list(vector()))])];
        assert!(holders.iter().all(Kind::has_vector) && !Kind::list(Kind::Float).has_vector());
    }

    #[test]
    fn kinds_print_as_cql() {
        let kind = Kind::map(Kind::Text, Kind::list(Kind::TimeUuid).frozen());
        assert_eq!(kind.to_string(), "map<text, frozen<list<timeuuid>>>");
        assert_eq!(
            Kind::Tuple(vec![Kind::SmallInt, Kind::vector(Kind::Float, 3)]).to_string(),
            "tuple<smallint, vector<float, 3>>"
        );
    }
}
