//! What one input may cost: 64 MiB and 16 bytes of memory a byte, and a second a MiB.
//!
//! Memory is counted by the allocator, which refuses what is beyond: the process then ends with the size that was asked for.
//! What C libraries allocate is not counted.

use std::alloc::System;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cap::Cap;

/// Memory for any input.
const LEAST_BYTES: usize = 64 << 20;
/// Memory for each byte of input beyond that.
const BYTES_PER_BYTE: usize = 16;
/// Time for each MiB, and the least there is.
const TIME_PER_MIB: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The allocator counts for the whole process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs `work`, whose input has so many bytes.
///
/// # Panics
/// Where it takes too long.
pub fn within<T>(input_bytes: usize, work: impl Fn() -> T) -> T {
    // A panic of another thread in there is that thread's failure.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _limit = Limit::set(LEAST_BYTES + BYTES_PER_BYTE * input_bytes);
    let most = TIME_PER_MIB.mul_f64((input_bytes as f64 / f64::from(1 << 20)).max(1.0));
    let (result, took) = timed(&work);
    if took > most {
        // Other processes may have had the processor: what counts is this thread's share of it.
        let (before, _) = (processor_time(), work());
        let took = processor_time().saturating_sub(before);
        assert!(took <= most, "{input_bytes} bytes took {took:?}");
    }
    result
}

#[expect(clippy::disallowed_methods, reason = "how long a decoder takes is what is asked")]
fn timed<T>(work: impl Fn() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Time for which this thread has run.
fn processor_time() -> Duration {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = said.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("Linux tells how long a thread has run"))
}

/// A limit on what is allocated from now on, until it is dropped.
struct Limit;

impl Limit {
    fn set(bytes: usize) -> Self {
        ALLOCATOR.set_limit(ALLOCATOR.allocated() + bytes).expect("more than is allocated");
        Self
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        ALLOCATOR.set_limit(usize::MAX).expect("there is no larger limit");
    }
}
