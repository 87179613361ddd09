//! The conformance suite: what every implementation of the seams must keep, whatever its source.
//!
//! An implementation names itself by a subject ([`source::Subject`], [`records::Subject`], [`blocks::Subject`],
//! [`listener::Subject`], [`restorer::Subject`]) and runs the suite in its tests:
//! `conformance::records::all(&subject).await.unwrap()`. Every rule is one function, and all rules that are broken are named, not
//! only the first. A subject makes what it hands out anew for each rule.

pub mod blocks;
pub mod listener;
pub mod records;
pub mod restorer;
pub mod source;

use std::{fmt, future::Future};

/// The rules that an implementation breaks, a line each.
#[derive(Clone, PartialEq, Eq)]
pub struct Broken(Vec<String>);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rules are broken:\n{self}", self.0.len())
    }
}

impl std::error::Error for Broken {}

/// What a rule says: why it is broken, for people.
type Rule = Result<(), String>;

/// Rules that are run one after another.
#[derive(Default)]
struct Suite(Vec<String>);

impl Suite {
    async fn rule(&mut self, name: &str, rule: impl Future<Output = Rule>) {
        if let Err(why) = rule.await {
            self.0.push(format!("{name}: {why}"));
        }
    }

    fn end(self) -> Result<(), Broken> {
        if self.0.is_empty() { Ok(()) } else { Err(Broken(self.0)) }
    }
}

/// A rule's own check.
fn ensure(holds: bool, why: impl FnOnce() -> String) -> Rule {
    if holds { Ok(()) } else { Err(why()) }
}

/// What cannot be done at all breaks a rule.
fn done<T, E: fmt::Display>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}
