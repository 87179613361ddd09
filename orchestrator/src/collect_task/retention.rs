//! Versions expire by the rules of their policies.

use tidemark_catalog::{
    ids::{VersionId, VersionNumber},
    states::{By, Change, Error, VersionStates},
};

use super::Collection;
use crate::{expiry, failure::Failure, registrations::PolicyRecord};

impl Collection<'_> {
    /// Expires what no rule keeps; gives what did, and versions that cannot be judged because they are damaged.
    pub(super) async fn expire(&self) -> Result<(Vec<VersionId>, Vec<VersionId>), Failure> {
        let (mut expired, mut damaged) = (Vec::new(), Vec::new());
        for policy in &self.policies {
            self.expire_set(policy, &mut expired, &mut damaged).await?;
        }
        Ok((expired, damaged))
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
            if self.context.cancel.is_cancelled() {
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

fn version(policy: &PolicyRecord, number: VersionNumber) -> VersionId {
    VersionId { source: policy.source.clone(), set: policy.name.clone(), number }
}
