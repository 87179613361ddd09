//! What each command asks of the API, and how its answer is printed.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::json;
use tidemark_gateway::Env;

use super::{
    Error,
    args::{
        Arguments, Command, ObjectCommand, OpCommand, PolicyCommand, ProtectArguments, RestoreArguments,
        RestoreCommand, SourceCommand, StoreCommand, VersionCommand, WaitArguments,
    },
    exit, output, wait,
};
use crate::{
    api::{
        AddSource, AddStore, Checklist, List, Object, Operation, Policy, Protect, Restore, RestorePlan, Source, Store,
        Version, VersionDetail,
    },
    client::Client,
};

/// One call of the command line: what it was given and what it talks to.
struct Call<'a> {
    arguments: &'a Arguments,
    client: &'a Client,
    env: &'a Env,
}

/// Runs the command; returns its exit code.
pub(super) async fn run(arguments: &Arguments, client: &Client, env: &Env) -> Result<u8, Error> {
    let call = Call { arguments, client, env };
    match &arguments.command {
        Command::Store(command) => call.store(command).await,
        Command::Source(command) => call.source(command).await,
        Command::Object(ObjectCommand::Tree { source }) => {
            let path = format!("/api/v1/sources/{}/objects", segment(source));
            call.show::<List<Object>>(&path).await
        }
        Command::Protect(what) => call.protect(what).await,
        Command::Policy(command) => call.policy(command).await,
        Command::Version(command) => call.version(command).await,
        Command::Restore(command) => call.restore(command).await,
        Command::Op(command) => call.operation(command).await,
    }
}

impl Call<'_> {
    async fn store(&self, command: &StoreCommand) -> Result<u8, Error> {
        match command {
            StoreCommand::Add { name, url, credentials, listener_credentials } => {
                let body = AddStore {
                    name: name.clone(),
                    url: url.clone(),
                    credentials: credentials.clone(),
                    listener_credentials: listener_credentials.clone(),
                };
                let store: Store = self.client.post("/api/v1/stores", &body, None).await?;
                self.print(&store)
            }
            StoreCommand::List => self.show::<List<Store>>("/api/v1/stores").await,
            StoreCommand::Test { name } => self.check(&format!("/api/v1/stores/{}/test", segment(name))).await,
        }
    }

    async fn source(&self, command: &SourceCommand) -> Result<u8, Error> {
        match command {
            SourceCommand::Add { name, kind, spec } => {
                let body = AddSource { name: name.clone(), kind: kind.clone(), spec: read_json(spec)? };
                let source: Source = self.client.post("/api/v1/sources", &body, None).await?;
                self.print(&source)
            }
            SourceCommand::List => self.show::<List<Source>>("/api/v1/sources").await,
            SourceCommand::Show { name } => self.show::<Source>(&format!("/api/v1/sources/{}", segment(name))).await,
            SourceCommand::Test { name } => self.check(&format!("/api/v1/sources/{}/test", segment(name))).await,
        }
    }

    async fn protect(&self, what: &ProtectArguments) -> Result<u8, Error> {
        let body = Protect { policy: policy(what)? };
        let operation = self.start("/api/v1/protect", &body, &what.wait).await?;
        self.finish(operation, &what.wait).await
    }

    async fn policy(&self, command: &PolicyCommand) -> Result<u8, Error> {
        match command {
            PolicyCommand::List => self.show::<List<Policy>>("/api/v1/policies").await,
            PolicyCommand::Run { name, wait } => {
                let path = format!("/api/v1/policies/{}/run", segment(name));
                let operation = self.start(&path, &json!({}), wait).await?;
                self.finish(operation, wait).await
            }
        }
    }

    async fn version(&self, command: &VersionCommand) -> Result<u8, Error> {
        match command {
            VersionCommand::List { source, policy } => {
                let query: Vec<String> = [("source", source), ("policy", policy)]
                    .into_iter()
                    .filter_map(|(name, value)| Some(format!("{name}={}", segment(value.as_deref()?))))
                    .collect();
                self.show::<List<Version>>(&format!("/api/v1/versions?{}", query.join("&"))).await
            }
            VersionCommand::Show { id } => {
                self.show::<VersionDetail>(&format!("/api/v1/versions/{}", segment(id))).await
            }
            VersionCommand::Verify { id, wait } => {
                let path = format!("/api/v1/versions/{}/verify", segment(id));
                let operation = self.start(&path, &json!({}), wait).await?;
                self.finish(operation, wait).await
            }
        }
    }

    async fn restore(&self, command: &RestoreCommand) -> Result<u8, Error> {
        match command {
            RestoreCommand::Plan(what) | RestoreCommand::Run { what, dry_run: true, .. } => {
                let plan: RestorePlan = self.client.post("/api/v1/restores/plan", &restore(what)?, None).await?;
                let refused = plan.checks.iter().any(|line| line.status == "fail");
                self.print(&plan)?;
                Ok(if refused { exit::CONFLICT } else { exit::OK })
            }
            RestoreCommand::Run { what, wait, .. } => {
                let operation = self.start("/api/v1/restores", &restore(what)?, wait).await?;
                self.finish(operation, wait).await
            }
        }
    }

    async fn operation(&self, command: &OpCommand) -> Result<u8, Error> {
        let path = |id: &str| format!("/api/v1/operations/{}", segment(id));
        match command {
            OpCommand::List => self.show::<List<Operation>>("/api/v1/operations").await,
            OpCommand::Show { id } => self.show::<Operation>(&path(id)).await,
            OpCommand::Watch { id } => {
                let operation: Operation = self.client.get(&path(id)).await?;
                let operation = wait::follow(self.arguments, self.client, self.env, operation, None).await?;
                self.print(&operation)?;
                Ok(exit::of_operation(&operation))
            }
            OpCommand::Cancel { id } => {
                let operation: Operation = self.client.post(&format!("{}/cancel", path(id)), &json!({}), None).await?;
                self.print(&operation)
            }
        }
    }

    /// Starts work under the caller's or a new idempotency key.
    async fn start<B: serde::Serialize>(&self, path: &str, body: &B, wait: &WaitArguments) -> Result<Operation, Error> {
        let key = wait.idempotency_key.clone().unwrap_or_else(|| self.env.id().to_string());
        Ok(self.client.post(path, body, Some(&key)).await?)
    }

    /// Prints the operation: as it started, or as it ended where the caller waits.
    async fn finish(&self, operation: Operation, wait: &WaitArguments) -> Result<u8, Error> {
        let Some(seconds) = wait.wait else { return self.print(&operation) };
        let limit = (seconds > 0).then(|| Duration::from_secs(seconds));
        let operation = wait::follow(self.arguments, self.client, self.env, operation, limit).await?;
        self.print(&operation)?;
        Ok(exit::of_operation(&operation))
    }

    async fn check(&self, path: &str) -> Result<u8, Error> {
        let checklist: Checklist = self.client.post(path, &json!({}), None).await?;
        self.print(&checklist)?;
        Ok(match checklist.status.as_str() {
            "ok" => exit::OK,
            "warn" => exit::WARNINGS,
            _ => exit::FAILED,
        })
    }

    async fn show<T: serde::de::DeserializeOwned + output::Printed>(&self, path: &str) -> Result<u8, Error> {
        let answer: T = self.client.get(path).await?;
        self.print(&answer)
    }

    fn print<T: output::Printed>(&self, answer: &T) -> Result<u8, Error> {
        output::print(answer, self.arguments.output).map_err(Error::Output)?;
        Ok(exit::OK)
    }
}

/// A value as one path or query segment of a URL.
fn segment(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn read_json(path: &Path) -> Result<serde_json::Value, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.display().to_string(), source })?;
    serde_json::from_str(&text).map_err(|error| Error::Usage(format!("{} is not JSON: {error}", path.display())))
}

fn policy(what: &ProtectArguments) -> Result<Policy, Error> {
    let (source, pattern) = match what.target.split_once('/') {
        Some((source, pattern)) => (source, Some(pattern.to_owned())),
        None => (what.target.as_str(), None),
    };
    let objects: Vec<String> = what.objects.iter().cloned().chain(pattern).collect();
    if objects.is_empty() {
        return Err(Error::Usage("nothing to protect: give SOURCE/PATTERN or --object".to_owned()));
    }
    Ok(Policy {
        name: what.policy.clone().unwrap_or_else(|| source.to_owned()),
        source: source.to_owned(),
        objects,
        store: what.to.clone(),
        write_level: what.write_level.clone(),
        repaired: what.repaired,
    })
}

fn restore(what: &RestoreArguments) -> Result<Restore, Error> {
    let replication = what.replication.as_deref().map(parse_replication).transpose()?;
    Ok(Restore {
        version: what.version.clone(),
        objects: what.objects.clone(),
        to: what.to.clone(),
        rename: what.rename.iter().map(|text| parse_rename(text)).collect::<Result<_, _>>()?,
        replication,
        write_level: what.write_level.clone(),
        into_non_empty: what.into_non_empty.clone(),
        accept_degraded: what.accept_degraded,
    })
}

fn parse_rename(text: &str) -> Result<(String, String), Error> {
    let parts = text.split_once('=').filter(|(from, to)| !from.is_empty() && !to.is_empty());
    parts
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .ok_or_else(|| Error::Usage(format!("--rename {text:?} is not FROM=TO")))
}

fn parse_replication(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let refuse = |reason: &str| Error::Usage(format!("--replication {text:?} {reason}"));
    let value: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| refuse(&format!("is not a JSON object: {error}")))?;
    let plain = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(text) => Ok((name, text)),
        serde_json::Value::Number(number) => Ok((name, number.to_string())),
        _ => Err(refuse("holds more than texts and numbers")),
    };
    value.into_iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_a_url() {
        assert_eq!(segment("../a b?x=1&y#z"), "..%2Fa%20b%3Fx%3D1%26y%23z");
    }

    #[test]
    fn a_rename_needs_both_sides() {
        assert_eq!(parse_rename("a=b").unwrap(), ("a".to_owned(), "b".to_owned()));
        assert!(parse_rename("a=").is_err());
        assert!(parse_rename("ab").is_err());
    }

    #[test]
    fn replication_takes_texts_and_numbers() {
        let parsed = parse_replication(r#"{"class":"SimpleStrategy","replication_factor":3}"#).unwrap();
        assert_eq!(parsed["replication_factor"], "3");
        assert!(parse_replication("[]").is_err());
    }
}
