//! Names of an SSTable's files: `<version>-<id>-<format>-<component>`.

use super::Error;

/// The versions that are read. Letters are compared within one format only: `da` came after `oa`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `nb` of `big`: Cassandra 4.0 and 4.1, and 5.0 in its default mode.
    Nb,
    /// `oa` of `big`: Cassandra 5.0.
    Oa,
    /// `da` of `bti`: Cassandra 5.0; of what is read here it has everything that `oa` brought.
    Da,
}

impl Version {
    /// All versions.
    pub const ALL: [Self; 3] = [Self::Nb, Self::Oa, Self::Da];

    /// Version and format as file names have them.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Nb => ("nb", "big"),
            Self::Oa => ("oa", "big"),
            Self::Da => ("da", "bti"),
        }
    }

    /// True for the formats of 5.0: deletion times are unsigned, partitions without a deletion say so in one byte, and the
    /// statistics have a slice of clusterings, the range of keys and the token space that is covered.
    pub(super) const fn is_of_five(self) -> bool {
        !matches!(self, Self::Nb)
    }
}

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
        if !is_version || !is_id(id) || !matches!(format, "big" | "bti") || component.is_empty() {
            return Err(not_a_name(file_name));
        }
        let descriptor = Self { version: version.into(), id: id.into(), format: format.into() };
        Ok((descriptor, component))
    }

    /// The name of a component's file.
    pub fn file_name(&self, component: &str) -> String {
        format!("{}-{}-{}-{component}", self.version, self.id, self.format)
    }

    /// The version, where it is one of those that are read.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming the version and the format.
    pub fn supported(&self) -> Result<Version, Error> {
        let names = (self.version.as_str(), self.format.as_str());
        Version::ALL.into_iter().find(|version| version.names() == names).ok_or_else(|| {
            let reason = format!("SSTable format {}-{}; nb-big, oa-big and da-bti are supported", names.0, names.1);
            Error::unsupported(&self.file_name("Data.db"), reason)
        })
    }
}

/// True for a number, and for a UUID as Cassandra prints it: days, seconds, ticks and the low half in base 36.
fn is_id(id: &str) -> bool {
    let base36 = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let groups: Vec<&str> = id.split('_').collect();
    match groups[..] {
        [number] => !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()),
        [days, seconds, rest] => {
            (days.len(), seconds.len(), rest.len()) == (4, 4, 18) && groups.iter().all(|group| base36(group))
        }
        _ => false,
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
        for name in [
            "",
            "Data.db",
            "ks-t-ka-1-Data.db",
            "nb-1-big-",
            "nb--big-Data.db",
            "n1-1-big-Data.db",
            "nb-1-x-Data.db",
            "nb-x1-big-Data.db",
            "nb-3h5q_0cq5_1jnk12s5evlnm3a29-big-Data.db",
            "nb-3H5Q_0cq5_1jnk12s5evlnm3a29l-big-Data.db",
        ] {
            assert!(Descriptor::parse(name).is_err(), "{name}");
        }
        for name in ["me-1-big", "na-1-big", "ob-1-big", "pa-1-big", "nb-1-bti", "da-1-big", "oa-1-bti", "ea-1-bti"] {
            let file = format!("{name}-Data.db");
            let error = Descriptor::parse(&file).unwrap().0.supported().unwrap_err().to_string();
            assert!(error.contains(&name.replace("-1-", "-")), "{error}");
        }
    }

    #[test]
    fn letters_are_compared_within_a_format_only() {
        let version = |name: &str| Descriptor::parse(name).unwrap().0.supported().unwrap();
        let of_five =
            ["nb-1-big-Data.db", "oa-1-big-Data.db", "da-1-bti-Data.db"].map(|name| version(name).is_of_five());
        assert_eq!(of_five, [false, true, true]);
    }
}
