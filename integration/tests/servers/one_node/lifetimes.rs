//! What becomes of times to live in a restore: they go on, start again, or end; what the destination cannot hold is refused.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use tidemark_gateway::Env;
use tidemark_integration::{
    cql,
    system::{Restore, System},
    wait::{self, Look},
};
use tidemark_web::api::VersionDetail;

use super::Shared;

/// A life that is over before the first restore, and one that is not, s.
const SHORT: i64 = 40;
const LONG: i64 = 7_000;
/// The table's own life, s.
const DEFAULT: i64 = 50_000;
/// Last expiry that a server of mode CASSANDRA_4 takes, s since 1970.
const LAST_EXPIRY: i64 = 2_147_483_646;
/// Time from a look at the clock here to the server's, s.
const ROOM: i64 = 5;

/// Seconds since 1970 by this machine's clock, which is the servers' too.
fn now() -> i64 {
    Env::system().now().as_second()
}

/// A version of values of which some are dead by the time it is restored.
pub(super) struct Captured {
    version: VersionDetail,
    expiries: Expiries,
}

/// Writes and protects them.
pub(super) async fn capture(shared: &Shared) -> Result<Captured> {
    let written = fill(&shared.session).await?;
    let cut_from = now();
    let version = shared.system.protect("source", "lifetimes/*", "lifetimes", &["--write-level", "all"]).await?;
    let expiries = Expiries { written, cut: (cut_from, now()) };
    Ok(Captured { version, expiries })
}

/// Times to live are kept, rebased or stripped, and never shortened.
pub(super) async fn restore_by_each_policy(shared: &Shared, captured: &Captured) -> Result<()> {
    let (Shared { session, system, .. }, Captured { version, expiries }) = (shared, captured);
    wait::until("the end of the short life", Duration::from_secs(60), async || {
        Ok(Look::when(now() > expiries.written.1 + SHORT + 1, || format!("now {}", now())))
    })
    .await?;

    for policy in ["keep", "rebase", "strip"] {
        let from = now();
        let more = ["--ttl", policy, "--only", "lifetimes/lives"];
        let restore = restore(version, policy, &more);
        let plan = system.plan(&restore).await?;
        let checks = plan["checks"].as_array().context("no checks")?;
        let said = |check: &&serde_json::Value| check["name"] == "ttl";
        let said = checks.iter().find(said).and_then(|check| check["detail"].as_str()).unwrap_or_default();
        ensure!(said.starts_with(policy), "{plan}");
        system.restore(&restore).await?;
        let found = read(session, policy).await?;
        expiries.expect(policy, (from, now()), &found)?;
    }
    what_would_end_after_2038_is_refused(system, version, session).await
}

/// `lives` has rows that differ in the lives of their values; `late` one that ends with the last second the server knows.
async fn fill(session: &Session) -> Result<(i64, i64)> {
    let from = now();
    let create = [
        "CREATE KEYSPACE lifetimes WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}".to_owned(),
        format!(
            "CREATE TABLE lifetimes.lives (k text PRIMARY KEY, v int, m map<text, int>) WITH default_time_to_live = {DEFAULT}"
        ),
        "CREATE TABLE lifetimes.late (k int PRIMARY KEY, v int)".to_owned(),
        "INSERT INTO lifetimes.lives (k, v) VALUES ('forever', 1) USING TTL 0".to_owned(),
        "INSERT INTO lifetimes.lives (k, v) VALUES ('default', 1)".to_owned(),
        format!("INSERT INTO lifetimes.lives (k, v) VALUES ('long', 1) USING TTL {LONG}"),
        format!("INSERT INTO lifetimes.lives (k, v) VALUES ('short', 1) USING TTL {SHORT}"),
        "INSERT INTO lifetimes.lives (k) VALUES ('mixed') USING TTL 0".to_owned(),
        format!("UPDATE lifetimes.lives USING TTL {SHORT} SET v = 2 WHERE k = 'mixed'"),
        format!("UPDATE lifetimes.lives USING TTL {LONG} SET m = m + {{'long': 1}} WHERE k = 'mixed'"),
        format!("UPDATE lifetimes.lives USING TTL {SHORT} SET m = m + {{'short': 1}} WHERE k = 'mixed'"),
        "UPDATE lifetimes.lives USING TTL 0 SET m = m + {'forever': 1} WHERE k = 'mixed'".to_owned(),
    ];
    cql::run(session, &create).await?;
    // Some room: what the clock says here is a moment old when the server reads its own.
    let left = LAST_EXPIRY - now() - ROOM;
    cql::run(session, &[format!("INSERT INTO lifetimes.late (k, v) VALUES (1, 1) USING TTL {left}")]).await?;
    Ok((from, now()))
}

/// What there is: for each value its remaining life, `None` for ever.
type Lives = BTreeMap<String, Option<i64>>;

async fn read(session: &Session, keyspace: &str) -> Result<Lives> {
    let query = format!("SELECT k, v, TTL(v), m, TTL(m) FROM {keyspace}.lives");
    type Row = (String, Option<i32>, Option<i32>, Option<BTreeMap<String, i32>>, Option<Vec<Option<i32>>>);
    let found = session.query_unpaged(query, ()).await?.into_rows_result()?;
    let mut lives = Lives::new();
    for row in found.rows::<Row>()? {
        let (key, value, ttl, map, ttls) = row?;
        lives.extend(value.map(|_| (key.clone(), ttl.map(i64::from))));
        let ttls = ttls.unwrap_or_default();
        let elements = map.unwrap_or_default().into_keys().zip(ttls);
        lives.extend(elements.map(|(element, ttl)| (format!("{key}.{element}"), ttl.map(i64::from))));
    }
    Ok(lives)
}

/// When the values were written and captured, each between two instants, s since 1970.
struct Expiries {
    written: (i64, i64),
    cut: (i64, i64),
}

impl Expiries {
    /// Compares what was found right after a restore that ran between two instants.
    fn expect(&self, policy: &str, restored: (i64, i64), found: &Lives) -> Result<()> {
        let lives = [("default", DEFAULT), ("long", LONG), ("mixed.long", LONG)];
        let short = [("short", SHORT), ("mixed", SHORT), ("mixed.short", SHORT)];
        let gone = if policy == "keep" { vec![] } else { short.to_vec() };
        let mut expected: BTreeMap<&str, Option<(i64, i64)>> =
            lives.iter().chain(&gone).map(|(key, ttl)| (*key, self.left(policy, *ttl, restored))).collect();
        expected.extend([("forever", None), ("mixed.forever", None)]);
        let keys: (Vec<&str>, Vec<&str>) =
            (found.keys().map(String::as_str).collect(), expected.keys().copied().collect());
        ensure!(keys.0 == keys.1, "{policy}: found {keys:?}");
        for (key, expected) in expected {
            let right = match (found[key], expected) {
                (Some(ttl), Some((least, most))) => (least..=most).contains(&ttl),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            ensure!(right, "{policy}: {key} lives for {:?} s, expected {expected:?}", found[key]);
        }
        Ok(())
    }

    /// Least and most that a value of this life has left when it is read at the end of the restore, give or take what the reading took.
    fn left(&self, policy: &str, ttl: i64, restored: (i64, i64)) -> Option<(i64, i64)> {
        let (expires_from, expires_to) = (self.written.0 + ttl, self.written.1 + ttl);
        match policy {
            "keep" => Some((expires_from - restored.1 - 1, expires_to - restored.1 + 2)),
            "rebase" => {
                let took = restored.1 - restored.0;
                Some((expires_from - self.cut.1 - took - 1, expires_to - self.cut.0 + 2))
            }
            _ => None,
        }
    }
}

/// A life that starts again would end after the last second that the server knows. It is not cut short: the row is named.
async fn what_would_end_after_2038_is_refused(
    system: &System,
    version: &VersionDetail,
    session: &Session,
) -> Result<()> {
    let more = ["--ttl", "rebase", "--only", "lifetimes/late"];
    let arguments = restore(version, "late", &more).arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    ensure!(!matches!(outcome.code, 0 | 3), "a life past 2038 was restored: {outcome:?}");
    let said = format!("{} {}", outcome.answer, outcome.said);
    for word in ["TM-REST-0303", "late/late, partition 0x00000001", "2038-01-19T03:14:06Z", "strip"] {
        ensure!(said.contains(word), "{word} is not in {said}");
    }
    for (policy, keyspace) in [("strip", "late_strip"), ("keep", "late_keep")] {
        system.restore(&restore(version, keyspace, &["--ttl", policy, "--only", "lifetimes/late"])).await?;
        let query = format!("SELECT v, TTL(v) FROM {keyspace}.late");
        let found = session.query_unpaged(query, ()).await?.into_rows_result()?;
        let (value, ttl) = found.single_row::<(i32, Option<i32>)>()?;
        let expires = ttl.map(|ttl| now() + i64::from(ttl));
        let right = match (policy, expires) {
            ("strip", None) => true,
            ("keep", Some(at)) => (LAST_EXPIRY - ROOM - 1..=LAST_EXPIRY).contains(&at),
            _ => false,
        };
        ensure!(value == 1 && right, "{policy}: expires at {expires:?}");
    }
    Ok(())
}

fn restore<'a>(version: &'a VersionDetail, into: &'a str, more: &'a [&'a str]) -> Restore<'a> {
    Restore { version: &version.version.id, to: "source", from: "lifetimes", into, replication_factor: 1, more }
}
