//! The head of a captured statement: what it makes, and in which keyspace.
//!
//! A stored statement is text that somebody else wrote, and it is run with the rights of a restore. So it is taken only where its
//! first word is `CREATE`, followed by what it was stored as, and where it makes that in the keyspace it was captured from.

use crate::restore::schema::cql::Token;

/// What may stand between `CREATE` and the kind.
const BEFORE: [(&str, &str); 2] = [("INDEX", "CUSTOM"), ("VIEW", "MATERIALIZED")];

/// Kinds that are named by themselves and belong to a table, which is named after `ON`.
const OF_A_TABLE: [&str; 2] = ["INDEX", "TRIGGER"];

/// Name of what a statement makes, where it makes a `kind` in `keyspace`: of an index or trigger the name of its table. `solid` is the
/// statement without blanks, in the words of its capture.
pub(super) fn made(solid: &[&Token], kind: &str, keyspace: &str) -> Option<String> {
    let rest = behind_kind(solid, kind)?;
    let rest = match rest {
        [first, not, exists, rest @ ..] if first.is_word("IF") && not.is_word("NOT") && exists.is_word("EXISTS") => {
            rest
        }
        rest => rest,
    };
    let name = qualified(if OF_A_TABLE.contains(&kind) { behind_on(rest)? } else { rest }, keyspace)?;
    // A view may be of a table in its own keyspace only.
    let base = || rest.iter().position(|t| t.is_word("FROM")).and_then(|at| qualified(&rest[at + 1..], keyspace));
    (kind != "VIEW" || base().is_some()).then_some(name)
}

fn behind_kind<'a, 'b>(solid: &'a [&'b Token], kind: &str) -> Option<&'a [&'b Token]> {
    let (_, mut rest) = solid.split_first().filter(|(first, _)| first.is_word("CREATE"))?;
    let before = BEFORE.iter().find(|(of, _)| *of == kind).map(|(_, before)| before);
    if let (Some(before), Some((first, behind))) = (before, rest.split_first())
        && first.is_word(before)
    {
        rest = behind;
    }
    rest.split_first().filter(|(first, _)| first.is_word(kind)).map(|(_, behind)| behind)
}

fn behind_on<'a, 'b>(rest: &'a [&'b Token]) -> Option<&'a [&'b Token]> {
    match rest {
        [_, on, rest @ ..] if on.is_word("ON") => Some(rest),
        _ => None,
    }
}

/// The name at the start, where this keyspace qualifies it.
fn qualified(rest: &[&Token], keyspace: &str) -> Option<String> {
    match rest {
        [of, dot, name, ..] if of.name().as_deref() == Some(keyspace) && dot.is_sign('.') => name.name(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::schema::cql;

    fn made_of(statement: &str, kind: &str) -> Option<String> {
        let tokens = cql::tokenize(statement).unwrap();
        made(&cql::solid(&tokens), kind, "ks")
    }

    #[test]
    fn what_a_statement_makes_in_its_keyspace_is_told() {
        let taken = [
            ("TABLE", "create /* x */ table ks.t (k int PRIMARY KEY)", "t"),
            ("TABLE", "CREATE TABLE IF NOT EXISTS \"ks\".\"T\" (k int PRIMARY KEY)", "T"),
            ("TYPE", "CREATE TYPE ks.a (x int)", "a"),
            ("FUNCTION", "CREATE FUNCTION ks.f(x int) RETURNS int LANGUAGE java AS $$ $$", "f"),
            ("AGGREGATE", "CREATE AGGREGATE ks.a(int) SFUNC f STYPE int", "a"),
            ("INDEX", "CREATE INDEX i ON ks.t (v)", "t"),
            ("INDEX", "CREATE CUSTOM INDEX IF NOT EXISTS \"on\" ON ks.t (v)", "t"),
            ("VIEW", "CREATE MATERIALIZED VIEW ks.v AS SELECT * FROM ks.t WHERE k = 1 PRIMARY KEY (k)", "v"),
            ("TRIGGER", "CREATE TRIGGER \"x\" ON \"ks\".\"t\" USING 'a.B'", "t"),
        ];
        for (kind, statement, name) in taken {
            assert_eq!(made_of(statement, kind).as_deref(), Some(name), "{statement}");
        }
    }

    #[test]
    fn what_makes_something_else_or_elsewhere_is_not_taken() {
        let refused = [
            ("FUNCTION", "DROP FUNCTION IF EXISTS ks.f"),
            ("FUNCTION", "DROP FUNCTION IF EXISTS prod.f"),
            ("FUNCTION", "CREATE OR REPLACE FUNCTION ks.f() RETURNS int LANGUAGE java AS $$ $$"),
            ("FUNCTION", "CREATE FUNCTION prod.f() RETURNS int LANGUAGE java AS $$ $$"),
            ("FUNCTION", "CREATE FUNCTION f() RETURNS int LANGUAGE java AS $$ $$"),
            ("FUNCTION", "CREATE ROLE function WITH SUPERUSER = true"),
            ("AGGREGATE", "CREATE FUNCTION ks.aggregate() RETURNS int LANGUAGE java AS $$ $$"),
            ("TYPE", "ALTER TYPE ks.a ADD y int"),
            ("TYPE", "CREATE TYPE prod.a (x int)"),
            ("TABLE", "CREATE MATERIALIZED TABLE ks.t (k int PRIMARY KEY)"),
            ("TABLE", "TRUNCATE TABLE ks.t"),
            ("TABLE", "CREATE TABLE IF EXISTS ks.t (k int PRIMARY KEY)"),
            ("INDEX", "DROP INDEX ks.i"),
            ("INDEX", "CREATE INDEX i ON prod.t (v)"),
            ("INDEX", "CREATE INDEX ON ks.t (v)"),
            ("VIEW", "CREATE MATERIALIZED VIEW prod.v AS SELECT * FROM ks.t WHERE k = 1 PRIMARY KEY (k)"),
            ("VIEW", "CREATE MATERIALIZED VIEW ks.v AS SELECT * FROM prod.t WHERE k = 1 PRIMARY KEY (k)"),
            ("VIEW", "CREATE MATERIALIZED VIEW ks.v AS SELECT *"),
            ("TABLE", ""),
            ("TABLE", "CREATE"),
        ];
        for (kind, statement) in refused {
            assert_eq!(made_of(statement, kind), None, "{statement}");
        }
    }
}
