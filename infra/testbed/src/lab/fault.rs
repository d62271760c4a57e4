//! What can go wrong in a pharmacy while a change is tried, how it comes about, and how it is put right.

use std::{fmt, net::Ipv4Addr, ops::RangeInclusive};

use anyhow::Result;
use device_model::{outcome::code, shadow::TrialPhase};

use crate::lab::{
    cloud_side::{CloudSide, Wan},
    hub::PORT,
    pharmacy::{Pharmacy, ROUTER},
    rogue::{Answer, Lease},
    router::Dhcp,
};

/// The address that somebody in the pharmacy has taken already.
pub const TAKEN: &str = "192.168.10.77";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    Nothing,
    NoCarrier,
    DhcpSilent,
    DhcpRefuses,
    DhcpOfForeignNetwork,
    DhcpTakesAllTraffic,
    AddressTaken,
    GatewayDead,
    DnsHangs,
    ShareOff,
    ShareRefusesLogin,
    ShareHangs,
    LineDrops(TrialPhase),
    DefaultRouteHijacked,
    OverlapsWithLine,
    AgentKilled(TrialPhase),
    NetworkManagerKilled(TrialPhase),
    PowerCut(TrialPhase),
}

/// A gateway that is not there.
pub const NOBODY: &str = "192.168.10.254";

/// How a change ends, a word that its detail holds, and how often it was tried.
#[derive(Debug)]
pub struct Expected {
    pub state: &'static str,
    pub code: Option<&'static str>,
    pub detail: &'static str,
    pub attempts: RangeInclusive<usize>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Nothing => "nothing",
            Self::NoCarrier => "no carrier",
            Self::DhcpSilent => "DHCP silent",
            Self::DhcpRefuses => "DHCP refuses (NAK)",
            Self::DhcpOfForeignNetwork => "DHCP of a foreign network",
            Self::DhcpTakesAllTraffic => "DHCP takes all traffic",
            Self::AddressTaken => "address taken",
            Self::GatewayDead => "gateway dead",
            Self::DnsHangs => "DNS hangs",
            Self::ShareOff => "share off",
            Self::ShareRefusesLogin => "share refuses the login",
            Self::ShareHangs => "share hangs",
            Self::LineDrops(_) => "line drops",
            Self::DefaultRouteHijacked => "default route hijacked",
            Self::OverlapsWithLine => "overlaps with the line",
            Self::AgentKilled(_) => "agent killed",
            Self::NetworkManagerKilled(_) => "NetworkManager killed",
            Self::PowerCut(_) => "power cut",
        };
        match self {
            Self::LineDrops(phase)
            | Self::AgentKilled(phase)
            | Self::NetworkManagerKilled(phase)
            | Self::PowerCut(phase) => write!(f, "{words}, {phase:?}"),
            _ => f.write_str(words),
        }
    }
}

impl Fault {
    /// Every one, those that strike at a phase at each.
    pub fn all() -> Vec<Self> {
        use TrialPhase::{Committing, RollingBack, Staged, Trying};
        let mut all = vec![
            Self::Nothing,
            Self::NoCarrier,
            Self::DhcpSilent,
            Self::DhcpRefuses,
            Self::DhcpOfForeignNetwork,
            Self::DhcpTakesAllTraffic,
            Self::AddressTaken,
            Self::GatewayDead,
            Self::DnsHangs,
            Self::ShareOff,
            Self::ShareRefusesLogin,
            Self::ShareHangs,
            Self::DefaultRouteHijacked,
            Self::OverlapsWithLine,
        ];
        for strike in [Self::LineDrops, Self::AgentKilled, Self::NetworkManagerKilled, Self::PowerCut] {
            all.extend([Staged, Trying, Committing, RollingBack].map(strike));
        }
        all
    }

    /// The step of the trial at which it strikes; none: it is there before.
    pub fn phase(self) -> Option<TrialPhase> {
        match self {
            Self::LineDrops(phase)
            | Self::AgentKilled(phase)
            | Self::NetworkManagerKilled(phase)
            | Self::PowerCut(phase) => Some(phase),
            Self::ShareOff | Self::ShareRefusesLogin | Self::ShareHangs | Self::DefaultRouteHijacked => {
                Some(TrialPhase::Trying)
            }
            _ => None,
        }
    }

    /// What becomes of a change that it strikes, if it strikes at the first moment of its phase.
    pub fn expected(self) -> Expected {
        let (state, code, detail) = match self {
            Self::Nothing
            // Its address is good, and its routes are not asked for.
            | Self::DhcpTakesAllTraffic => ("applied", None, ""),
            Self::NoCarrier => ("refused", Some(code::NO_CARRIER), "lan0"),
            Self::DhcpSilent | Self::DhcpRefuses => ("rolled_back", Some(code::NO_LEASE), "DHCP"),
            Self::DhcpOfForeignNetwork => ("rolled_back", Some(code::LEASE_REFUSED), "198.51.100.77"),
            Self::AddressTaken => ("refused", Some(code::ADDRESS_IN_USE), TAKEN),
            Self::GatewayDead => ("rolled_back", Some(code::GATEWAY_SILENT), NOBODY),
            Self::DnsHangs => ("rolled_back", Some(code::DNS_SILENT), "192.168.10.53"),
            Self::ShareOff => ("rolled_back", Some(code::SHARE_LOGIN), "NT_STATUS_CONNECTION_REFUSED"),
            Self::ShareRefusesLogin => ("rolled_back", Some(code::SHARE_LOGIN), "NT_STATUS_ACCOUNT_DISABLED"),
            Self::ShareHangs => ("rolled_back", Some(code::SHARE_LOGIN), "no answer"),
            Self::DefaultRouteHijacked => ("rolled_back", Some(code::DEFAULT_ROUTE_MOVED), "lan0"),
            Self::OverlapsWithLine => ("refused", Some(code::OVERLAPS_WAN), "10.64.0.0/16"),
            // The settings are good: once all is well again, they are tried again.
            Self::LineDrops(phase)
            | Self::AgentKilled(phase)
            | Self::NetworkManagerKilled(phase)
            | Self::PowerCut(phase) => match phase {
                TrialPhase::RollingBack => ("rolled_back", Some(code::GATEWAY_SILENT), NOBODY),
                _ => ("applied", None, ""),
            },
        };
        Expected { state, code, detail, attempts: self.attempts() }
    }

    /// What may go away is tried three times, what cannot only once, and what is seen beforehand never.
    fn attempts(self) -> RangeInclusive<usize> {
        match self {
            Self::NoCarrier | Self::AddressTaken | Self::OverlapsWithLine => 0..=0,
            Self::DhcpOfForeignNetwork
            | Self::DefaultRouteHijacked
            | Self::DhcpTakesAllTraffic
            | Self::Nothing => 1..=1,
            Self::DhcpSilent
            | Self::DhcpRefuses
            | Self::GatewayDead
            | Self::DnsHangs
            | Self::ShareOff
            | Self::ShareRefusesLogin
            | Self::ShareHangs => 3..=3,
            Self::LineDrops(phase)
            | Self::AgentKilled(phase)
            | Self::NetworkManagerKilled(phase)
            | Self::PowerCut(phase) => match phase {
                // At its first moment it may not be past what it waits for.
                TrialPhase::Staged => 1..=2,
                // NetworkManager may die before anything was asked of it.
                TrialPhase::Trying if matches!(self, Self::NetworkManagerKilled(_)) => 1..=2,
                TrialPhase::Trying => 2..=2,
                TrialPhase::Committing => 1..=1,
                TrialPhase::RollingBack => 3..=3,
            },
        }
    }

    /// Brings about what is there before the change.
    pub async fn arrange(self, pharmacy: &mut Pharmacy) -> Result<()> {
        let router = &mut pharmacy.router;
        // A network of the world, as from a modem that passes its own on.
        let world = |last| Ipv4Addr::new(198, 51, 100, last);
        let foreign = Lease { address: world(77), prefix: 24, router: world(1), takes_all: false };
        let local = |last| Ipv4Addr::new(192, 168, 10, last);
        let greedy = Lease { address: local(177), prefix: 24, router: local(1), takes_all: true };
        match self {
            Self::NoCarrier => router.set_cable(PORT, false).await,
            Self::DhcpSilent => router.set_dhcp(Dhcp::Silent).await,
            Self::DhcpRefuses => router.set_dhcp(Dhcp::Rogue(Answer::Nak)).await,
            Self::DhcpOfForeignNetwork => router.set_dhcp(Dhcp::Rogue(Answer::Lease(foreign))).await,
            Self::DhcpTakesAllTraffic => router.set_dhcp(Dhcp::Rogue(Answer::Lease(greedy))).await,
            Self::AddressTaken => pharmacy.receipt_computer.take_address(TAKEN).await,
            _ => Ok(()),
        }
    }

    /// Strikes, the agent being stopped at the step; it goes on, or is started again, as soon as it is done.
    pub async fn strike(self, pharmacy: &mut Pharmacy, cloud: &CloudSide) -> Result<()> {
        let hub = &mut pharmacy.hub;
        match self {
            Self::ShareOff => hub.stop_share().await?,
            Self::ShareRefusesLogin => hub.set_share_account(false).await?,
            Self::ShareHangs => hub.suspend_share()?,
            Self::LineDrops(_) => cloud.set(pharmacy.number, Wan::Silent).await?,
            Self::DefaultRouteHijacked => hub.hijack_default_route(ROUTER)?,
            Self::AgentKilled(_) => {
                hub.one.kill_agent().await?;
                return hub.one.start_agent();
            }
            Self::NetworkManagerKilled(_) => {
                hub.kill_network_manager().await?;
                hub.start_network_manager().await?;
            }
            Self::PowerCut(_) => return pharmacy.cut_power(cloud).await,
            _ => {}
        }
        pharmacy.hub.resume_agent()
    }

    /// Puts everything right again.
    pub async fn heal(self, pharmacy: &mut Pharmacy, cloud: &CloudSide) -> Result<()> {
        match self {
            Self::NoCarrier => pharmacy.router.set_cable(PORT, true).await,
            Self::DhcpSilent | Self::DhcpRefuses | Self::DhcpOfForeignNetwork | Self::DhcpTakesAllTraffic => {
                pharmacy.router.set_dhcp(Dhcp::Good).await
            }
            Self::AddressTaken => pharmacy.receipt_computer.give_up_address(TAKEN).await,
            Self::ShareOff => pharmacy.hub.start_share().await,
            Self::ShareRefusesLogin => pharmacy.hub.set_share_account(true).await,
            Self::ShareHangs => pharmacy.hub.resume_share(),
            Self::LineDrops(_) => cloud.set(pharmacy.number, Wan::Up).await,
            Self::DefaultRouteHijacked => pharmacy.hub.end_hijack(ROUTER).await,
            _ => Ok(()),
        }
    }
}
