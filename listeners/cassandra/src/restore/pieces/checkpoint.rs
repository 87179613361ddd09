//! Where a restore stands, as it is saved: only what the destination has acknowledged.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_gateway::Digest;
use tidemark_listener_core::driver::{Error, Refused, RestorePlan, RestoreReport};

/// Format number of [`Checkpoint`].
const CHECKPOINT_FORMAT: u32 = 1;

/// A place in an object's segments: everything before it is done. Orders as the segments are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Index of the segment.
    pub segment: u64,
    /// Index of the partition within the segment.
    pub partition: u64,
    /// Rows and markers of this partition that are done.
    pub rows: u64,
}

/// What is done with an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Its rows are written.
    #[default]
    Load,
    /// Its rows are read back.
    Verify,
}

/// Rows so far, over all objects.
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

/// Where a restore stands.
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
    /// Appends to lists may have been sent up to here (exclusive); beyond, none was.
    pub reach: Mark,
    /// Rows so far.
    pub counts: Counts,
    /// Longest time that a write took to be acknowledged, s, rounded up: expiries may be that late at the destination.
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
    /// The first rows and objects that could not be written.
    pub refused: Vec<Refused>,
    /// True where the destination refused a row that CQL can express.
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

    /// The saved place in a plan.
    ///
    /// # Errors
    /// `TM-REST-0501` where it is not a checkpoint of this plan.
    pub fn parse(saved: &Value, plan: &RestorePlan) -> Result<Self, Error> {
        let refuse = |why: String| Error::new("TM-REST-0501", format!("the saved checkpoint cannot be used: {why}"));
        let parsed: Self = serde_json::from_value(saved.clone()).map_err(|e| refuse(e.to_string()))?;
        if parsed.format != CHECKPOINT_FORMAT {
            return Err(refuse(format!("its format is {}", parsed.format)));
        }
        if parsed.plan != digest(plan) || parsed.object > plan.objects.len() {
            return Err(refuse("it belongs to another plan".to_owned()));
        }
        Ok(parsed)
    }

    /// Refuses to go on where a table that was begun is not there any more; `is_there` by keyspace and table.
    ///
    /// # Errors
    /// `TM-REST-0501`.
    pub fn refuse_dropped(
        &self,
        plan: &RestorePlan,
        is_there: impl Fn(&(String, String)) -> bool,
    ) -> Result<(), Error> {
        let begun = plan.objects.iter().enumerate().filter(|(index, _)| self.has_begun(*index));
        for (_, object) in begun {
            let [keyspace, table] = object.target.parts() else { continue };
            if !is_there(&(keyspace.clone(), table.clone())) {
                let text = format!("{} was dropped since this restore filled it", object.target);
                return Err(Error::new("TM-REST-0501", text).with_hint("start the restore anew"));
            }
        }
        Ok(())
    }

    /// True where rows of the object may have been written.
    fn has_begun(&self, index: usize) -> bool {
        let at_beginning = self.stage == Stage::Load && (self.mark, self.reach) == (Mark::default(), Mark::default());
        let in_work = index == self.object && (!at_beginning || self.undo.is_some());
        (index < self.object || in_work) && !self.not_made.contains(&index)
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
mod tests {
    use super::*;

    fn plan(rows: u64) -> RestorePlan {
        let object = tidemark_listener_core::driver::PlannedObject {
            object: "ks/t".parse().unwrap(),
            target: "to/t".parse().unwrap(),
            entry: tidemark_catalog::stored::StoredRef::new(&"e".into(), tidemark_gateway::Stored::of(b"e")),
            action: tidemark_listener_core::driver::Action::Load,
            rows,
            stored_bytes: 1,
        };
        RestorePlan {
            objects: vec![object],
            schema: vec![],
            checks: vec![],
            rows,
            stored_bytes: 1,
            write_level: Some("all".into()),
            destination: "d".into(),
        }
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_was_saved() {
        let mut checkpoint = Checkpoint::start(&plan(1));
        checkpoint.mark = Mark { segment: 1, partition: 2, rows: 3 };
        assert_eq!(Checkpoint::parse(&checkpoint.to_value(), &plan(1)).unwrap(), checkpoint);
    }

    #[test]
    fn a_table_that_was_begun_must_still_be_there() {
        let refused = |change: fn(&mut Checkpoint)| {
            let mut checkpoint = Checkpoint::start(&plan(1));
            change(&mut checkpoint);
            checkpoint.refuse_dropped(&plan(1), |_| true).unwrap();
            checkpoint.refuse_dropped(&plan(1), |_| false).err().map(|e| (e.code.into_owned(), e.message))
        };
        let dropped = Some(("TM-REST-0501".to_owned(), "to/t was dropped since this restore filled it".to_owned()));
        assert_eq!(refused(|_| {}), None);
        assert_eq!(refused(|c| c.mark.partition = 1), dropped);
        assert_eq!(refused(|c| c.reach.partition = 1), dropped);
        assert_eq!(refused(|c| c.stage = Stage::Verify), dropped);
        assert_eq!(refused(|c| c.undo = Some(Value::Null)), dropped);
        assert_eq!(refused(|c| c.object = 1), dropped);
        assert_eq!(refused(|c| (c.object, c.not_made) = (1, BTreeSet::from([0]))), None);
    }

    #[test]
    fn a_checkpoint_of_another_plan_is_refused() {
        let saved = Checkpoint::start(&plan(1)).to_value();
        assert_eq!(Checkpoint::parse(&saved, &plan(2)).unwrap_err().code, "TM-REST-0501");
        assert_eq!(Checkpoint::parse(&Value::Null, &plan(2)).unwrap_err().code, "TM-REST-0501");
    }
}
