//! Asks on the wire who has an address: what the kernel's table says may be hours old.
#![expect(unsafe_code, reason = "neither an address of the link layer nor a socket of it has a safe wrapper")]

use std::{io, net::Ipv4Addr, os::fd::OwnedFd, time::Duration};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType,
    addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque},
    bind, recv, sendto, socket_with,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until, timeout_at},
};

use crate::lan::probe::kernel::Link;

pub type Mac = [u8; 6];

const ETHERTYPE: u16 = 0x0806;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const LENGTH: usize = 28;
/// How often the question is put.
const EVERY: Duration = Duration::from_millis(300);

/// Who answers for `target`, and it is not this box itself. Without an address of its own (RFC 5227) the
/// asker disturbs nobody's table.
pub async fn who_has(
    link: &Link,
    own: Option<Ipv4Addr>,
    target: Ipv4Addr,
    patience: Duration,
) -> io::Result<Option<Mac>> {
    // SAFETY: it owns the descriptor, which is closed only with it.
    let socket = unsafe { AsyncFd::register(open(link)?)? };
    let question = packet(link.mac, own.unwrap_or(Ipv4Addr::UNSPECIFIED), target);
    let everybody = LinkAddress::of(link, [0xff; 6]);
    let deadline = Instant::now() + patience;
    let asking = async {
        let mut at = Instant::now();
        loop {
            if let Err(error) = sendto(socket.get_ref(), &question, SendFlags::empty(), &everybody) {
                // The queue may be full for a moment; it is asked again.
                tracing::debug!(%error, "an ARP request was not sent");
            }
            at += EVERY;
            sleep_until(at).await;
        }
    };
    let listening = async {
        loop {
            let mut heard = [0_u8; 64];
            let read = |fd: &OwnedFd| Ok(recv(fd, &mut heard, RecvFlags::empty())?.1);
            let length = socket.async_io(Interest::READABLE, read).await?;
            if let Some((mac, sender)) = answer(&heard[..length.min(heard.len())])
                && sender == target
                && mac != link.mac
            {
                return Ok(mac);
            }
        }
    };
    let found = async {
        tokio::select! {
            found = listening => found,
            () = asking => Err(io::ErrorKind::Interrupted.into()),
        }
    };
    timeout_at(deadline, found).await.map_or(Ok(None), |found| found.map(Some))
}

fn open(link: &Link) -> io::Result<OwnedFd> {
    let protocol = std::num::NonZeroU32::new(u32::from(ETHERTYPE.to_be())).map(Protocol::from_raw);
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, protocol)?;
    bind(&socket, &LinkAddress::of(link, [0; 6]))?;
    Ok(socket)
}

/// RFC 826, for Ethernet and IPv4.
fn packet(mac: Mac, own: Ipv4Addr, target: Ipv4Addr) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, REQUEST]);
    packet[8..14].copy_from_slice(&mac);
    packet[14..18].copy_from_slice(&own.octets());
    packet[24..28].copy_from_slice(&target.octets());
    packet
}

/// Who says that which address is his. Somebody who probes for an address does not say so yet.
fn answer(packet: &[u8]) -> Option<(Mac, Ipv4Addr)> {
    let packet: &[u8; LENGTH] = packet.first_chunk()?;
    if packet[..7] != [0, 1, 8, 0, 6, 4, 0] || !matches!(packet[7], REQUEST | REPLY) {
        return None;
    }
    let mac = packet[8..14].try_into().ok()?;
    let sender: [u8; 4] = packet[14..18].try_into().ok()?;
    Some((mac, sender.into()))
}

struct LinkAddress(libc::sockaddr_ll);

impl LinkAddress {
    fn of(link: &Link, mac: Mac) -> Self {
        let mut place = [0; 8];
        place[..6].copy_from_slice(&mac);
        Self(libc::sockaddr_ll {
            sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
            sll_protocol: ETHERTYPE.to_be(),
            sll_ifindex: i32::try_from(link.index).unwrap_or_default(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: place,
        })
    }
}

// SAFETY: the pointer leads to a whole `sockaddr_ll` that lives as long as the call.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        let length = SocketAddrLen::try_from(size_of_val(&self.0)).unwrap_or_default();
        f(std::ptr::from_ref(&self.0).cast(), length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_says_that_an_address_is_his_has_it() {
        let (mac, other) = ([2, 0, 0, 0, 0, 1], Ipv4Addr::new(192, 168, 10, 9));
        let mut reply = packet(mac, other, Ipv4Addr::new(192, 168, 10, 1));
        assert_eq!(answer(&reply), Some((mac, other)));

        reply[7] = REPLY;
        assert_eq!(answer(&reply), Some((mac, other)));
        assert_eq!(answer(&reply[..27]), None);
        reply[7] = 3;
        assert_eq!(answer(&reply), None);
        // A probe is a question by nobody.
        assert_eq!(answer(&packet(mac, Ipv4Addr::UNSPECIFIED, other)), Some((mac, Ipv4Addr::UNSPECIFIED)));
    }
}
