//! A capture while writers go on, compared with what the oplog of the stand-in says.

use std::{collections::BTreeSet, convert::Infallible, ops::Range};

use tidemark_catalog::content::SegmentRef;

use super::*;
use crate::{consolidate::Holding, instant::Shown, segment::Record, state::State, time::ClusterTime};

/// Turns of a writer that a capture waits for.
const TURNS: i32 = 10;

/// A capture while writers go on: each write is a transaction's or a statement's own. At first `shop.orders` has 2,000
/// documents.
async fn beside_writers(server: &StandIn, bench: &Bench) -> SliceManifest {
    let client = server.server();
    insert(&client, "shop", "orders", &numbered(2_000)).await;
    let stop = CancellationToken::new();
    let (writing, told) = (server.server(), stop.clone());
    let (count, counted) = tokio::sync::watch::channel(0);
    let writer = tokio::spawn(async move {
        let mut turn = 0;
        while !told.is_cancelled() {
            let id = || Builder::default().int("_id", turn * 13 % 2_000);
            update(
                &writing,
                "orders",
                id(),
                Builder::default().document("$set", &Builder::default().int("n", turn).int("new", turn).finish()),
            )
            .await;
            if turn % 3 == 0 {
                delete(&writing, "orders", Builder::default().int("_id", turn * 7 % 2_000)).await;
            }
            insert(&writing, "shop", "orders", &[Builder::default().int("_id", 10_000 + turn).finish()]).await;
            turn += 1;
            count.send_replace(turn);
        }
    });
    // Behind each run that was read the capture waits for the writer.
    let sink: progress::ProgressSink = Arc::new(move |progress| {
        if progress.phase.starts_with("scan") {
            let mut counted = counted.clone();
            let until = *counted.borrow() + TURNS;
            tokio::task::block_in_place(|| {
                Handle::current().block_on(counted.wait_for(|turn| *turn >= until)).unwrap()
            });
        }
    });
    let listener = bench.listener(server);
    let slice = listener.capture(&assignment(1, &["shop/*"]), sink, CancellationToken::new()).await.unwrap();
    let slice = document::read(&bench.store(), &slice).await.unwrap();
    stop.cancel();
    writer.await.unwrap();
    slice
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_beside_writers_is_the_state_right_before_its_time() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    let slice = beside_writers(&server, &bench).await;
    let (documents, part) = bench.documents(&slice, "shop/orders").await;
    let last = part.state.position.mark("set").unwrap().bytes.as_bytes().try_into().unwrap();
    let expected = oracle::at(&client, &numbered(2_000), ClusterTime::of_bits(u64::from_be_bytes(last))).await;
    assert_eq!(documents.len(), expected.len());
    for (id, document) in &expected {
        assert_eq!(documents.get(id), Some(document), "{}", crate::key::Id::from_bytes(id).unwrap());
    }
    assert!(part.degraded.is_empty(), "{:?}", part.degraded);
}

/// State at rest and log of one capture: right before each time at which something happened, and at both ends, the
/// collection is what the oplog says that it was.
#[tokio::test(flavor = "multi_thread")]
async fn every_instant_that_a_capture_proves_is_what_it_was() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    let slice = beside_writers(&server, &bench).await;
    let job = bench.job(slice, "shop/orders");
    let held = match consolidate::held(&job, &KeyRange::all()).await.unwrap() {
        Holding::Held(held) => held,
        other @ Holding::Other(_) => panic!("{other:?}"),
    };
    let (rest, log) = (records(&job, held.rest).await, records(&job, held.log.segments).await);
    let Range { start, end } = held.log.window;
    let happened = log.iter().filter_map(|record| match &record.atom {
        Atom::Event(at, _) => Some(at.time),
        Atom::Rest(_) => None,
    });
    let instants: BTreeSet<ClusterTime> = happened.chain([start, end]).collect();
    for before in instants {
        let shown = Shown::new(layer(&rest), [layer(&log)], start, before).unwrap();
        let shown = shown.map(Result::unwrap).map(|(id, state)| match state {
            State::Exact(document) => (id.to_bytes(), document),
            other => panic!("{other:?}"),
        });
        let expected = oracle::at(&client, &numbered(2_000), before.before()).await;
        assert!(shown.collect::<BTreeMap<_, _>>() == expected, "right before {before}");
    }
}

fn layer(records: &[Record]) -> impl Iterator<Item = Result<Record, Infallible>> {
    records.iter().cloned().map(Ok)
}

/// The records of segments.
async fn records(job: &ConsolidateJob, segments: Vec<SegmentRef>) -> Vec<Record> {
    let mut all = Vec::new();
    for reference in segments {
        let stored = StoredSegment::new(&job.store, reference, Handle::current());
        let read = move || segment::records(stored.open().unwrap()).unwrap().map(Result::unwrap).collect::<Vec<_>>();
        all.extend(tokio::task::spawn_blocking(read).await.unwrap());
    }
    all
}

/// The state of `shop.orders` by the oplog of the stand-in, read without the code under test but for BSON.
mod oracle {
    use super::*;
    use crate::connect::Server;

    /// After all that happened up to `last`.
    pub(super) async fn at(client: &Server, first: &[Vec<u8>], last: ClusterTime) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut all: BTreeMap<Vec<u8>, Vec<u8>> =
            first.iter().map(|document| (id(document), document.clone())).collect();
        let command = Builder::default()
            .text("find", "oplog.rs")
            .document("sort", &Builder::default().int("$natural", 1).finish())
            .finish();
        for entry in client.primary_cursor("local", command).await.unwrap().all().await.unwrap() {
            let find = |name| raw::find(&entry, name).unwrap();
            let time = ClusterTime::of_bits(find("ts").unwrap().timestamp().unwrap());
            if time <= last && find("ns").and_then(|ns| ns.text()) == Some("shop.orders") {
                entry_into(&entry, &mut all);
            }
        }
        all
    }

    fn id(document: &[u8]) -> Vec<u8> {
        let id = raw::find(document, "_id").unwrap().unwrap();
        [&[id.kind][..], id.value].concat()
    }

    /// Inserts and deletes as they are; of an update the two fields that the writer sets.
    fn entry_into(entry: &[u8], all: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        let find = |name| raw::find(entry, name).unwrap();
        let object = find("o").unwrap().document().unwrap();
        match find("op").unwrap().text().unwrap() {
            "i" => drop(all.insert(id(object), object.to_vec())),
            "d" => drop(all.remove(&id(object))),
            "u" => {
                let key = id(find("o2").unwrap().document().unwrap());
                let diff = raw::find(object, "diff").unwrap().unwrap().document().unwrap();
                let fields = raw::find(diff, "updatedFields").unwrap().unwrap().document().unwrap();
                let now = with(&all[&key], fields);
                all.insert(key, now);
            }
            _ => {}
        }
    }

    fn with(document: &[u8], fields: &[u8]) -> Vec<u8> {
        let mut builder = Builder::default();
        for element in raw::elements(document).map(Result::unwrap) {
            let newer = raw::elements(fields).map(Result::unwrap).find(|field| field.name == element.name);
            builder.push(newer.unwrap_or(element));
        }
        let there = |name: &[u8]| raw::elements(document).map(Result::unwrap).any(|element| element.name == name);
        raw::elements(fields)
            .map(Result::unwrap)
            .filter(|field| !there(field.name))
            .for_each(|field| builder.push(field));
        builder.finish()
    }
}
