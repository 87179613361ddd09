//! CQL types: parsing of CQL and marshal notation, comparison of serialised values, fixed lengths.

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
}
