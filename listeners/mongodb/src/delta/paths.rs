//! Paths of a delta: parts, and the tree of all paths of one step.

use std::collections::BTreeMap;

use super::{Action, Error};
use crate::raw::{self, Element, kind};

/// What a part of a path is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A field of a document.
    Field,
    /// An index of an array.
    Index,
}

/// Parts of a path, each with its name (an index in digits) and what it is known to be.
pub(super) type Parts = Vec<(String, Option<Part>)>;

/// The paths of a description that can be read in two ways, with their parts.
pub(super) struct Paths(BTreeMap<String, Parts>);

impl Paths {
    /// Reads `disambiguatedPaths`.
    pub(super) fn read(description: &[u8]) -> Result<Self, Error> {
        let shape = || Error::Shape("disambiguatedPaths".to_owned());
        let mut all = BTreeMap::new();
        for item in super::items(description, "disambiguatedPaths", kind::DOCUMENT)? {
            let path = std::str::from_utf8(item.name).map_err(|_| shape())?.to_owned();
            let parts = raw::elements(item.document().ok_or_else(shape)?);
            let parts: Option<Parts> = parts.map(|part| part.ok().and_then(known)).collect();
            all.insert(path, parts.filter(|parts| !parts.is_empty()).ok_or_else(shape)?);
        }
        Ok(Self(all))
    }

    /// The parts of a path; dots part what nothing else is said of.
    pub(super) fn parts(&self, path: &str) -> Result<Parts, Error> {
        if let Some(parts) = self.0.get(path) {
            return Ok(parts.clone());
        }
        let part = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            (part.to_owned(), if digits { None } else { Some(Part::Field) })
        };
        Ok(path.split('.').map(part).collect())
    }
}

fn known(part: Element<'_>) -> Option<(String, Option<Part>)> {
    match (part.text(), part.whole()) {
        (Some(name), _) => Some((name.to_owned(), Some(Part::Field))),
        (_, Some(index)) if index >= 0 => Some((index.to_string(), Some(Part::Index))),
        _ => None,
    }
}

/// A place in a document and what is done there or below.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Node<'a> {
    /// What is done with the place itself.
    pub(super) action: Option<Action<'a>>,
    /// Elements that stay, of an array.
    pub(super) length: Option<usize>,
    /// What its parts are known to be.
    pub(super) wants: Option<Part>,
    /// By name.
    pub(super) children: BTreeMap<String, Node<'a>>,
    /// Names in the order in which they came.
    pub(super) order: Vec<String>,
}

impl<'a> Node<'a> {
    /// True where nothing is done.
    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Adds what is done at a path.
    pub(super) fn add(
        &mut self,
        path: &str,
        parts: &[(String, Option<Part>)],
        action: Action<'a>,
    ) -> Result<(), Error> {
        let clash = || Error::Shape(format!("{path:?}, which another path of the same change contradicts,"));
        let Some(((name, part), rest)) = parts.split_first() else { return self.set(action).ok_or_else(clash) };
        if self.action.is_some() || part.is_some_and(|part| self.wants.is_some_and(|wanted| wanted != part)) {
            return Err(clash());
        }
        self.wants = self.wants.or(*part);
        if !self.children.contains_key(name) {
            self.order.push(name.clone());
        }
        self.children.entry(name.clone()).or_default().add(path, rest, action)
    }

    fn set(&mut self, action: Action<'a>) -> Option<()> {
        if self.action.is_some() || self.length.is_some() || !self.children.is_empty() {
            return None;
        }
        match action {
            Action::Truncate(length) => self.length = Some(length),
            other => self.action = Some(other),
        }
        Some(())
    }
}
