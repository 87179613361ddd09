//! What each command asks of the API, and how its answer is printed.

mod body;
mod limits;
mod policy;

use std::time::Duration;

use serde_json::json;
use tidemark_gateway::Env;

use super::{
    Error,
    args::{
        Arguments, ClusterCommand, Command, Format, GcCommand, ObjectCommand, OpCommand, ProtectArguments,
        ReasonArguments, RestoreCommand, SourceCommand, StoreCommand, VersionArguments, VersionCommand, WaitArguments,
    },
    exit,
    output::{self, Explanation},
    wait,
};
use crate::{
    api::{
        AcceptedStore, AddSource, AddStore, ChangeStore, ChangeVersion, CheckStatus, Checklist, Cluster, Collect,
        GcPreview, List, Object, Operation, Protect, RepairedSet, RestorePlan, Source, Store, StoreUsage, Version,
        VersionDetail, VersionSize,
    },
    client::Client,
    control::Tagged,
    explain,
};
use body::{read_json, restore, within};

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
        Command::Object(ObjectCommand::Tree { source, unprotected }) => {
            let asked = if *unprotected { "?unprotected=true" } else { "" };
            let path = format!("/api/v1/sources/{}/objects{asked}", segment(source));
            call.list::<Object>(&path).await
        }
        Command::Protect(what) => call.protect(what).await,
        Command::Policy(command) => call.policy(command).await,
        Command::Version(command) => call.version(command).await,
        Command::Restore(command) => call.restore(command).await,
        Command::Op(command) => call.operation(command).await,
        Command::Gc(command) => call.collection(command).await,
        Command::Cluster(command) => call.cluster(command).await,
        Command::Explain { code } => explain(code, arguments.output),
    }
}

/// Prints the page of an error code.
pub(super) fn explain(code: &str, format: Format) -> Result<u8, Error> {
    let code = code.trim().to_ascii_uppercase();
    let page = explain::page(&code).ok_or_else(|| Error::UnknownCode(code.clone()))?;
    output::print(&Explanation { code, page: page.to_owned() }, format).map_err(Error::Output)?;
    Ok(exit::OK)
}

impl Call<'_> {
    async fn store(&self, command: &StoreCommand) -> Result<u8, Error> {
        match command {
            StoreCommand::Add { name, url, credentials, listener_credentials, limits } => {
                let body = AddStore {
                    name: name.clone(),
                    url: url.clone(),
                    credentials: credentials.clone(),
                    listener_credentials: listener_credentials.clone(),
                    limits: limits::edited(None, limits, [])?,
                };
                let store: Store = self.client.post("/api/v1/stores", &body, None).await?;
                self.print(&store)
            }
            StoreCommand::Edit { name, limits, clear } => {
                // One that is changed by somebody else meanwhile is left alone.
                let path = format!("/api/v1/stores/{}", segment(name));
                let seen: Tagged<Store> = self.client.get_tagged(&path).await?;
                let limits = limits::edited(seen.value.limits, limits, clear.iter().copied())?;
                let changed: Store = self.client.put(&path, &ChangeStore { limits }, &seen.etag).await?;
                self.print(&changed)
            }
            StoreCommand::List => self.list::<Store>("/api/v1/stores").await,
            StoreCommand::Show { name } => self.show::<Store>(&format!("/api/v1/stores/{}", segment(name))).await,
            StoreCommand::Usage { name } => {
                self.show::<StoreUsage>(&format!("/api/v1/stores/{}/usage", segment(name))).await
            }
            StoreCommand::Test { name } => self.check(&format!("/api/v1/stores/{}/test", segment(name))).await,
            StoreCommand::Accept { name, confirm } => {
                let (path, body) = (format!("/api/v1/stores/{}/accept", segment(name)), json!({"confirm": confirm}));
                let accepted: AcceptedStore = self.client.post(&path, &body, None).await?;
                self.print(&accepted)
            }
        }
    }

    async fn source(&self, command: &SourceCommand) -> Result<u8, Error> {
        match command {
            SourceCommand::Add { name, kind, spec } => {
                let body = AddSource { name: name.clone(), kind: kind.clone(), spec: read_json(spec)? };
                let source: Source = self.client.post("/api/v1/sources", &body, None).await?;
                self.print(&source)
            }
            SourceCommand::List => self.list::<Source>("/api/v1/sources").await,
            SourceCommand::Show { name } => self.show::<Source>(&format!("/api/v1/sources/{}", segment(name))).await,
            SourceCommand::Confirm { name } => {
                let path = format!("/api/v1/sources/{}/confirm", segment(name));
                let source: Source = self.client.post(&path, &json!({}), None).await?;
                self.print(&source)
            }
            SourceCommand::Test { name } => self.check(&format!("/api/v1/sources/{}/test", segment(name))).await,
        }
    }

    async fn protect(&self, what: &ProtectArguments) -> Result<u8, Error> {
        let ProtectArguments { target, to, policy: name, says, yes, wait: _ } = what;
        let body = Protect { policy: policy::new(name.as_deref(), target, to, says)? };
        let path = self.agreed("/api/v1/protect", &body.policy, *yes).await?;
        let operation = self.start(&path, &body, &what.wait).await?;
        self.finish(operation, &what.wait).await
    }

    async fn version(&self, command: &VersionCommand) -> Result<u8, Error> {
        match command {
            VersionCommand::List { source, policy, expired, collected, fences } => {
                let mut query: Vec<String> = [("source", source), ("policy", policy)]
                    .into_iter()
                    .filter_map(|(name, value)| Some(format!("{name}={}", segment(value.as_deref()?))))
                    .collect();
                let flags = [("expired", *expired), ("collected", *collected), ("fences", *fences)];
                query.extend(flags.into_iter().filter(|(_, given)| *given).map(|(name, _)| format!("{name}=true")));
                self.list::<Version>(&format!("/api/v1/versions?{}", query.join("&"))).await
            }
            VersionCommand::Show(what) => self.show::<VersionDetail>(&path_of(what)?).await,
            VersionCommand::Expire(what) => self.change("expire", what).await,
            VersionCommand::Unexpire(what) => self.change("unexpire", what).await,
            VersionCommand::Hold(what) => self.change("hold", what).await,
            VersionCommand::Release(what) => self.change("release", what).await,
            VersionCommand::Size(what) => self.show::<VersionSize>(&(path_of(what)? + "/size")).await,
            VersionCommand::Verify { version, wait } => {
                let path = path_of(version)? + "/verify";
                let operation = self.start(&path, &json!({}), wait).await?;
                self.finish(operation, wait).await
            }
            VersionCommand::Repair { set, store } => {
                let named = within(store.as_deref(), set)?;
                let (store, set) = named.split_once(':').map_or((None, named.as_str()), |(at, set)| (Some(at), set));
                let (source, set) =
                    set.split_once('.').ok_or_else(|| Error::Usage(format!("{set:?} is not SOURCE.POLICY")))?;
                let query = store.map(|store| format!("?store={}", segment(store))).unwrap_or_default();
                let path = format!("/api/v1/sets/{}/{}/repair{query}", segment(source), segment(set));
                let repaired: RepairedSet = self.client.post(&path, &json!({}), None).await?;
                self.print(&repaired)
            }
        }
    }

    async fn change(&self, what: &str, arguments: &ReasonArguments) -> Result<u8, Error> {
        let ReasonArguments { version, reason } = arguments;
        let path = format!("{}/{what}", path_of(version)?);
        let version: Version = self.client.post(&path, &ChangeVersion { reason: reason.clone() }, None).await?;
        self.print(&List { items: vec![version], next_page_token: None })
    }

    async fn collection(&self, command: &GcCommand) -> Result<u8, Error> {
        match command {
            GcCommand::Preview { store, source, all } => {
                let source = source.as_deref().map(|source| format!("&source={}", segment(source)));
                let path = format!("/api/v1/gc/preview?store={}&all={all}", segment(store));
                self.show::<GcPreview>(&(path + &source.unwrap_or_default())).await
            }
            GcCommand::Run { store, source, wait } => {
                let body = Collect { store: store.clone(), source: source.clone() };
                let operation = self.start("/api/v1/gc", &body, wait).await?;
                self.finish(operation, wait).await
            }
        }
    }

    async fn restore(&self, command: &RestoreCommand) -> Result<u8, Error> {
        match command {
            RestoreCommand::Plan { what, count: true } => {
                let wait = WaitArguments { wait: Some(0), idempotency_key: None };
                let operation = self.start("/api/v1/restores/count", &restore(what)?, &wait).await?;
                self.finish(operation, &wait).await
            }
            RestoreCommand::Plan { what, .. } | RestoreCommand::Run { what, dry_run: true, .. } => {
                let plan: RestorePlan = self.client.post("/api/v1/restores/plan", &restore(what)?, None).await?;
                let refused = plan.checks.iter().any(|line| line.status == CheckStatus::Fail);
                self.print(&plan)?;
                Ok(if refused { exit::CONFLICT } else { exit::OK })
            }
            RestoreCommand::Run { what, wait, .. } => {
                let operation = self.start("/api/v1/restores", &restore(what)?, wait).await?;
                self.finish(operation, wait).await
            }
        }
    }

    async fn cluster(&self, command: &ClusterCommand) -> Result<u8, Error> {
        let change = async |node: &str, verb: &str| {
            let path = format!("/api/v1/cluster/nodes/{}/{verb}", segment(node));
            let cluster: Cluster = self.client.post(&path, &json!({}), None).await?;
            self.print(&cluster)
        };
        match command {
            ClusterCommand::Status => self.show::<Cluster>("/api/v1/cluster").await,
            ClusterCommand::Drain { node } => change(node, "drain").await,
            ClusterCommand::Undrain { node } => change(node, "undrain").await,
        }
    }

    async fn operation(&self, command: &OpCommand) -> Result<u8, Error> {
        let path = |id: &str| format!("/api/v1/operations/{}", segment(id));
        match command {
            OpCommand::List { of } => {
                let of = of.as_ref().map(|of| format!("?of={}", segment(of))).unwrap_or_default();
                self.list::<Operation>(&format!("/api/v1/operations{of}")).await
            }
            OpCommand::Show { id } => self.show::<Operation>(&path(id)).await,
            OpCommand::Watch { id } => {
                let operation: Operation = self.client.get(&path(id)).await?;
                let operation = wait::follow(self.arguments, self.client, self.env, operation, None).await?;
                self.print(&operation)?;
                Ok(exit::of_operation(&operation))
            }
            OpCommand::Resume { id } => {
                let operation: Operation = self.client.post(&format!("{}/resume", path(id)), &json!({}), None).await?;
                self.print(&operation)
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
        Ok(match checklist.status {
            CheckStatus::Ok => exit::OK,
            CheckStatus::Warn => exit::WARNINGS,
            CheckStatus::Fail => exit::FAILED,
        })
    }

    async fn show<T: serde::de::DeserializeOwned + output::Printed>(&self, path: &str) -> Result<u8, Error> {
        let answer: T = self.client.get(path).await?;
        self.print(&answer)
    }

    /// Prints a list with all its pages.
    async fn list<T>(&self, path: &str) -> Result<u8, Error>
    where
        T: serde::de::DeserializeOwned,
        List<T>: output::Printed,
    {
        let all: List<T> = self.client.get_all(path).await?;
        self.print(&all)
    }

    fn print<T: output::Printed>(&self, answer: &T) -> Result<u8, Error> {
        output::print(answer, self.arguments.output).map_err(Error::Output)?;
        Ok(exit::OK)
    }
}

/// Where the API has a version.
fn path_of(VersionArguments { id, store }: &VersionArguments) -> Result<String, Error> {
    Ok(format!("/api/v1/versions/{}", segment(&within(store.as_deref(), id)?)))
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn every_command_on_a_version_takes_its_store_in_either_form() {
        let path = |words: &[&str]| {
            let arguments = Arguments::try_parse_from(["tidemark", "version"].iter().chain(words)).unwrap();
            let Command::Version(command) = arguments.command else { panic!("{words:?}") };
            path_of(match &command {
                VersionCommand::Show(version) | VersionCommand::Size(version) => version,
                VersionCommand::Verify { version, .. } => version,
                VersionCommand::Expire(what)
                | VersionCommand::Unexpire(what)
                | VersionCommand::Hold(what)
                | VersionCommand::Release(what) => &what.version,
                VersionCommand::List { .. } | VersionCommand::Repair { .. } => panic!("{words:?}"),
            })
        };
        for command in ["show", "size", "verify", "expire", "unexpire", "hold", "release"] {
            let at = "/api/v1/versions/main%3Aa.b.1";
            assert_eq!(path(&[command, "a.b.1", "--store", "main"]).unwrap(), at);
            assert_eq!(path(&[command, "main:a.b.1"]).unwrap(), at);
            assert_eq!(path(&[command, "main:a.b.1", "--store", "main"]).unwrap(), at);
            assert_eq!(path(&[command, "a.b.1"]).unwrap(), "/api/v1/versions/a.b.1");
            let two = path(&[command, "main:a.b.1", "--store", "other"]).unwrap_err().to_string();
            assert!(two.contains("main:a.b.1") && two.contains("--store other"), "{two}");
        }
    }

    #[test]
    fn names_cannot_leave_their_place_in_a_url() {
        assert_eq!(segment("../a b?x=1&y#z"), "..%2Fa%20b%3Fx%3D1%26y%23z");
    }
}
