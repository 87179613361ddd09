//! User-defined functions and aggregates at a destination: which are made, and what of tables goes with those that are not.
//! Pure.
//!
//! No row depends on them, so that a destination that does not allow them refuses nothing: they are left out and named,
//! with the aggregates and the masks of columns that use them.

use std::collections::BTreeSet;

use crate::{
    cluster::KeyspaceSchema,
    restore::schema::{
        cql::{self, Token},
        older::unmasked,
        statements::Function,
    },
};

/// Languages of functions that a destination lets be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Languages {
    /// Java, and with it any at all.
    pub java: bool,
    /// Others, which are scripted: before 5.0 only.
    pub others: bool,
}

/// What becomes of the functions and aggregates of a keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Statements of those that are made, functions before aggregates.
    pub statements: Vec<String>,
    /// What is said of those that are not, for people.
    pub left_out: Vec<String>,
    /// Names of those that are not, without their arguments.
    pub lost: BTreeSet<String>,
}

/// Chooses among functions and, behind them, aggregates; `unknown` is true of a statement with a type that the destination
/// does not know.
pub fn choose(functions: Vec<Function>, languages: Languages, unknown: impl Fn(&str) -> bool) -> Chosen {
    let mut chosen = Chosen::default();
    for Function { kind, name, statement } in functions {
        let tokens = cql::tokenize(&statement).unwrap_or_default();
        let solid = cql::solid(&tokens);
        let why = match unknown(&statement) {
            true => Some("it uses a type that the destination does not know".to_owned()),
            false => why_not(&solid, languages, &chosen.lost),
        };
        match why {
            None => chosen.statements.push(statement),
            Some(why) => {
                chosen.lost.extend(called(&solid));
                chosen.left_out.push(format!("{kind} {name} is not made again: {why}"));
            }
        }
    }
    chosen
}

fn why_not(solid: &[&Token], languages: Languages, lost: &BTreeSet<String>) -> Option<String> {
    if !languages.java {
        return Some("the destination does not allow user-defined functions".to_owned());
    }
    let language = after(solid, "LANGUAGE").filter(|language| language != "java" && !languages.others);
    if let Some(language) = language {
        return Some(format!("the destination does not allow functions in {language}"));
    }
    let parts = ["SFUNC", "FINALFUNC"].into_iter().filter_map(|word| after(solid, word));
    let part = parts.into_iter().find(|part| lost.contains(part))?;
    Some(format!("it uses function {part}, which is not made"))
}

/// The name behind the first such word.
fn after(solid: &[&Token], word: &str) -> Option<String> {
    let at = solid.iter().position(|token| token.is_word(word))?;
    solid.get(at + 1).and_then(|token| token.name())
}

/// The name in front of the first bracket.
fn called(solid: &[&Token]) -> Option<String> {
    let open = solid.iter().position(|token| token.is_sign('('))?;
    solid.get(open.checked_sub(1)?)?.name()
}

/// The statement of a table without the masks that use a function of `lost`, and the columns that had one.
///
/// # Errors
/// Where it is no such statement.
pub fn without_masks(statement: &str, lost: &BTreeSet<String>) -> Result<(String, Vec<String>), cql::Error> {
    let tokens = cql::tokenize(statement)?;
    let (head, body, tail) = cql::split_body(&tokens)?;
    let (mut definitions, mut columns) = (Vec::new(), Vec::new());
    for part in cql::split_top(body, |token| token.is_sign(','))? {
        let is_lost = |mask: &[Token]| {
            let solid = cql::solid(mask);
            let system = solid.iter().any(|token| token.is_word("system"));
            !system && solid.last().and_then(|name| name.name()).is_some_and(|name| lost.contains(&name))
        };
        match unmasked(part, is_lost)? {
            None => definitions.push(cql::text(part)),
            Some((column, definition)) => {
                columns.push(column);
                definitions.push(definition);
            }
        }
    }
    Ok((format!("{}({}){}", cql::text(head), definitions.join(", "), cql::text(tail)), columns))
}

/// Those of the functions that the keyspace has by name, but not as they would be made.
pub fn others_of_the_name<'a>(functions: &'a [Function], there: &KeyspaceSchema) -> Vec<&'a Function> {
    let exists = |function: &&Function| {
        let same_kind = there.statements.iter().filter(|item| item.kind.eq_ignore_ascii_case(&function.kind));
        let existing: Vec<Vec<String>> = same_kind.filter_map(|item| words(&item.statement)).collect();
        let Some(ours) = words(&function.statement) else { return false };
        let name = |words: &[String]| words.iter().position(|word| word == "(").map(|open| words[open - 1].clone());
        existing.iter().any(|words| name(words) == name(&ours)) && !existing.contains(&ours)
    };
    functions.iter().filter(exists).collect()
}

/// The words of a CREATE statement, names without quotes, without `IF NOT EXISTS` and the end; `None` for what has no name.
fn words(statement: &str) -> Option<Vec<String>> {
    let tokens = cql::tokenize(statement).ok()?;
    let solid = cql::solid(&tokens).into_iter().filter(|token| !token.is_sign(';'));
    let mut words: Vec<String> = solid.map(|token| token.name().unwrap_or_else(|| token.text.clone())).collect();
    if words.get(2).is_some_and(|word| word == "if") {
        words.drain(2..words.len().min(5));
    }
    words.iter().position(|word| word == "(").filter(|open| *open > 0).map(|_| words)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::CreateStatement;

    const ALL: Languages = Languages { java: true, others: true };

    fn function(name: &str, language: &str) -> Function {
        let statement = format!(
            "CREATE FUNCTION IF NOT EXISTS \"to\".{name}(x int) RETURNS int LANGUAGE {language} AS $$ SFUNC (z) $$"
        );
        Function { kind: "function".into(), name: name.into(), statement }
    }

    fn aggregate(name: &str, of: &str) -> Function {
        let statement = format!("CREATE AGGREGATE IF NOT EXISTS \"to\".{name}(int) SFUNC {of} STYPE int INITCOND 0");
        Function { kind: "aggregate".into(), name: name.into(), statement }
    }

    fn all() -> Vec<Function> {
        vec![function("f", "java"), function("\"J\"", "javascript"), aggregate("a", "f"), aggregate("b", "\"J\"")]
    }

    #[test]
    fn what_a_destination_does_not_allow_is_left_out_with_what_uses_it() {
        let whole = choose(all(), ALL, |_| false);
        assert_eq!((whole.statements.len(), whole.left_out.len(), whole.lost.len()), (4, 0, 0));
        let java = choose(all(), Languages { others: false, ..ALL }, |_| false);
        assert_eq!(java.lost, BTreeSet::from(["J".to_owned(), "b".to_owned()]));
        assert!(java.left_out[0].contains("javascript") && java.left_out[1].contains("function J"), "{java:?}");
        let none = choose(all(), Languages { java: false, others: true }, |_| false);
        assert_eq!((none.statements.len(), none.left_out.len()), (0, 4));
        let typed = choose(all(), ALL, |statement| statement.contains(".f("));
        assert_eq!(typed.lost, BTreeSet::from(["a".to_owned(), "f".to_owned()]));
    }

    #[test]
    fn masks_go_with_their_functions_only() {
        let table = "CREATE TABLE IF NOT EXISTS \"to\".t (k int PRIMARY KEY, f int MASKED WITH \"to\".f(1, 'x'), g text MASKED WITH system.mask_default() static, h int MASKED WITH \"to\".h()) WITH comment = 'f'";
        let lost = BTreeSet::from(["f".to_owned(), "mask_default".to_owned()]);
        let (statement, columns) = without_masks(table, &lost).unwrap();
        assert_eq!(columns, ["f"]);
        assert_eq!(statement, table.replace(" MASKED WITH \"to\".f(1, 'x')", ""));
    }

    #[test]
    fn a_function_that_exists_otherwise_is_found() {
        let item = |kind: &str, statement: &str| CreateStatement {
            kind: kind.into(),
            name: "f".into(),
            statement: statement.into(),
        };
        let there = |statement: &str| KeyspaceSchema {
            name: "to".into(),
            replication: BTreeMap::new(),
            durable_writes: true,
            types: vec![],
            tables: vec![],
            statements: vec![item("function", statement), item("table", "CREATE TABLE \"to\".\"J\" (k int)")],
        };
        let functions = all();
        let same = there("CREATE FUNCTION to.f(x int)\n RETURNS int\n LANGUAGE java\n AS $$ SFUNC (z) $$;");
        assert!(others_of_the_name(&functions, &same).is_empty());
        let other = there("CREATE FUNCTION to.f(x int) RETURNS int LANGUAGE java AS $$ 2 $$;");
        assert_eq!(others_of_the_name(&functions, &other), [&functions[0]]);
    }
}
