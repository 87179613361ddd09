//! A machine: a daemon with a runtime of its own, whose time goes on as the world lets it. It can be killed wherever its tasks wait,
//! stand still while the world goes on, and have a wrong clock.

use std::{
    any::Any,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use tidemark_gateway::{Env, env::Clocks};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::world::Place;

/// Wall time of the world's beginning, since 1970.
pub(super) const START: Duration = Duration::from_secs(1_796_000_000);

/// Clocks and randomness of a life of a machine.
pub(super) struct Clock {
    /// When this life began, by the world's clock.
    began: Duration,
    base: tokio::time::Instant,
    /// How far the wall clock is wrong, ms. It outlives a life.
    wrong: Arc<AtomicI64>,
    rng: Mutex<StdRng>,
}

impl Clock {
    /// The world's time, as far as this machine has come. Only from within its runtime.
    pub(super) fn time(&self) -> Duration {
        self.began + self.base.elapsed()
    }
}

struct Handle(Arc<Clock>);

impl Clocks for Handle {
    fn now(&self) -> Timestamp {
        let wrong = SignedDuration::from_millis(self.0.wrong.load(Ordering::SeqCst));
        let right = SignedDuration::try_from(START + self.0.time()).expect("a simulation ends before that");
        Timestamp::UNIX_EPOCH.checked_add(right + wrong).expect("a simulation ends before that")
    }

    fn monotonic(&self) -> Duration {
        self.0.base.elapsed()
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.0.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

/// Who acts: a life of a machine, with its clock.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) place: Place,
    pub(super) name: Arc<str>,
    pub(super) clock: Arc<Clock>,
    pub(super) env: Env,
}

/// A machine.
pub(super) struct Machine {
    pub(super) number: usize,
    pub(super) life: u32,
    runtime: Option<Runtime>,
    work: Option<JoinHandle<()>>,
    /// How far it has come, by the world's clock.
    at: Duration,
    pub(super) frozen: bool,
    /// It was frozen, and has not gone on yet.
    thaws: bool,
    /// Something came that it has not dealt with.
    pub(super) woken: bool,
    pub(super) wrong: Arc<AtomicI64>,
    ended: Arc<AtomicBool>,
}

impl Machine {
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            life: 0,
            runtime: None,
            work: None,
            at: Duration::ZERO,
            frozen: false,
            thaws: false,
            woken: false,
            wrong: Arc::default(),
            ended: Arc::default(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.runtime.is_some()
    }

    /// Begins a life, in which `work` is done.
    #[expect(clippy::disallowed_methods, reason = "the base of the simulated clocks")]
    pub(super) fn start<Fut: Future<Output = ()> + Send + 'static>(
        &mut self,
        now: Duration,
        noise: u64,
        work: impl FnOnce(Seat) -> Fut,
    ) {
        self.stop();
        self.life += 1;
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime is made");
        let base = runtime.block_on(async { tokio::time::Instant::now() });
        let clock =
            Clock { began: now, base, wrong: Arc::clone(&self.wrong), rng: Mutex::new(StdRng::seed_from_u64(noise)) };
        let clock = Arc::new(clock);
        let name = format!("m{}", self.number).into();
        let place = Place { machine: self.number, life: self.life };
        let env = Env::of(Handle(Arc::clone(&clock)));
        let (ended, work) = (Arc::new(AtomicBool::new(false)), work(Seat { place, name, clock, env }));
        self.ended = Arc::clone(&ended);
        self.work = Some(runtime.spawn(async move {
            work.await;
            ended.store(true, Ordering::SeqCst);
        }));
        (self.runtime, self.at, self.woken) = (Some(runtime), now, true);
        (self.frozen, self.thaws) = (false, false);
    }

    /// Ends this life where it stands: nothing of it is done any more.
    pub(super) fn stop(&mut self) {
        (self.runtime, self.work) = (None, None);
        self.ended = Arc::default();
        (self.frozen, self.thaws, self.woken) = (false, false, false);
    }

    /// True where its work came to an end by itself.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// What its work said when it failed, once.
    pub(super) fn failure(&mut self) -> Option<String> {
        let runtime = self.runtime.as_ref()?;
        let work = self.work.take_if(|work| work.is_finished())?;
        let failure = runtime.block_on(work).err()?;
        Some(if failure.is_panic() { said(&*failure.into_panic()) } else { failure.to_string() })
    }

    /// It goes on from where it stood, and finds that time has passed.
    pub(super) fn thaw(&mut self) {
        self.thaws = std::mem::take(&mut self.frozen);
    }

    pub(super) fn lag(&self, now: Duration) -> Duration {
        if self.frozen || self.runtime.is_none() { Duration::ZERO } else { now.saturating_sub(self.at) }
    }

    /// Goes on until `now`: whatever its timers say, in their order.
    pub(super) fn run_to(&mut self, now: Duration) {
        let lag = self.lag(now);
        let Some(runtime) = self.runtime.as_ref().filter(|_| !lag.is_zero()) else { return };
        if std::mem::take(&mut self.thaws) {
            runtime.block_on(tokio::time::advance(lag.saturating_sub(Duration::from_millis(1))));
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
        } else {
            runtime.block_on(async { tokio::time::sleep(lag).await });
        }
        (self.at, self.woken) = (now, false);
    }
}

/// The words of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it said nothing".to_owned())
}
