//! Names and field ids of generated columns.

use std::collections::{HashMap, HashSet};

use arrow_schema::{DataType, Field};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use tidemark_cassandra_format::schema::TableSchema;

use super::{Companion, Own};

/// Names of generated columns: the table's own names are never changed, a generated one that is taken gets `_` appended.
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    pub(super) fn of(table: &TableSchema) -> Self {
        let clustering = table.clustering.iter().map(|c| &c.column);
        let columns = table.partition_key.iter().chain(clustering).chain(&table.statics).chain(&table.regulars);
        Self { taken: columns.map(|c| c.name.clone()).collect() }
    }

    fn unique(&mut self, mut name: String) -> String {
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    pub(super) fn own(&mut self, own: Own, name: &str, data_type: DataType, nullable: bool) -> Field {
        numbered(Field::new(self.unique(name.to_owned()), data_type, nullable), own as u32)
    }

    pub(super) fn companion(&mut self, id: u32, kind: Companion, of: &str) -> Field {
        let (suffix, data_type, nullable) = match kind {
            Companion::Ts => ("ts", DataType::Int64, true),
            Companion::Ttl => ("ttl", DataType::UInt32, true),
            Companion::Ldt => ("ldt", DataType::UInt32, true),
            Companion::State => ("state", DataType::Int8, false),
            Companion::DelTs => ("del_ts", DataType::Int64, true),
            Companion::DelLdt => ("del_ldt", DataType::UInt32, true),
            _ => ("raw", DataType::Binary, true),
        };
        let name = self.unique(format!("{of}__{suffix}"));
        with_id(Field::new(name, data_type, nullable), id, kind)
    }

    pub(super) fn row_fields(&mut self) -> Vec<Field> {
        [
            (Own::RowTs, "__row_ts", DataType::Int64),
            (Own::RowTtl, "__row_ttl", DataType::UInt32),
            (Own::RowLdt, "__row_ldt", DataType::UInt32),
            (Own::RowDelTs, "__row_del_ts", DataType::Int64),
            (Own::RowDelLdt, "__row_del_ldt", DataType::UInt32),
            (Own::RowDelShadowable, "__row_del_shadowable", DataType::Boolean),
            (Own::MarkerKind, "__marker_kind", DataType::Int8),
            (Own::MarkerPrefix, "__marker_prefix", DataType::Int32),
            (Own::CloseTs, "__marker_close_ts", DataType::Int64),
            (Own::CloseLdt, "__marker_close_ldt", DataType::UInt32),
            (Own::OpenTs, "__marker_open_ts", DataType::Int64),
            (Own::OpenLdt, "__marker_open_ldt", DataType::UInt32),
        ]
        .into_iter()
        .map(|(own, name, data_type)| self.own(own, name, data_type, true))
        .collect()
    }
}

pub(super) fn with_id(field: Field, id: u32, kind: Companion) -> Field {
    numbered(field, id * 16 + kind as u32)
}

fn numbered(field: Field, id: u32) -> Field {
    field.with_metadata(HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string())]))
}
