//! Printing: JSON as the API answers it, or tables and words for people.

mod cluster;
mod collection;
mod limits;
mod outcome;
mod policies;
mod results;
mod stores;

use std::io::{self, Write as _};

use comfy_table::{Table, presets::NOTHING};
use jiff::Timestamp;
use serde::Serialize;

use super::{Error, args::Format};
use crate::api::{
    AcceptedStore, CheckLine, Checklist, List, Object, Operation, OperationKind, Problem, Quality, RepairedSet,
    RestorePlan, Source, Store, Totals, Unconfirmed, Version, VersionDetail, VersionState,
};

/// Something the command line prints.
pub(super) trait Printed: Serialize {
    /// The text for people, with a final newline.
    fn text(&self) -> String;
}

/// Prints an answer to stdout.
pub(super) fn print<T: Printed>(answer: &T, format: Format) -> io::Result<()> {
    let text = match format {
        Format::Table => answer.text(),
        Format::Json => serde_json::to_string_pretty(answer).map_err(io::Error::other)? + "\n",
    };
    io::stdout().write_all(text.as_bytes())
}

/// Prints an error to stderr: code, cause, hint, and where more is said; one JSON document with `-o json`.
pub(super) fn print_error(error: &Error, format: Format) {
    match (error.problem(), format) {
        (Some(problem), Format::Json) => eprintln!("{}", serde_json::json!(problem)),
        (Some(problem), Format::Table) => eprint!("{}", problem_text(problem)),
        (None, Format::Json) => eprintln!("{}", serde_json::json!(error.report())),
        (None, Format::Table) => {
            let report = error.report();
            eprint!("{}", error_text(report.code, &report.detail, report.hint));
        }
    }
}

fn problem_text(problem: &Problem) -> String {
    error_text(&problem.code, &problem.detail, problem.hint.as_deref())
}

fn error_text(code: &str, detail: &str, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!("  hint  {hint}\n")).unwrap_or_default();
    format!("error {code}: {detail}\n{hint}  more  tidemark explain {code}\n")
}

/// The page of an error code.
#[derive(Serialize)]
pub(super) struct Explanation {
    pub(super) code: String,
    pub(super) page: String,
}

impl Printed for Explanation {
    fn text(&self) -> String {
        self.page.clone()
    }
}

fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// A size in the largest binary unit that keeps it above 1.
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in units {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

fn or_dash(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}

impl Printed for Store {
    fn text(&self) -> String {
        let taken = self.taken_over.as_ref().map(stores::taken_over).unwrap_or_default();
        stores(std::slice::from_ref(self)) + &limits::lines(self.limits.as_ref(), 12) + &taken
    }
}

impl Printed for List<Store> {
    fn text(&self) -> String {
        stores(&self.items)
    }
}

impl Printed for AcceptedStore {
    fn text(&self) -> String {
        let lost = self.lost.iter().map(|lost| format!("lost        {lost}\n")).collect::<String>();
        self.store.text() + &format!("generation  {}\n{lost}", self.generation)
    }
}

fn stores(stores: &[Store]) -> String {
    let row = |s: &Store| {
        let now = limits::now(s.limit_now);
        vec![s.name.clone(), s.url.clone(), s.repository.clone(), s.commit_mode.to_string(), now]
    };
    let warnings = stores.iter().flat_map(|store| &store.warnings).map(|warning| format!("warning     {warning}\n"));
    let warnings: String = warnings.collect();
    table(&["STORE", "URL", "REPOSITORY", "COMMIT MODE", "LIMIT NOW"], stores.iter().map(row)) + &warnings
}

impl Printed for RepairedSet {
    fn text(&self) -> String {
        let Self { store, source, set, sealed, damage } = self;
        match (sealed, damage) {
            (Some(sealed), Some(damage)) => {
                format!("{source}.{set} in {store} goes on behind {sealed}\nsealed  {damage}\n")
            }
            (None, Some(damage)) => {
                format!("{source}.{set} in {store} goes on as it is; damaged is what is {damage}\n")
            }
            (_, None) => format!("{source}.{set} in {store} is not damaged at its end\n"),
        }
    }
}

impl Printed for Checklist {
    fn text(&self) -> String {
        checks(&self.lines) + &format!("result: {}\n", self.status)
    }
}

fn checks(lines: &[CheckLine]) -> String {
    let row = |line: &CheckLine| {
        let detail = match &line.hint {
            Some(hint) => format!("{} (hint: {hint})", line.detail),
            None => line.detail.clone(),
        };
        vec![line.status.to_string(), line.name.clone(), line.subject.clone(), detail]
    };
    table(&["", "CHECK", "SUBJECT", "SEEN"], lines.iter().map(row))
}

impl Printed for Source {
    fn text(&self) -> String {
        sources(std::slice::from_ref(self))
    }
}

impl Printed for List<Source> {
    fn text(&self) -> String {
        sources(&self.items)
    }
}

/// The versions that hold an object.
fn held(object: &Object) -> String {
    match (&object.newest_version, object.recoverable_until) {
        (None, _) => "no version".to_owned(),
        (Some(newest), Some(until)) => {
            format!("{} versions, newest {newest}, complete before {until}", object.versions)
        }
        (Some(newest), None) => format!("{} versions, newest {newest}, none proven complete", object.versions),
    }
}

/// The policies that name an object, and whether they run as they should.
fn protection(object: &Object) -> String {
    let late = if object.late { ", LATE" } else { "" };
    match object.policies.as_slice() {
        [] => "  no policy".to_owned(),
        policies => format!("  policy {}{late}", policies.join(", ")),
    }
}

fn sources(sources: &[Source]) -> String {
    let row = |s: &Source| {
        let listeners: Vec<String> = s.listeners.iter().map(|l| format!("{} {}", l.id, l.state)).collect();
        vec![s.name.clone(), s.kind.clone(), listeners.join(", ")]
    };
    table(&["SOURCE", "KIND", "LISTENERS"], sources.iter().map(row)) + &sources.iter().map(unused).collect::<String>()
}

/// Why a source is not used, with what it would run and read.
fn unused(source: &Source) -> String {
    let Source { name, unconfirmed, refused, confirmed_policies, waiting_policies, .. } = source;
    let mut text = String::new();
    text.extend(confirmed_policies.iter().map(|policy| format!("confirmed policy {}\n", policies::would(policy))));
    text.extend(waiting_policies.iter().map(|policy| {
        let (name, would) = (&policy.name, policies::would(policy));
        format!("not confirmed    {would}\n  versions would go by it: tidemark policy confirm {name}\n")
    }));
    if let Some(Unconfirmed { store, runs, reads, connects, policies }) = unconfirmed {
        text += &format!("{name} came from store {store} and is not confirmed: tidemark source confirm {name}\n");
        text.extend(runs.iter().map(|line| format!("  would run   {line}\n")));
        text.extend(reads.iter().map(|path| format!("  would read  {path}\n")));
        text.extend(connects.iter().map(|address| format!("  would connect to {address}\n")));
        text.extend(policies.iter().map(|policy| format!("  with policy {}\n", policies::would(policy))));
    }
    text.extend(refused.iter().map(|why| format!("{name} is not allowed: {why}\n")));
    text
}

impl Printed for List<Object> {
    /// A tree: each leading part once, the last parts below it.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut above = "";
        for object in &self.items {
            let (parent, name) = object.object.rsplit_once('/').unwrap_or(("", &object.object));
            if parent != above {
                text += &format!("{parent}\n");
                above = parent;
            }
            let note = object.note.as_deref().map(|note| format!("  ({note})")).unwrap_or_default();
            let mark = if object.supported { "" } else { "  not supported" };
            text += &format!("  {name}  {}{}{mark}{note}\n", held(object), protection(object));
        }
        text
    }
}

impl Printed for List<Version> {
    fn text(&self) -> String {
        let row = |v: &Version| {
            if v.damage.is_some() {
                let id = if v.id.is_empty() { "-" } else { v.id.as_str() };
                let row = [id, "-", "-", v.quality.as_str(), &becomes(v), "-", "-", "-", &v.store];
                return row.map(str::to_owned).to_vec();
            }
            let mut row = vec![v.id.clone(), or_dash(v.committed), or_dash(v.cut_from), v.quality.to_string()];
            row.push(becomes(v));
            row.extend([v.objects.to_string(), v.totals.rows.to_string(), size(v.totals.kept_bytes), v.store.clone()]);
            row
        };
        let header =
            ["VERSION", "COMMITTED", "COMPLETE BEFORE", "QUALITY", "STATE", "OBJECTS", "ROWS", "KEPT", "STORE"];
        let notes = self.items.iter().filter_map(damage).chain(self.items.iter().filter_map(held_by));
        table(&header, self.items.iter().map(row)) + &notes.collect::<String>()
    }
}

/// What is wrong with a version, or with a store whose versions are not known.
fn damage(version: &Version) -> Option<String> {
    let Version { id, store, damage, .. } = version;
    let damage = damage.as_ref()?;
    Some(match version.quality {
        Quality::Unknown if id.is_empty() => format!("versions in store {store} are not known: {damage}\n"),
        Quality::Unknown => format!("{id} in store {store} is not known: {damage}\n"),
        Quality::Lost | Quality::Fence => format!("{id} in store {store} holds no version: {damage}\n"),
        _ => format!("{id} in store {store} is damaged: {damage}\n"),
    })
}

/// What becomes of a version: of one that is expired until when that can be undone.
fn becomes(version: &Version) -> String {
    let state = version.state;
    match (state, version.undo_until) {
        (VersionState::Expired, Some(until)) => format!("expired until {until:.0}"),
        (VersionState::Expired, None) if version.held.is_some() => "expired, held".to_owned(),
        _ => state.to_string(),
    }
}

/// Who holds a version, and why.
fn held_by(version: &Version) -> Option<String> {
    let Version { id, store, held, .. } = version;
    held.as_ref().map(|held| format!("{id} in store {store} is held by {held}\n"))
}

impl Printed for VersionDetail {
    fn text(&self) -> String {
        let v = &self.version;
        let mut text = format!("version    {}  in {}\n", v.id, v.store);
        text += &format!("committed  {}\n", v.committed.map(|at| at.to_string()).unwrap_or_default());
        text += &format!("cut        {} .. {}\n", or_dash(v.cut_from), or_dash(v.cut_through));
        text += &format!("quality    {}\n", v.quality);
        text += &format!("state      {}\n", becomes(v));
        text += &v.expired.map(|at| format!("expired    since {at:.0}\n")).unwrap_or_default();
        text += &v.held.as_ref().map(|held| format!("held       by {held}\n")).unwrap_or_default();
        text += &format!("{}\n", totals(&v.totals));
        let row = |o: &crate::api::VersionObject| {
            let figures = [o.totals.rows, o.totals.disagreeing_rows].map(|n| n.to_string());
            let mut row = vec![o.object.clone(), o.quality.to_string()];
            row.extend(figures);
            row.extend([size(o.totals.kept_bytes), o.notes.join("; ")]);
            row
        };
        text + &table(&["OBJECT", "QUALITY", "ROWS", "DISAGREEING", "KEPT", "NOTES"], self.contents.iter().map(row))
    }
}

fn totals(totals: &Totals) -> String {
    format!(
        "shipped    {} of {} at the source\nkept       {}\nrows       {} and {} static; replicas disagreed on {}\n\
         not owned  {} partitions dropped\n",
        size(totals.shipped_bytes),
        size(totals.source_bytes),
        size(totals.kept_bytes),
        totals.rows,
        totals.static_rows,
        totals.disagreeing_rows,
        totals.not_owned_partitions
    )
}

impl Printed for RestorePlan {
    fn text(&self) -> String {
        let mut text = format!("version      {}  in {}\npin          {}\n", self.version, self.store, self.pin);
        text += &format!("destination  {}\n", self.destination);
        text += &self.write_level.as_ref().map(|level| format!("write level  {level}\n")).unwrap_or_default();
        text += &format!("rows         {}\n", self.rows);
        text += &format!("to read      {}\n\n", size(self.stored_bytes));
        let row = |o: &crate::api::PlannedObject| {
            let row = [o.object.as_str(), &o.target, o.action.as_str()].map(str::to_owned);
            [row.to_vec(), vec![o.rows.to_string(), size(o.stored_bytes)]].concat()
        };
        text += &table(&["OBJECT", "TARGET", "ACTION", "ROWS", "TO READ"], self.objects.iter().map(row));
        text + "\n" + &checks(&self.checks)
    }
}

impl Printed for Operation {
    fn text(&self) -> String {
        let mut text = format!("operation  {}\nkind       {} {}\n", self.id, self.kind, self.subject);
        text += &self.part_of.as_ref().map(|whole| format!("part of    {whole}\n")).unwrap_or_default();
        text += &format!("state      {}\n", self.state);
        if !self.done {
            let progress = &self.progress;
            text += &format!("progress   {} {}/{} {}\n", progress.phase, progress.done, progress.total, progress.unit);
        }
        if let Some(problem) = &self.error {
            text += &problem_text(problem);
        }
        if let Some(result) = &self.result {
            text += &match self.kind {
                OperationKind::Count => results::counted(result),
                OperationKind::Restore => results::restored(result),
                OperationKind::Collect => collection::collected(result),
                OperationKind::Protect => outcome::protected(result),
                OperationKind::Verify | OperationKind::Consolidate => outcome::text(result),
            };
        }
        text += &self.result_cut.as_ref().map(|cut| format!("cut short  {cut}\n")).unwrap_or_default();
        text
    }
}

impl Printed for List<Operation> {
    fn text(&self) -> String {
        let row = |o: &Operation| {
            vec![o.id.clone(), o.kind.to_string(), o.subject.clone(), o.state.to_string(), o.created.to_string()]
        };
        table(&["OPERATION", "KIND", "SUBJECT", "STATE", "CREATED"], self.items.iter().map(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
    }

    #[test]
    fn a_store_whose_versions_are_not_known_is_a_line_of_the_list() {
        let line = Version {
            id: String::new(),
            store: "t".to_owned(),
            committed: None,
            cut_from: None,
            cut_through: None,
            quality: Quality::Unknown,
            damage: Some("TM-STORE-0110: emptied".to_owned()),
            objects: 0,
            totals: Totals::default(),
            state: VersionState::Unknown,
            undo_until: None,
            expired: None,
            held: None,
        };
        let text = List::whole(vec![line.clone()]).text();
        assert!(text.ends_with("versions in store t are not known: TM-STORE-0110: emptied\n"), "{text}");
        // Whatever a line is about, it names its store.
        let fence = |quality, state| Version { id: "a.b.2".to_owned(), quality, state, ..line.clone() };
        for (quality, state, note) in [
            (Quality::Fence, VersionState::Fence, "a.b.2 in store t holds no version: TM"),
            (Quality::Lost, VersionState::Lost, "a.b.2 in store t holds no version: TM"),
            (Quality::Damaged, VersionState::Kept, "a.b.2 in store t is damaged: TM"),
            (Quality::Unknown, VersionState::Kept, "a.b.2 in store t is not known: TM"),
        ] {
            let text = List::whole(vec![fence(quality, state)]).text();
            let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
            assert_eq!(row, ["a.b.2", "-", "-", quality.as_str(), state.as_str(), "-", "-", "-", "t"]);
            assert!(text.lines().nth(2).unwrap().starts_with(note), "{text}");
        }
    }

    #[test]
    fn a_version_says_what_becomes_of_it_and_until_when_that_can_be_undone() {
        let version = |state: &str, more: serde_json::Value| -> Version {
            let mut version = serde_json::json!({
                "id": "a.b.1", "store": "t", "committed": "2026-05-05T12:00:00Z", "cut_from": null, "cut_through": null,
                "quality": "cut", "damage": null, "objects": 1, "totals": Totals::default(), "state": state, "expired": null,
                "held": null,
            });
            version.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(version).unwrap()
        };
        let until = serde_json::json!({"undo_until": "2026-05-06T12:00:07.5Z"});
        let held = serde_json::json!({"held": "operator: audit"});
        assert_eq!(becomes(&version("kept", serde_json::json!({}))), "kept");
        assert_eq!(becomes(&version("expired", until)), "expired until 2026-05-06T12:00:07Z");
        assert_eq!(becomes(&version("expired", held.clone())), "expired, held");
        assert_eq!(becomes(&version("collected", serde_json::json!({}))), "collected");
        let text = List::whole(vec![version("held", held)]).text();
        assert!(text.ends_with("a.b.1 in store t is held by operator: audit\n"), "{text}");
    }

    #[test]
    fn the_object_tree_names_each_keyspace_once() {
        let object = |name: &str| Object {
            object: name.to_owned(),
            object_id: String::new(),
            supported: true,
            note: None,
            versions: 0,
            newest_version: None,
            last_success: None,
            recoverable_until: None,
            policies: vec![],
            expected_interval_seconds: None,
            late: false,
        };
        let list = List::whole(vec![object("a/x"), object("a/y"), object("b/x")]);
        assert_eq!(list.text().lines().filter(|line| !line.starts_with(' ')).collect::<Vec<_>>(), ["a", "b"]);
        let late = Object {
            versions: 2,
            newest_version: Some("s.p.2".to_owned()),
            policies: vec!["p".to_owned()],
            late: true,
            ..object("a/x")
        };
        let text = List::whole(vec![object("a/w"), late]).text();
        let expected =
            "a\n  w  no version  no policy\n  x  2 versions, newest s.p.2, none proven complete  policy p, LATE\n";
        assert_eq!(text, expected);
    }
}
