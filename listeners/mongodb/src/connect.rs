//! Connections to MongoDB: commands out and replies back as bytes, and which errors are worth another try.

mod batches;
mod error;
mod secrets;

use std::{collections::BTreeSet, time::Duration};

use mongodb::{
    Client,
    bson::{Document, RawDocumentBuf},
    error::ErrorKind,
    options::{
        Acknowledgment, AuthMechanism, ClientOptions, Credential, ReadPreference, SelectionCriteria, ServerAddress,
        Tls, TlsOptions, WriteConcern,
    },
};

pub use batches::{Batch, Batches};
pub use error::{Error, Said, Shown};
pub use secrets::{VARIABLES, credentials};
pub use tidemark_listener_core::credentials::Credentials;

use crate::{event::Namespace, raw, spec::MongoSpec};

/// Longest wait for a server that can be asked.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(8);

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// A deployment, or one of its members.
#[derive(Clone, Debug)]
pub struct Server {
    client: Client,
    reading: SelectionCriteria,
    place: String,
}

impl Server {
    /// The deployment of a specification, with the credentials that its file holds. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`Error`] where the credentials cannot be read or the driver does not take the options.
    pub fn of(spec: &MongoSpec) -> Result<Self, Error> {
        Self::open(spec, credentials(spec)?, None)
    }

    /// Each address of a specification by itself. Nothing is connected to yet.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn each(spec: &MongoSpec) -> Result<Vec<Self>, Error> {
        let credentials = credentials(spec)?;
        let addresses: BTreeSet<&String> = spec.hosts.iter().chain(&spec.members).collect();
        addresses.into_iter().map(|address| Self::open(spec, credentials.clone(), Some(address))).collect()
    }

    /// The deployment, or only its `member`, with these credentials. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`Error::Options`] where the driver does not take the options.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn open(spec: &MongoSpec, credentials: Option<Credentials>, member: Option<&str>) -> Result<Self, Error> {
        let place = member.map_or_else(|| spec.place(), str::to_owned);
        let wrong = |source| Error::Options { place: place.clone(), source: Box::new(source) };
        let options = options(spec, credentials, member).map_err(wrong)?;
        let client = Client::with_options(options).map_err(wrong)?;
        let preferred = ReadPreference::SecondaryPreferred { options: Default::default() };
        Ok(Self { client, reading: SelectionCriteria::ReadPreference(preferred), place: place.clone() })
    }

    /// The driver's own client.
    #[cfg(test)]
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Where it is, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Sends a command that reads, to a secondary where there is one.
    ///
    /// # Errors
    /// [`Error::Command`].
    pub async fn ask(&self, database: &str, command: Vec<u8>) -> Result<Document, Error> {
        let (command, name) = self.command(command)?;
        let database = self.client.database(database);
        let sent = database.run_raw_command(command).selection_criteria(self.reading.clone());
        sent.await.map_err(|source| self.failed(name, source))
    }

    /// Sends a command that writes, to the primary.
    ///
    /// # Errors
    /// [`Error::Command`].
    pub async fn write(&self, database: &str, command: Vec<u8>) -> Result<Document, Error> {
        let (command, name) = self.command(command)?;
        let database = self.client.database(database);
        database.run_raw_command(command).await.map_err(|source| self.failed(name, source))
    }

    /// The bytes of a document as the driver takes them.
    ///
    /// # Errors
    /// [`Error::Made`] where they are none.
    pub fn document(&self, bytes: &[u8]) -> Result<RawDocumentBuf, Error> {
        let made = RawDocumentBuf::from_bytes(bytes.to_vec());
        made.map_err(|source| Error::Made { name: "insert".to_owned(), source: Box::new(source) })
    }

    /// Inserts documents in any order, whatever the collection's validator says of them, and waits until a majority has
    /// them; gives those that were refused.
    ///
    /// # Errors
    /// [`Error::Command`] where nothing is known of some of them.
    pub async fn insert(&self, into: &Namespace, documents: Vec<RawDocumentBuf>) -> Result<Vec<Refusal>, Error> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let collection = self.client.database(&into.database).collection::<RawDocumentBuf>(&into.collection);
        let concern = WriteConcern::builder().w(Acknowledgment::Majority).build();
        let sent =
            collection.insert_many(documents).ordered(false).bypass_document_validation(true).write_concern(concern);
        match sent.await {
            Ok(_) => Ok(Vec::new()),
            Err(error) => refusals(&error).ok_or_else(|| self.failed("insert".to_owned(), error)),
        }
    }

    /// Inserts a document whose empty timestamps the server shall not fill in; gives why it was refused. Servers before
    /// 8.0 do not know how, and say so.
    ///
    /// # Errors
    /// [`Error::Command`].
    pub async fn insert_exactly(&self, into: &Namespace, document: &[u8]) -> Result<Option<Refusal>, Error> {
        let command = raw::Builder::default()
            .text("insert", &into.collection)
            .documents("documents", [document])
            .truth("bypassDocumentValidation", true)
            .truth("bypassEmptyTsReplacement", true)
            .document("writeConcern", &raw::Builder::default().text("w", "majority").finish());
        let reply = self.write(&into.database, command.finish()).await?;
        let first = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()?.as_document());
        Ok(first.map(|error| Refusal {
            index: 0,
            code: error.get_i32("code").unwrap_or_default(),
            words: error.get_str("errmsg").unwrap_or_default().to_owned(),
        }))
    }

    /// Sends a command that gives a cursor, to a secondary where there is one. Of a cursor that waits for more, each
    /// batch takes `wait` at most.
    ///
    /// # Errors
    /// [`Error::Command`].
    pub async fn cursor(&self, database: &str, command: Vec<u8>, wait: Option<Duration>) -> Result<Batches, Error> {
        let reading = self.reading.clone();
        self.batches(database, command, wait, reading).await
    }

    /// As [`Self::cursor`], of the primary.
    ///
    /// # Errors
    /// [`Error::Command`].
    pub async fn primary_cursor(&self, database: &str, command: Vec<u8>) -> Result<Batches, Error> {
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        self.batches(database, command, None, primary).await
    }

    async fn batches(
        &self,
        database: &str,
        command: Vec<u8>,
        wait: Option<Duration>,
        reading: SelectionCriteria,
    ) -> Result<Batches, Error> {
        let (command, name) = self.command(command)?;
        let database = self.client.database(database);
        let mut asked = database.run_raw_cursor_command(command).selection_criteria(reading);
        if let Some(wait) = wait {
            asked = asked.max_time(wait);
        }
        let cursor = asked.batch().await.map_err(|source| self.failed(name.clone(), source))?;
        Ok(Batches::new(cursor, self.place.clone(), name))
    }

    fn command(&self, command: Vec<u8>) -> Result<(RawDocumentBuf, String), Error> {
        let first = raw::elements(&command).next().and_then(Result::ok);
        let name = first.map(|first| String::from_utf8_lossy(first.name).into_owned()).unwrap_or_default();
        let command = RawDocumentBuf::from_bytes(command)
            .map_err(|source| Error::Made { name: name.clone(), source: Box::new(source) })?;
        Ok((command, name))
    }

    fn failed(&self, command: String, source: mongodb::error::Error) -> Error {
        Error::Command { place: self.place.clone(), command, source: Box::new(Shown(source)) }
    }
}

/// A document that a server did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its place among those that were sent, from 0.
    pub index: usize,
    /// The server's code.
    pub code: i32,
    /// The server's words.
    pub words: String,
}

/// The documents that were refused, where that is all that went wrong.
fn refusals(error: &mongodb::error::Error) -> Option<Vec<Refusal>> {
    let ErrorKind::InsertMany(many) = error.kind.as_ref() else { return None };
    if many.write_concern_error.is_some() {
        return None;
    }
    let refusal = |error: &mongodb::error::IndexedWriteError| Refusal {
        index: error.index,
        code: error.code,
        words: error.message.clone(),
    };
    many.write_errors.as_ref().map(|errors| errors.iter().map(refusal).collect())
}

fn options(
    spec: &MongoSpec,
    credentials: Option<Credentials>,
    member: Option<&str>,
) -> Result<ClientOptions, mongodb::error::Error> {
    let hosts = member.map_or_else(|| spec.hosts.clone(), |member| vec![member.to_owned()]);
    let hosts: Vec<ServerAddress> = hosts.iter().map(ServerAddress::parse).collect::<Result<_, _>>()?;
    let mut options = ClientOptions::builder().hosts(hosts).build();
    options.app_name = Some("tidemark".to_owned());
    options.repl_set_name = spec.replica_set.clone().filter(|_| member.is_none());
    // Without the name of a set the driver would take a member for a server of its own.
    options.direct_connection = member.map(|_| true);
    options.server_selection_timeout = Some(SELECTION_TIMEOUT);
    options.connect_timeout = Some(CONNECT_TIMEOUT);
    options.credential = credential(spec, credentials)?;
    options.tls = spec.tls.as_ref().map(|tls| {
        let mut own = TlsOptions::builder().build();
        own.ca_file_path = tls.ca.clone();
        own.cert_key_file_path = tls.certificate.clone();
        Tls::Enabled(own)
    });
    Ok(options)
}

fn credential(spec: &MongoSpec, credentials: Option<Credentials>) -> Result<Option<Credential>, mongodb::error::Error> {
    if credentials.is_none() && spec.auth.is_none() {
        return Ok(None);
    }
    let mut credential = Credential::default();
    if let Some(auth) = &spec.auth {
        credential.mechanism = Some(auth.mechanism.parse::<AuthMechanism>()?);
        credential.source = auth.source.clone();
    }
    if let Some(own) = credentials {
        credential.username = Some(own.username().to_owned());
        credential.password = Some(own.password().to_owned());
    }
    Ok(Some(credential))
}
