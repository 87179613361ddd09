//! Judges outcomes and counts them by component.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};

use super::{Bench, Case, Harm, Outcome};

/// Cases that run at the same time.
const AT_A_TIME: usize = 4;

/// Where the harms of a case are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To the files of the snapshot.
    Node,
    /// To what was staged of it.
    Store,
}

/// How many cases were tried, and how many of them were reported; the others changed nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Cases.
    pub tried: usize,
    /// Cases that ended in an error with file and reason.
    pub reported: usize,
}

/// Counts by component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, Count>);

impl Tally {
    /// Runs cases and judges what comes of them.
    ///
    /// # Errors
    /// The first case that ended in another state, or in an error that does not name what was harmed.
    pub async fn run(&mut self, bench: &Bench, place: Place, cases: &[Case]) -> Result<()> {
        let runs = stream::iter(cases).map(|case| async move {
            let judged: Result<bool> = reported(bench, place, case).await;
            judged.map(|reported| (case, reported)).with_context(|| format!("damage to {}", bench.object()))
        });
        let judged: Vec<(&Case, bool)> = runs.buffer_unordered(AT_A_TIME).try_collect().await?;
        for (case, reported) in judged {
            let count = self.0.entry(component(case)).or_default();
            count.tried += 1;
            count.reported += usize::from(reported);
        }
        Ok(())
    }

    /// The count of a component.
    pub fn of(&self, component: &str) -> Count {
        self.0.get(component).copied().unwrap_or_default()
    }

    /// Cases in all.
    pub fn tried(&self) -> usize {
        self.0.values().map(|count| count.tried).sum()
    }
}

/// The component of a file, or of a staged object `<sstable>/<component>`.
fn component(case: &Case) -> String {
    let component = case.drawn().component();
    component.rsplit('/').next().unwrap_or(component).to_owned()
}

/// True where the damage was reported, false where it changed nothing.
async fn reported(bench: &Bench, place: Place, case: &Case) -> Result<bool> {
    let words = case.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let outcome = match place {
        Place::Node => bench.harmed(&case.0).await,
        Place::Store => bench.harmed_in_store(&case.0).await,
    };
    match outcome.with_context(|| words.clone())? {
        Outcome::State(state) => {
            ensure!(*state == *bench.whole(), "{words}: another state came of it");
            Ok(false)
        }
        Outcome::Refused(why) => {
            ensure!(case.0.iter().any(|harm| names(&why, place, harm)), "{words}: reported without its file: {why}");
            Ok(true)
        }
    }
}

/// True where a message names a file of the SSTable that was harmed.
fn names(why: &str, place: Place, harm: &Harm) -> bool {
    if place == Place::Store {
        let sstable = harm.file.rsplit('/').nth(1);
        return sstable.is_some_and(|sstable| why.contains(&format!("{sstable}-")) || why.contains(&harm.file));
    }
    // Where the list of a snapshot is harmed, the file that it seems to lack may be what is named.
    why.contains(harm.stem()) || harm.file == "manifest.json" && why.contains("is in the snapshot but in none")
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.0.iter().map(|(name, count)| format!("{name} {}/{}", count.reported, count.tried));
        write!(f, "{}", each.collect::<Vec<_>>().join(", "))
    }
}
