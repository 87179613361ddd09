//! The state that daemons share is lost, or left for another one: what was registered comes along.

use tidemark_web::api::{PolicyDetail, Source, Store};

use super::*;

impl World {
    /// etcd loses all its data while a daemon works: all end, and started anew they have what was registered, and the versions. What
    /// was running is lost, and what the process that did it still does adds nothing.
    pub(super) async fn wiped(&mut self, versions: usize) -> Result<()> {
        let held = self.hold_at("mid-consolidation", &PROTECT).await?;
        let stored = manifests(&self.store())?;
        self.etcd.wipe()?;
        self.etcd.start_all().await?;
        let began = self.env.monotonic();
        for (name, (daemon, _)) in self.daemons.iter_mut().filter(|(name, _)| **name != held.node) {
            daemon.ended().await.with_context(|| name.clone())?;
            daemon.restart(&[]).await?;
        }
        let cli = self.other(&held.node);
        registered(cli).await?;
        println!("etcd wiped: all was registered again {:?} after it was back", self.env.monotonic() - began);
        fs::write(&held.file, "go on")?;
        let (daemon, _) = self.daemons.get_mut(&held.node).context("held")?;
        daemon.ended().await?;
        daemon.restart(&[]).await?;
        self.joined(&NODES).await?;
        ensure!(stored == manifests(&self.store())?, "a manifest came or changed");
        let target = self.destination("after").await?;
        self.goes_on(self.cli(&held.node), versions, "after").await?;
        self.holds_all(&target)
    }

    /// A daemon of the cluster goes on by itself, and becomes one of the cluster again: each time with all that was registered.
    pub(super) async fn by_itself(&mut self, versions: usize) -> Result<()> {
        let all: Vec<String> = self.daemons.keys().cloned().collect();
        for name in &all {
            self.daemons.get_mut(name).context("a daemon")?.0.stop().await?;
        }
        let spec = DaemonSpec {
            program: toy::DAEMON,
            dir: self.home.path().join("one"),
            listen: format!("127.0.{GROUP}.101:8480"),
            environment: Vec::new(),
            keep: false,
        };
        let mut alone = Daemon::start(spec).await?;
        registered(&alone.cli()?).await?;
        let target = self.destination_by(&alone.cli()?, "alone").await?;
        self.goes_on(&alone.cli()?, versions - 2, "alone").await?;
        self.holds_all(&target)?;
        let extra = ["protect", "source", "--object", "orders", "--to", "main", "--policy", "extra", "--wait"];
        let made: Operation = alone.cli()?.json(&[extra.as_slice(), &["--option", "complete=true"]].concat()).await?;
        self.ends_well(&alone.cli()?, &made.id, versions - 1).await?;
        alone.stop().await?;
        for name in &all {
            self.daemons.get_mut(name).context("a daemon")?.0.restart(&[]).await?;
        }
        self.joined(&NODES).await?;
        // The store shows what was done meanwhile: the state that was left behind gets another opening.
        let asked: Operation = self.cli("two").json(&PROTECT).await?;
        for name in &all {
            let (daemon, _) = self.daemons.get_mut(name).context("a daemon")?;
            daemon.ended().await?;
            daemon.restart(&[]).await?;
        }
        let state = self.daemons["one"].0.state_dir();
        let names: Vec<_> = fs::read_dir(state)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
        ensure!(!names.iter().any(|name| name == "coordinator.redb"), "{names:?}");
        self.succeeds(&asked.id, versions).await?;
        // etcd knew neither of what came meanwhile.
        let cli = self.cli("two");
        wait::until("what came meanwhile", BOUND, async || {
            let sources: List<Source> = cli.json(&["source", "list"]).await?;
            let policies: List<PolicyDetail> = cli.json(&["policy", "list"]).await?;
            let source = sources.items.iter().any(|source| source.name == "alone" && source.unconfirmed.is_none());
            let policy = policies.items.iter().any(|of| of.policy.name == "extra" && of.unconfirmed.is_none());
            Ok(Look::when(source && policy, || format!("{sources:?} {policies:?}")))
        })
        .await
    }

    /// One more version is made, and restored to a destination.
    async fn goes_on(&self, cli: &Cli, versions: usize, to: &str) -> Result<()> {
        let made: Operation = cli.json(&[PROTECT.as_slice(), &["--wait"]].concat()).await?;
        self.ends_well(cli, &made.id, versions).await?;
        let listed: List<Version> = cli.json(&["version", "list"]).await?;
        let newest = &listed.items.first().context("a version")?.id;
        let _: Operation = cli.json(&["version", "verify", newest, "--wait"]).await?;
        let restored: Operation = cli.json(&["restore", "run", "--version", newest, "--to", to, "--wait"]).await?;
        ensure!(restored.state == OperationState::Succeeded, "{restored:?}");
        Ok(())
    }
}

/// Waits until the store, the source and the policy are registered and confirmed.
async fn registered(cli: &Cli) -> Result<()> {
    wait::until("what was registered", BOUND, async || {
        let stores: List<Store> = cli.json(&["store", "list"]).await?;
        let sources: List<Source> = cli.json(&["source", "list"]).await?;
        let policies: List<PolicyDetail> = cli.json(&["policy", "list"]).await?;
        let is_there = stores.items.len() == 1
            && sources.items.iter().any(|source| source.name == "source" && source.unconfirmed.is_none())
            && policies.items.iter().any(|detail| detail.policy.name == "hourly" && detail.unconfirmed.is_none());
        Ok(Look::when(is_there, || format!("{stores:?} {sources:?} {policies:?}")))
    })
    .await
}
