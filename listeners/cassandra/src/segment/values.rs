//! Values as Arrow arrays: building typed arrays with their raw fallback, and reading them back as CQL bytes.

use std::{ops::Range, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
    builder::{
        BinaryBuilder, BooleanBuilder, Date32Builder, Float32Builder, Float64Builder, Int8Builder, Int16Builder,
        Int32Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
    },
};
use arrow_buffer::{Buffer, MutableBuffer, NullBuffer, NullBufferBuilder, OffsetBuffer};
use bytes::Bytes;

use super::{
    nested::{ListBuilder, StructBuilder},
    physical::{Physical, be, date_bytes, days, varint, varint_length},
};

/// Builds the typed array of one column.
pub(super) enum ValueBuilder {
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Boolean(BooleanBuilder),
    Text(StringBuilder),
    Uuid(UuidBuilder),
    Timestamp(TimestampMillisecondBuilder),
    Date(Date32Builder),
    VarInt(Int64Builder),
    List(Box<ListBuilder>),
    Struct(StructBuilder),
    Binary(BinaryBuilder),
}

impl ValueBuilder {
    pub(super) fn new(physical: &Physical) -> Self {
        match physical {
            Physical::Int8 => Self::Int8(Int8Builder::new()),
            Physical::Int16 => Self::Int16(Int16Builder::new()),
            Physical::Int32 => Self::Int32(Int32Builder::new()),
            Physical::Int64 => Self::Int64(Int64Builder::new()),
            Physical::Float32 => Self::Float32(Float32Builder::new()),
            Physical::Float64 => Self::Float64(Float64Builder::new()),
            Physical::Boolean => Self::Boolean(BooleanBuilder::new()),
            Physical::Text => Self::Text(StringBuilder::new()),
            Physical::Uuid => Self::Uuid(UuidBuilder::default()),
            Physical::Timestamp => Self::Timestamp(TimestampMillisecondBuilder::new().with_timezone("UTC")),
            Physical::Date => Self::Date(Date32Builder::new()),
            Physical::VarInt => Self::VarInt(Int64Builder::new()),
            Physical::List(form) => Self::List(Box::new(ListBuilder::new(form))),
            Physical::Struct(form) => Self::Struct(StructBuilder::new(form)),
            Physical::Binary => Self::Binary(BinaryBuilder::new()),
        }
    }

    /// Appends a value that the column's [`Physical`] holds, or null.
    pub(super) fn append(&mut self, bytes: Option<&[u8]>) {
        match self {
            Self::Int8(b) => b.append_option(bytes.and_then(be).map(i8::from_be_bytes)),
            Self::Int16(b) => b.append_option(bytes.and_then(be).map(i16::from_be_bytes)),
            Self::Int32(b) => b.append_option(bytes.and_then(be).map(i32::from_be_bytes)),
            Self::Int64(b) => b.append_option(bytes.and_then(be).map(i64::from_be_bytes)),
            Self::Float32(b) => b.append_option(bytes.and_then(be).map(f32::from_be_bytes)),
            Self::Float64(b) => b.append_option(bytes.and_then(be).map(f64::from_be_bytes)),
            Self::Boolean(b) => b.append_option(bytes.map(|bytes| bytes == [1])),
            Self::Text(b) => b.append_option(bytes.and_then(|bytes| std::str::from_utf8(bytes).ok())),
            Self::Uuid(b) => b.append(bytes.and_then(be)),
            Self::Timestamp(b) => b.append_option(bytes.and_then(be).map(i64::from_be_bytes)),
            Self::Date(b) => b.append_option(bytes.and_then(days)),
            Self::VarInt(b) => b.append_option(bytes.and_then(varint)),
            Self::List(b) => b.append(bytes),
            Self::Struct(b) => b.append(bytes),
            Self::Binary(b) => b.append_option(bytes),
        }
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Int8(b) => Arc::new(b.finish()),
            Self::Int16(b) => Arc::new(b.finish()),
            Self::Int32(b) => Arc::new(b.finish()),
            Self::Int64(b) => Arc::new(b.finish()),
            Self::Float32(b) => Arc::new(b.finish()),
            Self::Float64(b) => Arc::new(b.finish()),
            Self::Boolean(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Uuid(b) => b.finish(),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::VarInt(b) => Arc::new(b.finish()),
            Self::List(b) => b.finish(),
            Self::Struct(b) => b.finish(),
            Self::Binary(b) => Arc::new(b.finish()),
        }
    }
}

/// Arrow's own builder of fixed-size values answers a wrong length with an error; here the length is in the type.
pub(super) struct UuidBuilder {
    values: MutableBuffer,
    nulls: NullBufferBuilder,
}

impl Default for UuidBuilder {
    fn default() -> Self {
        Self { values: MutableBuffer::new(0), nulls: NullBufferBuilder::new(0) }
    }
}

impl UuidBuilder {
    fn append(&mut self, uuid: Option<[u8; 16]>) {
        self.values.extend_from_slice(&uuid.unwrap_or_default());
        self.nulls.append(uuid.is_some());
    }

    fn finish(&mut self) -> ArrayRef {
        let values = Buffer::from(std::mem::replace(&mut self.values, MutableBuffer::new(0)));
        Arc::new(FixedSizeBinaryArray::new(16, values, self.nulls.finish()))
    }
}

/// Builds a typed array and the array of raw bytes beside it: per row at most one of the two is set.
pub(super) struct TypedBuilder {
    physical: Physical,
    values: ValueBuilder,
    raw: BinaryBuilder,
}

impl TypedBuilder {
    pub(super) fn new(physical: &Physical) -> Self {
        Self { physical: physical.clone(), values: ValueBuilder::new(physical), raw: BinaryBuilder::new() }
    }

    /// Appends a value; true where it went into the typed array.
    pub(super) fn append(&mut self, bytes: &[u8]) -> bool {
        let typed = self.physical.holds(bytes);
        self.values.append(typed.then_some(bytes));
        self.raw.append_option((!typed).then_some(bytes));
        typed
    }

    /// Appends a value as raw bytes whatever its type.
    pub(super) fn append_raw(&mut self, bytes: &[u8]) {
        self.values.append(None);
        self.raw.append_value(bytes);
    }

    /// Appends null to both.
    pub(super) fn append_null(&mut self) {
        self.values.append(None);
        self.raw.append_null();
    }

    /// Typed and raw array of what was appended since the last call.
    pub(super) fn finish(&mut self) -> (ArrayRef, ArrayRef) {
        (self.values.finish(), Arc::new(self.raw.finish()))
    }
}

/// Builds a typed array without a raw one, for values that are known to be held.
pub(super) struct HeldBuilder {
    physical: Physical,
    values: ValueBuilder,
}

impl HeldBuilder {
    pub(super) fn new(physical: &Physical) -> Self {
        Self { physical: physical.clone(), values: ValueBuilder::new(physical) }
    }

    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        self.physical.holds(bytes)
    }

    pub(super) fn append(&mut self, bytes: Option<&[u8]>) {
        self.values.append(bytes);
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        self.values.finish()
    }
}

/// An array of plain values read back as CQL bytes: one buffer for the whole batch, of which values are slices.
pub(super) struct Flat {
    data: Bytes,
    ends: Ends,
    nulls: Option<NullBuffer>,
}

enum Ends {
    Fixed(usize),
    Offsets(OffsetBuffer<i32>),
}

/// An arrow buffer that `Bytes` can own.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

macro_rules! fixed {
    ($array:expr, $of:ty, $width:expr, $bytes:expr) => {{
        let array = $array.downcast_ref::<$of>()?;
        let data: Vec<u8> = array.values().iter().flat_map($bytes).collect();
        (Bytes::from(data), Ends::Fixed($width))
    }};
}

impl Flat {
    /// The values of `array`, which was built from this typed form; `None` where its type is another, or is composite.
    pub(super) fn of(array: &dyn Array, physical: &Physical) -> Option<Self> {
        let any = array.as_any();
        let (data, ends) = match physical {
            Physical::Int8 => fixed!(any, Int8Array, 1, |v| v.to_be_bytes()),
            Physical::Int16 => fixed!(any, Int16Array, 2, |v| v.to_be_bytes()),
            Physical::Int32 => fixed!(any, Int32Array, 4, |v| v.to_be_bytes()),
            Physical::Int64 => fixed!(any, Int64Array, 8, |v| v.to_be_bytes()),
            Physical::Float32 => fixed!(any, Float32Array, 4, |v| v.to_be_bytes()),
            Physical::Float64 => fixed!(any, Float64Array, 8, |v| v.to_be_bytes()),
            Physical::Boolean => fixed!(any, BooleanArray, 1, |v| [u8::from(v)]),
            Physical::Timestamp => fixed!(any, TimestampMillisecondArray, 8, |v| v.to_be_bytes()),
            Physical::Date => fixed!(any, Date32Array, 4, |v| date_bytes(*v)),
            Physical::Uuid => {
                let array = any.downcast_ref::<FixedSizeBinaryArray>().filter(|a| a.value_length() == 16)?;
                (Bytes::copy_from_slice(array.value_data()), Ends::Fixed(16))
            }
            Physical::VarInt => varints(any.downcast_ref()?),
            Physical::List(_) | Physical::Struct(_) => return None,
            Physical::Text => {
                let array = any.downcast_ref::<StringArray>()?;
                (Bytes::from_owner(Shared(array.values().clone())), Ends::Offsets(array.offsets().clone()))
            }
            Physical::Binary => {
                let array = any.downcast_ref::<BinaryArray>()?;
                (Bytes::from_owner(Shared(array.values().clone())), Ends::Offsets(array.offsets().clone()))
            }
        };
        Some(Self { data, ends, nulls: array.logical_nulls() })
    }

    /// The value of a row, `None` where it is null. The row must be within the array.
    pub(super) fn get(&self, row: usize) -> Option<Bytes> {
        self.range(row).map(|range| self.data.slice(range))
    }

    /// As [`Self::get`], borrowed.
    pub(super) fn slice(&self, row: usize) -> Option<&[u8]> {
        self.range(row).map(|range| &self.data[range])
    }

    fn range(&self, row: usize) -> Option<Range<usize>> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        Some(match &self.ends {
            Ends::Fixed(width) => row * width..(row + 1) * width,
            Ends::Offsets(offsets) => place(offsets[row])..place(offsets[row + 1]),
        })
    }
}

/// Integers, each as short as possible.
fn varints(array: &Int64Array) -> (Bytes, Ends) {
    let mut data = Vec::with_capacity(8 * array.len());
    let lengths = array.values().iter().map(|value| {
        let length = varint_length(*value);
        data.extend_from_slice(&value.to_be_bytes()[8 - length..]);
        length
    });
    let offsets = OffsetBuffer::from_lengths(lengths);
    (data.into(), Ends::Offsets(offsets))
}

/// Offsets of an arrow array are checked to be non-negative and ascending when the array is made.
pub(super) fn place(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or(0)
}
