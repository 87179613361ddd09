//! The targets under libFuzzer. `TIDEMARK_FUZZ_TARGET` names one; with `TIDEMARK_FUZZ_SEEDS` its seeds are written to that
//! directory and nothing is run. Arguments are libFuzzer's.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidemark_cassandra_fuzz::Target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("TIDEMARK_FUZZ_TARGET").unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("TIDEMARK_FUZZ_TARGET={name:?} is no target"))
});

fuzz_target!(
    init: write_seeds(),
    |bytes: &[u8]| TARGET.run(bytes)
);

fn write_seeds() {
    let Some(directory) = std::env::var_os("TIDEMARK_FUZZ_SEEDS").map(PathBuf::from) else { return };
    for (number, seed) in TARGET.seeds().into_iter().enumerate() {
        let file = directory.join(format!("seed-{number:04}"));
        std::fs::write(&file, seed).unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
    }
    std::process::exit(0);
}
