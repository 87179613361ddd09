//! The one instant of an undo: below every clock that stamps writes at the destination.
//!
//! Deletions are written at R and values at R + 1 µs. Clients stamp their writes with clocks that are off by at most the
//! declared bound, servers with their own; so R is the lowest of all clocks we can read, less that bound, and what is written
//! after R was taken wins.

use tidemark_gateway::{Env, causes::joined};
use tidemark_listener_core::{check::Line, failure::Failure, restorer::UndoInstant};

use crate::{
    connect::{self, Credentials},
    describe,
    restore::job::CqlJob,
    restore::observe::{connect_any, write_timeout},
    spec::CassandraSpec,
};

/// Microseconds of a millisecond.
const MICROS: i64 = 1_000;

/// Reads all clocks of the destination.
///
/// # Errors
/// `TM-REST-0101` where the destination's specification is wrong; `TM-REST-0011`, retryable, where the destination cannot be
/// reached. A node that does not answer us is named: it may be down, or stamp writes of clients that reach it.
pub async fn instant(job: &CqlJob) -> Result<UndoInstant, Failure> {
    let spec = CassandraSpec::parse(&job.destination).map_err(|e| Failure::new("TM-REST-0101", joined(&e)))?;
    let failed = |why: String| Failure::retryable("TM-REST-0011", format!("read the clocks of the destination: {why}"));
    let credentials = connect::credentials(&spec).map_err(|e| failed(joined(&e)))?;
    let session = connect_any(&spec).await.map_err(|unseen| failed(unseen.why))?;
    let local = describe::local(&session).await.map_err(|e| failed(joined(&e)))?;
    let ring = describe::ring(&session, &local).await.map_err(|e| failed(joined(&e)))?;
    let settings = describe::settings(&session).await.map_err(|e| failed(joined(&e)))?;
    let (mut behind, mut unread) = (vec![(0, "ours".to_owned())], Vec::new());
    for node in &ring {
        match offset(&node.address, credentials.as_ref(), &job.env).await {
            Ok(millis) => behind.push((millis, node.address.clone())),
            Err(why) => unread.push(format!("{}: {why}", node.address)),
        }
    }
    let settle_millis = u64::try_from(write_timeout(&settings).as_millis()).unwrap_or(u64::MAX);
    let found = decide(behind, job.env.now_micros(), job.options.client_clock_bound_micros);
    let level = job.options.read_level.as_deref();
    let needs_all_clocks = level.is_none_or(|level| level.eq_ignore_ascii_case("all"));
    Ok(UndoInstant { unread, settle_millis, needs_all_clocks, ..found })
}

/// How far behind our clock the instant may lie beyond the clients' bound without a warning, µs.
const LATE_MICROS: i64 = 5_000_000;

/// A line of the plan: what the instant would be now.
pub async fn check(job: &CqlJob) -> Line {
    const HINT: &str = "set the clocks right, and let the daemon reach every node: the run waits until the instant lies after \
                        the moment it was asked for; --read-level quorum goes on without a node that is down";
    match instant(job).await {
        Err(error) => Line::fail("instant", "destination", error.message, "start the nodes of the destination"),
        Ok(found) => {
            let behind = job.env.now_micros() - found.micros;
            let detail = format!(
                "what was written until {} is undone ({:.3} s before now, by the clock of {}); later writes stay",
                jiff::Timestamp::from_microsecond(found.micros).unwrap_or_default(),
                behind as f64 / 1e6,
                found.lowest,
            );
            let late = behind > job.options.client_clock_bound_micros + LATE_MICROS || !found.unread.is_empty();
            let unread = found.unread.iter().map(|why| format!("; a clock is not known: {why}")).collect::<String>();
            match late {
                true => Line::warn("instant", "destination", detail + &unread, HINT),
                false => Line::ok("instant", "destination", detail),
            }
        }
    }
}

/// Our clock minus a node's, ms.
async fn offset(address: &str, credentials: Option<&Credentials>, env: &Env) -> Result<i64, String> {
    let session = connect::connect_node(address, credentials).await.map_err(|e| joined(&e))?;
    describe::clock_offset_millis(&session, env).await.map_err(|e| joined(&e))
}

/// The instant below all clocks: `behind` is how far each lies behind ours, ms, with its owner.
fn decide(behind: Vec<(i64, String)>, now_micros: i64, bound_micros: i64) -> UndoInstant {
    let (millis, lowest) = behind.into_iter().max().unwrap_or_default();
    // A millisecond more: the nodes' clocks are read to the millisecond.
    let micros = now_micros - (millis + i64::from(millis != 0)) * MICROS - bound_micros.max(0);
    UndoInstant { micros, lowest, unread: Vec::new(), needs_all_clocks: true, settle_millis: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(behind: &[(i64, &str)]) -> (i64, String) {
        let behind = behind.iter().map(|(ms, who)| (*ms, (*who).to_owned())).collect();
        let found = decide(behind, 10_000_000, 1_000_000);
        (found.micros, found.lowest)
    }

    #[test]
    fn the_slowest_clock_decides() {
        assert_eq!(at(&[(0, "ours"), (-30, "n1")]), (9_000_000, "ours".to_owned()));
        assert_eq!(at(&[(0, "ours"), (-30, "n1"), (500, "n2")]), (8_499_000, "n2".to_owned()));
    }
}
