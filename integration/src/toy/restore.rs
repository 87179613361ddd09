//! Versions come back: every record that is no deletion becomes a document of its own in every replica of the destination.
//!
//! A document is called by the digest of its key, so that writing it again changes nothing. Where one of this name is there already
//! it stays if it wins: a merge adds data with its own times.

mod pieces;
mod plan;
mod run;
mod target;

use async_trait::async_trait;
use serde_json::Value;
use tidemark_listener_core::{
    failure::Failure,
    restorer::{RestoreControl, RestoreJob, RestorePlan, RestoreReport, Restorer},
};

use super::options::RestoreOptions;

/// Restores into directories; knows no undo.
#[derive(Clone, Copy, Debug)]
pub struct ToyRestorer;

#[async_trait]
impl Restorer for ToyRestorer {
    fn validate_options(&self, options: &Value) -> Result<(), Failure> {
        RestoreOptions::read(options).map(drop)
    }

    async fn plan(&self, job: &RestoreJob) -> Result<RestorePlan, Failure> {
        plan::of(job).await
    }

    async fn run(
        &self,
        job: &RestoreJob,
        plan: &RestorePlan,
        control: RestoreControl,
    ) -> Result<RestoreReport, Failure> {
        run::run(job, plan, &control).await
    }
}
