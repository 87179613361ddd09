//! A transaction of the trait as etcd carries it out: once, however often it is sent.

use super::{
    super::{Applied, Cmp, Error, LeaseId, MAX_OPS, Op, Outcome, Revision},
    Guarded, Inner,
    compile::{Branch, compare},
    found_keys,
    keys::GENERATION,
    malformed,
    proto::{
        Compare, KeyValue, PutRequest, RequestOp, ResponseOp, TxnRequest, request_op::Request, response_op::Response,
    },
    read, request,
    slots::Taken,
};

const OPERATION: &str = "transaction";

/// What is to be done.
struct Plan<'a> {
    inner: &'a Inner,
    when: Vec<Compare>,
    then: Branch,
    otherwise: Branch,
    /// True where the generation is compared: it is read where the conditions do not hold.
    generation: bool,
    lease: Option<LeaseId>,
}

/// Runs a transaction.
pub(super) async fn run(inner: &Inner, when: &[Cmp], then: &[Op], otherwise: &[Op]) -> Result<Outcome, Error> {
    if when.len() > MAX_OPS {
        let what = "conditions of a transaction".to_owned();
        return Err(Error::Limit { what, size: when.len(), limit: MAX_OPS });
    }
    let lease = then.iter().chain(otherwise).find_map(|op| match op {
        Op::Put { lease, .. } => *lease,
        Op::Delete(_) | Op::Get(_) => None,
    });
    let plan = Plan {
        inner,
        when: when.iter().map(|cmp| compare(cmp, &inner.keys, GENERATION)).collect(),
        then: Branch::new(then, &inner.keys),
        otherwise: Branch::new(otherwise, &inner.keys),
        generation: when.iter().any(|cmp| matches!(cmp, Cmp::Generation(_))),
        lease,
    };
    plan.run().await
}

impl Plan<'_> {
    async fn run(&self) -> Result<Outcome, Error> {
        if !self.then.writes && !self.otherwise.writes {
            return match self.send(None).await? {
                Guarded::Ran(responses, revision) => self.outcome(&responses, revision).map(|(outcome, _)| outcome),
                Guarded::SlotMoved { .. } => Err(malformed(OPERATION)),
            };
        }
        let mut slot = self.inner.slots.take().await;
        let number = hex::encode(self.inner.env.random::<16>());
        loop {
            match self.send(Some((&slot, &number))).await? {
                Guarded::Ran(responses, revision) => {
                    let (outcome, wrote) = self.outcome(&responses, revision)?;
                    if wrote {
                        slot.seen(revision);
                    }
                    return Ok(outcome);
                }
                Guarded::SlotMoved { slot: found, maybe } => {
                    slot.seen(found.as_ref().map_or(0, |kv| kv.mod_revision.cast_unsigned()));
                    if let Some(outcome) = self.moved(&number, found.as_ref(), maybe)? {
                        return Ok(outcome);
                    }
                }
            }
        }
    }

    async fn send(&self, slot: Option<(&Taken<'_>, &str)>) -> Result<Guarded, Error> {
        let put = |taken: &str| {
            let (slot, number) = slot?;
            let (key, value) = (self.inner.keys.full(slot.key()), format!("{number}{taken}").into_bytes());
            Some(request(Request::RequestPut(PutRequest { key, value, lease: 0 })))
        };
        let branch = |branch: &Branch, taken| -> Vec<RequestOp> {
            branch.ops.iter().cloned().chain(put(taken).filter(|_| branch.writes)).collect()
        };
        let (success, mut failure) = (branch(&self.then, THEN), branch(&self.otherwise, OTHERWISE));
        if self.generation {
            failure.push(read(self.inner.keys.full(GENERATION)));
        }
        let txn = TxnRequest { compare: self.when.clone(), success, failure };
        let slot = slot.map(|(slot, _)| (self.inner.keys.full(slot.key()), slot.revision()));
        let sent = self.inner.guarded(OPERATION, slot, vec![request(Request::RequestTxn(txn))]).await;
        sent.map_err(|error| self.lease_gone(error))
    }

    /// What came out, and whether anything was changed.
    fn outcome(&self, responses: &[ResponseOp], revision: Revision) -> Result<(Outcome, bool), Error> {
        let Some(Response::ResponseTxn(txn)) = responses.first().and_then(|first| first.response.as_ref()) else {
            return Err(malformed(OPERATION));
        };
        if self.generation && !txn.succeeded {
            let stored = txn.responses.last().and_then(found_keys).and_then(<[_]>::first);
            self.inner.learn_generation(stored)?;
        }
        let branch = if txn.succeeded { &self.then } else { &self.otherwise };
        let gets = branch.answers(&txn.responses, revision, &self.inner.keys).ok_or_else(|| malformed(OPERATION))?;
        Ok((Outcome { succeeded: txn.succeeded, revision, gets }, branch.writes))
    }

    /// What a slot that moved says: the outcome, where an attempt of this transaction moved it; `None` where it was not this one.
    fn moved(&self, number: &str, slot: Option<&KeyValue>, maybe: bool) -> Result<Option<Outcome>, Error> {
        let said = slot.and_then(|kv| Some((std::str::from_utf8(&kv.value).ok()?.strip_prefix(number)?, kv)));
        match said {
            Some((taken, kv)) => {
                let succeeded = taken == THEN;
                let branch = if succeeded { &self.then } else { &self.otherwise };
                let revision = kv.mod_revision.cast_unsigned();
                match branch.reads() {
                    false => Ok(Some(Outcome { succeeded, revision, gets: Vec::new() })),
                    // It was done; what it read is lost with the answer.
                    true => Err(unknown("the answer to a transaction that was carried out is lost")),
                }
            }
            None if maybe => Err(unknown("whether a transaction was carried out cannot be told")),
            None => Ok(None),
        }
    }

    fn lease_gone(&self, error: Error) -> Error {
        let Error::Backend { source, applied: Applied::Not, .. } = &error else { return error };
        let status = source.downcast_ref::<tonic::Status>();
        match (status.is_some_and(|status| status.message().contains("requested lease not found")), self.lease) {
            (true, Some(lease)) => Error::LeaseGone(lease),
            _ => error,
        }
    }
}

/// Which operations ran, after the number in a slot.
const THEN: &str = ":then";
const OTHERWISE: &str = ":otherwise";

fn unknown(words: &'static str) -> Error {
    let source = Box::new(tonic::Status::aborted(words));
    Error::Backend { operation: OPERATION, applied: Applied::Unknown, source }
}
