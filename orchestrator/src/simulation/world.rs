//! What lies outside of daemons: time, the network with its faults, etcd, the bucket, the log, and the judge.
//!
//! A request is a message that arrives after a while, is carried out as one step, and whose answer arrives after another while;
//! each may be lost. What was sent arrives whatever becomes of who sent it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::{mpsc, oneshot};

use super::{bucket::Bucket, etcd::Etcd, judge::Judge, mistakes::Mistake};
use crate::coordinator::Event;

/// A life of a machine: between two starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) machine: usize,
    pub(super) life: u32,
}

/// Whom a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Etcd,
    Store,
}

/// The way between a machine and a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    /// Requests do not arrive.
    pub(super) cut_to: bool,
    /// Answers do not arrive.
    pub(super) cut_from: bool,
    /// Longest time of a message, instead of the usual.
    pub(super) slow: Option<Duration>,
    /// Of a hundred answers so many are lost.
    pub(super) loses: u32,
    /// Of a hundred requests so many are refused by a busy server.
    pub(super) busy: u32,
    /// Of a hundred requests so many arrive late: after who sent them has given up.
    pub(super) late: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) arrives: Option<Duration>,
    pub(super) answered: bool,
    pub(super) busy: bool,
}

/// Usual longest time of a message.
const USUAL: Duration = Duration::from_millis(6);

type Happens = Box<dyn FnOnce(&mut State) + Send>;

/// Something that is on its way.
pub(super) struct Coming {
    /// Whom it wakes.
    pub(super) to: Option<usize>,
    pub(super) happens: Happens,
}

/// A watch that etcd serves.
pub(super) struct Watcher {
    pub(super) place: Place,
    pub(super) prefix: String,
    pub(super) sender: mpsc::UnboundedSender<Event>,
    /// Nothing is delivered before this: changes come in order.
    pub(super) after: Duration,
}

/// All that is shared.
pub(super) struct State {
    pub(super) now: Duration,
    pub(super) rng: StdRng,
    pub(super) etcd: Etcd,
    pub(super) bucket: Arc<Mutex<Bucket>>,
    pub(super) watchers: Vec<Watcher>,
    pub(super) judge: Judge,
    pub(super) log: Vec<String>,
    /// What is believed to be read back, by whom ([`Mistake::TakenIsOwn`]).
    pub(super) believed: BTreeMap<(Place, String), Bytes>,
    /// What a machine is waited for to do; then something befalls it.
    pub(super) trap: Option<&'static str>,
    /// The machine that did it.
    pub(super) sprung: Option<usize>,
    coming: BTreeMap<(Duration, u64), Coming>,
    sent: u64,
    links: Vec<[Link; 2]>,
}

/// The world; a handle.
#[derive(Clone)]
pub(super) struct World {
    state: Arc<Mutex<State>>,
    pub(super) mistake: Option<Mistake>,
}

impl World {
    pub(super) fn new(seed: u64, machines: usize, mistake: Option<Mistake>) -> Self {
        let bucket = Arc::<Mutex<Bucket>>::default();
        let state = State {
            now: Duration::ZERO,
            rng: StdRng::seed_from_u64(seed),
            etcd: Etcd::default(),
            judge: Judge::new(Arc::clone(&bucket)),
            bucket,
            watchers: Vec::new(),
            log: Vec::new(),
            believed: BTreeMap::new(),
            trap: None,
            sprung: None,
            coming: BTreeMap::new(),
            sent: 0,
            links: vec![[Link::default(); 2]; machines],
        };
        Self { state: Arc::new(Mutex::new(state)), mistake }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// Sends a request at the sender's time `at`; what it comes to, or nothing for ever where something is lost. `busy` is told whether the
    /// server refuses it.
    pub(super) fn ask<T: Send + 'static, A: FnOnce(&mut State, bool) -> T + Send + 'static>(
        &self,
        place: Place,
        peer: Peer,
        at: Duration,
        apply: A,
    ) -> impl Future<Output = T> + Send + use<T, A> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        let Course { arrives, answered, busy } = state.course(place, peer);
        if let Some(after) = arrives {
            let happens = move |state: &mut State| {
                let answer = apply(state, busy);
                let link = state.link(place.machine, peer);
                if answered && !link.cut_from {
                    let back = state.now + state.lasts(link);
                    state.comes(back, Some(place.machine), move |_| drop(sender.send(answer)));
                }
            };
            state.comes(at + after, None, happens);
        }
        async move {
            match receiver.await {
                Ok(answer) => answer,
                Err(_) => std::future::pending().await,
            }
        }
    }
}

impl State {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.rng.random_range(0..sides)
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.random_range(0..100) < percent
    }

    pub(super) fn link(&self, machine: usize, peer: Peer) -> Link {
        self.links[machine][peer as usize]
    }

    pub(super) fn link_mut(&mut self, machine: usize, peer: Peer) -> &mut Link {
        &mut self.links[machine][peer as usize]
    }

    /// All ways are as usual.
    pub(super) fn heal(&mut self) {
        self.links.fill([Link::default(); 2]);
    }

    fn lasts(&mut self, link: Link) -> Duration {
        let longest = link.slow.unwrap_or(USUAL).as_millis() as u64;
        Duration::from_millis(1 + self.roll(longest))
    }

    fn course(&mut self, place: Place, peer: Peer) -> Course {
        let link = self.link(place.machine, peer);
        let usual = self.lasts(link);
        let late = self.chance(link.late).then(|| Duration::from_millis(3_000 + self.roll(27_000)));
        let answered = late.is_none() && !self.chance(link.loses);
        Course { arrives: (!link.cut_to).then(|| late.unwrap_or(usual)), answered, busy: self.chance(link.busy) }
    }

    pub(super) fn comes(&mut self, at: Duration, to: Option<usize>, happens: impl FnOnce(&mut State) + Send + 'static) {
        self.sent += 1;
        self.coming.insert((at, self.sent), Coming { to, happens: Box::new(happens) });
    }

    /// When the next thing comes.
    pub(super) fn next(&self) -> Option<Duration> {
        self.coming.keys().next().map(|(at, _)| *at)
    }

    /// The next thing that has come by now.
    pub(super) fn due(&mut self) -> Option<Coming> {
        let first = self.coming.first_entry().filter(|first| first.key().0 <= self.now);
        first.map(|first| first.remove())
    }

    /// Writes a line of the log.
    pub(super) fn say(&mut self, who: &str, words: impl AsRef<str>) {
        self.log.push(format!("{:9.3} {who} {}", self.now.as_secs_f64(), words.as_ref()));
    }

    /// Writes down what a machine did, which something may wait for.
    pub(super) fn did(&mut self, place: Place, who: &str, words: String) {
        if self.trap.is_some_and(|trap| words.contains(trap) && (trap.starts_with("get") || !words.starts_with("get")))
        {
            (self.trap, self.sprung) = (None, Some(place.machine));
        }
        self.say(who, words);
    }

    /// Ends leases whose time has come, and has watchers hear of all changes after `before`.
    pub(super) fn expire(&mut self) {
        for id in self.etcd.over(self.now) {
            let before = self.etcd.revision;
            self.etcd.end(id);
            self.judge.ended(id, self.now);
            self.say("etcd", format!("lease {id:x} runs out, revision {}", self.etcd.revision));
            self.tell(before);
        }
    }

    /// Has watchers hear of changes after a revision.
    pub(super) fn tell(&mut self, before: u64) {
        let now = self.now;
        let mut watchers = std::mem::take(&mut self.watchers);
        watchers.retain_mut(|watcher| {
            let events = self.etcd.since(&watcher.prefix, before + 1).unwrap_or_default();
            if events.is_empty() {
                return !watcher.sender.is_closed();
            }
            let link = self.link(watcher.place.machine, Peer::Etcd);
            // The stream breaks where nothing arrives: who watches opens another one.
            if link.cut_from || watcher.sender.is_closed() {
                return false;
            }
            let at = watcher.after.max(now + self.lasts(link));
            watcher.after = at;
            let sender = watcher.sender.clone();
            self.comes(at, Some(watcher.place.machine), move |_| {
                events.into_iter().for_each(|event| drop(sender.send(event)));
            });
            true
        });
        self.watchers = watchers;
    }
}
