//! Raw partition keys and their components.

use bytes::{BufMut, Bytes, BytesMut};

use crate::schema::TableSchema;

/// Why a partition key does not split or join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The raw key is not the table's number of components, each u16 length, bytes, 0x00.
    #[error("composite partition key of {length} bytes: malformed component {component} at byte {offset}")]
    Malformed {
        /// Length of the key.
        length: usize,
        /// The component, from 0.
        component: usize,
        /// Offset of the component.
        offset: usize,
    },
    /// Not as many components as the table has key columns.
    #[error("{given} components for a partition key of {expected} columns")]
    Count {
        /// Components given.
        given: usize,
        /// Columns of the key.
        expected: usize,
    },
    /// A component of a composite key is longer than 65,535 bytes.
    #[error("component {component} of the partition key has {length} bytes")]
    TooLong {
        /// The component, from 0.
        component: usize,
        /// Its length.
        length: usize,
    },
}

/// Splits a raw partition key into the values of the table's key columns, in order, without copying.
///
/// # Errors
/// [`Error::Malformed`] for composite keys that are not whole.
pub fn split(schema: &TableSchema, key: &Bytes) -> Result<Vec<Bytes>, Error> {
    let columns = schema.partition_key.len();
    if columns == 1 {
        return Ok(vec![key.clone()]);
    }
    let mut offset = 0;
    let mut components = Vec::with_capacity(columns);
    for component in 0..columns {
        let malformed = Error::Malformed { length: key.len(), component, offset };
        let end = component_end(key, offset).ok_or_else(|| malformed.clone())?;
        components.push(key.slice(offset + 2..end));
        offset = end + 1;
        if component + 1 == columns && offset != key.len() {
            return Err(malformed);
        }
    }
    Ok(components)
}

/// End of the component's bytes, where its 0x00 stands.
fn component_end(key: &[u8], offset: usize) -> Option<usize> {
    let length = key.get(offset..)?.first_chunk::<2>()?;
    let end = offset + 2 + usize::from(u16::from_be_bytes(*length));
    (key.get(end) == Some(&0)).then_some(end)
}

/// Joins the values of the table's key columns into a raw partition key.
///
/// # Errors
/// [`Error::Count`] and, for composite keys, [`Error::TooLong`].
pub fn join(schema: &TableSchema, components: &[Bytes]) -> Result<Bytes, Error> {
    let expected = schema.partition_key.len();
    match components {
        _ if components.len() != expected => Err(Error::Count { given: components.len(), expected }),
        [single] => Ok(single.clone()),
        _ => join_composite(components),
    }
}

fn join_composite(components: &[Bytes]) -> Result<Bytes, Error> {
    let mut key = BytesMut::with_capacity(components.iter().map(|value| value.len() + 3).sum());
    for (component, value) in components.iter().enumerate() {
        let length = u16::try_from(value.len()).map_err(|_| Error::TooLong { component, length: value.len() })?;
        key.put_u16(length);
        key.put_slice(value);
        key.put_u8(0);
    }
    Ok(key.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Column;
    use crate::types::CqlType;
    use proptest::prelude::*;

    fn schema(columns: usize) -> TableSchema {
        let column = |i| Column { name: format!("k{i}"), cql_type: CqlType::Blob, dropped_at: None };
        TableSchema {
            keyspace: "ks".into(),
            table: "t".into(),
            partition_key: (0..columns).map(column).collect(),
            clustering: vec![],
            statics: vec![],
            regulars: vec![],
            dropped: vec![],
        }
    }

    proptest! {
        #[test]
        fn joined_keys_split_into_their_components(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..4)) {
            let values: Vec<Bytes> = values.into_iter().map(Bytes::from).collect();
            let schema = schema(values.len());
            let key = join(&schema, &values).unwrap();
            prop_assert_eq!(split(&schema, &key), Ok(values));
        }

        #[test]
        fn any_bytes_split_or_are_refused(key in prop::collection::vec(0_u8..3, 0..12)) {
            let key = Bytes::from(key);
            if let Ok(values) = split(&schema(2), &key) {
                prop_assert_eq!(join(&schema(2), &values), Ok(key));
            }
        }
    }

    #[test]
    fn components_that_do_not_fit_are_refused() {
        assert!(matches!(join(&schema(2), &[Bytes::new()]), Err(Error::Count { given: 1, expected: 2 })));
        let long = Bytes::from(vec![0; 65_536]);
        assert!(matches!(join(&schema(2), &[long.clone(), long]), Err(Error::TooLong { component: 0, .. })));
    }
}
