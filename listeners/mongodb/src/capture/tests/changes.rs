//! What changes while a capture is at work: names, transactions, members.

use std::sync::atomic::{AtomicBool, Ordering};

use mongodb::bson::{RawDocumentBuf, doc};
use tidemark_listener_core::progress::ProgressSink;

use super::*;

/// Calls `change` once, when a run of this collection was stored; the capture waits for it.
fn when_scanned<F>(collection: &'static str, change: impl Fn() -> F + Send + Sync + 'static) -> ProgressSink
where
    F: Future<Output = ()>,
{
    let done = AtomicBool::new(false);
    Arc::new(move |progress| {
        let reached = progress.phase == format!("scan shop.{collection}");
        if reached && !done.swap(true, Ordering::SeqCst) {
            tokio::task::block_in_place(|| Handle::current().block_on(change()));
        }
    })
}

async fn captured(bench: &Bench, server: &StandIn, sink: ProgressSink) -> SliceManifest {
    let listener = bench.listener(server);
    let slice = listener.capture(&assignment(1, &["shop/*"]), sink, CancellationToken::new()).await.unwrap();
    document::read(&bench.store(), &slice).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_is_made_anew_while_it_is_captured_is_the_new_one() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "again", &numbered(50)).await;
    let other = client.clone();
    let sink = when_scanned("again", move || {
        let client = other.clone();
        async move {
            run(&client, "shop", Builder::default().text("drop", "again")).await;
            insert(&client, "shop", "again", &numbered(200)[100..103]).await;
            insert(&client, "shop", "came", &numbered(2)).await;
        }
    });
    let slice = captured(&bench, &server, sink).await;
    let names: Vec<String> = slice.objects.iter().map(|object| object.object.to_string()).collect();
    assert_eq!(names, ["shop/again", "shop/came"], "{:?}", slice.objects);
    for collection in ["again", "came"] {
        let (documents, _) = bench.documents(&slice, &format!("shop/{collection}")).await;
        assert_eq!(documents, seen(&client, "shop", collection).await, "{collection}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_is_renamed_or_dropped_while_it_is_captured_is_where_it_went() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "first", &numbered(40)).await;
    insert(&client, "shop", "gone", &numbered(5)).await;
    insert(&client, "shop", "last", &numbered(6)).await;
    let other = client.clone();
    let sink = when_scanned("gone", move || {
        let client = other.clone();
        async move {
            run(&client, "admin", Builder::default().text("renameCollection", "shop.first").text("to", "shop.second"))
                .await;
            update(
                &client,
                "second",
                Builder::default().int("_id", 1),
                Builder::default().document("$set", &Builder::default().int("new", 1).finish()),
            )
            .await;
            run(&client, "shop", Builder::default().text("drop", "gone")).await;
        }
    });
    let slice = captured(&bench, &server, sink).await;
    let names: Vec<String> = slice.objects.iter().map(|object| object.object.to_string()).collect();
    assert_eq!(names, ["shop/last", "shop/second"]);
    for collection in ["last", "second"] {
        let (documents, _) = bench.documents(&slice, &format!("shop/{collection}")).await;
        assert_eq!(documents, seen(&client, "shop", collection).await, "{collection}");
    }
}

/// A collection comes each time that one was scanned: also when all had been listed for the last time.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_comes_behind_the_last_listing_is_named_and_the_next_capture_has_it() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "c0", &numbered(3)).await;
    let (other, count) = (client.clone(), std::sync::atomic::AtomicU32::new(0));
    let sink: ProgressSink = Arc::new(move |progress| {
        let last = count.load(Ordering::SeqCst);
        if progress.phase == format!("scan shop.c{last}") {
            count.store(last + 1, Ordering::SeqCst);
            let next = format!("c{}", last + 1);
            tokio::task::block_in_place(|| Handle::current().block_on(insert(&other, "shop", &next, &numbered(3))));
        }
    });
    let slice = captured(&bench, &server, sink).await;
    let (held, named): (Vec<_>, Vec<_>) = slice.objects.iter().partition(|object| object.unreadable.is_none());
    let all = seen_names(&client).await;
    assert_eq!((held.len(), named.len()), (all - 1, 1), "{:?}", slice.objects);
    assert!(named[0].unreadable.as_deref().unwrap().contains("the next capture has it"), "{:?}", named[0]);
    let next = Assignment { task: "1123456789abcdef0123456789abcdef".parse().unwrap(), ..assignment(1, &["shop/*"]) };
    let slice = bench.capture(&server, &next).await.unwrap();
    assert!(slice.objects.len() == all && slice.objects.iter().all(|object| object.unreadable.is_none()));
}

/// How many collections there are.
async fn seen_names(client: &crate::connect::Server) -> usize {
    crate::describe::of_database(client, "shop").await.unwrap().len()
}

/// The stand-in gives it another UUID each time; that a server does not is constructed in the tests of `judge`, `told`
/// and `consolidate`.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_is_called_otherwise_for_a_while_is_what_it_is_when_it_is_back() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "orders", &numbered(40)).await;
    insert(&client, "shop", "zebra", &numbered(5)).await;
    let other = client.clone();
    let sink = when_scanned("zebra", move || {
        let client = other.clone();
        async move {
            let rename = |from: &str, to: &str| Builder::default().text("renameCollection", from).text("to", to);
            run(&client, "admin", rename("shop.orders", "away.orders")).await;
            insert(&client, "away", "orders", &numbered(60)[40..]).await;
            run(&client, "admin", rename("away.orders", "shop.orders")).await;
        }
    });
    let slice = captured(&bench, &server, sink).await;
    let (documents, _) = bench.documents(&slice, "shop/orders").await;
    assert_eq!(documents.len(), 60);
    assert_eq!(documents, seen(&client, "shop", "orders").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_in_a_capture_whole_or_not_at_all() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    for collection in ["a", "b"] {
        run(&client, "shop", Builder::default().text("create", collection)).await;
        insert(&client, "shop", collection, &numbered(3_000)).await;
    }
    let stop = CancellationToken::new();
    let (driver, told) = (client.client().clone(), stop.clone());
    let writer = tokio::spawn(async move {
        let mut session = driver.start_session().await.unwrap();
        let mut turn = 10_000;
        while !told.is_cancelled() {
            session.start_transaction().await.unwrap();
            for collection in ["a", "b"] {
                let document: RawDocumentBuf = RawDocumentBuf::try_from(&doc! {"_id": turn, "n": turn}).unwrap();
                let into = driver.database("shop").collection::<RawDocumentBuf>(collection);
                into.insert_one(document).session(&mut session).await.unwrap();
            }
            session.commit_transaction().await.unwrap();
            turn += 1;
        }
        turn - 10_000
    });
    let slice = bench.capture(&server, &assignment(1, &["shop/*"])).await.unwrap();
    stop.cancel();
    assert!(writer.await.unwrap() > 5);
    let (a, part) = bench.documents(&slice, "shop/a").await;
    let (b, other) = bench.documents(&slice, "shop/b").await;
    assert_eq!(part.state.position, other.state.position);
    assert!(a.keys().eq(b.keys()), "{} and {} documents", a.len(), b.len());
}

/// Two names of one server stand for two members.
#[tokio::test(flavor = "multi_thread")]
async fn two_listeners_stage_what_becomes_the_segments_of_one_constructed() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "orders", &numbered(500)).await;
    let mut slices = Vec::new();
    for host in ["127.0.0.1", "localhost"] {
        let listener = bench.listener_of(&server, Some(format!("{host}:{}", server.port())));
        let slice = listener.capture(&assignment(1, &["shop/*"]), progress::silent(), CancellationToken::new()).await;
        slices.push(document::read::<SliceManifest>(&bench.store(), &slice.unwrap()).await.unwrap());
    }
    assert_ne!(slices[0].partition, slices[1].partition);
    let job = bench.job(slices[0].clone(), "shop/orders");
    let both = ConsolidateJob { slices: Arc::new(slices.clone()), ..job };
    let Consolidated::Part(both) = consolidate::part(&both, &KeyRange::all()).await.unwrap() else { panic!() };
    let (_, one) = bench.documents(&slices[0], "shop/orders").await;
    let digests = |part: &Part| part.segments.iter().map(|segment| segment.stored.digest).collect::<Vec<_>>();
    assert_eq!((digests(&both), both.records), (digests(&one), 500));
}

/// The name of the set is changed on the way: the stand-in has but one.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_another_set_is_refused_by_name_and_not_read_constructed() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "orders", &numbered(5)).await;
    let address = format!("127.0.0.1:{}", crate::testing::as_another_set(server.port()).await);
    let listener = bench.listener_of(&server, Some(address.clone()));
    let assignment = assignment(1, &["shop/*"]);
    let failure = listener.capture(&assignment, progress::silent(), CancellationToken::new()).await.unwrap_err();
    assert_eq!((failure.code.as_ref(), failure.retryable), (crate::codes::OTHER_SET, false), "{failure:?}");
    assert!(failure.message.contains(&address) && failure.message.contains("otherset"), "{failure}");
    assert!(tidemark_listener_core::conformance::records::names(&bench.store()).await.unwrap().is_empty());
    let mut spec = server.spec();
    spec["members"] = json!([address]);
    let lines =
        tidemark_listener_core::source::Source::check(&crate::driver::MongoDriver::new(Env::system()), &spec).await;
    let failed: Vec<_> =
        lines.iter().filter(|line| line.status == tidemark_listener_core::check::Status::Fail).collect();
    assert!(failed.len() == 1 && format!("{failed:?}").contains("otherset"), "{lines:?}");
}
