//! What a deployment says of itself: its members, its clock, its collections and their indexes. Everything is asked of
//! the primary.

use mongodb::bson::Document;
use tidemark_catalog::{ids::ObjectName, opaque::Opaque};

use crate::{
    connect::{Error, Said, Server},
    event::Namespace,
    raw::{self, Builder},
    staged::{Index, Schema},
    time::ClusterTime,
};

/// Databases of the server's own.
const OWN: [&str; 3] = ["admin", "config", "local"];

/// Type of a view, and its id: it has no UUID.
pub const VIEW: &str = "view";

/// Type of a time series.
const TIME_SERIES: &str = "timeseries";

/// Type of an ordinary collection.
const COLLECTION: &str = "collection";

/// What a server says when it is greeted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Name of its replica set; `None` of mongos and of servers of their own.
    pub set: Option<String>,
    /// True of mongos.
    pub routes: bool,
    /// The latest time that it knows; `None` where it keeps no log.
    pub time: Option<ClusterTime>,
    /// Its clock, ms since 1970.
    pub local_millis: Option<i64>,
}

/// Greets the primary, or mongos.
///
/// # Errors
/// [`Error::Command`].
pub async fn hello(server: &Server) -> Result<Hello, Error> {
    let reply = server.write("admin", Builder::default().int("hello", 1).finish()).await?;
    let gossip = reply.get_document("$clusterTime").ok().and_then(|time| timestamp(time, "clusterTime"));
    let write = reply
        .get_document("lastWrite")
        .ok()
        .and_then(|last| last.get_document("opTime").ok())
        .and_then(|t| timestamp(t, "ts"));
    Ok(Hello {
        set: reply.get_str("setName").ok().map(str::to_owned),
        routes: reply.get_str("msg").is_ok_and(|word| word == "isdbgrid"),
        time: gossip.max(timestamp(&reply, "operationTime")).max(write),
        local_millis: reply.get_datetime("localTime").ok().map(|time| time.timestamp_millis()),
    })
}

/// The latest time of the deployment: every write that was acknowledged before the call is not after it.
///
/// # Errors
/// [`Error::Reply`] where it keeps no log.
pub async fn time(server: &Server) -> Result<ClusterTime, Error> {
    hello(server).await?.time.ok_or_else(|| strange(server, "hello", "it has no cluster time: it is no replica set"))
}

fn timestamp(document: &Document, field: &str) -> Option<ClusterTime> {
    let time = document.get_timestamp(field).ok()?;
    Some(ClusterTime::of_bits(u64::from(time.time) << 32 | u64::from(time.increment)))
}

fn strange(server: &Server, command: &str, what: &str) -> Error {
    Error::Reply { place: server.place().to_owned(), command: command.to_owned(), what: what.to_owned() }
}

/// The server's version, as it prints it.
///
/// # Errors
/// [`Error`].
pub async fn version(server: &Server) -> Result<String, Error> {
    let reply = server.ask("admin", Builder::default().int("buildInfo", 1).finish()).await?;
    reply.get_str("version").map(str::to_owned).map_err(|error| strange(server, "buildInfo", &error.to_string()))
}

/// A collection or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub namespace: Namespace,
    /// Its UUID, 32 hexadecimal digits; [`VIEW`] of a view, the type where a server lists none.
    pub uuid: String,
    /// Its type: `collection`, `view`, `timeseries`, or one that is not known.
    pub of: String,
    /// Its options, undecoded.
    pub options: Vec<u8>,
}

impl Listed {
    /// The object's name.
    pub fn object(&self) -> Option<ObjectName> {
        ObjectName::new([self.namespace.database.as_str(), self.namespace.collection.as_str()]).ok()
    }

    /// Why it cannot be protected; `None` where it can.
    pub fn unsupported(&self) -> Option<&'static str> {
        let capped = raw::find(&self.options, "capped").ok().flatten();
        match self.of.as_str() {
            COLLECTION if capped.is_some_and(|capped| capped.value == [1]) => {
                Some("capped collections are not supported: their order is that of insertion, which is not kept")
            }
            COLLECTION | VIEW => None,
            TIME_SERIES => Some("time series are not supported: no change stream tells of them"),
            _ => Some("collections of this type are not supported"),
        }
    }

    /// True of a view.
    pub fn is_view(&self) -> bool {
        self.of == VIEW
    }
}

/// All collections and views but the server's own, in the order of their names.
///
/// # Errors
/// [`Error`].
pub async fn collections(server: &Server) -> Result<Vec<Listed>, Error> {
    let command = Builder::default().int("listDatabases", 1).truth("nameOnly", true).finish();
    let reply = server.write("admin", command).await?;
    let databases =
        reply.get_array("databases").map_err(|error| strange(server, "listDatabases", &error.to_string()))?;
    let names = databases.iter().filter_map(|database| database.as_document()?.get_str("name").ok());
    let mut all = Vec::new();
    for database in names.filter(|name| !OWN.contains(name)) {
        all.extend(of_database(server, database).await?);
    }
    all.sort_by(|a, b| a.namespace.cmp(&b.namespace));
    Ok(all)
}

/// The collections and views of a database.
///
/// # Errors
/// [`Error`].
pub async fn of_database(server: &Server, database: &str) -> Result<Vec<Listed>, Error> {
    let listed =
        server.primary_cursor(database, Builder::default().int("listCollections", 1).finish()).await?.all().await?;
    let read = |document: &Vec<u8>| {
        collection(database, document)
            .ok_or_else(|| strange(server, "listCollections", "a collection without a name, type or UUID"))
    };
    let all = listed.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().filter(|listed| !listed.namespace.collection.starts_with("system.")).collect())
}

fn collection(database: &str, document: &[u8]) -> Option<Listed> {
    let find = |document, name| raw::find(document, name).ok().flatten();
    let (name, said) = (find(document, "name")?.text()?, find(document, "type")?.text()?);
    let info = find(document, "info").and_then(|info| info.document()).unwrap_or_default();
    let uuid = find(info, "uuid").and_then(|uuid| uuid.binary()).map(hex::encode);
    let options = find(document, "options").and_then(|options| options.document());
    // Some servers list a time series as a collection that has these options.
    let of = if options.is_some_and(|options| find(options, TIME_SERIES).is_some()) { TIME_SERIES } else { said };
    let uuid = match of {
        COLLECTION => uuid?,
        // Whatever some servers list: no event names it.
        VIEW => VIEW.to_owned(),
        other => uuid.unwrap_or_else(|| other.to_owned()),
    };
    Some(Listed {
        namespace: Namespace { database: database.to_owned(), collection: name.to_owned() },
        uuid,
        of: of.to_owned(),
        options: options.map(without_uuid).unwrap_or_else(|| Builder::default().finish()),
    })
}

/// Options without the UUID, which some servers list among them.
fn without_uuid(options: &[u8]) -> Vec<u8> {
    let mut builder = Builder::default();
    raw::elements(options)
        .map_while(Result::ok)
        .filter(|option| option.name != b"uuid")
        .for_each(|option| builder.push(option));
    builder.finish()
}

/// What a collection is: its options and its indexes, as the server gives them; `None` where it is gone.
///
/// # Errors
/// [`Error`].
pub async fn schema(server: &Server, listed: &Listed) -> Result<Option<Schema>, Error> {
    let options = Opaque::new(listed.options.clone());
    if listed.is_view() {
        return Ok(Some(Schema { options, indexes: Vec::new() }));
    }
    let command = Builder::default().text("listIndexes", &listed.namespace.collection).finish();
    let found = match server.primary_cursor(&listed.namespace.database, command).await {
        Ok(cursor) => cursor.all().await?,
        Err(error) if error.said() == Said::NoCollection => return Ok(None),
        Err(error) => return Err(error),
    };
    let index = |document: Vec<u8>| {
        let name = raw::find(&document, "name").ok().flatten().and_then(|name| name.text()).map(str::to_owned);
        let name = name.ok_or_else(|| strange(server, "listIndexes", "an index without a name"))?;
        Ok::<_, Error>(Index { name, specification: Opaque::new(document) })
    };
    let mut indexes = found.into_iter().map(index).collect::<Result<Vec<_>, _>>()?;
    indexes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(Schema { options, indexes }))
}

/// Seconds of log that the primary keeps now: from its first entry to its last; `None` where that cannot be read.
///
/// # Errors
/// [`Error`].
pub async fn log_seconds(server: &Server) -> Result<Option<u64>, Error> {
    let (first, last) = (edge(server, 1).await?, edge(server, -1).await?);
    Ok(first.zip(last).map(|(first, last)| u64::from(last.saturating_sub(first))))
}

/// Seconds of the first or the last entry of the log.
async fn edge(server: &Server, order: i32) -> Result<Option<u32>, Error> {
    let command = Builder::default()
        .text("find", "oplog.rs")
        .document("sort", &Builder::default().int("$natural", order).finish())
        .int("limit", 1)
        .truth("singleBatch", true)
        .finish();
    let entries = server.primary_cursor("local", command).await?.all().await?;
    let time = entries.first().and_then(|entry| raw::find(entry, "ts").ok().flatten());
    Ok(time.and_then(|time| time.timestamp()).map(|bits| ClusterTime::of_bits(bits).seconds()))
}

#[cfg(test)]
mod tests;
