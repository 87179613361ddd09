//! How fast the chunk store is, against what it is made of: prints `name<TAB>value<TAB>goal`, a line each. Rates are MiB of the
//! chunks' bytes for each second of processor time, so that they hold on a busy machine, or of wall time where the name ends in
//! `_wall`; ratios are against the plain library in the same run, each the best of three.
//!
//! `cargo run --release -p tidemark-chunks --example bench [MiB] [thousand chunks]`

use std::{error::Error, hint::black_box, sync::Arc};

use fastcdc::v2020::{FastCDC, Normalization};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, memory::InMemory, path::Path};
use tidemark_chunks::{
    ChunkId, Class,
    cut::{AVERAGE_BYTES, AlignedCutter, LEAST_BYTES, MOST_BYTES, Piece, StreamCutter},
    header::Kind,
    id::IdKey,
    index::{Index, IndexOptions},
    intake::{Intake, OwnSupply},
    keys::{Keyring, RepositoryKey},
    pack::{Entry, Pack, PackOptions, PackRecord},
    prepare::{Prepared, Preparer},
    read::{ChunkReader, ReadOptions, Wanted},
    reuse::Admitted,
};
use tidemark_gateway::{Env, Stored, upload::UploadOptions};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Bytes of a part that goes through the store as one: as a leaf of a tree does.
const SEGMENT_BYTES: usize = 4 << 20;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let megabytes = arguments.next().transpose()?.unwrap_or(256);
    let thousands = arguments.next().transpose()?.unwrap_or(4_000);
    let bench = Bench::new(usize::try_from(megabytes)? << 20);
    let chunks = bench.cutting();
    bench.hashing(&chunks);
    let prepared = bench.preparing(&chunks)?;
    bench.writing(&prepared, bench.limit(&chunks)?).await?;
    let image = Arc::new(bench.image.clone());
    drop(prepared);
    bench.whole(&image).await?;
    bench.index(thousands * 1000).await
}

struct Bench {
    env: Env,
    key: RepositoryKey,
    image: Vec<u8>,
}

/// As much text as noise, in blocks: zstd makes about half of it.
fn image(bytes: usize) -> Vec<u8> {
    let mut image = vec![0; bytes];
    blake3::Hasher::new().update(b"image").finalize_xof().fill(&mut image);
    for (number, page) in image.chunks_mut(256).enumerate() {
        if number % 3 != 0 {
            let text = format!("row {number:>12} of a table with names and amounts {:>9} ", number * 7919 % 1_000_003);
            page.iter_mut().zip(text.bytes().cycle()).for_each(|(byte, text)| *byte = text);
        }
    }
    image
}

impl Bench {
    fn new(bytes: usize) -> Self {
        let env = Env::system();
        let key = RepositoryKey::random(&env, Uuid::from_u128(1));
        Self { env, key, image: image(bytes) }
    }

    fn line(name: &str, value: f64, goal: &str) {
        println!("{name}\t{value:.3}\t{goal}");
    }

    /// MiB of the image each second of the best of three runs.
    fn rate<T>(&self, mut work: impl FnMut() -> T) -> (f64, T) {
        let (mut best, mut result) = self.once(&mut work);
        for _ in 0..2 {
            let (rate, again) = self.once(&mut work);
            (best, result) = (rate.max(best), again);
        }
        (best, result)
    }

    fn once<T>(&self, work: &mut impl FnMut() -> T) -> (f64, T) {
        let started = processor_seconds();
        let result = work();
        (self.mib() / (processor_seconds() - started), result)
    }

    fn mib(&self) -> f64 {
        self.image.len() as f64 / f64::from(1 << 20)
    }

    fn cutting(&self) -> Vec<&[u8]> {
        let mut copy = vec![0; self.image.len()];
        copy.copy_from_slice(&self.image);
        let (memcpy, ()) = self.rate(|| copy.copy_from_slice(black_box(&self.image)));
        Self::line("memcpy", memcpy, "");
        let aligned = AlignedCutter::new(&self.key.chunking());
        let (rate, chunks) = self.rate(|| pieces(&aligned, &self.image));
        Self::line("cut_aligned", rate, ">=4000");
        Self::line("cut_aligned_average_kib", self.mib() * 1024.0 / chunks.len() as f64, "14..19");
        let (plain, count) = self.rate(|| {
            FastCDC::with_level(&self.image, LEAST_BYTES, AVERAGE_BYTES, MOST_BYTES, Normalization::Level1).count()
        });
        black_box(count);
        let stream = StreamCutter::new(&self.key.chunking());
        let (rate, count) = self.rate(|| stream_cuts(&stream, &self.image));
        Self::line("cut_stream", rate, "");
        Self::line("cut_stream_vs_fastcdc", rate / plain, ">=0.9");
        Self::line("cut_stream_average_kib", self.mib() * 1024.0 / count as f64, "14..26");
        chunks
    }

    fn hashing(&self, chunks: &[&[u8]]) {
        let (plain, ()) = self.rate(|| chunks.iter().for_each(|chunk| _ = black_box(blake3::hash(chunk))));
        let ids = self.key.ids();
        let (rate, ()) = self.rate(|| chunks.iter().for_each(|chunk| _ = black_box(ids.id(Class::Data, chunk))));
        Self::line("ids", rate, "");
        Self::line("ids_vs_blake3", rate / plain, ">=0.9");
    }

    fn preparing(&self, chunks: &[&[u8]]) -> Outcome<Vec<Prepared>> {
        let mut zstd = zstd::bulk::Compressor::new(1)?;
        let mut out = Vec::with_capacity(MOST_BYTES * 2);
        let (plain, ()) = self.rate(|| {
            for chunk in chunks {
                out.clear();
                let _ = black_box(zstd.compress_to_buffer(chunk, &mut out));
            }
        });
        let (ids, mut preparer) = (self.key.ids(), Preparer::new(1)?);
        let identified: Result<Vec<_>, _> = chunks.iter().map(|chunk| ids.identify(Class::Data, chunk)).collect();
        let identified = identified?;
        let (rate, prepared) =
            self.rate(|| identified.iter().map(|chunk| preparer.prepare(*chunk)).collect::<Vec<_>>());
        Self::line("prepare", rate, "");
        Self::line("prepare_vs_zstd", rate / plain, ">=0.9");
        let stored: u64 = prepared.iter().map(|chunk| u64::from(chunk.stored_bytes())).sum();
        Self::line("stored_share", stored as f64 / self.image.len() as f64, "");
        Ok(prepared)
    }

    fn intake(&self, store: &Arc<dyn ObjectStore>) -> Intake<OwnSupply<impl FnMut() -> Path + Send + use<>>> {
        let mut number = 0;
        let names = move || {
            number += 1;
            Path::from(format!("chunks/pack/00/{number:010}"))
        };
        let supply = OwnSupply::new(self.key.clone(), self.env.clone(), names);
        Intake::new(Arc::clone(store), self.env.clone(), supply, PackOptions::default())
    }

    /// Sealing into packs in memory, and reading all back.
    async fn writing(&self, prepared: &[Prepared], limit: f64) -> Outcome<()> {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut intake = self.intake(&store);
        let started = self.start();
        for chunk in prepared {
            intake.write(chunk).await?;
        }
        let packs = intake.finish().await?;
        self.since("seal_and_pack", started, ">=1500");
        let mut index = self.empty(&store, IndexOptions::default());
        packs.iter().for_each(|pack| index.record(pack));
        let ids: Vec<_> = prepared.iter().map(|chunk| (chunk.class(), chunk.id())).collect();
        let found = index.find(&ids).await?;
        let wanted =
            found.into_iter().enumerate().map(|(position, locations)| Wanted { position, locations }).collect();
        let options = ReadOptions { in_flight: 2, ..ReadOptions::default() };
        let reader =
            ChunkReader::new(Arc::clone(&store), Keyring::Repository(self.key.clone()), self.key.ids(), options);
        let started = self.start();
        let mut read = std::pin::pin!(reader.read(wanted));
        while let Some(fetched) = read.next().await {
            black_box(fetched.bytes?);
        }
        let rate = self.since("read_and_verify", started, "");
        Self::line("read_and_verify_vs_zstd_and_blake3", rate / limit, ">=0.6");
        Ok(())
    }

    fn start(&self) -> (f64, std::time::Duration) {
        (processor_seconds(), self.env.monotonic())
    }

    fn since(&self, name: &str, (processor, wall): (f64, std::time::Duration), goal: &str) -> f64 {
        let rate = self.mib() / (processor_seconds() - processor);
        Self::line(name, rate, goal);
        Self::line(&format!("{name}_wall"), self.mib() / (self.env.monotonic() - wall).as_secs_f64(), "");
        rate
    }

    /// Decompressing and hashing alone.
    fn limit(&self, chunks: &[&[u8]]) -> Outcome<f64> {
        let compressed: Result<Vec<_>, _> = chunks.iter().map(|chunk| zstd::bulk::compress(chunk, 1)).collect();
        let (compressed, mut zstd) = (compressed?, zstd::bulk::Decompressor::new()?);
        let mut out = Vec::with_capacity(MOST_BYTES);
        let (rate, ()) = self.rate(|| {
            for chunk in &compressed {
                out.clear();
                let _ = zstd.decompress_to_buffer(chunk, &mut out);
                black_box(blake3::hash(&out));
            }
        });
        Ok(rate)
    }

    fn empty(&self, store: &Arc<dyn ObjectStore>, options: IndexOptions) -> Index {
        Index::new(Arc::clone(store), Keyring::Repository(self.key.clone()), options)
    }

    /// From the image to packs: cut, named, looked up, compressed and sealed, on two threads; then once more, when all is known.
    async fn whole(&self, image: &Arc<Vec<u8>>) -> Outcome<()> {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut index = self.empty(&store, IndexOptions::default());
        let started = self.start();
        let packs = self.protect(&store, &index, &Admitted::default(), image).await?;
        self.since("protect", started, ">=300");
        let mut admitted = Admitted::default();
        for pack in &packs {
            index.record(pack);
            admitted.admit(pack.record.path.clone());
        }
        let issued = self.key.issue(&self.env, Kind::Index, Path::from("chunks/index/1"))?;
        index.flush(&self.env, issued, &UploadOptions::default()).await?;
        let started = self.start();
        let packs = self.protect(&store, &index, &admitted, image).await?;
        self.since("protect_again", started, "");
        Self::line("packs_when_all_is_known", packs.len() as f64, "0");
        Ok(())
    }

    async fn protect(
        &self,
        store: &Arc<dyn ObjectStore>,
        index: &Index,
        admitted: &Admitted,
        image: &Arc<Vec<u8>>,
    ) -> Outcome<Vec<Pack>> {
        let mut intake = self.intake(store);
        let segments = stream::iter((0..image.len()).step_by(SEGMENT_BYTES));
        let prepared = segments.map(|start| self.segment(index, admitted, image, start)).buffered(3);
        let mut prepared = std::pin::pin!(prepared);
        while let Some(segment) = prepared.try_next().await? {
            for chunk in &segment {
                intake.write(chunk).await?;
            }
        }
        Ok(intake.finish().await?)
    }

    /// The chunks of a segment that are to be written.
    async fn segment(
        &self,
        index: &Index,
        admitted: &Admitted,
        image: &Arc<Vec<u8>>,
        start: usize,
    ) -> Outcome<Vec<Prepared>> {
        let (cutter, ids, copy) = (AlignedCutter::new(&self.key.chunking()), self.key.ids(), Arc::clone(image));
        let chunks = tokio::task::spawn_blocking(move || named(&cutter, &ids, &copy, start)).await?;
        let asked: Vec<_> = chunks.iter().map(|(id, _)| (Class::Data, *id)).collect();
        let known = index.reusable(admitted, &asked).await?;
        let fresh: Vec<_> =
            chunks.into_iter().zip(known).filter(|(_, known)| known.is_none()).map(|((_, range), _)| range).collect();
        let (ids, image) = (self.key.ids(), Arc::clone(image));
        tokio::task::spawn_blocking(move || {
            let mut preparer = Preparer::new(1)?;
            let prepare =
                |range: std::ops::Range<usize>| Ok(preparer.prepare(ids.identify(Class::Data, &image[range])?));
            fresh.into_iter().map(prepare).collect()
        })
        .await?
    }

    /// An index of so many chunks: lookups, and what it takes of memory.
    async fn index(&self, chunks: u64) -> Outcome<()> {
        const EACH: u64 = 200_000;
        let directory = std::env::temp_dir().join(format!("tidemark-chunks-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let store: Arc<dyn ObjectStore> = Arc::new(object_store::local::LocalFileSystem::new_with_prefix(&directory)?);
        let done = self.lookups(&store, chunks, EACH).await;
        std::fs::remove_dir_all(&directory)?;
        done
    }

    async fn lookups(&self, store: &Arc<dyn ObjectStore>, chunks: u64, each: u64) -> Outcome<()> {
        let before = resident_mib();
        let options = IndexOptions { cache_bytes: 64 << 20, ..IndexOptions::default() };
        let mut index = self.empty(store, options);
        let started = self.env.monotonic();
        for number in 0..chunks / each {
            index.record(&self.made(number, each)?);
            let issued = self.key.issue(&self.env, Kind::Index, Path::from(format!("index/{number}")))?;
            index.flush(&self.env, issued, &UploadOptions::default()).await?;
        }
        let all: Vec<_> = (0..index.objects().len()).collect();
        let issued = self.key.issue(&self.env, Kind::Index, Path::from("index/all"))?;
        let record = index.merge(&self.env, issued, &UploadOptions::default(), &all, |_| true).await?;
        let seconds = (self.env.monotonic() - started).as_secs_f64();
        Self::line("index_chunks_written_and_merged_each_second", record.chunks as f64 / seconds, "");
        Self::line("index_bytes_each_chunk", record.stored.size as f64 / record.chunks as f64, "<=52");
        for (name, first) in [("index_absent_each_second", chunks), ("index_known_each_second", 0)] {
            let asked: Vec<_> =
                (0..100_000).map(|at| (Class::Data, made_id(first + at * (chunks / 100_000).max(1)))).collect();
            let started = self.env.monotonic();
            for batch in asked.chunks(1024) {
                black_box(index.find(batch).await?);
            }
            Self::line(name, asked.len() as f64 / (self.env.monotonic() - started).as_secs_f64(), "");
        }
        Self::line("index_resident_mib", resident_mib() - before, "<=256");
        Ok(())
    }

    fn made(&self, number: u64, each: u64) -> Outcome<Pack> {
        let path = Path::from(format!("chunks/pack/00/{number}"));
        let header = self.key.issue(&self.env, Kind::Pack, path.clone())?.header().clone();
        let record = PackRecord { path, header, stored: Stored::of(b"") };
        let entry = |at| Entry { id: made_id(number * each + at), class: Class::Data, offset: 104, stored: 50, raw: 9 };
        Ok(Pack { record, entries: (0..each).map(entry).collect() })
    }
}

fn made_id(number: u64) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn pieces<'a>(cutter: &AlignedCutter, image: &'a [u8]) -> Vec<&'a [u8]> {
    cutter.pieces(image).map(|piece| &image[piece.range()]).collect()
}

fn stream_cuts(cutter: &StreamCutter, mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(length) = cutter.next(bytes, true) {
        (bytes, count) = (&bytes[length..], count + 1);
    }
    count
}

fn named(cutter: &AlignedCutter, ids: &IdKey, image: &[u8], start: usize) -> Vec<(ChunkId, std::ops::Range<usize>)> {
    let segment = &image[start..(start + SEGMENT_BYTES).min(image.len())];
    let chunks = cutter.pieces(segment).filter(|piece| matches!(piece, Piece::Chunk(_)));
    chunks
        .map(|piece| {
            (ids.id(Class::Data, &segment[piece.range()]), start + piece.range().start..start + piece.range().end)
        })
        .collect()
}

/// Of this process, as Linux says it; 0 elsewhere.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Processor time of all threads of this process, as Linux says it; elsewhere the benchmark does not run.
fn processor_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists the threads of a process");
    let of = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(of).sum::<u64>() as f64 / 1e9
}
