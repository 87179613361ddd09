//! An undo within a restore: its own place goes into the restore's checkpoint, its counts into the restore's report.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use tidemark_listener_core::driver::{
    CheckpointSaver, DIFFERING_KEPT, Error, REFUSED_NAMED, RestoreControl, RestoreReport,
};

use crate::{
    restore::pieces::checkpoint::Checkpoint,
    undo::{self, UndoObject},
};

/// Undoes an object from where the checkpoint says; afterwards, error or not, the checkpoint says where it stands.
///
/// # Errors
/// `TM-REST-0201` where no instant was fixed; else the undo's own.
pub(super) async fn run(
    object: &UndoObject<'_>,
    control: &RestoreControl,
    checkpoint: &mut Checkpoint,
) -> Result<RestoreReport, Error> {
    let no_instant = || Error::new("TM-REST-0201", format!("{}: no instant was fixed for it", object.planned.target));
    let instant = control.instant.ok_or_else(no_instant)?;
    let saved = checkpoint.undo.clone();
    let within = Within { control, whole: checkpoint.clone(), last: Mutex::new(saved.clone()) };
    let outcome = undo::run(object, instant, saved, &within).await;
    checkpoint.undo = within.last.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome
}

/// Saves the undo's place as part of the restore's checkpoint.
struct Within<'a> {
    control: &'a RestoreControl,
    whole: Checkpoint,
    last: Mutex<Option<Value>>,
}

#[async_trait]
impl CheckpointSaver for Within<'_> {
    async fn save(&self, checkpoint: Value) -> Result<(), Error> {
        let mut whole = self.whole.clone();
        whole.undo = Some(checkpoint.clone());
        self.control.save.save(whole.to_value()).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
        Ok(())
    }
}

/// Adds one object's report to that of the whole.
pub(super) fn add(sum: &mut RestoreReport, one: RestoreReport) {
    sum.rows_written += one.rows_written;
    sum.rows_expired += one.rows_expired;
    sum.rows_verified += one.rows_verified;
    sum.rows_read += one.rows_read;
    sum.rows_untouched += one.rows_untouched;
    sum.rows_kept += one.rows_kept;
    sum.rows_removed += one.rows_removed;
    sum.rows_newer += one.rows_newer;
    sum.rows_under_newer += one.rows_under_newer;
    sum.rows_hidden += one.rows_hidden;
    sum.rows_refused += one.rows_refused;
    sum.objects_refused += one.objects_refused;
    sum.refused.extend(one.refused);
    sum.refused.truncate(REFUSED_NAMED);
    sum.differing_rows += one.differing_rows;
    sum.differing.extend(one.differing);
    sum.differing.truncate(DIFFERING_KEPT);
    sum.warnings.extend(one.warnings);
}

#[cfg(test)]
mod tests {
    use tidemark_listener_core::driver::DifferingRow;

    use super::*;

    #[test]
    fn reports_add_up_and_keep_the_first_keys() {
        let row = |n: usize| DifferingRow { target: "ks/t".parse().unwrap(), key: n.to_string(), why: String::new() };
        let of = |from: usize| RestoreReport {
            rows_read: 3,
            rows_kept: 2,
            differing_rows: 80,
            differing: (from..from + 80).map(row).collect(),
            ..RestoreReport::default()
        };
        let mut sum = of(0);
        add(&mut sum, of(80));
        assert_eq!((sum.rows_read, sum.rows_kept), (6, 4));
        assert_eq!((sum.differing_rows, sum.differing.len()), (160, DIFFERING_KEPT));
        assert_eq!(sum.differing[99].key, "99");
    }
}
