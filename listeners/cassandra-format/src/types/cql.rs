//! CQL notation, as in `system_schema.columns.type` and `system_schema.types.field_types`.

use super::scan::{ParseError, Scanner};
use super::{CqlType, MarshalType};

impl CqlType {
    /// Parses CQL notation: `frozen<list<text>>`, `map<text, frozen<address>>`, `"Quoted udt"`, `vector<float, 3>`,
    /// `'a.custom.Class'` (a class of Cassandra's own stands for its CQL type). `user_types` finds a UDT by its name as
    /// stored; see [`UserTypes`](super::UserTypes).
    ///
    /// # Errors
    /// [`ParseError`] for malformed text, names that are neither native nor found, and nesting deeper than 32.
    pub fn parse_cql(text: &str, user_types: &dyn Fn(&str) -> Option<CqlType>) -> Result<Self, ParseError> {
        let mut scanner = Scanner::new(text);
        let parsed = parse(&mut scanner, user_types)?;
        scanner.end()?;
        Ok(parsed)
    }
}

fn parse(s: &mut Scanner<'_>, user_types: &dyn Fn(&str) -> Option<CqlType>) -> Result<CqlType, ParseError> {
    if s.eat('\'') {
        let class = s.quoted('\'')?;
        return Ok(MarshalType::parse(&class)?.cql_type);
    }
    if s.eat('"') {
        let name = s.quoted('"')?;
        return user_type(s, &name, user_types);
    }
    let name = s.word(|c| c.is_ascii_alphanumeric() || c == '_')?.to_ascii_lowercase();
    if let Some(native) = native(&name) {
        return Ok(native);
    }
    if !s.eat('<') {
        return user_type(s, &name, user_types);
    }
    let parsed = s.nested(|s| parameterised(s, &name, user_types))?;
    s.expect('>')?;
    Ok(parsed)
}

fn parameterised(
    s: &mut Scanner<'_>,
    name: &str,
    user_types: &dyn Fn(&str) -> Option<CqlType>,
) -> Result<CqlType, ParseError> {
    let inner = |s: &mut Scanner<'_>| Ok::<_, ParseError>(Box::new(parse(s, user_types)?.freeze()));
    match name {
        "frozen" => Ok(*inner(s)?),
        "list" => Ok(CqlType::List { element: inner(s)?, frozen: false }),
        "set" => Ok(CqlType::Set { element: inner(s)?, frozen: false }),
        "map" => {
            let key = inner(s)?;
            s.expect(',')?;
            Ok(CqlType::Map { key, value: inner(s)?, frozen: false })
        }
        "tuple" => tuple(s, user_types),
        "vector" => {
            let element = inner(s)?;
            s.expect(',')?;
            Ok(CqlType::Vector { element, dimensions: s.number()? })
        }
        _ => Err(s.error(format!("{name} takes no parameters"))),
    }
}

fn tuple(s: &mut Scanner<'_>, user_types: &dyn Fn(&str) -> Option<CqlType>) -> Result<CqlType, ParseError> {
    let mut elements = vec![parse(s, user_types)?.freeze()];
    while s.eat(',') {
        elements.push(parse(s, user_types)?.freeze());
    }
    Ok(CqlType::Tuple(elements))
}

fn user_type(s: &Scanner<'_>, name: &str, user_types: &dyn Fn(&str) -> Option<CqlType>) -> Result<CqlType, ParseError> {
    user_types(name).ok_or_else(|| s.error(format!("unknown type {name:?}")))
}

fn native(name: &str) -> Option<CqlType> {
    Some(match name {
        "ascii" => CqlType::Ascii,
        "bigint" => CqlType::BigInt,
        "blob" => CqlType::Blob,
        "boolean" => CqlType::Boolean,
        "counter" => CqlType::Counter,
        "date" => CqlType::Date,
        "decimal" => CqlType::Decimal,
        "double" => CqlType::Double,
        "duration" => CqlType::Duration,
        "empty" => CqlType::Empty,
        "float" => CqlType::Float,
        "inet" => CqlType::Inet,
        "int" => CqlType::Int,
        "smallint" => CqlType::SmallInt,
        "text" | "varchar" => CqlType::Text,
        "time" => CqlType::Time,
        "timestamp" => CqlType::Timestamp,
        "timeuuid" => CqlType::TimeUuid,
        "tinyint" => CqlType::TinyInt,
        "uuid" => CqlType::Uuid,
        "varint" => CqlType::VarInt,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CqlType, ParseError> {
        CqlType::parse_cql(text, &|name| {
            (name == "address" || name == "My \"udt\"").then(|| CqlType::Udt {
                keyspace: "ks".into(),
                name: name.into(),
                fields: vec![("street".into(), CqlType::Text)],
                frozen: false,
            })
        })
    }

    fn list(element: CqlType, frozen: bool) -> CqlType {
        CqlType::List { element: Box::new(element), frozen }
    }

    #[test]
    fn what_stands_inside_another_type_is_frozen() {
        assert_eq!(parse("list<frozen<list<text>>>"), Ok(list(list(CqlType::Text, true), false)));
        assert_eq!(parse("frozen<list<list<text>>>"), Ok(list(list(CqlType::Text, true), true)));
        let CqlType::Tuple(elements) = parse("frozen<tuple<int, address>>").unwrap() else { panic!("a tuple") };
        assert!(!elements[1].is_multi_cell());
    }

    #[test]
    fn user_types_are_found_by_their_stored_name() {
        assert!(parse("address").unwrap().is_multi_cell());
        assert!(!parse("frozen<address>").unwrap().is_multi_cell());
        assert!(parse("map<text,frozen<\"My \"\"udt\"\"\">>").is_ok());
        assert!(parse("map<text, frozen<unknown>>").unwrap_err().reason.contains("unknown"));
    }

    #[test]
    fn vectors_and_quoted_classes_are_understood() {
        let vector = CqlType::Vector { element: Box::new(CqlType::Float), dimensions: 3 };
        assert_eq!(vector.fixed_length(), Some(12));
        assert_eq!(parse("vector<float, 3>"), Ok(vector));
        assert_eq!(parse("'org.apache.cassandra.db.marshal.Int32Type'"), Ok(CqlType::Int));
        assert_eq!(parse("'com.example.Mine(x)'"), Ok(CqlType::Custom("com.example.Mine(x)".into())));
    }

    #[test]
    fn malformed_and_hostile_text_is_refused() {
        for text in ["", "list<", "list<int", "list<int>>", "int<int>", "map<int>", "vector<float, 0>", "'x", "\"x"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("{}int{}", "list<".repeat(10_000), ">".repeat(10_000))).is_err());
    }
}
