//! Names of an SSTable's files: `<version>-<id>-<format>-<component>`.

use super::Error;

/// What the name of an SSTable's file says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// Version of the format, two letters; comparable within one format only.
    pub version: String,
    /// A number, or a UUID in Cassandra's own notation (`3h5q_0cq5_1jnk12s5evlnm3a29l`).
    pub id: String,
    /// `big` or `bti`.
    pub format: String,
}

impl Descriptor {
    /// Parses a file name into the SSTable's descriptor and the component, such as `Data.db`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for names that are not of this shape, old ones with a keyspace in front included.
    pub fn parse(file_name: &str) -> Result<(Self, &str), Error> {
        let parts: Vec<&str> = file_name.splitn(4, '-').collect();
        let [version, id, format, component] = parts[..] else { return Err(not_a_name(file_name)) };
        let is_version = version.len() == 2 && version.bytes().all(|b| b.is_ascii_lowercase());
        let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !is_version || !is_id || !matches!(format, "big" | "bti") || component.is_empty() {
            return Err(not_a_name(file_name));
        }
        let descriptor = Self { version: version.into(), id: id.into(), format: format.into() };
        Ok((descriptor, component))
    }

    /// The name of a component's file.
    pub fn file_name(&self, component: &str) -> String {
        format!("{}-{}-{}-{component}", self.version, self.id, self.format)
    }

    /// Refuses what is not read: everything but `nb` of the `big` format, which Cassandra 4.0 to 5.0 write by default.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming the version.
    pub fn check_supported(&self) -> Result<(), Error> {
        if self.version == "nb" && self.format == "big" {
            return Ok(());
        }
        let reason = format!("SSTable format {}-{}; only nb-big is supported", self.version, self.format);
        Err(Error::unsupported(&self.file_name("Data.db"), reason))
    }
}

fn not_a_name(file_name: &str) -> Error {
    Error::unsupported(file_name, "not the name of an SSTable's file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_both_kinds_of_ids_parse() {
        for (name, id, component) in [
            ("nb-1-big-Data.db", "1", "Data.db"),
            ("nb-3h5q_0cq5_1jnk12s5evlnm3a29l-big-Digest.crc32", "3h5q_0cq5_1jnk12s5evlnm3a29l", "Digest.crc32"),
            ("da-12-bti-SAI+aa+GroupComplete-x.db", "12", "SAI+aa+GroupComplete-x.db"),
        ] {
            let (descriptor, found) = Descriptor::parse(name).unwrap();
            assert_eq!((descriptor.id.as_str(), found), (id, component));
            assert_eq!(descriptor.file_name(component), name);
        }
    }

    #[test]
    fn other_names_and_versions_are_refused() {
        for name in
            ["", "Data.db", "ks-t-ka-1-Data.db", "nb-1-big-", "nb--big-Data.db", "n1-1-big-Data.db", "nb-1-x-Data.db"]
        {
            assert!(Descriptor::parse(name).is_err(), "{name}");
        }
        for name in ["me-1-big-Data.db", "na-1-big-Data.db", "oa-1-big-Data.db", "da-1-bti-Data.db", "nb-1-bti-Data.db"]
        {
            let (descriptor, _) = Descriptor::parse(name).unwrap();
            assert!(descriptor.check_supported().unwrap_err().to_string().contains(name.split('-').next().unwrap()));
        }
    }
}
