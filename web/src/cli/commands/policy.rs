//! Commands on policies.

use std::io::{IsTerminal as _, Write as _};

use serde_json::{Value, json};
use tidemark_catalog::retention::{Retention, Rules};
use tokio::sync::oneshot;

use super::{
    super::{
        Error,
        args::{Clear, ClearLimit, Format, PolicyCommand, PolicySays},
        output::Printed as _,
    },
    Call,
    body::options,
    limits, segment,
};
use crate::{
    api::{ChangedPolicy, ComingRun, Keep, List, Policy, PolicyDetail, PolicyPreview, RemovedPolicy, Schedule},
    control::Tagged,
};

const POLICIES: &str = "/api/v1/policies";

impl Call<'_> {
    pub(super) async fn policy(&self, command: &PolicyCommand) -> Result<u8, Error> {
        match command {
            PolicyCommand::Create { name, target, to, says, yes } => {
                let body = new(Some(name), target, to, says)?;
                let path = self.agreed(POLICIES, &body, *yes).await?;
                let policy: Policy = self.client.post(&path, &body, None).await?;
                self.print(&policy)
            }
            PolicyCommand::List => self.list::<PolicyDetail>(POLICIES).await,
            PolicyCommand::Show { name } => self.show::<PolicyDetail>(&path(name, "")).await,
            PolicyCommand::Edit { name, says, clear, yes } => self.edit(name, says, clear, *yes).await,
            PolicyCommand::Pause { name } => self.say(&path(name, "/pause")).await,
            PolicyCommand::Resume { name } => self.say(&path(name, "/resume")).await,
            PolicyCommand::Confirm { name, yes } => {
                let seen: PolicyDetail = self.client.get(&path(name, "")).await?;
                let agreed = self.agreed(&path(name, "/confirm"), &seen.policy, *yes).await?;
                self.say(&agreed).await
            }
            PolicyCommand::Delete { name } => {
                let seen: Tagged<PolicyDetail> = self.client.get_tagged(&path(name, "")).await?;
                let removed: RemovedPolicy = self.client.delete(&path(name, ""), &seen.etag).await?;
                self.print(&removed)
            }
            PolicyCommand::Run { name, wait } => {
                let operation = self.start(&path(name, "/run"), &json!({}), wait).await?;
                self.finish(operation, wait).await
            }
            PolicyCommand::Next { name, count } => {
                self.show::<List<ComingRun>>(&path(name, &format!("/next?count={count}"))).await
            }
            PolicyCommand::Preview { name } => self.show::<PolicyPreview>(&path(name, "/preview")).await,
        }
    }

    async fn say(&self, path: &str) -> Result<u8, Error> {
        let detail: PolicyDetail = self.client.post(path, &json!({}), None).await?;
        self.print(&detail)
    }

    /// Changes the policy as it is seen now; one that is changed by somebody else meanwhile is left alone.
    async fn edit(&self, name: &str, says: &PolicySays, clear: &[Clear], yes: bool) -> Result<u8, Error> {
        let path = path(name, "");
        let seen: Tagged<PolicyDetail> = self.client.get_tagged(&path).await?;
        let policy = edited(&seen.value.policy, says, clear)?;
        let mut consent = String::new();
        // The rule may have rested although it is the same.
        if policy.keep.is_some() {
            let tried: ChangedPolicy = self.client.put(&trying(&path), &policy, &seen.etag).await?;
            consent = self.consent(tried, yes).await?;
        }
        let changed: ChangedPolicy = self.client.put(&format!("{path}{consent}"), &policy, &seen.etag).await?;
        self.print(&changed)
    }

    /// `path` with the consent to what the retention of a new policy lets go of versions that are there.
    pub(super) async fn agreed(&self, path: &str, policy: &Policy, yes: bool) -> Result<String, Error> {
        if policy.keep.is_none() {
            return Ok(path.to_owned());
        }
        let tried: ChangedPolicy = self.client.post(&trying(POLICIES), policy, None).await?;
        Ok(format!("{path}{}", self.consent(tried, yes).await?))
    }

    /// The query that agrees to what was tried, once somebody did.
    async fn consent(&self, tried: ChangedPolicy, yes: bool) -> Result<String, Error> {
        let Some(preview) = tried.preview else { return Ok(String::new()) };
        let query = preview.consent.as_ref().map(|consent| format!("?consent={consent}"));
        if query.is_some() && !yes {
            confirm(preview, self.arguments.output).await?;
        }
        Ok(query.unwrap_or_default())
    }
}

fn path(name: &str, more: &str) -> String {
    format!("{POLICIES}/{}{more}", segment(name))
}

fn trying(path: &str) -> String {
    format!("{path}?dry_run=true")
}

/// Shows on stderr what would go, and asks where somebody may answer.
async fn confirm(mut preview: PolicyPreview, format: Format) -> Result<(), Error> {
    let unconfirmed = Err(Error::Unconfirmed(preview.newly_going));
    if format == Format::Json {
        return unconfirmed;
    }
    preview.versions.retain(|version| version.newly_going);
    eprint!("{}", preview.text());
    if !std::io::stdin().is_terminal() {
        return unconfirmed;
    }
    eprint!("Let these versions go? Type yes: ");
    let _ = std::io::stderr().flush();
    // A thread of its own: the runtime would wait for one of its threads, and so an interrupt for an answer.
    let (answer, answered) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        let _ = answer.send(line);
    });
    match answered.await {
        Ok(line) if line.trim() == "yes" => Ok(()),
        _ => unconfirmed,
    }
}

/// A new policy.
pub(super) fn new(name: Option<&str>, target: &str, to: &str, says: &PolicySays) -> Result<Policy, Error> {
    let (source, pattern) = match target.split_once('/') {
        Some((source, pattern)) => (source, Some(pattern.to_owned())),
        None => (target, None),
    };
    let objects: Vec<String> = says.objects.iter().cloned().chain(pattern).collect();
    if objects.is_empty() {
        return Err(Error::Usage("nothing to protect: give SOURCE/PATTERN or --object".to_owned()));
    }
    let plain = Policy {
        name: name.unwrap_or(source).to_owned(),
        source: source.to_owned(),
        objects: Vec::new(),
        excludes: Vec::new(),
        store: to.to_owned(),
        schedule: None,
        keep: None,
        zone: None,
        options: json!({}),
        paused: false,
        keep_staged: false,
        limits: None,
    };
    Ok(Policy { objects, ..edited(&plain, says, &[])? })
}

/// The policy without what is cleared, and with what is given in the place of what it said.
fn edited(known: &Policy, says: &PolicySays, clear: &[Clear]) -> Result<Policy, Error> {
    let mut policy = known.clone();
    clear.iter().for_each(|what| take_away(&mut policy, *what));
    let PolicySays { objects, excludes, zone, keep, keep_staged, .. } = says;
    replace(&mut policy.objects, objects);
    replace(&mut policy.excludes, excludes);
    policy.schedule = schedule(policy.schedule, says);
    policy.zone = zone.clone().or(policy.zone);
    policy.keep = keep.as_deref().map(read_keep).transpose()?.or(policy.keep);
    policy.keep_staged |= keep_staged;
    policy.limits = limits::edited(policy.limits, &says.limits, clear.iter().filter_map(limit))?;
    let flags = [
        ("write_level", says.write_level.clone().map(Value::from)),
        ("repaired", says.repaired.then_some(Value::Bool(true))),
    ];
    if let (Some(all), Value::Object(given)) = (policy.options.as_object_mut(), options(&says.options, flags)?) {
        all.extend(given);
    }
    Ok(policy)
}

fn take_away(policy: &mut Policy, what: Clear) {
    match what {
        Clear::Excludes => policy.excludes.clear(),
        Clear::Schedule => policy.schedule = None,
        Clear::Windows => policy.schedule.iter_mut().for_each(|schedule| schedule.windows.clear()),
        Clear::Jitter => policy.schedule.iter_mut().for_each(|schedule| schedule.jitter = None),
        Clear::Keep => policy.keep = None,
        Clear::Zone => policy.zone = None,
        Clear::KeepStaged => policy.keep_staged = false,
        Clear::Options => policy.options = json!({}),
        Clear::Bandwidth | Clear::Requests | Clear::Hours => {}
    }
}

fn limit(what: &Clear) -> Option<ClearLimit> {
    match what {
        Clear::Bandwidth => Some(ClearLimit::Bandwidth),
        Clear::Requests => Some(ClearLimit::Requests),
        Clear::Hours => Some(ClearLimit::Hours),
        _ => None,
    }
}

fn replace(known: &mut Vec<String>, given: &[String]) {
    if !given.is_empty() {
        *known = given.to_vec();
    }
}

fn schedule(known: Option<Schedule>, says: &PolicySays) -> Option<Schedule> {
    let PolicySays { every, cron, windows, jitter, .. } = says;
    if every.is_none() && cron.is_none() && windows.is_empty() && jitter.is_none() {
        return known;
    }
    let mut schedule = known.unwrap_or_default();
    if every.is_some() || cron.is_some() {
        (schedule.every, schedule.cron) = (every.clone(), cron.clone());
    }
    replace(&mut schedule.windows, windows);
    schedule.jitter = jitter.clone().or(schedule.jitter);
    Some(schedule)
}

fn read_keep(text: &str) -> Result<Keep, Error> {
    let retention: Retention = text.parse().map_err(|error| Error::Usage(format!("--keep {text:?}: {error}")))?;
    let Rules { last, within, hourly, daily, weekly, monthly, yearly } = retention.into();
    let within = within.map(|within| within.to_string());
    Ok(Keep { last, within, hourly, daily, weekly, monthly, yearly })
}

#[cfg(test)]
mod tests {
    use super::{super::super::args::LimitsSaid, *};
    use crate::api::Limits;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn policy() -> Policy {
        let says = PolicySays {
            objects: texts(&["shop/*"]),
            excludes: texts(&["shop/tmp"]),
            every: Some("5m".to_owned()),
            windows: texts(&["sat,sun"]),
            keep: Some("last=3,within=7d".to_owned()),
            options: texts(&["write_level=one"]),
            ..PolicySays::default()
        };
        new(None, "prod/bank/*", "main", &says).unwrap()
    }

    #[test]
    fn a_new_policy_says_what_was_given() {
        let policy = policy();
        assert_eq!((policy.name.as_str(), policy.source.as_str(), policy.store.as_str()), ("prod", "prod", "main"));
        assert_eq!(
            (&policy.objects[..], &policy.excludes[..]),
            (&texts(&["shop/*", "bank/*"])[..], &texts(&["shop/tmp"])[..])
        );
        let schedule = policy.schedule.unwrap();
        assert_eq!((schedule.every.as_deref(), schedule.windows), (Some("5m"), texts(&["sat,sun"])));
        assert_eq!(policy.keep.unwrap(), Keep { last: Some(3), within: Some("7d".to_owned()), ..Keep::default() });
        assert_eq!(policy.options, json!({"write_level": "one"}));
        assert!(new(Some("p"), "prod", "main", &PolicySays::default()).is_err(), "nothing to protect");
    }

    #[test]
    fn an_edit_changes_what_is_given_and_nothing_else() {
        assert_eq!(edited(&policy(), &PolicySays::default(), &[]).unwrap(), policy());
        let says = PolicySays {
            cron: Some("@daily".to_owned()),
            keep: Some("daily=7".to_owned()),
            repaired: true,
            ..PolicySays::default()
        };
        let changed = edited(&policy(), &says, &[Clear::Excludes]).unwrap();
        let schedule =
            Schedule { cron: Some("@daily".to_owned()), windows: texts(&["sat,sun"]), ..Schedule::default() };
        let expected = Policy {
            excludes: vec![],
            schedule: Some(schedule),
            keep: Some(Keep { daily: Some(7), ..Keep::default() }),
            options: json!({"write_level": "one", "repaired": true}),
            ..policy()
        };
        assert_eq!(changed, expected);
    }

    #[test]
    fn what_is_cleared_is_gone() {
        let says = LimitsSaid { requests: Some(4), bandwidth: Some("1MiB/s".to_owned()), ..LimitsSaid::default() };
        let says = PolicySays { limits: says, ..PolicySays::default() };
        let limited = edited(&policy(), &says, &[]).unwrap();
        let cleared = edited(&limited, &PolicySays::default(), &[Clear::Bandwidth]).unwrap();
        assert_eq!(cleared.limits, Some(Limits { requests: Some(4), ..Limits::default() }));
        let clear = [Clear::Windows, Clear::Keep, Clear::Options, Clear::Zone, Clear::KeepStaged, Clear::Jitter];
        let cleared = edited(&policy(), &PolicySays::default(), &clear).unwrap();
        assert_eq!(cleared.schedule, Some(Schedule { every: Some("5m".to_owned()), ..Schedule::default() }));
        assert_eq!((cleared.keep, cleared.options), (None, json!({})));
        let cleared = edited(&policy(), &PolicySays::default(), &[Clear::Schedule]).unwrap();
        assert_eq!(cleared.schedule, None);
    }

    #[test]
    fn a_misspelt_rule_is_refused_before_anything_is_asked() {
        for wrong in ["", "dayly=7", "last=0", "7d,4w", "last=3,last=4"] {
            let says = PolicySays { keep: Some(wrong.to_owned()), ..PolicySays::default() };
            assert!(matches!(edited(&policy(), &says, &[]), Err(Error::Usage(_))), "{wrong}");
        }
    }
}
