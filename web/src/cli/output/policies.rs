//! Policies, their runs and what becomes of their versions, in words.

use super::{Printed, limits, or_dash, size, table};
use crate::api::{
    ChangedPolicy, ComingRun, FailedRun, Keep, List, Policy, PolicyDetail, PolicyPreview, PolicyStatus, PreviewVersion,
    RemovedPolicy, Schedule,
};

impl Printed for List<PolicyDetail> {
    fn text(&self) -> String {
        let row = |detail: &PolicyDetail| {
            let (policy, status) = (&detail.policy, &detail.status);
            let runs = if policy.paused { "paused".to_owned() } else { or_dash(status.next_run) };
            let state = if detail.unconfirmed.is_some() { "not confirmed".to_owned() } else { state(status) };
            let row = [&policy.name, &policy.source, &named(policy), &policy.store].map(Clone::clone);
            [row.to_vec(), vec![or_dash(status.last_success), runs, state]].concat()
        };
        let header = ["POLICY", "SOURCE", "OBJECTS", "STORE", "LAST VERSION", "NEXT RUN", "STATE"];
        table(&header, self.items.iter().map(row))
    }
}

/// How it stands, in a word or some.
fn state(status: &PolicyStatus) -> String {
    let missed = if status.missed_slots > 0 { format!(", {} missed", status.missed_slots) } else { String::new() };
    let late = if status.late { "LATE" } else { "ok" };
    match (&status.running, &status.note) {
        _ if status.stopped.is_some() => format!("STOPPED: {}", status.stopped.as_deref().unwrap_or_default()),
        (_, Some(_)) => "not known".to_owned(),
        (Some(_), None) if !status.late => format!("running{missed}"),
        (Some(_), None) => format!("LATE, running{missed}"),
        (None, None) => format!("{late}{missed}"),
    }
}

fn named(policy: &Policy) -> String {
    let excludes = policy.excludes.iter().map(|pattern| format!("!{pattern}"));
    policy.objects.iter().cloned().chain(excludes).collect::<Vec<_>>().join(" ")
}

impl Printed for PolicyDetail {
    fn text(&self) -> String {
        let status = &self.status;
        let expected = status.expected_interval_seconds;
        let mut text = self.policy.text();
        text += &format!("last version  {}\n", status.newest_version.as_deref().unwrap_or("-"));
        text += &format!("committed     {}\n", or_dash(status.last_success));
        text += &format!("complete before  {}\n", or_dash(status.recoverable_until));
        text += &expected.map(|seconds| format!("expected every  {seconds} s\n")).unwrap_or_default();
        text += &format!("next run      {}\n", or_dash(status.next_run));
        text += &status.running.as_ref().map(|id| format!("running       {id}\n")).unwrap_or_default();
        text += &status.last_failure.as_ref().map(failure).unwrap_or_default();
        text += &line("limit now", status.limit_now.map(|now| limits::now(Some(now))));
        text += &status.note.as_ref().map(|note| format!("note          {note}\n")).unwrap_or_default();
        text += &format!("state         {}\n", state(status));
        text + &self.unconfirmed.as_ref().map(|store| unconfirmed(&self.policy.name, store)).unwrap_or_default()
    }
}

fn failure(run: &FailedRun) -> String {
    let FailedRun { operation, at, code, message } = run;
    format!("last failure  {at:.0} {code}: {message}\n              tidemark op show {operation}\n")
}

fn unconfirmed(name: &str, store: &str) -> String {
    format!("it came from store {store} and is not confirmed: tidemark policy confirm {name}\n")
}

/// What a policy that somebody else may have written would do, in a line.
pub(super) fn would(policy: &Policy) -> String {
    let runs = policy.schedule.as_ref().map_or_else(|| "by hand".to_owned(), schedule);
    let runs = if policy.paused { "paused".to_owned() } else { runs };
    let keeps = policy.keep.as_ref().map_or_else(|| "all versions".to_owned(), keep);
    let line = format!("{}: {} to {}, {runs}, keeps {keeps}", policy.name, named(policy), policy.store);
    line.escape_debug().to_string()
}

impl Printed for Policy {
    fn text(&self) -> String {
        let mut text = format!("policy        {}\nsource        {}\n", self.name, self.source);
        text += &format!("objects       {}\n", self.objects.join(" "));
        text += &line("excludes", (!self.excludes.is_empty()).then(|| self.excludes.join(" ")));
        text += &format!("store         {}\n", self.store);
        text += &line("schedule", Some(self.schedule.as_ref().map_or_else(|| "by hand".to_owned(), schedule)));
        text += &line("zone", self.zone.clone());
        text += &line("keep", Some(self.keep.as_ref().map_or_else(|| "all versions".to_owned(), keep)));
        text += &line("options", self.options.as_object().filter(|o| !o.is_empty()).map(|_| self.options.to_string()));
        text += &line("paused", self.paused.then(|| "yes".to_owned()));
        text += &line("keep staged", self.keep_staged.then(|| "yes".to_owned()));
        text + &limits::lines(self.limits.as_ref(), 14)
    }
}

fn line(name: &str, value: Option<String>) -> String {
    value.map(|value| format!("{name:<14}{value}\n")).unwrap_or_default()
}

fn schedule(schedule: &Schedule) -> String {
    let Schedule { every, cron, windows, jitter } = schedule;
    let every = every.as_ref().map(|every| format!("every {every}"));
    let cron = cron.as_ref().map(|cron| format!("cron {cron}"));
    let windows = (!windows.is_empty()).then(|| format!("in {}", windows.join("; ")));
    let jitter = jitter.as_ref().map(|jitter| format!("up to {jitter} later"));
    [every, cron, windows, jitter].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// As `--keep` takes it.
fn keep(keep: &Keep) -> String {
    let Keep { last, within, hourly, daily, weekly, monthly, yearly } = keep;
    let count = |name: &str, count: &Option<u32>| count.map(|count| format!("{name}={count}"));
    let rules = [
        count("last", last),
        within.as_ref().map(|within| format!("within={within}")),
        count("hourly", hourly),
        count("daily", daily),
        count("weekly", weekly),
        count("monthly", monthly),
        count("yearly", yearly),
    ];
    rules.into_iter().flatten().collect::<Vec<_>>().join(",")
}

impl Printed for ChangedPolicy {
    fn text(&self) -> String {
        self.policy.text() + &self.preview.as_ref().map(Printed::text).unwrap_or_default()
    }
}

impl Printed for RemovedPolicy {
    fn text(&self) -> String {
        format!("policy {} is removed: {}\n", self.policy.name, self.note)
    }
}

impl Printed for List<ComingRun> {
    fn text(&self) -> String {
        let row = |run: &ComingRun| vec![run.at.to_string(), run.slot.to_string()];
        table(&["RUN", "SLOT"], self.items.iter().map(row))
    }
}

impl Printed for PolicyPreview {
    fn text(&self) -> String {
        let row = |version: &PreviewVersion| {
            let fate = match (version.keep, version.newly_going) {
                (true, _) => "stays",
                (false, true) => "goes by this change",
                (false, false) => "goes",
            };
            let why = version.reasons.join("; ");
            vec![version.version.clone(), or_dash(version.at), size(version.kept_bytes), fate.to_owned(), why]
        };
        let mut text = table(&["VERSION", "CAPTURED", "KEPT", "", "WHY"], self.versions.iter().map(row));
        text += &format!("{} go, with at most {}\n", self.going, size(self.going_bytes));
        if self.newly_going > 0 {
            let bytes = size(self.newly_going_bytes);
            text += &format!("{} of them because of this change, with at most {bytes}\n", self.newly_going);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_told_without_what_it_does_not_say() {
        let policy: Policy = serde_json::from_value(serde_json::json!({
            "name": "daily", "source": "prod", "objects": ["shop/*"], "excludes": ["shop/tmp"], "store": "main",
            "schedule": {"every": "5m", "windows": ["sat,sun"]}, "keep": {"last": 3, "within": "7d"},
        }))
        .unwrap();
        let expected = "policy        daily\nsource        prod\nobjects       shop/*\nexcludes      shop/tmp\n\
                        store         main\nschedule      every 5m, in sat,sun\nkeep          last=3,within=7d\n";
        assert_eq!(policy.text(), expected);
        let late = PolicyStatus { late: true, ..Default::default() };
        let list = List::whole(vec![PolicyDetail { policy: policy.clone(), status: late.clone(), unconfirmed: None }]);
        assert!(list.text().ends_with("LATE\n") && list.text().contains("shop/* !shop/tmp"), "{}", list.text());
        let failed = FailedRun {
            operation: "op1".to_owned(),
            at: "2026-11-29T12:00:00.5Z".parse().unwrap(),
            code: "TM-SRC-0002".to_owned(),
            message: "the source is away".to_owned(),
        };
        let status = PolicyStatus { last_failure: Some(failed), ..late.clone() };
        let detail = PolicyDetail { policy: policy.clone(), status, unconfirmed: None };
        let told =
            "last failure  2026-11-29T12:00:00Z TM-SRC-0002: the source is away\n              tidemark op show op1\n";
        assert!(detail.text().contains(told), "{}", detail.text());
        let unconfirmed = Some("main".to_owned());
        let detail = PolicyDetail { policy, status: late, unconfirmed };
        assert!(detail.text().contains("from store main and is not confirmed: tidemark policy confirm daily"));
        assert!(List::whole(vec![detail]).text().ends_with("not confirmed\n"));
    }

    #[test]
    fn what_a_policy_would_do_is_one_line_whatever_it_says() {
        let policy: Policy = serde_json::from_value(serde_json::json!({
            "name": "x", "source": "prod", "objects": ["*/*\u{1b}[2J\n"], "store": "main",
            "schedule": {"every": "1m"}, "keep": {"last": 1},
        }))
        .unwrap();
        assert_eq!(would(&policy), r"x: */*\u{1b}[2J\n to main, every 1m, keeps last=1");
    }

    #[test]
    fn a_state_says_what_is_wrong_first() {
        let state = |late, running: bool, missed_slots, note: bool| {
            let running = running.then(|| "op".to_owned());
            state(&PolicyStatus { late, running, missed_slots, note: note.then(String::new), ..Default::default() })
        };
        assert_eq!(state(false, false, 0, false), "ok");
        assert_eq!(state(true, false, 2, false), "LATE, 2 missed");
        assert_eq!(state(true, true, 0, false), "LATE, running");
        assert_eq!(state(false, true, 0, false), "running");
        assert_eq!(state(false, false, 0, true), "not known");
        let stopped =
            PolicyStatus { stopped: Some("why".to_owned()), note: Some("why".to_owned()), ..Default::default() };
        assert_eq!(super::state(&stopped), "STOPPED: why");
    }

    #[test]
    fn a_preview_says_what_goes_and_because_of_what() {
        let version = |number: u64, keep, newly_going| PreviewVersion {
            version: format!("s.p.{number}"),
            at: None,
            keep,
            newly_going,
            reasons: vec!["why".to_owned()],
            kept_bytes: 1024,
        };
        let preview = PolicyPreview {
            versions: vec![version(3, true, false), version(2, false, true), version(1, false, false)],
            going: 2,
            going_bytes: 2048,
            newly_going: 1,
            newly_going_bytes: 1024,
            consent: Some("c".to_owned()),
        };
        let text = preview.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("stays") && lines[2].contains("goes by this change") && lines[3].contains("goes "));
        assert_eq!(
            lines[4..],
            ["2 go, with at most 2.0 KiB", "1 of them because of this change, with at most 1.0 KiB"]
        );
    }
}
