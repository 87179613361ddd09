//! Documents for tests.

use proptest::prelude::*;

use super::{Builder, kind};

/// Every type at its extremes, with empty, dotted and repeated names.
pub(crate) fn every_type(id: i32) -> Vec<u8> {
    let text = |text: &[u8]| [&(text.len() as i32 + 1).to_le_bytes()[..], text, &[0]].concat();
    let scope = Builder::default().int("x", 1).finish();
    let code = text(b"return x");
    let scoped = [&((4 + code.len() + scope.len()) as i32).to_le_bytes()[..], &code, &scope].concat();
    let mut deep = Builder::default().int("n", 1).finish();
    for _ in 0..100 {
        deep = Builder::default().document("d", &deep).finish();
    }
    Builder::default()
        .int("_id", id)
        .with(kind::DOUBLE, b"nan", &0x7FF8_0000_0000_0DADu64.to_le_bytes())
        .with(kind::DOUBLE, b"minus zero", &(-0.0_f64).to_le_bytes())
        .with(kind::DOUBLE, b"least", &f64::from_bits(1).to_le_bytes())
        .with(kind::STRING, b"text", &text("nul\0 and ü".as_bytes()))
        .with(kind::STRING, b"not utf-8", &text(&[0xFF, 0xFE]))
        .with(kind::STRING, b"", &text(b"empty name"))
        .with(kind::STRING, b"a.b", &text(b"dotted"))
        .with(kind::INT32, b"twice", &1_i32.to_le_bytes())
        .with(kind::INT64, b"twice", &i64::MIN.to_le_bytes())
        .with(kind::BINARY, b"old binary", &[6, 0, 0, 0, 2, 2, 0, 0, 0, 7, 8])
        .with(kind::BINARY, b"none", &[0, 0, 0, 0, 0x80])
        .with(kind::UNDEFINED, b"undefined", &[])
        .with(kind::OBJECT_ID, b"oid", &[0xAB; 12])
        .with(kind::BOOLEAN, b"true", &[1])
        .with(kind::DATE, b"date", &i64::MIN.to_le_bytes())
        .with(kind::NULL, b"null", &[])
        .with(kind::REGEX, b"regex", b"^a.*$\0imx\0")
        .with(kind::DB_POINTER, b"pointer", &[&text(b"db.c")[..], &[1; 12]].concat())
        .with(kind::CODE, b"code", &code)
        .with(kind::SYMBOL, b"symbol", &text(b"s"))
        .with(kind::CODE_WITH_SCOPE, b"scoped", &scoped)
        .with(kind::TIMESTAMP, b"zero time", &[0; 8])
        .with(kind::DECIMAL128, b"decimal", &[0xFF; 16])
        .with(kind::MIN_KEY, b"min", &[])
        .with(kind::MAX_KEY, b"max", &[])
        .document("deep", &deep)
        .with(kind::ARRAY, b"array", &Builder::default().int("0", 1).int("1", 2).finish())
        .finish()
}

/// Values of few types and small sizes, nested.
pub(crate) fn value() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(|n| (kind::INT32, n.to_le_bytes().to_vec())),
        any::<f64>().prop_map(|n| (kind::DOUBLE, n.to_le_bytes().to_vec())),
        Just((kind::NULL, Vec::new())),
        "[a-c]{0,3}".prop_map(|text| (
            kind::STRING,
            [&(text.len() as i32 + 1).to_le_bytes()[..], text.as_bytes(), &[0]].concat()
        )),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let fields = proptest::collection::btree_map("[a-d]", inner.clone(), 0..4);
        let items = proptest::collection::vec(inner, 0..4);
        prop_oneof![
            fields.prop_map(|fields| (kind::DOCUMENT, document(fields.iter().map(|(n, v)| (n.as_str(), v))))),
            items.prop_map(|items| {
                let named: Vec<_> = items.into_iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect();
                (kind::ARRAY, document(named.iter().map(|(n, v)| (n.as_str(), v))))
            }),
        ]
    })
}

/// A document of these fields.
pub(crate) fn document<'a>(fields: impl IntoIterator<Item = (&'a str, &'a (u8, Vec<u8>))>) -> Vec<u8> {
    let add =
        |builder: Builder, (name, (kind, value)): (&str, &(u8, Vec<u8>))| builder.with(*kind, name.as_bytes(), value);
    fields.into_iter().fold(Builder::default(), add).finish()
}
