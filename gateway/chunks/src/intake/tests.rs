use futures::StreamExt;

use super::*;
use crate::{
    cut::{AlignedCutter, Piece, tests::noise},
    index::{Index, IndexOptions},
    keys::Keyring,
    pack::tests::{chunks, key, memory, prepared, small},
    prepare::Preparer,
    read::{ChunkReader, ReadOptions, Wanted},
    reuse::Admitted,
};

fn intake(store: &Arc<dyn ObjectStore>, options: PackOptions) -> Intake<impl PackSupply> {
    let mut next = 0;
    let names = move || {
        next += 1;
        Path::from(format!("chunks/pack/00/0-0-{next:010}"))
    };
    let supply = OwnSupply::new(key(1, 1), Env::system(), names);
    Intake::new(Arc::clone(store), Env::system(), supply, options)
}

#[tokio::test]
async fn each_chunk_is_written_once_and_packs_follow_each_other() {
    let store = memory();
    let mut intake = intake(&store, small());
    let ids = key(1, 1).ids();
    let all = chunks(1, 60, 60_000);
    let mut references = Vec::new();
    for chunk in &all {
        references.push(intake.write(&prepared(&ids, Class::Data, chunk)).await.unwrap());
    }
    let again = intake.write(&prepared(&ids, Class::Data, &all[59])).await.unwrap();
    assert_eq!(again, references[59]);
    let packs = intake.finish().await.unwrap();
    assert_eq!(packs.len(), 4);
    let entries: Vec<_> =
        packs.iter().flat_map(|pack| pack.entries.iter().map(|entry| (pack.record.path.clone(), entry.id))).collect();
    let expected: Vec<_> = references.iter().map(|reference| (reference.pack().clone(), reference.id())).collect();
    assert_eq!(entries, expected);
}

#[tokio::test]
async fn taken_packs_leave_memory() {
    let store = memory();
    let mut intake = intake(&store, small());
    let ids = key(1, 1).ids();
    for chunk in chunks(1, 10, 60_000) {
        intake.write(&prepared(&ids, Class::Data, &chunk)).await.unwrap();
    }
    assert_eq!(intake.own.len(), 10);
    let packs = intake.settle().await.unwrap();
    assert_eq!((packs.len(), intake.own.len()), (1, 0));
    assert!(intake.settle().await.unwrap().is_empty(), "nothing was written since");
}

#[tokio::test]
async fn a_pack_that_cannot_be_written_is_an_error_and_no_reference_counts() {
    let store = memory();
    let mut intake = intake(&store, small());
    store.put_opts(&Path::from("chunks/pack/00/0-0-0000000001"), "x".into(), Default::default()).await.unwrap();
    intake.write(&prepared(&key(1, 1).ids(), Class::Data, b"abc")).await.unwrap();
    assert!(matches!(intake.finish().await, Err(Error::Write(WriteError::Upload(_)))));
}

#[tokio::test]
async fn after_a_failure_or_a_call_that_was_dropped_no_reference_is_given() {
    let ids = key(1, 1).ids();
    let (one, other) = (prepared(&ids, Class::Data, b"one"), prepared(&ids, Class::Data, b"other"));
    let mut next = 0;
    let names = move || {
        next += 1;
        assert!(next == 1, "no second pack is begun");
        Path::from("p")
    };
    let store = memory();
    let supply = OwnSupply::new(key(1, 1), Env::system(), names);
    let mut intake = Intake::new(Arc::clone(&store), Env::system(), supply, small());
    intake.write(&one).await.unwrap();
    store.put_opts(&Path::from("p"), "x".into(), Default::default()).await.unwrap();
    assert!(matches!(intake.settle().await, Err(Error::Write(_))));
    assert!(intake.written(Class::Data, one.id()).is_none());
    for chunk in [&one, &other] {
        assert!(matches!(intake.write(chunk).await, Err(Error::Broken)));
    }
    let mut dropped = self::intake(&store, small());
    dropped.write(&one).await.unwrap();
    drop(dropped.settle());
    assert!(dropped.written(Class::Data, one.id()).is_some(), "nothing was begun");
    let never = futures::poll!(std::pin::pin!(dropped.settle()));
    assert!(never.is_pending());
    assert!(dropped.written(Class::Data, one.id()).is_none());
    assert!(matches!(dropped.write(&one).await, Err(Error::Broken)));
}

/// What an image was cut to: of each piece its bytes' number and chunk, `None` for zeros.
struct Version(Vec<(usize, Option<Reference>)>);

async fn protect(
    intake: &mut Intake<impl PackSupply>,
    index: &Index,
    admitted: &Admitted,
    image: &[u8],
) -> (Version, usize) {
    let (key, mut preparer) = (key(1, 1), Preparer::new(1).unwrap());
    let (cutter, ids) = (AlignedCutter::new(&key.chunking()), key.ids());
    let (mut version, mut fresh) = (Vec::new(), 0);
    for piece in cutter.pieces(image) {
        let range = piece.range();
        if let Piece::Zeros(_) = piece {
            version.push((range.len(), None));
            continue;
        }
        let chunk = ids.identify(Class::Data, &image[range.clone()]).unwrap();
        let known = index.reusable(admitted, &[(Class::Data, chunk.id())]).await.unwrap().pop().unwrap();
        let reference = match known {
            Some(reference) => reference,
            None => {
                fresh += range.len();
                intake.write(&preparer.prepare(chunk)).await.unwrap()
            }
        };
        version.push((range.len(), Some(reference)));
    }
    (Version(version), fresh)
}

async fn restore(store: &Arc<dyn ObjectStore>, index: &Index, version: &Version) -> Vec<u8> {
    let mut image = Vec::new();
    let mut wanted = Vec::new();
    for (len, reference) in &version.0 {
        if let Some(reference) = reference {
            let locations = index.find(&[(reference.class(), reference.id())]).await.unwrap().pop().unwrap();
            wanted.push(Wanted { position: image.len(), locations });
        }
        image.resize(image.len() + len, 0);
    }
    let key = key(1, 1);
    let reader =
        ChunkReader::new(Arc::clone(store), Keyring::Repository(key.clone()), key.ids(), ReadOptions::default());
    let mut fetched = std::pin::pin!(reader.read(wanted));
    while let Some(fetched) = fetched.next().await {
        let bytes = fetched.bytes.unwrap();
        image[fetched.position..fetched.position + bytes.len()].copy_from_slice(&bytes);
    }
    image
}

#[tokio::test]
async fn an_image_and_its_change_come_back_and_the_change_alone_is_written() {
    let store = memory();
    let keyring = Keyring::Repository(key(1, 1));
    let mut index = Index::new(Arc::clone(&store), keyring, IndexOptions::default());
    let mut intake = intake(&store, small());
    let mut admitted = Admitted::default();
    let mut first = noise(1, 3 << 20);
    first[1 << 20..2 << 20].fill(0);
    let mut second = first.clone();
    second[100_000..104_000].copy_from_slice(&noise(2, 4_000));
    let (one, fresh) = protect(&mut intake, &index, &admitted, &first).await;
    assert!(fresh <= (2 << 20) + 4096);
    for pack in intake.settle().await.unwrap() {
        index.record(&pack);
        admitted.admit(pack.record.path.clone());
    }
    let issued = key(1, 1).issue(&Env::system(), Kind::Index, Path::from("chunks/index/1")).unwrap();
    index.flush(&Env::system(), issued, &small().upload).await.unwrap();
    let (other, fresh) = protect(&mut intake, &index, &admitted, &second).await;
    assert!(fresh <= 3 * (64 << 10), "{fresh}");
    intake.settle().await.unwrap().iter().for_each(|pack| index.record(pack));
    assert!(restore(&store, &index, &one).await == first);
    assert!(restore(&store, &index, &other).await == second);
}
