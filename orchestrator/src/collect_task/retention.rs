//! Versions expire by the rules of their policies.
//!
//! A version that expires is let go for good after a grace: a rule that rests ([`resting`]) expires none.

use tidemark_catalog::{
    ids::{VersionId, VersionNumber},
    states::{By, Change, Error, VersionStates},
};

use super::{Collection, result::SourceResult};
use crate::{expiry, failure::Failure, registrations::PolicyRecord, resting};

impl Collection<'_> {
    /// Expires what no rule keeps, and says what did; and which versions cannot be judged because they are damaged, and which
    /// policies' rules do not count.
    pub(super) async fn expire(&self, result: &mut SourceResult) -> Result<(), Failure> {
        let (mut expired, mut damaged) = (Vec::new(), Vec::new());
        for policy in self.policies.iter().filter(|policy| policy.keep.is_some()) {
            // Looked at right before: somebody may have changed it since this task began.
            match resting::why(&self.with.registrations, &self.store.objects, policy).await? {
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

fn version(policy: &PolicyRecord, number: VersionNumber) -> VersionId {
    VersionId { source: policy.source.clone(), set: policy.name.clone(), number }
}
