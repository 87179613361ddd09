//! Releases of Cassandra, as far as anything depends on them.

use std::fmt;

/// The first two numbers of a server's version. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u32,
    minor: u32,
}

impl Release {
    /// The oldest that is protected and restored to.
    pub const V4_0: Self = Self { major: 4, minor: 0 };
    /// Between the two.
    pub const V4_1: Self = Self { major: 4, minor: 1 };
    /// The newest that is known.
    pub const V5_0: Self = Self { major: 5, minor: 0 };

    /// The release of a version, for example of `5.0.9` or `4.1-beta1`; `None` where it does not begin with two numbers.
    pub fn of(version: &str) -> Option<Self> {
        let mut numbers = version.split(['.', '-']).map(|part| part.parse().ok());
        Some(Self { major: numbers.next()??, minor: numbers.next()?? })
    }

    /// True for the releases whose files are read: 4.0, 4.1 and 5.0.
    pub fn is_known(self) -> bool {
        [Self::V4_0, Self::V4_1, Self::V5_0].contains(&self)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_releases_in_order() {
        assert_eq!(Release::of("4.0.19"), Some(Release::V4_0));
        assert_eq!(Release::of("4.1-beta1"), Some(Release::V4_1));
        assert_eq!(Release::of("5.0.9"), Some(Release::V5_0));
        assert_eq!((Release::of("unknown"), Release::of("5")), (None, None));
        assert!(Release::of("3.11.4") < Some(Release::V4_0) && Release::V4_1 < Release::V5_0);
        assert_eq!(Release::V4_1.to_string(), "4.1");
    }
}
