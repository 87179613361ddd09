//! Named points at which a test can hold a process, to kill it exactly there or to change the world around it.
//!
//! In a build with debug assertions, of the processes that are started with `TIDEMARK_PAUSE_AT=name=/path/file` the first that
//! reaches the point `name` creates that file with its own id in it, and is held for as long as the file holds that. Whoever
//! finds the file there goes on. Only the work that reached the point is held: what else the process does, such as answering and
//! keeping its leases, goes on. In a release the calls compile to nothing.

/// Holds the calling thread if the environment asks for it at `name`; else does nothing.
///
/// # Panics
/// Not in a release: where the file that announces the pause cannot be created, because the test that waits for it
/// would then wait in vain.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    let Ok(asked) = std::env::var("TIDEMARK_PAUSE_AT") else { return };
    match asked.split_once('=') {
        Some((at, file)) if at == name => aside(|| hold(name, std::path::Path::new(file))),
        _ => {}
    }
}

/// Runs what blocks where other work of the runtime does not wait for this thread: a worker that is blocked may be the only one that
/// hears of connections.
#[cfg(debug_assertions)]
fn aside(blocks: impl FnOnce()) {
    use tokio::runtime::{Handle, RuntimeFlavor};

    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(blocks),
        _ => blocks(),
    }
}

#[cfg(debug_assertions)]
fn hold(name: &str, file: &std::path::Path) {
    use std::{fs, io::Write, time::Duration};

    let own = format!("{}\n", std::process::id());
    match fs::File::create_new(file).and_then(|mut created| created.write_all(own.as_bytes())) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return,
        Err(error) => panic!("create {} to announce the pause at {name}: {error}", file.display()),
    }
    while fs::read_to_string(file).is_ok_and(|text| text == own) {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Does nothing: this is a release.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_name: &str) {}
