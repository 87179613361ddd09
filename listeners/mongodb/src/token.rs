//! Resume tokens: what a stream goes on from, what orders events of one cluster time, and what some of them prove.
//!
//! A token is kept as the server gave it. Two forms of its text `_data` are understood:
//! - a server's own: hexadecimal digits of a key string, which begins `82` (a timestamp), then seconds and increment of
//!   8 digits each. Bytes order as events do, and it proves that all events before that time have been given.
//! - that of the stand-in of our tests: hexadecimal digits of a document with the number `s`, which orders. It proves
//!   nothing.
//!
//! Any other form is refused by name: nobody could tell two events of one time apart.

use crate::{raw, time::ClusterTime};

/// What a key string of a timestamp begins with.
const TIMESTAMP: u8 = 0x82;

/// Why a token is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has no `_data`, or that is no hexadecimal text.
    #[error("a resume token without hexadecimal _data")]
    Data,
    /// Neither of the known forms.
    #[error("resume token {0}… is of a form that this build does not know")]
    Form(String),
}

/// What a token is, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Orders tokens of one cluster time as their events.
    pub place: Vec<u8>,
    /// All events before this time have been given; `None` where a token of this form proves nothing.
    pub proves_before: Option<ClusterTime>,
}

/// Reads a token, the document that is an event's `_id`.
///
/// # Errors
/// [`Error`].
pub fn read(token: &[u8]) -> Result<Token, Error> {
    let data = raw::find(token, "_data").ok().flatten().and_then(|data| data.text());
    let bytes = data.and_then(|text| hex::decode(text).ok()).ok_or(Error::Data)?;
    match key_string(&bytes).or_else(|| numbered(&bytes)) {
        Some(token) => Ok(token),
        None => Err(Error::Form(data.unwrap_or_default().chars().take(24).collect())),
    }
}

fn key_string(bytes: &[u8]) -> Option<Token> {
    let [TIMESTAMP, time @ ..] = bytes else { return None };
    let time = u64::from_be_bytes(time.get(..8)?.try_into().ok()?);
    Some(Token { place: bytes.to_vec(), proves_before: Some(ClusterTime::of_bits(time)) })
}

fn numbered(bytes: &[u8]) -> Option<Token> {
    let number = raw::find(bytes, "s").ok()??.whole().filter(|number| *number >= 0)?;
    Some(Token { place: number.to_be_bytes().to_vec(), proves_before: None })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::raw::Builder;

    /// A token with this `_data`.
    pub(crate) fn token(data: &str) -> Vec<u8> {
        Builder::default().text("_data", data).finish()
    }

    /// A token as the stand-in makes it.
    pub(crate) fn stand_in(number: i32) -> Vec<u8> {
        token(&hex::encode(Builder::default().int("s", number).text("n", "shop.a").finish()))
    }

    /// High-water mark of a server 7.0: version 1, type 0, as documented in the server's `resume_token.h`; constructed.
    const HIGH_WATER: &str = "8265C1E8F4000000072B0429296E1404";

    #[test]
    fn a_key_string_proves_what_is_before_its_time_constructed() {
        let read = read(&token(HIGH_WATER)).unwrap();
        assert_eq!(read.proves_before, Some("1707206900.7".parse().unwrap()));
        assert_eq!(read.place, hex::decode(HIGH_WATER).unwrap());
    }

    #[test]
    fn the_stand_ins_tokens_order_by_number_and_prove_nothing() {
        let places = [1, 255, 256, 65_536].map(|number| read(&stand_in(number)).unwrap());
        assert!(places.is_sorted_by(|a, b| a.place < b.place) && places[0].proves_before.is_none());
    }

    #[test]
    fn a_token_of_the_stand_in_as_it_was_seen_is_read() {
        let seen = "360000001073000400000011740008000000d0560d6b026e000700000073686f702e6100036b000e000000105f696400010000000000";
        assert_eq!(read(&token(seen)).unwrap().place, 4_i64.to_be_bytes());
    }

    #[test]
    fn other_forms_are_refused() {
        assert_eq!(read(&token("81aa")), Err(Error::Form("81aa".to_owned())));
        assert_eq!(read(&token("8265")), Err(Error::Form("8265".to_owned())));
        for none in [token("xyz"), Builder::default().finish(), vec![1, 2, 3]] {
            assert_eq!(read(&none), Err(Error::Data));
        }
    }
}
