//! The targets under libFuzzer. `TIDEMARK_FUZZ_TARGET` names one; with `TIDEMARK_FUZZ_SEEDS` its seeds are written to that
//! directory and nothing is run. Where none is named all are listed: name and longest input in bytes, a line each. Arguments are
//! libFuzzer's.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidemark_cassandra_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("TIDEMARK_FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("TIDEMARK_FUZZ_TARGET={name:?} is no target"))
});

fuzz_target!(
    init: {
        list();
        write_seeds();
    },
    |bytes: &[u8]| TARGET.run(bytes)
);

fn list() {
    if std::env::var_os("TIDEMARK_FUZZ_TARGET").is_none() {
        TARGETS.iter().for_each(|target| println!("{} {}", target.name, target.most_bytes));
        std::process::exit(0);
    }
}

fn write_seeds() {
    let Some(directory) = std::env::var_os("TIDEMARK_FUZZ_SEEDS").map(PathBuf::from) else { return };
    for (number, seed) in TARGET.seeds().into_iter().enumerate() {
        let file = directory.join(format!("seed-{number:04}"));
        std::fs::write(&file, seed).unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
    }
    std::process::exit(0);
}
