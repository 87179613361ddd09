//! Values as CQL answers carry them.
//!
//! `raw` takes collections apart; `ordered` knows which of them a server keeps in another order.

pub(crate) mod ordered;
pub(crate) mod raw;
