//! Times of rows and bounds of markers as arrays.

use std::sync::Arc;

use arrow_array::{
    ArrayRef,
    builder::{BooleanBuilder, Int8Builder, Int32Builder, Int64Builder, UInt32Builder},
};
use tidemark_cassandra_format::model::{Deletion, Marker, Row, RowDeletion};

use crate::segment::cells::{DeletionBuilder, RowTimes};

/// Liveness and deletion of the row.
pub(super) struct RowBuilder {
    ts: Int64Builder,
    ttl: UInt32Builder,
    ldt: UInt32Builder,
    deletion: DeletionBuilder,
    shadowable: BooleanBuilder,
}

impl RowBuilder {
    pub(super) fn new() -> Self {
        Self {
            ts: Int64Builder::new(),
            ttl: UInt32Builder::new(),
            ldt: UInt32Builder::new(),
            deletion: DeletionBuilder::new(),
            shadowable: BooleanBuilder::new(),
        }
    }

    pub(super) fn append(&mut self, row: Option<&Row>, deletion: RowDeletion) {
        let times = RowTimes::of(row.and_then(|row| row.liveness));
        self.ts.append_option(times.ts);
        self.ttl.append_option(times.ttl);
        self.ldt.append_option(times.ldt);
        self.deletion.append(deletion.time);
        self.shadowable.append_option(deletion.shadowable.then_some(true));
    }

    pub(super) fn finish(&mut self, arrays: &mut Vec<ArrayRef>) {
        arrays.push(Arc::new(self.ts.finish()));
        arrays.push(Arc::new(self.ttl.finish()));
        arrays.push(Arc::new(self.ldt.finish()));
        arrays.extend(self.deletion.finish());
        arrays.push(Arc::new(self.shadowable.finish()));
    }
}

/// Kind, prefix length and deletions of markers.
pub(super) struct MarkerBuilder {
    kind: Int8Builder,
    prefix: Int32Builder,
    close: DeletionBuilder,
    open: DeletionBuilder,
}

impl MarkerBuilder {
    pub(super) fn new() -> Self {
        Self {
            kind: Int8Builder::new(),
            prefix: Int32Builder::new(),
            close: DeletionBuilder::new(),
            open: DeletionBuilder::new(),
        }
    }

    pub(super) fn append(&mut self, marker: &Marker) {
        self.kind.append_value((marker.kind as u8).cast_signed());
        // Checked before: not longer than the table's clustering.
        self.prefix.append_value(i32::try_from(marker.prefix.len()).unwrap_or(i32::MAX));
        self.close.append_option(marker.close);
        self.open.append_option(marker.open);
    }

    pub(super) fn append_null(&mut self) {
        self.kind.append_null();
        self.prefix.append_null();
        self.close.append(Deletion::LIVE);
        self.open.append(Deletion::LIVE);
    }

    pub(super) fn finish(&mut self, arrays: &mut Vec<ArrayRef>) {
        arrays.push(Arc::new(self.kind.finish()));
        arrays.push(Arc::new(self.prefix.finish()));
        arrays.extend(self.close.finish());
        arrays.extend(self.open.finish());
    }
}
