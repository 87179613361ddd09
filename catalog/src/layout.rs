//! Names of objects in the store (`docs/format.md`, "Layout").

use object_store::path::Path;

use tidemark_gateway::Digest;

use crate::ids::{FencingToken, SetId, SourceId, TaskId, VersionNumber};

/// The repository's identity, created once.
pub fn repository() -> Path {
    Path::from("tidemark.json")
}

/// A generation of the coordinator, create-only.
pub fn generation(number: u64) -> Path {
    Path::from(format!("gen/{number:020}"))
}

/// Mirror of a piece of configuration; `kind` is `sources`, `policies` or `sets`.
pub fn config(kind: &str, id: &str, number: u64) -> Path {
    Path::from(format!("config/{kind}/{id}/{number:020}"))
}

/// Where the manifests of a version set live.
pub fn versions(source: &SourceId, set: &SetId) -> Path {
    Path::from(format!("sources/{source}/sets/{set}/versions"))
}

/// The manifest of a version, create-only.
pub fn manifest(source: &SourceId, set: &SetId, number: VersionNumber) -> Path {
    Path::from(format!("sources/{source}/sets/{set}/versions/{:020}", number.0))
}

/// Where the work roots of a version set live.
pub fn work(source: &SourceId, set: &SetId) -> Path {
    Path::from(format!("sources/{source}/sets/{set}/work"))
}

/// The `sequence`-th work root of a running task.
pub fn work_root(source: &SourceId, set: &SetId, token: FencingToken, sequence: u64) -> Path {
    Path::from(format!("sources/{source}/sets/{set}/work/{token}/{sequence:010}"))
}

/// Where the sources live, each in a folder of its name.
pub fn sources() -> Path {
    Path::from("sources")
}

/// Where the version sets of a source live, each in a folder of its name.
pub fn sets(source: &SourceId) -> Path {
    Path::from(format!("sources/{source}/sets"))
}

/// Where the mirror of one kind of configuration lives.
pub fn config_kind(kind: &str) -> Path {
    Path::from(format!("config/{kind}"))
}

/// An object page, entry or range page.
pub fn page(source: &SourceId, token: FencingToken, sequence: u64) -> Path {
    Path::from(format!("sources/{source}/pages/{token}-{sequence:010}"))
}

/// A segment.
pub fn segment(source: &SourceId, token: FencingToken, sequence: u64) -> Path {
    Path::from(format!("sources/{source}/segments/{token}-{sequence:010}.parquet"))
}

/// Where the generations of coordinators live.
pub fn generations() -> Path {
    Path::from("gen")
}

/// The number in the last part of a [`generation`]'s name; `None` for a foreign name, such as a number that no token can have.
pub fn generation_number(name: &str) -> Option<u64> {
    digits(name, 20).filter(|number| *number <= FencingToken::GREATEST_GENERATION)
}

/// Where everything of a source lives.
pub fn source(source: &SourceId) -> Path {
    Path::from(format!("sources/{source}"))
}

/// Where the states of the versions of a set live.
pub fn states(source: &SourceId, set: &SetId) -> Path {
    Path::from(format!("sources/{source}/sets/{set}/states"))
}

/// The `revision`-th state of a version, from 1, create-only.
pub fn state(source: &SourceId, set: &SetId, number: VersionNumber, revision: u64) -> Path {
    Path::from(format!("sources/{source}/sets/{set}/states/{:020}/{revision:010}", number.0))
}

/// Where the needs blocks of a version set live.
pub fn needs(source: &SourceId, set: &SetId) -> Path {
    Path::from(format!("sources/{source}/sets/{set}/needs"))
}

/// A needs block: its level, the last number that it tells of, the claim that wrote it, and the digest of its stored bytes.
pub fn needs_block(
    source: &SourceId,
    set: &SetId,
    level: u8,
    last: VersionNumber,
    token: FencingToken,
    digest: Digest,
) -> Path {
    Path::from(format!("sources/{source}/sets/{set}/needs/{level:02}-{:020}-{token}-{digest}", last.0))
}

/// Level, last number and digest in the last part of a [`needs_block`]'s name, with its token; `None` for a foreign name.
pub(crate) fn needs_parts(name: &str) -> Option<(u8, VersionNumber, FencingToken, Digest)> {
    let (level, rest) = name.split_once('-')?;
    let (last, rest) = rest.split_once('-')?;
    let (token, digest) = rest.rsplit_once('-')?;
    let (level, last) = (u8::try_from(digits(level, 2)?).ok()?, VersionNumber(digits(last, 20)?));
    let known: Digest = digest.parse().ok()?;
    (known.to_string() == digest).then_some((level, last, whole_token(token)?, known))
}

/// Where the rounds of marks of a source live.
pub fn marks(source: &SourceId) -> Path {
    Path::from(format!("sources/{source}/marks"))
}

/// The head of a round of marks, create-only.
pub fn marks_head(source: &SourceId, round: u64) -> Path {
    Path::from(format!("sources/{source}/marks/{round:020}/head"))
}

/// Says that a round of marks was swept, create-only.
pub fn marks_swept(source: &SourceId, round: u64) -> Path {
    Path::from(format!("sources/{source}/marks/{round:020}/swept"))
}

/// A page of names in a round of marks; the token is that of the claim that marked.
pub fn marks_page(source: &SourceId, round: u64, token: FencingToken, sequence: u64) -> Path {
    Path::from(format!("sources/{source}/marks/{round:020}/{token}-{sequence:010}"))
}

/// Where everything lives that the listeners of a source write; nothing of theirs is elsewhere.
pub fn staged_root(source: &SourceId) -> Path {
    Path::from(format!("sources/{source}/staged"))
}

/// Where everything lies that is staged for one task.
pub fn staged_task(source: &SourceId, task: &TaskId) -> Path {
    Path::from(format!("sources/{source}/staged/{task}"))
}

/// Where the preflights of a source's listeners write.
pub fn staged_checks(source: &SourceId) -> Path {
    Path::from(format!("sources/{source}/staged/check"))
}

/// Written by the preflight of every listener of a source, always with the same bytes.
pub fn staged_check(source: &SourceId) -> Path {
    Path::from(format!("sources/{source}/staged/check/listener"))
}

/// Prefix of everything that one partition (for Cassandra: one host id) stages within a task. `partition` must be a safe
/// path part (lower-case letters, digits, `-`).
pub fn staged(source: &SourceId, task: &TaskId, partition: &str) -> Path {
    Path::from(format!("sources/{source}/staged/{task}/{partition}"))
}

/// Where the documents of a task lie that the coordinator would not take, below all that is [staged](staged_task) for it.
pub fn task_parts(source: &SourceId, task: &TaskId) -> Path {
    Path::from(format!("sources/{source}/staged/{task}/_parts"))
}

/// The `sequence`-th document that the claim `token` keeps for its task because the coordinator would not take it. It lies below
/// all that is staged for the task, in a folder that no partition can have.
pub fn task_part(source: &SourceId, task: &TaskId, token: FencingToken, sequence: u64) -> Path {
    Path::from(format!("sources/{source}/staged/{task}/_parts/{token}-{sequence:010}"))
}

/// Where the files of one object are, below a partition's [`staged`] prefix: each in a folder of the claim that stored it.
/// `folder` is a safe part of a path.
pub fn staged_folder(staged: &Path, folder: &str) -> Path {
    Path::from(format!("{staged}/{folder}"))
}

/// A file that the claim `token` stores in such a folder; `place` is one or more safe parts of a path.
pub fn staged_file(folder: &Path, token: FencingToken, place: &str) -> Path {
    Path::from(format!("{folder}/{token}/{place}"))
}

/// The claim and the place of a file in such a folder; `None` for names that are none of a [`staged_file`].
pub fn staged_parts<'a>(folder: &Path, file: &'a Path) -> Option<(FencingToken, &'a str)> {
    let (token, place) = file.as_ref().strip_prefix(folder.as_ref())?.strip_prefix('/')?.split_once('/')?;
    Some((whole_token(token)?, place))
}

/// Token and number in a name `<token>-<10 digits>`; `None` for a foreign name.
pub(crate) fn token_and_sequence(name: &str) -> Option<(FencingToken, u64)> {
    let (token, sequence) = name.rsplit_once('-')?;
    Some((whole_token(token)?, digits(sequence, 10)?))
}

/// The token in a name that is one, written as it is printed.
pub(crate) fn whole_token(name: &str) -> Option<FencingToken> {
    let token: FencingToken = name.parse().ok()?;
    (token.to_string() == name).then_some(token)
}

/// The number in a name of exactly `width` digits.
pub(crate) fn digits(name: &str, width: usize) -> Option<u64> {
    let all = name.len() == width && name.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::token;

    #[test]
    fn a_staged_file_says_which_claim_stored_it_and_foreign_names_are_passed_over() {
        let staged = staged(&"s".parse().unwrap(), &"t".parse().unwrap(), "p");
        let folder = staged_folder(&staged, "orders");
        let file = staged_file(&folder, token(7), "nb-1-big/Data.db");
        assert_eq!(file.as_ref(), format!("sources/s/staged/t/p/orders/{}/nb-1-big/Data.db", token(7)));
        assert_eq!(staged_parts(&folder, &file), Some((token(7), "nb-1-big/Data.db")));
        let foreign = ["orders/1-7/a", "orders/a/b", "orders2/a/b", "orders/nb-1-big"];
        for name in foreign.map(|name| Path::from(format!("{staged}/{name}"))) {
            assert_eq!(staged_parts(&folder, &name), None, "{name}");
        }
    }

    #[test]
    fn a_needs_block_says_in_its_name_what_it_is() {
        let (source, set, digest) = ("s".parse().unwrap(), "daily".parse().unwrap(), Digest::of(b"block"));
        let path = needs_block(&source, &set, 1, VersionNumber(4096), token(7), digest);
        let name = path.filename().unwrap();
        assert_eq!(name, format!("01-00000000000000004096-{}-{digest}", token(7)));
        assert_eq!(needs_parts(name), Some((1, VersionNumber(4096), token(7), digest)));
        let upper = name.to_uppercase();
        for foreign in ["", "readme", &name[1..], &name[..name.len() - 1], &upper] {
            assert_eq!(needs_parts(foreign), None, "{foreign}");
        }
    }
}
