//! Limits of stores and policies.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bounds on what is asked of storage: of a store by the daemon and all listeners together, of a policy by its runs. What is absent is
/// not bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes sent and read in a second, on average; at least 65,536.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Requests at a time; at least 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Hours in which other bounds hold, all of them instead of those above. Of several that hold now the first are in force. At most
    /// 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<LimitHours>,
}

/// Hours with bounds of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitHours {
    /// `mon-fri 08:00-18:00`, `sat,sun 00:00-24:00`, `22:00-06:00`.
    pub when: String,
    /// IANA name of their zone, such as `Europe/Vienna`; absent: that of the policy, UTC for a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Bytes sent and read in a second, on average; at least 65,536.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Requests at a time; at least 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
}

/// The bounds that are in force now; what is absent is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitNow {
    /// Bytes in a second.
    pub bytes_per_second: Option<u64>,
    /// Requests at a time.
    pub requests: Option<u32>,
}
