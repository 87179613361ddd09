use proptest::prelude::*;

use super::{samples::every_type, *};

/// The document of all elements of another.
fn again(document: &[u8]) -> Vec<u8> {
    let mut builder = Builder::default();
    elements(document).for_each(|element| builder.push(element.unwrap()));
    builder.finish()
}

#[test]
fn every_type_is_taken_apart_and_comes_back_byte_by_byte() {
    let document = every_type(7);
    check(&document).unwrap();
    assert_eq!(again(&document), document);
    assert_eq!(find(&document, "_id").unwrap().unwrap().whole(), Some(7));
    assert_eq!(find(&document, "a.b").unwrap().unwrap().text(), Some("dotted"));
    assert_eq!(find(&document, "not utf-8").unwrap().unwrap().text(), None);
    assert_eq!(find(&document, "no such").unwrap(), None);
}

#[test]
fn levels_without_end_are_refused_and_not_followed() {
    let mut deep = Builder::default().finish();
    for _ in 0..3_000 {
        deep = Builder::default().document("d", &deep).finish();
    }
    assert_eq!(check(&deep), Err(Error::Depth));
    let within =
        (1..MAX_DEPTH).fold(Builder::default().finish(), |inner, _| Builder::default().document("d", &inner).finish());
    check(&within).unwrap();
}

#[test]
fn damage_is_an_error_with_its_place() {
    let good = Builder::default().int("a", 1).text("b", "x").finish();
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        check(&bad)
    };
    assert_eq!(with(0, 9), Err(Error::Length { at: 0, said: 9 }));
    assert_eq!(with(4, 0x20), Err(Error::Kind { at: 6, kind: 0x20 }));
    assert_eq!(with(14, 0xFF), Err(Error::Length { at: 14, said: 255 }));
    assert_eq!(with(good.len() - 1, 1), Err(Error::End { at: good.len() - 1 }));
    assert!(check(&[]).is_err() && check(&[5, 0, 0, 0]).is_err());
}

#[test]
fn documents_that_follow_each_other_are_told_apart() {
    let (one, other) = (Builder::default().int("a", 1).finish(), every_type(1));
    let both = [one.clone(), other.clone()].concat();
    let read: Vec<_> = documents(&both).map(Result::unwrap).collect();
    assert_eq!(read, [&one[..], &other]);
    assert!(documents(&both[..both.len() - 1]).last().unwrap().is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_read_beyond(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in any::<bool>()) {
        if cut && bytes.len() >= 4 {
            let len = bytes.len() as i32;
            bytes[..4].copy_from_slice(&len.to_le_bytes());
        }
        let _ = check(&bytes);
        let _ = documents(&bytes).count();
    }

    #[test]
    fn one_changed_byte_of_a_document_is_read_or_refused(at in 0_usize..900, byte in any::<u8>()) {
        let mut document = every_type(1);
        let at = at % document.len();
        document[at] = byte;
        let _ = check(&document);
    }
}
