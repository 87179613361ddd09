//! Several index objects, and what was recorded, as one object.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use object_store::{ObjectStore, path::Path};
use tidemark_gateway::{Env, upload::UploadOptions};

use super::{FlushError, IndexObject, IndexRecord, layout::Row, recent::Recent, writer::IndexWriter};
use crate::{
    ChunkId,
    keys::Issued,
    pack::{Entry, Error, PackRecord},
};

/// Objects beside each other are merged once there are more than so many.
const MOST_OBJECTS: usize = 8;

/// Which of the objects with so many chunks to merge into one: the smallest, and with them each that is not more than twice as
/// large as those before it together. So each chunk is written anew a number of times that grows with the logarithm of their
/// number. `None` where there are at most 8 objects.
pub fn tier(chunks: &[u64]) -> Option<Vec<usize>> {
    if chunks.len() <= MOST_OBJECTS {
        return None;
    }
    let mut order: Vec<_> = (0..chunks.len()).collect();
    order.sort_by_key(|at| chunks[*at]);
    let mut sum = chunks[order[0]] + chunks[order[1]];
    let more = order[2..].iter().take_while(|at| {
        let joins = chunks[**at] <= sum.saturating_mul(2);
        sum = sum.saturating_add(chunks[**at]);
        joins
    });
    let which = 2 + more.count();
    order.truncate(which);
    order.sort_unstable();
    Some(order)
}

/// Rows in order, of packs with numbers of their own.
pub(super) struct Source {
    packs: Vec<Arc<PackRecord>>,
    rows: VecDeque<Row>,
    chunks: u64,
    rest: Option<(Arc<IndexObject>, u64)>,
}

impl Source {
    pub(super) fn of_recent(recent: &Recent) -> Self {
        let rows: VecDeque<_> = recent.rows().map(|(pack, entry)| Row { pack, entry }).collect();
        Self { packs: recent.packs().to_vec(), chunks: rows.len() as u64, rows, rest: None }
    }

    pub(super) async fn of_object(object: Arc<IndexObject>) -> Result<Self, Error> {
        let mut packs = Vec::with_capacity(object.packs() as usize);
        for number in 0..object.packs() {
            packs.push(Arc::new(object.pack(number).await?));
        }
        Ok(Self { packs, rows: VecDeque::new(), chunks: object.chunks(), rest: Some((object, 0)) })
    }

    /// Makes the next row be at hand, where there is one.
    async fn fill(&mut self) -> Result<(), Error> {
        while let Some((object, group)) = self.rest.as_mut().filter(|_| self.rows.is_empty()) {
            if *group == object.groups() {
                self.rest = None;
                break;
            }
            self.rows = object.rows(*group).await?.into();
            *group += 1;
        }
        Ok(())
    }
}

/// The packs of all sources, each once, and for each source the number that each of its packs has among them.
struct Table {
    packs: Vec<Arc<PackRecord>>,
    numbers: Vec<Vec<Option<u32>>>,
}

impl Table {
    fn of(sources: &[Source], keep: impl Fn(&Path) -> bool) -> Self {
        let (mut packs, mut known) = (Vec::new(), HashMap::new());
        let mut number = |record: &Arc<PackRecord>| {
            let next = u32::try_from(packs.len()).ok()?;
            let number = *known.entry(record.path.clone()).or_insert(next);
            if number == next {
                packs.push(Arc::clone(record));
            }
            Some(number)
        };
        let mut numbers = Vec::with_capacity(sources.len());
        for source in sources {
            let of = source.packs.iter().map(|record| if keep(&record.path) { number(record) } else { None });
            numbers.push(of.collect());
        }
        Self { packs, numbers }
    }

    fn number(&self, source: usize, pack: u32) -> Option<u32> {
        self.numbers.get(source)?.get(pack as usize).copied().flatten()
    }
}

/// Writes all rows of the sources, each once, but for those of packs that `keep` does not want.
pub(super) async fn merge(
    store: &Arc<dyn ObjectStore>,
    env: &Env,
    issued: Issued,
    options: &UploadOptions,
    mut sources: Vec<Source>,
    keep: impl Fn(&Path) -> bool,
) -> Result<IndexRecord, FlushError> {
    let table = Table::of(&sources, keep);
    let chunks = sources.iter().map(|source| source.chunks).sum();
    let mut writer = IndexWriter::start(store, env, issued, chunks, options)?;
    while let Some((id, mut rows)) = next(&mut sources, &table).await? {
        rows.sort_unstable_by_key(|row| (row.pack, row.entry.offset));
        rows.dedup();
        debug_assert!(rows.iter().all(|row| row.entry.id == id));
        for row in rows {
            writer.push(&row).await?;
        }
    }
    writer.finish(&table.packs).await
}

/// The rows of the least id, with the numbers of their packs in the table.
async fn next(sources: &mut [Source], table: &Table) -> Result<Option<(ChunkId, Vec<Row>)>, Error> {
    for source in &mut *sources {
        source.fill().await?;
    }
    let Some(id) = sources.iter().filter_map(|source| Some(source.rows.front()?.entry.id)).min() else {
        return Ok(None);
    };
    let mut rows = Vec::new();
    for (number, source) in sources.iter_mut().enumerate() {
        let renumber = |pack, entry: Entry| Some(Row { pack: table.number(number, pack)?, entry });
        // The rows of an id never go over the end of a group.
        while let Some(row) = source.rows.pop_front_if(|row| row.entry.id == id) {
            rows.extend(renumber(row.pack, row.entry));
        }
    }
    Ok(Some((id, rows)))
}
