//! The tables whose files and schemas targets use, by number.

use std::sync::LazyLock;

use bytes::Bytes;
use tidemark_cassandra_format::sstable::components;

use crate::fixture::Fixture;
use crate::seal;

/// Paths below `testdata/`. Inputs name them by their place here: further ones are added at the end.
const PATHS: &str = "
    small_plain oa/small_plain da/small_plain nb/types_plain oa/types_plain da/types_plain nb/wide
    oa/wide da/wide nb/bounds oa/bounds da/bounds nb/statics oa/statics da/statics small
    oa/small_lz4 da/small_lz4 nb/small_snappy oa/small_snappy da/small_snappy nb/small_deflate
    oa/small_deflate da/small_deflate nb/small_zstd oa/small_zstd da/small_zstd da/small_noop
    nb/chunks_lz4 oa/chunks_plain da/chunks_zstd nb/extremes oa/extremes da/extremes counters dropped
    paths deletes orders orders_flipped oa/late da/ordered
";

/// A table with one of its SSTables.
pub(crate) struct Table {
    /// The SSTable and the schema.
    pub(crate) fixture: Fixture,
    /// The data, uncompressed.
    pub(crate) content: Bytes,
}

static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| PATHS.split_whitespace().map(Table::read).collect());

/// Loads all tables, once.
pub(crate) fn load() {
    LazyLock::force(&TABLES);
}

/// All tables.
pub(crate) fn all() -> &'static [Table] {
    &TABLES
}

/// The table that a byte names.
pub(crate) fn by_number(number: u8) -> &'static Table {
    &TABLES[usize::from(number) % TABLES.len()]
}

impl Table {
    fn read(path: &str) -> Self {
        let fixture = Fixture::of(path).swap_remove(0);
        let content = content(&fixture);
        Self { fixture, content }
    }

    /// A component's bytes; none where it has none.
    pub(crate) fn component(&self, component: &str) -> Bytes {
        self.fixture.component(component).unwrap_or_default()
    }
}

/// Stored chunks of a compressed fixture and the lengths of their content.
pub(crate) fn chunks(fixture: &Fixture) -> Vec<(Bytes, usize)> {
    let (Some(info), Some(data)) = (fixture.component("CompressionInfo.db"), fixture.component("Data.db")) else {
        return Vec::new();
    };
    let said = components::compression_info("CompressionInfo.db", &info, data.len() as u64).expect("a real file");
    let content =
        |chunk: usize| (said.data_bytes as usize).saturating_sub(chunk * said.chunk_bytes).min(said.chunk_bytes);
    let spans = seal::spans(&info, data.len()).into_iter().enumerate();
    spans.map(|(chunk, (start, end))| (data.slice(start..end), content(chunk))).collect()
}

fn content(fixture: &Fixture) -> Bytes {
    let Some(compressor) = fixture.compressor() else { return fixture.component("Data.db").unwrap_or_default() };
    let unpack = |(stored, length): (Bytes, usize)| match components::chunk(compressor, &stored, length) {
        Some(content) => content,
        // A chunk that is stored as it is.
        None => stored[..length].to_vec(),
    };
    chunks(fixture).into_iter().flat_map(unpack).collect::<Vec<u8>>().into()
}
