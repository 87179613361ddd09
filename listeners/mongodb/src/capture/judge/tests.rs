//! Looks, constructed: what servers do of which the stand-in shows nothing.

use super::*;
use crate::{capture::journal::CatalogChange, describe::VIEW, raw::Builder};

fn time(text: &str) -> ClusterTime {
    text.parse().unwrap()
}

fn name(collection: &str) -> Namespace {
    Namespace { database: "shop".to_owned(), collection: collection.to_owned() }
}

fn view(collection: &str, on: &str) -> Listed {
    let options = Builder::default().text("viewOn", on).finish();
    Listed { namespace: name(collection), uuid: VIEW.to_owned(), of: VIEW.to_owned(), options }
}

fn collection(name: &str, uuid: &str) -> Listed {
    let options = Builder::default().finish();
    Listed { namespace: self::name(name), uuid: uuid.to_owned(), of: "collection".to_owned(), options }
}

/// All of a look; times are 10.0 to 11.0 of the listing, 30.0 of the proof.
struct Seen {
    listing: Listing,
    scans: BTreeMap<String, Scan>,
    told: Told,
    again: Vec<Listed>,
}

impl Seen {
    /// These were listed, before and after; each collection was scanned from 12.0 to 13.0.
    fn of(listed: Vec<Listed>) -> Self {
        let scan = |listed: &Listed| (listed.uuid.clone(), Scan::whole(&listed.uuid, time("12.0"), time("13.0")));
        let scans = listed.iter().filter(|listed| !listed.is_view()).map(scan).collect();
        let again = listed.clone();
        let collections = listed.into_iter().map(|listed| (listed, Schema::default())).collect();
        let (from, until) = (time("10.0"), time("11.0"));
        let listing = Listing { started: Timestamp::UNIX_EPOCH, from, until, collections };
        Self { listing, scans, told: Told::default(), again }
    }

    fn look(&self) -> Look<'_> {
        let Self { listing, scans, told, again } = self;
        Look { listing, scans, told, runs: &[], proven: time("30.0"), again }
    }

    fn disturbed(&self) -> Vec<Namespace> {
        self.look().disturbed().into_iter().collect()
    }
}

#[test]
fn views_that_came_went_or_changed_without_an_event_are_looked_at_again_constructed() {
    let quiet = || Seen::of(vec![collection("a", "1"), view("lately", "a"), view("old", "a")]);
    assert_eq!(quiet().disturbed(), []);
    let seen = |again: Vec<Listed>| Seen { again, ..quiet() };
    let other = vec![collection("a", "1"), view("lately", "b"), view("old", "a")];
    assert_eq!(seen(other).disturbed()[0], name("lately"), "its definition changed");
    let gone = vec![collection("a", "1"), view("lately", "a")];
    assert_eq!(seen(gone).disturbed(), [name("old")]);
    // Where an empty collection stood; that it was dropped is told by an event, which stands behind the proof here.
    let came = vec![view("a", "b"), view("lately", "a"), view("old", "a")];
    assert_eq!(seen(came).disturbed(), [name("a")]);
}

#[test]
fn two_views_are_two_and_no_collection_constructed() {
    let seen = Seen::of(vec![view("lately", "a"), view("old", "b")]);
    let (collections, objects) = seen.look().taken(&BTreeSet::new());
    let says = |object: usize| {
        let partition = crate::staged::Partition {
            set: String::new(),
            version: String::new(),
            from: time("1.0"),
            before: time("30.0"),
            collections: collections.clone(),
        };
        partition.collection(&objects[object]).unwrap().object.clone().unwrap().to_string()
    };
    assert_eq!([says(0), says(1)], ["shop/lately", "shop/old"]);
    assert!(objects.iter().all(|object| object.object_id == VIEW && object.unreadable.is_none()));
}

/// Read from 12.0 to 13.0. Where it went meanwhile, and what happened to it there, nobody told.
#[test]
fn a_scan_does_not_count_where_the_collection_came_from_what_is_not_captured_since_constructed() {
    let uuid = "07070707070707070707070707070707";
    let came = |at: &str| {
        let mut seen = Seen::of(vec![collection("a", uuid)]);
        seen.told.entered.insert(uuid.to_owned(), time(at));
        seen
    };
    assert_eq!(came("20.0").disturbed(), [name("a")]);
    let seen = came("11.0");
    assert_eq!(seen.disturbed(), [], "it was read after it came");
    assert_eq!(seen.look().taken(&BTreeSet::new()).0[0].since, Some(time("11.0")));
}

/// Between the last listing and the time that is proven.
#[test]
fn what_came_since_it_was_listed_is_named_and_not_taken_constructed() {
    let mut seen = Seen::of(vec![collection("a", "1"), collection("b", "2")]);
    seen.told.document("3", time("20.0"), &name("came"));
    seen.told.document("4", time("30.0"), &name("last"));
    seen.told.document("5", time("9.0"), &name("gone"));
    let change = |what: &str, collection: &str| super::super::journal::CatalogChange {
        at: time("21.0"),
        what: what.to_owned(),
        database: "shop".to_owned(),
        collection: collection.to_owned(),
    };
    seen.told.catalog = vec![change("create", "made"), change("rename", "a")];
    let (collections, objects) = seen.look().taken(&seen.look().disturbed());
    let said: Vec<_> = objects.iter().map(|line| (line.object.to_string(), line.unreadable.is_some())).collect();
    let line = |name: &str, unreadable| (format!("shop/{name}"), unreadable);
    assert_eq!(said, [line("a", true), line("b", false), line("came", true), line("last", true), line("made", true)]);
    assert_eq!(collections.len(), 1);
}

/// As what a stage `$out` writes first, which is renamed when it is done.
#[test]
fn what_came_and_went_again_is_not_named_constructed() {
    let change = |at: &str, what: &str, collection: &str| super::super::journal::CatalogChange {
        at: time(at),
        what: what.to_owned(),
        database: "shop".to_owned(),
        collection: collection.to_owned(),
    };
    let named = |catalog: Vec<super::super::journal::CatalogChange>, seen: Option<&str>| {
        let mut all = Seen::of(vec![collection("a", "1")]);
        all.told.catalog = catalog;
        seen.iter().for_each(|at| all.told.document("3", time(at), &name("tmp")));
        let (_, objects) = all.look().taken(&all.look().disturbed());
        objects.iter().any(|line| line.object.to_string() == "shop/tmp")
    };
    for (went, is_named) in [("rename", false), ("drop", false), ("dropDatabase", false), ("modify", true)] {
        let came_and = vec![change("20.0", "create", "tmp"), change("21.0", went, "tmp")];
        assert_eq!(named(came_and, Some("20.5")), is_named, "{went}");
    }
    let again = || vec![change("20.0", "drop", "tmp"), change("21.0", "create", "tmp")];
    assert!(named(again(), None));
    assert!(named(vec![change("20.0", "drop", "tmp")], Some("21.0")), "no event told that it came again");
    assert!(named(vec![change("20.0", "create", "tmp"), change("30.0", "drop", "tmp")], None), "it went later");
}

#[test]
fn where_a_database_was_dropped_nothing_of_it_is_taken_constructed() {
    let mut seen = Seen::of(vec![collection("a", "1")]);
    let (database, collection) = ("shop".to_owned(), String::new());
    let dropped = super::super::journal::CatalogChange {
        at: time("21.0"),
        what: "dropDatabase".to_owned(),
        database,
        collection,
    };
    seen.told.catalog = vec![dropped];
    let (collections, objects) = seen.look().taken(&seen.look().disturbed());
    assert!(collections.is_empty() && objects.len() == 1 && objects[0].unreadable.is_some(), "{objects:?}");
}

#[test]
fn a_collection_with_two_documents_of_one_id_is_named_with_it_constructed() {
    let mut seen = Seen::of(vec![collection("a", "1"), collection("b", "2")]);
    let twice = crate::key::Id::of(&Builder::default().int("_id", 7).finish()).unwrap();
    let scan = seen.scans.get_mut("1").unwrap();
    (scan.over, scan.twice) = (false, Some(twice));
    assert_eq!(seen.disturbed(), [], "another scan would find them too");
    let (collections, objects) = seen.look().taken(&seen.look().disturbed());
    let why = objects[0].unreadable.as_deref().unwrap();
    assert!(collections.len() == 1 && why.contains("shop.a") && why.contains("_id 7"), "{why}");
}

#[test]
fn a_name_that_moved_since_it_was_listed_is_not_read_constructed() {
    let seen = Seen::of(vec![collection("orders", "1")]);
    let moved = |at: &str, what: &str, of: &str| {
        let (database, collection) = ("shop".to_owned(), of.to_owned());
        let change = CatalogChange { at: time(at), what: what.to_owned(), database, collection };
        let mut told = Told::default();
        told.catalog.push(change);
        moved_since(&seen.listing, &name("orders"), &told)
    };
    // Of a rename that keeps the UUID the scan, begun behind it, would see nothing.
    assert!(moved("11.5", "rename", "orders") && moved("10.0", "drop", "orders") && moved("11.5", "dropDatabase", ""));
    assert!(!moved("9.9", "rename", "orders") && !moved("11.5", "rename", "others"));
    assert!(!moved("11.5", "modify", "orders"));
}
