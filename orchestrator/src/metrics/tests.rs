use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::json;

use super::*;
use crate::totals::Totals;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn figures(policy: &str, success: Option<&str>) -> PolicyFigures {
    PolicyFigures {
        source: "shop".parse().unwrap(),
        policy: policy.parse().unwrap(),
        expected_interval: Some(Duration::from_secs(300)),
        since: Some(at("2026-11-29T12:00:00Z")),
        success: success.map(|success| Success { at: at(success), complete_until: None }),
    }
}

fn task(state: State, finished: &str, result: Option<serde_json::Value>) -> TaskRecord {
    serde_json::from_value(json!({
        "id": "t", "kind": "protect", "subject": "shop/daily", "spec": {}, "exclusive": null, "state": state, "attempt": 1,
        "due_millis": 0, "created": "2026-11-29T12:00:00Z", "finished": finished, "error": null, "result": result,
    }))
    .unwrap()
}

fn result(complete_until: Option<&str>) -> serde_json::Value {
    json!({
        "version": "shop.daily.1", "quality": "cut", "objects": 1, "totals": Totals::default(), "store": "main",
        "complete_until": complete_until,
    })
}

fn main() -> StoreId {
    "main".parse().unwrap()
}

/// A scrape of a daemon that has done something of each.
fn scrape() -> String {
    let metrics = Metrics::new();
    metrics.done(&task(State::Succeeded, "2026-11-29T12:01:00Z", Some(result(Some("2026-11-29T11:59:58Z")))));
    metrics.done(&task(State::Failed, "2026-11-29T12:02:00Z", None));
    let success = metrics.success("shop/daily", &main());
    let told = vec![PolicyFigures { success, ..figures("daily", None) }, figures("hourly", None)];
    metrics.lead(told, ["damaged".to_owned()].into());
    metrics.skipped(&"shop".parse().unwrap(), &"daily".parse().unwrap(), 3);
    metrics.text()
}

fn value(text: &str, series: &str) -> Option<String> {
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit_once(' ').map(|(_, value)| value.to_owned())
}

#[test]
fn a_policy_is_told_under_the_names_that_the_alerts_use() {
    let text = scrape();
    let told = |series: &str| value(&text, series).unwrap_or_else(|| panic!("{series} is not in\n{text}"));
    let daily = "{source=\"shop\",policy=\"daily\"}";
    assert_eq!(told(&format!("tidemark_policy_expected_interval_seconds{daily}")), "300.0");
    let finished = at("2026-11-29T12:01:00Z").as_second();
    assert_eq!(told(&format!("tidemark_version_last_success_timestamp_seconds{daily}")), format!("{finished}.0"));
    let complete = at("2026-11-29T11:59:58Z").as_second();
    assert_eq!(told(&format!("tidemark_recoverable_until_timestamp_seconds{daily}")), format!("{complete}.0"));
    assert_eq!(told(&format!("tidemark_policy_slots_missed_total{daily}")), "3");
    assert_eq!(told(&format!("tidemark_policy_slots_skipped_total{daily}")), "1");
    assert_eq!(told("tidemark_operations_total{kind=\"protect\",result=\"failed\"}"), "1");
    assert_eq!(told("tidemark_operation_duration_seconds_count{kind=\"protect\"}"), "2");
    assert_eq!(told("tidemark_policy_stopped{policy=\"damaged\"}"), "1");
    assert_eq!(told("tidemark_leader"), "1");
    assert!(text.contains("# TYPE tidemark_operations_total counter\n") && !text.contains("# EOF"));
    let hourly = "tidemark_version_last_success_timestamp_seconds{source=\"shop\",policy=\"hourly\"}";
    assert_eq!(value(&text, hourly), None, "what never ran has no last success");
}

#[test]
fn series_of_a_policy_end_with_it_and_with_the_leadership() {
    let metrics = Metrics::new();
    metrics
        .lead(vec![figures("daily", Some("2026-11-29T12:00:00Z")), figures("hourly", None)], ["bad".to_owned()].into());
    assert!(metrics.text().contains("tidemark_policy_stopped{policy=\"bad\"} 1\n"));
    metrics.lead(vec![figures("hourly", None)], ["worse".to_owned()].into());
    assert!(!metrics.text().contains("daily") && metrics.text().contains("hourly"));
    assert!(!metrics.text().contains("\"bad\"") && metrics.text().contains("\"worse\""));
    metrics.follow();
    assert!(!metrics.text().contains("hourly") && !metrics.text().contains("worse"));
    assert_eq!(value(&metrics.text(), "tidemark_leader").as_deref(), Some("0"));
}

#[test]
fn a_version_that_is_not_complete_does_not_move_what_is_recoverable() {
    let metrics = Metrics::new();
    let tasks = [
        task(State::Warnings, "2026-11-29T14:00:00Z", Some(result(None))),
        task(State::Succeeded, "2026-11-29T13:00:00Z", Some(result(Some("2026-11-29T12:59:00Z")))),
        task(State::Failed, "2026-11-29T15:00:00Z", None),
        task(State::Cancelled, "2026-11-29T15:00:00Z", None),
        task(State::Succeeded, "2036-11-29T13:00:00Z", Some(result(None))),
    ];
    metrics.remember(&tasks, at("2026-11-29T16:00:00Z"));
    let known = Success { at: at("2026-11-29T14:00:00Z"), complete_until: Some(at("2026-11-29T12:59:00Z")) };
    assert_eq!(metrics.success("shop/daily", &main()), Some(known));
    assert_eq!(metrics.success("shop/daily", &"other".parse().unwrap()), None, "nothing was made there");
    metrics.done(&tasks[4]);
    metrics.done(&tasks[0]);
    assert_eq!(
        metrics.success("shop/daily", &main()),
        Some(known),
        "the one that was made last counts, whatever the clock said before"
    );
}

#[test]
fn promtool_finds_nothing_wrong_with_a_scrape() {
    let tools = std::env::var("TIDEMARK_TOOLS").unwrap_or_default();
    let promtool = [format!("{tools}/prometheus/promtool"), "promtool".to_owned()].into_iter().find_map(|program| {
        Command::new(program)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()
    });
    let Some(mut promtool) = promtool else {
        assert!(
            std::env::var_os("CI").is_none(),
            "promtool is not here: integration/install/prometheus.sh installs it"
        );
        eprintln!("SKIPPED: promtool is not here, integration/install/prometheus.sh installs it");
        return;
    };
    promtool.stdin.take().unwrap().write_all(scrape().as_bytes()).unwrap();
    let checked = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr) + String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.trim().is_empty(), "{said}");
}
