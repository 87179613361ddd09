//! Sends what mends rows, partition by partition, until it is acknowledged.
//!
//! Everything but a list may be sent any number of times: the same time and the same value. A list gets the number of an
//! attempt that was never used, stored before it is sent, for each sending.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use scylla::{
    policies::{load_balancing::LoadBalancingPolicy, retry::FallthroughRetryPolicy},
    statement::{
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::failure::Failure;

use crate::{
    restore::undo::{
        fix::{Fix, Mender, Request, Text},
        table::Table,
        work::Work,
    },
    restore::write::{answer::is_about_values, load::unwritable, target::WriteFailure},
};

/// Most statements of one request.
const REQUEST_STATEMENTS: usize = 500;

/// Partitions that are written at the same time, for one unit.
const PARTITIONS: usize = 8;

/// A row that cannot be written, with the reason.
pub(super) type Refused = (Fix, Failure);

/// Why a request was not acknowledged.
enum Unsent {
    /// The destination takes no such value.
    Refused(Failure),
    Failed(WriteFailure),
}

impl From<Failure> for Unsent {
    fn from(error: Failure) -> Self {
        Self::Failed(error.into())
    }
}

impl Work<'_> {
    /// Mends rows, which come in order; those that cannot be written are answered.
    ///
    /// # Errors
    /// `TM-REST-0401` where the destination does not acknowledge within the budget of tries; as the checkpoint cannot be saved;
    /// where the first refusal is to end the undo, that of the row: `TM-REST-0302`, `TM-REST-0303`, `TM-REST-0304`,
    /// `TM-REST-0401`.
    pub(super) async fn apply(&self, fixes: &[Fix]) -> Result<Vec<Refused>, Failure> {
        // Boxed: of a stream over a borrowing closure the compiler cannot tell that it is Send.
        let partitions = fixes.chunk_by(|a, b| a.partition == b.partition);
        let mended: Vec<_> = partitions.map(|fixes| self.apply_partition(fixes).boxed()).collect();
        let refused: Vec<Vec<Refused>> = stream::iter(mended).buffered(PARTITIONS).try_collect().await?;
        Ok(refused.into_iter().flatten().collect())
    }

    /// Mends rows of one partition, those that the destination refuses left out.
    async fn apply_partition(&self, fixes: &[Fix]) -> Result<Vec<Refused>, Failure> {
        match self.send(fixes, false).await {
            Ok(refused) => Ok(refused),
            Err(Unsent::Failed(failure)) => Err(failure.error),
            Err(Unsent::Refused(why)) if fixes.len() == 1 => Ok(vec![self.refused(&fixes[0], why)?]),
            Err(Unsent::Refused(_)) => {
                let mut refused = Vec::new();
                for fix in fixes {
                    match self.send(std::slice::from_ref(fix), true).await {
                        Ok(more) => refused.extend(more),
                        Err(Unsent::Failed(failure)) => return Err(failure.error),
                        Err(Unsent::Refused(why)) => refused.push(self.refused(fix, why)?),
                    }
                }
                Ok(refused)
            }
        }
    }

    /// A row that cannot be written, unless the first one is to end the undo.
    fn refused(&self, fix: &Fix, why: Failure) -> Result<Refused, Failure> {
        let row = || format!("{}: {}", self.table.name(), self.table.key_text(&fix.partition.values, &fix.clustering));
        refused(fix, why, self.table.target.refusals.is_strict(), row)
    }

    /// Sends what mends rows of one partition. `again` where it was sent before: what was refused may have landed in part.
    async fn send(&self, fixes: &[Fix], again: bool) -> Result<Vec<Refused>, Unsent> {
        let (mut tries, mut attempt) = (0, again.then_some(0));
        loop {
            let (requests, refused) = self.requests(fixes, &mut attempt).await?;
            match self.send_all(fixes, requests).await {
                Ok(()) => return Ok(refused),
                Err(Unsent::Refused(why)) => return Err(Unsent::Refused(why)),
                Err(Unsent::Failed(failure)) => self.table.target.wait_to_retry(failure, tries, false).await?,
            }
            tries += 1;
        }
    }

    /// The statements that mend the rows, with the time to live of now, and lists under a number that was never used: the
    /// run's own at first, another one for each further try.
    async fn requests(
        &self,
        fixes: &[Fix],
        attempt: &mut Option<u32>,
    ) -> Result<(Vec<Request>, Vec<Refused>), Failure> {
        if fixes.iter().any(Fix::has_lists) {
            *attempt = Some(match attempt {
                None => self.attempt().await?,
                Some(_) => self.further_attempt().await?,
            });
        }
        let table = self.table;
        let mender = Mender {
            schema: table.schema(),
            shapes: &table.target.shapes,
            table: table.target.quoted(),
            stamp: table.stamp,
            list_stamp: table.list_stamp(attempt.unwrap_or_default()),
            clock: table.target.clock(table.now()),
            sizes: table.target.sizes,
        };
        let (mut requests, mut refused) = (Vec::new(), Vec::new());
        for fix in fixes {
            match mender.requests(fix) {
                Ok(own) => requests.extend(own),
                Err(source) => refused.push(self.refused(fix, unwritable(joined(&source), &source))?),
            }
        }
        Ok((requests, refused))
    }

    async fn send_all(&self, fixes: &[Fix], requests: Vec<Request>) -> Result<(), Unsent> {
        let Some(first) = fixes.first() else { return Ok(()) };
        let requests = self.table.target.sizes.requests(REQUEST_STATEMENTS, requests, |request| request.bytes);
        // Only one coordinator gives the elements of a list growing ids over several requests.
        let appends = requests.iter().flatten().any(|request| request.appends);
        let token = first.partition.token;
        let pinned = (requests.len() > 1 && appends).then(|| self.table.target.coordinator(token)).flatten();
        let place = || self.table.key_text(&first.partition.values, &[]);
        for request in requests {
            self.table.send(request, pinned.clone(), &place).await?;
        }
        Ok(())
    }
}

impl Table {
    async fn send(
        &self,
        requests: Vec<Request>,
        pinned: Option<Arc<dyn LoadBalancingPolicy>>,
        place: &impl Fn() -> String,
    ) -> Result<(), Unsent> {
        let mut batch = Batch::new(BatchType::Unlogged);
        let mut values = Vec::with_capacity(requests.len());
        for request in requests {
            batch.append_statement(self.statement(&request.text).await?);
            values.push(request.values);
        }
        batch.set_consistency(self.target.level.now());
        batch.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
        batch.set_load_balancing_policy(pinned);
        match self.target.session.batch(&batch, values).await {
            Ok(_) => Ok(()),
            Err(source) if is_about_values(&source) => {
                Err(Unsent::Refused(Failure::new("TM-REST-0401", joined(&source))))
            }
            Err(source) => {
                let what = format!("write {} {}", self.name(), place());
                Err(Unsent::Failed(WriteFailure::of("TM-REST-0401", &what, &source)))
            }
        }
    }

    async fn statement(&self, text: &Text) -> Result<PreparedStatement, Failure> {
        match text {
            Text::Prepared(id) => Ok(self.target.statement(*id)),
            Text::Cql(cql) => self.target.extra(cql).await,
        }
    }
}

/// A row that cannot be written; where the first one is to end the undo, the error that ends it, with the row's place.
fn refused(fix: &Fix, why: Failure, is_strict: bool, row: impl FnOnce() -> String) -> Result<Refused, Failure> {
    match is_strict {
        true => Err(Failure { message: format!("{}: {}", row(), why.message), ..why }),
        false => Ok((fix.clone(), why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::undo::{compare::Difference, scan::PartitionKey};

    #[test]
    fn the_first_refused_row_ends_an_undo_that_is_strict() {
        let partition = Arc::new(PartitionKey { token: 1, raw: Default::default(), values: Vec::new() });
        let (clustering, difference) = (Vec::new(), Difference::default());
        let fix = Fix { partition, clustering, is_static: false, is_wanted: true, difference, remove: false };
        let of = |is_strict| {
            refused(&fix, Failure::new("TM-REST-0304", "too large"), is_strict, || "ks/t: pk = 1".to_owned())
        };
        let error = of(true).unwrap_err();
        assert_eq!((error.code.as_ref(), error.message.as_str()), ("TM-REST-0304", "ks/t: pk = 1: too large"));
        assert_eq!(of(false).unwrap().1.message, "too large");
    }
}
