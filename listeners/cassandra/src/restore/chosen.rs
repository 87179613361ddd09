//! `--where` and `--columns` in a load or a merge: what is not chosen leaves the pieces, which keep their places.

use tidemark_cassandra_format::model::Row;
use tidemark_catalog::{
    content::SegmentRef,
    entry::{Entry, ObjectLine},
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{check::Line, restorer::Selection};

use crate::{
    consolidate::EntrySchema,
    restore::job::CqlJob,
    restore::pieces::feed::{Piece, has_value},
    restore::select::Selected,
    segment::SegmentKey,
};

/// What a selection chooses of a table.
///
/// # Errors
/// In words, where it does not fit to the table.
pub(in crate::restore) fn of(selection: &Selection, entry: &Entry) -> Result<Selected, String> {
    let layout = EntrySchema::layout(entry).map_err(|e| joined(&e))?;
    Selected::parse(selection, layout.table())
}

/// The line of a plan about a selection that does not fit to a table.
pub(in crate::restore) fn check(job: &CqlJob, line: &ObjectLine, entry: &Entry) -> Option<Line> {
    let hint =
        "conditions are on the columns of the primary key or on token(…), joined by AND; choose tables by --only";
    let why = of(&job.options.selection, entry).err()?;
    Some(Line::fail("where", &line.object.to_string(), why, hint))
}

/// True where the segment may hold chosen partitions.
pub(crate) fn may_hold(selected: &Selected, segment: &SegmentRef) -> bool {
    let [first, last] = [&segment.first, &segment.last].map(SegmentKey::of_stored);
    let tokens = selected.tokens();
    match (first, last) {
        // The range of tokens excludes its start, but that of the whole ring.
        (Some(first), Some(last)) => {
            first.token <= tokens.through && (last.token > tokens.after || tokens.after == i64::MIN)
        }
        _ => true,
    }
}

/// The piece with what is chosen in it.
pub(in crate::restore) fn chosen(mut piece: Piece, selected: &Selected) -> Piece {
    if !selected.takes_partition(piece.token, &piece.key) {
        piece.static_row = None;
        piece.rows.clear();
        return piece;
    }
    let statics = piece.static_row.take().filter(|_| selected.takes_static());
    piece.static_row = statics.map(|row| columns(row, selected, true)).filter(has_value);
    let rows = std::mem::take(&mut piece.rows).into_iter().filter(|row| selected.takes_row(&row.clustering));
    piece.rows = rows.map(|row| columns(row, selected, false)).filter(has_value).collect();
    piece
}

fn columns(mut row: Row, selected: &Selected, is_static: bool) -> Row {
    row.columns.retain(|(index, _)| selected.takes_column(*index, is_static));
    row
}

#[cfg(test)]
mod tests {
    use tidemark_cassandra_format::model::{ColumnData, Unfiltered};
    use tidemark_records::restore::checkpoint::Mark;

    use super::*;
    use crate::restore::{
        pieces::feed::feed,
        samples::{self, MemoryReader, int, live},
    };

    /// Partition, clustering and number of columns of the rows that are chosen.
    fn taken(rows: Option<&str>, names: &[&str]) -> Vec<(Vec<u8>, usize, usize)> {
        let schema = samples::schema();
        let columns = names.iter().map(|name| (*name).to_owned()).collect();
        let selection = Selection { rows: rows.map(str::to_owned), columns };
        let selected = Selected::parse(&selection, &schema).unwrap();
        let row = |ck| Unfiltered::Row(samples::row(ck, None, vec![(0, ColumnData::Simple(live(5, int(1))))]));
        let mut reader = MemoryReader::of(&[(1, (0..3).map(row).collect()), (2, (0..3).map(row).collect())]);
        let mut found = Vec::new();
        feed(&mut reader, &schema, Mark::default(), |piece| {
            let end = piece.end;
            let piece = chosen(piece, &selected);
            assert_eq!(piece.end, end, "a piece keeps its place");
            found.push((piece.key[0].to_vec(), piece.rows.len(), piece.rows.iter().map(|row| row.columns.len()).sum()));
            true
        })
        .unwrap();
        found
    }

    #[test]
    fn what_is_not_chosen_leaves_its_piece() {
        let schema = samples::schema();
        let (key, clustering) = (&schema.partition_key[0].name, &schema.clustering[0].column.name);
        let sizes = |rows: Option<&str>| taken(rows, &[]).into_iter().map(|(_, rows, _)| rows).collect::<Vec<_>>();
        assert_eq!(sizes(None), [3, 3]);
        // Samples have their keys as tokens.
        assert_eq!(sizes(Some(&format!("token({key}) <= 1"))), [3, 0]);
        assert_eq!(sizes(Some(&format!("{clustering} >= 1"))), [2, 2]);
        let other = schema.regulars.iter().map(|column| column.name.as_str()).nth(1).unwrap();
        assert!(taken(None, &[other]).iter().all(|(_, rows, _)| *rows == 0), "rows without a chosen value");
    }
}
