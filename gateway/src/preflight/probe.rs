//! The single properties.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::join_all};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};

use super::{Error, Line, Outcome, PAGED, ROOT};
use crate::{
    Env,
    paged::{self, Pages},
};

/// Races until a round that nobody wins breaks the property.
const RACES_OF_A_ROUND: usize = 3;

/// Probe objects under one fresh prefix.
pub(super) struct Probe {
    store: Arc<dyn ObjectStore>,
    pub(super) root: Path,
    /// The property that is being tried.
    pub(super) property: &'static str,
}

type Answer<T> = object_store::Result<T>;

impl Probe {
    pub(super) fn new(store: Arc<dyn ObjectStore>, env: &Env) -> Self {
        let nonce = hex::encode(env.random::<16>());
        Self { store, root: Path::from(format!("{ROOT}/{nonce}")), property: "write-read" }
    }

    /// What is written is read at once, whole and in part.
    pub(super) async fn write_read(&mut self) -> Result<Line, Error> {
        self.property = "write-read";
        let path = self.name("write-read");
        let body = body(3, 100_000);
        let absent = self.store.head(&path).await;
        self.expect(
            matches!(absent, Err(object_store::Error::NotFound { .. })),
            &path,
            absent,
            "a fresh name is found",
        )?;
        self.created(&path, &body).await?;
        let whole = self.read(&path, None).await?;
        self.same(&whole, &body, "an object reads back other than it was written")?;
        let part = self.read(&path, Some(70_001..70_013)).await?;
        self.same(&part, &body[70_001..70_013], "a range of an object reads back wrong")?;
        let size = self.ok(&path, self.store.head(&path).await)?.size;
        self.must(size == body.len() as u64, || format!("an object of {} bytes is said to have {size}", body.len()))?;
        Ok(self.passed("what is written is read at once, whole and in part"))
    }

    /// A second create of a name is refused and changes nothing.
    pub(super) async fn create_only(&mut self) -> Result<Line, Error> {
        self.property = "create-only";
        let path = self.name("create-only");
        let (first, second) = (body(1, 1000), body(2, 1000));
        self.created(&path, &first).await?;
        let again = self.create(&path, &second).await;
        self.expect(
            matches!(again, Err(object_store::Error::AlreadyExists { .. })),
            &path,
            again,
            "store lets a second creator of an existing name win",
        )?;
        let kept = self.read(&path, None).await?;
        self.same(&kept, &first, "store refused a second create but changed the object")?;
        Ok(self.passed("creating an existing name is refused and changes nothing"))
    }

    /// Of many creators of one name at a time exactly one wins, and the object is the winner's.
    pub(super) async fn create_race(&mut self, rounds: usize, racers: usize) -> Result<Line, Error> {
        self.property = "create-race";
        for round in 1..=rounds {
            let mut decided = false;
            for again in 0..RACES_OF_A_ROUND {
                decided = decided || self.race(round, again, racers).await?;
            }
            self.must(decided, || format!("no creator of a new name wins, in round {round}"))?;
        }
        Ok(self
            .passed(format!("{rounds} rounds of {racers} creators of one name: one winner each, whose bytes are kept")))
    }

    /// One race; false where every creator was turned away and there is no object, as stores may do with conflicts.
    async fn race(&self, round: usize, again: usize, racers: usize) -> Result<bool, Error> {
        let path = self.name(&format!("race-{round:03}-{again}"));
        let bodies: Vec<Bytes> = (0..racers).map(|racer| body(racer, 500 + racer)).collect();
        let answers = join_all(bodies.iter().map(|body| self.create(&path, body))).await;
        let winners = self.winners(&path, answers)?;
        let many = winners.len();
        self.must(many <= 1, || {
            format!("store lets two creators of one name both win: {many} of {racers} in round {round}")
        })?;
        if many == 0 && matches!(self.store.head(&path).await, Err(object_store::Error::NotFound { .. })) {
            return Ok(false);
        }
        let kept = self.read(&path, None).await?;
        // No winner is possible where the client tried again by itself; then the object must still be one racer's.
        let expected = winners.first().map_or(&bodies[..], |winner| std::slice::from_ref(&bodies[*winner]));
        self.must(expected.contains(&kept), || {
            format!("the object holds other bytes than those of the creator that won, in round {round}")
        })?;
        Ok(true)
    }

    fn winners(&self, path: &Path, answers: Vec<Answer<()>>) -> Result<Vec<usize>, Error> {
        let mut winners = Vec::new();
        for (racer, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(()) => winners.push(racer),
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(source) => return Err(self.request(path, source)),
            }
        }
        Ok(winners)
    }

    /// What is written is listed at once, and nothing else is.
    pub(super) async fn listing(&mut self) -> Result<Line, Error> {
        self.property = "list-after-write";
        let root = self.name("list");
        let names: Vec<Path> = ["b", "a/x", "a/y", "c"].iter().map(|n| Path::from(format!("{root}/{n}"))).collect();
        for name in &names {
            self.created(name, &body(0, 10)).await?;
            let listed = self.list(&root).await?;
            self.must(listed.contains(name), || format!("{name} was written and is not listed"))?;
        }
        let mut expected = names.clone();
        expected.sort();
        let listed = self.list(&root).await?;
        self.must(listed == expected, || format!("wrote {expected:?} and listed {listed:?}"))?;
        let level = self.ok(&root, self.store.list_with_delimiter(Some(&root)).await)?;
        let found = (level.objects.len(), level.common_prefixes);
        let folder = Path::from(format!("{root}/a"));
        self.must(found == (2, vec![folder.clone()]), || format!("listing by folder gave {found:?}"))?;
        Ok(self.passed("what is written is listed at once, by prefix and by folder"))
    }

    /// A listing of several pages has each name once and in order, whole, from behind a name on, and by folder. Only stores that
    /// list by pages can be asked for small ones.
    pub(super) async fn paging(&mut self) -> Result<Line, Error> {
        self.property = "paging";
        let root = self.name(PAGED);
        let names: Vec<Path> =
            ["a-", "a/x", "a/y", "a0", "b"].iter().map(|n| Path::from(format!("{root}/{n}"))).collect();
        for name in &names {
            self.created(name, &body(0, 10)).await?;
        }
        let listed = self.list(&root).await?;
        self.must(listed == names, || format!("wrote {names:?} and listed {listed:?}"))?;
        let behind =
            self.store.list_with_offset(Some(&root), &names[1]).map_ok(|meta| meta.location).try_collect().await;
        let mut behind: Vec<Path> = self.ok(&root, behind)?;
        behind.sort();
        self.must(behind == names[2..], || format!("listed {behind:?} from behind {} on", names[1]))?;
        let level = self.ok(&root, self.store.list_with_delimiter(Some(&root)).await)?;
        let found = (level.objects.len(), level.common_prefixes.len());
        self.must(found == (3, 1), || format!("listing 3 objects and a folder by pages gave {found:?}"))?;
        Ok(match level.extensions.get::<Pages>() {
            None => self.passed("this store lists in one piece: it has no pages that could be lost"),
            Some(Pages(1)) => self.warned("small pages are not given: whether long listings are whole was not tried"),
            Some(_) => self.passed("a listing of several pages has each name once and in order"),
        })
    }

    /// A multipart upload is invisible until it is completed, and then whole.
    pub(super) async fn multipart(&mut self) -> Result<Line, Error> {
        self.property = "multipart";
        let path = self.name("multipart");
        let (first, last) = (body(5, 5 << 20), body(6, 1 << 10));
        let mut upload = self.ok(&path, self.store.put_multipart(&path).await)?;
        self.ok(&path, upload.put_part(first.clone().into()).await)?;
        self.invisible(&path, "before it is completed").await?;
        self.ok(&path, upload.put_part(last.clone().into()).await)?;
        self.ok(&path, upload.complete().await)?;
        let whole = self.read(&path, None).await?;
        self.same(&whole, &[first, last].concat(), "a multipart upload reads back other than it was written")?;
        Ok(self.passed("parts are invisible until completed, and then whole"))
    }

    /// An aborted multipart upload leaves nothing that a reader sees.
    pub(super) async fn multipart_abort(&mut self) -> Result<Line, Error> {
        self.property = "multipart-abort";
        let path = self.name("aborted/part");
        let mut upload = self.ok(&path, self.store.put_multipart(&path).await)?;
        self.ok(&path, upload.put_part(body(7, 1 << 10).into()).await)?;
        self.ok(&path, upload.abort().await)?;
        self.invisible(&path, "after it was aborted").await?;
        Ok(self.passed("an aborted upload is neither read nor listed"))
    }

    async fn invisible(&self, path: &Path, when: &str) -> Result<(), Error> {
        let head = self.store.head(path).await;
        let broken = format!("a multipart upload can be read {when}");
        self.expect(matches!(head, Err(object_store::Error::NotFound { .. })), path, head, &broken)?;
        let listed = self.list(&self.root).await?;
        self.must(!listed.contains(path), || format!("a multipart upload is listed {when}"))
    }

    /// Removes every probe object.
    pub(super) async fn clean_up(&self) -> Answer<()> {
        let paths = self.store.list(Some(&self.root)).map_ok(|meta| meta.location).boxed();
        self.store.delete_stream(paths).try_for_each(|_| async { Ok(()) }).await
    }

    fn name(&self, leaf: &str) -> Path {
        Path::from(format!("{}/{leaf}", self.root))
    }

    async fn create(&self, path: &Path, body: &Bytes) -> Answer<()> {
        self.store.put_opts(path, body.clone().into(), PutOptions::from(PutMode::Create)).await.map(drop)
    }

    async fn created(&self, path: &Path, body: &Bytes) -> Result<(), Error> {
        self.ok(path, self.create(path, body).await)
    }

    async fn read(&self, path: &Path, range: Option<std::ops::Range<u64>>) -> Result<Bytes, Error> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let answer = self.ok(path, self.store.get_opts(path, options).await)?;
        self.ok(path, answer.bytes().await)
    }

    async fn list(&self, prefix: &Path) -> Result<Vec<Path>, Error> {
        let listed = self.store.list(Some(prefix)).map_ok(|meta| meta.location).try_collect().await;
        let mut names: Vec<Path> = self.ok(prefix, listed)?;
        names.sort();
        Ok(names)
    }

    fn request(&self, path: &Path, source: object_store::Error) -> Error {
        if paged::is_wrong(&source) {
            return Error::Property { property: self.property, reason: crate::causes::joined(&source) };
        }
        Error::Request { property: self.property, path: path.clone(), source }
    }

    fn ok<T>(&self, path: &Path, answer: Answer<T>) -> Result<T, Error> {
        answer.map_err(|source| self.request(path, source))
    }

    fn must(&self, holds: bool, reason: impl FnOnce() -> String) -> Result<(), Error> {
        if holds { Ok(()) } else { Err(Error::Property { property: self.property, reason: reason() }) }
    }

    fn same(&self, found: &[u8], expected: &[u8], reason: &str) -> Result<(), Error> {
        self.must(found == expected, || reason.to_owned())
    }

    /// A refusal that must come: success breaks the property, another failure is the store's.
    fn expect<T>(&self, holds: bool, path: &Path, answer: Answer<T>, reason: &str) -> Result<(), Error> {
        match answer {
            _ if holds => Ok(()),
            Ok(_) => Err(Error::Property { property: self.property, reason: reason.to_owned() }),
            Err(source) => Err(self.request(path, source)),
        }
    }

    fn warned(&self, detail: impl Into<String>) -> Line {
        Line { outcome: Outcome::Warned, ..self.passed(detail) }
    }

    fn passed(&self, detail: impl Into<String>) -> Line {
        Line { name: self.property, outcome: Outcome::Passed, detail: detail.into() }
    }
}

/// Bytes that differ by `seed` in every place.
fn body(seed: usize, len: usize) -> Bytes {
    (0..len).map(|at| (at.wrapping_mul(131) ^ (at >> 8) ^ seed.wrapping_mul(97)) as u8).collect()
}
