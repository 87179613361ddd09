//! Writes pieces: one unlogged batch per piece, tried again where that is safe.
//!
//! Everything but appends to lists is idempotent: the same write time and value. (Counters have a way of their own:
//! `restore/counters.rs`.) A piece that appends and whose outcome is
//! unknown (or that may have been sent before a restart) is looked at first: see [`crate::restore::lists`].

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use scylla::{
    cluster::NodeRef,
    policies::{
        load_balancing::{LoadBalancingPolicy, NodeIdentifier, SingleTargetLoadBalancingPolicy},
        retry::FallthroughRetryPolicy,
    },
    routing::Token,
    statement::batch::{Batch, BatchType},
};
use tidemark_cassandra_format::model::Row;
use tidemark_listener_core::{chain::chain, driver::Error};

use crate::{
    connect::Raw,
    restore::{
        checkpoint::Counts,
        feed::Piece,
        target::{Failure, Target},
        writes::{self, Write, clustering, is_live, row_writes},
    },
};

/// Most bytes of one request: a mutation must be smaller than half a commit-log segment, 16 MiB by default.
const REQUEST_BYTES: usize = 8 << 20;

/// Most statements of one request.
const REQUEST_STATEMENTS: usize = 2_000;

/// What to do where the destination cannot hold an expiry.
const TTL_HINT: &str =
    "restore the table with the policy strip, or into a cluster with storage_compatibility_mode NONE";

/// A write with the clustering of its row.
struct Statement {
    /// The write.
    write: Write,
    /// Clustering values; empty for the static row.
    clustering: Arc<[Bytes]>,
}

impl Target {
    /// Writes a piece until it is acknowledged. `careful` where it may have been sent before.
    ///
    /// # Errors
    /// `TM-REST-0302` where CQL cannot express a row; `TM-REST-0303` where the destination cannot hold an expiry; `TM-REST-0401` where the destination refuses it or does not acknowledge
    /// it within the budget of tries.
    pub async fn load(&self, piece: &Piece, mut careful: bool) -> Result<Counts, Error> {
        if self.has_counters() {
            return self.load_counters(piece).await;
        }
        let mut tries = 0;
        loop {
            match self.try_load(piece, careful).await {
                Ok(counts) => return Ok(counts),
                Err(failure) => {
                    let settle = self.has_lists();
                    self.wait_to_retry(failure, tries, settle).await?;
                    (careful, tries) = (careful || settle, tries + 1);
                }
            }
        }
    }

    /// True where writing a row twice may append twice.
    pub fn has_lists(&self) -> bool {
        let is_list = |slot: &_| matches!(slot, crate::restore::shapes::Slot::List(_));
        self.shapes.regular.iter().chain(&self.shapes.statics).any(|shape| shape.slots.iter().any(is_list))
    }

    async fn try_load(&self, piece: &Piece, careful: bool) -> Result<Counts, Failure> {
        let now = self.now();
        let (mut counts, mut statements) = (Counts::default(), Vec::new());
        for (row, is_static) in piece.all_rows() {
            let (clustering, mut writes) = self.row(piece, row, is_static, now)?;
            match writes.is_empty() {
                true => counts.expired += u64::from(is_live(row, self.lifetimes.cut)),
                false => counts.written += 1,
            }
            if careful && writes.iter().any(|w| w.appends) {
                writes = self.settle_lists(piece, row, is_static, &clustering, writes, now).await?;
            }
            let of_row = |write| Statement { write, clustering: clustering.clone() };
            statements.extend(writes.into_iter().map(of_row));
        }
        self.send(piece, statements).await?;
        Ok(counts)
    }

    /// Clustering and writes of one row.
    fn row(&self, piece: &Piece, row: &Row, is_static: bool, now: u32) -> Result<(Arc<[Bytes]>, Vec<Write>), Error> {
        let refuse = |place: &[Bytes], source: writes::Error| {
            let text = format!("{}: {}", self.place(&piece.key, place), chain(&source));
            match source {
                writes::Error::Ttl(_) => Error::new("TM-REST-0303", text).with_hint(TTL_HINT),
                _ => Error::new("TM-REST-0302", text),
            }
        };
        let values = clustering(&self.schema, row).map_err(|source| refuse(&[], source))?;
        let writes = row_writes(&self.schema, &self.shapes, row, is_static, self.clock(now));
        let writes = writes.map_err(|source| refuse(&values, source))?;
        Ok((values.into(), writes))
    }

    /// Sends statements of one partition in order, as few requests as fit.
    async fn send(&self, piece: &Piece, statements: Vec<Statement>) -> Result<(), Failure> {
        let requests = cut(statements);
        // Only one coordinator gives the elements of a list growing ids over several requests.
        let appends = requests.iter().flatten().any(|s| s.write.appends);
        let pinned = (requests.len() > 1 && appends).then(|| self.coordinator(piece)).flatten();
        for request in requests {
            self.send_request(piece, request, pinned.clone()).await?;
        }
        Ok(())
    }

    async fn send_request(
        &self,
        piece: &Piece,
        mut request: Vec<Statement>,
        pinned: Option<Arc<dyn LoadBalancingPolicy>>,
    ) -> Result<(), Failure> {
        let started = self.env.monotonic();
        let bound = |s: &Statement| s.write.bind(&piece.key, &s.clustering);
        let sent = match (request.len(), &pinned) {
            (0, _) => return Ok(()),
            (1, None) => {
                let only = request.remove(0);
                let prepared = self.statement(only.write.statement);
                self.session.execute_unpaged(&prepared, bound(&only)).await.map(drop)
            }
            _ => {
                let values: Vec<Vec<Raw>> = request.iter().map(bound).collect();
                let batch = self.batch(&request, pinned);
                self.session.batch(&batch, values).await.map(drop)
            }
        };
        let place = || self.place(&piece.key, &[]);
        // A write without an answer may have landed as late.
        self.note_duration(self.env.monotonic().saturating_sub(started));
        sent.map_err(|source| Failure::of("TM-REST-0401", &format!("write {}", place()), &source))
    }

    fn batch(&self, request: &[Statement], pinned: Option<Arc<dyn LoadBalancingPolicy>>) -> Batch {
        let mut batch = Batch::new(BatchType::Unlogged);
        for statement in request {
            batch.append_statement(self.statement(statement.write.statement));
        }
        batch.set_consistency(self.level.now());
        batch.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
        batch.set_load_balancing_policy(pinned);
        batch
    }

    /// A policy that sends everything to one replica of the partition.
    fn coordinator(&self, piece: &Piece) -> Option<Arc<dyn LoadBalancingPolicy>> {
        let state = self.session.get_cluster_state();
        let replicas = state.get_token_endpoints(&self.name.0, &self.name.1, Token::new(piece.token));
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

/// Cuts statements into requests, in order.
fn cut(statements: Vec<Statement>) -> Vec<Vec<Statement>> {
    let mut requests: Vec<Vec<Statement>> = Vec::new();
    let mut room = 0;
    for statement in statements {
        let bytes = statement.write.bytes;
        let fits = bytes <= room && requests.last().is_some_and(|r| r.len() < REQUEST_STATEMENTS);
        match requests.last_mut().filter(|_| fits) {
            Some(request) => {
                room -= bytes;
                request.push(statement);
            }
            None => {
                room = REQUEST_BYTES.saturating_sub(bytes);
                requests.push(vec![statement]);
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::shapes::StatementId;

    fn statement(bytes: usize) -> Statement {
        let write = Write { statement: StatementId::Insert, ts: 1, ttl: 0, values: vec![], appends: false, bytes };
        Statement { write, clustering: Arc::new([]) }
    }

    #[test]
    fn requests_are_bounded_by_bytes_and_statements() {
        let sizes =
            |of: Vec<usize>| cut(of.into_iter().map(statement).collect()).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![1, 1, 1]), vec![3]);
        assert_eq!(sizes(vec![REQUEST_BYTES, 1, REQUEST_BYTES + 1, 1]), vec![1, 1, 1, 1]);
        assert_eq!(sizes(vec![1; REQUEST_STATEMENTS + 1]), vec![REQUEST_STATEMENTS, 1]);
        assert!(sizes(vec![]).is_empty());
    }
}
