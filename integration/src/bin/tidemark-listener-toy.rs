//! The listener of the toy kind of source: one for each replica.

use tidemark_integration::toy::{
    self,
    capture::{Arguments, ToyListener},
};
use tidemark_listener_core::process::{self, Program, Start};

const PROGRAM: Program = Program {
    name: toy::LISTENER,
    kind: toy::KIND,
    version: env!("CARGO_PKG_VERSION"),
    about: "Captures a directory of JSON files, for tests.",
    log: "info",
};

fn main() -> anyhow::Result<()> {
    process::main(&PROGRAM, |own: Arguments, start: Start| Ok(ToyListener::new(own, start)))
}
