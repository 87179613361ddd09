use super::{samples::*, *};
use crate::raw::Builder;

#[test]
fn events_about_documents_say_what_they_are_now() {
    let document = Builder::default().int("_id", 1).int("a", 2).finish();
    let read = Event::read(&insert("5.1", 3, &document)).unwrap();
    assert_eq!((read.at.time.to_string().as_str(), read.uuid), ("5.1", Some([7; 16])));
    assert_eq!(read.namespace, Namespace { database: "shop".to_owned(), collection: "a".to_owned() });
    let id = Id::of(&document).unwrap();
    assert_eq!(read.subject, Subject::Document { id: id.clone(), change: Change::Whole(document) });
    let gone = Event::read(&delete("5.1", 4, &id)).unwrap();
    assert!(gone.at > read.at && matches!(gone.subject, Subject::Document { change: Change::Gone, .. }));
}

#[test]
fn events_about_collections_name_both_names() {
    let to = Builder::default().text("db", "shop").text("coll", "b").finish();
    let read = Event::read(&event("rename", "5.1", 1, |builder| builder.document("to", &to))).unwrap();
    let to = Some(Namespace { database: "shop".to_owned(), collection: "b".to_owned() });
    assert_eq!(read.subject, Subject::Catalog { what: "rename".to_owned(), to });
}

#[test]
fn an_unknown_kind_and_a_missing_field_are_named() {
    let unknown = Event::read(&event("explode", "5.1", 1, |builder| builder)).unwrap_err();
    assert_eq!(unknown, Error::Unknown("explode".to_owned()));
    for (what, field) in [("insert", "fullDocument"), ("update", "updateDescription"), ("delete", "documentKey")] {
        let error = Event::read(&event(what, "5.1", 1, |builder| builder)).unwrap_err();
        assert_eq!(error, Error::Field { kind: what.to_owned(), field });
    }
    assert!(matches!(Event::read(&[1, 2]), Err(Error::Damaged(_))));
}
