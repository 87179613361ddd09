//! Codes in the code, pages in the documentation and pages in the program are the same.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::*;

/// Folders with the code that operators meet.
const CODE: [&str; 5] = ["catalog/src", "gateway/src", "listeners", "orchestrator/src", "web/src"];

/// Files and folders among them that only tests are built of.
const TESTS: [&str; 8] =
    ["tests", "tests.rs", "fake", "fake.rs", "simulation", "simulation.rs", "direct.rs", "testdata"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Rust files below a folder that are not tests alone.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if TESTS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// Texts of the shape `TM-AREA-NNNN`.
fn codes(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("TM-").map(|(at, _)| &text[at..]);
    starts.filter_map(code).collect()
}

fn code(text: &str) -> Option<String> {
    let area: String = text[3..].chars().take_while(char::is_ascii_uppercase).collect();
    let number = text[3 + area.len()..].strip_prefix('-')?.get(..4)?;
    let shaped = (1..=8).contains(&area.len()) && number.bytes().all(|b| b.is_ascii_digit());
    shaped.then(|| format!("TM-{area}-{number}"))
}

/// Every code that the program can show: tests at the end of a file do not count.
fn in_code() -> BTreeSet<String> {
    let mut files = Vec::new();
    CODE.iter().for_each(|folder| sources(&root().join(folder), &mut files));
    assert!(files.len() > 100, "{files:?}");
    let own = files.iter().filter(|path| !path.ends_with("web/src/explain.rs"));
    let text = own.map(|path| fs::read_to_string(path).unwrap());
    text.flat_map(|text| codes(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default())).collect()
}

#[test]
fn codes_of_the_code_pages_of_the_documentation_and_pages_of_the_program_are_the_same() {
    let listed: BTreeSet<String> = PAGES.iter().map(|(code, _)| (*code).to_owned()).collect();
    let files = fs::read_dir(root().join("docs/errors")).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(in_code(), files, "left: codes of the code, right: files of docs/errors");
    assert_eq!(files, listed, "left: files of docs/errors, right: pages of web/src/explain.rs");
    assert!(PAGES.is_sorted_by_key(|(code, _)| *code));
}

#[test]
fn every_page_says_what_happened_what_is_safe_and_what_to_do() {
    for (code, page) in PAGES {
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        assert!(headings[0].starts_with(&format!("# {code}: ")), "{code}");
        assert_eq!(headings[1..], ["## What happened", "## What is safe", "## What to do"], "{code}");
        let texts = page.split("\n## ").skip(1).map(|part| part.lines().skip(1).map(str::len).sum::<usize>());
        assert!(texts.min().unwrap() > 15, "{code} has an empty part");
    }
}

#[test]
fn every_problem_that_a_page_names_has_one() {
    for (code, page) in PAGES {
        for named in codes(page) {
            assert!(super::page(&named).is_some(), "{code} names {named}");
        }
    }
    assert_eq!(super::page("TM-NONE-0001"), None);
}
