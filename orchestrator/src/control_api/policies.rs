//! Policies, and the tasks that run them.

use serde_json::{Value, json};
use tidemark_catalog::{config_mirror, pattern::Patterns};
use tidemark_web::api::{Policy, Problem};

use super::{
    Api,
    problems::{answer, check_name, refused, taken},
};
use crate::{
    protect::{self, ProtectSpec},
    registrations::POLICIES,
    tasks::{Kind, Submit},
};

/// Levels at which writes can be acknowledged.
const LEVELS: [&str; 8] = ["one", "two", "three", "quorum", "all", "local_one", "local_quorum", "each_quorum"];

/// Registers a policy and mirrors it, with its source, into its store: before this returns the store alone can bring both
/// back.
pub(super) async fn add(api: &Api, policy: Policy) -> Result<Policy, Problem> {
    check(&policy)?;
    let known: Option<Policy> = api.registrations().get(POLICIES, &policy.name).await.map_err(answer)?;
    if known.is_some_and(|known| known != policy) {
        return Err(taken("TM-POL-0409", "policy", &policy.name));
    }
    mirror(api, &policy).await?;
    match api.registrations().create(POLICIES, &policy.name, &policy).await.map_err(answer)? {
        Some(other) if other != policy => Err(taken("TM-POL-0409", "policy", &policy.name)),
        _ => Ok(policy),
    }
}

async fn mirror(api: &Api, policy: &Policy) -> Result<(), Problem> {
    let (source, _) = api.with.source(&policy.source).await.map_err(answer)?;
    let store = api.with.stores.get(&policy.store).await.map_err(answer)?;
    for (kind, id, value) in [("sources", &source.name, json!(source)), ("policies", &policy.name, json!(policy))] {
        let put = config_mirror::put(&store.objects, kind, id, &value).await;
        put.map_err(|error| refused(503, "TM-STORE-0105", &error))?;
    }
    Ok(())
}

fn check(policy: &Policy) -> Result<(), Problem> {
    for (what, name) in [("policy", &policy.name), ("source", &policy.source), ("store", &policy.store)] {
        check_name(what, name)?;
    }
    if !LEVELS.contains(&policy.write_level.as_str()) {
        let words = format!("write_level {:?} is not one of {}", policy.write_level, LEVELS.join(", "));
        return Err(Problem::bad_request("TM-POL-0400", words));
    }
    match Patterns::parse(&policy.objects) {
        Ok(patterns) if patterns.is_empty() => Err(Problem::bad_request("TM-POL-0400", "objects is empty")),
        Err(error) => Err(Problem::bad_request("TM-POL-0400", format!("objects: {error}"))
            .with_hint("patterns are part/part, with * for any text within a part")),
        Ok(_) => Ok(()),
    }
}

pub(super) async fn list(api: &Api) -> Result<Vec<Policy>, Problem> {
    api.registrations().list(POLICIES).await.map_err(answer)
}

pub(super) async fn one(api: &Api, name: &str) -> Result<Policy, Problem> {
    let found = api.registrations().get(POLICIES, name).await.map_err(answer)?;
    found.ok_or_else(|| Problem::not_found("TM-POL-0404", format!("there is no policy {name}")))
}

/// The task of one run.
pub(super) fn run(policy: Policy) -> Submit {
    Submit {
        kind: Kind::Protect,
        subject: format!("{}/{}", policy.source, policy.name),
        body: Value::Null,
        exclusive: Some(protect::scope(&policy.source)),
        spec: json!(ProtectSpec { policy }),
    }
}
