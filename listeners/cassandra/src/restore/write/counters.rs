//! Counters: what is there is read, what is missing is added, by nobody else.
//!
//! CQL cannot set a counter, only add to it, and adding twice counts twice. So rows are read at ALL before anything is
//! added; exactly the difference is sent, at ALL, and the driver never repeats it. Where the outcome of an addition is
//! unknown, nothing is sent until it cannot land any more, twice the destination's write timeout later; then the rows are
//! read again. A restore that goes on after a crash does the same: its mark may lie behind what was added.
//!
//! Write times are the destination's own. A counter that was deleted in the table before cannot be set again, which the
//! verification finds.

use std::collections::BTreeMap;

use bytes::Bytes;
use scylla::{
    policies::retry::FallthroughRetryPolicy,
    statement::batch::{Batch, BatchType},
};
use tidemark_cassandra_format::{
    model::{CellState, ColumnData, Row},
    schema::Column,
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::failure::Failure;
use tidemark_records::restore::checkpoint::Counts;

use crate::{
    connect::{Out, Raw},
    counter::{self, Refused},
    restore::{
        pieces::feed::Piece,
        schema::cql::quote,
        write::{
            load::Outcome,
            statements::rows::clustering,
            target::{Target, WriteFailure},
        },
    },
};

/// What is to be added to the counters of one row, column by column.
struct Addition {
    is_static: bool,
    clustering: Vec<Bytes>,
    values: Vec<Raw>,
}

impl Target {
    /// True where the table's columns are counters.
    pub fn has_counters(&self) -> bool {
        self.schema.has_counters()
    }

    /// Brings the counters of a piece to their values; rows that have no whole key are kept among the refusals.
    ///
    /// # Errors
    /// `TM-REST-0302` where a counter's context is malformed, or where the first refusal is to end the restore; `TM-REST-0403`
    /// where the destination refuses an addition or does not acknowledge it within the budget of tries; `TM-REST-0602` where
    /// the rows cannot be read.
    pub(super) async fn load_counters(&self, piece: &Piece) -> Result<Counts, Failure> {
        let mut tries = 0;
        loop {
            match self.try_load_counters(piece).await {
                Ok(outcomes) => return self.counts(piece, outcomes),
                Err(failure) => {
                    let place = self.place(&piece.key, &[]);
                    tracing::warn!(place, reason = %failure.error, "counters are read again before anything is added");
                    self.wait_to_retry(failure, tries, true).await?;
                }
            }
            tries += 1;
        }
    }

    /// Adds what is missing; what became of each row.
    async fn try_load_counters(&self, piece: &Piece) -> Result<Vec<Outcome>, WriteFailure> {
        let (mut outcomes, mut additions) = (Vec::new(), Vec::new());
        if let Some(row) = &piece.static_row {
            let (found, _) = self.read(piece, true).await?;
            additions.extend(self.additions(piece, std::slice::from_ref(row), found, true, &mut outcomes)?);
        }
        if !piece.rows.is_empty() {
            let (found, _) = self.read(piece, false).await?;
            additions.extend(self.additions(piece, &piece.rows, found, false, &mut outcomes)?);
        }
        self.add(piece, &additions).await?;
        Ok(outcomes)
    }

    /// What the rows lack, compared with what was found; nothing for rows that are as they should be. An outcome for each row.
    fn additions(
        &self,
        piece: &Piece,
        rows: &[Row],
        found: Vec<Out>,
        is_static: bool,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<Vec<Addition>, WriteFailure> {
        let columns = self.columns(is_static);
        let keys = if is_static { self.schema.partition_key.len() } else { 1 + self.schema.clustering.len() };
        let clustering_of = |row: &[Option<Bytes>]| -> Vec<Option<Bytes>> {
            if is_static { Vec::new() } else { row[1..keys].to_vec() }
        };
        let found: BTreeMap<_, _> = found.into_iter().map(|Out(row)| (clustering_of(&row), row)).collect();
        let mut additions = Vec::new();
        for row in rows {
            let refuse = |why: String| Failure::new("TM-REST-0302", format!("{}: {why}", self.place(&piece.key, &[])));
            let clustering = match clustering(&self.schema, row).map_err(|source| refuse(joined(&source))) {
                Ok(clustering) => clustering,
                Err(refused) if self.refusals.is_strict() => return Err(refused.into()),
                Err(refused) => {
                    outcomes.push(Outcome::Refused(refused));
                    continue;
                }
            };
            let here = found.get(&clustering.iter().cloned().map(Some).collect::<Vec<_>>());
            let values = missing(columns, row, here.map(|row| &row[keys..])).map_err(refuse)?;
            if values.iter().any(|value| *value != Raw::Unset) {
                additions.push(Addition { is_static, clustering, values });
            }
            outcomes.push(Outcome::Written);
        }
        Ok(additions)
    }

    /// Adds, once: in one request, which one replica applies as a whole or not at all.
    async fn add(&self, piece: &Piece, additions: &[Addition]) -> Result<(), WriteFailure> {
        if additions.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(BatchType::Counter);
        let mut values = Vec::with_capacity(additions.len());
        for Addition { is_static, clustering, values: added } in additions {
            batch.append_statement(self.extra(&self.addition(*is_static)).await?);
            let key = piece.key.iter().chain(clustering).cloned().map(Raw::Bytes);
            values.push(added.iter().cloned().chain(key).collect::<Vec<_>>());
        }
        batch.set_consistency(self.level.now());
        batch.set_is_idempotent(false);
        batch.set_retry_policy(Some(std::sync::Arc::new(FallthroughRetryPolicy::new())));
        let what = || format!("add to the counters of {}", self.place(&piece.key, &[]));
        let sent = self.session.batch(&batch, values).await;
        sent.map(drop).map_err(|source| WriteFailure::of("TM-REST-0403", &what(), &source))
    }

    /// `UPDATE … SET "c" = "c" + ?, … WHERE …`
    fn addition(&self, is_static: bool) -> String {
        let sum = |column: &Column| format!("{0} = {0} + ?", quote(&column.name));
        let sums: Vec<String> = self.columns(is_static).iter().map(sum).collect();
        format!("UPDATE {} SET {} WHERE {}", self.quoted(), sums.join(", "), self.row_condition(is_static))
    }
}

/// Per column what is to be added, unset where nothing is. A counter that is not there yet is made, of value 0 too.
fn missing(columns: &[Column], row: &Row, found: Option<&[Option<Bytes>]>) -> Result<Vec<Raw>, String> {
    let mut values = vec![Raw::Unset; columns.len()];
    for (index, data) in &row.columns {
        let index = usize::from(*index);
        let column = columns.get(index).ok_or("no such column")?;
        let named = |why: String| format!("column {:?}: {why}", column.name);
        let Some(target) = target(data).map_err(|refused| named(refused.to_string()))? else { continue };
        let here = found.and_then(|found| found.get(index)).and_then(Option::as_ref);
        let here = here.map(|bytes| <[u8; 8]>::try_from(bytes.as_ref()).map(i64::from_be_bytes));
        let here = here.transpose().map_err(|_| named("what was read is no counter".to_owned()))?;
        if here != Some(target) {
            let difference = target.wrapping_sub(here.unwrap_or(0));
            values[index] = Raw::Bytes(Bytes::copy_from_slice(&difference.to_be_bytes()));
        }
    }
    Ok(values)
}

/// The value that a counter is to have; none where it is deleted.
fn target(data: &ColumnData) -> Result<Option<i64>, Refused> {
    match data {
        ColumnData::Simple(cell) if cell.state == CellState::Live => counter::value(&cell.value).map(Some),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use tidemark_cassandra_format::{model::Cell, types::CqlType};

    use super::*;
    use crate::{counter::fixtures::context, restore::samples};

    fn added(cells: Vec<(u16, Cell)>, found: Option<&[Option<i64>]>) -> Result<Vec<Option<i64>>, String> {
        let columns: Vec<Column> = ["a", "b", "c"].map(|name| samples::column(name, CqlType::Counter)).into();
        let row = samples::row(1, None, cells.into_iter().map(|(at, cell)| (at, ColumnData::Simple(cell))).collect());
        let bytes = |value: &Option<i64>| value.map(|value| Bytes::copy_from_slice(&value.to_be_bytes()));
        let found: Option<Vec<_>> = found.map(|found| found.iter().map(bytes).collect());
        let number = |value: Raw| match value {
            Raw::Bytes(bytes) => Some(i64::from_be_bytes(bytes.as_ref().try_into().unwrap())),
            _ => None,
        };
        Ok(missing(&columns, &row, found.as_deref())?.into_iter().map(number).collect())
    }

    fn count(value: i64) -> Cell {
        samples::live(5, context(&[(1, 'g', 3, value - 1), (2, 'r', 1, 1)]))
    }

    #[test]
    fn exactly_what_is_missing_is_added() {
        let cells = || vec![(0, count(7)), (2, count(0))];
        assert_eq!(added(cells(), None), Ok(vec![Some(7), None, Some(0)]));
        assert_eq!(added(cells(), Some(&[Some(5), None, Some(0)])), Ok(vec![Some(2), None, None]));
        assert_eq!(added(cells(), Some(&[Some(9), None, None])), Ok(vec![Some(-2), None, Some(0)]));
        assert_eq!(added(cells(), Some(&[Some(7), None, Some(0)])), Ok(vec![None, None, None]));
    }

    #[test]
    fn sums_wrap_as_the_server_s_do() {
        assert_eq!(
            added(vec![(1, count(i64::MIN + 1))], Some(&[None, Some(2), None])),
            Ok(vec![None, Some(i64::MAX), None])
        );
    }

    #[test]
    fn deleted_counters_are_not_written() {
        let deleted = Cell { ts: 9, state: CellState::Tombstone { local_time: 1 }, value: Bytes::new() };
        assert_eq!(added(vec![(0, deleted)], None), Ok(vec![None, None, None]));
    }

    #[test]
    fn a_context_that_is_none_is_refused_by_column() {
        let refused = added(vec![(1, samples::live(5, Bytes::from_static(b"x")))], None).unwrap_err();
        assert!(refused.contains("\"b\"") && refused.contains("malformed"), "{refused}");
    }
}
