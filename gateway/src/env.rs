//! Wall clock, monotonic clock, randomness and ids, handed down from `main`.
//!
//! Nothing else in the workspace asks the operating system for the time or for random bytes (clippy refuses it), so that
//! tests of time and simulations can replace both.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rand::{RngCore, SeedableRng, rngs::StdRng};
use uuid::Uuid;

/// A cheap handle on the clocks and the source of randomness of this process.
#[derive(Clone)]
pub struct Env {
    clocks: Arc<dyn Clocks>,
}

/// What an environment is made of; implemented by the operating system, by [`Env::seeded`] and by simulations.
pub trait Clocks: Send + Sync {
    /// See [`Env::now`].
    fn now(&self) -> Timestamp;
    /// See [`Env::monotonic`].
    fn monotonic(&self) -> Duration;
    /// Puts random bytes into all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

impl Env {
    /// The clocks and the randomness of the operating system.
    pub fn system() -> Self {
        Self::of(System::new())
    }

    /// A deterministic environment: time stands at `start`, random bytes follow from `seed`.
    pub fn seeded(seed: u64, start: Timestamp) -> Self {
        Self::of(Seeded { start, rng: Mutex::new(StdRng::seed_from_u64(seed)) })
    }

    /// An environment of these clocks and this randomness.
    pub fn of(clocks: impl Clocks + 'static) -> Self {
        Self { clocks: Arc::new(clocks) }
    }

    /// Wall-clock time.
    pub fn now(&self) -> Timestamp {
        self.clocks.now()
    }

    /// Wall-clock time in microseconds since 1970-01-01 UTC, the unit of Cassandra's write times.
    pub fn now_micros(&self) -> i64 {
        self.now().as_microsecond()
    }

    /// Time since this environment was made; never goes back.
    pub fn monotonic(&self) -> Duration {
        self.clocks.monotonic()
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.clocks.fill(&mut bytes);
        bytes
    }

    /// 64 random bits.
    pub fn noise(&self) -> u64 {
        u64::from_le_bytes(self.random())
    }

    /// A new time-sortable id (UUID version 7 of [`Env::now`]).
    pub fn id(&self) -> Uuid {
        let millis = u64::try_from(self.now().as_millisecond()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.random()).into_uuid()
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

struct System {
    /// By the clock of the runtime's timers, which tests can stop.
    started: tokio::time::Instant,
}

impl System {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
    fn new() -> Self {
        Self { started: tokio::time::Instant::now() }
    }
}

impl Clocks for System {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

struct Seeded {
    start: Timestamp,
    rng: Mutex<StdRng>,
}

impl Clocks for Seeded {
    fn now(&self) -> Timestamp {
        self.start
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_run() {
        let run = |seed| {
            let env = Env::seeded(seed, Timestamp::UNIX_EPOCH);
            (env.random::<16>(), env.id(), env.random::<16>(), env.now(), env.monotonic())
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).0, run(2).0);
        assert_ne!(run(1).0, run(1).2);
    }

    #[test]
    fn ids_are_version_7_and_carry_the_time() {
        let env = Env::seeded(1, Timestamp::from_millisecond(1_800_000_000_123).unwrap());
        let id = env.id();
        assert_eq!(id.get_version_num(), 7);
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos / 1_000_000), (1_800_000_000, 123));
    }

    #[test]
    fn the_system_clock_moves_and_randomness_differs() {
        let env = Env::system();
        let before = env.monotonic();
        assert!(env.monotonic() >= before);
        assert!(env.now_micros() <= env.now().as_microsecond());
        assert_ne!(env.random::<16>(), env.random::<16>());
    }
}
