//! Runs pieces of work side by side, in bounds, and moves the checkpoint over what is done without a hole.
//!
//! A crash at any step leaves the last saved checkpoint: pieces after its mark are done again. Guarded pieces, those that must
//! not be repeated blindly, start only within the checkpoint's saved reach: a restore that goes on knows that those before the
//! reach may have been sent, and looks before it sends them, and that none behind it was.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tidemark_gateway::Env;
use tidemark_listener_core::{failure::Failure, progress::Progress, restorer::RestoreControl};
use tokio::sync::mpsc;

use crate::restore::{
    checkpoint::{Checkpoint, Counts, Mark, Stage},
    refusals::Refusals,
};

/// Time between two saves.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// Groups by which the reach goes ahead of the work.
const REACH_GROUPS: u64 = 5_000;

/// Records that are written, or read back, together.
pub trait Piece {
    /// Where the work stands once it is done. Pieces come in ascending order of their ends.
    fn end(&self) -> Mark;

    /// Records in it; none where nothing of its place is chosen.
    fn records(&self) -> usize;

    /// Bytes of the records' values, about.
    fn bytes(&self) -> usize;
}

/// Bounds of the work in flight: another piece starts while all are below them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Pieces.
    pub pieces: usize,
    /// Records.
    pub records: usize,
    /// Bytes of values.
    pub bytes: usize,
}

impl Bounds {
    /// Bounds for a destination of this many nodes: from 256 single records or some batches for one node up to 8 times that.
    pub fn for_nodes(nodes: usize) -> Self {
        let scale = nodes.clamp(1, 8);
        Self { pieces: 256 * scale, records: 4_000 * scale, bytes: (4 << 20) * scale }
    }
}

/// A piece in flight, or done after one that is still in flight.
struct Pending {
    end: Mark,
    records: usize,
    bytes: usize,
    counts: Option<Counts>,
}

/// The work of one restore, with its checkpoint.
pub struct Pipeline<'a> {
    control: &'a RestoreControl,
    env: &'a Env,
    bounds: Bounds,
    /// Where the work stands.
    pub checkpoint: Checkpoint,
    /// Longest time until a write was answered, s, rounded up; saved with each checkpoint.
    pub slowest_write_seconds: Arc<AtomicU32>,
    /// Records and objects that could not be written; saved with each checkpoint.
    pub refusals: Arc<Refusals>,
    saved_at: Option<Duration>,
    total_rows: u64,
}

impl<'a> Pipeline<'a> {
    /// A pipeline that goes on from a checkpoint; `strict` where the first refused record ends the restore.
    pub fn new(
        control: &'a RestoreControl,
        env: &'a Env,
        bounds: Bounds,
        checkpoint: Checkpoint,
        total_rows: u64,
        strict: bool,
    ) -> Self {
        let slowest_write_seconds = Arc::new(AtomicU32::new(checkpoint.slowest_write_seconds));
        let refusals = Refusals::new(strict, checkpoint.refused.clone(), checkpoint.refused_by_destination);
        let refusals = Arc::new(refusals);
        Self { control, env, bounds, checkpoint, slowest_write_seconds, refusals, saved_at: None, total_rows }
    }

    /// Saves the checkpoint.
    ///
    /// # Errors
    /// That of the saver.
    pub async fn save(&mut self) -> Result<(), Failure> {
        self.checkpoint.slowest_write_seconds = self.slowest_write_seconds.load(Ordering::Relaxed);
        self.checkpoint.refused = self.refusals.named();
        self.checkpoint.refused_by_destination = self.refusals.by_destination();
        self.control.save.save(self.checkpoint.to_value()).await
    }

    /// True where a run before this one was interrupted.
    pub fn is_resumed(&self) -> bool {
        self.control.checkpoint.is_some()
    }

    /// The handles of this restore.
    pub fn control(&self) -> &'a RestoreControl {
        self.control
    }

    /// Says how far something else has come.
    pub fn progress(&self, progress: Progress) {
        (self.control.progress)(progress);
    }

    /// Waits, unless the work is cancelled.
    ///
    /// # Errors
    /// [`Failure::cancelled`].
    pub async fn pause(&self, time: Duration) -> Result<(), Failure> {
        tokio::select! {
            () = self.control.cancel.cancelled() => Err(Failure::cancelled()),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }

    /// Runs all pieces; `guarded` where they must not be repeated blindly. At its end, error or not, the checkpoint covers what
    /// is done without a hole (it may not be saved yet).
    ///
    /// The pieces in flight end with the future: it is not cancel safe for them, but the checkpoint holds.
    ///
    /// # Errors
    /// The first error of the stream or of a piece; [`Failure::cancelled`].
    pub async fn drive<P, F, W>(
        &mut self,
        mut pieces: mpsc::Receiver<Result<P, Failure>>,
        phase: &str,
        guarded: bool,
        work: F,
    ) -> Result<(), Failure>
    where
        P: Piece,
        F: Fn(P) -> W,
        W: Future<Output = Result<Counts, Failure>>,
    {
        let mut running = FuturesUnordered::new();
        let (mut window, mut first, mut open) = (VecDeque::<Pending>::new(), 0_usize, true);
        while open || !running.is_empty() {
            let room = open && self.has_room(&window);
            let cancel = self.control.cancel.clone();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Failure::cancelled()),
                Some((n, done)) = running.next(), if !running.is_empty() => {
                    let done: Result<Counts, Failure> = done;
                    window[n - first].counts = Some(done?);
                    first += self.advance(&mut window);
                    self.tell(phase);
                    self.save_if_due(open || !running.is_empty()).await?;
                }
                piece = pieces.recv(), if room => match piece {
                    None => open = false,
                    Some(piece) => {
                        let piece = piece?;
                        if guarded {
                            self.ensure_reach(piece.end()).await?;
                        }
                        let n = first + window.len();
                        let (end, records, bytes) = (piece.end(), piece.records(), piece.bytes());
                        window.push_back(Pending { end, records, bytes, counts: None });
                        let run = work(piece);
                        running.push(async move { (n, run.await) });
                    }
                },
            }
        }
        Ok(())
    }

    fn has_room(&self, window: &VecDeque<Pending>) -> bool {
        let records: usize = window.iter().map(|p| p.records).sum();
        let bytes: usize = window.iter().map(|p| p.bytes).sum();
        window.len() < self.bounds.pieces && records < self.bounds.records && bytes < self.bounds.bytes
    }

    /// Moves the mark over the pieces that are done at the window's front; how many.
    fn advance(&mut self, window: &mut VecDeque<Pending>) -> usize {
        let mut moved = 0;
        while let Some(counts) = window.front().and_then(|p| p.counts) {
            self.checkpoint.counts.add(counts);
            self.checkpoint.mark = window.pop_front().map_or(self.checkpoint.mark, |p| p.end);
            moved += 1;
        }
        moved
    }

    fn tell(&self, phase: &str) {
        let counts = self.checkpoint.counts;
        let done = match self.checkpoint.stage {
            Stage::Load => counts.written + counts.expired + counts.refused,
            Stage::Verify => counts.verified + counts.newer + counts.hidden,
        };
        (self.control.progress)(Progress {
            phase: phase.to_owned(),
            done,
            total: self.total_rows,
            unit: "rows".to_owned(),
        });
    }

    /// Saves after the first piece that was acknowledged, then at most every [`SAVE_INTERVAL`].
    async fn save_if_due(&mut self, more: bool) -> Result<(), Failure> {
        let now = self.env.monotonic();
        if self.saved_at.is_some_and(|at| now.saturating_sub(at) < SAVE_INTERVAL) {
            return Ok(());
        }
        self.save().await?;
        self.saved_at = Some(now);
        if more && self.checkpoint.stage == Stage::Load {
            tidemark_gateway::pause::point("mid-restore");
        }
        Ok(())
    }

    /// Saves a reach beyond the piece that ends there before it may be sent.
    async fn ensure_reach(&mut self, end: Mark) -> Result<(), Failure> {
        if end <= self.checkpoint.reach {
            return Ok(());
        }
        self.checkpoint.reach = Mark { segment: end.segment, group: end.group + REACH_GROUPS, records: 0 };
        self.save().await
    }
}

#[cfg(test)]
mod tests;
