//! Writes pieces: one unlogged batch per piece, tried again where that is safe.
//!
//! Everything but appends to lists is idempotent: the same write time and value. (Counters have a way of their own:
//! `counters`.) A piece that appends and whose outcome is unknown (or that may have been sent before a restart, or is merged
//! into a table that may hold its elements) is looked at first: see `lists`.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use scylla::{
    cluster::NodeRef,
    policies::{
        load_balancing::{LoadBalancingPolicy, NodeIdentifier, SingleTargetLoadBalancingPolicy},
        retry::FallthroughRetryPolicy,
    },
    routing::Token,
    statement::{
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
};
use tidemark_cassandra_format::model::Row;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::failure::Failure;
use tidemark_records::restore::checkpoint::Counts;

use crate::{
    connect::Raw,
    restore::{
        pieces::feed::Piece,
        write::{
            statements::{
                rows::{self, Write, check_key, clustering, is_live, row_writes},
                shapes::{Slot, StatementId},
            },
            target::{Target, WriteFailure},
        },
    },
};

/// Most statements of one request.
const REQUEST_STATEMENTS: usize = 2_000;

/// What to do where the destination cannot hold an expiry.
const TTL_HINT: &str =
    "restore the table with the policy strip, or into a cluster with storage_compatibility_mode NONE";

/// What to do where a value is larger than the destination takes.
const LARGE_HINT: &str =
    "raise max_mutation_size of the destination's nodes, and commitlog_segment_size to twice of it";

/// A write with the clustering of its row.
struct Statement {
    /// The write.
    write: Write,
    /// Clustering values; empty for the static row.
    clustering: Arc<[Bytes]>,
    /// Index of the row in its piece.
    row: usize,
}

impl Statement {
    /// What it adds to a request.
    fn bytes(&self) -> usize {
        self.write.bytes + self.clustering.iter().map(Bytes::len).sum::<usize>()
    }
}

/// A row of a piece, static or not, by its clustering.
pub(in crate::restore) type RowKey = (bool, Vec<Option<Bytes>>);

impl Target {
    /// Writes a piece until it is acknowledged; rows that cannot be written are kept among the refusals. `careful` where it may
    /// have been sent before. In a merge lists are looked at in any case: what is in them must not be appended again.
    ///
    /// # Errors
    /// `TM-REST-0401` where the destination refuses it or does not acknowledge it within the budget of tries; where the first
    /// refusal is to end the restore also `TM-REST-0302` for a row that CQL cannot express, `TM-REST-0303` for one whose expiry
    /// the destination cannot hold, `TM-REST-0304` for a value larger than it takes.
    pub async fn load(&self, piece: &Piece, mut careful: bool) -> Result<Counts, Failure> {
        if self.has_counters() {
            return self.load_counters(piece).await;
        }
        // A merge finds lists that are whole already.
        careful |= self.shared && self.has_lists();
        let mut tries = 0;
        loop {
            match self.try_load(piece, careful).await {
                Ok(refused) => return self.counts(piece, refused),
                Err(failure) => {
                    let settle = self.has_lists();
                    self.wait_to_retry(failure, tries, settle).await?;
                    (careful, tries) = (careful || settle, tries + 1);
                }
            }
        }
    }

    /// What became of a piece's rows, the static one first; refused ones are named.
    pub(super) fn counts(&self, piece: &Piece, mut outcomes: Vec<Outcome>) -> Result<Counts, Failure> {
        let mut counts = Counts::default();
        for (n, (row, is_static)) in piece.all_rows().enumerate() {
            match std::mem::replace(&mut outcomes[n], Outcome::Written) {
                Outcome::Written => counts.written += 1,
                Outcome::Nothing => counts.expired += u64::from(is_live(row, self.lifetimes.cut)),
                Outcome::Refused(error) => {
                    counts.refused += 1;
                    self.refuse(self.key_of(piece, row, is_static), error)?;
                }
            }
        }
        Ok(counts)
    }

    /// `partition 0x0a, row 0x0b`
    fn key_of(&self, piece: &Piece, row: &Row, is_static: bool) -> String {
        let hex = |values: &[Bytes]| values.iter().map(hex::encode).collect::<Vec<_>>().join(":");
        let clustering: Vec<Bytes> = row.clustering.iter().flatten().cloned().collect();
        match (is_static, clustering.is_empty()) {
            (true, _) => format!("partition 0x{}, static row", hex(&piece.key)),
            (_, true) => format!("partition 0x{}", hex(&piece.key)),
            _ => format!("partition 0x{}, row 0x{}", hex(&piece.key), hex(&clustering)),
        }
    }

    /// The rows of a piece that cannot be written, known by trying each alone once more: the destination's refusals are
    /// counted, but not all of them kept.
    ///
    /// # Errors
    /// As [`Target::load`].
    pub(in crate::restore) async fn refused_rows(&self, piece: &Piece) -> Result<BTreeSet<RowKey>, WriteFailure> {
        let outcomes = match self.has_counters() {
            true => Vec::new(),
            false => self.try_load(piece, true).await?,
        };
        let rows = piece.all_rows().map(|(row, is_static)| (is_static, row.clustering.clone()));
        Ok(rows.zip(outcomes).filter(|(_, o)| matches!(o, Outcome::Refused(_))).map(|(key, _)| key).collect())
    }

    /// True where writing a row twice may append twice.
    pub fn has_lists(&self) -> bool {
        let is_list = |slot: &_| matches!(slot, Slot::List(_));
        self.shapes.regular.iter().chain(&self.shapes.statics).any(|shape| shape.slots.iter().any(is_list))
    }

    /// Sends a piece; what became of each of its rows.
    async fn try_load(&self, piece: &Piece, careful: bool) -> Result<Vec<Outcome>, WriteFailure> {
        let now = self.now();
        let (mut outcomes, mut statements) = (Vec::new(), Vec::new());
        for (n, (row, is_static)) in piece.all_rows().enumerate() {
            let (clustering, mut writes) = match self.row(piece, row, is_static, now) {
                Ok(made) => made,
                Err(refused) if self.refusals.is_strict() => return Err(refused.into()),
                Err(refused) => {
                    outcomes.push(Outcome::Refused(refused));
                    continue;
                }
            };
            outcomes.push(if writes.is_empty() { Outcome::Nothing } else { Outcome::Written });
            if careful && writes.iter().any(|w| w.appends) {
                writes = self.settle_lists(piece, row, is_static, &clustering, writes, now).await?;
            }
            let of_row = |write| Statement { write, clustering: clustering.clone(), row: n };
            statements.extend(writes.into_iter().map(of_row));
        }
        self.send(piece, statements, &mut outcomes).await?;
        Ok(outcomes)
    }

    /// Clustering and writes of one row.
    fn row(&self, piece: &Piece, row: &Row, is_static: bool, now: u32) -> Result<(Arc<[Bytes]>, Vec<Write>), Failure> {
        let refuse = |place: &[Bytes], source: rows::Error| {
            unwritable(format!("{}: {}", self.place(&piece.key, place), joined(&source)), &source)
        };
        let values = clustering(&self.schema, row).map_err(|source| refuse(&[], source))?;
        let clock = self.clock(now);
        let writes = row_writes(&self.schema, &self.shapes, row, is_static, clock, self.sizes);
        let writes = writes.map_err(|source| refuse(&values, source))?;
        if !writes.is_empty() {
            check_key(&self.schema, &piece.key, &values).map_err(|source| refuse(&values, source))?;
        }
        Ok((values.into(), writes))
    }

    /// Sends statements of one partition in order, as few requests as fit. Rows whose values the destination refuses are among
    /// the outcomes; nothing more of them is sent.
    async fn send(
        &self,
        piece: &Piece,
        statements: Vec<Statement>,
        outcomes: &mut [Outcome],
    ) -> Result<(), WriteFailure> {
        let mut requests: VecDeque<Vec<Statement>> =
            self.sizes.requests(REQUEST_STATEMENTS, statements, Statement::bytes).into();
        // Only one coordinator gives the elements of a list growing ids over several requests.
        let appends = requests.iter().flatten().any(|s| s.write.appends);
        let pinned = (requests.len() > 1 && appends).then(|| self.coordinator(piece.token)).flatten();
        while let Some(mut request) = requests.pop_front() {
            request.retain(|s| !matches!(outcomes[s.row], Outcome::Refused(_)));
            let Some((first, last)) = request.first().zip(request.last()).map(|(a, b)| (a.row, b.row)) else {
                continue;
            };
            match self.send_request(piece, &request, pinned.clone()).await {
                Err(failure) if failure.about_values && !self.refusals.is_strict() => match first == last {
                    true => {
                        self.refusals.note_destination();
                        outcomes[first] = Outcome::Refused(failure.error);
                    }
                    // One row spoils the request, and nothing of it was applied: each row is sent alone.
                    false => by_row(request).into_iter().rev().for_each(|alone| requests.push_front(alone)),
                },
                sent => sent?,
            }
        }
        Ok(())
    }

    async fn send_request(
        &self,
        piece: &Piece,
        request: &[Statement],
        pinned: Option<Arc<dyn LoadBalancingPolicy>>,
    ) -> Result<(), WriteFailure> {
        let bound = |s: &Statement| s.write.bind(&piece.key, &s.clustering);
        let mut prepared = Vec::with_capacity(request.len());
        for statement in request {
            prepared.push(self.prepared(&statement.write).await?);
        }
        let started = self.env.monotonic();
        let sent = match (request, &pinned) {
            ([only], None) => self.session.execute_unpaged(&prepared[0], bound(only)).await.map(drop),
            _ => {
                let values: Vec<Vec<Raw>> = request.iter().map(bound).collect();
                let batch = self.batch(prepared, pinned);
                self.session.batch(&batch, values).await.map(drop)
            }
        };
        // A write without an answer may have landed as late.
        self.note_duration(self.env.monotonic().saturating_sub(started));
        let what = || format!("write {}", self.place(&piece.key, only_row(request)));
        sent.map_err(|source| WriteFailure::of("TM-REST-0401", &what(), &source))
    }

    /// The statement of a write.
    async fn prepared(&self, write: &Write) -> Result<PreparedStatement, Failure> {
        let Some(assignment) = &write.apart else { return Ok(self.statement(write.statement)) };
        let condition = self.row_condition(matches!(write.statement, StatementId::Static(_)));
        let table = self.quoted();
        self.extra(&format!("UPDATE {table} USING TIMESTAMP ? AND TTL ? SET {assignment} WHERE {condition}")).await
    }

    fn batch(&self, prepared: Vec<PreparedStatement>, pinned: Option<Arc<dyn LoadBalancingPolicy>>) -> Batch {
        let mut batch = Batch::new(BatchType::Unlogged);
        prepared.into_iter().for_each(|statement| batch.append_statement(statement));
        batch.set_consistency(self.level.now());
        batch.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
        batch.set_load_balancing_policy(pinned);
        batch
    }

    /// A policy that sends everything to one replica of the partition.
    pub(crate) fn coordinator(&self, token: i64) -> Option<Arc<dyn LoadBalancingPolicy>> {
        let state = self.session.get_cluster_state();
        let replicas = state.get_token_endpoints(&self.name.0, &self.name.1, Token::new(token));
        let up = |node: NodeRef<'_>| node.is_connected();
        let (node, _) = replicas.into_iter().find(|(node, _)| up(node))?;
        Some(SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(node), None))
    }

    fn note_duration(&self, took: Duration) {
        let seconds =
            u32::try_from(took.as_secs()).unwrap_or(u32::MAX).saturating_add(u32::from(took.subsec_nanos() > 0));
        self.slowest_write_seconds.fetch_max(seconds, Ordering::Relaxed);
    }
}

/// The error for a row that cannot be written, in these words.
pub(crate) fn unwritable(text: String, source: &rows::Error) -> Failure {
    match source {
        rows::Error::Ttl(_) => Failure::new("TM-REST-0303", text).with_hint(TTL_HINT),
        rows::Error::Large { .. } => Failure::new("TM-REST-0304", text).with_hint(LARGE_HINT),
        _ => Failure::new("TM-REST-0302", text),
    }
}

/// What became of a row.
pub(super) enum Outcome {
    /// It was sent, or will be.
    Written,
    /// Nothing of it lives.
    Nothing,
    /// It cannot be written.
    Refused(Failure),
}

/// Clustering of the row that a request is of; none where it is of several.
fn only_row(request: &[Statement]) -> &[Bytes] {
    match (request.first(), request.last()) {
        (Some(first), Some(last)) if first.row == last.row => first.clustering.as_ref(),
        _ => &[],
    }
}

/// A request as one for each of its rows.
fn by_row(request: Vec<Statement>) -> Vec<Vec<Statement>> {
    let mut rows: Vec<Vec<Statement>> = Vec::new();
    for statement in request {
        match rows.last_mut().filter(|row| row[0].row == statement.row) {
            Some(row) => row.push(statement),
            None => rows.push(vec![statement]),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(bytes: usize, row: usize) -> Statement {
        let statement = StatementId::Insert;
        let write = Write { statement, ts: 1, ttl: 0, values: vec![], appends: false, bytes, apart: None };
        Statement { write, clustering: Arc::new([]), row }
    }

    #[test]
    fn a_request_is_cut_between_its_rows() {
        let request = [0, 0, 1, 2, 2].map(|row| statement(1, row)).into();
        assert_eq!(by_row(request).iter().map(Vec::len).collect::<Vec<_>>(), vec![2, 1, 2]);
    }
}
