//! Whether the store takes what a capture writes, and whether the listener's rights end there.
//!
//! The daemon's preflight proves what versions rest on, with rights that a listener should not have: it writes anywhere and
//! deletes. Here one small object is created under the source's staged names, read and listed, and stays there: the next
//! check finds it. Then a write elsewhere is tried, which credentials of a listener's own refuse.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};
use tidemark_catalog::{ids::SourceId, layout};
use tidemark_gateway::{Env, causes::joined, fetch};

use super::Line;
use crate::access::Access;

/// Bytes of the object that every check creates.
const BODY: &str = "written by the preflight of a listener\n";

/// Longest time of these checks: a store that does not answer is reported, not waited for.
const LIMIT: Duration = Duration::from_secs(20);

const HINT: &str = "see that the store is reachable from this host, and that the listener's credentials may put, get and \
                    list under the source's staged names";

/// A line for writing and reading, one for listing; one for the rights, where the store has them. `subject` is what the lines
/// are about. Takes at most 20 s.
pub async fn lines(access: &Access, source: &SourceId, subject: &str, env: &Env) -> Vec<Line> {
    let store = match access.open(env) {
        Ok(store) => store,
        Err(error) => return vec![Line::fail("store", subject, joined(&error), HINT)],
    };
    let probe = Probe { store, subject, source };
    let lines = tokio::time::timeout(LIMIT, probe.lines(access.has_rights(), env)).await;
    lines.unwrap_or_else(|_| {
        let silent = format!("no answer within {} s", LIMIT.as_secs());
        vec![Line::fail("store", subject, silent, HINT)]
    })
}

struct Probe<'a> {
    store: Arc<dyn ObjectStore>,
    subject: &'a str,
    source: &'a SourceId,
}

impl Probe<'_> {
    async fn lines(&self, has_rights: bool, env: &Env) -> Vec<Line> {
        let mut lines = vec![self.write().await, self.list().await];
        if has_rights {
            lines.push(self.rights(env).await);
        }
        lines
    }

    async fn write(&self) -> Line {
        let (name, path) = ("store-write", layout::staged_check(self.source));
        match self.create(&path).await {
            // An earlier check has created it: whoever may not write hears that first.
            Ok(()) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return self.fail(name, joined(&error)),
        }
        match fetch::get_unchecked(&self.store, &path).await {
            Ok(bytes) if bytes == BODY => Line::ok(name, self.subject, format!("{path} is written and read")),
            Ok(_) => self.fail(name, format!("{path} reads back other than it was written")),
            Err(error) => self.fail(name, joined(&error)),
        }
    }

    async fn list(&self) -> Line {
        let (name, path) = ("store-list", layout::staged_check(self.source));
        let checks = layout::staged_checks(self.source);
        match self.store.list(Some(&checks)).try_any(|meta| std::future::ready(meta.location == path)).await {
            Ok(true) => Line::ok(name, self.subject, format!("{path} is listed")),
            Ok(false) => self.fail(name, format!("{path} was written and is not listed")),
            Err(error) => self.fail(name, joined(&error)),
        }
    }

    async fn rights(&self, env: &Env) -> Line {
        let name = "store-rights";
        let path = Path::from(format!(".tidemark-probe/listener-{}", hex::encode(env.random::<16>())));
        match self.create(&path).await {
            Err(Error::PermissionDenied { .. }) => {
                let root = layout::staged_root(self.source);
                Line::ok(name, self.subject, format!("writing outside {root} is refused"))
            }
            Err(error) => self.fail(name, joined(&error)),
            Ok(()) => {
                let left = self.store.delete(&path).await.is_err();
                let detail = if left { format!("; {path} is left there, harmless") } else { String::new() };
                let detail = format!("the listener's credentials may write anywhere in the store{detail}");
                let hint = "give listeners credentials of their own: tidemark store add --listener-credentials";
                Line::warn(name, self.subject, detail, hint)
            }
        }
    }

    async fn create(&self, path: &Path) -> object_store::Result<()> {
        self.store.put_opts(path, BODY.into(), PutOptions::from(PutMode::Create)).await.map(drop)
    }

    fn fail(&self, name: &str, detail: String) -> Line {
        Line::fail(name, self.subject, detail, HINT)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::check::Status;

    async fn statuses(store: &Arc<InMemory>) -> Vec<(String, Status)> {
        let source = "east".parse().unwrap();
        let probe = Probe { store: store.clone(), subject: "n store", source: &source };
        probe.lines(true, &Env::system()).await.into_iter().map(|line| (line.name, line.status)).collect()
    }

    #[tokio::test]
    async fn a_check_finds_the_object_of_an_earlier_one_and_leaves_nothing_else() {
        let store = Arc::new(InMemory::new());
        let expected = [("store-write", Status::Ok), ("store-list", Status::Ok), ("store-rights", Status::Warn)];
        let expected = expected.map(|(name, status)| (name.to_owned(), status));
        for _ in 0..2 {
            assert_eq!(statuses(&store).await, expected);
        }
        let left: Vec<_> = store.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap();
        assert_eq!(left, ["sources/east/staged/check/listener"]);
    }

    #[tokio::test]
    async fn an_object_with_other_bytes_fails() {
        let store = Arc::new(InMemory::new());
        store.put(&Path::from("sources/east/staged/check/listener"), "other".into()).await.unwrap();
        assert_eq!(statuses(&store).await[0], ("store-write".to_owned(), Status::Fail));
    }
}
