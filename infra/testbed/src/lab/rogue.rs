//! A DHCP server that misleads: it refuses every request, or hands out what no box should take.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::lab::space::Space;

const LEASE: Duration = Duration::from_mins(2);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 1);
/// Of a message: up to and with the magic cookie.
const HEADER: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

const MASK_OPTION: u8 = 1;
const ROUTER_OPTION: u8 = 3;
const LEASE_TIME_OPTION: u8 = 51;
const KIND_OPTION: u8 = 53;
const SERVER_OPTION: u8 = 54;
/// Classless static routes (RFC 3442).
const ROUTES_OPTION: u8 = 121;
const END_OPTION: u8 = 255;

/// What it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It offers, and then refuses what it has offered.
    Nak,
    Lease(Lease),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub router: Ipv4Addr,
    /// Also a route to each half of the world, which together go before any default route.
    pub takes_all: bool,
}

/// It runs as long as this lives.
pub struct Rogue {
    _tasks: JoinSet<()>,
}

impl Rogue {
    pub async fn start(network: &Space, answer: Answer) -> Result<Self> {
        let socket = network.within(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 67))?)).await?;
        socket.set_broadcast(true)?;
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        socket.bind_device(Some(b"sw0"))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(socket, answer));
        Ok(Self { _tasks: tasks })
    }
}

async fn serve(socket: tokio::net::UdpSocket, answer: Answer) {
    let mut message = [0; 1500];
    loop {
        let Ok(length) = socket.recv(&mut message).await else { continue };
        if let Some(reply) = reply(&message[..length], answer) {
            // Whoever asks has no address yet. A reply that is lost is asked for again.
            drop(socket.send_to(&reply, (Ipv4Addr::BROADCAST, 68)).await);
        }
    }
}

fn reply(message: &[u8], answer: Answer) -> Option<Vec<u8>> {
    let lease = match answer {
        Answer::Nak => {
            Lease { address: Ipv4Addr::new(192, 168, 10, 200), prefix: 24, router: SERVER, takes_all: false }
        }
        Answer::Lease(lease) => lease,
    };
    let kind = match (kind_of(message)?, answer) {
        (DISCOVER, _) => OFFER,
        (REQUEST, Answer::Nak) => NAK,
        (REQUEST, Answer::Lease(_)) => ACK,
        _ => return None,
    };
    // Transaction, flags and hardware address as they were asked for.
    let mut reply = message.get(..HEADER)?.to_vec();
    reply[0] = 2;
    reply[10] = 0x80;
    reply[12..28].fill(0);
    reply[44..HEADER - COOKIE.len()].fill(0);
    if kind != NAK {
        reply[16..20].copy_from_slice(&lease.address.octets());
    }
    option(&mut reply, KIND_OPTION, &[kind]);
    option(&mut reply, SERVER_OPTION, &SERVER.octets());
    if kind != NAK {
        let seconds = u32::try_from(LEASE.as_secs()).unwrap_or_default();
        option(&mut reply, LEASE_TIME_OPTION, &seconds.to_be_bytes());
        let mask = u32::MAX.checked_shl(32 - u32::from(lease.prefix)).unwrap_or_default();
        option(&mut reply, MASK_OPTION, &mask.to_be_bytes());
        option(&mut reply, ROUTER_OPTION, &lease.router.octets());
        if lease.takes_all {
            let half = |first: u8| [&[1, first][..], &lease.router.octets()].concat();
            option(&mut reply, ROUTES_OPTION, &[half(0), half(128)].concat());
        }
    }
    reply.push(END_OPTION);
    Some(reply)
}

fn option(message: &mut Vec<u8>, code: u8, value: &[u8]) {
    message.push(code);
    message.push(u8::try_from(value.len()).unwrap_or_default());
    message.extend(value);
}

/// What a client's message is.
fn kind_of(message: &[u8]) -> Option<u8> {
    let mut options = message.get(HEADER..).filter(|_| message[HEADER - 4..HEADER] == COOKIE)?;
    loop {
        match *options {
            [0, ref rest @ ..] => options = rest,
            [KIND_OPTION, 1, kind, ..] => return Some(kind),
            [code, length, ref rest @ ..] if code != END_OPTION => options = rest.get(length.into()..)?,
            _ => return None,
        }
    }
}
