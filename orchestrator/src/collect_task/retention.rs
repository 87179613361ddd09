//! Versions expire by the rules of their policies.
//!
//! A version that expires is let go for good after a grace, so that a rule counts only where nothing speaks against it: it and its
//! source are confirmed (what a store's mirror says is not trusted), and it is the newest that its store's mirror has. A state
//! directory that was put back from a copy, or a daemon that others have left behind, knows an older policy; its rule is not the
//! operator's any more.

use serde_json::{Value, json};
use tidemark_catalog::{
    config_mirror,
    ids::{VersionId, VersionNumber},
    states::{By, Change, Error, VersionStates},
};
use tidemark_gateway::causes::joined;

use super::{Collection, result::SourceResult};
use crate::{
    expiry,
    failure::Failure,
    registrations::{PolicyRecord, SOURCES, SourceRecord},
};

impl Collection<'_> {
    /// Expires what no rule keeps, and says what did; and which versions cannot be judged because they are damaged, and which
    /// policies' rules do not count.
    pub(super) async fn expire(&self, result: &mut SourceResult) -> Result<(), Failure> {
        let (mut expired, mut damaged) = (Vec::new(), Vec::new());
        for policy in &self.policies {
            match self.rests(policy).await? {
                None => self.expire_set(policy, &mut expired, &mut damaged).await?,
                Some(reason) => {
                    tracing::warn!(source_id = %self.source, policy = %policy.name, reason, "no version of the policy expires");
                    result.resting.push(format!("{}: {reason}", policy.name));
                }
            }
        }
        (result.expired, result.damaged) = (expired.into_iter().collect(), damaged.into_iter().collect());
        Ok(())
    }

    /// Why the rule of a policy does not count; `None` where it does, or there is none.
    async fn rests(&self, policy: &PolicyRecord) -> Result<Option<String>, Failure> {
        if policy.keep.is_none() {
            return Ok(None);
        }
        let source: Option<SourceRecord> = self.with.registrations.get(SOURCES, policy.source.as_str()).await?;
        if !source.is_some_and(|source| source.is_confirmed()) {
            return Ok(Some(format!("source {} is not confirmed", policy.source)));
        }
        if let Some(store) = &policy.imported_from {
            return Ok(Some(format!("it came from the mirror of store {store} and is not confirmed")));
        }
        match config_mirror::newest(&self.store.objects, "policies", policy.name.as_str()).await {
            Ok(Some(mirrored)) if says_the_same(&mirrored, policy) => Ok(None),
            Ok(_) => Ok(Some("it is not what the store's mirror says: look at it, and save it again".to_owned())),
            Err(config_mirror::Error::List { source, prefix }) => {
                let error = config_mirror::Error::List { source, prefix };
                Err(Failure::retryable("TM-STORE-0105", joined(&error)))
            }
            Err(config_mirror::Error::Page(error)) if error.is_retryable() => Err(error.into()),
            Err(error) => Ok(Some(format!("the store's mirror of it cannot be read: {}", joined(&error)))),
        }
    }

    async fn expire_set(
        &self,
        policy: &PolicyRecord,
        expired: &mut Vec<VersionId>,
        damaged: &mut Vec<VersionId>,
    ) -> Result<(), Failure> {
        let Some(keep) = &policy.keep else { return Ok(()) };
        let found = expiry::candidates(self.store, &policy.source, &policy.name).await?;
        found.damaged.iter().for_each(|number| damaged.push(version(policy, *number)));
        let states = VersionStates::new(self.store.objects.clone(), policy.source.clone(), policy.name.clone());
        let who = format!("policy {}", policy.name);
        let by = By { token: self.context.token, who: &who, env: &self.with.env };
        for decision in expiry::plan(policy, keep, &found.candidates, self.with.env.now())? {
            if decision.keep {
                continue;
            }
            if !self.context.holds() {
                return Err(Failure::cancelled());
            }
            let reason = expiry::words(&decision.reasons);
            match states.change(decision.number, &Change::Expire { reason }, by).await {
                Ok(_) => expired.push(version(policy, decision.number)),
                // Somebody holds it since it was looked at.
                Err(Error::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Whether the mirror says what is registered; stores may be called otherwise where it was written.
fn says_the_same(mirrored: &Value, policy: &PolicyRecord) -> bool {
    let read = serde_json::from_value::<PolicyRecord>(mirrored.clone());
    read.is_ok_and(|read| json!(PolicyRecord { store: policy.store.clone(), ..read }) == json!(policy))
}

fn version(policy: &PolicyRecord, number: VersionNumber) -> VersionId {
    VersionId { source: policy.source.clone(), set: policy.name.clone(), number }
}
