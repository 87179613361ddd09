//! What random tables and histories are made of, so that a test can tell what it has not seen.

use std::collections::BTreeSet;

use super::{Event, Schema};
use crate::{
    journal::write::{Change, Data, Place, Ttl},
    tables::{Column, Kind, Table},
};

/// Types and forms of schemas, and kinds of writes, that tests on several seeds are to have between them.
pub const EXPECTED: [&str; 61] = [
    "ascii",
    "bigint",
    "blob",
    "boolean",
    "date",
    "decimal",
    "double",
    "duration",
    "float",
    "inet",
    "int",
    "smallint",
    "text",
    "time",
    "timestamp",
    "timeuuid",
    "tinyint",
    "uuid",
    "varchar",
    "varint",
    "list of cells",
    "set of cells",
    "map of cells",
    "user-defined type of cells",
    "frozen list",
    "frozen set",
    "frozen map",
    "frozen user-defined type",
    "user-defined type within another",
    "collection within a user-defined type of cells",
    "tuple",
    "vector",
    "vector of varying lengths",
    "decimal or varint as ascending clustering",
    "decimal or varint as descending clustering",
    "collection as key",
    "tuple as key",
    "partition key of several columns",
    "clustering of several columns",
    "no clustering",
    "ascending",
    "descending",
    "static columns",
    "more than 64 columns",
    "default time to live",
    "time to live",
    "insert",
    "update",
    "write of a static column",
    "null",
    "no bytes",
    "elements added to a list",
    "elements added to a set",
    "elements added to a map",
    "field written",
    "field deleted",
    "element deleted",
    "column deleted",
    "row deleted",
    "range deleted",
    "partition deleted",
];

/// Those of [`EXPECTED`] that none of these has.
pub fn missing<'a>(of: impl IntoIterator<Item = (&'a Schema, &'a [Event])>) -> Vec<&'static str> {
    let mut found = BTreeSet::new();
    for (schema, events) in of {
        found.extend(forms(schema, events));
    }
    EXPECTED.into_iter().filter(|form| !found.contains(*form)).collect()
}

/// All forms of one schema and its history.
pub fn forms(schema: &Schema, events: &[Event]) -> BTreeSet<String> {
    let mut found = Found(BTreeSet::new());
    found.table(&schema.table);
    events.iter().for_each(|event| found.change(&schema.table, &event.write.change));
    found.0
}

struct Found(BTreeSet<String>);

impl Found {
    fn add(&mut self, form: &str) {
        self.0.insert(form.to_owned());
    }

    fn add_if(&mut self, holds: bool, form: &str) {
        if holds {
            self.add(form);
        }
    }

    fn table(&mut self, table: &Table) {
        for column in table.statics.iter().chain(&table.regulars) {
            self.column(&column.kind);
        }
        for kind in table.partition_key.iter().chain(table.clustering.iter().map(|of| &of.column)).map(|of| &of.kind) {
            self.add_if(matches!(kind, Kind::Frozen(_)), "collection as key");
            self.add_if(matches!(kind, Kind::Tuple(_)), "tuple as key");
            self.value(kind);
        }
        for clustering in &table.clustering {
            let direction = if clustering.descending { "descending" } else { "ascending" };
            self.add(direction);
            let number = matches!(clustering.column.kind, Kind::Decimal | Kind::VarInt);
            self.add_if(number, &format!("decimal or varint as {direction} clustering"));
        }
        self.add_if(table.partition_key.len() > 1, "partition key of several columns");
        self.add_if(table.clustering.len() > 1, "clustering of several columns");
        self.add_if(table.clustering.is_empty(), "no clustering");
        self.add_if(!table.statics.is_empty(), "static columns");
        self.add_if(table.regulars.len() > 64, "more than 64 columns");
        self.add_if(table.default_ttl > 0, "default time to live");
    }

    /// A type of a column, which may be of several cells.
    fn column(&mut self, kind: &Kind) {
        match kind {
            Kind::List(_) => self.add("list of cells"),
            Kind::Set(_) => self.add("set of cells"),
            Kind::Map(..) => self.add("map of cells"),
            Kind::Udt(_, fields) => {
                self.add("user-defined type of cells");
                let collection = |kind| matches!(unfrozen(kind), Kind::List(_) | Kind::Set(_) | Kind::Map(..));
                let collections = fields.iter().any(|(_, field)| collection(field));
                self.add_if(collections, "collection within a user-defined type of cells");
            }
            one_cell => return self.value(one_cell),
        }
        self.parts(kind);
    }

    /// A type of one cell, or of a part of one.
    fn value(&mut self, kind: &Kind) {
        match kind {
            Kind::Frozen(inner) => return self.value(inner),
            Kind::List(_) => self.add("frozen list"),
            Kind::Set(_) => self.add("frozen set"),
            Kind::Map(..) => self.add("frozen map"),
            Kind::Udt(..) => self.add("frozen user-defined type"),
            Kind::Tuple(_) => self.add("tuple"),
            Kind::Vector(element, _) => {
                self.add_if(element.fixed_length().is_none(), "vector of varying lengths");
                self.add("vector");
            }
            scalar => self.add(&scalar.to_string()),
        }
        self.parts(kind);
    }

    fn parts(&mut self, kind: &Kind) {
        match kind {
            Kind::List(of) | Kind::Set(of) | Kind::Vector(of, _) => self.value(of),
            Kind::Map(key, value) => {
                self.value(key);
                self.value(value);
            }
            Kind::Tuple(parts) => parts.iter().for_each(|part| self.value(part)),
            Kind::Udt(_, fields) => fields.iter().for_each(|(_, field)| {
                self.add_if(matches!(unfrozen(field), Kind::Udt(..)), "user-defined type within another");
                self.value(field);
            }),
            _ => {}
        }
    }

    fn change(&mut self, table: &Table, change: &Change) {
        match change {
            Change::Insert { ttl, columns, .. } => {
                self.add("insert");
                self.write(*ttl, columns);
            }
            Change::Update { place, ttl, columns } => {
                self.add(if *place == Place::Static { "write of a static column" } else { "update" });
                self.write(*ttl, columns);
            }
            Change::Add { place, column, ttl, .. } => {
                self.life(*ttl);
                self.add(match columns_of(table, place)[*column].kind {
                    Kind::List(_) => "elements added to a list",
                    Kind::Set(_) => "elements added to a set",
                    _ => "elements added to a map",
                });
            }
            Change::Field { ttl, value, .. } => {
                self.life(*ttl);
                self.add(if value.is_some() { "field written" } else { "field deleted" });
            }
            Change::Remove { .. } => self.add("element deleted"),
            Change::DeleteColumn { .. } => self.add("column deleted"),
            Change::DeleteRow(_) => self.add("row deleted"),
            Change::DeleteRange(_) => self.add("range deleted"),
            Change::DeletePartition => self.add("partition deleted"),
        }
    }

    fn write(&mut self, ttl: Ttl, columns: &[(usize, Data)]) {
        self.life(ttl);
        for (_, data) in columns {
            self.add_if(*data == Data::Null, "null");
            self.add_if(matches!(data, Data::Value(value) if value.is_empty()), "no bytes");
        }
    }

    fn life(&mut self, ttl: Ttl) {
        self.add_if(matches!(ttl, Ttl::Seconds(_)), "time to live");
    }
}

fn unfrozen(kind: &Kind) -> &Kind {
    if let Kind::Frozen(inner) = kind { unfrozen(inner) } else { kind }
}

fn columns_of<'t>(table: &'t Table, place: &Place) -> &'t [Column] {
    if *place == Place::Static { &table.statics } else { &table.regulars }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{History, Shape, history::TTL_SECONDS};

    const SHAPE: Shape = Shape { writes: 100, replicas: 3, files: 2, ttl_seconds: &TTL_SECONDS };

    fn of(seed: u64) -> (Schema, Vec<Event>) {
        let schema = Schema::of(seed);
        let events = History::of(&schema.table, SHAPE, seed);
        (schema, events)
    }

    #[test]
    fn one_schema_lacks_much_and_many_lack_nothing() {
        let many: Vec<_> = (1..=60).map(of).collect();
        let lacking = |count: usize| missing(many[..count].iter().map(|(schema, events)| (schema, &events[..])));
        assert!(!lacking(1).is_empty());
        assert_eq!(lacking(60), Vec::<&str>::new());
    }
}
