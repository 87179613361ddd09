//! An `_id` for people.

use crate::raw::{self, kind};

/// Longest text, characters.
const LONGEST: usize = 120;

/// The text of a value: what is long is cut, what has no short form is named by its type.
pub(super) fn of(kind: u8, value: &[u8]) -> String {
    let text = whole(kind, value);
    if text.chars().count() <= LONGEST { text } else { text.chars().take(LONGEST).chain(['…']).collect() }
}

fn whole(kind: u8, value: &[u8]) -> String {
    match (kind, value.len()) {
        (kind::OBJECT_ID, _) => hex::encode(value),
        (kind::STRING | kind::SYMBOL, _) => format!("{:?}", String::from_utf8_lossy(super::text_bytes(value))),
        (kind::INT32, 4) => i32::from_le_bytes([value[0], value[1], value[2], value[3]]).to_string(),
        (kind::INT64, 8) => i64::from_le_bytes(eight(value)).to_string(),
        (kind::DOUBLE, 8) => format!("{:?}", f64::from_le_bytes(eight(value))),
        (kind::DATE, 8) => format!("date {} ms", i64::from_le_bytes(eight(value))),
        (kind::TIMESTAMP, 8) => {
            format!("timestamp {}", crate::time::ClusterTime::of_bits(u64::from_le_bytes(eight(value))))
        }
        (kind::BOOLEAN, _) => (value != [0]).to_string(),
        (kind::NULL, _) => "null".to_owned(),
        (kind::BINARY, _) => format!("binary {}", hex::encode(value.get(4..).unwrap_or_default())),
        (kind::DOCUMENT | kind::ARRAY, _) => fields(value),
        _ => format!("type {kind:#04x} {}", hex::encode(value)),
    }
}

/// The fields of a document, the first level only.
fn fields(document: &[u8]) -> String {
    let field = |element: raw::Element<'_>| {
        let inner = if element.document().is_some() { "{…}".to_owned() } else { whole(element.kind, element.value) };
        format!("{}: {inner}", String::from_utf8_lossy(element.name))
    };
    let fields: Vec<String> = raw::elements(document).map_while(Result::ok).take(LONGEST).map(field).collect();
    format!("{{{}}}", fields.join(", "))
}

fn eight(value: &[u8]) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&value[..8]);
    bytes
}
