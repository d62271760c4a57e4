//! The LAN's side of a process: one at a time holds the interface, goes on from the journal, and hears
//! both the cloud and whoever stands in front of the box.

use std::path::PathBuf;

use anyhow::Context;
use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{
        Config,
        hosting::SMB_PORT,
        lan::{LanBackend, RealLan},
    },
    lan::{
        LanInterface,
        applier::{Applier, Inbox, Parts},
        fake::FakeLan,
        network_manager::NetworkManager,
        probe::{Probes, share::ShareLogin},
        rescue::{self, Hold},
    },
    newest,
    shadow::round_trip::RoundTrip,
    share::{ShareHost, beside::WithShare},
};

/// What it is made of, whichever interface it has.
pub struct LanSide {
    pub host: Option<ShareHost>,
    pub parts: Parts,
    pub wanted: newest::Receiver<Value>,
    /// If this process has the LAN already; else it waits until no other has.
    pub hold: Option<Hold>,
    pub stop: CancellationToken,
}

impl LanSide {
    /// Runs on the interface that the box is told to have, until told to end. A task of its own from the
    /// first step on: a journal that cannot be written must not keep the rest.
    pub fn run_on(
        self,
        config: &Config,
        round_trip: RoundTrip,
    ) -> anyhow::Result<BoxFuture<'static, anyhow::Result<()>>> {
        let state_dir = config.home.state_dir.clone();
        Ok(match &config.lan {
            LanBackend::Fake { folder } => {
                let interface = FakeLan::open(folder)
                    .with_context(|| format!("the fake LAN in {} is of no use", folder.display()))?;
                self.run(interface, state_dir).boxed()
            }
            LanBackend::NetworkManager(real) => {
                self.run(NetworkManager::new(probes(config, real, round_trip)), state_dir).boxed()
            }
        })
    }

    async fn run<I: LanInterface>(self, interface: I, state_dir: PathBuf) -> anyhow::Result<()> {
        let Self { host, parts, wanted: desired, hold, stop } = self;
        let hold = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            hold = async { if let Some(hold) = hold { Ok(hold) } else { Hold::wait(&state_dir).await } } => hold?,
        };
        let interface = WithShare { interface, host };
        let (asked, local) = newest::queue(1);
        let requests = rescue::listen(parts.journal.0.clone(), asked, stop.clone());
        let apply = async {
            let applier = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                applier = Applier::resume(interface, parts) => applier?,
            };
            applier.run(Inbox { desired, local }, stop.clone()).await
        };
        // A machine that ends, ends the process.
        let applied = tokio::select! {
            applied = apply => applied,
            () = requests => Ok(()),
        };
        drop(hold);
        applied
    }
}

fn probes(config: &Config, real: &RealLan, cloud: RoundTrip) -> Probes {
    Probes {
        interface: real.interface.clone(),
        wan: real.wan.clone(),
        reserved: config.reserved.clone(),
        share: ShareLogin {
            smbclient: real.smbclient.clone(),
            credentials: real.credentials.clone(),
            port: config.share.hosting.as_ref().map_or(SMB_PORT, |hosting| hosting.port),
        },
        cloud,
    }
}
