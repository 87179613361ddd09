//! One piece of work for one listener: sent when it is attached, sent again when it is attached anew, given up within bounds.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use tidemark_catalog::stored::StoredRef;
use tidemark_gateway::backoff::{self, Jitter};
use tidemark_listener_core::{
    assignment::{Assignment, CheckRequest},
    check, failure,
    progress::{Progress, ProgressSink},
    proto::{self, to_listener},
};

use super::{
    Key, ListenerConfig, Registry, Stop,
    registry::{Replies, Reply, Session},
};
use crate::{
    failure::{Away, Failure},
    limits::Share,
};

/// Longest wait between two tries.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How one try ended.
enum Try<T> {
    Done(T),
    /// No further try would do better.
    GivenUp(Failure),
    /// Another try may do better.
    Failed(Failure),
    /// Another process may do better.
    Hung(Failure),
}

/// Wait after the n-th failure in a row, from 1.
pub(super) fn backoff(config: &ListenerConfig, failures: u32) -> Duration {
    backoff::wait(config.backoff, LONGEST_BACKOFF, failures.saturating_sub(1), Jitter::None)
}

/// Has the listener do a piece of work, in as many tries as the bounds allow.
pub(super) async fn work(
    registry: &Arc<Registry>,
    config: &ListenerConfig,
    key: Key,
    assignment: impl Fn(u32) -> Assignment + Send + Sync,
    share: &mut Share,
    progress: ProgressSink,
    stop: Stop,
) -> Result<StoredRef, Failure> {
    let mut failures = 0;
    loop {
        let assignment = assignment(failures + 1);
        let mut attempt = pin!(work_once(registry, config, &key, &assignment, share, &progress));
        let outcome = tokio::select! {
            biased;
            () = stop.now.cancelled() => {
                if stop.over.is_cancelled() && cancel_work(registry, &key, &assignment.id).await {
                    // The answer says that the snapshot is gone. Without one it is removed by the next capture.
                    let _ = tokio::time::timeout(config.cancel_timeout, attempt).await;
                }
                return Err(Failure::cancelled());
            }
            outcome = &mut attempt => outcome,
        };
        match outcome {
            Try::Done(answer) => return Ok(answer),
            Try::GivenUp(failure) => return Err(failure),
            Try::Failed(failure) | Try::Hung(failure) if failures + 1 >= config.max_failures => return Err(failure),
            Try::Failed(failure) => tracing::warn!(listener = key.listener, %failure, "work failed, trying again"),
            Try::Hung(failure) => {
                tracing::warn!(listener = key.listener, %failure, "work hangs, starting its listener again");
                registry.restart(&key);
            }
        }
        failures += 1;
        tokio::select! {
            biased;
            () = stop.now.cancelled() => return Err(Failure::cancelled()),
            () = tokio::time::sleep(backoff(config, failures)) => {}
        }
    }
}

/// True where the listener is there to be told.
async fn cancel_work(registry: &Registry, key: &Key, id: &str) -> bool {
    match registry.session(key) {
        Some(session) => session.send(to_listener::Message::Cancel(proto::Cancel { id: id.to_owned() })).await,
        None => false,
    }
}

async fn work_once(
    registry: &Arc<Registry>,
    config: &ListenerConfig,
    key: &Key,
    assignment: &Assignment,
    share: &mut Share,
    progress: &ProgressSink,
) -> Try<StoredRef> {
    let json = serde_json::to_string(assignment).expect("an assignment is plain data");
    let id = assignment.id.clone();
    let message = to_listener::Message::Assignment(proto::Assignment { id: id.clone(), json });
    let (session, mut replies) = match send(registry, config, key, &id, message, share).await {
        Ok(sent) => sent,
        // A process that stands still loses its stream and does not end.
        Err(failure) if registry.lost(key) => return Try::Hung(failure),
        Err(failure) => return Try::Failed(failure),
    };
    // A heartbeat says that the listener lives, not that its work gets anywhere.
    let mut told = pin!(tell(&session, share));
    let (mut place, mut stall) = (None, Box::pin(tokio::time::sleep(config.stall_timeout)));
    loop {
        let reply = tokio::select! {
            biased;
            reply = next(config, &session, &mut replies) => reply,
            () = &mut stall => return Try::Hung(stalled(key, config.stall_timeout)),
            never = &mut told => match never {},
        };
        if let Ok(Reply::Progress { phase, done, .. }) = &reply {
            let at = Some((phase.clone(), *done));
            if place != at {
                (place, stall) = (at, Box::pin(tokio::time::sleep(config.stall_timeout)));
            }
        }
        match reply {
            Ok(Reply::Progress { phase, done, total }) => {
                progress(Progress { phase, done, total, unit: "bytes".to_owned() });
            }
            Ok(Reply::Finished(json)) => return finished(key, &json),
            Ok(Reply::Failed(failure)) => {
                let failure = failed(key, failure);
                return if failure.retryable { Try::Failed(failure) } else { Try::GivenUp(failure) };
            }
            Ok(Reply::Alive | Reply::Checked(_)) => {}
            Err(Lost::Gone) => return Try::Failed(detached(key)),
            Err(Lost::Silent) => return Try::Hung(silent(key, config.silence_timeout)),
        }
    }
}

fn finished(key: &Key, json: &str) -> Try<StoredRef> {
    match serde_json::from_str(json) {
        Ok(slice) => Try::Done(slice),
        Err(error) => Try::GivenUp(unreadable(key, &error)),
    }
}

/// A listener's failure in the daemon's words; where it may go away and nobody answered, the source is away.
fn failed(key: &Key, failure: failure::Failure) -> Failure {
    let (message, answered) = (format!("listener {}: {}", key.listener, failure.message), failure.answered);
    let failure = Failure::from(failure::Failure { message, ..failure });
    if answered { failure } else { failure.by_absence_of(Away::Source) }
}

fn unreadable(key: &Key, error: &serde_json::Error) -> Failure {
    let words = format!("listener {}: its answer cannot be read: {error}", key.listener);
    Failure::permanent("TM-LIST-0004", words).with_hint("the listener's version does not fit the daemon's")
}

/// Has the listener check.
pub(super) async fn check(
    registry: &Arc<Registry>,
    config: &ListenerConfig,
    key: Key,
    request: &CheckRequest,
    share: &mut Share,
) -> Result<Vec<check::Line>, Failure> {
    let json = serde_json::to_string(request).expect("a request is plain data");
    let id = format!("check-{}", key.listener);
    let message = to_listener::Message::Check(proto::Check { id: id.clone(), json });
    let (session, mut replies) = send(registry, config, &key, &id, message, share).await?;
    let answer = async {
        loop {
            match next(config, &session, &mut replies).await {
                Ok(Reply::Checked(json)) => {
                    return serde_json::from_str(&json).map_err(|error| unreadable(&key, &error));
                }
                Ok(Reply::Failed(failure)) => return Err(failed(&key, failure)),
                Ok(Reply::Alive | Reply::Progress { .. } | Reply::Finished(_)) => {}
                Err(Lost::Gone) => return Err(detached(&key)),
                Err(Lost::Silent) => return Err(silent(&key, config.silence_timeout)),
            }
        }
    };
    tokio::time::timeout(config.check_timeout, answer).await.unwrap_or_else(|_| Err(silent(&key, config.check_timeout)))
}

/// Tells the listener its share whenever that becomes another one.
async fn tell(session: &Session, share: &mut Share) -> Infallible {
    loop {
        let limit = share.changed().await;
        // Where the stream is gone, the next one begins with the share.
        session.send(to_listener::Message::Limits(limit.into())).await;
    }
}

/// Waits for the listener and sends it work, its share first.
async fn send(
    registry: &Arc<Registry>,
    config: &ListenerConfig,
    key: &Key,
    id: &str,
    message: to_listener::Message,
    share: &mut Share,
) -> Result<(Session, Replies), Failure> {
    let attached = tokio::time::timeout(config.attach_timeout, registry.attached(key)).await;
    let session = attached.map_err(|_| not_attached(key, config.attach_timeout))?;
    let replies = registry.expect_replies(key, id);
    let share = to_listener::Message::Limits(share.now().into());
    if session.send(share).await && session.send(message).await { Ok((session, replies)) } else { Err(detached(key)) }
}

/// Why there is no next reply.
enum Lost {
    /// The stream ended.
    Gone,
    /// It is there, and nothing comes.
    Silent,
}

async fn next(config: &ListenerConfig, session: &Session, replies: &mut Replies) -> Result<Reply, Lost> {
    let gone = session.gone();
    tokio::select! {
        biased;
        reply = replies.next() => reply.ok_or(Lost::Gone),
        () = gone.cancelled() => Err(Lost::Gone),
        () = tokio::time::sleep(config.silence_timeout) => Err(Lost::Silent),
    }
}

fn not_attached(key: &Key, bound: Duration) -> Failure {
    let words = format!("listener {} did not attach within {} s", key.listener, bound.as_secs());
    Failure::retryable("TM-LIST-0002", words).with_hint("the daemon's log holds what the listener said")
}

fn detached(key: &Key) -> Failure {
    Failure::retryable("TM-LIST-0003", format!("listener {} went away while it worked", key.listener))
}

/// Longer than many ticks of a listener that is well, however long its work takes.
fn silent(key: &Key, bound: Duration) -> Failure {
    Failure::retryable("TM-LIST-0005", format!("listener {} said nothing for {} s", key.listener, bound.as_secs()))
}

/// Longer than any call of the node's own tools.
fn stalled(key: &Key, bound: Duration) -> Failure {
    let words = format!("work of listener {} did not get anywhere for {} s", key.listener, bound.as_secs());
    Failure::retryable("TM-LIST-0005", words).with_hint("see to the disks of its host, and to its way to the store")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tidemark_gateway::{Env, Stored};
    use tidemark_listener_core::{progress::silent, proto::ToListener};
    use tokio::sync::mpsc;
    use tonic::Status;

    use super::*;
    use crate::listeners::{registry::Expected, tests::assignment};

    type Outbox = mpsc::Receiver<Result<ToListener, Status>>;

    /// Longer than the silence that is borne: what comes of a capture that lasts so long, with or without heartbeats.
    async fn captured(beats: bool) -> Result<StoredRef, Failure> {
        captured_within(beats, ListenerConfig::default().stall_timeout).await
    }

    async fn captured_within(beats: bool, stall_timeout: Duration) -> Result<StoredRef, Failure> {
        let registry = Arc::new(Registry::default());
        let key = Key { source: "src".to_owned(), listener: "n1".to_owned() };
        let (_expected, mut sent) = attached(&registry, &key);
        let silence_timeout = Duration::from_millis(100);
        let config = ListenerConfig { silence_timeout, stall_timeout, ..bounds(1) };
        let listener = async {
            sent.recv().await;
            let mut ticks = tokio::time::interval(silence_timeout / 5);
            for _ in 0..15 {
                ticks.tick().await;
                if beats {
                    registry.deliver(&key, "t-1", Reply::Alive).await;
                }
            }
            registry.deliver(&key, "t-1", finished("k")).await;
        };
        // In this order a machine that stalls does not let the daemon's clock run before the listener's.
        let mut share = Share::default();
        let work = work(&registry, &config, key.clone(), assignment, &mut share, silent(), Stop::default());
        futures::join!(listener, work).1
    }

    fn attached(registry: &Arc<Registry>, key: &Key) -> (Expected, Outbox) {
        let expected = registry.expect_listener(key.clone());
        let token = registry.issue(key, &Env::system());
        let (outbox, sent) = mpsc::channel(4);
        registry.attach(key, token.hash(), "1", outbox).unwrap();
        (expected, sent)
    }

    fn finished(key: &str) -> Reply {
        let slice =
            StoredRef { key: key.to_owned(), ..StoredRef::new(&object_store::path::Path::default(), Stored::of(b"1")) };
        Reply::Finished(serde_json::to_string(&slice).unwrap())
    }

    #[tokio::test]
    async fn an_answer_counts_only_from_the_listener_that_was_given_the_work() {
        let registry = Arc::new(Registry::default());
        let [key, other] = ["n1", "n2"].map(|id| Key { source: "src".to_owned(), listener: id.to_owned() });
        let ((_expected, mut sent), config) = (attached(&registry, &key), ListenerConfig::default());
        let listeners = async {
            sent.recv().await;
            registry.deliver(&other, "t-1", finished("other")).await;
            registry.deliver(&key, "t-1", finished("own")).await;
        };
        let mut share = Share::default();
        let work = work(&registry, &config, key.clone(), assignment, &mut share, silent(), Stop::default());
        assert_eq!(futures::join!(listeners, work).1.unwrap().key, "own");
    }

    #[tokio::test]
    async fn silence_is_judged_by_heartbeats() {
        assert_eq!(captured(true).await.unwrap().key, "k");
        assert_eq!(captured(false).await.unwrap_err().code, "TM-LIST-0005");
    }

    /// Has a capture tried twice that nobody answers; true where the listener's process is to be started again.
    async fn restarts(registry: &Arc<Registry>, key: &Key) -> bool {
        let short = Duration::from_millis(50);
        let config = ListenerConfig { silence_timeout: short, attach_timeout: short, backoff: short, ..bounds(2) };
        let ended =
            work(registry, &config, key.clone(), assignment, &mut Share::default(), silent(), Stop::default()).await;
        assert!(ended.unwrap_err().retryable);
        registry.restarted(key).now_or_never().is_some()
    }

    fn bounds(max_failures: u32) -> ListenerConfig {
        ListenerConfig { max_failures, ..ListenerConfig::default() }
    }

    #[tokio::test]
    async fn a_process_that_is_there_and_does_not_answer_is_started_again() {
        let registry = Arc::new(Registry::default());
        let [dumb, frozen, new] =
            ["n1", "n2", "n3"].map(|id| Key { source: "src".to_owned(), listener: id.to_owned() });
        let _attached = attached(&registry, &dumb);
        assert!(restarts(&registry, &dumb).await);
        let _expected = attached(&registry, &frozen);
        registry.detach(&frozen, &registry.session(&frozen).unwrap());
        assert!(restarts(&registry, &frozen).await);
        // It may only need longer.
        let _expected = registry.expect_listener(new.clone());
        registry.issue(&new, &Env::system());
        assert!(!restarts(&registry, &new).await);
    }

    #[tokio::test]
    async fn work_that_lives_and_gets_nowhere_is_not_waited_for_without_end() {
        let failure = captured_within(true, Duration::from_millis(150)).await.unwrap_err();
        assert!(failure.code == "TM-LIST-0005" && failure.message.contains("did not get anywhere"), "{failure}");
        captured_within(true, Duration::from_secs(60)).await.unwrap();
    }
}
