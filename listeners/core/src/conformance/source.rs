//! Rules for [`Source`].

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};

use super::{Broken, Rule, Suite, done, ensure};
use crate::{
    check::Status,
    failure::Failure,
    source::{Source, Uses},
};

/// A kind of source, with what it takes and what it refuses.
pub trait Subject: Send + Sync {
    /// The implementation.
    fn source(&self) -> &dyn Source;

    /// A specification that is well formed; what it names need not be there.
    fn spec(&self) -> Value;

    /// Specifications that are refused, with a word that the message must have.
    fn wrong_specs(&self) -> Vec<(Value, &'static str)>;

    /// What that specification has the host execute and read.
    fn uses(&self) -> Uses;

    /// Options of a policy that are good, beside none.
    fn options(&self) -> Vec<Value>;
}

/// Runs all rules.
///
/// # Errors
/// [`Broken`] naming every rule that is not kept.
pub async fn all(subject: &dyn Subject) -> Result<(), Broken> {
    let mut suite = Suite::default();
    suite.rule("the kind is a lower-case word", async { kind(subject) }).await;
    suite.rule("specifications are checked by field", async { specifications(subject) }).await;
    suite.rule("all that a specification names on the host is told", async { uses(subject) }).await;
    suite.rule("options are checked by field", async { options(subject) }).await;
    suite.rule("options of restores are checked by field", async { restore_options(subject) }).await;
    suite.rule("undeclared options are options", async { undeclared(subject) }).await;
    suite.rule("listeners have names of their own and show no secret", listeners(subject)).await;
    suite.rule("a wrong specification fails its check", checks(subject)).await;
    suite.end()
}

fn kind(subject: &dyn Subject) -> Rule {
    let kind = subject.source().kind();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure(!kind.is_empty() && kind.chars().all(plain), || format!("{kind:?}"))
}

fn specifications(subject: &dyn Subject) -> Rule {
    let source = subject.source();
    done("the good one", source.validate(&subject.spec()))?;
    for (wrong, word) in subject.wrong_specs() {
        refused(source.validate(&wrong), &wrong, word)?;
    }
    [json!(null), json!([]), json!("x")].iter().try_for_each(|wrong| refused(source.validate(wrong), wrong, ""))
}

fn uses(subject: &dyn Subject) -> Rule {
    let (source, spec) = (subject.source(), subject.spec());
    let found = done("the good one", source.uses(&spec))?;
    ensure(found == subject.uses(), || format!("it uses {found:?}, not {:?}", subject.uses()))?;
    let told = |path: &str| {
        let in_line = found.programs.iter().flatten().any(|word| word.contains(path));
        in_line || found.credentials.iter().chain(&found.data).any(|known| known == Path::new(path))
    };
    if let Some(path) = paths(&spec).into_iter().find(|path| !told(path)) {
        return Err(format!("{path} is in the specification, and not among what it uses"));
    }
    ensure(!found.programs.iter().any(Vec::is_empty), || "a command line without a program".to_owned())?;
    subject.wrong_specs().iter().try_for_each(|(wrong, word)| refused(source.uses(wrong).map(drop), wrong, word))
}

/// Texts of a specification that are absolute paths, also those of references to files.
fn paths(spec: &Value) -> Vec<String> {
    match spec {
        Value::String(text) => {
            let path = text.strip_prefix("file:").unwrap_or(text);
            path.starts_with('/').then(|| path.to_owned()).into_iter().collect()
        }
        Value::Array(items) => items.iter().flat_map(paths).collect(),
        Value::Object(fields) => fields.values().flat_map(paths).collect(),
        _ => Vec::new(),
    }
}

fn options(subject: &dyn Subject) -> Rule {
    let source = subject.source();
    for good in subject.options().iter().chain([&json!({})]) {
        done(&good.to_string(), source.validate_options(good))?;
    }
    strict(|options| source.validate_options(options))
}

fn restore_options(subject: &dyn Subject) -> Rule {
    let restorer = subject.source().restorer();
    done("none", restorer.validate_options(&json!({})))?;
    strict(|options| restorer.validate_options(options))
}

/// What is no object, and a field that nobody knows, are refused.
fn strict(validate: impl Fn(&Value) -> Result<(), Failure>) -> Rule {
    let unknown = json!({"no_such_option": 1});
    refused(validate(&unknown), &unknown, "no_such_option")?;
    [json!(null), json!([]), json!("x")].iter().try_for_each(|wrong| refused(validate(wrong), wrong, ""))
}

fn refused(result: Result<(), Failure>, what: &Value, word: &str) -> Rule {
    match result {
        Ok(()) => Err(format!("{what} is taken")),
        Err(failure) => ensure(!failure.retryable && failure.message.contains(word), || {
            format!("{what} is refused with {failure:?}, which does not name {word:?} or asks to try again")
        }),
    }
}

fn undeclared(subject: &dyn Subject) -> Rule {
    let (source, own) = (subject.source(), subject.options());
    let named: Vec<Vec<&Value>> = own.iter().map(|options| vec![options]).chain([Vec::new()]).collect();
    for policies in [&[][..], &named[..1], &named[..]] {
        let options = source.undeclared(policies);
        done(&options.to_string(), source.validate_options(&options))?;
    }
    Ok(())
}

async fn listeners(subject: &dyn Subject) -> Rule {
    let specs = done("listeners", subject.source().listeners(&subject.spec()).await)?;
    let ids: BTreeSet<&str> = specs.iter().map(|spec| spec.id.as_str()).collect();
    ensure(ids.len() == specs.len() && !ids.contains(""), || format!("ids {ids:?} of {} listeners", specs.len()))?;
    for spec in &specs {
        let shown =
            |secret: &str| !secret.is_empty() && spec.arguments.iter().any(|argument| argument.contains(secret));
        let leaks = spec.secret_environment.iter().any(|(_, secret)| shown(secret));
        ensure(!leaks, || format!("the arguments of {} show a secret", spec.id))?;
        ensure(!spec.program.is_empty(), || format!("{} has no program", spec.id))?;
    }
    Ok(())
}

async fn checks(subject: &dyn Subject) -> Rule {
    for (wrong, _) in subject.wrong_specs() {
        let lines = subject.source().check(&wrong).await;
        ensure(lines.iter().any(|line| line.status == Status::Fail), || format!("{wrong} gives {lines:?}"))?;
    }
    Ok(())
}
