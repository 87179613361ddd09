//! A shop: accounts, their orders, events of their devices. Sizes and shares are those of an ordinary shop: names and
//! notes of words, amounts in cents, a few states, identifiers that do not compress.

use bytes::Bytes;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    cql::{Raw, Values},
    tables::values,
};

/// Accounts.
pub(super) const ACCOUNTS: usize = 12_000;
/// Orders of each customer.
pub(super) const ORDERS: usize = 50;
/// Events of each device.
pub(super) const EVENTS: usize = 200;

/// First write time, µs: 2026-01-05.
const EPOCH_MICROS: i64 = 1_767_600_000_000_000;
/// 100 ns between 1582-10-15, the zero of time UUIDs, and 1970.
const UUID_EPOCH: i64 = 0x01b2_1dd2_1381_4000;

const FIRST: [&str; 16] = [
    "Ada", "Ben", "Chloé", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Inès", "Jonas", "Kemi", "Lars", "Mina", "Noor",
    "Olga", "Pavel",
];
const LAST: [&str; 16] = [
    "Abbot",
    "Bauer",
    "Castro",
    "Dubois",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ivanov",
    "Jansen",
    "Kowalski",
    "Lindqvist",
    "Moreau",
    "Nakamura",
    "Okafor",
    "Petrov",
];
const STREETS: [&str; 12] = [
    "Mill Lane",
    "Harbour Road",
    "Station Street",
    "Church Hill",
    "Kings Avenue",
    "Long Acre",
    "Park Row",
    "Quay Side",
    "Rose Walk",
    "South Gate",
    "Tower Bridge Road",
    "Vine Street",
];
const NOTES: [&str; 32] = [
    "please",
    "leave",
    "at",
    "the",
    "door",
    "ring",
    "bell",
    "twice",
    "gift",
    "wrap",
    "with",
    "care",
    "call",
    "before",
    "delivery",
    "neighbour",
    "takes",
    "parcel",
    "fragile",
    "invoice",
    "by",
    "mail",
    "second",
    "floor",
    "left",
    "side",
    "after",
    "six",
    "thanks",
    "express",
    "if",
    "possible",
];
const PRODUCTS: [&str; 16] = [
    "kettle",
    "lamp",
    "notebook",
    "backpack",
    "headphones",
    "mug",
    "keyboard",
    "blanket",
    "tent",
    "bicycle bell",
    "chess set",
    "umbrella",
    "water bottle",
    "desk",
    "chair",
    "clock",
];
const STATES: [&str; 6] = ["new", "paid", "packed", "shipped", "delivered", "returned"];
const KINDS: [&str; 5] = ["view", "search", "add-to-cart", "login", "logout"];

/// Schema of the shop, on as many replicas.
pub(super) fn schema(replication_factor: u32) -> Vec<String> {
    let replication = format!("{{'class': 'SimpleStrategy', 'replication_factor': {replication_factor}}}");
    vec![
        format!("CREATE KEYSPACE shop WITH replication = {replication}"),
        "CREATE TYPE shop.item (product text, quantity int, price decimal)".to_owned(),
        "CREATE TABLE shop.accounts (id uuid PRIMARY KEY, first_name text, last_name text, email text, address text, \
         created timestamp, credit decimal, newsletter boolean)"
            .to_owned(),
        "CREATE TABLE shop.orders (customer uuid, placed timeuuid, status text, amount decimal, currency text, created \
         timestamp, address text, items frozen<list<frozen<item>>>, note text, PRIMARY KEY (customer, placed)) WITH \
         CLUSTERING ORDER BY (placed DESC)"
            .to_owned(),
        "CREATE TABLE shop.events (device uuid, at timestamp, kind text, page text, millis int, PRIMARY KEY (device, at))"
            .to_owned(),
    ]
}

/// Tables of the shop.
pub(super) const TABLES: [&str; 3] = ["accounts", "orders", "events"];

/// Statements of the load; the last two values of each are write time and TTL.
pub(super) const INSERTS: [&str; 3] = [
    "INSERT INTO shop.accounts (id, first_name, last_name, email, address, created, credit, newsletter) VALUES \
     (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?",
    "INSERT INTO shop.orders (customer, placed, status, amount, currency, created, address, items, note) VALUES \
     (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?",
    "INSERT INTO shop.events (device, at, kind, page, millis) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?",
];

/// Ids of a customer and of its orders.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    /// Account.
    pub(super) id: Bytes,
    /// Its address.
    pub(super) address: Bytes,
    /// Its orders: id, write time in µs.
    pub(super) orders: Vec<(Bytes, i64)>,
}

/// Generator of the shop's rows; the same seed gives the same shop.
#[derive(Debug)]
pub(super) struct Shop {
    rng: ChaCha8Rng,
}

impl Shop {
    /// A shop.
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// One account: its id, its address, its row.
    pub(super) fn account(&mut self, number: usize) -> (Bytes, Bytes, Values) {
        let (id, at) = (self.uuid(0x40), self.moment());
        let (first, last) = (self.pick(&FIRST), self.pick(&LAST));
        let email = format!("{}.{}.{number}@example.org", first.to_lowercase(), last.to_lowercase());
        let address = text(format!("{} {}", self.rng.random_range(1..200), self.pick(&STREETS)));
        let credit = self.rng.random_range(0..50_000);
        let row = vec![
            Raw::from(&id),
            Raw::from(&text(first)),
            Raw::from(&text(last)),
            Raw::from(&text(email)),
            Raw::from(&address),
            Raw::bigint(at / 1000),
            Raw::from(&decimal(credit)),
            Raw::from(&Bytes::copy_from_slice(&[self.rng.random_range(0..2)])),
            Raw::bigint(at),
            Raw::int(0),
        ];
        (id, address, Values(row))
    }

    /// All orders of a customer; their ids are kept in it.
    pub(super) fn orders(&mut self, customer: &mut Customer) -> Vec<Values> {
        (0..ORDERS).map(|_| self.order(customer)).collect()
    }

    fn order(&mut self, customer: &mut Customer) -> Values {
        let placed = self.moment();
        // The write follows the order's own time by some milliseconds.
        let at = placed + self.rng.random_range(500..9_000);
        let id = self.time_uuid(placed);
        customer.orders.push((id.clone(), at));
        let (items, amount) = self.items();
        let currency = if self.rng.random_range(0..10) < 8 { "EUR" } else { "USD" };
        let state = self.pick(&STATES);
        Values(vec![
            Raw::from(&customer.id),
            Raw::from(&id),
            Raw::from(&text(state)),
            Raw::from(&decimal(amount)),
            Raw::from(&text(currency)),
            Raw::bigint(placed / 1000),
            Raw::from(&customer.address),
            Raw::from(&items),
            Raw::from(&self.note()),
            Raw::bigint(at),
            Raw::int(0),
        ])
    }

    fn items(&mut self) -> (Bytes, i64) {
        let (mut items, mut sum) = (Vec::new(), 0);
        for _ in 0..self.rng.random_range(1..4) {
            let (quantity, price) = (self.rng.random_range(1..4_i32), self.rng.random_range(199..9_999_i64));
            sum += i64::from(quantity) * price;
            let fields = [text(self.pick(&PRODUCTS)), Bytes::copy_from_slice(&quantity.to_be_bytes()), decimal(price)];
            items.push(values::tuple(&fields.map(Some)));
        }
        (values::collection(&items), sum)
    }

    /// All events of one device; they live for 30 to 90 days.
    pub(super) fn events(&mut self) -> Vec<Values> {
        let (device, mut at) = (self.uuid(0x40), self.moment());
        let mut events = Vec::new();
        for _ in 0..EVENTS {
            at += self.rng.random_range(1_000..600_000_000);
            events.push(self.event(&device, at));
        }
        events
    }

    fn event(&mut self, device: &Bytes, at: i64) -> Values {
        let (kind, product) = (self.pick(&KINDS), self.pick(&PRODUCTS));
        Values(vec![
            Raw::from(device),
            Raw::bigint(at / 1000),
            Raw::from(&text(kind)),
            Raw::from(&text(format!("/shop/{product}/{}", self.rng.random_range(1..400)))),
            Raw::int(self.rng.random_range(20..2_000)),
            Raw::bigint(at),
            Raw::int(self.rng.random_range(30..90) * 86_400),
        ])
    }

    /// A random note.
    pub(super) fn note(&mut self) -> Bytes {
        let words: Vec<&str> = (0..self.rng.random_range(4..14)).map(|_| self.pick(&NOTES)).collect();
        text(words.join(" "))
    }

    /// A later state of an order.
    pub(super) fn state(&mut self) -> Bytes {
        text(self.pick(&STATES))
    }

    /// True with a chance of `percent` in a hundred.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// Some moment of the shop's 300 days, µs.
    fn moment(&mut self) -> i64 {
        EPOCH_MICROS + self.rng.random_range(0..300 * 86_400_000_000)
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words[self.rng.random_range(0..words.len())]
    }

    fn uuid(&mut self, version: u8) -> Bytes {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | version;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Bytes::copy_from_slice(&bytes)
    }

    fn time_uuid(&mut self, micros: i64) -> Bytes {
        let ticks = (micros * 10 + UUID_EPOCH).to_be_bytes();
        let random = self.uuid(0x10);
        let time = [&ticks[4..8], &ticks[2..4], &[0x10 | ticks[0], ticks[1]]].concat();
        [&time[..], &random[8..]].concat().into()
    }
}

fn text(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

/// An amount in cents: scale 2, two's complement as short as possible.
fn decimal(cents: i64) -> Bytes {
    let bytes = cents.to_be_bytes();
    let redundant = bytes.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    [&2_i32.to_be_bytes()[..], &bytes[redundant..]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_as_short_as_possible() {
        assert_eq!(decimal(0)[..], [0, 0, 0, 2, 0]);
        assert_eq!(decimal(127)[4..], [127]);
        assert_eq!(decimal(128)[4..], [0, 128]);
    }

    #[test]
    fn ids_of_orders_carry_their_time() {
        let id = Shop::new(1).time_uuid(EPOCH_MICROS);
        let (ticks, _) = uuid::Uuid::from_slice(&id).unwrap().get_timestamp().unwrap().to_gregorian();
        assert_eq!(ticks as i64, EPOCH_MICROS * 10 + UUID_EPOCH);
    }
}
