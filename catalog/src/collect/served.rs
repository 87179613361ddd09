//! Which versions need an object.

use jiff::Timestamp;

use super::reading::Fate;
use crate::ids::VersionId;

/// Which versions need an object. Versions are by their place in [`Reading::versions`](super::reading::Reading::versions).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    /// The object it is of, by its number.
    pub(super) object: Option<u32>,
    /// How many plain versions need it, and the first of them.
    pub(super) plain: u32,
    pub(super) first: u32,
    /// The expired version that can be collected last, the first of several.
    pub(super) expired: Option<u32>,
    /// The first pinned version.
    pub(super) pinned: Option<u32>,
    /// The first version that is gone.
    pub(super) gone: Option<u32>,
    /// How many versions need it that are not gone, and the last of them.
    pub(super) holders: u32,
    pub(super) holder: u32,
    /// A version needs it that is not among those of which is asked what deleting them frees.
    pub(super) outside: bool,
}

/// A version that needs something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot {
    pub(super) place: u32,
    pub(super) fate: Fate,
    /// It is not among those of which is asked what deleting them frees.
    pub(super) outside: bool,
}

impl From<Lot> for Served {
    fn from(Lot { place, fate, outside }: Lot) -> Self {
        let is_needed = fate != Fate::Gone;
        Self {
            object: None,
            plain: u32::from(fate == Fate::Plain),
            first: place,
            expired: matches!(fate, Fate::Expired(_)).then_some(place),
            pinned: (fate == Fate::Pinned).then_some(place),
            gone: (!is_needed).then_some(place),
            holders: u32::from(is_needed),
            holder: place,
            outside: outside && is_needed,
        }
    }
}

impl Served {
    /// What is so by the one or the other; no version may be in both. In whatever order many are joined, the same comes of it.
    pub(super) fn join(self, other: Self, versions: &[(VersionId, Fate)]) -> Self {
        let first = match (self.plain, other.plain) {
            (0, _) => other.first,
            (_, 0) => self.first,
            _ => self.first.min(other.first),
        };
        let holder = match (self.holders, other.holders) {
            (0, _) => other.holder,
            (_, 0) => self.holder,
            _ => self.holder.max(other.holder),
        };
        Self {
            object: self.object.or(other.object),
            plain: self.plain + other.plain,
            first,
            expired: either(self.expired, other.expired, |a, b| later(versions, a, b)),
            pinned: either(self.pinned, other.pinned, u32::min),
            gone: either(self.gone, other.gone, u32::min),
            holders: self.holders + other.holders,
            holder,
            outside: self.outside || other.outside,
        }
    }
}

fn either(a: Option<u32>, b: Option<u32>, both: impl Fn(u32, u32) -> u32) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

/// Of two expired versions the one that can be collected last; of equals the first.
fn later(versions: &[(VersionId, Fate)], a: u32, b: u32) -> u32 {
    let when = |place: u32| match versions.get(place as usize) {
        Some((_, Fate::Expired(Some(after)))) => *after,
        _ => Timestamp::MAX,
    };
    let (first, second) = (a.min(b), a.max(b));
    if when(second) > when(first) { second } else { first }
}
