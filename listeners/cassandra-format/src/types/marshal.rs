//! Marshal notation, as in an SSTable's serialisation header: class names with parameters.

use super::CqlType;
use super::scan::{ParseError, Scanner};

/// Package of Cassandra's own types; omitted in some places.
const PACKAGE: &str = "org.apache.cassandra.db.marshal.";

/// A type in marshal notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarshalType {
    /// The type without the reversal.
    pub cql_type: CqlType,
    /// True for `ReversedType(…)`.
    pub reversed: bool,
}

impl MarshalType {
    /// Parses marshal notation, with or without the package: `ReversedType(Int32Type)`, `FrozenType(…)`,
    /// `UserType(ks,hex name,hex field:type,…)`, `VectorType(FloatType , 4)`. Composite and unknown classes become
    /// [`CqlType::Custom`] with their whole text.
    ///
    /// # Errors
    /// [`ParseError`] for malformed text and nesting deeper than 32.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut scanner = Scanner::new(text);
        let parsed = parse(&mut scanner)?;
        scanner.end()?;
        Ok(parsed)
    }

    /// Parses a partition key's type: the components of `CompositeType(…)`, or the single type.
    ///
    /// # Errors
    /// As [`MarshalType::parse`].
    pub fn parse_key(text: &str) -> Result<Vec<CqlType>, ParseError> {
        let mut scanner = Scanner::new(text);
        let name = scanner.word(is_class)?;
        if strip(name) != "CompositeType" {
            return Ok(vec![Self::parse(text)?.cql_type]);
        }
        scanner.expect('(')?;
        let mut components = vec![parse(&mut scanner)?.cql_type.freeze()];
        while scanner.eat(',') {
            components.push(parse(&mut scanner)?.cql_type.freeze());
        }
        scanner.expect(')')?;
        scanner.end()?;
        Ok(components)
    }
}

impl CqlType {
    /// Parses marshal notation; returns the type and whether it is reversed. See [`MarshalType::parse`].
    ///
    /// # Errors
    /// As [`MarshalType::parse`].
    pub fn parse_marshal(text: &str) -> Result<(Self, bool), ParseError> {
        MarshalType::parse(text).map(|parsed| (parsed.cql_type, parsed.reversed))
    }
}

/// Fixed lengths of Cassandra's classes that have no CQL type of their own.
pub(super) fn fixed_length_of_class(class: &str) -> Option<usize> {
    match class.strip_prefix(PACKAGE)? {
        "LexicalUUIDType" | "LegacyTimeUUIDType" => Some(16),
        "DateType" => Some(8),
        _ => None,
    }
}

fn is_class(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '&' | '$')
}

fn strip(name: &str) -> &str {
    name.strip_prefix(PACKAGE).unwrap_or(name)
}

fn parse(s: &mut Scanner<'_>) -> Result<MarshalType, ParseError> {
    s.skip_spaces();
    let start = s.position();
    let name = strip(s.word(is_class)?);
    if let Some(native) = native(name) {
        // Some natives are printed with empty parentheses by old versions.
        if s.eat('(') {
            s.expect(')')?;
        }
        return Ok(plain(native));
    }
    s.nested(|s| parameterised(s, name, start))
}

fn plain(cql_type: CqlType) -> MarshalType {
    MarshalType { cql_type, reversed: false }
}

fn parameterised(s: &mut Scanner<'_>, name: &str, start: usize) -> Result<MarshalType, ParseError> {
    if name == "ReversedType" {
        s.expect('(')?;
        let base = parse(s)?;
        s.expect(')')?;
        return Ok(MarshalType { reversed: !base.reversed, ..base });
    }
    let known: fn(&mut Scanner<'_>) -> Result<CqlType, ParseError> = match name {
        "FrozenType" => |s| inner(s).map(|frozen| *frozen),
        "ListType" => |s| Ok(CqlType::List { element: inner(s)?, frozen: false }),
        "SetType" => |s| Ok(CqlType::Set { element: inner(s)?, frozen: false }),
        "MapType" => map,
        "TupleType" => |s| elements(s).map(CqlType::Tuple),
        "UserType" => user_type,
        "VectorType" => vector,
        _ => return custom(s, name, start).map(plain),
    };
    s.expect('(')?;
    let parsed = known(s)?;
    s.expect(')')?;
    Ok(plain(parsed))
}

fn inner(s: &mut Scanner<'_>) -> Result<Box<CqlType>, ParseError> {
    Ok(Box::new(parse(s)?.cql_type.freeze()))
}

fn map(s: &mut Scanner<'_>) -> Result<CqlType, ParseError> {
    let key = inner(s)?;
    s.expect(',')?;
    Ok(CqlType::Map { key, value: inner(s)?, frozen: false })
}

fn elements(s: &mut Scanner<'_>) -> Result<Vec<CqlType>, ParseError> {
    let mut elements = vec![*inner(s)?];
    while s.eat(',') {
        elements.push(*inner(s)?);
    }
    Ok(elements)
}

fn vector(s: &mut Scanner<'_>) -> Result<CqlType, ParseError> {
    let element = inner(s)?;
    s.expect(',')?;
    Ok(CqlType::Vector { element, dimensions: s.number()? })
}

fn user_type(s: &mut Scanner<'_>) -> Result<CqlType, ParseError> {
    let keyspace = s.word(|c| c.is_ascii_alphanumeric() || c == '_')?.to_owned();
    s.expect(',')?;
    let name = hex_name(s)?;
    let mut fields = Vec::new();
    while s.eat(',') {
        let field = hex_name(s)?;
        s.expect(':')?;
        fields.push((field, *inner(s)?));
    }
    Ok(CqlType::Udt { keyspace, name, fields, frozen: false })
}

fn hex_name(s: &mut Scanner<'_>) -> Result<String, ParseError> {
    let digits = s.word(|c| c.is_ascii_hexdigit())?.as_bytes();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(hex_byte).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| s.error("expected a name in hexadecimal"))
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let digit = |d: u8| char::from(d).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// Keeps the whole text of a class that has no CQL type, with the package made explicit.
fn custom(s: &mut Scanner<'_>, name: &str, start: usize) -> Result<CqlType, ParseError> {
    skip_parameters(s)?;
    let text = s.since(start).trim_end();
    let ours = text.starts_with(PACKAGE) || name.contains('.');
    Ok(CqlType::Custom(if ours { text.to_owned() } else { format!("{PACKAGE}{text}") }))
}

fn skip_parameters(s: &mut Scanner<'_>) -> Result<(), ParseError> {
    let mut open = 0_usize;
    loop {
        if s.eat('(') {
            open += 1;
        } else if open == 0 {
            return Ok(());
        } else if s.eat(')') {
            open -= 1;
            if open == 0 {
                return Ok(());
            }
        } else {
            s.word(|c| c != '(' && c != ')')?;
        }
    }
}

fn native(name: &str) -> Option<CqlType> {
    Some(match name {
        "AsciiType" => CqlType::Ascii,
        "BooleanType" => CqlType::Boolean,
        "ByteType" => CqlType::TinyInt,
        "BytesType" => CqlType::Blob,
        "CounterColumnType" => CqlType::Counter,
        "DecimalType" => CqlType::Decimal,
        "DoubleType" => CqlType::Double,
        "DurationType" => CqlType::Duration,
        "EmptyType" => CqlType::Empty,
        "FloatType" => CqlType::Float,
        "InetAddressType" => CqlType::Inet,
        "Int32Type" => CqlType::Int,
        "IntegerType" => CqlType::VarInt,
        "LongType" => CqlType::BigInt,
        "ShortType" => CqlType::SmallInt,
        "SimpleDateType" => CqlType::Date,
        "TimeType" => CqlType::Time,
        "TimeUUIDType" => CqlType::TimeUuid,
        "TimestampType" => CqlType::Timestamp,
        "UTF8Type" => CqlType::Text,
        "UUIDType" => CqlType::Uuid,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> CqlType {
        CqlType::parse_marshal(text).unwrap().0
    }

    #[test]
    fn both_notations_give_equal_types() {
        let point = |frozen| CqlType::Udt {
            keyspace: "ks".into(),
            name: "point".into(),
            fields: vec![("x".into(), CqlType::Int), ("ys".into(), parse("FrozenType(ListType(UTF8Type))"))],
            frozen,
        };
        let marshal = "org.apache.cassandra.db.marshal.UserType(ks,706f696e74,78:org.apache.cassandra.db.marshal.Int32Type,\
                       7973:org.apache.cassandra.db.marshal.FrozenType(org.apache.cassandra.db.marshal.ListType(\
                       org.apache.cassandra.db.marshal.UTF8Type)))";
        assert_eq!(parse(marshal), point(false));
        let map =
            format!("org.apache.cassandra.db.marshal.MapType(org.apache.cassandra.db.marshal.UTF8Type,{marshal})");
        let cql = CqlType::parse_cql("map<text, frozen<point>>", &|_| Some(point(false))).unwrap();
        assert_eq!(parse(&map), cql);
    }

    #[test]
    fn reversal_is_told_apart_from_the_type() {
        assert_eq!(CqlType::parse_marshal("ReversedType(LongType)"), Ok((CqlType::BigInt, true)));
        assert_eq!(CqlType::parse_marshal("LongType"), Ok((CqlType::BigInt, false)));
    }

    #[test]
    fn vectors_are_written_with_spaces() {
        let vector = parse("org.apache.cassandra.db.marshal.VectorType(org.apache.cassandra.db.marshal.FloatType , 4)");
        assert_eq!(vector, CqlType::Vector { element: Box::new(CqlType::Float), dimensions: 4 });
    }

    #[test]
    fn composite_keys_have_components_and_other_composites_are_kept_whole() {
        let text = "org.apache.cassandra.db.marshal.CompositeType(org.apache.cassandra.db.marshal.UTF8Type,Int32Type)";
        assert_eq!(MarshalType::parse_key(text), Ok(vec![CqlType::Text, CqlType::Int]));
        assert_eq!(MarshalType::parse_key("UUIDType"), Ok(vec![CqlType::Uuid]));
        assert_eq!(parse(text), CqlType::Custom(text.into()));
        let dynamic = "DynamicCompositeType(a=>UTF8Type,b=>ReversedType(LongType))";
        assert_eq!(parse(dynamic), CqlType::Custom(format!("{PACKAGE}{dynamic}")));
    }

    #[test]
    fn legacy_classes_keep_their_lengths() {
        assert_eq!(parse("DateType").fixed_length(), Some(8));
        assert_eq!(parse("LexicalUUIDType").fixed_length(), Some(16));
        assert_eq!(parse("com.example.DateType").fixed_length(), None);
    }

    #[test]
    fn malformed_and_hostile_text_is_refused() {
        let deep = format!("{}Int32Type{}", "ListType(".repeat(10_000), ")".repeat(10_000));
        for text in [
            "",
            "ListType(",
            "ListType(Int32Type",
            "UserType(ks,7,78:Int32Type)",
            "Odd((x)",
            "MapType(Int32Type)",
            &deep,
        ] {
            assert!(CqlType::parse_marshal(text).is_err(), "{text:.40}");
        }
    }
}
