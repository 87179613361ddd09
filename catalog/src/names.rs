//! New names for the objects of one claim.

use std::sync::atomic::{AtomicU64, Ordering};

use object_store::path::Path;

use crate::{
    ids::{FencingToken, SetId, SourceId},
    layout,
};

/// Gives each object that is written under one claim a name of its own: the claim's token first, then a running number, which
/// all parts of the task that write at the same time draw from.
///
/// There must be one `Names` per claim (share it by `Arc`). A process that starts again needs a new claim; should two ever
/// share a token, their second write of a name is refused by the store and nothing is lost.
#[derive(Debug)]
pub struct Names {
    source: SourceId,
    token: FencingToken,
    next: AtomicU64,
}

impl Names {
    /// Names for what is written of `source` under the claim `token`; numbers start at 0.
    pub fn new(source: SourceId, token: FencingToken) -> Self {
        Self { source, token, next: AtomicU64::new(0) }
    }

    /// The protected system.
    pub fn source(&self) -> &SourceId {
        &self.source
    }

    /// The claim.
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// A new name for a segment.
    pub fn segment(&self) -> Path {
        layout::segment(&self.source, self.token, self.next())
    }

    /// A new name for an object page, entry or range page.
    pub fn page(&self) -> Path {
        layout::page(&self.source, self.token, self.next())
    }

    /// A new name for a work root of a task of `set`; later ones sort after earlier ones.
    pub fn work(&self, set: &SetId) -> Path {
        layout::work_root(&self.source, set, self.token, self.next())
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_never_repeat_across_threads() {
        let names = Names::new("s".parse().unwrap(), FencingToken { generation: 1, revision: 2 });
        let set: SetId = "daily".parse().unwrap();
        let all: Vec<Path> = std::thread::scope(|scope| {
            let give = || (0..100).flat_map(|_| [names.segment(), names.page(), names.work(&set)]).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(give)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 1200);
    }

    #[test]
    fn the_token_of_the_claim_comes_first_in_every_name() {
        let token = FencingToken { generation: 1, revision: 2 };
        let names = Names::new("s".parse().unwrap(), token);
        for (folder, name) in [
            ("sources/s/segments", names.segment()),
            ("sources/s/pages", names.page()),
            ("sources/s/sets/daily/work", names.work(&"daily".parse().unwrap())),
        ] {
            assert!(name.as_ref().starts_with(&format!("{folder}/{token}")), "{name}");
        }
    }

    #[test]
    fn names_of_one_kind_sort_by_age() {
        let names = Names::new("s".parse().unwrap(), FencingToken { generation: 1, revision: 2 });
        let pages: Vec<_> = (0..2000).map(|_| names.page().to_string()).collect();
        assert!(pages.is_sorted() && pages[0] == "sources/s/pages/0000000001-00000000000000000002-0000000000");
    }
}
