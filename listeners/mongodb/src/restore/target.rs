//! A collection at the destination.

use std::{collections::HashMap, sync::Arc};

use tidemark_catalog::ids::ObjectName;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{failure::Failure, restorer::REFUSED_NAMED};
use tidemark_records::restore::{checkpoint::Counts, refusals::Refusals};

use super::indexes;
use crate::{
    codes::{NOT_EMPTY, OTHER, WRITE},
    connect::{Error, Refusal, Said, Server},
    describe::{self, Listed},
    event::Namespace,
    key::Id,
    options::Ttl,
    raw::{self, Builder, kind},
    segment::Record,
    staged::Schema,
};

/// A server's code of a key that is there already.
const DUPLICATE: i32 = 11_000;

/// How a target stands before a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Absent,
    Empty,
    Filled,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Target {
    server: Server,
    object: ObjectName,
    pub(super) name: Namespace,
}

impl Target {
    /// The collection of an object's name; why there can be none.
    pub(super) fn of(server: &Server, object: &ObjectName) -> Result<Self, &'static str> {
        let [database, collection] = object.parts() else { return Err("a collection is database/collection") };
        if database.len() > 63 || database.contains(['/', '\\', '.', ' ', '"', '$', '*', '<', '>', ':', '|', '?', '\0'])
        {
            return Err("no database can be called so");
        }
        let long = database.len() + collection.len() + 1 > 255;
        if long || collection.contains(['$', '\0']) || collection.starts_with("system.") {
            return Err("no collection can be called so");
        }
        let name = Namespace { database: database.clone(), collection: collection.clone() };
        Ok(Self { server: server.clone(), object: object.clone(), name })
    }

    /// How it stands now.
    pub(super) async fn standing(&self) -> Result<Standing, Failure> {
        let Some(listed) = self.listed().await? else { return Ok(Standing::Absent) };
        if listed.of != "collection" {
            return Ok(Standing::Filled);
        }
        let command =
            Builder::default().text("find", &self.name.collection).int("limit", 1).truth("singleBatch", true).finish();
        let first = self.find(command).await.map_err(|error| error.coded(WRITE))?;
        Ok(if first.is_empty() { Standing::Empty } else { Standing::Filled })
    }

    async fn find(&self, command: Vec<u8>) -> Result<Vec<Vec<u8>>, Error> {
        self.server.primary_cursor(&self.name.database, command).await?.all().await
    }

    /// Makes the collection or view with its options, where it is not there.
    ///
    /// # Errors
    /// `TM-MONGO-0301` where a view stands in the place of a collection, or a collection in that of a view.
    pub(super) async fn make(&self, schema: &Schema) -> Result<(), Failure> {
        let mut command = Builder::default().text("create", &self.name.collection);
        for option in raw::elements(schema.options.as_bytes()).map_while(Result::ok) {
            command.push(option);
        }
        match self.server.write(&self.name.database, command.finish()).await {
            Err(error) if error.said() == Said::Exists => self.is_of_the_kind(schema).await,
            Err(error) => Err(error.coded(WRITE)),
            Ok(_) => Ok(()),
        }
    }

    async fn is_of_the_kind(&self, schema: &Schema) -> Result<(), Failure> {
        let listed = self.listed().await?;
        if listed.is_none_or(|listed| listed.is_view() == schema.is_view()) {
            return Ok(());
        }
        let (there, wanted) = if schema.is_view() { ("collection", "view") } else { ("view", "collection") };
        let words = format!("{}: a {there} stands where the {wanted} is to come", self.object);
        Err(Failure::new(NOT_EMPTY, words).with_hint("restore under another name, or drop it"))
    }

    async fn listed(&self) -> Result<Option<Listed>, Failure> {
        let all = describe::of_database(&self.server, &self.name.database).await;
        let all = all.map_err(|error| error.coded(WRITE))?;
        Ok(all.into_iter().find(|listed| listed.namespace == self.name))
    }

    /// Inserts documents; one that is there already with the same bytes is written.
    pub(super) async fn write(self, records: Vec<Record>, refusals: Arc<Refusals>) -> Result<Counts, Failure> {
        let refused = self.insert(&records).await.map_err(|error| error.coded(WRITE))?;
        let again: Vec<&Record> =
            refused.iter().filter(|refusal| refusal.code == DUPLICATE).map(|r| &records[r.index]).collect();
        let there = self.there(&again).await.map_err(|error| error.coded(WRITE))?;
        let mut counts = Counts { written: records.len() as u64, ..Counts::default() };
        for Refusal { index, code, words } in refused {
            let record = &records[index];
            let same = code == DUPLICATE && there.get(&record.id).is_some_and(|document| document == record.bytes());
            if same {
                continue;
            }
            (counts.written, counts.refused) = (counts.written - 1, counts.refused + 1);
            let failure = Failure::new(WRITE, format!("document {}: {words} ({code})", record.id));
            refusals.note_destination();
            refusals.add(&self.object, Some(record.id.to_string()), failure)?;
        }
        Ok(counts)
    }

    /// Inserts; those whose empty timestamps a server would fill in go by themselves, with the word that it shall not.
    async fn insert(&self, records: &[Record]) -> Result<Vec<Refusal>, Error> {
        let (filled, plain): (Vec<_>, Vec<_>) =
            records.iter().enumerate().partition(|(_, record)| has_empty_time(record.bytes()));
        let mut documents = Vec::with_capacity(plain.len());
        for (_, record) in &plain {
            documents.push(self.server.document(record.bytes())?);
        }
        let indexes: Vec<usize> = plain.into_iter().map(|(index, _)| index).collect();
        let refused = self.server.insert(&self.name, documents).await?;
        let mut refused: Vec<Refusal> =
            refused.into_iter().map(|refusal| Refusal { index: indexes[refusal.index], ..refusal }).collect();
        for (index, record) in filled {
            let refusal = self.server.insert_exactly(&self.name, record.bytes()).await?;
            refused.extend(refusal.map(|refusal| Refusal { index, ..refusal }));
        }
        Ok(refused)
    }

    /// Reads documents back and compares them, byte by byte.
    pub(super) async fn compare(self, records: Vec<Record>, refusals: Arc<Refusals>) -> Result<Counts, Failure> {
        let there = self.there(&records.iter().collect::<Vec<_>>()).await.map_err(|error| error.coded(WRITE))?;
        let named = refusals.named();
        // Beyond those that are named nobody knows which were refused: what is not found equal is told by the report's
        // sums.
        let is_refused = |record: &Record| {
            let key = record.id.to_string();
            named.len() >= REFUSED_NAMED
                || named.iter().any(|refused| refused.object == self.object && refused.key.as_ref() == Some(&key))
        };
        let mut counts = Counts::default();
        for record in &records {
            match there.get(&record.id) {
                Some(document) if document == record.bytes() => counts.verified += 1,
                _ if is_refused(record) => {}
                found => return Err(self.other(record, found)),
            }
        }
        Ok(counts)
    }

    fn other(&self, record: &Record, found: Option<&Vec<u8>>) -> Failure {
        let what = if found.is_some() { "it is another than was written" } else { "it is not there" };
        let words = format!("{}: document {} was read back: {what}", self.object, record.id);
        Failure::new(OTHER, words)
            .with_hint("see who writes to the destination, and whether its version alters what it is given")
    }

    /// The documents of these `_id`s.
    async fn there(&self, records: &[&Record]) -> Result<HashMap<Id, Vec<u8>>, Error> {
        if records.is_empty() {
            return Ok(HashMap::new());
        }
        let mut ids = Builder::default();
        for (index, record) in records.iter().enumerate() {
            ids.push(record.id.element(&index.to_string()));
        }
        let wanted = Builder::default().with(kind::ARRAY, b"$in", &ids.finish()).finish();
        let command = Builder::default()
            .text("find", &self.name.collection)
            .document("filter", &Builder::default().document("_id", &wanted).finish())
            .finish();
        let found = self.find(command).await?;
        Ok(found.into_iter().filter_map(|document| Some((Id::of(&document).ok()?, document))).collect())
    }

    /// Makes the indexes; what cannot be made is a warning each.
    pub(super) async fn index(&self, schema: &Schema, ttl: Ttl) -> Result<Vec<String>, Failure> {
        let mut warnings = Vec::new();
        for (name, specification) in indexes::wanted(schema, ttl) {
            let command = Builder::default()
                .text("createIndexes", &self.name.collection)
                .documents("indexes", [&specification[..]])
                .finish();
            match self.server.write(&self.name.database, command).await {
                Ok(_) => {}
                Err(error) if error.is_retryable() => return Err(error.coded(WRITE)),
                Err(error) => warnings.push(format!("{}: index {name} was not made: {}", self.object, joined(&error))),
            }
        }
        Ok(warnings)
    }
}

/// True of a document with a timestamp of 0 at its first level, which servers fill in when it is inserted.
fn has_empty_time(document: &[u8]) -> bool {
    let empty = |element: raw::Element<'_>| {
        element.kind == kind::TIMESTAMP && element.value == [0; 8] && element.name != b"_id"
    };
    raw::elements(document).map_while(Result::ok).any(empty)
}
