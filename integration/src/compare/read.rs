//! Reading a table.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use scylla::{
    client::session::Session,
    cluster::metadata::{ColumnKind, ColumnType, Table},
    response::{PagingState, PagingStateResponse},
    statement::{Consistency, prepared::PreparedStatement},
};
use tidemark_gateway::Env;

use super::{
    cells::{self, Shape},
    image::{RowImage, RowKey, TableImage},
};
use crate::cql::{Raw, RawRow, Values};

/// Parts of the token ring that are read at the same time.
const PARTS: usize = 4;
/// Rows of one page: small, so that the time a page was read at is known to the second.
const PAGE_ROWS: i32 = 2000;

/// Reads a whole table.
///
/// # Errors
/// Where the table is not known or a page cannot be read.
pub async fn read(session: &Session, keyspace: &str, table: &str) -> Result<TableImage> {
    read_at(session, keyspace, table, Consistency::All).await
}

/// Reads a whole table at another level than `ALL`.
///
/// # Errors
/// As [`read`].
pub async fn read_at(session: &Session, keyspace: &str, table: &str, level: Consistency) -> Result<TableImage> {
    let mut image = TableImage::default();
    let sink = |key, row| {
        image.rows.insert(key, row);
    };
    read_each_at(session, keyspace, table, level, sink).await?;
    Ok(image)
}

/// Hands every row of a table to `sink`, static rows among them, in no order.
///
/// # Errors
/// Where the table is not known or a page cannot be read.
pub async fn read_each(
    session: &Session,
    keyspace: &str,
    table: &str,
    sink: impl FnMut(RowKey, RowImage),
) -> Result<()> {
    read_each_at(session, keyspace, table, Consistency::All, sink).await
}

async fn read_each_at(
    session: &Session,
    keyspace: &str,
    table: &str,
    level: Consistency,
    mut sink: impl FnMut(RowKey, RowImage),
) -> Result<()> {
    // A restored table may be younger than what the session knows.
    session.refresh_metadata().await?;
    let state = session.get_cluster_state();
    let schema = state.get_keyspace(keyspace).and_then(|keyspace| keyspace.tables.get(table));
    let schema = schema.with_context(|| format!("table {keyspace}.{table} is not known"))?;
    for select in
        [Select::rows(keyspace, table, schema), Select::statics(keyspace, table, schema)].into_iter().flatten()
    {
        let prepared = select.prepare(session, level).await?;
        let parts = stream::iter(ring_parts()).map(|part| select.read_part(session, &prepared, part));
        let mut pages = parts.buffer_unordered(PARTS).boxed();
        while let Some(rows) = pages.try_next().await? {
            rows.into_iter().for_each(|(key, row)| sink(key, row));
        }
    }
    Ok(())
}

/// A read of all rows, or of all static rows.
struct Select {
    name: String,
    partition_key: Vec<String>,
    clustering: Vec<String>,
    columns: Vec<(String, Shape)>,
    statics: bool,
}

impl Select {
    fn rows(keyspace: &str, table: &str, schema: &Table) -> Option<Self> {
        Some(Self::new(keyspace, table, schema, false))
    }

    fn statics(keyspace: &str, table: &str, schema: &Table) -> Option<Self> {
        let select = Self::new(keyspace, table, schema, true);
        (!select.columns.is_empty()).then_some(select)
    }

    fn new(keyspace: &str, table: &str, schema: &Table, statics: bool) -> Self {
        let kind = if statics { ColumnKind::Static } else { ColumnKind::Regular };
        let columns = schema.columns.iter().filter(|(_, column)| column.kind == kind);
        let mut columns: Vec<_> = columns.map(|(name, column)| (name.clone(), shape(&column.typ))).collect();
        columns.sort_by(|left, right| left.0.cmp(&right.0));
        let (partition_key, clustering) = (schema.partition_key.clone(), schema.clustering_key.clone());
        let clustering = if statics { vec![] } else { clustering };
        Self { name: format!("{keyspace}.{table}"), partition_key, clustering, columns, statics }
    }

    fn text(&self) -> String {
        let keys = self.partition_key.iter().chain(&self.clustering).map(|name| quoted(name));
        let columns = self.columns.iter().map(|(name, _)| quoted(name));
        let columns = columns.map(|name| format!("{name}, WRITETIME({name}), TTL({name})"));
        let key = self.partition_key.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let distinct = if self.statics { "DISTINCT " } else { "" };
        let what = keys.chain(columns).collect::<Vec<_>>().join(", ");
        format!("SELECT {distinct}{what} FROM {} WHERE token({key}) >= ? AND token({key}) <= ?", self.name)
    }

    async fn prepare(&self, session: &Session, level: Consistency) -> Result<PreparedStatement> {
        let mut prepared = session.prepare(self.text()).await.with_context(|| self.text())?;
        prepared.set_consistency(level);
        prepared.set_page_size(PAGE_ROWS);
        prepared.set_is_idempotent(true);
        Ok(prepared)
    }

    async fn read_part(
        &self,
        session: &Session,
        prepared: &PreparedStatement,
        part: (i64, i64),
    ) -> Result<Vec<(RowKey, RowImage)>> {
        let values = Values(vec![Raw::bigint(part.0), Raw::bigint(part.1)]);
        let (env, mut at, mut rows) = (Env::system(), PagingState::start(), Vec::new());
        loop {
            let before = env.now().as_second();
            let page = session.execute_single_page(prepared, &values, at).await;
            let (result, next) = page.with_context(|| format!("read {}", self.name))?;
            let read = (before, env.now().as_second());
            for row in result.into_rows_result()?.rows::<RawRow>()? {
                rows.extend(self.image(row?, read)?);
            }
            match next {
                PagingStateResponse::HasMorePages { state } => at = state,
                PagingStateResponse::NoMorePages => return Ok(rows),
            }
        }
    }

    /// A row, unless it is the stand-in for a partition without any.
    fn image(&self, RawRow(values): RawRow, read: (i64, i64)) -> Result<Option<(RowKey, RowImage)>> {
        let mut values = values.into_iter();
        let mut take = |count: usize| values.by_ref().take(count).collect::<Option<Vec<Bytes>>>();
        let partition = take(self.partition_key.len()).context("null in a partition key")?;
        let Some(clustering) = take(self.clustering.len()) else { return Ok(None) };
        let mut row = RowImage::default();
        for (name, shape) in &self.columns {
            let mut next = || values.next().with_context(|| format!("{name} of {} is not in the answer", self.name));
            let cells = cells::decode(*shape, next()?, next()?, next()?, read).with_context(|| name.clone())?;
            row.columns.extend((!cells.is_empty()).then(|| (name.clone(), cells)));
        }
        ensure!(values.next().is_none(), "more columns than asked for in {}", self.name);
        let key = RowKey { partition, clustering: (!self.statics).then_some(clustering) };
        Ok((!self.statics || !row.columns.is_empty()).then_some((key, row)))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn shape(kind: &ColumnType<'_>) -> Shape {
    use scylla::cluster::metadata::CollectionType;
    match kind {
        ColumnType::Collection { frozen: false, typ } => match typ {
            CollectionType::List(_) => Shape::List,
            CollectionType::Set(_) => Shape::Set,
            _ => Shape::Map,
        },
        ColumnType::UserDefinedType { frozen: false, .. } => Shape::Udt,
        _ => Shape::Single,
    }
}

/// The token ring in parts, first and last token included.
fn ring_parts() -> Vec<(i64, i64)> {
    let step = i128::from(u64::MAX) / (4 * PARTS as i128);
    let start = |part: usize| i128::from(i64::MIN) + part as i128 * step + i128::from(part > 0);
    let part =
        |part: usize| (start(part) as i64, if part + 1 == 4 * PARTS { i64::MAX } else { (start(part + 1) - 1) as i64 });
    (0..4 * PARTS).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_ring_are_all_of_it() {
        let parts = ring_parts();
        assert_eq!((parts[0].0, parts[parts.len() - 1].1), (i64::MIN, i64::MAX));
        assert!(parts.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
    }
}
