//! Composite values as Arrow lists and structs, and back.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, ListArray, StructArray};
use arrow_buffer::{NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::FieldRef;
use bytes::Bytes;

use super::{
    composite::{ListForm, StructForm},
    physical::Physical,
    values::{Flat, ValueBuilder, place},
};

/// Builds lists over an array of elements that is built beside it.
pub(super) struct Lists {
    ends: Vec<i32>,
    length: i32,
    present: NullBufferBuilder,
}

impl Lists {
    pub(super) fn new() -> Self {
        Self { ends: vec![0], length: 0, present: NullBufferBuilder::new(0) }
    }

    /// An element more in the list that ends next.
    pub(super) fn element(&mut self) {
        self.length += 1;
    }

    /// Ends a list; one that is not present has no elements.
    pub(super) fn end(&mut self, present: bool) {
        self.ends.push(self.length);
        self.present.append(present);
    }

    pub(super) fn finish(&mut self, element: FieldRef, elements: ArrayRef) -> ArrayRef {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        self.length = 0;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        Arc::new(ListArray::new(element, offsets, elements, self.present.finish()))
    }
}

/// Builds the list of a collection.
pub(super) struct ListBuilder {
    form: Arc<ListForm>,
    lists: Lists,
    elements: ValueBuilder,
}

impl ListBuilder {
    pub(super) fn new(form: &Arc<ListForm>) -> Self {
        Self { form: form.clone(), lists: Lists::new(), elements: ValueBuilder::new(&form.element) }
    }

    /// Appends a value that the form holds, or null.
    pub(super) fn append(&mut self, bytes: Option<&[u8]>) {
        self.form.each(bytes.unwrap_or_default(), |element| {
            self.elements.append(element);
            self.lists.element();
            true
        });
        self.lists.end(bytes.is_some());
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        self.lists.finish(self.form.element_field(), self.elements.finish())
    }
}

/// Builds the struct of a tuple, a user-defined type or a decimal.
pub(super) struct StructBuilder {
    form: Arc<StructForm>,
    present: NullBufferBuilder,
    members: Vec<ValueBuilder>,
}

impl StructBuilder {
    pub(super) fn new(form: &Arc<StructForm>) -> Self {
        let members = form.members.iter().map(|(_, member)| ValueBuilder::new(member)).collect();
        Self { form: form.clone(), present: NullBufferBuilder::new(0), members }
    }

    /// Appends a value that the form holds, or null.
    pub(super) fn append(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.members.iter_mut().for_each(|member| member.append(None)),
            Some(bytes) => {
                self.form.each(bytes, |i, part| {
                    self.members[i].append(part);
                    true
                });
            }
        }
        self.present.append(bytes.is_some());
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        let members = self.members.iter_mut().map(ValueBuilder::finish).collect();
        Arc::new(StructArray::new(self.form.fields(), members, self.present.finish()))
    }
}

/// An array read back as CQL bytes.
pub(super) enum Values {
    Flat(Flat),
    List { offsets: OffsetBuffer<i32>, nulls: Option<NullBuffer>, elements: Box<Values>, pairs: bool },
    Struct { nulls: Option<NullBuffer>, members: Vec<Values>, cut: bool },
}

impl Values {
    /// The values of `array`, which was built from this typed form; `None` where its type is another, or a part that every
    /// value has is null.
    pub(super) fn of(array: &dyn Array, physical: &Physical) -> Option<Self> {
        match physical {
            Physical::List(form) => Self::list(array.as_any().downcast_ref()?, form),
            Physical::Struct(form) => Self::parts(array.as_any().downcast_ref()?, form),
            flat => Flat::of(array, flat).map(Self::Flat),
        }
    }

    fn list(array: &ListArray, form: &ListForm) -> Option<Self> {
        let elements = array.values();
        if form.pairs && elements.null_count() > 0 {
            return None;
        }
        let elements = Box::new(Self::of(elements, &form.element)?);
        Some(Self::List {
            offsets: array.offsets().clone(),
            nulls: array.nulls().cloned(),
            elements,
            pairs: form.pairs,
        })
    }

    /// A user-defined type may have got further fields since the array was written: its values then end before them.
    fn parts(array: &StructArray, form: &StructForm) -> Option<Self> {
        let (found, cut) = (array.columns().len(), form.cut.is_some());
        if found > form.members.len() || cut && found < form.members.len() {
            return None;
        }
        let everywhere = |part: &ArrayRef| match (array.nulls(), part.nulls()) {
            (_, None) => true,
            (None, Some(part)) => part.null_count() == 0,
            (Some(all), Some(part)) => all.contains(part),
        };
        if cut && !array.columns().iter().all(everywhere) {
            return None;
        }
        let members = array.columns().iter().zip(&form.members).map(|(part, (_, member))| Self::of(part, member));
        Some(Self::Struct { nulls: array.nulls().cloned(), members: members.collect::<Option<_>>()?, cut })
    }

    /// The value of a row, `None` where it is null. The row must be within the array.
    pub(super) fn get(&self, row: usize) -> Option<Bytes> {
        if let Self::Flat(flat) = self {
            return flat.get(row);
        }
        let mut bytes = Vec::new();
        self.put(row, &mut bytes).then(|| bytes.into())
    }

    /// Appends the value of a row; false, and nothing appended, where it is null.
    fn put(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let is_null = |nulls: &Option<NullBuffer>| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        match self {
            Self::Flat(flat) => flat.slice(row).map(|value| out.extend_from_slice(value)).is_some(),
            Self::List { nulls, .. } | Self::Struct { nulls, .. } if is_null(nulls) => false,
            Self::List { offsets, elements, pairs, .. } => {
                let elements_of_row = place(offsets[row])..place(offsets[row + 1]);
                out.extend_from_slice(&length(elements_of_row.len()));
                elements_of_row.for_each(|element| elements.put_part(element, *pairs, out));
                true
            }
            Self::Struct { members, cut, .. } => {
                members.iter().for_each(|member| member.put_part(row, *cut, out));
                true
            }
        }
    }

    /// Appends the value of a row, behind its length unless it is `bare`.
    fn put_part(&self, row: usize, bare: bool, out: &mut Vec<u8>) {
        if bare {
            self.put(row, out);
            return;
        }
        let start = out.len();
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        if self.put(row, out) {
            let value = length(out.len() - start - 4);
            out[start..start + 4].copy_from_slice(&value);
        }
    }
}

/// A length or count as Cassandra writes it. Arrow's arrays hold less than 2 GiB, and so do the values in them.
fn length(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, Int64Array};
    use arrow_schema::{DataType, Field, Fields};
    use tidemark_cassandra_format::types::CqlType;

    use super::*;

    /// Arrays of decimals: scale and integer of each.
    fn decimals(parts: Vec<(Option<i32>, Option<i64>)>, nulls: Option<Vec<bool>>) -> StructArray {
        let (scales, integers): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let fields = [("scale", DataType::Int32), ("unscaled", DataType::Int64)];
        let fields: Fields = fields.into_iter().map(|(name, of)| Field::new(name, of, true)).collect();
        let arrays: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(scales)), Arc::new(Int64Array::from(integers))];
        StructArray::new(fields, arrays, nulls.map(NullBuffer::from))
    }

    #[test]
    fn a_part_that_every_value_has_is_never_null() {
        let decimal = Physical::of(&CqlType::Decimal, 2);
        let (whole, none) = ((Some(2), Some(-129)), (None, None));
        let values = Values::of(&decimals(vec![whole, none], Some(vec![true, false])), &decimal).unwrap();
        assert_eq!(values.get(0).as_deref(), Some(&[0, 0, 0, 2, 0xff, 0x7f][..]));
        assert_eq!(values.get(1), None);
        for damaged in [(None, Some(1)), (Some(1), None)] {
            assert!(Values::of(&decimals(vec![whole, damaged], None), &decimal).is_none());
            assert!(Values::of(&decimals(vec![whole, damaged], Some(vec![false, true])), &decimal).is_none());
        }
    }

    #[test]
    fn an_entry_of_a_map_is_never_null() {
        let (key, value) = (Box::new(CqlType::Int), Box::new(CqlType::Int));
        let map = Physical::of(&CqlType::Map { key, value, frozen: true }, 2);
        let Physical::List(form) = &map else { panic!("{map:?}") };
        let mut builder = ListBuilder::new(form);
        builder.append(Some(b"\0\0\0\x01\0\0\0\x04\0\0\0\x05\xff\xff\xff\xff"));
        let array = builder.finish();
        let list: &ListArray = array.as_any().downcast_ref().unwrap();
        assert!(Values::of(list, &map).is_some());
        let (element, offsets, entries, nulls) = list.clone().into_parts();
        let entries: &StructArray = entries.as_any().downcast_ref().unwrap();
        let (fields, members, _) = entries.clone().into_parts();
        let entries = StructArray::new(fields, members, Some(NullBuffer::from(vec![false])));
        let damaged = ListArray::new(element, offsets, Arc::new(entries), nulls);
        assert!(Values::of(&damaged, &map).is_none());
    }
}
