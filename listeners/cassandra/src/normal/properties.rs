//! Properties of the normal form over random writes, with a purge that shares no code with the comparison.

use proptest::{collection::vec, prelude::*};
use tidemark_cassandra_format::model::{BoundKind, Deletion, Unfiltered};

use super::*;
use crate::{
    merge::{
        MemoryReader,
        fixtures::{A, Content, Fill, drain, expiring, head, merged, row, rows, schema},
        properties::{Write, deals, hands, writes},
    },
    view,
};

fn of(writes: &[Write]) -> Vec<Content> {
    merged(writes.iter().map(|write| vec![write.content()]))
}

fn normal(content: Vec<Content>, now: u32) -> Vec<Content> {
    drain(&mut NormalReader::new(schema(), MemoryReader::new(content), now)).unwrap()
}

fn differences(left: &[Content], right: &[Content], now: u32) -> Vec<Difference> {
    let (left, right) = (MemoryReader::new(left.to_vec()), MemoryReader::new(right.to_vec()));
    let mut walk = Differences::new(schema(), left, right, now);
    std::iter::from_fn(|| walk.next().unwrap()).collect()
}

fn nows() -> impl Strategy<Value = u32> {
    proptest::sample::select(vec![0, 5, 6, 9])
}

/// What readers see, as text: clustering, marker and cells of each live row.
fn seen(content: &[Content], now: u32) -> Vec<String> {
    let rows = content.iter().flat_map(|(head, rest)| {
        let rest = rest.iter().filter_map(|next| if let Unfiltered::Row(row) = next { Some(row) } else { None });
        head.static_row.iter().chain(rest)
    });
    let live = rows.filter_map(|row| view::live_row(row, now));
    live.map(|live| format!("{:?} {:?} {:?}", live.clustering(), live.liveness(), live.cells().collect::<Vec<_>>()))
        .collect()
}

/// Drops everything dead with a local time before `limit` from a normal form, as a purge would.
fn purge(content: &[Content], now: u32, limit: u32) -> Vec<Content> {
    let old = |deletion: Deletion| deletion.local_time < limit;
    let keep = |deletion: Deletion| if old(deletion) { Deletion::LIVE } else { deletion };
    let mut purged = content.to_vec();
    for (head, rest) in &mut purged {
        head.deletion = keep(head.deletion);
        head.static_row.iter_mut().for_each(|row| purge_row(row, now, limit));
        for next in rest.iter_mut() {
            match next {
                Unfiltered::Row(row) => purge_row(row, now, limit),
                Unfiltered::Marker(marker) => {
                    marker.close = marker.close.filter(|close| !old(*close));
                    marker.open = marker.open.filter(|open| !old(*open));
                    marker.kind = kind_of(marker);
                }
            }
        }
        rest.retain(|next| !matches!(next, Unfiltered::Marker(of) if of.open.is_none() && of.close.is_none()));
    }
    purged
}

fn kind_of(marker: &Marker) -> BoundKind {
    match (marker.close.is_some(), marker.open.is_some(), marker.kind.side().is_lt()) {
        (true, true, _) | (false, false, _) => marker.kind,
        (true, false, true) => BoundKind::ExclEnd,
        (true, false, false) => BoundKind::InclEnd,
        (false, true, true) => BoundKind::InclStart,
        (false, true, false) => BoundKind::ExclStart,
    }
}

fn purge_row(row: &mut Row, now: u32, limit: u32) {
    let dead = |cell: &Cell| matches!(cell.state, CellState::Tombstone { local_time } if local_time < limit);
    if row.deletion.time.local_time < limit {
        row.deletion = Default::default();
    }
    row.liveness = row.liveness.filter(|of| of.expiry.is_none_or(|expiry| expiry.at > now || expiry.at >= limit));
    for (_, data) in &mut row.columns {
        if let ColumnData::Complex { deletion, cells } = data {
            cells.retain(|at| !dead(&at.cell));
            if deletion.local_time < limit {
                *deletion = Deletion::LIVE;
            }
        }
    }
    row.columns.retain(|(_, data)| !matches!(data, ColumnData::Simple(cell) if dead(cell)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_normal_form_of_a_normal_form_is_itself(all in vec(writes(), 0..24), now in nows()) {
        let once = normal(of(&all), now);
        prop_assert_eq!(normal(once.clone(), now), once);
    }

    #[test]
    fn any_split_in_any_order_has_one_normal_form((all, deal) in deals(), now in nows()) {
        let mut parts: Vec<_> = hands(&all, &deal).iter().map(|hand| of(hand)).collect();
        let forth = normal(merged(parts.clone()), now);
        parts.reverse();
        prop_assert_eq!(&normal(merged(parts), now), &forth);
        prop_assert_eq!(&forth, &normal(of(&all), now));
    }

    #[test]
    fn a_stream_equals_its_merge_with_any_part_of_itself((all, deal) in deals(), now in nows()) {
        let whole = of(&all);
        for part in hands(&all, &deal) {
            let again = merged([whole.clone(), of(&part)]);
            prop_assert_eq!(differences(&whole, &again, now), vec![]);
        }
    }

    #[test]
    fn readers_see_the_same_in_the_normal_form(all in vec(writes(), 0..24), now in nows()) {
        let raw = of(&all);
        prop_assert_eq!(seen(&normal(raw.clone(), now), now), seen(&raw, now));
    }

    #[test]
    fn copies_differ_iff_their_normal_forms_do(
        left in vec(writes(), 0..6), right in vec(writes(), 0..6), both in vec(writes(), 0..6), now in nows(),
    ) {
        let (left, right) = (of(&[left, both.clone()].concat()), of(&[right, both].concat()));
        let found = differences(&left, &right, now);
        prop_assert_eq!(found.is_empty(), normal(left.clone(), now) == normal(right.clone(), now));
        let mirrored = differences(&right, &left, now).into_iter();
        let mirrored = mirrored.map(|Difference { token, key, place, left, right }| {
            Difference { token, key, place, left: right, right: left }
        });
        prop_assert_eq!(mirrored.collect::<Vec<_>>(), found);
    }

    #[test]
    fn a_purge_is_allowed_as_far_as_it_goes(all in vec(writes(), 0..24), now in nows(), limit in 0_u32..8) {
        let raw = of(&all);
        let purged = purge(&normal(raw.clone(), now), now, limit);
        for found in differences(&raw, &purged, now) {
            prop_assert!(found.right.is_none(), "a purge adds nothing: {found:?}");
            for before in 0..10 {
                let since = found.left.as_ref().and_then(|atom| atom.dead_since(now)).unwrap();
                let relation = Relation::EqualButForPurgeable { purge_before_seconds: before };
                prop_assert_eq!(relation.allows(&found, now), since < before);
            }
            let relation = Relation::EqualButForPurgeable { purge_before_seconds: limit };
            prop_assert!(relation.allows(&found, now), "{found:?}");
            prop_assert!(!Relation::Equal.allows(&found, now));
        }
    }

    #[test]
    fn without_ties_it_does_not_matter_when_parts_were_compacted((all, deal) in deals(), now in nows()) {
        let all = without_ties(all);
        let compacted = merged(hands(&all, &deal).iter().map(|hand| normal(of(hand), now)));
        prop_assert_eq!(differences(&of(&all), &compacted, now), vec![]);
    }
}

/// The writes without cells that have the place and write time of an earlier one.
fn without_ties(all: Vec<Write>) -> Vec<Write> {
    let mut seen = std::collections::BTreeSet::new();
    let mut first = |write: &Write| match write {
        Write::Cell { place, cell } => seen.insert((*place, cell.ts)),
        _ => true,
    };
    all.into_iter().filter(|write| first(write)).collect()
}

#[test]
fn of_cells_that_tie_the_dead_one_wins_once_a_compaction_has_buried_it() {
    let of = |cell: Cell| vec![(head(0), rows([row(1, 1).cell(A, cell)]))];
    let (sooner, later) = (of(expiring(4, 5, 50, "sooner")), of(expiring(4, 5, 60, "later")));
    assert_eq!(normal(merged([sooner.clone(), later.clone()]), 55), later);
    let buried = normal(sooner, 55);
    assert_eq!(merged([buried.clone(), later]), buried);
}
