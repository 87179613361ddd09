//! Range tombstone markers: what a source has open behind one, and which marker the merge emits.

use tidemark_cassandra_format::model::{BoundKind, Deletion, Marker};

use super::atoms::normal;

/// True iff the marker carries the deletions its kind asks for.
pub(crate) fn is_whole(marker: &Marker) -> bool {
    let (closes, opens) = match marker.kind {
        BoundKind::ExclEnd | BoundKind::InclEnd => (true, false),
        BoundKind::InclStart | BoundKind::ExclStart => (false, true),
        BoundKind::ExclEndInclStart | BoundKind::InclEndExclStart => (true, true),
    };
    marker.close.is_some() == closes && marker.open.is_some() == opens
}

/// What is open behind `marker` where `open` was open before it; `None` if the two do not match.
///
/// The deletion that a marker closes is not compared with the open one: only the open one has an effect.
pub(crate) fn follow(open: Deletion, marker: &Marker) -> Option<Deletion> {
    let matches = marker.close.is_some() != open.is_live();
    matches.then(|| marker.open.map_or(Deletion::LIVE, normal))
}

/// The marker at the position of `at` that changes the merged open deletion from `previous` to `open`; none if it stays.
pub(crate) fn boundary(at: Marker, previous: Deletion, open: Deletion) -> Option<Marker> {
    if previous == open {
        return None;
    }
    let kind = match (previous.is_live(), open.is_live(), at.kind.side().is_lt()) {
        (true, _, true) => BoundKind::InclStart,
        (true, _, false) => BoundKind::ExclStart,
        (_, true, true) => BoundKind::ExclEnd,
        (_, true, false) => BoundKind::InclEnd,
        (_, _, true) => BoundKind::ExclEndInclStart,
        (_, _, false) => BoundKind::InclEndExclStart,
    };
    let present = |deletion: Deletion| (!deletion.is_live()).then_some(deletion);
    Some(Marker { kind, prefix: at.prefix, close: present(previous), open: present(open) })
}
