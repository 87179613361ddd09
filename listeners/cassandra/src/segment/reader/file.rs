//! A file's own metadata: its format, its row groups and where they lie. Nothing of it is taken on trust.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow_schema::ArrowError;
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    file::metadata::RowGroupMetaData,
};

use super::ReadError;
use crate::segment::{
    SEGMENT_FORMAT,
    describe::{FORMAT_KEY, KIND, KIND_KEY},
    fetch::{Fetch, Window},
    layout::Layout,
};

/// Bytes fetched from the end of a file in the hope that its footer is among them.
const FOOTER_BYTES: u64 = 64 << 10;

/// Decoded bytes of a batch, about.
const BATCH_BYTES: u64 = 1 << 20;

/// A row group of several records that is larger was not written by us.
const MAX_ROW_GROUP_BYTES: u64 = 256 << 20;

/// Runs the Parquet decoder, which may panic on bytes that no writer made.
pub(super) fn guarded<T>(file: &str, decode: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ReadError> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(decoded) => decoded.map_err(|source| ReadError::Decode { file: file.to_owned(), source }),
        Err(_) => Err(ReadError::Panicked { file: file.to_owned() }),
    }
}

/// The footer of a file.
pub(super) fn load(source: &Arc<dyn Fetch>, file: &str) -> Result<ArrowReaderMetadata, ReadError> {
    let length = source.size().min(FOOTER_BYTES);
    let start = source.size() - length;
    let window = Window::open(source.clone(), start, usize::try_from(length).unwrap_or(0))
        .map_err(|source| ReadError::Fetch { file: file.to_owned(), source })?;
    // The Arrow schema that other writers embed is not trusted; Parquet's own types say everything.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    guarded(file, || ArrowReaderMetadata::load(&window, options).map_err(ArrowError::from))
}

/// The layout in the format of the file.
pub(super) fn layout(
    metadata: &ArrowReaderMetadata,
    asked: &Arc<Layout>,
    file: &str,
) -> Result<Arc<Layout>, ReadError> {
    let values = metadata.metadata().file_metadata().key_value_metadata();
    let value = |key: &str| {
        let found = values.into_iter().flatten().find(|pair| pair.key == key);
        found.and_then(|pair| pair.value.as_deref()).unwrap_or("none").chars().take(80).collect::<String>()
    };
    let (format, kind) = (value(FORMAT_KEY), value(KIND_KEY));
    let layout = format.parse().ok().and_then(|format| asked.of_format(format)).filter(|_| kind == KIND);
    layout.ok_or_else(|| {
        let reason = format!("its format is {format} of {kind}; this build reads 1 to {SEGMENT_FORMAT} of {KIND}");
        ReadError::NotASegment { file: file.to_owned(), reason }
    })
}

/// Where the column chunks of a row group lie in a file of `size` bytes: offset and length.
pub(super) fn extent(index: usize, group: &RowGroupMetaData, size: u64) -> Result<(u64, usize), String> {
    let refuse = |what: &str| format!("row group {index} {what}");
    let (mut start, mut end) = (u64::MAX, 0);
    for column in group.columns() {
        let first = column.dictionary_page_offset().unwrap_or(i64::MAX).min(column.data_page_offset());
        let first = u64::try_from(first).map_err(|_| refuse("has a negative offset"))?;
        let length = u64::try_from(column.compressed_size()).map_err(|_| refuse("has a negative length"))?;
        start = start.min(first);
        end = end.max(first.saturating_add(length));
    }
    if start > end || end > size {
        return Err(refuse("lies outside of the file"));
    }
    if end - start > MAX_ROW_GROUP_BYTES && group.num_rows() > 1 {
        return Err(refuse("is larger than any that is written"));
    }
    Ok((start, usize::try_from(end - start).map_err(|_| refuse("is too large"))?))
}

/// Records of a batch of about [`BATCH_BYTES`].
pub(super) fn batch_records(group: &RowGroupMetaData) -> usize {
    let rows = u64::try_from(group.num_rows()).unwrap_or(0);
    let bytes = u64::try_from(group.total_byte_size()).unwrap_or(0).max(1);
    usize::try_from(rows.saturating_mul(BATCH_BYTES) / bytes).unwrap_or(usize::MAX).clamp(16, 4096)
}
