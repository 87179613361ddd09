use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, local::LocalFileSystem, memory::InMemory,
};

use super::*;
use crate::tree::tests::noise;

const MIB: usize = 1 << 20;

/// Counts ranged requests and the bytes of their answers.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn ObjectStore>,
    requests: AtomicU64,
    bytes: AtomicU64,
    /// Answers nothing.
    out: bool,
}

impl Counting {
    fn of(inner: Arc<dyn ObjectStore>, out: bool) -> Arc<Self> {
        Arc::new(Self { inner, requests: 0.into(), bytes: 0.into(), out })
    }

    /// Requests and bytes since the last call.
    fn taken(&self) -> (u64, u64) {
        (self.requests.swap(0, Ordering::SeqCst), self.bytes.swap(0, Ordering::SeqCst))
    }
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counting")
    }
}

type Answer<T> = object_store::Result<T>;

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, path: &Path, payload: PutPayload, opts: PutOptions) -> Answer<PutResult> {
        self.inner.put_opts(path, payload, opts).await
    }

    async fn put_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> Answer<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, opts).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Answer<GetResult> {
        match self.out {
            true => Err(object_store::Error::Generic { store: "counting", source: "it is out".into() }),
            false => self.inner.get_opts(path, options).await,
        }
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Answer<Vec<Bytes>> {
        if self.out {
            return Err(object_store::Error::Generic { store: "counting", source: "it is out".into() });
        }
        let answer = self.inner.get_ranges(path, ranges).await?;
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(answer.iter().map(|bytes| bytes.len() as u64).sum(), Ordering::SeqCst);
        Ok(answer)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Answer<Path>>) -> BoxStream<'static, Answer<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Answer<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Answer<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Answer<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A store, in memory or on disk, that holds one object.
struct Case {
    store: Arc<Counting>,
    path: Path,
    _directory: tempfile::TempDir,
}

async fn cases(bytes: &[u8]) -> [Case; 2] {
    let directory = || tempfile::tempdir().unwrap();
    let (unused, used) = (directory(), directory());
    let disk = Arc::new(LocalFileSystem::new_with_prefix(used.path()).unwrap());
    let stores: [(Arc<dyn ObjectStore>, _); 2] = [(Arc::new(InMemory::new()), unused), (disk, used)];
    let path = Path::from("a/b");
    for (store, _) in &stores {
        store.put(&path, bytes.to_vec().into()).await.unwrap();
    }
    stores.map(|(store, _directory)| Case { store: Counting::of(store, false), path: path.clone(), _directory })
}

/// What `reads` gives of a reader, off the runtime.
async fn with<T: Send + 'static>(
    (store, path): (&Arc<Counting>, &Path),
    stored: &Stored,
    whole_bytes: u64,
    reads: impl FnOnce(ProvenReader) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (store, path, stored, runtime) = (store.clone(), path.clone(), stored.clone(), Handle::current());
    let opened = move || reads(ProvenReader::open(store, path, &stored, whole_bytes, runtime)?);
    tokio::task::spawn_blocking(opened).await.unwrap()
}

impl Case {
    async fn with<T: Send + 'static>(
        &self,
        stored: &Stored,
        whole_bytes: u64,
        reads: impl FnOnce(ProvenReader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        with((&self.store, &self.path), stored, whole_bytes, reads).await
    }

    async fn read(&self, stored: &Stored, offset: u64, len: usize) -> Result<Bytes, Error> {
        self.with(stored, 0, move |reader| reader.read_at(offset, len)).await
    }
}

/// All bytes, in order, `piece` at a time.
fn in_order(reader: &ProvenReader, piece: u64) -> Result<Vec<u8>, Error> {
    let mut read = Vec::new();
    while (read.len() as u64) < reader.size() {
        let at = read.len() as u64;
        read.extend(reader.read_at(at, length(piece.min(reader.size() - at)))?);
    }
    Ok(read)
}

fn without_tree(bytes: &[u8]) -> Stored {
    Stored { tree: None, ..Stored::of(bytes) }
}

fn assert_damaged<T: fmt::Debug>(read: Result<T, Error>, words: &[&str]) {
    let error = read.unwrap_err();
    assert!(error.get_ref().is_some_and(|inner| inner.is::<Damaged>()), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word} is not in {error}");
    }
}

#[tokio::test]
async fn small_reads_in_order_fetch_each_byte_once() {
    for (size, piece, blocks) in [(10 * MIB, 64 << 10, 10), (10 * MIB + 7, 100_003, 11), (2 * MIB, MIB, 2)] {
        let bytes = noise(size);
        for case in cases(&bytes).await {
            let read = case.with(&Stored::of(&bytes), 0, move |reader| in_order(&reader, piece as u64)).await.unwrap();
            assert!(read == bytes, "{size} by {piece}");
            assert_eq!(case.store.taken(), (blocks, size as u64), "{size} by {piece}");
        }
    }
}

#[tokio::test]
async fn large_reads_in_order_fetch_each_byte_once_by_one_request_each() {
    let bytes = noise(10 * MIB);
    for case in cases(&bytes).await {
        let read = case.with(&Stored::of(&bytes), 0, |reader| in_order(&reader, 3_500_000)).await.unwrap();
        assert!(read == bytes);
        assert_eq!(case.store.taken(), (3, 10 << 20));
    }
}

#[tokio::test]
async fn any_range_is_exact() {
    let bytes = noise(5 * MIB + 77);
    let numbers: Vec<usize> = noise(1600).as_chunks().0.iter().map(|n| u64::from_le_bytes(*n) as usize).collect();
    let ranges: Vec<_> = numbers
        .chunks(2)
        .map(|n| {
            let offset = n[0] % bytes.len();
            (offset, n[1] % [100, 2 * MIB, 6 * MIB][n[1] % 3] % (bytes.len() - offset + 1))
        })
        .collect();
    for stored in [Stored::of(&bytes), without_tree(&bytes)] {
        for case in cases(&bytes).await {
            let asked = ranges.clone();
            let all =
                move |reader: ProvenReader| asked.iter().map(|(at, len)| reader.read_at(*at as u64, *len)).collect();
            let read: Vec<Bytes> = case.with(&stored, 0, all).await.unwrap();
            assert!(read.iter().zip(&ranges).all(|(read, (at, len))| read == &bytes[*at..at + len]));
        }
    }
}

#[tokio::test]
async fn clones_keep_blocks_of_their_own() {
    let bytes = noise(4 * MIB);
    let [case, _] = cases(&bytes).await;
    let reads = |one: ProvenReader| {
        let other = one.clone();
        (0..16).try_for_each(|n| {
            one.read_at(n << 16, 1 << 16).and(other.read_at((3 << 20) + (n << 16), 1 << 16)).map(drop)
        })
    };
    case.with(&Stored::of(&bytes), 0, reads).await.unwrap();
    assert_eq!(case.store.taken(), (2, 2 << 20));
}

#[tokio::test]
async fn a_flipped_byte_is_refused_when_and_only_when_its_block_is_touched() {
    let (mut bytes, at) = (noise(6 * MIB + 9), 3 * MIB + 500);
    let stored = Stored::of(&bytes);
    bytes[at] ^= 1;
    let found = Digest::of(&bytes).to_string();
    let block = [3 * MIB, 4 * MIB];
    for case in cases(&bytes).await {
        for (offset, len) in [(0, 3 * MIB), (3 * MIB - 1, 1), (4 * MIB, 2 * MIB + 9), (4 * MIB, 1), (3 * MIB + 7, 0)] {
            assert_eq!(case.read(&stored, offset as u64, len).await.unwrap(), bytes[offset..offset + len]);
        }
        for (offset, len) in [(0, 6 * MIB), (3 * MIB - 1, 2), (3 * MIB, 1), (4 * MIB - 1, 2), (at, 1), (at + 1, 8)] {
            let words = ["a/b", &block[0].to_string(), &block[1].to_string(), "block 3", "expected", "found"];
            assert_damaged(case.read(&stored, offset as u64, len).await, &words);
        }
        case.store.taken();
        let (expected, known) = (stored.digest.to_string(), Stored { tree: None, ..stored.clone() });
        for whole_bytes in [0, 64 << 20] {
            let opened = case.with(&known, whole_bytes, |reader| Ok(reader.size())).await;
            assert_damaged(opened, &["a/b", "bytes 0 to 6291465", &expected, &found]);
        }
    }
}

#[tokio::test]
async fn a_block_that_was_refused_is_not_kept() {
    let (mut bytes, stored) = (noise(2 * MIB), Stored::of(&noise(2 * MIB)));
    bytes[0] ^= 1;
    for case in cases(&bytes).await {
        let twice = |reader: ProvenReader| Ok([reader.read_at(5, 5), reader.read_at(5, 5)]);
        for read in case.with(&stored, 0, twice).await.unwrap() {
            assert_damaged(read, &["block 0"]);
        }
    }
}

#[tokio::test]
async fn a_wrong_tree_is_damage_before_anything_is_read() {
    let bytes = noise(3 * MIB);
    let stored = Stored::of(&bytes);
    let small = Stored::of(&bytes[..MIB]);
    for case in cases(&bytes).await {
        for (known, other) in [(&stored, &bytes[1..]), (&stored, &bytes[..2 * MIB]), (&small, &bytes[..])] {
            let wrong = Stored { tree: Stored::of(other).tree, ..known.clone() };
            let words = ["a/b", &known.digest.to_string(), &Digest::of(other).to_string()];
            assert_damaged(case.with(&wrong, 64 << 20, |reader| Ok(reader.size())).await, &words);
            assert_eq!(case.store.taken(), (0, 0));
        }
    }
}

#[tokio::test]
async fn without_a_tree_small_objects_are_fetched_once_and_large_ones_are_read_through_first() {
    let bytes = noise(9 * MIB);
    for (size, whole_bytes, first) in [(0, 0, 0), (5, 0, 1), (MIB, 0, 1), (9 * MIB, 9 << 20, 1), (9 * MIB, 8 << 20, 2)]
    {
        let bytes = &bytes[..size];
        for case in cases(bytes).await {
            let store = case.store.clone();
            let reads = move |reader: ProvenReader| Ok((store.taken(), in_order(&reader, 64 << 10)?));
            let (opened, read) = case.with(&without_tree(bytes), whole_bytes, reads).await.unwrap();
            assert_eq!(opened, (first, size as u64), "{size} of {whole_bytes}");
            assert!(read == bytes, "{size}");
            let plain = if first == 2 { (144, size as u64) } else { (0, 0) };
            assert_eq!(case.store.taken(), plain, "{size} of {whole_bytes}");
        }
    }
}

#[tokio::test]
async fn reading_past_the_end_is_an_error_not_a_short_answer() {
    let bytes = noise(2 * MIB + 10);
    let end = bytes.len() as u64;
    for stored in [Stored::of(&bytes), without_tree(&bytes), Stored::of(&bytes[..10])] {
        let end = stored.size.min(end);
        for case in cases(&bytes).await {
            for (offset, len) in [(end - 2, 3), (end + 1, 0), (u64::MAX, 2), (end, 1)] {
                let error = case.read(&stored, offset, len).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{offset}+{len}: {error}");
            }
            assert!(case.read(&stored, end, 0).await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn an_object_that_was_cut_is_too_short_where_its_blocks_are() {
    let bytes = noise(3 * MIB);
    let stored = Stored::of(&bytes);
    for case in cases(&bytes[..2 * MIB + 10]).await {
        assert_eq!(case.read(&stored, 0, 2 * MIB).await.unwrap(), bytes[..2 * MIB]);
        for (offset, len) in [(2 << 20, 5), (5, 3 * MIB - 5), ((3 << 20) - 1, 1)] {
            let error = case.read(&stored, offset, len).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{offset}+{len}: {error}");
        }
        for whole_bytes in [0, 64 << 20] {
            let error = case.with(&without_tree(&bytes), whole_bytes, |_| Ok(())).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
        }
    }
}

#[tokio::test]
async fn absence_and_outages_are_told_apart() {
    let bytes = noise(2 * MIB);
    for stored in [Stored::of(&bytes), without_tree(&bytes), Stored::of(&bytes[..10])] {
        for (out, kind) in [(false, ErrorKind::NotFound), (true, ErrorKind::Other)] {
            let (store, path) = (Counting::of(Arc::new(InMemory::new()), out), Path::from("gone"));
            let error = with((&store, &path), &stored, 0, |reader| reader.read_at(0, 5)).await.unwrap_err();
            assert!(error.kind() == kind && error.to_string().contains("gone"), "{error}");
        }
    }
}
