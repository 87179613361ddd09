//! The halving of what the target cannot read at once.

use super::{Area, Part, Slice, Unit};
use crate::restore::select::Tokens;

impl Unit {
    /// The units that this one falls into, in order; none where it cannot be cut any more.
    pub(in crate::restore::undo) fn halved(&self) -> Vec<Unit> {
        match &self.area {
            Area::Tokens(tokens) => self.cut_tokens(*tokens),
            Area::Slice(slice) => self.cut_slice(slice),
            Area::Row | Area::Static => Vec::new(),
        }
    }

    /// Between partitions at the middle of the rows; around a single partition; in the middle of nothing.
    fn cut_tokens(&self, tokens: Tokens) -> Vec<Unit> {
        let Some(last) = self.parts.last() else { return cut_gap(tokens) };
        let half = self.row_count() / 2;
        let mut before = 0;
        let middle = self.parts.iter().position(|part| {
            before += part.rows.len() + usize::from(part.static_row.is_some());
            before >= half && part.token < last.token
        });
        // Where the last partition holds most rows, it is cut off.
        let middle = middle.or_else(|| self.parts.iter().rposition(|part| part.token < last.token));
        let Some(middle) = middle else { return self.around(tokens) };
        let at = self.parts[middle].token;
        let first = self.parts.iter().take_while(|part| part.token <= at).count();
        let (left, right) = self.parts.split_at(first);
        vec![
            range(Tokens { after: tokens.after, through: at }, left.to_vec()),
            range(Tokens { after: at, through: tokens.through }, right.to_vec()),
        ]
    }

    /// Partitions of one token by themselves, and what lies before and after them.
    fn around(&self, tokens: Tokens) -> Vec<Unit> {
        let token = self.parts[0].token;
        let before = Tokens { after: tokens.after, through: token.saturating_sub(1) };
        let after = Tokens { after: token, through: tokens.through };
        let slice = Slice { inclusive: true, with_static: true, ..Slice::default() };
        let whole = |part: &Part| Unit { area: Area::Slice(slice.clone()), parts: vec![part.clone()] };
        let gap = |tokens: Tokens| (!tokens.is_empty()).then(|| range(tokens, Vec::new()));
        gap(before).into_iter().chain(self.parts.iter().map(whole)).chain(gap(after)).collect()
    }

    /// The static row by itself, then between rows at the middle; around a single row.
    fn cut_slice(&self, slice: &Slice) -> Vec<Unit> {
        let part = &self.parts[0];
        if slice.with_static {
            let fixed = Part { rows: Vec::new(), ..part.clone() };
            let rest = Part { static_row: None, ..part.clone() };
            let area = Area::Slice(Slice { with_static: false, ..slice.clone() });
            return vec![Unit { area: Area::Static, parts: vec![fixed] }, Unit { area, parts: vec![rest] }];
        }
        match part.rows.len() {
            0 => Vec::new(),
            // Without clustering columns a partition is its row.
            1 if part.rows[0].clustering.is_empty() => vec![Unit { area: Area::Row, parts: vec![part.clone()] }],
            1 => self.around_row(slice),
            count => {
                let (left, right) = part.rows.split_at(count / 2);
                let at = left.last().map(|row| row.clustering.clone());
                let left_slice = Slice { until: at.clone(), inclusive: true, ..slice.clone() };
                let right_slice = Slice { after: at, ..slice.clone() };
                let unit = |rows: &[_], slice| Unit {
                    area: Area::Slice(slice),
                    parts: vec![Part { rows: rows.to_vec(), ..part.clone() }],
                };
                vec![unit(left, left_slice), unit(right, right_slice)]
            }
        }
    }

    /// One row by its key, and what lies before and after it.
    fn around_row(&self, slice: &Slice) -> Vec<Unit> {
        let part = &self.parts[0];
        let at = Some(part.rows[0].clustering.clone());
        let gap = |slice| Unit { area: Area::Slice(slice), parts: vec![part.empty()] };
        let before = gap(Slice { until: at.clone(), inclusive: false, ..slice.clone() });
        let row = Unit { area: Area::Row, parts: vec![part.clone()] };
        let ends_with_it = slice.inclusive && slice.until == at;
        let after = (!ends_with_it).then(|| gap(Slice { after: at, ..slice.clone() }));
        [before, row].into_iter().chain(after).collect()
    }
}

fn range(tokens: Tokens, parts: Vec<Part>) -> Unit {
    Unit { area: Area::Tokens(tokens), parts }
}

/// Halves of a range of tokens in which the version has nothing.
fn cut_gap(tokens: Tokens) -> Vec<Unit> {
    let middle = tokens.after.midpoint(tokens.through);
    if middle <= tokens.after || middle >= tokens.through {
        return Vec::new();
    }
    let left = Tokens { after: tokens.after, through: middle };
    vec![range(left, Vec::new()), range(Tokens { after: middle, through: tokens.through }, Vec::new())]
}
