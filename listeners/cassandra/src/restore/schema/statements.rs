//! The statements that make a restored object's schema at the destination, from what was captured.
//!
//! Statements come from the source's own `DESCRIBE … WITH INTERNALS`, so that no table option is lost, and are changed by
//! structure: keyspace renamed, `ID =` taken out, columns that had been dropped taken out and columns that had been added
//! again put in. `ALTER TABLE … DROP` is never replayed: the destination would ignore cells that are older than it.

use std::collections::BTreeMap;

use crate::{
    cluster::{ColumnRow, CreateStatement, KeyspaceSchema, TableRows, UdtSchema},
    describe::TRIGGER,
    restore::schema::{
        cql::{self, Token},
        head,
    },
};
use tidemark_gateway::causes::joined;

/// Characters of a statement that an error shows.
const SHOWN: usize = 200;

/// A user-defined function or aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// `function` or `aggregate`.
    pub kind: String,
    /// Its name, as DESCRIBE has it.
    pub name: String,
    /// The statement that makes it, with `IF NOT EXISTS`.
    pub statement: String,
}

/// Why a schema cannot be made again.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A captured statement is not CQL as this crate understands it.
    #[error("captured statement of {kind} {name:?}")]
    Statement {
        /// Kind of the thing.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        source: cql::Error,
    },
    /// A captured statement does not make what it was captured as, in the keyspace that it was captured from.
    #[error("captured statement of {kind} {name:?} does not make it in keyspace {keyspace:?}: {statement:?}")]
    Stray {
        /// Kind of the thing.
        kind: String,
        /// Its name.
        name: String,
        /// The keyspace that was captured.
        keyspace: String,
        /// How the statement begins.
        statement: String,
    },
    /// The keyspace's capture has no statement for the table.
    #[error("no statement for table {0:?} was captured")]
    NoTable(String),
}

/// Statements for the chosen tables of one keyspace, all `IF NOT EXISTS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaStatements {
    /// The keyspace.
    pub keyspace: String,
    /// Types, each after those it uses.
    pub types: Vec<String>,
    /// Functions of the keyspace, then its aggregates, which use them. Both may use types, and masks of tables them.
    pub functions: Vec<Function>,
    /// Tables, in the order asked for.
    pub tables: Vec<String>,
    /// Indexes of these tables; to be made after the load.
    pub indexes: Vec<String>,
    /// Materialised views of these tables, with their names; to be made after the load, where the destination allows them.
    pub views: Vec<(String, String)>,
    /// What is not made again, for people.
    pub warnings: Vec<String>,
}

/// Makes the statements for some tables of a captured keyspace under a (possibly) new name and replication.
///
/// # Errors
/// [`Error`] where a captured statement is missing or not understood.
pub fn statements(
    captured: &KeyspaceSchema,
    tables: &[&str],
    target: &str,
    replication: &BTreeMap<String, String>,
) -> Result<SchemaStatements, Error> {
    let rename = Rename { from: &captured.name, to: target };
    let mut made = SchemaStatements {
        keyspace: keyspace_statement(target, replication, captured.durable_writes),
        types: type_statements(captured, &rename)?,
        ..SchemaStatements::default()
    };
    for table in tables {
        made.tables.push(table_of(captured, table, &rename)?);
    }
    for item in &captured.statements {
        made.add_other(item, tables, &rename)?;
    }
    // Stable: each kind keeps its order.
    made.functions.sort_by_key(|function| function.kind == "aggregate");
    Ok(made)
}

/// `CREATE KEYSPACE` with these options.
pub fn keyspace_statement(name: &str, replication: &BTreeMap<String, String>, durable_writes: bool) -> String {
    let class = replication.iter().filter(|(key, _)| *key == "class");
    let rest = replication.iter().filter(|(key, _)| *key != "class");
    let options: Vec<String> =
        class.chain(rest).map(|(key, value)| format!("{}: {}", cql::literal(key), cql::literal(value))).collect();
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{{}}} AND durable_writes = {durable_writes}",
        cql::quote(name),
        options.join(", ")
    )
}

/// Names of a table's materialised views in a keyspace as it was described.
pub fn views_of(keyspace: &KeyspaceSchema, table: &str) -> Vec<String> {
    let same = Rename { from: &keyspace.name, to: &keyspace.name };
    let is_view = |item: &&CreateStatement| item.kind.to_ascii_lowercase().contains("view");
    let of_table = |item: &&CreateStatement| view_of(item, &same).is_ok_and(|(base, _)| base == table);
    keyspace.statements.iter().filter(is_view).filter(of_table).map(|item| item.name.clone()).collect()
}

/// True where a table's statement sets `cdc = true`.
pub fn captures_changes(keyspace: &KeyspaceSchema, table: &str) -> bool {
    let item = keyspace.statements.iter().find(|s| is_kind(s, "table") && s.is_named(table));
    let tokens = item.and_then(|item| cql::tokenize(&item.statement).ok()).unwrap_or_default();
    let solid = cql::solid(&tokens);
    solid.windows(3).any(|w| w[0].is_word("cdc") && w[1].is_sign('=') && w[2].is_word("true"))
}

impl SchemaStatements {
    /// Adds an index of a chosen table, or says what is left out.
    fn add_other(&mut self, item: &CreateStatement, tables: &[&str], rename: &Rename<'_>) -> Result<(), Error> {
        match item.kind.to_ascii_lowercase().as_str() {
            "keyspace" | "type" | "table" => {}
            "function" => self.add_function(item, "FUNCTION", rename),
            "aggregate" => self.add_function(item, "AGGREGATE", rename),
            TRIGGER => {
                let table = trigger_of(item, rename)?;
                if tables.contains(&table.as_str()) {
                    self.warnings.push(format!("trigger {} on {table} is not part of a version", item.name));
                }
            }
            "index" => {
                let (table, statement) = index_of(item, rename)?;
                if tables.contains(&table.as_str()) {
                    self.indexes.push(statement);
                }
            }
            "view" | "materialized view" | "materialized_view" => {
                let (table, statement) = view_of(item, rename)?;
                if tables.contains(&table.as_str()) {
                    self.views.push((item.name.clone(), statement));
                }
            }
            kind => {
                self.warnings.push(format!("{kind} {} is not made again: its statement is in the entry", item.name))
            }
        }
        Ok(())
    }

    /// Adds a function, or says that it is left out: no row depends on it.
    fn add_function(&mut self, item: &CreateStatement, word: &str, rename: &Rename<'_>) {
        let statement = parse(item, word, rename).and_then(|parsed| if_not_exists(parsed.alone(item)?, word, item));
        let kind = item.kind.to_ascii_lowercase();
        match statement {
            Ok(statement) => self.functions.push(Function { kind, name: item.name.clone(), statement }),
            Err(why) => self.warnings.push(format!("{kind} {} is not made again: {}", item.name, joined(&why))),
        }
    }
}

/// A keyspace's old and new name.
struct Rename<'a> {
    from: &'a str,
    to: &'a str,
}

impl Rename<'_> {
    /// The tokens with the keyspace renamed wherever it qualifies a name (`keyspace . name`).
    fn apply(&self, tokens: &[Token]) -> Vec<Token> {
        let solid: Vec<usize> = (0..tokens.len()).filter(|i| tokens[*i].kind != cql::Kind::Blank).collect();
        let mut renamed = tokens.to_vec();
        for (n, &at) in solid.iter().enumerate() {
            let dot_after = solid.get(n + 1).is_some_and(|next| tokens[*next].is_sign('.'));
            let dot_before = n > 0 && tokens[solid[n - 1]].is_sign('.');
            if dot_after && !dot_before && tokens[at].name().as_deref() == Some(self.from) {
                renamed[at] = Token::quoted(self.to);
            }
        }
        renamed
    }
}

/// The single statements of a captured item, renamed, and what the first of them makes: a `word` in the captured keyspace
/// ([`head::made`]).
fn parse(item: &CreateStatement, word: &str, rename: &Rename<'_>) -> Result<Parsed, Error> {
    let tokens = cql::tokenize(&item.statement).map_err(|source| refuse(item, source))?;
    let parts = cql::statements(tokens);
    let made = parts.first().and_then(|first| head::made(&cql::solid(first), word, rename.from));
    let made = made.ok_or_else(|| stray(item, rename))?;
    let mut parts = parts.iter().map(|part| rename.apply(part));
    let first = parts.next().ok_or_else(|| shape(item))?;
    Ok(Parsed { made, first, others: parts.collect() })
}

/// A captured item.
struct Parsed {
    /// Name of what it makes; of an index or trigger the name of its table.
    made: String,
    /// The statement that makes it.
    first: Vec<Token>,
    /// Statements behind it.
    others: Vec<Vec<Token>>,
}

impl Parsed {
    /// The statement, where it is the only one.
    fn alone(&self, item: &CreateStatement) -> Result<&[Token], Error> {
        if self.others.is_empty() { Ok(&self.first) } else { Err(shape(item)) }
    }

    /// The same where it makes what has this name.
    fn named(self, name: &str, item: &CreateStatement, rename: &Rename<'_>) -> Result<Self, Error> {
        if self.made == name { Ok(self) } else { Err(stray(item, rename)) }
    }
}

fn stray(item: &CreateStatement, rename: &Rename<'_>) -> Error {
    let statement = item.statement.chars().take(SHOWN).collect();
    Error::Stray { kind: item.kind.clone(), name: item.name.clone(), keyspace: rename.from.to_owned(), statement }
}

fn refuse(item: &CreateStatement, source: cql::Error) -> Error {
    Error::Statement { kind: item.kind.clone(), name: item.name.clone(), source }
}

fn shape(item: &CreateStatement) -> Error {
    refuse(item, cql::Error::Shape(item.statement.chars().take(SHOWN).collect()))
}

/// The statement with `IF NOT EXISTS` after the word that names its kind, unless it is there.
fn if_not_exists(tokens: &[Token], word: &str, item: &CreateStatement) -> Result<String, Error> {
    let at = tokens.iter().position(|t| t.is_word(word)).ok_or_else(|| shape(item))?;
    let (head, tail) = tokens.split_at(at + 1);
    let there = cql::solid(tail).first().is_some_and(|t| t.is_word("IF"));
    let middle = if there { "" } else { " IF NOT EXISTS" };
    Ok(format!("{}{middle}{}", cql::text(head), cql::text(tail)))
}

/// Types in an order in which each comes after those it uses.
fn type_statements(captured: &KeyspaceSchema, rename: &Rename<'_>) -> Result<Vec<String>, Error> {
    let mut made = Vec::new();
    for name in type_order(&captured.types) {
        let item = captured.statements.iter().find(|s| is_kind(s, "type") && s.is_named(name));
        made.push(match item {
            Some(item) => {
                if_not_exists(parse(item, "TYPE", rename)?.named(name, item, rename)?.alone(item)?, "TYPE", item)?
            }
            None => type_from_rows(captured.types.iter().find(|t| t.name == name), rename.to),
        });
    }
    Ok(made.into_iter().filter(|s| !s.is_empty()).collect())
}

fn is_kind(item: &CreateStatement, kind: &str) -> bool {
    item.kind.eq_ignore_ascii_case(kind)
}

/// `CREATE TYPE` from the rows of `system_schema.types`.
fn type_from_rows(rows: Option<&UdtSchema>, keyspace: &str) -> String {
    let Some(rows) = rows else { return String::new() };
    let fields = rows.field_names.iter().zip(&rows.field_types);
    let fields: Vec<String> = fields.map(|(name, cql_type)| format!("{} {cql_type}", cql::quote(name))).collect();
    let name = format!("{}.{}", cql::quote(keyspace), cql::quote(&rows.name));
    format!("CREATE TYPE IF NOT EXISTS {name} ({})", fields.join(", "))
}

/// Names of the types, each after those that its fields name. What would be a cycle (a field type spelled like a type,
/// `"int"`) keeps the captured order.
fn type_order(types: &[UdtSchema]) -> Vec<&str> {
    let mut waiting: Vec<&UdtSchema> = types.iter().collect();
    let mut order: Vec<&str> = Vec::new();
    while !waiting.is_empty() {
        let ready = |t: &UdtSchema| uses(t, types).iter().all(|used| order.contains(&used.as_str()));
        let next = waiting.iter().position(|t| ready(t)).unwrap_or(0);
        order.push(&waiting.remove(next).name);
    }
    order
}

/// Names of the other types of the keyspace that a type's fields name.
fn uses(udt: &UdtSchema, types: &[UdtSchema]) -> Vec<String> {
    let tokens = udt.field_types.iter().flat_map(|text| cql::tokenize(text).unwrap_or_default());
    let named = tokens.filter_map(|t| t.name()).filter(|name| *name != udt.name);
    named.filter(|name| types.iter().any(|t| t.name == *name)).collect()
}

/// The statement that makes a table as it was, without its id and its dropped columns.
fn table_of(captured: &KeyspaceSchema, table: &str, rename: &Rename<'_>) -> Result<String, Error> {
    let no_table = || Error::NoTable(table.to_owned());
    let item = captured.statements.iter().find(|s| is_kind(s, "table") && s.is_named(table)).ok_or_else(no_table)?;
    let rows = captured.tables.iter().find(|t| t.name == table).ok_or_else(no_table)?;
    let Parsed { first, others, .. } = parse(item, "TABLE", rename)?.named(table, item, rename)?;
    let (head, body, tail) = cql::split_body(&first).map_err(|source| refuse(item, source))?;
    let body = definitions(body, &added_again(&others, item)?, rows, item)?;
    let options = options_without_id(tail, item)?;
    let head = if_not_exists(head, "TABLE", item)?;
    Ok(format!("{} ({}){options}", head.trim_end(), body.join(", ")))
}

/// Definitions of the table's columns as they are now, and of its key.
fn definitions(
    body: &[Token],
    added: &[Vec<Token>],
    rows: &TableRows,
    item: &CreateStatement,
) -> Result<Vec<String>, Error> {
    let parts = cql::split_top(body, |t| t.is_sign(',')).map_err(|source| refuse(item, source))?;
    let is_live = |column: &str| rows.columns.iter().any(|c| c.name == column);
    let was_dropped = |column: &str| rows.dropped.iter().any(|c| c.name == column);
    let mut kept = Vec::new();
    for part in parts.into_iter().filter(|p| !p.is_empty()) {
        let name = part[0].name().ok_or_else(|| shape(item))?;
        if is_key_clause(part) || (is_live(&name) && !was_dropped(&name)) {
            kept.push(cql::text(part));
        }
    }
    let again = rows.columns.iter().filter(|c| was_dropped(&c.name)).map(|c| definition_of(c, added));
    let at = kept.iter().position(|d| starts_key_clause(d)).unwrap_or(kept.len());
    kept.splice(at..at, again);
    Ok(kept)
}

/// True iff the definition is `PRIMARY KEY (…)`.
fn is_key_clause(part: &[Token]) -> bool {
    let solid = cql::solid(part);
    solid.len() > 2 && solid[0].is_word("PRIMARY") && solid[1].is_word("KEY") && solid[2].is_sign('(')
}

fn starts_key_clause(definition: &str) -> bool {
    cql::tokenize(definition).is_ok_and(|tokens| is_key_clause(&tokens))
}

/// The definition of a column that had been dropped and added again: as it was added, else from its row.
fn definition_of(column: &ColumnRow, added: &[Vec<Token>]) -> String {
    let again = added.iter().rev().find(|d| d.first().and_then(Token::name).as_deref() == Some(column.name.as_str()));
    match again {
        Some(tokens) => cql::text(tokens),
        None => {
            let placed = if column.kind == "static" { " static" } else { "" };
            format!("{} {}{placed}", cql::quote(&column.name), column.cql_type)
        }
    }
}

/// Column definitions of `ALTER TABLE … ADD`; `DROP` is passed over, anything else refused.
fn added_again(alters: &[Vec<Token>], item: &CreateStatement) -> Result<Vec<Vec<Token>>, Error> {
    let mut added = Vec::new();
    for alter in alters {
        let is_alter = alter.first().is_some_and(|t| t.is_word("ALTER"));
        let add = alter.iter().position(|t| t.is_word("ADD"));
        match add.filter(|_| is_alter) {
            Some(at) => added.push(cql::trim(&alter[at + 1..]).to_vec()),
            None if is_alter && alter.iter().any(|t| t.is_word("DROP")) => {}
            None => return Err(shape(item)),
        }
    }
    Ok(added)
}

/// ` WITH …` without `ID = …`; empty where nothing is left.
fn options_without_id(tail: &[Token], item: &CreateStatement) -> Result<String, Error> {
    let tail = cql::trim(tail);
    let Some((with, options)) = tail.split_first() else { return Ok(String::new()) };
    if !with.is_word("WITH") {
        return Err(shape(item));
    }
    let parts = cql::split_top(options, |t| t.is_word("AND")).map_err(|source| refuse(item, source))?;
    let is_id = |part: &[Token]| part.first().is_some_and(|t| t.is_word("ID"));
    let kept: Vec<String> = parts.into_iter().filter(|p| !p.is_empty() && !is_id(p)).map(cql::text).collect();
    Ok(if kept.is_empty() { String::new() } else { format!(" WITH {}", kept.join(" AND ")) })
}

/// The table that an index is on, and its statement.
fn index_of(item: &CreateStatement, rename: &Rename<'_>) -> Result<(String, String), Error> {
    let parsed = parse(item, "INDEX", rename)?;
    let statement = if_not_exists(parsed.alone(item)?, "INDEX", item)?;
    Ok((parsed.made, statement))
}

/// The table that a trigger is on.
fn trigger_of(item: &CreateStatement, rename: &Rename<'_>) -> Result<String, Error> {
    Ok(parse(item, "TRIGGER", rename)?.made)
}

/// The table that a view is of, and its statement without its id.
fn view_of(item: &CreateStatement, rename: &Rename<'_>) -> Result<(String, String), Error> {
    let parsed = parse(item, "VIEW", rename)?;
    let tokens = parsed.alone(item)?;
    let with = tokens.iter().position(|t| t.is_word("WITH")).unwrap_or(tokens.len());
    let (head, tail) = tokens.split_at(with);
    let head = if_not_exists(cql::trim(head), "VIEW", item)?;
    Ok((table_after(tokens, "FROM", item)?, format!("{head}{}", options_without_id(tail, item)?)))
}

/// The table that is named after the first such word, qualified or not.
fn table_after(tokens: &[Token], word: &str, item: &CreateStatement) -> Result<String, Error> {
    let solid = cql::solid(tokens);
    let at = solid.iter().position(|t| t.is_word(word)).ok_or_else(|| shape(item))?;
    let qualified = solid.get(at + 2).is_some_and(|t| t.is_sign('.'));
    solid.get(if qualified { at + 3 } else { at + 1 }).and_then(|t| t.name()).ok_or_else(|| shape(item))
}

#[cfg(test)]
pub(super) mod tests;
