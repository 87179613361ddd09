//! What goes wrong, and when: drawn from the world's randomness.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use super::{
    Cluster, DAEMONS,
    etcd::Etcd,
    mistakes::{Climate, Mistake},
    world::{Link, Peer},
};

/// Something that is taken back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Later {
    Start(usize),
    Thaw(usize),
    Heal(usize, Peer),
}

/// What a machine may be waited for to do: the moments at which it is worst to be interrupted.
const TRAPS: [&str; 10] = [
    "put claim/",
    "put slot/",
    "put checkpoint/",
    "put later-token",
    "delete claim/",
    "put sources/east/pages",
    "/versions/",
    "/marks/",
    "/work/",
    "delete sources/east",
];

/// The weather.
pub(super) struct Weather {
    next: Duration,
    until: Duration,
    later: BTreeMap<(Duration, u32), Later>,
    count: u32,
    /// A copy of etcd's data, to be put back.
    backup: Option<Etcd>,
    /// Etcd's data is lost or put back once at most.
    harmed: bool,
    climate: Climate,
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Weather {
    pub(super) fn new(until: Duration, mistake: Option<Mistake>) -> Self {
        let climate = mistake.map_or(Climate::Usual, Mistake::climate);
        Self { next: Duration::ZERO, until, later: BTreeMap::new(), count: 0, backup: None, harmed: false, climate }
    }

    fn after(&mut self, now: Duration, wait: Duration, later: Later) {
        self.count += 1;
        self.later.insert((now + wait, self.count), later);
    }

    /// What is due now.
    pub(super) fn pass(&mut self, cluster: &mut Cluster) {
        let now = cluster.now();
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            let later = first.remove();
            take_back(cluster, later);
        }
        self.keep_up(cluster);
        let sprung = cluster.world.lock().sprung.take();
        if let Some(machine) = sprung {
            let (kind, long) = {
                let mut state = cluster.world.lock();
                (state.roll(4), 200 + state.roll(1300))
            };
            let (kind, long) = match self.climate {
                Climate::Freezes(_) => (1, long.max(400)),
                _ => (kind, long),
            };
            let name = format!("m{machine}");
            cluster.world.lock().say(&name, "did what was waited for");
            match kind {
                0 => self.crash(cluster, machine, now, long),
                1 => self.freeze(cluster, machine, now, Duration::from_millis(long * 30)),
                2 => self.cut(cluster, machine, Peer::Etcd, now, long),
                _ => self.cut(cluster, machine, Peer::Store, now, long),
            }
        }
        if now < self.next || now >= self.until {
            return;
        }
        let pause = 500 + cluster.world.lock().roll(7_500);
        self.next = now + Duration::from_millis(pause);
        self.strike(cluster, now);
    }

    /// Daemons that ended by themselves are started again.
    pub(super) fn keep_up(&mut self, cluster: &mut Cluster) {
        for machine in 0..DAEMONS {
            if cluster.machines[machine].has_ended() {
                cluster.start(machine);
            }
        }
    }

    fn strike(&mut self, cluster: &mut Cluster, now: Duration) {
        let (machine, kind, long, peer) = {
            let mut state = cluster.world.lock();
            let peer = if state.chance(50) { Peer::Etcd } else { Peer::Store };
            (state.roll(DAEMONS as u64) as usize, state.roll(100), state.roll(1000), peer)
        };
        let kind = match self.climate {
            Climate::Usual => kind,
            Climate::Freezes(_) => 20,
            Climate::PutBack if self.backup.is_some() => return self.harm(cluster, 0),
            Climate::PutBack => 94,
        };
        let name = format!("m{machine}");
        let up = cluster.machines[machine].is_up() && !cluster.machines[machine].frozen;
        match kind {
            0..10 if up => self.crash(cluster, machine, now, long),
            10..20 if up => self.freeze(cluster, machine, now, Duration::from_millis(500 + long * long * 40 / 1000)),
            20..45 => {
                let any = TRAPS[long as usize % TRAPS.len()];
                let trap = if let Climate::Freezes(after) = self.climate { after } else { any };
                let mut state = cluster.world.lock();
                state.trap = Some(trap);
                state.say("world", format!("waits for {trap}"));
            }
            45..58 => {
                let (to, from) = [(true, true), (true, false), (false, true)][long as usize % 3];
                let link = Link { cut_to: to, cut_from: from, ..Link::default() };
                self.link(cluster, machine, peer, link, now, long);
            }
            58..76 => {
                let link = match long % 4 {
                    0 => Link { slow: Some(seconds(1 + long % 5)), ..Link::default() },
                    1 => Link { loses: 30, ..Link::default() },
                    2 => Link { busy: 40, ..Link::default() },
                    _ => Link { late: 25, ..Link::default() },
                };
                self.link(cluster, machine, peer, link, now, long);
            }
            76..84 => {
                let wrong = long as i64 * 60 - 30_000;
                cluster.world.lock().say(&name, format!("has a clock that is wrong by {wrong} ms"));
                cluster.machines[machine].wrong.store(wrong, Ordering::SeqCst);
            }
            84..90 => {
                let mut state = cluster.world.lock();
                let leases: Vec<u64> = state.etcd.leases.keys().copied().collect();
                if let Some(lease) = leases.get(long as usize % leases.len().max(1)) {
                    let (before, until) = (state.etcd.revision, state.etcd.leases[lease].until);
                    state.etcd.end(*lease);
                    // Its holder may believe in it until then.
                    state.judge.ended(*lease, until);
                    state.say("etcd", format!("loses lease {lease:x}"));
                    state.tell(before);
                }
            }
            90..94 => {
                let mut state = cluster.world.lock();
                state.etcd.compacted = state.etcd.revision;
                state.watchers.clear();
                state.say("etcd", "forgets changes, and ends watches");
            }
            94..97 => self.backup = Some(cluster.world.lock().etcd.clone()),
            97..100 if !self.harmed => self.harm(cluster, long),
            _ => {}
        }
    }

    fn crash(&mut self, cluster: &mut Cluster, machine: usize, now: Duration, long: u64) {
        cluster.world.lock().say(&format!("m{machine}"), "crashes");
        cluster.machines[machine].stop();
        self.after(now, Duration::from_millis(long * 15), Later::Start(machine));
    }

    fn freeze(&mut self, cluster: &mut Cluster, machine: usize, now: Duration, lasts: Duration) {
        cluster.world.lock().say(&format!("m{machine}"), format!("freezes for {lasts:?}"));
        cluster.machines[machine].frozen = true;
        self.after(now, lasts, Later::Thaw(machine));
    }

    fn cut(&mut self, cluster: &mut Cluster, machine: usize, peer: Peer, now: Duration, long: u64) {
        let link = Link { cut_to: true, cut_from: true, ..Link::default() };
        self.link(cluster, machine, peer, link, now, long);
    }

    fn link(&mut self, cluster: &mut Cluster, machine: usize, peer: Peer, link: Link, now: Duration, long: u64) {
        let lasts = Duration::from_millis(500 + long * 25);
        let mut state = cluster.world.lock();
        state.say(&format!("m{machine}"), format!("for {lasts:?} its way to {peer:?} is {link:?}"));
        *state.link_mut(machine, peer) = link;
        drop(state);
        self.after(now, lasts, Later::Heal(machine, peer));
    }

    /// Etcd's data is lost, or an older copy is put in its place.
    fn harm(&mut self, cluster: &mut Cluster, long: u64) {
        self.harmed = true;
        let backup = self.backup.take().filter(|_| long.is_multiple_of(2));
        let lost = backup.is_none();
        {
            let mut state = cluster.world.lock();
            let now = state.now;
            state.etcd = backup.unwrap_or_default();
            state.etcd.leases.values_mut().for_each(|granted| granted.until = now + granted.ttl);
            state.judge.another_state();
            state.watchers.clear();
            let revision = state.etcd.revision;
            state
                .say("etcd", if lost { "loses all".to_owned() } else { format!("is put back to revision {revision}") });
        }
        if lost {
            cluster.set_up();
        }
    }

    /// All is well from now on.
    pub(super) fn clear(&mut self, cluster: &mut Cluster) {
        cluster.world.lock().heal();
        cluster.world.lock().trap = None;
        cluster.world.lock().say("world", "all is well from now on");
        self.later.clear();
        for machine in 0..DAEMONS {
            cluster.machines[machine].wrong.store(0, Ordering::SeqCst);
            cluster.machines[machine].thaw();
            if !cluster.machines[machine].is_up() {
                cluster.start(machine);
            }
        }
    }
}

fn take_back(cluster: &mut Cluster, later: Later) {
    match later {
        Later::Start(machine) if !cluster.machines[machine].is_up() => cluster.start(machine),
        Later::Thaw(machine) if cluster.machines[machine].frozen => {
            cluster.world.lock().say(&format!("m{machine}"), "goes on");
            cluster.machines[machine].thaw();
        }
        Later::Heal(machine, peer) => *cluster.world.lock().link_mut(machine, peer) = Link::default(),
        _ => {}
    }
}
