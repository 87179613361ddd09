//! Write levels as Cassandra's requests name them: the one list of which levels there are for restores and for what policies
//! declare.

use scylla::statement::Consistency;

use crate::write_level::WriteLevel;

/// Parses the name of a level that writes of a restore can use, as [`WriteLevel`] is parsed; not `any`: a hint is no write.
pub fn parse(name: &str) -> Option<Consistency> {
    name.parse().ok().and_then(of)
}

/// Name of a level as CQL writes it.
pub fn name(level: Consistency) -> String {
    let known = WriteLevel::EVERY.into_iter().find(|known| of(*known) == Some(level));
    known.map_or_else(|| format!("{level:?}"), |known| known.as_str().to_ascii_uppercase())
}

/// The level of a request that waits for these replicas; `None` for `any`.
fn of(level: WriteLevel) -> Option<Consistency> {
    Some(match level {
        WriteLevel::Any => return None,
        WriteLevel::One => Consistency::One,
        WriteLevel::Two => Consistency::Two,
        WriteLevel::Three => Consistency::Three,
        WriteLevel::Quorum => Consistency::Quorum,
        WriteLevel::All => Consistency::All,
        WriteLevel::LocalOne => Consistency::LocalOne,
        WriteLevel::LocalQuorum => Consistency::LocalQuorum,
        WriteLevel::EachQuorum => Consistency::EachQuorum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_named_as_operators_write_them() {
        assert_eq!(parse("ALL"), Some(Consistency::All));
        assert_eq!(parse("local-quorum"), Some(Consistency::LocalQuorum));
        assert_eq!(["any", "serial", ""].map(parse), [None; 3]);
        assert_eq!(name(Consistency::LocalQuorum), "LOCAL_QUORUM");
    }
}
