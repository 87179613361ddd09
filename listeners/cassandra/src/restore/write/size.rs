//! What the destination takes in one write: read from its settings, whose names differ between releases.
//!
//! A mutation may be as large as `max_mutation_size`, by default half a segment of the commit log, and a request no larger than
//! what the native protocol takes. `batch_size_fail_threshold` does not apply: all statements of a request are of one partition.

use std::collections::BTreeMap;

/// Most bytes that are put into one request where the destination takes more.
const REQUEST_BYTES: usize = 8 << 20;

/// Largest mutation of a server that does not tell its own, bytes.
const ASSUMED_BYTES: usize = 16 << 20;

/// Names of the largest mutation, from 4.1 on and before.
const MUTATION: [&str; 2] = ["max_mutation_size", "max_mutation_size_in_kb"];

/// Names of the size of a segment of the commit log.
const SEGMENT: [&str; 2] = ["commitlog_segment_size", "commitlog_segment_size_in_mb"];

/// Names of what bounds a request of a client.
const REQUEST: [&str; 5] = [
    "native_transport_max_frame_size",
    "native_transport_max_frame_size_in_mb",
    "native_transport_max_message_size",
    "native_transport_max_request_data_in_flight_per_ip",
    "native_transport_max_concurrent_requests_in_bytes_per_ip",
];

/// Sizes of writes, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteSizes {
    /// The destination refuses a larger write.
    pub limit: usize,
    /// At which a write and a request are full. What the server adds to each value is counted only roughly, hence half the limit.
    pub full: usize,
}

impl WriteSizes {
    /// Sizes below this limit.
    pub fn below(limit: usize) -> Self {
        Self { limit, full: (limit / 2).clamp(1, REQUEST_BYTES) }
    }

    /// Sizes by the destination's settings.
    pub fn of(settings: &BTreeMap<String, String>) -> Self {
        let told = |names: &[&str]| names.iter().filter_map(|name| bytes(name, settings.get(*name)?)).min();
        let mutation = told(&MUTATION).or_else(|| told(&SEGMENT).map(|segment| segment / 2));
        let mutation = mutation.unwrap_or(ASSUMED_BYTES);
        Self::below(told(&REQUEST).map_or(mutation, |request| request.min(mutation)))
    }

    /// Cuts statements into requests of at most `most` that the destination takes, in order. A statement that is larger by itself
    /// has a request of its own.
    pub fn requests<T>(self, most: usize, statements: Vec<T>, bytes: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
        let mut requests: Vec<Vec<T>> = Vec::new();
        let mut room = 0;
        for statement in statements {
            let bytes = bytes(&statement);
            let fits = bytes <= room && requests.last().is_some_and(|request| request.len() < most);
            match requests.last_mut().filter(|_| fits) {
                Some(request) => {
                    room -= bytes;
                    request.push(statement);
                }
                None => {
                    room = self.full.saturating_sub(bytes);
                    requests.push(vec![statement]);
                }
            }
        }
        requests
    }
}

/// A size as a release tells it: `16384KiB`, or a plain number of the unit in the setting's name. `None` where it is not set.
fn bytes(name: &str, text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..digits].parse().ok().filter(|number| *number > 0)?;
    let unit = match text[digits..].trim() {
        "" if name.ends_with("_in_mb") => 1 << 20,
        "" if name.ends_with("_in_kb") => 1 << 10,
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(settings: &[(&str, &str)]) -> usize {
        WriteSizes::of(&settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()).limit
    }

    #[test]
    fn limits_are_read_as_each_release_tells_them() {
        assert_eq!(limit(&[]), ASSUMED_BYTES);
        assert_eq!(limit(&[("max_mutation_size", "1024KiB"), ("commitlog_segment_size", "32MiB")]), 1 << 20);
        assert_eq!(limit(&[("max_mutation_size_in_kb", "2048"), ("commitlog_segment_size_in_mb", "32")]), 2 << 20);
        assert_eq!(limit(&[("commitlog_segment_size_in_mb", "8")]), 4 << 20);
        assert_eq!(limit(&[("max_mutation_size", "null"), ("commitlog_segment_size", "4MiB")]), 2 << 20);
        assert_eq!(limit(&[("native_transport_max_frame_size_in_mb", "1"), ("max_mutation_size", "2MiB")]), 1 << 20);
        assert_eq!(limit(&[("native_transport_max_message_size", "6291456B")]), 6 << 20);
    }

    #[test]
    fn writes_are_full_at_half_of_it() {
        assert_eq!(WriteSizes::below(16 << 20).full, 8 << 20);
        assert_eq!(WriteSizes::below(64 << 20).full, 8 << 20);
        assert_eq!(WriteSizes::below(1 << 20).full, 1 << 19);
    }

    #[test]
    fn requests_are_no_larger_than_the_destination_takes_and_keep_their_order() {
        let lengths = |of: &[usize], limit| {
            let cut = WriteSizes::below(limit).requests(3, of.to_vec(), |bytes| *bytes);
            assert_eq!(cut.concat(), of);
            cut.iter().map(Vec::len).collect::<Vec<_>>()
        };
        // The parts of one row that is larger than a write stay apart.
        assert_eq!(lengths(&[500, 500, 100], 1_000), vec![1, 1, 1]);
        assert_eq!(lengths(&[500, 500, 100], 10_000), vec![3]);
        assert_eq!(lengths(&[1; 4], 10_000), vec![3, 1]);
        assert_eq!(lengths(&[500, 1, 501, 1], 1_000), vec![1, 1, 1, 1]);
        assert!(lengths(&[], 10_000).is_empty());
    }
}
