//! The statements that write one table: texts with their markers, one set per table, prepared once.
//!
//! One UPDATE with every column serves each group of cells that share a write time and an expiry: columns outside the group
//! stay unset. Non-frozen collections are added to, never assigned: an assignment would leave a tombstone. Non-frozen
//! user-defined types are written by field. The time to live is always stated, because an unset one takes the table's default.

use tidemark_cassandra_format::{model::ColumnIndex, schema::TableSchema, types::CqlType};

use crate::restore::schema::cql::quote;

/// Most places for values in one statement; wider tables have several statements. The protocol allows 65,535 markers.
pub const STATEMENT_SLOTS: usize = 2_000;

/// A place for a value in a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `c=?`
    Simple(ColumnIndex),
    /// `c=c+?` of a set or map.
    Collection(ColumnIndex),
    /// `c=c+?` of a list. Appends: running it twice gives the elements twice. May not be unset.
    List(ColumnIndex),
    /// `c.f=?`
    Field(ColumnIndex, u16),
}

/// A statement and what its markers take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The text.
    pub cql: String,
    /// Places between the keys and the times.
    pub slots: Vec<Slot>,
}

/// All statements of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shapes {
    /// INSERT: partition key, clustering, simple regular columns, timestamp, TTL.
    pub insert: Shape,
    /// UPDATE of regular columns: timestamp, TTL, slots, partition key, clustering.
    pub regular: Vec<Shape>,
    /// UPDATE of static columns: timestamp, TTL, slots, partition key.
    pub statics: Vec<Shape>,
}

/// Which statement of [`Shapes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementId {
    /// The INSERT.
    Insert,
    /// The n-th UPDATE of regular columns.
    Regular(usize),
    /// The n-th UPDATE of static columns.
    Static(usize),
}

impl Shapes {
    /// Statements that write rows of `schema` into `keyspace.table`.
    pub fn of(schema: &TableSchema, keyspace: &str, table: &str) -> Self {
        let target = format!("{}.{}", quote(keyspace), quote(table));
        let regulars: Vec<&CqlType> = schema.regulars.iter().map(|c| &c.cql_type).collect();
        let statics: Vec<&CqlType> = schema.statics.iter().map(|c| &c.cql_type).collect();
        let partition = || schema.partition_key.iter().map(|c| c.name.as_str());
        let key = || partition().chain(schema.clustering.iter().map(|c| c.column.name.as_str()));
        Self {
            insert: insert(schema, &target, &key().collect::<Vec<_>>()),
            regular: updates(schema, &target, &slots(&regulars), false, &key().collect::<Vec<_>>()),
            statics: updates(schema, &target, &slots(&statics), true, &partition().collect::<Vec<_>>()),
        }
    }

    /// The statement of this id.
    ///
    /// # Panics
    /// Where the id is of another table.
    pub fn get(&self, id: StatementId) -> &Shape {
        match id {
            StatementId::Insert => &self.insert,
            StatementId::Regular(n) => &self.regular[n],
            StatementId::Static(n) => &self.statics[n],
        }
    }
}

/// Places for the values of these columns, in order.
pub fn slots(types: &[&CqlType]) -> Vec<Slot> {
    let mut slots = Vec::new();
    for (index, cql_type) in (0..).zip(types) {
        match cql_type {
            CqlType::List { frozen: false, .. } => slots.push(Slot::List(index)),
            CqlType::Set { frozen: false, .. } | CqlType::Map { frozen: false, .. } => {
                slots.push(Slot::Collection(index));
            }
            CqlType::Udt { fields, frozen: false, .. } => {
                slots.extend((0..).zip(fields).map(|(field, _)| Slot::Field(index, field)));
            }
            _ => slots.push(Slot::Simple(index)),
        }
    }
    slots
}

/// INSERT of the key and as many simple columns as fit, which come first in a schema.
fn insert(schema: &TableSchema, target: &str, key: &[&str]) -> Shape {
    let simple = (0..).zip(&schema.regulars).filter(|(_, c)| !c.cql_type.is_multi_cell());
    let simple: Vec<(ColumnIndex, &str)> = simple.map(|(i, c)| (i, c.name.as_str())).take(STATEMENT_SLOTS).collect();
    let names = key.iter().copied().chain(simple.iter().map(|(_, name)| *name)).map(quote).collect::<Vec<_>>();
    let marks = vec!["?"; names.len()].join(", ");
    let cql = format!("INSERT INTO {target} ({}) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?", names.join(", "));
    Shape { cql, slots: simple.into_iter().map(|(i, _)| Slot::Simple(i)).collect() }
}

fn updates(schema: &TableSchema, target: &str, slots: &[Slot], of_statics: bool, key: &[&str]) -> Vec<Shape> {
    let condition: Vec<String> = key.iter().map(|name| format!("{} = ?", quote(name))).collect();
    let shape = |part: &[Slot]| {
        let sets: Vec<String> = part.iter().map(|slot| assignment(schema, *slot, of_statics)).collect();
        let cql = format!(
            "UPDATE {target} USING TIMESTAMP ? AND TTL ? SET {} WHERE {}",
            sets.join(", "),
            condition.join(" AND ")
        );
        Shape { cql, slots: part.to_vec() }
    };
    slots.chunks(STATEMENT_SLOTS).map(shape).collect()
}

/// The part of SET that takes this slot.
fn assignment(schema: &TableSchema, slot: Slot, of_statics: bool) -> String {
    let columns = if of_statics { &schema.statics } else { &schema.regulars };
    match slot {
        Slot::Simple(index) => format!("{} = ?", quote(&columns[usize::from(index)].name)),
        Slot::Collection(index) | Slot::List(index) => {
            let name = quote(&columns[usize::from(index)].name);
            format!("{name} = {name} + ?")
        }
        Slot::Field(index, field) => {
            let column = &columns[usize::from(index)];
            let CqlType::Udt { fields, .. } = &column.cql_type else {
                unreachable!("slots() makes fields of user-defined types only")
            };
            format!("{}.{} = ?", quote(&column.name), quote(&fields[usize::from(field)].0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::samples;

    #[test]
    fn each_kind_of_column_is_written_its_own_way() {
        let shapes = Shapes::of(&samples::schema(), "k\"s", "t");
        assert_eq!(
            shapes.regular[0].cql,
            "UPDATE \"k\"\"s\".\"t\" USING TIMESTAMP ? AND TTL ? SET \"a\" = ?, \"b\" = ?, \"l\" = \"l\" + ?, \
             \"m\" = \"m\" + ?, \"s\" = \"s\" + ?, \"u\".\"f\" = ?, \"u\".\"g\" = ? WHERE \"pk\" = ? AND \"ck\" = ?"
        );
        assert_eq!(
            shapes.insert.cql,
            "INSERT INTO \"k\"\"s\".\"t\" (\"pk\", \"ck\", \"a\", \"b\") VALUES (?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
        );
        assert_eq!(
            shapes.statics[0].cql,
            "UPDATE \"k\"\"s\".\"t\" USING TIMESTAMP ? AND TTL ? SET \"st\" = ? WHERE \"pk\" = ?"
        );
    }

    #[test]
    fn a_table_wider_than_a_statement_has_several_updates() {
        let mut schema = samples::schema();
        let column = |i| samples::column(&format!("c{i:05}"), CqlType::Int);
        schema.regulars = (0..STATEMENT_SLOTS + 1).map(column).collect();
        let shapes = Shapes::of(&schema, "ks", "t");
        assert_eq!(shapes.regular.iter().map(|s| s.slots.len()).collect::<Vec<_>>(), vec![STATEMENT_SLOTS, 1]);
        assert_eq!(shapes.insert.slots.len(), STATEMENT_SLOTS);
    }

    #[test]
    fn a_table_of_keys_only_has_no_update() {
        let mut schema = samples::schema();
        (schema.regulars, schema.statics) = (vec![], vec![]);
        let shapes = Shapes::of(&schema, "ks", "t");
        assert!(shapes.regular.is_empty() && shapes.statics.is_empty() && shapes.insert.slots.is_empty());
    }
}
