//! CQL types: parsing of CQL and marshal notation, user-defined types, fixed lengths.
//!
//! Frozenness is kept in one normal form: whatever stands inside another type is frozen, because it is part of one value
//! there, whether or not the notation says so. Thus types read from CQL text and from an SSTable's header compare equal.

mod cql;
mod marshal;
mod scan;
mod user;

pub use marshal::MarshalType;
pub use scan::ParseError;
pub use user::{UserTypeDefinition, UserTypeError, UserTypes};

/// A CQL type with frozenness where it matters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CqlType {
    /// `ascii`
    Ascii,
    /// `bigint`
    BigInt,
    /// `blob`
    Blob,
    /// `boolean`
    Boolean,
    /// `counter`
    Counter,
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
    /// `text` and `varchar`
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
    /// `varint`
    VarInt,
    /// `EmptyType` of compact tables: no bytes at all.
    Empty,
    /// `list<T>`
    List {
        /// Element type.
        element: Box<CqlType>,
        /// True where it is one value.
        frozen: bool,
    },
    /// `set<T>`
    Set {
        /// Element type.
        element: Box<CqlType>,
        /// True where it is one value.
        frozen: bool,
    },
    /// `map<K, V>`
    Map {
        /// Key type.
        key: Box<CqlType>,
        /// Value type.
        value: Box<CqlType>,
        /// True where it is one value.
        frozen: bool,
    },
    /// `tuple<…>`, always one value.
    Tuple(Vec<CqlType>),
    /// A user-defined type.
    Udt {
        /// Keyspace of the type.
        keyspace: String,
        /// Name of the type.
        name: String,
        /// Field names and types, in order.
        fields: Vec<(String, CqlType)>,
        /// True where it is one value.
        frozen: bool,
    },
    /// `vector<T, n>`
    Vector {
        /// Element type.
        element: Box<CqlType>,
        /// Number of elements.
        dimensions: u16,
    },
    /// A custom Java type, by class name; kept as bytes.
    Custom(String),
}

impl CqlType {
    /// True for columns of several cells: non-frozen collections and UDTs.
    pub fn is_multi_cell(&self) -> bool {
        matches!(
            self,
            Self::List { frozen: false, .. }
                | Self::Set { frozen: false, .. }
                | Self::Map { frozen: false, .. }
                | Self::Udt { frozen: false, .. }
        )
    }

    /// The type with the outermost level frozen: one value.
    pub fn freeze(mut self) -> Self {
        if let Self::List { frozen, .. }
        | Self::Set { frozen, .. }
        | Self::Map { frozen, .. }
        | Self::Udt { frozen, .. } = &mut self
        {
            *frozen = true;
        }
        self
    }

    /// Number of bytes of every non-empty value, for types that SSTables store without a length; `None` where a length
    /// precedes the value.
    ///
    /// This is Cassandra's `valueLengthIfFixed`: `tinyint`, `smallint`, `date`, `time` and `counter` are *not* fixed.
    pub fn fixed_length(&self) -> Option<usize> {
        match self {
            Self::Empty => Some(0),
            Self::Boolean => Some(1),
            Self::Int | Self::Float => Some(4),
            Self::BigInt | Self::Double | Self::Timestamp => Some(8),
            Self::Uuid | Self::TimeUuid => Some(16),
            // Saturating, because dimensions of nested vectors come from files: no value is that long.
            Self::Vector { element, dimensions } => {
                Some(element.fixed_length()?.saturating_mul(usize::from(*dimensions)))
            }
            Self::Custom(class) => marshal::fixed_length_of_class(class),
            _ => None,
        }
    }

    /// The comparator's type of a multi-cell column's paths; `None` where the column is one cell.
    pub fn path_type(&self) -> Option<&CqlType> {
        match self {
            Self::Set { element, frozen: false } => Some(element),
            Self::Map { key, frozen: false, .. } => Some(key),
            Self::List { frozen: false, .. } => Some(&Self::TimeUuid),
            Self::Udt { frozen: false, .. } => Some(&Self::SmallInt),
            _ => None,
        }
    }

    /// True where this crate knows Cassandra's order of the type's values: no class of its own, no counter within.
    pub fn is_comparable(&self) -> bool {
        match self {
            Self::Custom(_) | Self::Counter => false,
            Self::List { element, .. } | Self::Set { element, .. } | Self::Vector { element, .. } => {
                element.is_comparable()
            }
            Self::Map { key, value, .. } => key.is_comparable() && value.is_comparable(),
            Self::Tuple(elements) => elements.iter().all(Self::is_comparable),
            Self::Udt { fields, .. } => fields.iter().all(|(_, field)| field.is_comparable()),
            _ => true,
        }
    }

    /// True where bytes written as this type are values of `newer`, in the same order: equal types, but tuples and
    /// user-defined types may have got further fields, and fields and types may have been renamed.
    pub fn is_readable_as(&self, newer: &Self) -> bool {
        let same_frozenness = self.is_multi_cell() == newer.is_multi_cell();
        same_frozenness
            && match (self, newer) {
                (Self::List { element: a, .. }, Self::List { element: b, .. })
                | (Self::Set { element: a, .. }, Self::Set { element: b, .. }) => a.is_readable_as(b),
                (Self::Map { key: a, value: x, .. }, Self::Map { key: b, value: y, .. }) => {
                    a.is_readable_as(b) && x.is_readable_as(y)
                }
                (Self::Vector { element: a, dimensions: m }, Self::Vector { element: b, dimensions: n }) => {
                    m == n && a.is_readable_as(b)
                }
                (Self::Tuple(a), Self::Tuple(b)) => is_prefix(a.iter(), b.iter()),
                (Self::Udt { fields: a, .. }, Self::Udt { fields: b, .. }) => {
                    is_prefix(a.iter().map(|(_, field)| field), b.iter().map(|(_, field)| field))
                }
                (a, b) => a == b,
            }
    }

    /// Number of types in this one, itself included.
    fn size(&self) -> usize {
        let inner = match self {
            Self::List { element, .. } | Self::Set { element, .. } | Self::Vector { element, .. } => element.size(),
            Self::Map { key, value, .. } => key.size() + value.size(),
            Self::Tuple(elements) => elements.iter().map(Self::size).sum(),
            Self::Udt { fields, .. } => fields.iter().map(|(_, field)| field.size()).sum(),
            _ => 0,
        };
        inner + 1
    }
}

/// True where each type is readable as the one at its place, and none is missing.
fn is_prefix<'a>(
    ours: impl ExactSizeIterator<Item = &'a CqlType>,
    mut theirs: impl ExactSizeIterator<Item = &'a CqlType>,
) -> bool {
    ours.len() <= theirs.len() && ours.zip(theirs.by_ref()).all(|(a, b)| a.is_readable_as(b))
}
