//! What the target cannot read however small it is.

use std::sync::Arc;

use tidemark_cassandra_format::model::{Clustering, Row};
use tidemark_listener_core::failure::Failure;
use tidemark_records::difference::state::Outcome;

use super::Work;
use crate::restore::undo::{
    compare::Difference,
    fix::Fix,
    scan::PartitionKey,
    spans::{Area, Part, Unit},
};

impl Work<'_> {
    /// Names the unit. The version's row in it, if there is one, is written unseen: what is newer wins over that as over
    /// anything. Its lists cannot be written so.
    pub(super) async fn unread(&self, unit: &Unit, why: &Failure, outcome: &mut Outcome) -> Result<(), Failure> {
        let place = self.place(unit);
        outcome.cannot_read(format!("{place}: {}", why.message));
        let unseen = self.unseen(unit);
        outcome.totals.absent += unseen.len() as u64;
        if !self.keeper.writes() {
            return Ok(());
        }
        if unseen.is_empty() && self.table.remove {
            outcome.differs(place, "it cannot be read: what the version does not have may be there".into());
        }
        let (unseen, withheld): (Vec<_>, Vec<_>) =
            unseen.into_iter().partition(|fix| self.table.may_write(fix.partition.token));
        outcome.totals.withheld += withheld.len() as u64;
        outcome.totals.written += unseen.len() as u64;
        for fix in &unseen {
            let key = self.table.key_text(&fix.partition.values, &fix.clustering);
            outcome.differs(key, "it cannot be read, and was written unseen, without its lists".into());
        }
        let refused = self.apply(&unseen).await?;
        self.refuse(refused, outcome);
        Ok(())
    }

    /// The version's rows of a unit as if the target showed none of them, without lists.
    fn unseen(&self, unit: &Unit) -> Vec<Fix> {
        let rows = unit.parts.iter().flat_map(|part| {
            let rows = part.static_row.iter().map(|row| (row, true)).chain(part.rows.iter().map(|row| (row, false)));
            rows.map(move |(row, is_static)| (part, row, is_static))
        });
        let now = self.table.now();
        let fix = |(part, row, is_static): (&Part, &Row, bool)| {
            let difference = self.table.comparison(0, now, now, false).row(is_static, Some(row), None).ok()?;
            let difference = Difference { lists: Vec::new(), ..difference };
            let partition = PartitionKey { token: part.token, raw: part.raw_key.clone(), values: part.key.clone() };
            let (partition, clustering) = (Arc::new(partition), row.clustering.clone());
            let fix = Fix { partition, clustering, is_static, is_wanted: true, difference, remove: false };
            fix.difference.writes().then_some(fix)
        };
        rows.filter_map(fix).collect()
    }

    /// A unit for people.
    fn place(&self, unit: &Unit) -> String {
        let Some(part) = unit.parts.first() else {
            let Area::Tokens(tokens) = &unit.area else { return String::new() };
            return format!("tokens after {} through {}", tokens.after, tokens.through);
        };
        let key = self.table.key_text(&part.key, &[]);
        let end = |clustering: &Option<Clustering>, open: &str| {
            clustering.as_ref().map_or_else(|| open.to_owned(), |row| self.table.clustering_text(row))
        };
        match &unit.area {
            Area::Tokens(tokens) => format!("tokens after {} through {}", tokens.after, tokens.through),
            Area::Static => format!("the static row of {key}"),
            Area::Row => {
                let row = part.rows.first().map(|row| row.clustering.clone()).unwrap_or_default();
                self.table.key_text(&part.key, &row)
            }
            Area::Slice(slice) => {
                let (after, until) = (end(&slice.after, "its start"), end(&slice.until, "its end"));
                format!("{key}, between {after} and {until}")
            }
        }
    }
}
