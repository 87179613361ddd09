//! Proof that a store keeps the promises that versions rest on, before anything is trusted to it.
//!
//! Several S3 look-alikes accept the create-only condition and ignore it, or check it without holding it: two creators of
//! one name both win, and one version silently replaces another. Such a store is refused by the property it breaks. All
//! probe objects live under `.tidemark-probe/<nonce>/` and are removed at the end; what a crash leaves there is harmless.

mod checksums;
mod probe;

use std::{fmt, sync::Arc, time::Duration};

use object_store::{ObjectStore, path::Path};

use crate::Env;

pub use checksums::run as checksums;
use probe::Probe;

/// Rounds of the create race.
const ROUNDS: usize = 20;

/// Creators of one name in a round.
const RACERS: usize = 32;

/// Where all probe objects lie.
const ROOT: &str = ".tidemark-probe";

/// The folder of probe objects that are listed in pages of [`PAGE_NAMES`].
const PAGED: &str = "paged";

/// So few that a handful of names fills several pages.
const PAGE_NAMES: usize = 2;

/// Longest time of the whole preflight: a store that does not answer is reported, not waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One line per property, in the order they were tried.
    pub lines: Vec<Line>,
}

/// One property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// A stable word, such as `create-only`.
    pub name: &'static str,
    /// How it stands.
    pub outcome: Outcome,
    /// What was seen, for people.
    pub detail: String,
}

/// How a property stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Proven, as far as probing proves.
    Passed,
    /// Not as it should be, but no data is at risk.
    Warned,
}

/// Why a store is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A property that versions rest on does not hold.
    #[error("{property}: {reason}")]
    Property {
        /// The property, a stable word.
        property: &'static str,
        /// What was seen.
        reason: String,
    },
    /// The store failed or refused a request.
    #[error("{property}: the store failed at {path}")]
    Request {
        /// The property that was being tried.
        property: &'static str,
        /// The probe object.
        path: Path,
        /// Why.
        source: object_store::Error,
    },
    /// The store does not answer, or too slowly.
    #[error("{property}: no result within {} s", .after.as_secs())]
    Slow {
        /// The property that was being tried.
        property: &'static str,
        /// The bound on the whole preflight.
        after: Duration,
    },
}

impl Error {
    /// The property that does not hold or could not be tried.
    pub fn property(&self) -> &'static str {
        match self {
            Self::Property { property, .. } | Self::Request { property, .. } | Self::Slow { property, .. } => property,
        }
    }

    /// Whether another run may come out otherwise. A property that was seen broken stays broken.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Property { .. } => false,
            Self::Request { source, .. } => crate::retry::is_transient(source),
            Self::Slow { .. } => true,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{:?} {}: {}", line.outcome, line.name, line.detail))
    }
}

/// Names of a page of a listing below `prefix`, where it is a probe that asks for few.
pub(crate) fn page_names(prefix: &Path) -> Option<usize> {
    let probe = prefix.parts().next().is_some_and(|part| part.as_ref() == ROOT);
    (probe && prefix.filename() == Some(PAGED)).then_some(PAGE_NAMES)
}

/// Proves the store's properties one after another and gives a line for each.
///
/// About 700 small requests; a second or two on a local disk, bounded by 60 s everywhere.
///
/// # Errors
/// [`Error`] names the first property that does not hold. Probe objects are removed in any case, as far as the store lets.
pub async fn run(store: &Arc<dyn ObjectStore>, env: &Env) -> Result<Report, Error> {
    let mut probe = Probe::new(store.clone(), env);
    let outcome = tokio::time::timeout(LIMIT, properties(&mut probe)).await;
    let slow = Error::Slow { property: probe.property, after: LIMIT };
    let cleaned = tokio::time::timeout(LIMIT, probe.clean_up()).await;
    let mut lines = outcome.unwrap_or(Err(slow))?;
    lines.push(clean_up_line(cleaned.is_ok_and(|done| done.is_ok()), &probe.root));
    Ok(Report { lines })
}

async fn properties(probe: &mut Probe) -> Result<Vec<Line>, Error> {
    Ok(vec![
        probe.write_read().await?,
        probe.create_only().await?,
        probe.create_race(ROUNDS, RACERS).await?,
        probe.listing().await?,
        probe.paging().await?,
        probe.multipart().await?,
        probe.multipart_abort().await?,
    ])
}

fn clean_up_line(done: bool, root: &Path) -> Line {
    let (outcome, detail) = if done {
        (Outcome::Passed, "probe objects are removed".to_owned())
    } else {
        (Outcome::Warned, format!("probe objects under {root} could not all be removed; they are harmless"))
    };
    Line { name: "clean-up", outcome, detail }
}

#[cfg(test)]
mod tests;
