//! Events of names, constructed as servers give them: the stand-in changes a collection's UUID when it is renamed.

use tidemark_catalog::pattern::Patterns;

use super::*;
use crate::event::{Subject, samples};

const UUID: &str = "07070707070707070707070707070707";

/// What is captured: `shop.orders*`.
fn chosen() -> Chosen {
    Chosen::new(Patterns::parse(&["shop/orders*".to_owned()]).unwrap(), None)
}

/// After these renames, each at its time.
fn renamed(renames: &[(&str, &str, &str)]) -> Told {
    let mut told = Told::default();
    for (at, from, to) in renames {
        let event = Event::read(&samples::rename(at, from, to)).unwrap();
        let Subject::Catalog { what, to } = &event.subject else { panic!() };
        told.catalog(&event, what, to.as_ref(), &chosen()).unwrap();
    }
    told
}

#[test]
fn a_collection_that_comes_from_what_is_not_captured_is_noted_with_its_time_constructed() {
    let told = renamed(&[("15.0", "orders", "other"), ("20.0", "other", "orders2")]);
    assert_eq!(told.entered, BTreeMap::from([(UUID.to_owned(), "20.0".parse().unwrap())]));
    let changed: Vec<_> =
        told.catalog.iter().map(|change| (change.what.as_str(), change.collection.as_str())).collect();
    assert_eq!(changed, [("rename", "orders"), ("create", "orders2")]);
    assert_eq!(renamed(&[("15.0", "orders", "orders2")]).entered, BTreeMap::new(), "all its events were kept");
    assert_eq!(renamed(&[("15.0", "orders", "other")]).entered, BTreeMap::new());
}

#[test]
fn what_was_told_is_what_a_later_run_of_the_task_knows() {
    let mut told = renamed(&[("15.0", "orders", "other"), ("20.0", "other", "orders2")]);
    let name = Namespace { database: "shop".to_owned(), collection: "orders2".to_owned() };
    told.document(UUID, "20.5".parse().unwrap(), &name);
    let stored = serde_json::to_value(told.stretch(Vec::new(), Default::default(), "21.0".parse().unwrap())).unwrap();
    let mut again = Told::default();
    again.take(&serde_json::from_value(stored).unwrap());
    again.noted = 0;
    assert_eq!(again, told);
}
