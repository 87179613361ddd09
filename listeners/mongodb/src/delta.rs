//! Deltas: an event's `updateDescription` applied to a document.
//!
//! Grammar: "update Event" of the manual, servers 6.0 to 8.0. `removedFields` first, then `truncatedArrays`, then
//! `updatedFields`, each at a dotted path, or at the parts that `disambiguatedPaths` says for it. A field that is there
//! is replaced where it stands, a new one comes behind all others, an element behind the end of an array comes after as
//! many nulls as lack. Everything else stays byte by byte as it was. What does not fit the document is an error, never
//! guessed.

mod paths;

use std::collections::BTreeMap;

use crate::raw::{self, Builder, Element, MAX_BYTES, kind};
use paths::{Node, Part, Paths};

/// Most nulls that an element may need before it.
const MOST_NULLS: usize = 1_500_000;

/// Why a delta cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The document or the delta is damaged.
    #[error("a document or its change is damaged")]
    Damaged(#[from] raw::Error),
    /// The delta is not of the documented shape.
    #[error("updateDescription: {0} is not as it is documented")]
    Shape(String),
    /// The document has no such path, or something else there.
    #[error("path {path:?} of a change does not fit the document: {why}")]
    Fit {
        /// The path.
        path: String,
        /// What is there instead.
        why: &'static str,
    },
    /// The result is larger than a document may be.
    #[error("a changed document is larger than {MAX_BYTES} bytes")]
    Large,
}

/// What is done at a path.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Action<'a> {
    Remove,
    Truncate(usize),
    Set(u8, &'a [u8]),
}

/// The document after the change.
///
/// # Errors
/// [`Error`].
pub fn apply(document: &[u8], description: &[u8]) -> Result<Vec<u8>, Error> {
    let paths = Paths::read(description)?;
    let mut now = document.to_vec();
    for actions in [removed(description)?, truncated(description)?, updated(description)?] {
        now = step(&now, &paths, actions)?;
    }
    if now.len() > MAX_BYTES { Err(Error::Large) } else { Ok(now) }
}

/// Whether a document can be what it was right after the change: made once more, the change changes nothing.
pub fn holds(document: &[u8], description: &[u8]) -> bool {
    let unchanged = || -> Result<bool, Error> {
        let paths = Paths::read(description)?;
        for (path, action) in removed(description)? {
            let mut root = Node::default();
            root.add(&path, &paths.parts(&path)?, action)?;
            if edited(document, kind::DOCUMENT, &root, "").is_ok() {
                return Ok(false);
            }
        }
        let mut now = document.to_vec();
        for actions in [truncated(description)?, updated(description)?] {
            now = step(&now, &paths, actions)?;
        }
        Ok(now == document)
    };
    unchanged().unwrap_or(false)
}

/// The document after one kind of actions.
fn step(document: &[u8], paths: &Paths, actions: Actions<'_>) -> Result<Vec<u8>, Error> {
    let mut root = Node::default();
    for (path, action) in actions {
        root.add(&path, &paths.parts(&path)?, action)?;
    }
    if root.is_empty() { Ok(document.to_vec()) } else { edited(document, kind::DOCUMENT, &root, "") }
}

/// The items of an array or document of the description, none where it is absent.
fn items<'a>(description: &'a [u8], field: &str, wanted: u8) -> Result<Vec<Element<'a>>, Error> {
    match raw::find(description, field)? {
        None => Ok(Vec::new()),
        Some(list) if list.kind == wanted => Ok(raw::elements(list.value).collect::<Result<_, _>>()?),
        Some(_) => Err(Error::Shape(field.to_owned())),
    }
}

type Actions<'a> = Vec<(String, Action<'a>)>;

fn removed(description: &[u8]) -> Result<Actions<'_>, Error> {
    let path = |item: Element<'_>| item.text().map(|path| (path.to_owned(), Action::Remove));
    let items = items(description, "removedFields", kind::ARRAY)?;
    items.into_iter().map(|item| path(item).ok_or_else(|| Error::Shape("removedFields".to_owned()))).collect()
}

fn truncated(description: &[u8]) -> Result<Actions<'_>, Error> {
    let one = |item: Element<'_>| {
        let item = item.document()?;
        let path = raw::find(item, "field").ok()??.text()?.to_owned();
        let size = usize::try_from(raw::find(item, "newSize").ok()??.whole()?).ok()?;
        Some((path, Action::Truncate(size)))
    };
    let items = items(description, "truncatedArrays", kind::ARRAY)?;
    items.into_iter().map(|item| one(item).ok_or_else(|| Error::Shape("truncatedArrays".to_owned()))).collect()
}

fn updated(description: &[u8]) -> Result<Actions<'_>, Error> {
    let mut all = Vec::new();
    for item in items(description, "updatedFields", kind::DOCUMENT)? {
        let path = std::str::from_utf8(item.name).map_err(|_| Error::Shape("updatedFields".to_owned()))?;
        all.push((path.to_owned(), Action::Set(item.kind, item.value)));
    }
    Ok(all)
}

/// A document or array, changed as the node says.
fn edited(container: &[u8], container_kind: u8, node: &Node<'_>, path: &str) -> Result<Vec<u8>, Error> {
    node.fits(container_kind, path)?;
    let mut found: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut out, mut length) = (Builder::default(), 0_usize);
    for element in raw::elements(container) {
        let element = element?;
        if node.length.is_none_or(|most| length < most) {
            let child = std::str::from_utf8(element.name).ok().and_then(|name| node.children.get_key_value(name));
            match child {
                None => out.push(element),
                Some((name, child)) => {
                    *found.entry(name).or_default() += 1;
                    changed(element, child, &mut out, &joined(path, name))?;
                }
            }
        }
        length += 1;
    }
    if let Some(twice) = found.iter().find(|(_, times)| **times > 1) {
        return Err(Error::Fit { path: joined(path, twice.0), why: "there are two of that name" });
    }
    if node.length.is_some_and(|most| most > length) {
        return Err(Error::Fit { path: path.to_owned(), why: "the array is shorter than it is to become" });
    }
    let new = node.order.iter().filter(|name| !found.contains_key(name.as_str()));
    for name in new {
        length = added(name, &node.children[name], container_kind, length, &mut out, path)?;
    }
    Ok(out.finish())
}

/// An element that is there and that a node is about.
fn changed(element: Element<'_>, node: &Node<'_>, out: &mut Builder, path: &str) -> Result<(), Error> {
    match node.action {
        Some(Action::Remove) => {}
        Some(Action::Set(kind, value)) => out.push(Element { kind, value, ..element }),
        _ => {
            let inner = element.document().ok_or(Error::Fit { path: path.to_owned(), why: "a value stands there" })?;
            out.push(Element { value: &edited(inner, element.kind, node, path)?, ..element });
        }
    }
    Ok(())
}

/// What is not there; gives how many elements there are then.
fn added(
    name: &str,
    node: &Node<'_>,
    container: u8,
    length: usize,
    out: &mut Builder,
    path: &str,
) -> Result<usize, Error> {
    let Some(Action::Set(kind, value)) = node.action else {
        return Err(Error::Fit { path: joined(path, name), why: "there is nothing" });
    };
    let mut at = length;
    if container == kind::ARRAY {
        let index: usize =
            name.parse().map_err(|_| Error::Fit { path: joined(path, name), why: "an array stands there" })?;
        if index < length || index - length > MOST_NULLS {
            return Err(Error::Fit { path: joined(path, name), why: "the array's end is elsewhere" });
        }
        for lacking in length..index {
            out.push(Element { kind: kind::NULL, name: lacking.to_string().as_bytes(), value: &[] });
        }
        at = index;
    }
    out.push(Element { kind, name: name.as_bytes(), value });
    Ok(at + 1)
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl<'a> Node<'a> {
    /// Whether what this node says of parts can be said of a container of this kind.
    fn fits(&self, container: u8, path: &str) -> Result<(), Error> {
        let wrong = |why| Err(Error::Fit { path: path.to_owned(), why });
        if self.length.is_some() && container != kind::ARRAY {
            return wrong("no array stands there");
        }
        match self.wants {
            Some(Part::Index) if container != kind::ARRAY => wrong("no array stands there"),
            Some(Part::Field) if container == kind::ARRAY => wrong("an array stands there"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
