//! Damage to what a committed version is made of.

use std::fs;

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use serde_json::Value;
use tidemark_integration::{
    compare,
    damage::{Harm, harm::Act},
    system::{Restore, System},
};
use tidemark_web::api::Quality;

/// The table of the version.
const TABLE: &str = "sound";
/// Exit code of a verification that failed.
const VERIFICATION: i32 = 9;

/// A harm to an object, and whether it may leave the restored rows as they are.
struct Case {
    harm: Harm,
    harmless: bool,
}

/// Damages each kind of object of a version that has another after it; returns the id of that other one, which is whole.
pub(crate) async fn damage_is_found_and_never_restored(system: &System, session: &Session) -> Result<String> {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let made = system.protect("hurt", &format!("ks/{TABLE}"), "kept", &["--write-level", "quorum"]).await?;
        ensure!(made.version.quality == Quality::Cut, "quality {}", made.version.quality);
        ids.push(made.version.id);
    }
    expect_whole(system, &ids[0]).await?;
    for (number, case) in cases(system)?.iter().enumerate() {
        let path = system.store_dir().join(&case.harm.file);
        let whole = fs::read(&path)?;
        case.harm.apply(&system.store_dir())?;
        let judged = judge(system, session, &ids[0], &format!("hurt{number}"), case).await;
        fs::write(&path, whole)?;
        judged.with_context(|| case.harm.to_string())?;
    }
    expect_whole(system, &ids[0]).await?;
    Ok(ids.remove(1))
}

/// Each kind of object that the first version names, harmed.
fn cases(system: &System) -> Result<Vec<Case>> {
    let manifest = "sources/hurt/sets/kept/versions/00000000000000000001".to_owned();
    let text = fs::read_to_string(system.store_dir().join(&manifest))?;
    let nonce = text.find("\"nonce\":\"").context("nonce of the manifest")? as u64 + 9;
    let page = key(system, &manifest, &["holds", "pages", "0", "key"])?;
    let entry = key(system, &page, &["lines", "0", "entry", "key"])?;
    let ranges = key(system, &entry, &["content", "baseline", "0", "key"])?;
    let segment = key(system, &ranges, &["ranges", "0", "stored", "key"])?;
    let flip = |key: &String, offset| Harm::new(key, Act::Flip { offset, mask: 0x01 });
    let middle =
        |key: &String| Ok::<_, anyhow::Error>(flip(key, fs::metadata(system.store_dir().join(key))?.len() / 2));
    let harms = [
        middle(&segment)?,
        flip(&segment, 0),
        Harm::new(&segment, Act::Cut { length: 100 }),
        Harm::new(&segment, Act::Remove),
        middle(&ranges)?,
        Harm::new(&ranges, Act::Remove),
        middle(&entry)?,
        Harm::new(&entry, Act::Cut { length: 100 }),
        middle(&page)?,
        Harm::new(&page, Act::Remove),
        flip(&manifest, 0),
        Harm::new(&manifest, Act::Cut { length: 100 }),
    ];
    let harms = harms.into_iter().map(|harm| Case { harm, harmless: false });
    // Nothing that is restored depends on the nonce; only the next version's link knows that it is another.
    Ok(harms.chain([Case { harm: flip(&manifest, nonce), harmless: true }]).collect())
}

/// The text at a path in the body of a stored document.
fn key(system: &System, document: &str, path: &[&str]) -> Result<String> {
    let value: Value = serde_json::from_slice(&fs::read(system.store_dir().join(document))?)?;
    let found = value.pointer(&format!("/body/{}", path.join("/"))).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("{path:?} in {document}"))
}

/// Verification fails by name; a restore fails by name, and where it does not the rows are those of the table.
async fn judge(system: &System, session: &Session, version: &str, into: &str, case: &Case) -> Result<()> {
    let (code, said) = verify(system, version).await?;
    println!("{}: {said}", case.harm);
    ensure!(code == VERIFICATION && said.contains(&case.harm.file), "verification: exit {code}: {said}");
    let restore = Restore { version, to: "hurt", from: "ks", into, replication_factor: 3, more: &[] };
    let arguments = restore.arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let said = format!("{} {}", outcome.answer, outcome.said);
    let restored = matches!(outcome.code, 0 | 3);
    ensure!(case.harmless == restored, "restore: exit {}: {said}", outcome.code);
    ensure!(restored || said.contains(&case.harm.file), "the restore does not name it: {said}");
    no_wrong_rows(session, into, restored).await
}

async fn expect_whole(system: &System, version: &str) -> Result<()> {
    let (code, said) = verify(system, version).await?;
    ensure!(code == 0, "the whole version does not verify: exit {code}: {said}");
    Ok(())
}

/// Exit code and words of a verification.
async fn verify(system: &System, version: &str) -> Result<(i32, String)> {
    let outcome = system.cli.outcome(&["version", "verify", version, "--wait"]).await?;
    let said = outcome.answer["error"]["detail"].as_str().map_or_else(|| outcome.answer.to_string(), str::to_owned);
    Ok((outcome.code, format!("{said} {}", outcome.said)))
}

/// No row is at the destination that is not the table's; all are there where they were restored.
async fn no_wrong_rows(session: &Session, keyspace: &str, restored: bool) -> Result<()> {
    session.refresh_metadata().await?;
    let made = session.get_cluster_state().get_keyspace(keyspace).is_some_and(|made| made.tables.contains_key(TABLE));
    ensure!(made || !restored, "{keyspace}.{TABLE} was restored but is not there");
    if !made {
        return Ok(());
    }
    let (expected, found) =
        (compare::read(session, "ks", TABLE).await?, compare::read(session, keyspace, TABLE).await?);
    let wrong: Vec<String> =
        expected.differences(&found).into_iter().filter(|w| restored || !w.ends_with("is missing")).collect();
    ensure!(wrong.is_empty(), "{} wrong rows in {keyspace}: {}", wrong.len(), wrong[0]);
    Ok(())
}
