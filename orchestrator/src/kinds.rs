//! Which code runs which kind of task.

use async_trait::async_trait;

use crate::{
    collect_task,
    executors::Executors,
    failure::Failure,
    protect, restore_task,
    tasks::{Completion, Execute, Kind, TaskContext},
    verify_task,
};

/// Every kind, with what they need.
pub struct Kinds(pub Executors);

#[async_trait]
impl Execute for Kinds {
    async fn execute(&self, context: TaskContext) -> Result<Completion, Failure> {
        match context.task.kind {
            Kind::Protect => protect::run(&self.0, context).await,
            Kind::Restore => restore_task::run(&self.0, context).await,
            Kind::Verify => verify_task::run(&self.0, context).await,
            Kind::Count => restore_task::count::run(&self.0, context).await,
            Kind::Collect => collect_task::run(&self.0, context).await,
            Kind::Consolidate => protect::parts::run(&self.0, context).await,
        }
    }
}
