//! User-defined types of a keyspace, resolved from the rows of `system_schema.types` in any order.

use std::collections::BTreeMap;

use super::{CqlType, ParseError};

/// A type with all it refers to holds no more types than this: references copy, so a hostile chain would double each time.
const MAX_SIZE: usize = 10_000;

/// A user-defined type as the schema tables have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserTypeDefinition {
    /// Name as stored.
    pub name: String,
    /// Field names as stored, in order.
    pub field_names: Vec<String>,
    /// Field types in CQL notation, one per name.
    pub field_types: Vec<String>,
}

/// Why a keyspace's user-defined types do not resolve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserTypeError {
    /// A field's type does not parse, or names a type that is not there.
    #[error("field {field:?} of user type {name:?}")]
    Field {
        /// The user type.
        name: String,
        /// The field.
        field: String,
        /// What is wrong with its type.
        source: ParseError,
    },
    /// The type contains itself.
    #[error("user type {name:?} contains itself")]
    Cycle {
        /// A type on the cycle.
        name: String,
    },
    /// Not as many field types as field names.
    #[error("user type {name:?} has {names} field names and {types} field types")]
    Fields {
        /// The user type.
        name: String,
        /// Number of names.
        names: usize,
        /// Number of types.
        types: usize,
    },
    /// The type, written out, is larger than any real one.
    #[error("user type {name:?} holds more than {MAX_SIZE} types")]
    TooLarge {
        /// The user type.
        name: String,
    },
}

/// The user-defined types of one keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserTypes {
    types: BTreeMap<String, CqlType>,
}

impl UserTypes {
    /// Resolves the definitions of `keyspace`, which may refer to one another in any order.
    ///
    /// # Errors
    /// [`UserTypeError`]: unknown or malformed field types, cycles, unequal numbers of names and types, exploding size.
    pub fn resolve(keyspace: &str, definitions: &[UserTypeDefinition]) -> Result<Self, UserTypeError> {
        let mut pending: Vec<&UserTypeDefinition> = definitions.iter().collect();
        let mut resolved = Self::default();
        while !pending.is_empty() {
            let ready = |d: &UserTypeDefinition| !refers_to_any(d, &pending);
            let Some(next) = pending.iter().position(|d| ready(d)) else {
                return Err(UserTypeError::Cycle { name: pending[0].name.clone() });
            };
            let definition = pending.swap_remove(next);
            let udt = resolved.resolve_one(keyspace, definition)?;
            resolved.types.insert(definition.name.clone(), udt);
        }
        Ok(resolved)
    }

    /// The type of that name, not frozen.
    pub fn get(&self, name: &str) -> Option<CqlType> {
        self.types.get(name).cloned()
    }

    /// Parses CQL notation with these types; see [`CqlType::parse_cql`].
    ///
    /// # Errors
    /// As [`CqlType::parse_cql`].
    pub fn parse(&self, text: &str) -> Result<CqlType, ParseError> {
        CqlType::parse_cql(text, &|name| self.get(name))
    }

    fn resolve_one(&self, keyspace: &str, definition: &UserTypeDefinition) -> Result<CqlType, UserTypeError> {
        let UserTypeDefinition { name, field_names, field_types } = definition;
        if field_names.len() != field_types.len() {
            let (names, types) = (field_names.len(), field_types.len());
            return Err(UserTypeError::Fields { name: name.clone(), names, types });
        }
        let mut fields = Vec::with_capacity(field_names.len());
        for (field, text) in field_names.iter().zip(field_types) {
            let error = |source| UserTypeError::Field { name: name.clone(), field: field.clone(), source };
            fields.push((field.clone(), self.parse(text).map_err(error)?.freeze()));
        }
        let udt = CqlType::Udt { keyspace: keyspace.to_owned(), name: name.clone(), fields, frozen: false };
        if udt.size() > MAX_SIZE { Err(UserTypeError::TooLarge { name: name.clone() }) } else { Ok(udt) }
    }
}

/// True while a field names a type that is still pending (itself included, which never resolves: a cycle).
fn refers_to_any(definition: &UserTypeDefinition, pending: &[&UserTypeDefinition]) -> bool {
    definition.field_types.iter().any(|text| {
        let found = std::cell::Cell::new(false);
        let lookup = |name: &str| {
            found.set(found.get() || pending.iter().any(|p| p.name == name));
            Some(CqlType::Empty)
        };
        // A malformed text refers to nothing; resolving it reports the error.
        CqlType::parse_cql(text, &lookup).is_ok() && found.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str, fields: &[(&str, &str)]) -> UserTypeDefinition {
        let (field_names, field_types) = fields.iter().map(|(n, t)| (n.to_string(), t.to_string())).unzip();
        UserTypeDefinition { name: name.into(), field_names, field_types }
    }

    #[test]
    fn types_resolve_in_any_order() {
        let outer = definition("outer", &[("a", "frozen<list<frozen<inner>>>"), ("b", "inner")]);
        let inner = definition("inner", &[("x", "int")]);
        let one = UserTypes::resolve("ks", &[outer.clone(), inner.clone()]).unwrap();
        assert_eq!(one, UserTypes::resolve("ks", &[inner, outer]).unwrap());
        let Some(CqlType::Udt { fields, frozen: false, .. }) = one.get("outer") else { panic!("a user type") };
        assert!(fields.iter().all(|(_, field)| !field.is_multi_cell()));
    }

    #[test]
    fn cycles_and_missing_types_are_refused() {
        let cycle = [definition("a", &[("b", "frozen<b>")]), definition("b", &[("a", "frozen<a>")])];
        assert!(matches!(UserTypes::resolve("ks", &cycle), Err(UserTypeError::Cycle { .. })));
        let missing = [definition("a", &[("b", "frozen<nowhere>")])];
        assert!(matches!(UserTypes::resolve("ks", &missing), Err(UserTypeError::Field { .. })));
    }

    #[test]
    fn doubling_chains_are_refused_before_they_fill_memory() {
        let mut chain = vec![definition("t0", &[("x", "int")])];
        for i in 1..64 {
            let below = format!("frozen<t{}>", i - 1);
            chain.push(definition(&format!("t{i}"), &[("a", &below), ("b", &below)]));
        }
        assert!(matches!(UserTypes::resolve("ks", &chain), Err(UserTypeError::TooLarge { .. })));
    }
}
