use proptest::prelude::*;

use super::*;
use crate::raw::samples;

fn doc(build: impl FnOnce(Builder) -> Builder) -> Vec<u8> {
    build(Builder::default()).finish()
}

fn array(numbers: &[i32]) -> Vec<u8> {
    let add = |builder: Builder, (index, number): (usize, &i32)| builder.int(&index.to_string(), *number);
    numbers.iter().enumerate().fold(Builder::default(), add).finish()
}

fn texts(paths: &[&str]) -> Vec<u8> {
    let add = |builder: Builder, (index, path): (usize, &&str)| builder.text(&index.to_string(), path);
    paths.iter().enumerate().fold(Builder::default(), add).finish()
}

/// A description: fields that are updated, paths that are removed.
fn description(updated: impl FnOnce(Builder) -> Builder, removed: &[&str]) -> Builder {
    Builder::default().document("updatedFields", &doc(updated)).with(kind::ARRAY, b"removedFields", &texts(removed))
}

fn order() -> Vec<u8> {
    let lines =
        Builder::default().document("0", &doc(|b| b.int("n", 1))).document("1", &doc(|b| b.int("n", 2))).finish();
    doc(|b| {
        b.int("_id", 1)
            .with(kind::ARRAY, b"lines", &lines)
            .document("by", &doc(|b| b.text("who", "me").int("0", 5)))
            .int("z", 1)
    })
}

#[test]
fn what_is_there_changes_in_its_place_and_what_is_new_comes_last() {
    let change =
        description(|b| b.int("z", 2).int("lines.1.n", 9).text("by.new", "x").int("a", 3), &["by.who"]).finish();
    let lines =
        Builder::default().document("0", &doc(|b| b.int("n", 1))).document("1", &doc(|b| b.int("n", 9))).finish();
    let expected = doc(|b| {
        b.int("_id", 1)
            .with(kind::ARRAY, b"lines", &lines)
            .document("by", &doc(|b| b.int("0", 5).text("new", "x")))
            .int("z", 2)
            .int("a", 3)
    });
    assert_eq!(apply(&order(), &change).unwrap(), expected);
}

#[test]
fn digits_are_an_index_of_an_array_and_a_field_of_a_document() {
    let change = description(|b| b.int("by.0", 6).int("lines.0", 7), &[]).finish();
    let changed = apply(&order(), &change).unwrap();
    let by = raw::find(&changed, "by").unwrap().unwrap();
    assert_eq!(raw::find(by.value, "0").unwrap().unwrap().whole(), Some(6));
    let lines = raw::find(&changed, "lines").unwrap().unwrap();
    assert_eq!((lines.kind, raw::find(lines.value, "0").unwrap().unwrap().whole()), (kind::ARRAY, Some(7)));
}

#[test]
fn a_dotted_name_is_found_by_its_disambiguated_path() {
    let document = doc(|b| b.int("_id", 1).document("a", &doc(|b| b.int("b.c", 1))));
    let parts = doc(|b| b.text("0", "a").text("1", "b.c"));
    let paths = Builder::default().with(kind::ARRAY, b"a.b.c", &parts).finish();
    let change = description(|b| b.int("a.b.c", 2), &[]).document("disambiguatedPaths", &paths).finish();
    let expected = doc(|b| b.int("_id", 1).document("a", &doc(|b| b.int("b.c", 2))));
    assert_eq!(apply(&document, &change).unwrap(), expected);
    let without = description(|b| b.int("a.b.c", 2), &[]).finish();
    assert!(matches!(apply(&document, &without), Err(Error::Fit { .. })));
}

#[test]
fn an_index_that_must_be_one_does_not_name_a_field() {
    let parts = Builder::default().text("0", "by").int("1", 0).finish();
    let paths = Builder::default().with(kind::ARRAY, b"by.0", &parts).finish();
    let change = description(|b| b.int("by.0", 2), &[]).document("disambiguatedPaths", &paths).finish();
    assert_eq!(apply(&order(), &change), Err(Error::Fit { path: "by".to_owned(), why: "no array stands there" }));
}

#[test]
fn arrays_are_cut_and_grow_with_nulls_between() {
    let document = doc(|b| b.int("_id", 1).with(kind::ARRAY, b"a", &array(&[1, 2, 3, 4])));
    let cut = Builder::default().document("0", &doc(|b| b.text("field", "a").int("newSize", 2))).finish();
    let change = description(|b| b.int("a.3", 9), &[]).with(kind::ARRAY, b"truncatedArrays", &cut).finish();
    let grown = Builder::default().int("0", 1).int("1", 2).with(kind::NULL, b"2", &[]).int("3", 9).finish();
    let expected = doc(|b| b.int("_id", 1).with(kind::ARRAY, b"a", &grown));
    assert_eq!(apply(&document, &change).unwrap(), expected);
    let longer = Builder::default().document("0", &doc(|b| b.text("field", "a").int("newSize", 9))).finish();
    let change = description(|b| b, &[]).with(kind::ARRAY, b"truncatedArrays", &longer).finish();
    assert!(matches!(apply(&document, &change), Err(Error::Fit { .. })));
}

#[test]
fn what_does_not_fit_is_refused_by_its_path() {
    for (change, path) in [
        (description(|b| b.int("z.q", 1), &[]), "z"),
        (description(|b| b.int("none.q", 1), &[]), "none"),
        (description(|b| b, &["none"]), "none"),
        (description(|b| b.int("lines.x", 1), &[]), "lines"),
    ] {
        let error = apply(&order(), &change.finish()).unwrap_err();
        assert!(matches!(&error, Error::Fit { path: at, .. } if at == path), "{path}: {error:?}");
    }
    let twice = doc(|b| b.int("_id", 1).int("a", 1).int("a", 2));
    let error = apply(&twice, &description(|b| b.int("a", 3), &[]).finish()).unwrap_err();
    assert_eq!(error, Error::Fit { path: "a".to_owned(), why: "there are two of that name" });
}

#[test]
fn a_description_of_another_shape_is_refused() {
    for wrong in [
        doc(|b| b.int("updatedFields", 1)),
        doc(|b| b.with(kind::ARRAY, b"removedFields", &array(&[1]))),
        doc(|b| b.with(kind::ARRAY, b"truncatedArrays", &texts(&["a"]))),
        doc(|b| b.document("disambiguatedPaths", &doc(|b| b.int("a.b", 1)))),
        description(|b| b.int("a", 1).int("a.b", 1), &[]).finish(),
    ] {
        assert!(matches!(apply(&order(), &wrong), Err(Error::Shape(_))), "{wrong:?}");
    }
}

#[test]
fn what_a_change_does_not_name_stays_byte_by_byte() {
    let mut document = Builder::default();
    let parts = raw::elements(&samples::every_type(1)).map(Result::unwrap).collect::<Vec<_>>().len();
    raw::elements(&samples::every_type(1)).for_each(|element| document.push(element.unwrap()));
    let document = document.int("last", 1).finish();
    let changed = apply(&document, &description(|b| b.int("last", 2), &[]).finish()).unwrap();
    assert_eq!(raw::elements(&changed).count(), parts + 1);
    let expected = [&document[..document.len() - 5], &[2, 0, 0, 0, 0]].concat();
    assert_eq!(changed, expected);
}

proptest! {
    /// Setting every field of a document to that of another, and removing the rest, gives the other's fields.
    #[test]
    fn a_change_from_one_document_to_another_arrives((_, one) in value(), (_, other) in value()) {
        let names = |document: &[u8]| raw::elements(document).map(|e| String::from_utf8(e.unwrap().name.to_vec()).unwrap()).collect::<Vec<_>>();
        let gone: Vec<String> = names(&one).into_iter().filter(|name| raw::find(&other, name).unwrap().is_none()).collect();
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        let change = Builder::default().document("updatedFields", &other).with(kind::ARRAY, b"removedFields", &texts(&gone)).finish();
        let changed = apply(&one, &change).unwrap();
        for name in names(&other) {
            prop_assert_eq!(raw::find(&changed, &name).unwrap(), raw::find(&other, &name).unwrap());
        }
        prop_assert_eq!(raw::elements(&changed).count(), raw::elements(&other).count());
        // Once more changes nothing but what is removed.
        let again = Builder::default().document("updatedFields", &other).finish();
        prop_assert_eq!(apply(&changed, &again).unwrap(), changed);
    }
}

fn value() -> impl Strategy<Value = (u8, Vec<u8>)> {
    samples::value().prop_filter("documents", |(of, _)| *of == kind::DOCUMENT)
}
