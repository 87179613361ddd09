//! Policies, and the tasks that run them.

mod shape;

use serde_json::{Value, json};
use tidemark_catalog::config_mirror;
use tidemark_web::api::{Policy, Problem};

use super::{
    Api,
    problems::{answer, refused, taken},
};
use crate::{
    protect::{self, ProtectSpec},
    registrations::{POLICIES, PolicyRecord},
    tasks::{Kind, Submit},
};

/// Registers a policy and mirrors it, with its source, into its store: before this returns the store alone can bring both
/// back.
pub(super) async fn add(api: &Api, policy: Policy) -> Result<PolicyRecord, Problem> {
    let policy = PolicyRecord::try_from(policy)?;
    let (_, source) = api.with.source(policy.source.as_str()).await.map_err(answer)?;
    let options = source.validate_options(&policy.options);
    options.map_err(|failure| Problem::bad_request("TM-POL-0400", failure.message))?;
    let name = policy.name.as_str();
    let known: Option<PolicyRecord> = api.registrations().get(POLICIES, name).await.map_err(answer)?;
    if known.is_some_and(|known| known != policy) {
        return Err(taken("TM-POL-0409", "policy", name));
    }
    mirror(api, &policy).await?;
    match api.registrations().create(POLICIES, name, &policy).await.map_err(answer)? {
        Some(other) if other != policy => Err(taken("TM-POL-0409", "policy", name)),
        _ => Ok(policy),
    }
}

async fn mirror(api: &Api, policy: &PolicyRecord) -> Result<(), Problem> {
    let (source, _) = api.with.source(policy.source.as_str()).await.map_err(answer)?;
    let store = api.with.stores.get(policy.store.as_str()).await.map_err(answer)?;
    let items = [("sources", source.name.as_str(), json!(source)), ("policies", policy.name.as_str(), json!(policy))];
    for (kind, id, value) in items {
        let put = config_mirror::put(&store.objects, kind, id, &value).await;
        put.map_err(|error| refused(503, "TM-STORE-0105", &error))?;
    }
    Ok(())
}

pub(super) async fn list(api: &Api) -> Result<Vec<Policy>, Problem> {
    let records: Vec<PolicyRecord> = api.registrations().list(POLICIES).await.map_err(answer)?;
    Ok(records.into_iter().map(Policy::from).collect())
}

pub(super) async fn one(api: &Api, name: &str) -> Result<PolicyRecord, Problem> {
    let found = api.registrations().get(POLICIES, name).await.map_err(answer)?;
    found.ok_or_else(|| Problem::not_found("TM-POL-0404", format!("there is no policy {name}")))
}

/// The task of one run.
pub(super) fn run(policy: PolicyRecord) -> Submit {
    Submit {
        kind: Kind::Protect,
        subject: format!("{}/{}", policy.source, policy.name),
        body: Value::Null,
        exclusive: Some(protect::scope(&policy.source)),
        spec: json!(ProtectSpec { policy }),
    }
}
