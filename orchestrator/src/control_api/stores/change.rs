//! Changes of a store: of its limits. Where it is, and what opens it, says what it is and stays.

use serde_json::json;
use tidemark_gateway::Digest;
use tidemark_web::{
    api::{ChangeStore, Problem, Store},
    control::{IfMatch, Tagged},
};

use super::{read_limits, show};
use crate::{
    control_api::{Api, problems::answer},
    registrations::{Registered, STORES, StoreRecord},
    stores,
};

/// A store with the tag of its state.
pub(super) fn tagged(api: &Api, record: StoreRecord) -> Tagged<Store> {
    let etag = etag(&record);
    Tagged { value: show(api, record), etag }
}

/// The same for the same registration.
fn etag(record: &StoreRecord) -> String {
    format!("\"{}\"", &Digest::of(json!(record).to_string().as_bytes()).to_string()[..32])
}

/// Sets the limits of a store that is still in the state meant; what runs obeys them at once.
pub(in crate::control_api) async fn change(
    api: &Api,
    name: &str,
    change: ChangeStore,
    state: &IfMatch,
) -> Result<Tagged<Store>, Problem> {
    let limits = read_limits(change.limits)?;
    let read: Option<Registered<StoreRecord>> = api.registrations().read(STORES, name).await.map_err(answer)?;
    let read = read.ok_or_else(|| answer(stores::Error::Unknown(name.to_owned())))?;
    let etag = etag(&read.value);
    if !state.allows(&etag) {
        return Err(changed(format!("store {name} has changed: its ETag is {etag}, not {}", state.0)));
    }
    let record = StoreRecord { limits, ..read.value.clone() };
    if !api.registrations().replace_at(STORES, name, &read, &record).await.map_err(answer)? {
        return Err(changed(format!("store {name} was changed by another request meanwhile")));
    }
    api.with.stores.renew_limits().await;
    Ok(tagged(api, record))
}

fn changed(words: String) -> Problem {
    Problem::new(412, "TM-STORE-0412", words).with_hint("look at it again, and repeat the change if it is still wanted")
}
