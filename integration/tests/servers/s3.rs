//! The main job on an object store: listeners with keys of their own, which open nothing but what their source stages; a
//! listener and the daemon killed; the store itself killed and started again; the daemon's state lost. Nothing is lost,
//! nothing is there twice, and the restored rows are those that Cassandra answers.

mod requests;

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, path::Path};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scylla::client::session::Session;
use tidemark_gateway::{
    Env,
    credentials::Credentials,
    open::{self, OpenOptions},
};
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare, cql,
    environment::number,
    journal::{Journal, lagging},
    paths,
    stores::{self, StoreServer, users},
    system::{Restore, STORE, StoreAccess, System},
    tables::{self, Table},
    wait::{self, Look},
};
use tidemark_web::api::{CheckLine, CheckStatus, Checklist, GcPreview, Operation, OperationState, Quality, Version};

use requests::{parts_were_not_read_back, rights_were_kept, stored_by_listeners, written_by_listeners};

/// Loopback network of this test.
const GROUP: u8 = 80;
/// Port of its store.
const PORT: u16 = 17080;
/// Where the repository is in the bucket.
const PREFIX: &str = "deep/prefix";
/// The replica that misses writes.
const LAGGING: usize = 2;
/// Points at which the daemon is killed. At the first one the store has what is to be created; `TIDEMARK_S3_KILLS` of them are tried.
const KILLED_AT: [&str; 2] = ["after-manifest", "before-manifest"];
/// Tables that one replica lags behind in.
const TABLES: [&str; 4] = ["collections", "user_types", "deletions", "wide"];
/// Rows of the table whose files are sent in parts, and bytes of each that nothing compresses.
const BLOBS: (i32, usize) = (2_800, 4_096);

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_on_an_object_store_survives_every_crash_of_its_parts() -> Result<()> {
    if !paths::cassandra_or_skip("the_main_job_on_an_object_store_survives_every_crash_of_its_parts") {
        return Ok(());
    }
    let (mut server, listener) = store().await?;
    let mut cluster = Cluster::start(ClusterSpec::new("s3", GROUP, 3)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    fill_blobs(&session).await?;
    let journal = lagging::write(&mut cluster, &session, &tables(), LAGGING).await?;
    let mut system = System::start_on(GROUP, access(&server, &listener)).await?;
    system.add_source("source", &cluster).await?;

    the_preflight_finds_the_rights_as_they_should_be(&system).await?;
    a_listeners_key_opens_nothing_but_its_sources_stage(&server, &listener).await?;
    let begun = server.requests()?.len();
    let mut policies = vec![
        a_killed_listener_resumes(&mut system, &server, &listener).await.context("listener killed")?,
        an_outage_is_outlasted(&mut system, &mut server, "between-parts").await.context("store killed in an upload")?,
        an_outage_is_outlasted(&mut system, &mut server, "before-manifest").await.context("store killed at commit")?,
    ];
    for point in KILLED_AT.into_iter().take(number("TIDEMARK_S3_KILLS", 1)?.try_into()?) {
        policies
            .push(a_killed_daemon_commits_once(&mut system, point).await.with_context(|| format!("killed {point}"))?);
    }
    let lagging = &cluster.nodes()[LAGGING].address;
    for policy in &policies {
        one_whole_version(&system, policy, &journal, &session, lagging).await.with_context(|| policy.clone())?;
    }
    let requests = server.requests()?.split_off(begun);
    rights_were_kept(&requests, listener.access_key_id())?;
    parts_were_not_read_back(&requests, listener.access_key_id())?;
    what_kills_left_is_ended(&mut system, &server).await?;
    system.lose_state().await?;
    every_row_comes_back(&system, &session, &journal).await
}

/// versitygw with a user that may do what a listener of `source` needs.
async fn store() -> Result<(StoreServer, Credentials)> {
    let server = stores::versitygw(PORT).await?;
    let listener = Credentials::new("listener-of-source", "a-key-of-the-listeners-own");
    server.add_user(&listener)?;
    server.set_policy(&users::listener_policy(&listener, PREFIX, "source")).await?;
    Ok((server, listener))
}

fn access(server: &StoreServer, listener: &Credentials) -> StoreAccess {
    let variables = |prefix: &str, keys: &Credentials| {
        let values = [("ACCESS_KEY_ID", keys.access_key_id()), ("SECRET_ACCESS_KEY", keys.secret_access_key())];
        values.map(|(name, value)| (format!("{prefix}_{name}"), value.to_owned()))
    };
    let arguments = ["--credentials", "env:DAEMON", "--listener-credentials", "env:LISTENER"].map(str::to_owned);
    let environment = [variables("DAEMON", &server.credentials()), variables("LISTENER", listener)].concat();
    StoreAccess { url: server.url(PREFIX).to_string(), arguments: arguments.to_vec(), environment }
}

fn tables() -> Vec<Table> {
    tables::all().into_iter().filter(|table| TABLES.contains(&table.name)).collect()
}

/// A table whose data files are larger than two parts of an upload.
async fn fill_blobs(session: &Session) -> Result<()> {
    let create = [
        "CREATE KEYSPACE big WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
        "CREATE TABLE big.blobs (pk int PRIMARY KEY, v blob)",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    let insert = session.prepare("INSERT INTO big.blobs (pk, v) VALUES (?, ?)").await?;
    let mut random = ChaCha8Rng::seed_from_u64(80);
    for key in 0..BLOBS.0 {
        let mut value = vec![0_u8; BLOBS.1];
        random.fill(&mut value[..]);
        session.execute_unpaged(&insert, (key, value)).await?;
    }
    Ok(())
}

async fn the_preflight_finds_the_rights_as_they_should_be(system: &System) -> Result<()> {
    let checked: Checklist = system.cli.json(&["source", "test", "source"]).await?;
    let of = |name: &str| checked.lines.iter().filter(|line| line.name == name).collect::<Vec<&CheckLine>>();
    for name in ["store-write", "store-list", "store-rights"] {
        let lines = of(name);
        ensure!(lines.len() == 3 && lines.iter().all(|line| line.status == CheckStatus::Ok), "{name}: {lines:?}");
    }
    ensure!(checked.lines.iter().all(|line| line.status != CheckStatus::Fail), "{:?}", checked.lines);
    Ok(())
}

/// Asked of the store itself, with the listener's key and no code of a listener.
async fn a_listeners_key_opens_nothing_but_its_sources_stage(
    server: &StoreServer,
    listener: &Credentials,
) -> Result<()> {
    let store = open::open(&server.url(PREFIX), Some(listener), &OpenOptions::default(), &Env::system())?;
    let own = Path::from("sources/source/staged/test/mine");
    store.put(&own, "x".into()).await.context("a put inside")?;
    store.get(&own).await.context("a get inside")?;
    denied("delete of its own object", store.delete(&own).await)?;
    store.head(&own).await.context("what could not be deleted is there")?;
    for elsewhere in ["tidemark.json", "sources/source/sets/p/versions/1", "sources/other/staged/t/x", "gen/1"] {
        let path = Path::from(elsewhere);
        denied(&format!("put of {elsewhere}"), store.put(&path, "x".into()).await)?;
        denied(&format!("get of {elsewhere}"), store.get(&path).await)?;
        denied(&format!("delete of {elsewhere}"), store.delete(&path).await)?;
    }
    Ok(())
}

fn denied<T>(what: &str, answer: object_store::Result<T>) -> Result<()> {
    match answer {
        Err(object_store::Error::PermissionDenied { .. }) => Ok(()),
        // Deletions go in bulk, and each is answered in the body.
        Err(error) if error.to_string().contains("AccessDenied") => Ok(()),
        Err(error) => bail!("{what}: not refused but {error:?}"),
        Ok(_) => bail!("{what}: allowed"),
    }
}

/// Killed between two parts of a file, a listener is started again and sends what is not stored yet, and no more.
async fn a_killed_listener_resumes(
    system: &mut System,
    server: &StoreServer,
    listener: &Credentials,
) -> Result<String> {
    let policy = "listener-killed";
    let held = system.hold_at("between-parts", &[], &protect(policy)).await?;
    its_environment_holds_its_own_keys(held.pid, server, listener)?;
    held.kill()?;
    let requests = server.requests()?;
    let stored = stored_by_listeners(&requests, listener.access_key_id());
    ensure!(!stored.is_empty(), "nothing was stored before the kill, the test proves nothing");
    let operation = held.outcome().await?.operation()?;
    ensure!(operation.state == OperationState::Succeeded, "{operation:?}");
    let written = written_by_listeners(&server.requests()?[requests.len()..], listener.access_key_id());
    let again: BTreeSet<_> = written.intersection(&stored).collect();
    ensure!(!written.is_empty() && again.is_empty(), "sent again: {again:?}");
    Ok(policy.to_owned())
}

fn its_environment_holds_its_own_keys(pid: u32, server: &StoreServer, listener: &Credentials) -> Result<()> {
    let program = fs::read_link(format!("/proc/{pid}/exe"))?;
    ensure!(program.ends_with("tidemark-listener-cassandra"), "{} was held", program.display());
    let environment = fs::read(format!("/proc/{pid}/environ"))?;
    let environment = String::from_utf8_lossy(&environment);
    ensure!(environment.contains(listener.secret_access_key()), "the listener has no key of its own");
    ensure!(!environment.contains(server.credentials().secret_access_key()), "the listener has the daemon's key");
    Ok(())
}

async fn a_killed_daemon_commits_once(system: &mut System, point: &str) -> Result<String> {
    let policy = format!("killed-{point}");
    system.crash_at(point, &protect(&policy)).await?;
    let operation = system.newest_done().await?;
    ensure!(operation.state == OperationState::Succeeded, "{operation:?}");
    Ok(policy)
}

/// The store is killed while the work is held at a point, and started again once somebody has missed it.
async fn an_outage_is_outlasted(system: &mut System, server: &mut StoreServer, point: &str) -> Result<String> {
    let policy = format!("outage-{point}");
    let words = [("RUST_LOG", "info,tidemark_gateway=debug")];
    let held = system.hold_at(point, &words, &protect(&policy)).await?;
    let before = missed(system);
    server.kill()?;
    held.let_go()?;
    wait::until("a request that is tried again", Duration::from_secs(60), async || {
        Ok(Look::when(missed(system) > before, || "nobody missed the store".to_owned()))
    })
    .await?;
    server.restart().await?;
    let operation = held.outcome().await?.operation()?;
    ensure!(operation.state == OperationState::Succeeded, "{operation:?}");
    Ok(policy)
}

/// How often the daemon and its listeners said that a request is tried again.
fn missed(system: &System) -> usize {
    system.daemon.log().matches("try again").count()
}

/// The policy has one version, of all replicas, with the rows and disagreements that were made, and all of it is readable.
async fn one_whole_version(
    system: &System,
    policy: &str,
    journal: &Journal,
    session: &Session,
    lagging: &str,
) -> Result<()> {
    let of = |version: &Version| version.id.starts_with(&format!("source.{policy}."));
    let versions: Vec<Version> = system.versions().await?.into_iter().filter(of).collect();
    ensure!(versions.len() == 1, "{} versions: {versions:?}", versions.len());
    ensure!(versions[0].quality == Quality::Cut, "{:?}", versions[0]);
    let version = system.version(&versions[0].id).await?;
    lagging::expect_figures(&version, journal, session, lagging)?;
    let blobs = version.contents.iter().find(|object| object.object == "big/blobs").context("big/blobs")?;
    ensure!(blobs.totals.rows == BLOBS.0 as u64 && blobs.totals.disagreeing_rows == 0, "{blobs:?}");
    let verified: Operation = system.cli.json(&["version", "verify", &versions[0].id, "--wait"]).await?;
    ensure!(verified.state == OperationState::Succeeded, "{verified:?}");
    Ok(())
}

async fn every_row_comes_back(system: &System, session: &Session, journal: &Journal) -> Result<()> {
    let newest = system.versions().await?.pop().context("no version")?;
    let more = ["--rename", "big=bigcopy"];
    let version = newest.id.as_str();
    let restore = Restore { version, to: "source", from: "ks", into: "copy", replication_factor: 3, more: &more };
    system.restore(&restore).await?;
    for table in journal.tables() {
        let now = compare::read(session, "ks", table).await?;
        journal.image(table)?.expect(&format!("{table} at the source"), &now)?;
        now.expect(&format!("{table} restored"), &compare::read(session, "copy", table).await?)?;
    }
    let blobs = compare::read(session, "big", "blobs").await?;
    ensure!(blobs.row_count() == BLOBS.0 as usize, "{} blobs", blobs.row_count());
    blobs.expect("blobs restored", &compare::read(session, "bigcopy", "blobs").await?)
}

/// Uploads that killed listeners had begun are in no listing of objects; a collection ends them, and the store knows none after it.
async fn what_kills_left_is_ended(system: &mut System, server: &StoreServer) -> Result<()> {
    let env = Env::system();
    let store = open::opened(&server.url(PREFIX), Some(&server.credentials()), &OpenOptions::default(), &env)?;
    let left: Vec<_> = store.unfinished.list(None).try_collect().await?;
    ensure!(!left.is_empty(), "the killed listener left no upload, the test proves nothing");
    system.daemon.restart(&[("TIDEMARK_UNCLAIMED_SECONDS", "0".to_owned())]).await?;
    let preview: GcPreview = system.cli.json(&["gc", "preview", STORE]).await?;
    let named = preview.items.iter().filter(|item| item.serves.contains("upload")).count();
    let collected: Operation = system.cli.json(&["gc", "run", STORE, "--wait"]).await?;
    let removed = collected.result.context("no result")?["removed"].take();
    ensure!(named == left.len() && removed["uploads"] == left.len(), "left {left:?}, named {named}, {removed}");
    let now: Vec<_> = store.unfinished.list(None).try_collect().await?;
    ensure!(now.is_empty(), "{now:?}");
    system.daemon.restart(&[]).await
}

fn protect(policy: &str) -> Vec<String> {
    let objects = ["--object", "ks/*", "--object", "big/*"];
    let own = ["protect", "source", "--to", STORE, "--policy", policy, "--write-level", "quorum", "--wait"];
    own.into_iter().chain(objects).map(str::to_owned).collect()
}
