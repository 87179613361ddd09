//! Filling the shop, while one replica is down for a part of it.

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use scylla::{
    client::session::Session,
    statement::{
        Consistency,
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
};

use super::shop::{self, Customer, Shop};
use crate::cql::{Raw, Values};

/// Batches, each of one partition, that are under way at the same time.
const CONCURRENT: usize = 24;

/// The incident hits one in so many customers, and one in so many accounts: about 2 % of all rows.
const DAMAGED_CUSTOMERS: usize = 22;
const DAMAGED_ACCOUNTS: usize = 10;

/// Prepared statements of the load, at one level.
struct Statements {
    inserts: Vec<PreparedStatement>,
    status: PreparedStatement,
    delete: PreparedStatement,
}

/// The shop as it is filled.
pub(super) struct Loader<'a> {
    session: &'a Session,
    shop: Shop,
    accounts: Vec<(Bytes, Bytes)>,
    customers: Vec<Customer>,
}

impl<'a> Loader<'a> {
    /// Nothing loaded yet.
    pub(super) fn new(session: &'a Session) -> Self {
        Self { session, shop: Shop::new(20_261_123), accounts: vec![], customers: vec![] }
    }

    /// All accounts, at `ALL`; returns how many rows.
    ///
    /// # Errors
    /// Where a write fails.
    pub(super) async fn accounts(&mut self) -> Result<usize> {
        let statements = self.prepare(Consistency::All).await?;
        let mut rows = Vec::new();
        for number in 0..shop::ACCOUNTS {
            let (id, address, row) = self.shop.account(number);
            self.accounts.push((id, address));
            rows.push((&statements.inserts[0], vec![row]));
        }
        self.write(rows).await
    }

    /// Orders of the next `customers` customers and events of the next `devices` devices, at `level`; returns how many rows.
    ///
    /// # Errors
    /// Where a write fails.
    pub(super) async fn activity(&mut self, customers: usize, devices: usize, level: Consistency) -> Result<usize> {
        let statements = self.prepare(level).await?;
        let mut batches = Vec::new();
        for (id, address) in self.accounts.iter().skip(self.customers.len()).take(customers) {
            let mut customer = Customer { id: id.clone(), address: address.clone(), orders: vec![] };
            batches.push((&statements.inserts[1], self.shop.orders(&mut customer)));
            self.customers.push(customer);
        }
        batches.extend((0..devices).map(|_| (&statements.inserts[2], self.shop.events())));
        self.write(batches).await
    }

    /// Changes of the orders of customers `from..to`: one in ten gets another state, half of these another note too, and
    /// three in a hundred are deleted. Returns how many rows, each counted once.
    ///
    /// # Errors
    /// Where a write fails.
    pub(super) async fn changes(&mut self, from: usize, to: usize, level: Consistency) -> Result<usize> {
        let statements = self.prepare(level).await?;
        let mut batches = Vec::new();
        for customer in &self.customers[from..to] {
            let (mut updates, mut deletes) = (Vec::new(), Vec::new());
            for (order, written) in &customer.orders {
                let at = Raw::bigint(written + 60_000_000);
                let key = [Raw::from(&customer.id), Raw::from(order)];
                if self.shop.chance(10) {
                    let note = if self.shop.chance(50) { Raw::from(&self.shop.note()) } else { Raw::Unset };
                    updates.push(Values([vec![at, Raw::from(&self.shop.state()), note], key.to_vec()].concat()));
                } else if self.shop.chance(3) {
                    deletes.push(Values([vec![at], key.to_vec()].concat()));
                }
            }
            batches.extend((!updates.is_empty()).then_some((&statements.status, updates)));
            batches.extend((!deletes.is_empty()).then_some((&statements.delete, deletes)));
        }
        self.write(batches).await
    }

    async fn write(&self, batches: Vec<(&PreparedStatement, Vec<Values>)>) -> Result<usize> {
        let rows = batches.iter().map(|(_, rows)| rows.len()).sum();
        let writes = stream::iter(batches).map(|(statement, rows)| self.write_one(statement, rows));
        writes.buffer_unordered(CONCURRENT).try_collect::<()>().await?;
        Ok(rows)
    }

    async fn write_one(&self, statement: &PreparedStatement, rows: Vec<Values>) -> Result<()> {
        let mut batch = Batch::new(BatchType::Unlogged);
        rows.iter().for_each(|_| batch.append_statement(statement.clone()));
        batch.set_consistency(statement.get_consistency().unwrap_or(Consistency::All));
        batch.set_is_idempotent(true);
        self.session.batch(&batch, rows).await.map(drop).context("write of a batch")
    }

    async fn prepare(&self, level: Consistency) -> Result<Statements> {
        let mut inserts = Vec::new();
        for text in shop::INSERTS {
            inserts.push(self.prepare_one(text, level).await?);
        }
        let status = "UPDATE shop.orders USING TIMESTAMP ? SET status = ?, note = ? WHERE customer = ? AND placed = ?";
        let delete = "DELETE FROM shop.orders USING TIMESTAMP ? WHERE customer = ? AND placed = ?";
        let status = self.prepare_one(status, level).await?;
        Ok(Statements { inserts, status, delete: self.prepare_one(delete, level).await? })
    }

    async fn prepare_one(&self, text: &str, level: Consistency) -> Result<PreparedStatement> {
        let mut prepared = self.session.prepare(text).await.with_context(|| text.to_owned())?;
        prepared.set_consistency(level);
        prepared.set_is_idempotent(true);
        Ok(prepared)
    }

    /// The incident: the orders of every fourth customer are deleted, and every tenth account gets the same e-mail.
    ///
    /// # Errors
    /// Where a write fails.
    pub(super) async fn damage(&self) -> Result<(usize, usize)> {
        let delete =
            self.prepare_one("DELETE FROM shop.orders WHERE customer = ? AND placed > ?", Consistency::All).await?;
        let update = self.prepare_one("UPDATE shop.accounts SET email = ? WHERE id = ?", Consistency::All).await?;
        let email = Raw::from(&Bytes::from("test@example.org"));
        let customers = self.customers.iter().step_by(DAMAGED_CUSTOMERS);
        let deletes = customers.filter_map(|customer| Some((&delete, customer, &customer.orders.first()?.0)));
        let deletes: Vec<_> = deletes
            .map(|(delete, customer, first)| (delete, vec![Values(vec![Raw::from(&customer.id), Raw::from(first)])]))
            .collect();
        let accounts = self.accounts.iter().step_by(DAMAGED_ACCOUNTS);
        let updates: Vec<_> =
            accounts.map(|(id, _)| (&update, vec![Values(vec![email.clone(), Raw::from(id)])])).collect();
        let counts = (deletes.len(), updates.len());
        self.write(deletes).await?;
        self.write(updates).await?;
        Ok(counts)
    }
}
