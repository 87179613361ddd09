//! Members of etcd die: one, and most of them.

use super::*;

impl World {
    /// A daemon goes on with its work over the kill of etcd's leader: nobody takes it, and it is not begun again.
    pub(super) async fn etcd_leader_is_killed(&mut self) -> Result<()> {
        let held = self.hold_at("mid-consolidation", &PROTECT).await?;
        let before: Operation = self.cli("one").json(&["op", "show", &held.operation]).await?;
        let leader = self.etcd.leader()?.context("no leader")?;
        self.etcd.kill(leader)?;
        let began = self.env.monotonic();
        fs::write(&held.file, "go on")?;
        let versions: List<Version> = self.cli("one").json(&["version", "list"]).await?;
        self.succeeds(&held.asked, versions.items.len() + 1).await?;
        println!("etcd's leader killed: the operation was done {:?} later", self.env.monotonic() - began);
        let after: Operation = self.cli("one").json(&["op", "show", &held.operation]).await?;
        ensure!(after.attempt == before.attempt, "begun again: {before:?} {after:?}");
        self.etcd.restart(leader).await
    }

    /// etcd has no majority for longer than leases last: nothing is answered, and once it has one the operation goes on by itself.
    pub(super) async fn etcd_has_no_majority(&mut self, versions: usize) -> Result<()> {
        let held = self.hold_at("mid-upload", &PROTECT).await?;
        let before: Operation = self.cli("one").json(&["op", "show", &held.asked]).await?;
        let began = self.env.monotonic();
        for n in 1..MEMBERS {
            self.etcd.kill(n)?;
        }
        wait::until("the end of all leases", BOUND, async || {
            let gone = self.env.monotonic() - began;
            Ok(Look::when(gone > LEASE * 2, || format!("gone for {gone:?}")))
        })
        .await?;
        let asked = self.cli("one").json::<Value>(&["op", "show", &held.asked]).await;
        let refused = format!("{:#}", asked.err().context("answered without a majority")?);
        ensure!(refused.contains("TM-TASK-0002"), "{refused}");
        let stored = manifests(&self.store())?;
        fs::write(&held.file, "go on")?;
        let went = self.env.monotonic();
        wait::until("time to do harm", BOUND, async || {
            let gone = self.env.monotonic() - went;
            Ok(Look::when(gone > LEASE / 2, || format!("{gone:?}")))
        })
        .await?;
        ensure!(stored == manifests(&self.store())?, "a manifest came without a majority");
        self.etcd.start_all().await?;
        let began = self.env.monotonic();
        self.succeeds(&held.asked, versions).await?;
        let after: Operation = self.cli("one").json(&["op", "show", &held.asked]).await?;
        ensure!(after.attempt > before.attempt, "it was not begun again: {after:?}");
        println!("etcd without a majority: the operation was done {:?} after it had one", self.env.monotonic() - began);
        Ok(())
    }
}
