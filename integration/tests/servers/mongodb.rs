//! MongoDB through the daemon, on the stand-in: protected with a listener and a server killed, while it is written to;
//! verified; restored and compared byte by byte; collections that are made anew and renamed between versions.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidemark_integration::{
    paths,
    secantus::{self, Secantus, documents, insert},
    system::{STORE, System, made},
};
use tidemark_listener_mongodb::{connect::Server, raw::Builder};
use tidemark_web::api::{Operation, OperationState, Quality, VersionDetail};
use tokio_util::sync::CancellationToken;

/// Loopback network of this test.
const GROUP: u8 = 98;

/// Documents of the collection: several runs of a scan.
const DOCUMENTS: i32 = 40_000;

/// What a policy is run with.
const PROTECT: [&str; 9] = ["protect", "shop", "--object", "shop/*", "--to", STORE, "--policy", "hourly", "--wait"];

#[tokio::test]
async fn in_turn() {
    if !paths::secantus_or_skip("mongodb") {
        return;
    }
    let mut server = Secantus::start(GROUP).await.unwrap();
    let outcome = all(&mut server).await;
    outcome.with_context(|| server.said()).unwrap();
}

async fn all(server: &mut Secantus) -> Result<()> {
    let mut system = System::start(GROUP).await?;
    let client = server.server()?;
    insert(&client, "shop", "orders", &numbered(0..DOCUMENTS)).await?;
    system.add_source_of("mongodb", "shop", &server.specification()).await?;
    a_source_is_tested(&system).await?;
    let version = a_listener_and_the_server_are_killed(&mut system, server, &client).await?;
    complete(&system, &version).await?;

    let version = names_change(&system, &client).await?;
    complete(&system, &version).await?;
    restored(&system, &client, &version).await
}

fn numbered(ids: std::ops::Range<i32>) -> Vec<Vec<u8>> {
    ids.map(|id| Builder::default().int("_id", id).int("n", id % 7).text("text", &"x".repeat(200)).finish()).collect()
}

async fn a_source_is_tested(system: &System) -> Result<()> {
    let lines: Value = system.cli.json(&["source", "test", "shop"]).await?;
    ensure!(lines.to_string().contains("change-stream") && !lines.to_string().contains("\"fail\""), "{lines}");
    Ok(())
}

/// Protects while documents are written; the listener is killed after its first run, then the server.
async fn a_listener_and_the_server_are_killed(
    system: &mut System,
    server: &mut Secantus,
    client: &Server,
) -> Result<String> {
    let protect: Vec<String> = PROTECT.iter().map(|word| (*word).to_owned()).collect();
    let held = system.hold_at("mid-upload", &[], &protect).await?;
    server.restart().await?;
    let (stop, writing) = (CancellationToken::new(), client.clone());
    let told = stop.clone();
    let writer = tokio::spawn(async move {
        let mut next = DOCUMENTS;
        while !told.is_cancelled() {
            insert(&writing, "shop", "orders", &numbered(next..next + 10)).await?;
            next += 10;
        }
        Ok::<_, anyhow::Error>(next)
    });
    held.kill()?;
    let operation = held.outcome().await?.operation()?;
    stop.cancel();
    let written = writer.await??;
    ensure!(operation.state == OperationState::Succeeded, "{operation:?}");
    let version = made(&operation)?;
    let detail: VersionDetail = system.version(&version).await?;
    let rows = detail.version.totals.rows;
    // What was acknowledged when the server was killed is in; nothing is that was never written.
    ensure!((DOCUMENTS as u64..=written as u64).contains(&rows), "{rows} documents of {DOCUMENTS} to {written}");
    Ok(version)
}

async fn complete(system: &System, version: &str) -> Result<()> {
    let detail = system.version(version).await?;
    ensure!(detail.version.quality == Quality::Cut, "{detail:?}");
    let verified: Operation = system.cli.json(&["version", "verify", version, "--wait"]).await?;
    ensure!(verified.state == OperationState::Succeeded, "{verified:?}");
    Ok(())
}

/// Between two versions one collection is dropped and made anew, one is renamed, one comes; the next version has what
/// is there.
async fn names_change(system: &System, client: &Server) -> Result<String> {
    insert(client, "shop", "old", &numbered(0..10)).await?;
    insert(client, "shop", "again", &numbered(0..10)).await?;
    let rename = Builder::default().text("renameCollection", "shop.old").text("to", "shop.new");
    client.write("admin", rename.finish()).await?;
    client.write("shop", Builder::default().text("drop", "again").finish()).await?;
    insert(client, "shop", "again", &numbered(5..8)).await?;
    let operation: Operation = system.cli.json(&PROTECT).await?;
    let version = made(&operation)?;
    let detail = system.version(&version).await?;
    let names: Vec<&str> = detail.contents.iter().map(|object| object.object.as_str()).collect();
    ensure!(names == ["shop/again", "shop/new", "shop/orders"], "{names:?}");
    Ok(version)
}

/// Under another database, compared byte by byte; refused where there is data.
async fn restored(system: &System, client: &Server, version: &str) -> Result<()> {
    let run = ["restore", "run", "--version", version, "--to", "shop", "--rename", "shop=copy", "--wait"];
    let operation: Operation = system.cli.json(&run).await?;
    ensure!(operation.state == OperationState::Succeeded, "{operation:?}");
    for collection in ["orders", "new", "again"] {
        let (from, to) = (documents(client, "shop", collection).await?, documents(client, "copy", collection).await?);
        ensure!(from == to, "{collection}: {} documents, restored are {}", from.len(), to.len());
    }
    let again = system.cli.outcome(&run).await?;
    ensure!(again.code != 0 && format!("{again:?}").contains("it holds data"), "{again:?}");
    let listed = secantus::documents(client, "copy", "again").await?;
    ensure!(listed.len() == 3, "{}", listed.len());
    Ok::<_, anyhow::Error>(()).context("restored")
}
