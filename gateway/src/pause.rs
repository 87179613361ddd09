//! Named points at which a test can hold a process, to kill it exactly there.
//!
//! With the cargo feature `fault-points`, a process started with `TIDEMARK_PAUSE_AT=name=/path/file` creates that file and
//! stops for ever when the point `name` is reached. Without the feature the calls compile to nothing.

/// Holds the calling thread for ever if the environment asks for it at `name`; else does nothing.
///
/// # Panics
/// Only with the feature: where the file that announces the pause cannot be created, because the test that waits for it
/// would then wait in vain.
#[cfg(feature = "fault-points")]
pub fn point(name: &str) {
    let Ok(asked) = std::env::var("TIDEMARK_PAUSE_AT") else { return };
    let Some((at, file)) = asked.split_once('=') else { return };
    if at != name {
        return;
    }
    if let Err(error) = std::fs::File::create(file) {
        panic!("create {file} to announce the pause at {name}: {error}");
    }
    loop {
        std::thread::park();
    }
}

/// Does nothing: the feature `fault-points` is off.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn point(_name: &str) {}
