//! Several components together: names and tables of contents, and whole SSTables.

use bytes::Bytes;
use tidemark_cassandra_format::sstable::{Descriptor, ReadOptions, SsTableFiles, SsTableReader};

use crate::content::{Content, drain, expect_equal, skim};
use crate::fixture::Fixture;
use crate::input::{Input, framed};
use crate::seal;
use crate::tables::{self, Table};

/// Components before the data, each with its bit, which says that it is missing.
const COMPONENTS: [(&str, u8); 4] = [("CompressionInfo.db", 2), ("CRC.db", 4), ("Digest.crc32", 8), ("TOC.txt", 16)];
/// Set in the flags where checksums are left as they are.
const UNSEALED: u8 = 1;
/// Bounds of the reader; chunks are not bounded by them.
const OPTIONS: ReadOptions = ReadOptions { window_bytes: 4096, max_row_bytes: 1 << 20 };

/// So much is read of what a few bytes may decompress to.
const MOST_BYTES: usize = 64 << 20;

/// A line with a file's name, then a table of contents.
pub(crate) fn names(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (name, toc) = bytes.split_at(line);
    let Ok(name) = std::str::from_utf8(name) else { return };
    let Ok((descriptor, component)) = Descriptor::parse(name) else { return };
    assert_eq!(descriptor.file_name(component), name);
    let Ok(version) = descriptor.supported() else { return };
    let table = tables::all().iter().find(|table| table.fixture.version() == version).expect("one of each version");
    let files = Files { toc: toc.get(1..).map(Bytes::copy_from_slice), ..Files::of(&table.fixture, name) };
    let stem = name.strip_suffix(component).unwrap_or(name);
    match files.read(table) {
        Ok(content) => assert_eq!(content, table.fixture.read().expect("a real file"), "another name, other rows"),
        Err(words) => assert!(words.contains(stem), "{words} names no file of {stem}"),
    }
}

/// A byte for the table, one for flags, then Statistics.db and the components above, each with its length before it, then
/// Data.db.
pub(crate) fn open(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (table, flags) = (tables::by_number(input.byte()), input.byte());
    let statistics = Bytes::copy_from_slice(input.piece());
    let pieces = COMPONENTS.map(|(_, bit)| Some(Bytes::copy_from_slice(input.piece())).filter(|_| flags & bit == 0));
    let [info, crc, digest, toc] = pieces;
    let name = table.fixture.name.clone();
    let mut files = Files { name, statistics, info, crc, digest, toc, data: Bytes::copy_from_slice(input.0) };
    if flags & UNSEALED == 0 {
        files.seal();
    }
    let read = || {
        let mut reader = files.open(table)?;
        let (sum, read) = skim(&table.fixture.schema, &mut reader, MOST_BYTES);
        read.map(|()| sum).map_err(|error| error.to_string())
    };
    expect_equal(read(), read());
}

/// The components of one SSTable.
struct Files {
    name: String,
    statistics: Bytes,
    info: Option<Bytes>,
    crc: Option<Bytes>,
    digest: Option<Bytes>,
    toc: Option<Bytes>,
    data: Bytes,
}

impl Files {
    fn of(fixture: &Fixture, name: &str) -> Self {
        let component = |component| fixture.component(component);
        Self {
            name: name.to_owned(),
            statistics: component("Statistics.db").unwrap_or_default(),
            info: component("CompressionInfo.db"),
            crc: component("CRC.db"),
            digest: component("Digest.crc32"),
            toc: component("TOC.txt"),
            data: component("Data.db").unwrap_or_default(),
        }
    }

    /// Sets every checksum that there is a place for.
    fn seal(&mut self) {
        self.statistics = seal::statistics(&self.statistics).into();
        if let Some(info) = &self.info {
            self.data = seal::chunks(info, &self.data).into();
        }
        let chunk_bytes = |crc: &Bytes| crc.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
        // Shorter chunks would make more of the file than there is.
        if let Some(length) = self.crc.as_ref().and_then(chunk_bytes).filter(|length| *length > 15) {
            self.crc = Some(seal::crc(length, &self.data).into());
        }
        self.digest = self.digest.as_ref().map(|_| seal::digest(&self.data).into());
    }

    fn read(&self, table: &Table) -> Result<Content, String> {
        let (content, read) = drain(&mut self.open(table)?);
        read.map(|()| content).map_err(|error| error.to_string())
    }

    fn open(&self, table: &Table) -> Result<SsTableReader, String> {
        let files = SsTableFiles {
            name: self.name.clone(),
            data: Box::new(self.data.clone()),
            statistics: self.statistics.clone(),
            compression_info: self.info.clone(),
            crc: self.crc.clone(),
            digest: self.digest.clone(),
            toc: self.toc.clone(),
        };
        SsTableReader::open(files, table.fixture.schema.clone(), OPTIONS).map_err(|error| error.to_string())
    }
}

pub(crate) fn name_seeds() -> Vec<Vec<u8>> {
    let seed = |table: &Table| {
        let name = format!("{}-Data.db\n", table.fixture.name);
        [name.as_bytes(), &table.component("TOC.txt")].concat()
    };
    tables::all().iter().map(seed).collect()
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let seed = |(number, table): (u8, &Table)| {
        let piece = |(component, bit)| match table.fixture.component(component) {
            Some(bytes) => (0, framed(&bytes)),
            None => (bit, framed(&[])),
        };
        let (missing, pieces): (Vec<u8>, Vec<Vec<u8>>) = COMPONENTS.into_iter().map(piece).unzip();
        let head = [number, missing.iter().sum()];
        let statistics = framed(&table.component("Statistics.db"));
        [&head[..], &statistics, &pieces.concat(), &table.component("Data.db")].concat()
    };
    (0..).zip(tables::all()).map(seed).collect()
}
