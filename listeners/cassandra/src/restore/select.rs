//! Which rows and columns of a table a restore is bounded to: `--where` and `--columns`.
//!
//! A condition is a run of comparisons joined by AND, in CQL's words: `pk = 1`, `pk1 = 'a' AND pk2 = 2`,
//! `pk = 1 AND ck >= 10 AND ck < 20`, `token(pk) > 0 AND token(pk) <= 100`. A partition is chosen by all columns of its key or by
//! its token; rows within by their clustering columns, in any combination. Any value may be written as the blob of its bytes.
//!
//! Static rows are chosen by partition: a condition on clustering columns leaves them out.

mod literal;

use std::{cmp::Ordering, collections::BTreeSet, iter::Peekable};

use bytes::Bytes;
use tidemark_cassandra_format::{
    key,
    model::{Clustering, ColumnIndex},
    order::compare_values,
    schema::{Column, TableSchema},
    token::murmur3,
    types::CqlType,
};
use tidemark_listener_core::restorer::Selection;

use crate::restore::schema::cql::{self, Kind, Token, tokenize, trim};

/// A range of tokens: the first exclusive, the last inclusive. The least token is no partition's but that of the empty key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Before the range.
    pub after: i64,
    /// Its end.
    pub through: i64,
}

impl Tokens {
    /// The whole ring.
    pub const ALL: Self = Self { after: i64::MIN, through: i64::MAX };

    /// True where the token is within.
    pub fn contains(&self, token: i64) -> bool {
        token <= self.through && (token > self.after || self.after == i64::MIN)
    }

    /// True where no token is within.
    pub fn is_empty(&self) -> bool {
        self.after >= self.through
    }
}

/// The rows and columns that are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    key: Option<Vec<Bytes>>,
    tokens: Tokens,
    clustering: Vec<Condition>,
    /// Static and regular columns; all where absent.
    columns: Option<[BTreeSet<ColumnIndex>; 2]>,
}

/// A comparison of one clustering column.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    column: usize,
    cql_type: CqlType,
    comparison: Comparison,
    value: Bytes,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Selected {
    /// Everything.
    pub fn all() -> Self {
        Self { key: None, tokens: Tokens::ALL, clustering: Vec::new(), columns: None }
    }

    /// What a condition and a list of columns choose of a table; everything where both are empty.
    ///
    /// # Errors
    /// In words, with what stands there and what may.
    pub fn parse(selection: &Selection, schema: &TableSchema) -> Result<Self, String> {
        let mut selected = Self { columns: chosen_columns(&selection.columns, schema)?, ..Self::all() };
        let Some(text) = &selection.rows else { return Ok(selected) };
        let mut key: Vec<Option<Bytes>> = vec![None; schema.partition_key.len()];
        for comparison in comparisons(text)? {
            selected.add(comparison, schema, &mut key)?;
        }
        if key.iter().any(Option::is_some) {
            let missing = schema.partition_key.iter().zip(&key).find(|(_, value)| value.is_none());
            if let Some((column, _)) = missing {
                return Err(format!("the partition key is not whole: compare {:?} too, by =", column.name));
            }
            let values: Vec<Bytes> = key.into_iter().flatten().collect();
            let raw = key::join(schema, &values).map_err(|source| source.to_string())?;
            let token = murmur3(&raw);
            let tokens = selected.tokens;
            let after = if token == i64::MIN { i64::MIN } else { tokens.after.max(token - 1) };
            selected.tokens = Tokens { after, through: tokens.through.min(token) };
            selected.key = Some(values);
        }
        Ok(selected)
    }

    fn add(&mut self, given: Given, schema: &TableSchema, key: &mut [Option<Bytes>]) -> Result<(), String> {
        let Given { left, comparison, literal } = given;
        let name = match left {
            Left::Token(names) => return self.add_token(&names, comparison, &literal, schema),
            Left::Column(name) => name,
        };
        let value = |column: &Column| {
            literal::value(&column.cql_type, &literal).map_err(|why| format!("column {name:?}: {why}"))
        };
        if let Some(index) = schema.partition_key.iter().position(|c| c.name == name) {
            if comparison != Comparison::Equal {
                return Err(format!("partition key column {name:?} takes = only; ranges are those of token({name})"));
            }
            if key[index].replace(value(&schema.partition_key[index])?).is_some() {
                return Err(format!("column {name:?} is compared twice"));
            }
            return Ok(());
        }
        let index = schema.clustering.iter().position(|c| c.column.name == name);
        let index = index.ok_or_else(|| format!("{name:?} is no column of the primary key of {}", schema.table))?;
        let column = &schema.clustering[index].column;
        let cql_type = column.cql_type.clone();
        self.clustering.push(Condition { column: index, cql_type, comparison, value: value(column)? });
        Ok(())
    }

    fn add_token(
        &mut self,
        names: &[String],
        comparison: Comparison,
        literal: &str,
        schema: &TableSchema,
    ) -> Result<(), String> {
        let wanted: Vec<&str> = schema.partition_key.iter().map(|c| c.name.as_str()).collect();
        if names != wanted {
            return Err(format!("token() takes the columns of the partition key: token({})", wanted.join(", ")));
        }
        let token: i64 = literal.parse().map_err(|_| format!("{literal} is no token: a whole number of 64 bits"))?;
        let (after, through) = match comparison {
            Comparison::Greater => (token, i64::MAX),
            Comparison::GreaterOrEqual => (token.saturating_sub(1), i64::MAX),
            Comparison::Less => (i64::MIN, token.saturating_sub(1)),
            Comparison::LessOrEqual => (i64::MIN, token),
            Comparison::Equal => (token.saturating_sub(1), token),
        };
        let tokens = self.tokens;
        self.tokens = Tokens { after: tokens.after.max(after), through: tokens.through.min(through) };
        Ok(())
    }

    /// The one partition that is chosen, by the values of its key's columns.
    pub fn key(&self) -> Option<&[Bytes]> {
        self.key.as_deref()
    }

    /// Tokens of the partitions that are chosen.
    pub fn tokens(&self) -> Tokens {
        self.tokens
    }

    /// True where the partition of this token and these values of key columns is chosen, or rows of it.
    pub fn takes_partition(&self, token: i64, key: &[Bytes]) -> bool {
        self.tokens.contains(token) && self.key.as_ref().is_none_or(|own| own == key)
    }

    /// True where this row of a chosen partition is chosen.
    pub fn takes_row(&self, clustering: &Clustering) -> bool {
        self.clustering.iter().all(|condition| {
            let value = clustering.get(condition.column).and_then(Option::as_ref);
            value.is_some_and(|value| {
                condition.comparison.holds(compare_values(&condition.cql_type, value, &condition.value))
            })
        })
    }

    /// True where static rows of chosen partitions are chosen.
    pub fn takes_static(&self) -> bool {
        self.clustering.is_empty()
    }

    /// True where the column is chosen, by its index among static or regular columns.
    pub fn takes_column(&self, index: ColumnIndex, is_static: bool) -> bool {
        self.columns.as_ref().is_none_or(
            |[statics, regulars]| {
                if is_static { statics.contains(&index) } else { regulars.contains(&index) }
            },
        )
    }

    /// True where rows are chosen whole.
    pub fn takes_all_columns(&self) -> bool {
        self.columns.is_none()
    }
}

/// Indexes of static and of regular columns with these names; `None` for all.
fn chosen_columns(names: &[String], schema: &TableSchema) -> Result<Option<[BTreeSet<ColumnIndex>; 2]>, String> {
    if names.is_empty() {
        return Ok(None);
    }
    let mut chosen = [BTreeSet::new(), BTreeSet::new()];
    for name in names {
        let at = |columns: &[Column]| columns.iter().position(|c| c.name == *name).and_then(|i| u16::try_from(i).ok());
        match (at(&schema.statics), at(&schema.regulars)) {
            (Some(index), _) => chosen[0].insert(index),
            (_, Some(index)) => chosen[1].insert(index),
            _ if is_key(schema, name) => return Err(format!("column {name:?} is of the key, which comes anyway")),
            _ => return Err(format!("{} has no column {name:?} in this version", schema.table)),
        };
    }
    Ok(Some(chosen))
}

fn is_key(schema: &TableSchema, name: &str) -> bool {
    schema.partition_key.iter().chain(schema.clustering.iter().map(|c| &c.column)).any(|c| c.name == name)
}

/// What stands left of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Left {
    Column(String),
    Token(Vec<String>),
}

/// One comparison as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    left: Left,
    comparison: Comparison,
    literal: String,
}

fn comparisons(text: &str) -> Result<Vec<Given>, String> {
    let mut tokens = tokenize(text).map_err(|source| source.to_string())?.into_iter().peekable();
    let mut found = Vec::new();
    loop {
        let left = left(&mut tokens)?;
        let comparison = comparison(&mut tokens)?;
        found.push(Given { left, comparison, literal: literal_text(&mut tokens)? });
        // A value goes on until AND.
        if tokens.next().is_none() {
            return Ok(found);
        }
    }
}

/// The next token that is no blank.
fn next(tokens: &mut Peekable<impl Iterator<Item = Token>>) -> Option<Token> {
    skip_blanks(tokens);
    tokens.next()
}

fn skip_blanks(tokens: &mut Peekable<impl Iterator<Item = Token>>) {
    while tokens.next_if(|t| t.kind == Kind::Blank).is_some() {}
}

fn left(tokens: &mut Peekable<impl Iterator<Item = Token>>) -> Result<Left, String> {
    let first = next(tokens).ok_or("a comparison is missing: name a column of the primary key, or token(…)")?;
    let name = first.name().ok_or_else(|| format!("{} is no column", first.text))?;
    skip_blanks(tokens);
    if !(first.is_word("token") && tokens.next_if(|t| t.is_sign('(')).is_some()) {
        return Ok(Left::Column(name));
    }
    let mut names = Vec::new();
    loop {
        let column = next(tokens).and_then(|t| t.name()).ok_or("token( takes the columns of the partition key")?;
        names.push(column);
        match next(tokens) {
            Some(t) if t.is_sign(',') => {}
            Some(t) if t.is_sign(')') => return Ok(Left::Token(names)),
            _ => return Err("token( has no end".to_owned()),
        }
    }
}

fn comparison(tokens: &mut Peekable<impl Iterator<Item = Token>>) -> Result<Comparison, String> {
    let sign = next(tokens).map(|t| t.text).unwrap_or_default();
    let or_equal = matches!(sign.as_str(), "<" | ">") && tokens.next_if(|t| t.is_sign('=')).is_some();
    match (sign.as_str(), or_equal) {
        ("=", _) => Ok(Comparison::Equal),
        ("<", false) => Ok(Comparison::Less),
        ("<", true) => Ok(Comparison::LessOrEqual),
        (">", false) => Ok(Comparison::Greater),
        (">", true) => Ok(Comparison::GreaterOrEqual),
        _ => Err(format!("{sign:?} is no comparison here: use =, <, <=, > or >=, joined by AND")),
    }
}

/// The one value up to the next AND, as it stands.
fn literal_text(tokens: &mut Peekable<impl Iterator<Item = Token>>) -> Result<String, String> {
    let mut pieces = Vec::new();
    while let Some(token) = tokens.next_if(|t| !t.is_word("and")) {
        pieces.push(token);
    }
    let pieces = trim(&pieces);
    let text = cql::text(pieces);
    let stands_alone = |piece: &Token| matches!(piece.kind, Kind::Blank | Kind::String);
    match pieces {
        [] => Err("a value is missing".to_owned()),
        [_, _, ..] if pieces.iter().any(stands_alone) => {
            Err(format!("{text} is not one value: comparisons are joined by AND only"))
        }
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::samples::{column, int, schema};

    fn rows(text: &str) -> Selection {
        Selection { rows: Some(text.to_owned()), columns: vec![] }
    }

    fn parse(text: &str) -> Result<Selected, String> {
        Selected::parse(&rows(text), &schema())
    }

    #[test]
    fn a_partition_and_rows_of_it_are_chosen_by_the_primary_key() {
        let selected = parse("pk = 7 AND ck >= 10 and \"ck\"<20").unwrap();
        assert_eq!(selected.key(), Some(&[int(7)][..]));
        let token = murmur3(&int(7));
        assert!(selected.takes_partition(token, &[int(7)]));
        assert!(!selected.takes_partition(token, &[int(8)]));
        assert!(!selected.takes_partition(token + 1, &[int(7)]));
        let takes = [9, 10, 19, 20].map(|ck| selected.takes_row(&vec![Some(int(ck))]));
        assert_eq!(takes, [false, true, true, false]);
        assert!(!selected.takes_static());
        assert!(parse(" pk = -7 ").unwrap().takes_static());
    }

    #[test]
    fn token_ranges_have_their_ends_as_written() {
        let tokens = |text: &str| parse(text).unwrap().tokens();
        assert_eq!(tokens("token(pk) > -5 AND token(pk) <= 9"), Tokens { after: -5, through: 9 });
        assert_eq!(tokens("token(pk) >= -5 AND token(pk) < 9"), Tokens { after: -6, through: 8 });
        assert!(tokens("token(pk) > 5 AND token(pk) < 5").is_empty());
        assert!(Tokens::ALL.contains(i64::MIN) && Tokens::ALL.contains(i64::MAX));
    }

    #[test]
    fn what_cannot_be_chosen_by_is_named() {
        for (text, word) in [
            ("", "missing"),
            ("a = 5", "primary key"),
            ("pk > 5", "token(pk)"),
            ("pk = 5 AND", "missing"),
            ("pk = 5 AND pk = 6", "twice"),
            ("ck = 'x'", "int"),
            ("pk IN (1, 2)", "no comparison"),
            ("token(ck) > 5", "token(pk)"),
            ("token(pk) > x", "no token"),
            ("pk = 'open", "end"),
            ("pk = 1 5", "AND only"),
            ("pk = - 5", "AND only"),
            ("pk = 1 OR pk = 2", "AND only"),
            ("pk = 'ann' OR pk = 'bob'", "AND only"),
            ("pk = 'ann'OR'bob'", "AND only"),
            ("token(pk) > 1 5", "AND only"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text:?}: {error}");
        }
        let mut two = schema();
        two.partition_key.push(column("pk2", CqlType::Text));
        let error = Selected::parse(&rows("pk = 5"), &two).unwrap_err();
        assert!(error.contains("pk2"), "{error}");
        assert!(Selected::parse(&rows("pk = 5 AND pk2 = 'it''s'"), &two).is_ok());
    }

    #[test]
    fn columns_are_chosen_by_name() {
        let of = |names: &[&str]| {
            let columns = names.iter().map(|n| (*n).to_owned()).collect();
            Selected::parse(&Selection { rows: None, columns }, &schema())
        };
        let selected = of(&["st", "b"]).unwrap();
        assert!(selected.takes_column(0, true) && selected.takes_column(1, false));
        assert!(!selected.takes_column(0, false) && !selected.takes_all_columns());
        assert!(of(&[]).unwrap().takes_all_columns());
        assert!(of(&["pk"]).unwrap_err().contains("key"));
        assert!(of(&["zz"]).unwrap_err().contains("no column"));
    }
}
