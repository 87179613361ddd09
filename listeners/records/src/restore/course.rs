//! The course of a restore over the objects of its plan: from stage to stage, and what is told at the end.

use std::future::Future;

use tidemark_catalog::{content::SegmentRef, ids::ObjectName};
use tidemark_listener_core::{
    failure::Failure,
    restorer::{RestorePlan, RestoreReport},
};

use crate::{
    reading,
    restore::{
        checkpoint::{Counts, Mark, Stage},
        pipeline::{Piece, Pipeline},
    },
};

/// Pieces between the reading thread and the work.
const PIECES_AHEAD: usize = 64;

/// What is done with the segments of an object in one stage.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// For people.
    pub phase: &'a str,
    /// True where pieces must not be repeated blindly.
    pub guarded: bool,
}

impl Pipeline<'_> {
    /// Runs the stage in work over the segments that are left of its object. `read` answers how a segment is read from a mark
    /// on, piece by piece, on a thread of its own; nothing where it holds nothing that is chosen.
    ///
    /// # Errors
    /// Of reading, of a piece, or [`Failure::cancelled`]; the checkpoint covers what is done then.
    pub async fn segments<P, R, F, W>(
        &mut self,
        segments: &[SegmentRef],
        step: Step<'_>,
        read: impl Fn(&SegmentRef, Mark) -> Option<R>,
        work: F,
    ) -> Result<(), Failure>
    where
        P: Piece + Send + 'static,
        R: FnOnce(&mut dyn FnMut(P) -> bool) -> Result<(), Failure> + Send + 'static,
        F: Fn(P) -> W,
        W: Future<Output = Result<Counts, Failure>>,
    {
        let index = |mark: Mark| usize::try_from(mark.segment).unwrap_or(usize::MAX);
        while let Some(segment) = segments.get(index(self.checkpoint.mark)) {
            let from = self.checkpoint.mark;
            if let Some(read) = read(segment, from) {
                let (pieces, reader) = reading::start(PIECES_AHEAD, read);
                let driven = self.drive(pieces, step.phase, step.guarded, &work).await;
                driven.and(reader.ended().await)?;
            }
            self.checkpoint.mark = Mark { segment: from.segment + 1, ..Mark::default() };
        }
        Ok(())
    }

    /// Turns to a stage of the object that is so many objects on, and saves.
    ///
    /// # Errors
    /// That of the saver.
    pub async fn turn(&mut self, stage: Stage, objects: usize) -> Result<(), Failure> {
        self.checkpoint.turn(stage, objects);
        self.save().await
    }

    /// Names the object in work, which could not be made, and turns to the next.
    ///
    /// # Errors
    /// `error` itself where the first refusal is to end the restore; that of the saver.
    pub async fn refuse(&mut self, target: &ObjectName, error: Failure) -> Result<(), Failure> {
        self.refusals.add(target, None, error)?;
        self.checkpoint.objects_refused += 1;
        self.checkpoint.not_made.insert(self.checkpoint.object);
        self.checkpoint.undo = None;
        self.turn(Stage::Load, 1).await
    }

    /// Saves how far it came; the error that stopped it.
    pub async fn stopped(&mut self, error: Failure) -> Failure {
        if let Err(unsaved) = self.save().await {
            // The last saved checkpoint stands: work after it is done again.
            tracing::warn!(error = %unsaved, "checkpoint of a stopped restore not saved");
        }
        error
    }

    /// The report of a restore that came to its end. `own` are the source's warnings.
    ///
    /// # Errors
    /// That of the first refusal, where nothing at all could be written.
    pub fn report(self, plan: &RestorePlan, own: Vec<String>) -> Result<RestoreReport, Failure> {
        let (counts, objects_refused) = (self.checkpoint.counts, self.checkpoint.objects_refused);
        let refused = counts.refused + objects_refused;
        let all_refused = objects_refused >= plan.objects.len() as u64;
        if refused > 0 && counts.written + counts.expired == 0 && (all_refused || !plan.undoes()) {
            return Err(self.refusals.nothing_written());
        }
        let mut warnings = self.checkpoint.warnings;
        warnings.extend(own);
        let seen = counts.verified + counts.newer + counts.hidden;
        if seen < counts.written {
            warnings.push(format!("{} rows were written but not found equal: expired since", counts.written - seen));
        }
        if refused > 0 {
            let rows = counts.refused;
            warnings.push(format!("{rows} rows and {objects_refused} objects could not be written: see refused"));
        }
        let loaded = RestoreReport {
            rows_written: counts.written,
            rows_expired: counts.expired,
            rows_verified: counts.verified,
            rows_under_newer: counts.newer,
            rows_hidden: counts.hidden,
            rows_refused: counts.refused,
            objects_refused,
            refused: self.refusals.named(),
            warnings,
            ..RestoreReport::default()
        };
        let mut report = self.checkpoint.undone;
        report.add(loaded);
        Ok(report)
    }
}

#[cfg(test)]
mod tests;
