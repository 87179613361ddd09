//! The seam `Resolver`: which replica's atoms survive.

/// Joins two replicas' states of one record by the source's own rules.
///
/// Every implementation is commutative, associative and idempotent, and is property-tested for all three.
pub trait Resolver {
    /// A record's state: a set of atoms.
    type Record;

    /// The join of two states of the same record.
    fn join(&self, left: Self::Record, right: Self::Record) -> Self::Record;
}
