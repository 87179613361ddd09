//! The coordinator of a simulated machine: etcd's rules as the real one keeps them, over the simulated network.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tidemark_catalog::ids::FencingToken;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    etcd::{Granted, Ran, Sent},
    machine::Seat,
    mistakes::{self, Mistake},
    world::{Peer, State, Watcher, World},
};
use crate::coordinator::{
    Applied, Cmp, Coordinator, Error, Event, Kv, Lease, LeaseId, Op, Outcome, Revision, Watch, WatchEvent,
    check_limits, lease::Keeper,
};

/// Longest time that a call is tried for, as in the real one.
const CALL: Duration = Duration::from_secs(6);

/// Longest time that one try of it waits.
const TRY: Duration = Duration::from_secs(2);

/// Pause before a watch is opened again.
const REOPEN: Duration = Duration::from_millis(100);

/// What a machine keeps of a state that it saw, on its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) opening: String,
    pub(super) revision: Revision,
}

/// A coordinator; a cheap handle.
#[derive(Clone)]
pub(super) struct SimCoordinator(Arc<Inner>);

struct Inner {
    world: World,
    seat: Seat,
    opening: String,
    generation: AtomicU64,
    seen: AtomicU64,
    ended: CancellationToken,
    /// Revisions that were drawn for claims, and the true ones ([`Mistake::TokenIsDrawn`]).
    drawn: Mutex<BTreeMap<Revision, Revision>>,
}

/// Why nothing is done for an opening that is no more.
#[derive(Debug, thiserror::Error)]
#[error("the state was lost or rolled back since this machine opened it")]
struct Superseded;

fn failed(operation: &'static str, applied: Applied) -> Error {
    Error::Backend { operation, applied, source: "no answer".into() }
}

fn superseded(operation: &'static str, applied: Applied) -> Error {
    Error::Backend { operation, applied, source: Box::new(Superseded) }
}

/// What a state says of itself: opening, generation, revision.
type Found = (String, u64, Revision);

/// Opens the state: makes an opening where there is none, and another one where it is older than a witness.
fn look(state: &mut State, drawn: &str, witness: Option<&Witness>) -> Found {
    let etcd = &mut state.etcd;
    let rolled_back =
        |opening: &str| witness.is_some_and(|seen| seen.opening == opening && seen.revision > etcd.revision);
    if etcd.opening.as_ref().is_none_or(|opening| rolled_back(opening)) {
        etcd.opening = Some(drawn.to_owned());
        etcd.revision += 1;
    }
    (etcd.opening.clone().unwrap_or_default(), etcd.generation, etcd.revision)
}

impl SimCoordinator {
    /// Opens the state for a machine, which remembers `witness` of it.
    pub(super) async fn open(world: World, seat: Seat, witness: Option<Witness>) -> Result<Self, Error> {
        let (drawn, who) = (hex::encode(seat.env.random::<16>()), seat.name.clone());
        let witness = witness.filter(|_| !world.makes(Mistake::RollbackIsNotSeen));
        let found = call(&world, &seat, "open the state", Applied::Not, || {
            let (drawn, witness, who) = (drawn.clone(), witness.clone(), who.clone());
            move |state: &mut State| {
                let found = look(state, &drawn, witness.as_ref());
                state.say(&who, format!("opens state {:.8}, generation {}, revision {}", found.0, found.1, found.2));
                found
            }
        });
        let (opening, generation, revision) = found.await?;
        let (generation, seen) = (AtomicU64::new(generation), AtomicU64::new(revision));
        Ok(Self(Arc::new(Inner {
            world,
            seat,
            opening,
            generation,
            seen,
            ended: CancellationToken::new(),
            drawn: Mutex::default(),
        })))
    }

    pub(super) fn witness(&self) -> Witness {
        Witness { opening: self.0.opening.clone(), revision: self.0.seen.load(Ordering::SeqCst) }
    }

    pub(super) fn ended(&self) -> CancellationToken {
        self.0.ended.clone()
    }
}

/// Asks etcd until it answers, for at most [`CALL`].
async fn call<T: Send + 'static, A: FnOnce(&mut State) -> T + Send + 'static>(
    world: &World,
    seat: &Seat,
    operation: &'static str,
    applied: Applied,
    request: impl Fn() -> A,
) -> Result<T, Error> {
    let until = seat.env.monotonic() + CALL;
    loop {
        let left = until.saturating_sub(seat.env.monotonic());
        if left.is_zero() {
            return Err(failed(operation, applied));
        }
        let apply = request();
        let answer =
            world.ask(seat.place, Peer::Etcd, seat.clock.time(), move |state, busy| (!busy).then(|| apply(state)));
        match tokio::time::timeout(left.min(TRY), answer).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => tokio::time::sleep(REOPEN).await,
            Err(_) => {}
        }
    }
}

impl Inner {
    /// Asks where the state is still the one that was opened; the answer and the revision.
    async fn guarded<T: Send + 'static, A: FnOnce(&mut State) -> T + Send + 'static>(
        &self,
        operation: &'static str,
        applied: Applied,
        request: impl Fn() -> A,
    ) -> Result<T, Error> {
        if self.ended.is_cancelled() {
            return Err(superseded(operation, Applied::Not));
        }
        let before = self.seen.load(Ordering::SeqCst);
        let answer = call(&self.world, &self.seat, operation, applied, || {
            let (apply, opening) = (request(), self.opening.clone());
            move |state: &mut State| match state.etcd.opening.as_ref() == Some(&opening) {
                true => Some((apply(state), state.etcd.revision)),
                false => None,
            }
        });
        let Some((answer, revision)) = answer.await? else {
            self.ended.cancel();
            return Err(superseded(operation, applied));
        };
        if revision < before && !self.world.makes(Mistake::RollbackIsNotSeen) {
            self.replace().await?;
            return Err(superseded(operation, applied));
        }
        self.seen.fetch_max(revision, Ordering::SeqCst);
        Ok(answer)
    }

    /// Puts another opening in the place of this one, where that is still there.
    async fn replace(&self) -> Result<(), Error> {
        let (drawn, who) = (hex::encode(self.seat.env.random::<16>()), self.seat.name.clone());
        let replaced = call(&self.world, &self.seat, "draw another opening", Applied::Unknown, || {
            let (drawn, own, who) = (drawn.clone(), self.opening.clone(), who.clone());
            move |state: &mut State| {
                if state.etcd.opening == Some(own) {
                    state.etcd.opening = Some(drawn);
                    state.etcd.revision += 1;
                    state.say(&who, "finds etcd rolled back, and draws another opening");
                }
            }
        });
        replaced.await?;
        self.ended.cancel();
        Ok(())
    }

    /// True where leases are believed for ever, by mistake.
    fn believes(&self) -> bool {
        self.world.mistake.is_some_and(Mistake::believes_leases)
    }

    /// A revision in the place of a claim's, by mistake.
    fn draw(&self, of: Revision) -> Revision {
        if !self.world.makes(Mistake::TokenIsDrawn) {
            return of;
        }
        // Not above what was given: that would show that etcd was rolled back.
        let (drawn, generation) = (self.seat.env.noise() % (of + 1), self.generation.load(Ordering::SeqCst));
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner).insert(drawn, of);
        let token = |revision| FencingToken { generation, revision };
        self.world.lock().judge.drawn(token(drawn), token(of));
        drawn
    }

    /// The true revision of a claim's compare.
    fn undrawn(&self, cmp: Cmp) -> Cmp {
        let drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        match cmp {
            Cmp::ModRevision(key, revision) if key.starts_with("claim/") => {
                let of = drawn.get(&revision).copied().unwrap_or(revision);
                Cmp::ModRevision(key, of)
            }
            other => other,
        }
    }

    fn learn(&self, generation: u64) {
        self.generation.fetch_max(generation, Ordering::SeqCst);
    }
}

/// Carries out a transaction, with the judge looking.
fn run(state: &mut State, seat: &(super::world::Place, Arc<str>), generation: u64, sent: &Sent) -> (Ran, u64) {
    let before = state.etcd.revision;
    let State { etcd, judge, .. } = state;
    judge.asked(seat.0, &seat.1, generation, etcd, sent);
    let ran = etcd.run(sent);
    if let Ran::Now(outcome) = &ran {
        judge.carried_out(outcome);
        let words = mistakes::words(sent, outcome);
        state.did(seat.0, &seat.1, format!("txn {words}"));
    }
    state.tell(before);
    (ran, state.etcd.generation)
}

#[async_trait]
impl Coordinator for SimCoordinator {
    fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::SeqCst)
    }

    fn opening(&self) -> &str {
        &self.0.opening
    }

    fn cluster(&self) -> Option<&str> {
        Some("sim")
    }

    async fn rolled_back(&self) -> Result<(), Error> {
        self.0.replace().await
    }

    async fn raise_generation(&self, to: u64) -> Result<(), Error> {
        let who = self.0.seat.name.clone();
        let raised = self.0.guarded("raise the generation", Applied::Unknown, || {
            let who = who.clone();
            move |state: &mut State| {
                let raised = state.etcd.raise(to);
                state.say(&who, format!("raises the generation to {to}: {raised}"));
                raised
            }
        });
        self.0.learn(raised.await?);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Kv>, Error> {
        let read = self.0.guarded("read a key", Applied::Not, || {
            let key = key.to_owned();
            move |state: &mut State| state.etcd.keys.get(&key).cloned()
        });
        read.await
    }

    async fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Result<(Vec<Kv>, Revision), Error> {
        let listed = self.0.guarded("list keys", Applied::Not, || {
            let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
            move |state: &mut State| (state.etcd.list(&prefix, limit, after.as_deref()), state.etcd.revision)
        });
        listed.await
    }

    async fn txn(&self, when: Vec<Cmp>, then: Vec<Op>, otherwise: Vec<Op>) -> Result<Outcome, Error> {
        check_limits(&then, &otherwise)?;
        let number = self.0.seat.env.noise();
        let reads = |ops: &[Op]| ops.iter().any(|op| matches!(op, Op::Get(_)));
        let lost = if reads(&then) || reads(&otherwise) { Some(failed("transaction", Applied::Unknown)) } else { None };
        let by_generation = when.iter().any(|cmp| matches!(cmp, Cmp::Generation(_)));
        let when = when.into_iter().map(|cmp| self.0.undrawn(cmp)).collect();
        let draws = then.iter().any(|op| op.key().starts_with("claim/") || op.key() == "later-token");
        let sent = Sent { number, when, then, otherwise };
        let mut outcome = None;
        for sent in mistakes::made_of(self.0.world.mistake, sent, &self.0.seat.env) {
            let seat = (self.0.seat.place, self.0.seat.name.clone());
            let ran = self.0.guarded("transaction", Applied::Unknown, || {
                let (seat, sent, generation) = (seat.clone(), sent.clone(), self.generation());
                move |state: &mut State| run(state, &seat, generation, &sent)
            });
            let (ran, generation) = ran.await?;
            let mut now = match ran {
                Ran::Now(outcome) => outcome,
                Ran::Before(_) if lost.is_some() => return Err(failed("transaction", Applied::Unknown)),
                Ran::Before(outcome) => outcome,
                Ran::LeaseGone(lease) => return Err(Error::LeaseGone(lease)),
            };
            if by_generation && !now.succeeded {
                self.0.learn(generation);
            }
            if draws && now.succeeded {
                now.revision = self.0.draw(now.revision);
            }
            let stop = !now.succeeded;
            outcome = Some(now);
            if stop {
                break;
            }
        }
        outcome.ok_or_else(|| failed("transaction", Applied::Not))
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        let mut following =
            Following { of: self.clone(), prefix: prefix.to_owned(), next: from.max(1), events: None, over: false };
        following.open().await?;
        Ok(Watch::new(stream::unfold(following, Following::step).boxed()))
    }

    async fn lease(&self, ttl: Duration) -> Result<Lease, Error> {
        let (id, sent, who) = (self.0.seat.env.noise() >> 1, self.0.seat.env.monotonic(), self.0.seat.name.clone());
        let granted = self.0.guarded("grant a lease", Applied::Unknown, || {
            let who = who.clone();
            move |state: &mut State| {
                let until = state.now + ttl;
                state.etcd.leases.insert(id, Granted { ttl, until });
                state.say(&who, format!("lease {id:x} granted"));
            }
        });
        granted.await?;
        let (lost, dropped) = (CancellationToken::new(), CancellationToken::new());
        let held = Arc::new(Held { of: self.clone(), id, ttl, deadline: Mutex::new(sent + ttl), lost, dropped });
        tokio::spawn(keep(Arc::clone(&held)));
        Ok(Lease::new(LeaseId(id), Holder(held)))
    }
}

/// A watch that opens streams one after the other, from the revision after the last that came.
struct Following {
    of: SimCoordinator,
    prefix: String,
    next: Revision,
    events: Option<mpsc::UnboundedReceiver<Event>>,
    over: bool,
}

impl Following {
    /// Opens a stream; `events` stays absent where changes were missed.
    async fn open(&mut self) -> Result<bool, Error> {
        let place = self.of.0.seat.place;
        let opened = self.of.0.guarded("watch", Applied::Not, || {
            let (prefix, next) = (self.prefix.clone(), self.next);
            move |state: &mut State| {
                let past = state.etcd.since(&prefix, next)?;
                let (sender, receiver) = mpsc::unbounded_channel();
                past.into_iter().for_each(|event| drop(sender.send(event)));
                let after = state.now;
                state.watchers.push(Watcher { place, prefix, sender, after });
                Some(receiver)
            }
        });
        self.events = opened.await?;
        Ok(self.events.is_some())
    }

    async fn step(mut self) -> Option<(WatchEvent, Self)> {
        let ended = self.of.ended();
        while !self.over {
            let event = match &mut self.events {
                None => None,
                Some(events) => tokio::select! {
                    biased;
                    () = ended.cancelled() => return None,
                    event = events.recv() => event,
                },
            };
            match event {
                Some(event) if event.revision < self.next => {}
                Some(event) => {
                    self.next = self.next.max(event.revision);
                    return Some((WatchEvent::Changed(event), self));
                }
                None => {
                    // Several changes of one revision may have been under way; a hint that comes twice does no harm.
                    tokio::time::sleep(REOPEN).await;
                    match self.open().await {
                        Ok(true) | Err(_) if !ended.is_cancelled() => {}
                        Ok(false) => {
                            self.over = true;
                            return Some((WatchEvent::Resync, self));
                        }
                        _ => return None,
                    }
                }
            }
        }
        None
    }
}

/// A lease as its machine knows it.
struct Held {
    of: SimCoordinator,
    id: u64,
    ttl: Duration,
    deadline: Mutex<Duration>,
    lost: CancellationToken,
    dropped: CancellationToken,
}

impl Held {
    fn deadline(&self) -> Duration {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews until it is dropped; returns once etcd says that it is gone.
    async fn renew(&self) {
        loop {
            tokio::select! {
                biased;
                () = self.dropped.cancelled() => std::future::pending().await,
                () = tokio::time::sleep(self.ttl / 3) => {}
            }
            let (sent, id, ttl) = (self.of.0.seat.env.monotonic(), self.id, self.ttl);
            let alive = self.of.0.guarded("renew a lease", Applied::Not, || {
                move |state: &mut State| {
                    let until = state.now + ttl;
                    let granted = state.etcd.leases.get_mut(&id);
                    granted.map(|granted| granted.until = until).is_some()
                }
            });
            match alive.await {
                // The answer may be to a later try: it is counted from the first.
                Ok(true) => *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = sent + ttl,
                Ok(false) => return,
                Err(_) => {}
            }
        }
    }
}

/// Keeps a lease, and says that it is lost once it is, or may be.
async fn keep(held: Arc<Held>) {
    let env = held.of.0.seat.env.clone();
    let watchdog = async {
        loop {
            let left = held.deadline().saturating_sub(env.monotonic());
            if left.is_zero() {
                break;
            }
            tokio::time::sleep(left).await;
        }
    };
    let ended = held.of.ended();
    tokio::select! {
        biased;
        () = held.lost.cancelled() => {}
        () = ended.cancelled() => {}
        () = watchdog => {}
        () = held.renew() => {}
    }
    if !held.of.0.believes() {
        held.lost.cancel();
    }
}

struct Holder(Arc<Held>);

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.dropped.cancel();
    }
}

#[async_trait]
impl Keeper for Holder {
    fn deadline(&self) -> Duration {
        match self.0.of.0.believes() || self.0.of.0.world.makes(Mistake::ClockIsNotAsked) {
            true => Duration::MAX / 2,
            false => self.0.deadline(),
        }
    }

    fn lost(&self) -> CancellationToken {
        self.0.lost.clone()
    }

    async fn revoke(&self) -> Result<(), Error> {
        self.0.lost.cancel();
        let (id, who) = (self.0.id, self.0.of.0.seat.name.clone());
        let revoked = self.0.of.0.guarded("end a lease", Applied::Unknown, || {
            let who = who.clone();
            move |state: &mut State| {
                let before = state.etcd.revision;
                state.etcd.end(id);
                let now = state.now;
                state.judge.ended(id, now);
                state.say(&who, format!("lease {id:x} revoked"));
                state.tell(before);
            }
        });
        revoked.await
    }
}
