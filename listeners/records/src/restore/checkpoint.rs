//! Where a restore stands, as it is saved: only what the destination has acknowledged.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::ids::ObjectName;
use tidemark_gateway::{Digest, Env};
use tidemark_listener_core::{
    failure::Failure,
    restorer::{Refused, RestoreControl, RestorePlan, RestoreReport},
};

/// Format number of [`Checkpoint`].
const CHECKPOINT_FORMAT: u32 = 1;

/// A place in an object's segments: everything before it is done. Orders as the segments are read.
///
/// A group is what a source keeps together within a segment (for Cassandra: a partition). One that keeps nothing together
/// counts each record as a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Index of the segment.
    pub segment: u64,
    /// Index of the group within the segment.
    #[serde(rename = "partition")]
    pub group: u64,
    /// Records (and what else the source counts between them) of this group that are done.
    #[serde(rename = "rows")]
    pub records: u64,
}

/// What is done with an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Its records are written.
    #[default]
    Load,
    /// Its records are read back.
    Verify,
}

/// Records so far, over all objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Written.
    pub written: u64,
    /// Live at the cut, expired now.
    pub expired: u64,
    /// Read back and equal.
    pub verified: u64,
    /// Read back under newer data, in a merge.
    pub newer: u64,
    /// Not read back, in a merge: under a newer deletion as far as can be told.
    pub hidden: u64,
    /// Could not be written.
    pub refused: u64,
}

impl Counts {
    /// Adds the other counts.
    pub fn add(&mut self, other: Self) {
        self.written += other.written;
        self.expired += other.expired;
        self.verified += other.verified;
        self.newer += other.newer;
        self.hidden += other.hidden;
        self.refused += other.refused;
    }
}

/// Where a restore stands. Saved as JSON. Unknown fields are refused: a build reads what it or an older build wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// 1.
    format: u32,
    /// Digest of the plan's objects: a checkpoint is good for its own plan only.
    plan: Digest,
    /// Index of the object in work; the number of objects when only indexes are left.
    pub object: usize,
    /// What is done with it.
    pub stage: Stage,
    /// How far: acknowledged by the destination.
    pub mark: Mark,
    /// What must not be repeated blindly may have been sent up to here (exclusive); beyond, nothing was.
    pub reach: Mark,
    /// Rows so far.
    pub counts: Counts,
    /// Longest time that a write took to be acknowledged, s, rounded up: what is given a time to live may live that much longer.
    pub slowest_write_seconds: u32,
    /// When the first run began to write, s since 1970.
    pub started_seconds: u32,
    /// Warnings so far.
    pub warnings: Vec<String>,
    /// Where the undo of the object in work stands, in the undo's own shape.
    pub undo: Option<Value>,
    /// Sum of the undos that are done.
    pub undone: RestoreReport,
    /// Objects that could not be made.
    pub objects_refused: u64,
    /// Their indexes.
    #[serde(default)]
    pub not_made: BTreeSet<usize>,
    /// The first records and objects that could not be written.
    pub refused: Vec<Refused>,
    /// True where the destination refused a record that can be expressed.
    pub refused_by_destination: bool,
}

impl Checkpoint {
    /// The beginning of a plan.
    pub fn start(plan: &RestorePlan) -> Self {
        Self {
            format: CHECKPOINT_FORMAT,
            plan: digest(plan),
            object: 0,
            stage: Stage::Load,
            mark: Mark::default(),
            reach: Mark::default(),
            counts: Counts::default(),
            slowest_write_seconds: 0,
            started_seconds: 0,
            warnings: Vec::new(),
            undo: None,
            undone: RestoreReport::default(),
            objects_refused: 0,
            not_made: BTreeSet::new(),
            refused: Vec::new(),
            refused_by_destination: false,
        }
    }

    /// The first checkpoint, saved before anything is written: from then on records in the targets are ours.
    ///
    /// # Errors
    /// That of the saver.
    pub async fn begin(plan: &RestorePlan, control: &RestoreControl, env: &Env) -> Result<Self, Failure> {
        let started_seconds = u32::try_from(env.now().as_second()).unwrap_or(0);
        let checkpoint = Self { started_seconds, ..Self::start(plan) };
        control.save.save(checkpoint.to_value()).await?;
        Ok(checkpoint)
    }

    /// The checkpoint of an earlier run. What that run filled must still be there, as `is_there` tells of the destination's
    /// objects: made again, it would be empty.
    ///
    /// # Errors
    /// `TM-REST-0501` where it is not a checkpoint of this plan, or an object that was begun is gone.
    pub fn resume(saved: &Value, plan: &RestorePlan, is_there: impl Fn(&ObjectName) -> bool) -> Result<Self, Failure> {
        let checkpoint = Self::parse(saved, plan)?;
        checkpoint.refuse_dropped(plan, is_there)?;
        Ok(checkpoint)
    }

    /// The saved place in a plan.
    ///
    /// # Errors
    /// `TM-REST-0501` where it is not a checkpoint of this plan.
    pub fn parse(saved: &Value, plan: &RestorePlan) -> Result<Self, Failure> {
        let refuse = |why: String| Failure::new("TM-REST-0501", format!("the saved checkpoint cannot be used: {why}"));
        let parsed: Self = serde_json::from_value(saved.clone()).map_err(|e| refuse(e.to_string()))?;
        if parsed.format != CHECKPOINT_FORMAT {
            return Err(refuse(format!("its format is {}", parsed.format)));
        }
        if parsed.plan != digest(plan) || parsed.object > plan.objects.len() {
            return Err(refuse("it belongs to another plan".to_owned()));
        }
        Ok(parsed)
    }

    /// Refuses to go on where an object that was begun is not there any more.
    fn refuse_dropped(&self, plan: &RestorePlan, is_there: impl Fn(&ObjectName) -> bool) -> Result<(), Failure> {
        let begun = plan.objects.iter().enumerate().filter(|(index, _)| self.has_begun(*index));
        match begun.map(|(_, object)| &object.target).find(|target| !is_there(target)) {
            None => Ok(()),
            Some(target) => {
                let text = format!("{target} was dropped since this restore filled it");
                Err(Failure::new("TM-REST-0501", text).with_hint("start the restore anew"))
            }
        }
    }

    /// True where records of the object may have been written.
    fn has_begun(&self, index: usize) -> bool {
        let at_beginning = self.stage == Stage::Load && (self.mark, self.reach) == (Mark::default(), Mark::default());
        let in_work = index == self.object && (!at_beginning || self.undo.is_some());
        (index < self.object || in_work) && !self.not_made.contains(&index)
    }

    /// Turns to a stage of the object that is so many objects on.
    pub fn turn(&mut self, stage: Stage, objects: usize) {
        (self.stage, self.mark, self.reach) = (stage, Mark::default(), Mark::default());
        self.object += objects;
    }

    /// As JSON.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a checkpoint has string keys only, so that it is always JSON")
    }
}

fn digest(plan: &RestorePlan) -> Digest {
    let objects = serde_json::to_vec(&plan.objects).expect("planned objects have string keys only");
    Digest::of(&objects)
}

#[cfg(test)]
mod tests;
