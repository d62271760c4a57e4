//! Drafts from a seed, most of them near a border of some rule.

use device_model::{
    fault::Faults,
    lan::{LanDraft, RouteDraft},
};

/// What the line of the box's own may have, rule set by rule set.
pub const RESERVED: [&[&str]; 4] = [
    &["100.64.0.0/10", "10.128.0.0/9"],
    &["192.168.0.0/17", "172.24.0.0/13"],
    &["10.0.0.4/30", "192.168.10.128/25", "172.16.0.1/32"],
    &[],
];

/// `SplitMix64`: small, and the same on every machine for ever.
pub struct Random(pub u64);

/// Where ranges of the rules begin or end, with what lies next to them.
const CORNERS: [[u8; 4]; 16] = [
    [10, 0, 0, 0],
    [10, 127, 255, 255],
    [10, 128, 0, 0],
    [10, 255, 255, 255],
    [172, 15, 255, 255],
    [172, 16, 0, 0],
    [172, 31, 255, 255],
    [172, 32, 0, 0],
    [192, 167, 255, 255],
    [192, 168, 0, 0],
    [192, 168, 127, 255],
    [192, 168, 255, 255],
    [192, 169, 0, 0],
    [100, 64, 0, 0],
    [100, 127, 255, 255],
    [192, 168, 10, 127],
];
const PREFIXES: [u8; 16] = [0, 1, 7, 8, 9, 12, 15, 16, 17, 23, 24, 25, 29, 30, 31, 32];
const MTUS: [i64; 10] = [i64::MIN, -1, 0, 575, 576, 1499, 1500, 1501, 65_536 + 1000, i64::MAX];

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound)).unwrap()
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(u32::try_from(from.len()).unwrap()) as usize]
    }

    fn prefix(&mut self) -> u8 {
        match self.below(4) {
            0 => self.pick(&PREFIXES),
            1 if self.one_in(2) => u8::try_from(self.below(33)).unwrap(),
            _ => self.pick(&[16, 24, 25, 28, 30]),
        }
    }

    /// A few steps to either side.
    fn near(&mut self, address: u32) -> u32 {
        address.wrapping_add(self.below(7)).wrapping_sub(3)
    }

    fn somewhere(&mut self) -> u32 {
        let corner = u32::from_be_bytes(self.pick(&CORNERS));
        match self.below(8) {
            0 => u32::try_from(self.next() >> 32).unwrap(),
            1..=3 => self.near(corner),
            // Well inside a private range.
            _ => u32::from_be_bytes([192, 168, self.pick(&[10, 11, 200]), 0]) | self.below(256),
        }
    }

    /// Near the ends of a subnet, near a host of it, or elsewhere.
    fn neighbour(&mut self, own: u32, prefix: u8) -> u32 {
        let hosts = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        match self.below(8) {
            0 => self.near(own & !hosts),
            1 => self.near(own | hosts),
            2 => self.near(own),
            3 => own,
            4 => self.somewhere(),
            _ => (own & !hosts) | (u32::try_from(self.next() >> 32).unwrap() & hosts),
        }
    }

    pub fn draft(&mut self) -> LanDraft {
        let (prefix, mut own) = (self.prefix(), self.somewhere());
        if self.one_in(3) {
            own = self.neighbour(own, prefix);
        }
        let dhcp = self.one_in(5);
        let mode = match self.below(24) {
            0 => None,
            1 => Some(self.pick(&["pppoe", "", "Static", "dhcp "])),
            _ if dhcp => Some("dhcp"),
            _ => Some("static"),
        };
        let (has_address, has_gateway) =
            if dhcp { (self.one_in(8), self.one_in(8)) } else { (!self.one_in(16), !self.one_in(3)) };
        let gateway = self.neighbour(own, prefix);
        LanDraft {
            mode: mode.map(str::to_owned),
            address: has_address.then(|| self.text(own, Some(prefix))),
            gateway: has_gateway.then(|| self.text(gateway, None)),
            dns: self.one_in(3).then(|| self.dns(own, prefix)),
            mtu: self.one_in(3).then(|| self.mtu()),
            routes: self.one_in(3).then(|| self.routes(own, prefix)),
            misfits: Faults::default(),
        }
    }

    fn mtu(&mut self) -> i64 {
        if self.one_in(2) { self.pick(&MTUS) } else { i64::from(self.below(1600)) }
    }

    fn dns(&mut self, own: u32, prefix: u8) -> Vec<String> {
        let many = self.pick(&[0, 1, 1, 2, 2, 3, 3, 4]);
        let mut servers: Vec<String> = Vec::new();
        for _ in 0..many {
            let address = self.neighbour(own, prefix);
            let again = servers.last().filter(|_| address.is_multiple_of(6)).cloned();
            servers.push(again.unwrap_or_else(|| self.text(address, None)));
        }
        servers
    }

    fn routes(&mut self, own: u32, prefix: u8) -> Vec<RouteDraft> {
        let many = self.pick(&[0, 1, 1, 2, 2, 3, 8, 9]);
        let mut routes: Vec<RouteDraft> = Vec::new();
        for _ in 0..many {
            let (length, mut to) = (self.prefix(), self.somewhere());
            if !self.one_in(8) {
                to &= !u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            }
            let again = routes.last().filter(|_| to.is_multiple_of(5)).map(|route| route.to.clone());
            let via = self.neighbour(own, prefix);
            routes.push(RouteDraft {
                to: again.unwrap_or_else(|| self.text(to, Some(length))),
                via: self.text(via, None),
            });
        }
        routes
    }

    /// The address as people type it; sometimes as they should not.
    fn text(&mut self, address: u32, prefix: Option<u8>) -> String {
        let [a, b, c, d] = address.to_be_bytes();
        let plain = match prefix {
            Some(prefix) => format!("{a}.{b}.{c}.{d}/{prefix}"),
            None => format!("{a}.{b}.{c}.{d}"),
        };
        if !self.one_in(24) {
            return plain;
        }
        match self.below(16) {
            0 => format!(" {plain}\t"),
            1 => format!("\u{3000}{plain}\n"),
            2 => plain.replacen('.', " .", 1),
            3 => format!("{a}.{b}.{c}.0{d}{}", prefix.map_or(String::new(), |prefix| format!("/{prefix}"))),
            4 => format!("{a}.{b}.{c}/{}", prefix.unwrap_or(24)),
            5 => format!("{a}.{b}.{c}.{d}/+{}", prefix.unwrap_or(24)),
            6 => format!("{a}.{b}.{c}.{d}/0{}", prefix.unwrap_or(24)),
            7 => format!("{a}.{b}.{c}.{d}/255.255.255.0"),
            8 => format!("{a}.{b}.{c}.{d}/"),
            9 => format!("{a}.{b}.{c}.{d}"),
            10 => format!("{a}.{b}.{c}.{d}/{}", 33 + self.below(300)),
            11 => format!("{a}.{b}.{c}.256"),
            12 => format!("::ffff:{plain}"),
            13 => plain.chars().map(|c| if c == '1' { '\u{ff11}' } else { c }).collect(),
            14 => format!("{plain}."),
            _ => String::new(),
        }
    }
}
