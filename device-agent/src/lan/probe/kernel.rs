//! What the kernel has, whatever anybody else believes: links, addresses, routes, and the way out.

use std::{
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    time::Duration,
};

use device_model::{lan::Route, outcome::code};
use futures::{Stream, StreamExt, TryStreamExt};
use ipnet::Ipv4Net;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        address::AddressAttribute,
        link::LinkAttribute,
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
    },
};
use tokio::time::timeout;

use crate::lan::Fault;

const PATIENCE: Duration = Duration::from_secs(5);
/// Stands for the whole internet (RFC 5737): nothing is sent there.
const SOMEWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The kernel's own addresses stand in this table.
const LOCAL: u32 = 255;

/// An interface with what stands on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub mtu: u32,
    pub has_carrier: bool,
    pub mac: [u8; 6],
    pub addresses: Vec<Ipv4Net>,
    pub routes: Vec<Route>,
    /// A way to everywhere leads through it.
    pub is_a_way_out: bool,
    /// Everything that is reached by it: networks of its addresses, its routes, its neighbours.
    pub reached: Vec<Ipv4Net>,
}

/// The interface of that name, if there is one.
pub async fn link(name: &str) -> Result<Option<Link>, Fault> {
    ask(async |handle| {
        let mut found = pin!(handle.link().get().match_name(name.to_owned()).execute());
        let message = match found.next().await {
            Some(Ok(message)) => message,
            // It says "no such device" for an interface that is not there.
            Some(Err(rtnetlink::Error::NetlinkError(error))) if error.raw_code() == -libc::ENODEV => {
                return Ok(None);
            }
            Some(Err(error)) => return Err(error),
            None => return Ok(None),
        };
        let mut link = Link { index: message.header.index, ..Link::default() };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Carrier(carrier) => link.has_carrier = carrier != 0,
                LinkAttribute::Address(mac) => link.mac = mac.try_into().unwrap_or_default(),
                _ => {}
            }
        }
        addresses_of(&handle, &mut link).await?;
        routes_of(&handle, &mut link).await?;
        Ok(Some(link))
    })
    .await
}

/// The interface that whatever goes to the internet leaves by, if there is a way.
pub async fn way_out() -> Result<Option<u32>, Fault> {
    ask(async |handle| {
        let question = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(SOMEWHERE, 32).build();
        let mut answer = pin!(handle.route().get(question).execute());
        match answer.next().await {
            Some(Ok(route)) => Ok(oif(&route)),
            // "Network is unreachable".
            Some(Err(rtnetlink::Error::NetlinkError(_))) | None => Ok(None),
            Some(Err(error)) => Err(error),
        }
    })
    .await
}

async fn ask<T>(question: impl AsyncFnOnce(Handle) -> Result<T, rtnetlink::Error>) -> Result<T, Fault> {
    let fault = |error: &dyn std::fmt::Display| Fault::new(code::APPLY_FAILED, &format!("netlink: {error}"));
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let asked = async {
        tokio::select! {
            () = connection => Err(fault(&"the socket is closed")),
            answer = question(handle) => answer.map_err(|error| fault(&error)),
        }
    };
    timeout(PATIENCE, asked).await.map_err(|_| fault(&"no answer"))?
}

async fn addresses_of(handle: &Handle, link: &mut Link) -> Result<(), rtnetlink::Error> {
    let mut messages = pin!(handle.address().get().set_link_index_filter(link.index).execute());
    while let Some(message) = messages.try_next().await? {
        let (mut own, mut network) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(IpAddr::V4(address)) => own = Some(*address),
                // With a far end it is that one, else the own address.
                AddressAttribute::Address(IpAddr::V4(address)) => network = Some(*address),
                _ => {}
            }
        }
        let net = |address: Ipv4Addr| Ipv4Net::new(address, message.header.prefix_len).ok();
        link.addresses.extend(own.or(network).and_then(net));
        link.reached.extend(network.and_then(net).map(|net| net.trunc()));
        link.reached.extend(own.map(Ipv4Net::from));
    }
    Ok(())
}

async fn routes_of(handle: &Handle, link: &mut Link) -> Result<(), rtnetlink::Error> {
    let every = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let mut messages = pin!(usable(handle.route().get(every).execute(), link.index));
    while let Some(message) = messages.try_next().await? {
        let (mut to, mut via) = (Ipv4Addr::UNSPECIFIED, None);
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(address)) => to = *address,
                RouteAttribute::Gateway(RouteAddress::Inet(address)) => via = Some(*address),
                _ => {}
            }
        }
        link.reached.extend(via.map(Ipv4Net::from));
        let Ok(to) = Ipv4Net::new(to, message.header.destination_prefix_length) else { continue };
        if to.prefix_len() == 0 {
            link.is_a_way_out = true;
            continue;
        }
        link.reached.push(to);
        link.routes.extend(via.map(|via| Route { to, via }));
    }
    Ok(())
}

/// Those of the interface that lead somewhere.
fn usable(
    messages: impl Stream<Item = Result<RouteMessage, rtnetlink::Error>>,
    index: u32,
) -> impl Stream<Item = Result<RouteMessage, rtnetlink::Error>> {
    messages.try_filter(move |message| {
        let table = message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
        let table = table.unwrap_or_else(|| u32::from(message.header.table));
        let is_ours = oif(message) == Some(index)
            && message.header.address_family == AddressFamily::Inet
            && message.header.kind == RouteType::Unicast
            && table != LOCAL;
        std::future::ready(is_ours)
    })
}

fn oif(message: &RouteMessage) -> Option<u32> {
    message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}
