//! The CQL of a write: a text that repeats for writes of the same form, and its values.

use super::write::{Change, Data, Element, Key, Place, Range, Ttl, Write};
use crate::{
    cql::{Raw, Values},
    tables::{Column, Kind, Table, values},
};

/// Text and values of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// CQL with `?`.
    pub text: String,
    /// Values in the order of the text.
    pub values: Values,
    /// False where running it twice is not running it once: appends to lists.
    pub idempotent: bool,
}

/// The statement of a write to `table` in `keyspace`.
pub fn of(keyspace: &str, table: &Table, write: &Write) -> Statement {
    let maker = Maker { name: format!("{keyspace}.{}", table.name), table, write };
    let (text, values) = maker.text_and_values();
    let appends = |column: &Column| matches!(column.kind, Kind::List(_));
    let idempotent = match &write.change {
        Change::Insert { .. } => !table.regulars.iter().any(appends),
        Change::Update { place, .. } | Change::Add { place, .. } => !columns_of(table, place).iter().any(appends),
        _ => true,
    };
    Statement { text, values: Values(values), idempotent }
}

struct Maker<'a> {
    name: String,
    table: &'a Table,
    write: &'a Write,
}

type Made = (String, Vec<Raw>);

impl Maker<'_> {
    fn text_and_values(&self) -> Made {
        match &self.write.change {
            Change::Insert { clustering, ttl, columns } => self.insert(clustering, *ttl, columns),
            Change::Update { place, ttl, columns } => self.update(place, *ttl, columns),
            Change::Add { place, column, ttl, elements } => self.add(place, *column, *ttl, elements),
            Change::Field { place, column, field, ttl, value } => {
                let field = self.field_name(place, *column, *field);
                match value {
                    Some(value) => self.set(place, *ttl, &format!("{field} = ?"), Raw::from(value)),
                    None => self.delete_cells(place, &field, None),
                }
            }
            Change::Remove { place, column, path } => {
                self.delete_cells(place, &format!("{}[?]", self.column_name(place, *column)), Some(Raw::from(path)))
            }
            Change::DeleteColumn { place, column } => self.delete_cells(place, self.column_name(place, *column), None),
            Change::DeleteRow(key) => self.delete_cells(&Place::Row(key.clone()), "", None),
            Change::DeletePartition => self.delete_cells(&Place::Static, "", None),
            Change::DeleteRange(range) => self.delete_range(range),
        }
    }

    fn insert(&self, clustering: &Key, ttl: Ttl, columns: &[(usize, Data)]) -> Made {
        let keys = self.key_names(true);
        let names: Vec<&str> =
            keys.into_iter().chain(self.table.regulars.iter().map(|column| column.name.as_str())).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let text =
            format!("INSERT INTO {} ({}) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?", self.name, names.join(", "));
        let keys = self.write.partition.iter().chain(clustering).map(Raw::from);
        let values = keys.chain(all_columns(&self.table.regulars, columns)).chain(self.using(ttl)).collect();
        (text, values)
    }

    fn update(&self, place: &Place, ttl: Ttl, columns: &[(usize, Data)]) -> Made {
        let all = columns_of(self.table, place);
        let sets: Vec<String> = all.iter().map(|column| format!("{} = ?", column.name)).collect();
        let text = format!(
            "UPDATE {} USING TIMESTAMP ? AND TTL ? SET {} WHERE {}",
            self.name,
            sets.join(", "),
            self.key_of(place)
        );
        let values =
            self.using(ttl).into_iter().chain(all_columns(all, columns)).chain(self.key_values(place)).collect();
        (text, values)
    }

    fn add(&self, place: &Place, column: usize, ttl: Ttl, elements: &[Element]) -> Made {
        let column = &columns_of(self.table, place)[column];
        let name = &column.name;
        self.set(place, ttl, &format!("{name} = {name} + ?"), Raw::from(&serialised(&column.kind, elements)))
    }

    fn set(&self, place: &Place, ttl: Ttl, assignment: &str, value: Raw) -> Made {
        let text =
            format!("UPDATE {} USING TIMESTAMP ? AND TTL ? SET {assignment} WHERE {}", self.name, self.key_of(place));
        (text, self.using(ttl).into_iter().chain([value]).chain(self.key_values(place)).collect())
    }

    fn delete_cells(&self, place: &Place, what: &str, path: Option<Raw>) -> Made {
        let text = format!("DELETE {what} FROM {} USING TIMESTAMP ? WHERE {}", self.name, self.key_of(place));
        (text, path.into_iter().chain([Raw::bigint(self.write.ts)]).chain(self.key_values(place)).collect())
    }

    fn delete_range(&self, range: &Range) -> Made {
        let next = self.table.clustering.get(range.prefix.len()).map_or("", |clustering| &clustering.column.name);
        let prefix =
            self.table.clustering.iter().take(range.prefix.len()).map(|clustering| equal(&clustering.column.name));
        let bound = |bound: &Option<(bytes::Bytes, bool)>, sign: &str| {
            bound.as_ref().map(|(_, included)| format!("{next} {sign}{} ?", if *included { "=" } else { "" }))
        };
        let keys = self.table.partition_key.iter().map(|column| equal(&column.name));
        let conditions: Vec<String> =
            keys.chain(prefix).chain(bound(&range.lower, ">")).chain(bound(&range.upper, "<")).collect();
        let text = format!("DELETE FROM {} USING TIMESTAMP ? WHERE {}", self.name, conditions.join(" AND "));
        let bounds = range.lower.iter().chain(&range.upper).map(|(value, _)| value);
        let values = self.write.partition.iter().chain(&range.prefix).chain(bounds).map(Raw::from);
        (text, [Raw::bigint(self.write.ts)].into_iter().chain(values).collect())
    }

    fn using(&self, ttl: Ttl) -> [Raw; 2] {
        let ttl = match ttl {
            Ttl::Default => Raw::Unset,
            Ttl::Forever => Raw::int(0),
            Ttl::Seconds(seconds) => Raw::int(i32::try_from(seconds).unwrap_or(i32::MAX)),
        };
        [Raw::bigint(self.write.ts), ttl]
    }

    fn key_names(&self, with_clustering: bool) -> Vec<&str> {
        let clustering = self.table.clustering.iter().filter(|_| with_clustering).map(|clustering| &clustering.column);
        self.table.partition_key.iter().chain(clustering).map(|column| column.name.as_str()).collect()
    }

    fn key_of(&self, place: &Place) -> String {
        let names = self.key_names(matches!(place, Place::Row(_)));
        names.into_iter().map(equal).collect::<Vec<_>>().join(" AND ")
    }

    fn key_values(&self, place: &Place) -> Vec<Raw> {
        let clustering: &[bytes::Bytes] = if let Place::Row(key) = place { key } else { &[] };
        self.write.partition.iter().chain(clustering).map(Raw::from).collect()
    }

    fn column_name(&self, place: &Place, column: usize) -> &str {
        &columns_of(self.table, place)[column].name
    }

    fn field_name(&self, place: &Place, column: usize, field: usize) -> String {
        let column = &columns_of(self.table, place)[column];
        let Kind::Udt(_, fields) = &column.kind else { unreachable!("{} has no fields", column.name) };
        format!("{}.{}", column.name, fields[field].0)
    }
}

fn equal(name: &str) -> String {
    format!("{name} = ?")
}

fn columns_of<'t>(table: &'t Table, place: &Place) -> &'t [Column] {
    match place {
        Place::Static => &table.statics,
        Place::Row(_) => &table.regulars,
    }
}

/// Values of all columns, unset where nothing is written.
fn all_columns<'a>(columns: &'a [Column], data: &'a [(usize, Data)]) -> impl Iterator<Item = Raw> + 'a {
    columns.iter().enumerate().map(|(index, column)| {
        let data = data.iter().find(|(written, _)| *written == index);
        data.map_or(Raw::Unset, |(_, data)| match data {
            Data::Null => Raw::Null,
            Data::Value(value) => Raw::from(value),
            Data::Elements(elements) => Raw::from(&serialised(&column.kind, elements)),
        })
    })
}

fn serialised(kind: &Kind, elements: &[Element]) -> bytes::Bytes {
    match kind {
        Kind::Map(..) => {
            let pairs: Vec<_> = elements.iter().map(|element| (element.path.clone(), element.value.clone())).collect();
            values::pairs(&pairs)
        }
        Kind::Set(_) => values::collection(&elements.iter().map(|element| element.path.clone()).collect::<Vec<_>>()),
        Kind::Udt(_, fields) => {
            let value = |index: usize| elements.iter().find(|element| element.path[..] == [index as u8]);
            let value = |index| value(index).map(|element| element.value.clone());
            values::tuple(&(0..fields.len()).map(value).collect::<Vec<_>>())
        }
        _ => values::collection(&elements.iter().map(|element| element.value.clone()).collect::<Vec<_>>()),
    }
}
