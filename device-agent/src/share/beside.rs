//! Changes the share along with the interface: one profile, one trial, one verdict.

use std::time::Duration;

use device_model::{
    outcome::code,
    shadow::{Effective, ShareProbe, TrialPhase},
};

use crate::{
    lan::{
        Fault, LanInterface,
        state::{Profile, Wish},
    },
    share::ShareHost,
};

/// Writing, reloading and a login, each way.
const LONGEST: Duration = Duration::from_mins(2);
/// smbd reads its configuration anew a moment after it was told to.
const AFTER_RELOAD: Duration = Duration::from_secs(10);

/// An interface, and the share if the box hosts it.
pub struct WithShare<I> {
    pub interface: I,
    pub host: Option<ShareHost>,
}

pub struct Baseline<B> {
    interface: B,
    /// What was broken before is not the change's fault.
    share_worked: bool,
}

impl<I: LanInterface> LanInterface for WithShare<I> {
    type Baseline = Baseline<I::Baseline>;

    async fn reached(&self, step: TrialPhase) {
        self.interface.reached(step).await;
    }

    fn boot_id(&self) -> String {
        self.interface.boot_id()
    }

    async fn saved(&self) -> Result<Profile, Fault> {
        let mut saved = self.interface.saved().await?;
        if let Some(host) = &self.host {
            saved.share = Some(host.saved()?);
        }
        Ok(saved)
    }

    async fn effective(&self) -> Option<Effective> {
        self.interface.effective().await
    }

    async fn judgeable(&self) {
        self.interface.judgeable().await;
    }

    async fn baseline(&self, wish: &Wish) -> Result<Self::Baseline, Fault> {
        let profile = &wish.profile;
        let share_worked = match &self.host {
            Some(host) => host.check_login(Duration::ZERO).await.is_ok(),
            None if profile.share.is_some() && profile.share != self.interface.saved().await?.share => {
                return Err(Fault::new(code::SHARE_NOT_HOSTED, "this box hosts no share"));
            }
            None => false,
        };
        Ok(Baseline { interface: self.interface.baseline(wish).await?, share_worked })
    }

    async fn try_on(&self, profile: &Profile) -> Result<(), Fault> {
        self.interface.try_on(profile).await?;
        match self.hosted(profile) {
            Some((host, share)) => host.try_on(share).await,
            None => Ok(()),
        }
    }

    async fn probe(&self, profile: &Profile, baseline: &Self::Baseline) -> Result<(), Fault> {
        // First: the interface's own probes use the login that is checked here.
        if let Some((host, share)) = self.hosted(profile)
            && profile.probe.share == ShareProbe::Required
            && (baseline.share_worked || *share != host.saved()?)
        {
            host.check_login(AFTER_RELOAD).await?;
        }
        self.interface.probe(profile, &baseline.interface).await
    }

    async fn commit(&self, profile: &Profile) -> Result<(), Fault> {
        self.interface.commit(profile).await?;
        match self.hosted(profile) {
            Some((host, share)) => host.commit(share).await,
            None => Ok(()),
        }
    }

    async fn roll_back(&self, previous: &Profile) -> Result<(), Fault> {
        // Each for itself: a share that does not go back must not keep the box away from the cloud.
        let interface = self.interface.roll_back(previous).await;
        let share = match &self.host {
            Some(host) => host.roll_back(previous.share.as_ref()).await,
            None => Ok(()),
        };
        interface.and(share)
    }

    fn longest_trial(&self) -> Duration {
        let share = if self.host.is_some() { LONGEST } else { Duration::ZERO };
        self.interface.longest_trial() + share
    }
}

impl<I> WithShare<I> {
    /// A profile that says nothing of the share leaves it as it is.
    fn hosted<'a>(
        &'a self,
        profile: &'a Profile,
    ) -> Option<(&'a ShareHost, &'a device_model::share::ShareSettings)> {
        self.host.as_ref().zip(profile.share.as_ref())
    }
}
