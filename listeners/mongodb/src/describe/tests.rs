use super::*;
use crate::raw::kind;

/// UUID of all, and its digits.
const UUID: [u8; 21] = [16, 0, 0, 0, 4, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];
const DIGITS: &str = "07070707070707070707070707070707";

fn listed(of: &str, options: Builder, with_uuid: bool) -> Option<Listed> {
    let info = if with_uuid { Builder::default().with(kind::BINARY, b"uuid", &UUID) } else { Builder::default() };
    let line = Builder::default().text("name", "a").text("type", of).document("options", &options.finish());
    collection("shop", &line.document("info", &info.finish()).finish())
}

fn series() -> Builder {
    Builder::default().document("timeseries", &Builder::default().text("timeField", "at").finish())
}

/// As servers up to 8.0 list them, without a UUID; as others do; and as the stand-in lists a time series.
#[test]
fn time_series_and_types_that_are_not_known_are_refused_by_name_with_and_without_a_uuid_constructed() {
    for (of, options, with_uuid, id, word) in [
        ("timeseries", series(), false, "timeseries", "time series"),
        ("timeseries", series(), true, DIGITS, "time series"),
        ("collection", series(), true, DIGITS, "time series"),
        ("ledger", Builder::default(), false, "ledger", "of this type"),
    ] {
        let listed = listed(of, options, with_uuid).unwrap();
        assert_eq!(listed.uuid, id, "{of}");
        assert!(listed.unsupported().unwrap().contains(word) && !listed.is_view(), "{listed:?}");
    }
}

#[test]
fn a_view_is_a_view_also_where_a_server_lists_a_uuid_for_it() {
    for with_uuid in [false, true] {
        let view = listed("view", Builder::default().text("viewOn", "b"), with_uuid).unwrap();
        assert!(view.is_view() && view.uuid == VIEW && view.unsupported().is_none(), "{view:?}");
    }
}

#[test]
fn a_collection_without_a_uuid_is_no_collection_that_can_be_read() {
    assert_eq!(listed("collection", Builder::default(), true).unwrap().uuid, DIGITS);
    assert_eq!(listed("collection", Builder::default(), false), None);
}
