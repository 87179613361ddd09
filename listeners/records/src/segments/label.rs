//! What a segment says about itself in the file's key-value metadata, and how all segments are written.

use parquet::{
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
    },
};

/// Key of the format number.
pub(super) const FORMAT_KEY: &str = "tidemark.format";
/// Key of the source's kind.
pub(super) const KIND_KEY: &str = "tidemark.kind";
/// Key of the object's name.
const OBJECT_KEY: &str = "tidemark.object";
/// Key of the schema.
const SCHEMA_KEY: &str = "tidemark.schema";

/// Levels above 3 win 2 % for several times the CPU.
const ZSTD_LEVEL: i32 = 3;

/// What a segment says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// Number of its format, from 1, of its kind's own.
    pub format: u32,
    /// The kind of source that understands it.
    pub kind: &'a str,
    /// The object's name.
    pub object: &'a str,
    /// Its columns, as JSON of the kind's own shape, for people and other programs: no reader of ours needs it.
    pub schema: &'a str,
}

impl Label<'_> {
    /// What segments are written with, the label in it: zstd 3, no dictionaries, statistics or offset index unless the source
    /// turns them on by column, and row groups that only the cutter ends.
    ///
    /// # Errors
    /// None that this build knows of: Parquet refuses levels that zstd has not.
    pub fn properties(&self) -> Result<WriterPropertiesBuilder, ParquetError> {
        Ok(WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_created_by(format!("tidemark {}", env!("CARGO_PKG_VERSION")))
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true)
            .set_max_row_group_row_count(None)
            .set_key_value_metadata(Some(self.metadata())))
    }

    fn metadata(&self) -> Vec<KeyValue> {
        let format = self.format.to_string();
        let pairs =
            [(FORMAT_KEY, &*format), (KIND_KEY, self.kind), (OBJECT_KEY, self.object), (SCHEMA_KEY, self.schema)];
        pairs.map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned())).into()
    }
}
