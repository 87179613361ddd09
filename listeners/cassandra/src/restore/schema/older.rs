//! What a destination cannot hold of a schema that a newer release described. Pure.
//!
//! What rows need refuses the restore. What they do not need is left out of the statements, and said: storage-attached indexes,
//! masks, unified compaction, options of tables. Options that newer releases print at their default go without a word.

use std::collections::BTreeSet;

use crate::{
    cluster::{TableRows, UdtSchema},
    release::Release,
    restore::schema::{
        cql::{self, Token},
        known::{self, Built, BuiltKind},
    },
};

/// Options of tables by the release that brought them, with the default that goes without a word.
const OPTIONS: [(&str, Release, &str); 3] = [
    ("memtable", Release::V4_1, "'default'"),
    ("allow_auto_snapshot", Release::V5_0, "true"),
    ("incremental_backups", Release::V5_0, "true"),
];

/// What a destination can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// The oldest release among its nodes.
    pub release: Release,
    /// True where it lets columns be masked.
    pub masks: bool,
}

/// A statement as the destination takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// What it makes.
    pub name: String,
    /// The statement; `None` where nothing of it can be made.
    pub statement: Option<String>,
    /// What was left out of it, for people.
    pub lacking: Vec<String>,
}

impl Holds {
    /// Names of the types that cannot be made, because a vector is in them.
    pub fn unknown_types(&self, types: &[UdtSchema]) -> BTreeSet<String> {
        let mut unknown = BTreeSet::new();
        // A type may use others: until nothing more follows.
        loop {
            let uses = |udt: &&UdtSchema| udt.field_types.iter().any(|field| self.is_unknown(field, &unknown));
            let found: BTreeSet<String> = types.iter().filter(uses).map(|udt| udt.name.clone()).collect();
            if found.len() == unknown.len() {
                return found;
            }
            unknown = found;
        }
    }

    /// Columns of a table whose values cannot be held, with their types; `unknown` as of [`Holds::unknown_types`].
    pub fn unknown_columns<'a>(
        &self,
        table: &'a TableRows,
        unknown: &BTreeSet<String>,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let columns = table.columns.iter().filter(|column| self.is_unknown(&column.cql_type, unknown));
        columns.map(|column| (column.name.as_str(), column.cql_type.as_str()))
    }

    /// True of the statement of a function with a type that cannot be held; `unknown` as of [`Holds::unknown_types`].
    pub fn is_unknown_function(&self, statement: &str, unknown: &BTreeSet<String>) -> bool {
        self.is_unknown(statement, unknown)
    }

    /// True where a type is a vector before 5.0, has one in it, or names one of these user-defined types; and where it is no
    /// type that can be looked into.
    fn is_unknown(&self, cql_type: &str, unknown: &BTreeSet<String>) -> bool {
        if self.release >= Release::V5_0 {
            return false;
        }
        let Ok(tokens) = cql::tokenize(cql_type) else { return true };
        let solid = cql::solid(&tokens);
        let vector = solid.windows(2).any(|pair| pair[0].is_word("vector") && pair[1].is_sign('<'));
        vector || solid.iter().filter_map(|token| token.name()).any(|name| unknown.contains(&name))
    }

    /// A `CREATE … IF NOT EXISTS` statement of a table, index or view without what the destination does not have.
    ///
    /// # Errors
    /// Where it is no such statement.
    pub fn fit(&self, statement: &str) -> Result<Fitted, cql::Error> {
        let tokens = cql::tokenize(statement)?;
        match known::built(statement) {
            Some(Built { kind: BuiltKind::Index, name, .. }) => Ok(self.index(statement, &tokens, name)),
            Some(Built { kind: BuiltKind::View, name, .. }) => self.view(&tokens, name),
            None => self.table(&tokens),
        }
    }

    fn table(&self, tokens: &[Token]) -> Result<Fitted, cql::Error> {
        let mut lacking = Vec::new();
        let (head, body, tail) = cql::split_body(tokens)?;
        let name = cql::solid(head).last().and_then(|name| name.name()).unwrap_or_default();
        let definitions = cql::split_top(body, |token| token.is_sign(','))?;
        let definitions = definitions.into_iter().map(|part| self.definition(part, &mut lacking));
        let definitions: Vec<String> = definitions.collect::<Result<_, _>>()?;
        let options = self.options(cql::trim(tail), &mut lacking)?;
        let statement = Some(format!("{}({}){options}", cql::text(head), definitions.join(", ")));
        Ok(Fitted { name, statement, lacking })
    }

    fn view(&self, tokens: &[Token], name: String) -> Result<Fitted, cql::Error> {
        let mut lacking = Vec::new();
        let with = tokens.iter().position(|token| token.is_word("WITH")).unwrap_or(tokens.len());
        let (head, tail) = tokens.split_at(with);
        let options = self.options(tail, &mut lacking)?;
        Ok(Fitted { name, statement: Some(format!("{}{options}", cql::text(cql::trim(head)))), lacking })
    }

    /// Before 5.0 there are no storage-attached indexes.
    fn index(&self, statement: &str, tokens: &[Token], name: String) -> Fitted {
        let solid = cql::solid(tokens);
        let class = solid.iter().position(|token| token.is_word("USING")).and_then(|at| solid.get(at + 1));
        let class = class.map_or("", |class| class.text.trim_matches('\'')).to_ascii_lowercase();
        let attached = class == "sai" || class.ends_with("storageattachedindex");
        if self.release < Release::V5_0 && attached {
            let lacking = vec!["a storage-attached index, which is not made".to_owned()];
            return Fitted { name, statement: None, lacking };
        }
        Fitted { name, statement: Some(statement.to_owned()), lacking: Vec::new() }
    }

    /// The definition of a column without its mask, where there are none.
    fn definition(&self, part: &[Token], lacking: &mut Vec<String>) -> Result<String, cql::Error> {
        let Some((column, definition)) = unmasked(part, |_| !self.masks || self.release < Release::V5_0)? else {
            return Ok(cql::text(part));
        };
        lacking.push(not_masked(&column));
        Ok(definition)
    }

    /// ` WITH …` with the options that the destination has.
    fn options(&self, tail: &[Token], lacking: &mut Vec<String>) -> Result<String, cql::Error> {
        let Some((_, options)) = tail.split_first() else { return Ok(String::new()) };
        let parts = cql::split_top(options, |token| token.is_word("AND"))?;
        let kept: Vec<String> =
            parts.into_iter().filter(|part| self.has_option(part, lacking)).map(cql::text).collect();
        Ok(if kept.is_empty() { String::new() } else { format!(" WITH {}", kept.join(" AND ")) })
    }

    fn has_option(&self, part: &[Token], lacking: &mut Vec<String>) -> bool {
        let name = part.first().and_then(Token::name).unwrap_or_default();
        let text = cql::text(part);
        let value = text.split_once('=').map_or("", |(_, value)| value.trim());
        let unified = name == "compaction" && value.contains("UnifiedCompactionStrategy");
        let newer = OPTIONS.iter().find(|(option, since, _)| *option == name && self.release < *since);
        match newer {
            Some((_, _, default)) if value.eq_ignore_ascii_case(default) => false,
            None if !unified || self.release >= Release::V5_0 => true,
            _ => {
                lacking.push(format!("the option {text} is left out"));
                false
            }
        }
    }
}

/// What is said of a column whose mask is left out.
pub(in crate::restore) fn not_masked(column: &str) -> String {
    format!("column {column} is not masked: whoever may read the table sees its values")
}

/// The column and its definition without its mask; `None` where it has none, or none that `goes`, which is asked with what
/// stands in front of the mask's arguments.
///
/// # Errors
/// Where the mask has no arguments.
pub(super) fn unmasked(
    part: &[Token],
    goes: impl Fn(&[Token]) -> bool,
) -> Result<Option<(String, String)>, cql::Error> {
    let solid: Vec<usize> = (0..part.len()).filter(|at| part[*at].kind != cql::Kind::Blank).collect();
    let mask = solid.windows(2).find(|pair| part[pair[0]].is_word("MASKED") && part[pair[1]].is_word("WITH"));
    let Some(&[from, _]) = mask else { return Ok(None) };
    let (head, _, after) = cql::split_body(&part[from..])?;
    if !goes(head) {
        return Ok(None);
    }
    let column = part.first().and_then(Token::name).unwrap_or_default();
    Ok(Some((column, format!("{}{}", cql::text(cql::trim(&part[..from])), cql::text(after)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ColumnRow;

    const FOUR: Holds = Holds { release: Release::V4_1, masks: false };
    const FIVE: Holds = Holds { release: Release::V5_0, masks: true };

    fn udt(name: &str, field: &str) -> UdtSchema {
        UdtSchema { name: name.into(), field_names: vec!["f".into()], field_types: vec![field.into()] }
    }

    #[test]
    fn vectors_are_found_wherever_they_are() {
        let types = [udt("w", "frozen<\"U\">"), udt("U", "list<vector<float, 2>>"), udt("vector", "int")];
        let unknown = FOUR.unknown_types(&types);
        assert_eq!(unknown, BTreeSet::from(["U".to_owned(), "w".to_owned()]));
        let column = |cql_type: &str| ColumnRow {
            name: "c".into(),
            kind: "regular".into(),
            position: -1,
            clustering_order: "none".into(),
            cql_type: cql_type.into(),
        };
        let table = |cql_type: &str| TableRows {
            name: "t".into(),
            id: String::new(),
            flags: vec![],
            gc_grace_seconds: 0,
            default_time_to_live: 0,
            columns: vec![column(cql_type)],
            dropped: vec![],
        };
        for (cql_type, held) in [
            ("frozen<map<int, frozen<w>>>", false),
            ("vector<text, 2>", false),
            ("frozen<vector>", true),
            ("map<text, int>", true),
            ("frozen<\"unclosed>", false),
        ] {
            assert_eq!(FOUR.unknown_columns(&table(cql_type), &unknown).next().is_none(), held, "{cql_type}");
            assert!(FIVE.unknown_columns(&table(cql_type), &FIVE.unknown_types(&types)).next().is_none());
        }
    }

    #[test]
    fn options_leave_by_the_release_and_without_a_word_only_at_their_default() {
        let text = "CREATE TABLE IF NOT EXISTS \"to\".t (k int, PRIMARY KEY (k)) WITH allow_auto_snapshot = true AND comment = 'x AND memtable' AND compaction = {'class': 'org.apache.cassandra.db.compaction.UnifiedCompactionStrategy'} AND memtable = 'default' AND incremental_backups = false";
        let fitted = FOUR.fit(text).unwrap();
        assert_eq!(
            fitted.statement.unwrap(),
            "CREATE TABLE IF NOT EXISTS \"to\".t (k int, PRIMARY KEY (k)) WITH comment = 'x AND memtable' AND memtable = 'default'"
        );
        assert_eq!(fitted.lacking.len(), 2, "{:?}", fitted.lacking);
        let oldest = Holds { release: Release::V4_0, masks: false };
        let fitted = oldest.fit(text).unwrap();
        assert!(!fitted.statement.unwrap().contains("memtable =") && fitted.lacking.len() == 2);
        let own = oldest.fit(&text.replace("memtable = 'default'", "memtable = 'trie'")).unwrap();
        assert!(own.lacking.contains(&"the option memtable = 'trie' is left out".to_owned()), "{:?}", own.lacking);
        let unchanged = Fitted { name: "t".into(), statement: Some(text.to_owned()), lacking: vec![] };
        assert_eq!(FIVE.fit(text).unwrap(), unchanged);
    }

    #[test]
    fn masks_leave_with_a_word() {
        let text = "CREATE TABLE IF NOT EXISTS \"to\".t (k int MASKED WITH system.mask_default() PRIMARY KEY, masked int static, a text MASKED WITH system.mask_inner(1, null))";
        let fitted = FOUR.fit(text).unwrap();
        assert_eq!(
            fitted.statement.unwrap(),
            "CREATE TABLE IF NOT EXISTS \"to\".t (k int PRIMARY KEY, masked int static, a text)"
        );
        assert_eq!(fitted.lacking.len(), 2, "{:?}", fitted.lacking);
        assert_eq!(FIVE.fit(text).unwrap().statement.as_deref(), Some(text));
        let forbidden = Holds { masks: false, ..FIVE };
        assert_eq!(forbidden.fit(text).unwrap().lacking.len(), 2);
    }

    #[test]
    fn storage_attached_indexes_leave_and_others_stay() {
        let index = |using: &str| format!("CREATE CUSTOM INDEX IF NOT EXISTS i ON \"to\".t (v) USING '{using}'");
        for using in ["sai", "StorageAttachedIndex", "org.apache.cassandra.index.sai.StorageAttachedIndex"] {
            let fitted = FOUR.fit(&index(using)).unwrap();
            assert!(fitted.statement.is_none() && fitted.name == "i" && fitted.lacking.len() == 1, "{fitted:?}");
            assert_eq!(FIVE.fit(&index(using)).unwrap().statement, Some(index(using)));
        }
        for text in
            [&index("org.apache.cassandra.index.sasi.SASIIndex"), "CREATE INDEX IF NOT EXISTS i ON \"to\".t (v)"]
        {
            assert_eq!(FOUR.fit(text).unwrap().statement.as_deref(), Some(text));
        }
    }

    #[test]
    fn options_of_views_leave_too() {
        let text = "CREATE MATERIALIZED VIEW IF NOT EXISTS \"to\".v AS SELECT * FROM \"to\".t WHERE k > 1 AND v IS NOT NULL PRIMARY KEY (v, k) WITH incremental_backups = true AND comment = ''";
        let fitted = FOUR.fit(text).unwrap();
        assert!(
            fitted.statement.unwrap().ends_with("PRIMARY KEY (v, k) WITH comment = ''") && fitted.lacking.is_empty()
        );
        assert_eq!(FIVE.fit(text).unwrap().statement.as_deref(), Some(text));
    }
}
