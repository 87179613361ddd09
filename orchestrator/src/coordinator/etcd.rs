//! The coordinator of a cluster of daemons: etcd 3.4 or later, three to five members.
//!
//! Keys are those of the trait below `/tidemark/v1/<cluster>/`; what the coordinator keeps for itself is below `~/` there:
//! - `~/opening` tells this state from every other one. It is made once. Where etcd's data is found to be lost or rolled back
//!   ([`Witness`]) another one is put in its place, and generations are taken anew. Every request compares it as it was when this
//!   coordinator was opened: one that was opened on a state that is no more reads and changes nothing, and says so ([`Etcd::ended`]).
//! - `~/generation`, compared where a caller asks for it.
//! - `~/slot/<node>/<n>`: a transaction that changes something puts a number drawn for it there, and compares the revision that the
//!   slot had before. So it can be sent again, to another member too, when its answer is lost: it is carried out once at most, and
//!   whether it was is read from the slot. A kill of etcd's leader is a delay for callers, not a failure.
//!
//! Every call is repeated with one member after the other for 6 s; then it fails, [`Applied::Unknown`] only where it changes
//! something and an attempt may have been carried out.

mod compile;
mod keys;
mod leases;
mod pool;
mod proto;
mod slots;
mod transaction;
mod watcher;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidemark_gateway::Env;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{Applied, Cmp, Coordinator, Error, Kv, Lease, Op, Outcome, Revision, Watch, check_limits};
use keys::{GENERATION, Keys, OPENING};
pub use pool::{Access, AccessError};
use pool::{Failed, Pool};
use proto::{
    Compare, KeyValue, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest, TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
    response_op::Response,
};
use slots::Slots;

/// Longest time that a call is tried for.
pub(crate) const CALL: Duration = Duration::from_secs(6);

/// Where a cluster's etcd is, and whose keys are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses of the members, `http://host:port` or `https://host:port`, from one.
    pub endpoints: Vec<String>,
    /// Proof of identity.
    pub access: Access,
    /// Name of the cluster of daemons; several may share an etcd.
    pub cluster: String,
    /// Name of this daemon in the cluster; no other one has it.
    pub node: String,
}

/// What a daemon or a store remembers of a state: an etcd that knows less was put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The state, see [`Coordinator::opening`].
    pub opening: String,
    /// A revision that it had.
    pub revision: Revision,
}

/// Why a cluster's state cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Members cannot be asked.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// They do not answer as they should.
    #[error("open the state of cluster {cluster} in etcd")]
    State {
        /// The cluster.
        cluster: String,
        /// Why.
        source: Error,
    },
}

/// The state that a coordinator was opened on is no more.
#[derive(Debug, thiserror::Error)]
#[error("etcd's data was lost or rolled back since this daemon opened it")]
pub struct Superseded;

/// A coordinator in etcd; a cheap handle.
#[derive(Clone)]
pub struct Etcd {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    keys: Keys,
    cluster: String,
    opening: String,
    generation: AtomicU64,
    /// The highest revision that was seen: no later answer has a lower one.
    seen: AtomicU64,
    slots: Slots,
    ended: CancellationToken,
    env: Env,
}

impl Etcd {
    /// Opens the state of a cluster, made where there is none. One that is older than a witness of it saw was rolled back: it gets another
    /// opening.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(config: &Config, witnesses: &[Witness], env: Env) -> Result<Self, OpenError> {
        let pool = Pool::new(&config.endpoints, &config.access, env.clone())?;
        let keys = Keys::new(&config.cluster);
        let state = |source| OpenError::State { cluster: config.cluster.clone(), source };
        let mut found = first_look(&pool, &keys, &env).await.map_err(state)?;
        while witnesses.iter().any(|seen| seen.opening == found.opening && seen.revision > found.revision) {
            tracing::error!(cluster = config.cluster, revision = found.revision, "etcd was rolled back");
            replace_opening(&pool, &keys, &found, &env).await.map_err(state)?;
            found = first_look(&pool, &keys, &env).await.map_err(state)?;
        }
        let inner = Inner {
            pool,
            keys,
            cluster: config.cluster.clone(),
            opening: found.opening,
            generation: AtomicU64::new(found.generation),
            seen: AtomicU64::new(found.revision),
            slots: Slots::new(&config.node),
            ended: CancellationToken::new(),
            env,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Cancelled once the state that was opened is known to be lost or rolled back: nothing is done any more, and the state has to be
    /// opened anew.
    pub fn ended(&self) -> CancellationToken {
        self.inner.ended.clone()
    }

    /// What this process saw of the state.
    pub fn witness(&self) -> Witness {
        Witness { opening: self.inner.opening.clone(), revision: self.inner.seen.load(Ordering::SeqCst) }
    }
}

/// What a state says of itself.
struct Found {
    opening: String,
    opening_revision: Revision,
    generation: u64,
    revision: Revision,
}

/// Reads what a state says of itself; where it is new, makes it.
async fn first_look(pool: &Pool, keys: &Keys, env: &Env) -> Result<Found, Error> {
    let drawn = hex::encode(env.random::<16>());
    let looks = || vec![read(keys.full(OPENING)), read(keys.full(GENERATION))];
    let put = request(Request::RequestPut(PutRequest { key: keys.full(OPENING), value: drawn.into_bytes(), lease: 0 }));
    let when = equal(keys.full(OPENING), CompareTarget::Create, TargetUnion::CreateRevision(0));
    let success = [vec![put], looks()].concat();
    let made = TxnRequest { compare: vec![when], success, failure: looks() };
    let answer = pool.call(CALL, |wire| {
        let made = made.clone();
        async move { wire.kv().txn(wire.request(made)).await }
    });
    let (answer, _) = answer.await.map_err(|broken| failed("open the state", &broken))?;
    let answer = answer.into_inner();
    let mut looked = answer.responses.iter().filter_map(found_keys);
    let (opening, generation) = (looked.next().and_then(<[_]>::first), looked.next().and_then(<[_]>::first));
    let Some(opening) = opening else { return Err(malformed("open the state")) };
    Ok(Found {
        opening: String::from_utf8_lossy(&opening.value).into_owned(),
        opening_revision: opening.mod_revision.cast_unsigned(),
        generation: generation.map_or(Ok(0), number)?,
        revision: revision_of(&answer),
    })
}

/// Draws another opening, unless somebody else did since `found` was.
async fn replace_opening(pool: &Pool, keys: &Keys, found: &Found, env: &Env) -> Result<(), Error> {
    let drawn = hex::encode(env.random::<16>());
    let put = request(Request::RequestPut(PutRequest { key: keys.full(OPENING), value: drawn.into_bytes(), lease: 0 }));
    let at = TargetUnion::ModRevision(found.opening_revision.cast_signed());
    let when = equal(keys.full(OPENING), CompareTarget::Mod, at);
    let replace = TxnRequest { compare: vec![when], success: vec![put], failure: Vec::new() };
    let answer = pool.call(CALL, |wire| {
        let replace = replace.clone();
        async move { wire.kv().txn(wire.request(replace)).await }
    });
    answer.await.map(drop).map_err(|broken| failed("draw another opening", &broken))
}

/// What a guarded request came to.
enum Guarded {
    /// It ran; its answers and the revision.
    Ran(Vec<ResponseOp>, Revision),
    /// The slot is not as it was: what it is, and whether an attempt of this call may have moved it.
    SlotMoved { slot: Option<KeyValue>, maybe: bool },
}

impl Inner {
    /// Nothing is asked of a state that is another one by now.
    fn require_state(&self, operation: &'static str) -> Result<(), Error> {
        if self.ended.is_cancelled() { Err(superseded(operation, Applied::Not)) } else { Ok(()) }
    }

    /// Runs operations where the state is still the one that was opened, and the slot still as given.
    async fn guarded(
        &self,
        operation: &'static str,
        slot: Option<(Vec<u8>, Revision)>,
        body: Vec<RequestOp>,
    ) -> Result<Guarded, Error> {
        let opening = self.keys.full(OPENING);
        let ours = TargetUnion::Value(self.opening.clone().into_bytes());
        let mut compare = vec![equal(opening.clone(), CompareTarget::Value, ours)];
        let mut failure = vec![read(opening)];
        let changes = slot.is_some();
        if let Some((key, revision)) = slot {
            failure.push(read(key.clone()));
            compare.push(equal(key, CompareTarget::Mod, TargetUnion::ModRevision(revision.cast_signed())));
        }
        let guarded = TxnRequest { compare, success: body, failure };
        loop {
            self.require_state(operation)?;
            let answer = self.pool.call(CALL, |wire| {
                let (guarded, before) = (guarded.clone(), self.seen.load(Ordering::SeqCst));
                async move { Ok::<_, Status>((wire.kv().txn(wire.request(guarded)).await?.into_inner(), before)) }
            });
            let ((answer, before), maybe) = answer.await.map_err(|broken| match changes {
                true => failed(operation, &broken),
                false => failed(operation, &Failed { maybe: false, ..broken }),
            })?;
            let revision = revision_of(&answer);
            // Of one that changes something at least this attempt or an earlier one may have been carried out, on whatever state.
            let applied = if changes && (maybe || answer.succeeded) { Applied::Unknown } else { Applied::Not };
            if revision < before {
                self.require_not_rolled_back(operation, before, applied).await?;
                // A member answered from behind: of what reads only it is asked again.
                if changes {
                    let source = Box::new(Status::aborted("a member answered from behind what was seen"));
                    return Err(Error::Backend { operation, applied: Applied::Unknown, source });
                }
                continue;
            }
            if answer.succeeded {
                self.seen.fetch_max(revision, Ordering::SeqCst);
                return Ok(Guarded::Ran(answer.responses, revision));
            }
            let mut found = answer.responses.iter().filter_map(found_keys).map(<[_]>::first);
            if found.next().flatten().is_none_or(|kv| kv.value != self.opening.as_bytes()) {
                self.ended.cancel();
                return Err(superseded(operation, applied));
            }
            self.seen.fetch_max(revision, Ordering::SeqCst);
            return Ok(Guarded::SlotMoved { slot: found.next().flatten().cloned(), maybe });
        }
    }

    /// Looks, after an answer from below what was seen, whether the state was rolled back: etcd before 3.4.42 may read from behind while
    /// its leader changes, and what is asked here goes through its log. One that was gets another opening, so that nobody goes on with
    /// it unnoticed, whoever is started next.
    async fn require_not_rolled_back(
        &self,
        operation: &'static str,
        seen: Revision,
        applied: Applied,
    ) -> Result<(), Error> {
        let found = first_look(&self.pool, &self.keys, &self.env).await?;
        if found.opening == self.opening && found.revision >= seen {
            return Ok(());
        }
        tracing::error!(revision = found.revision, seen, "etcd was rolled back");
        if found.opening == self.opening {
            replace_opening(&self.pool, &self.keys, &found, &self.env).await?;
        }
        self.ended.cancel();
        Err(superseded(operation, applied))
    }

    /// Reads a range where the state is still the one that was opened.
    async fn range(&self, operation: &'static str, range: RangeRequest) -> Result<(Vec<Kv>, Revision), Error> {
        match self.guarded(operation, None, vec![request(Request::RequestRange(range))]).await? {
            Guarded::Ran(responses, revision) => {
                let kvs = responses.first().and_then(found_keys).ok_or_else(|| malformed(operation))?;
                Ok((kvs.iter().filter_map(|kv| compile::decode(kv, &self.keys)).collect(), revision))
            }
            Guarded::SlotMoved { .. } => Err(malformed(operation)),
        }
    }

    fn learn_generation(&self, kv: Option<&KeyValue>) -> Result<(), Error> {
        self.generation.fetch_max(kv.map_or(Ok(0), number)?, Ordering::SeqCst);
        Ok(())
    }
}

#[async_trait]
impl Coordinator for Etcd {
    fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::SeqCst)
    }

    fn opening(&self) -> &str {
        &self.inner.opening
    }

    fn cluster(&self) -> Option<&str> {
        Some(&self.inner.cluster)
    }

    async fn rolled_back(&self) -> Result<(), Error> {
        let Inner { pool, keys, env, .. } = &*self.inner;
        let found = first_look(pool, keys, env).await?;
        if found.opening == self.inner.opening {
            replace_opening(pool, keys, &found, env).await?;
        }
        self.inner.ended.cancel();
        Ok(())
    }

    async fn raise_generation(&self, to: u64) -> Result<(), Error> {
        loop {
            let known = self.get(GENERATION).await?;
            let now = known.as_ref().map_or(Ok(0), |kv| parse(&kv.value))?;
            self.inner.generation.fetch_max(now, Ordering::SeqCst);
            if now >= to {
                return Ok(());
            }
            let when = vec![Cmp::ModRevision(GENERATION.to_owned(), known.map_or(0, |kv| kv.mod_revision))];
            self.txn(when, vec![Op::put(GENERATION, to.to_string())], vec![]).await?;
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Kv>, Error> {
        let range = RangeRequest { key: self.inner.keys.full(key), ..RangeRequest::default() };
        Ok(self.inner.range("read a key", range).await?.0.into_iter().next())
    }

    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<(Vec<Kv>, Revision), Error> {
        let (key, range_end) = self.inner.keys.range(prefix, after);
        if key >= range_end {
            return Ok((Vec::new(), self.inner.seen.load(Ordering::SeqCst)));
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.inner.range("list keys", RangeRequest { key, range_end, limit }).await
    }

    async fn txn(&self, when: Vec<Cmp>, then: Vec<Op>, otherwise: Vec<Op>) -> Result<Outcome, Error> {
        check_limits(&then, &otherwise)?;
        transaction::run(&self.inner, &when, &then, &otherwise).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        watcher::watch(&self.inner, prefix, from).await
    }

    async fn lease(&self, ttl: Duration) -> Result<Lease, Error> {
        leases::grant(&self.inner, ttl).await
    }
}

fn request(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn read(key: Vec<u8>) -> RequestOp {
    request(Request::RequestRange(RangeRequest { key, ..RangeRequest::default() }))
}

fn equal(key: Vec<u8>, target: CompareTarget, union: TargetUnion) -> Compare {
    Compare { result: CompareResult::Equal.into(), target: target.into(), key, target_union: Some(union) }
}

/// The keys that a range found; `None` where the answer is to something else.
fn found_keys(response: &ResponseOp) -> Option<&[KeyValue]> {
    match &response.response {
        Some(Response::ResponseRange(range)) => Some(&range.kvs),
        _ => None,
    }
}

fn revision_of(answer: &TxnResponse) -> Revision {
    answer.header.map_or(0, |header| header.revision.cast_unsigned())
}

fn number(kv: &KeyValue) -> Result<u64, Error> {
    parse(&kv.value)
}

fn parse(value: &[u8]) -> Result<u64, Error> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(|| malformed("read the generation"))
}

/// The error of a call that did not succeed.
fn failed(operation: &'static str, broken: &Failed) -> Error {
    let applied = if broken.maybe { Applied::Unknown } else { Applied::Not };
    Error::Backend { operation, applied, source: Box::new(broken.status.clone()) }
}

fn superseded(operation: &'static str, applied: Applied) -> Error {
    Error::Backend { operation, applied, source: Box::new(Superseded) }
}

/// etcd's answer, or what is stored, is not what this program asks for and writes.
fn malformed(operation: &'static str) -> Error {
    let source = Box::new(Status::internal("etcd's answer is not one to what was asked"));
    Error::Backend { operation, applied: Applied::Unknown, source }
}
