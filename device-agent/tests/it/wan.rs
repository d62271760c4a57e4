//! A box with two ways out: what is its own leaves by its own line, or not at all.

use std::{
    collections::HashSet,
    fs,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{program::Box, support::eventually};

const CLOUD: &str = "198.51.100.1";
const BY_LAN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 1, 2));
const BY_WAN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 2, 2));
const API: u16 = 8080;
const MQTT: u16 = 8883;

/// A box's network with `lan0` and `wan0`, and the cloud's, which both lead to. The default way is the
/// pharmacy's. Nothing, for who may not make one.
struct Networks {
    one: String,
    cloud: String,
    /// Who has come: to which door, and from where.
    came: Arc<Mutex<HashSet<(u16, IpAddr)>>>,
}

impl Networks {
    fn make() -> Option<Self> {
        let id = std::process::id();
        let came = Arc::new(Mutex::new(HashSet::new()));
        let this = Self { one: format!("rh-box-{id}"), cloud: format!("rh-cloud-{id}"), came };
        if !ip(&format!("netns add {}", this.one)) {
            return None;
        }
        let (one, cloud) = (&this.one, &this.cloud);
        for command in [
            format!("netns add {cloud}"),
            format!("link add lan0 netns {one} type veth peer name lan1 netns {cloud}"),
            format!("link add wan0 netns {one} type veth peer name wan1 netns {cloud}"),
            format!("-n {one} link set lo up"),
            format!("-n {cloud} link set lo up"),
            format!("-n {one} addr add 10.77.1.2/24 dev lan0"),
            format!("-n {one} addr add 10.77.2.2/24 dev wan0"),
            format!("-n {cloud} addr add 10.77.1.1/24 dev lan1"),
            format!("-n {cloud} addr add 10.77.2.1/24 dev wan1"),
            format!("-n {cloud} addr add {CLOUD}/32 dev lo"),
            format!("-n {cloud} link set lan1 up"),
            format!("-n {cloud} link set wan1 up"),
        ] {
            assert!(ip(&command), "ip {command}");
        }
        // Neighbours are not looked for unasked.
        let quiet = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
        let quiet = Command::new("ip").args(["netns", "exec", one, "sh", "-c", quiet]).status();
        assert!(quiet.unwrap().success());
        assert!(ip(&format!("-n {one} link set lan0 up")));
        assert!(ip(&format!("-n {one} route add default via 10.77.1.1 dev lan0")));
        for port in [API, MQTT] {
            this.open(port);
        }
        Some(this)
    }

    /// A door of the cloud that notes who knocks and opens to nobody.
    fn open(&self, port: u16) {
        let space = fs::File::open(PathBuf::from("/run/netns").join(&self.cloud)).unwrap();
        let came = Arc::clone(&self.came);
        thread::spawn(move || {
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&space), Some(LinkNameSpaceType::Network))
                .unwrap();
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
            for stream in listener.incoming() {
                let from = stream.unwrap().peer_addr().unwrap().ip();
                came.lock().unwrap().insert((port, from));
            }
        });
    }

    fn came(&self) -> HashSet<(u16, IpAddr)> {
        self.came.lock().unwrap().clone()
    }

    /// Packets that ever left the box by `lan0`.
    fn left_by_lan(&self) -> u64 {
        let counter = "/sys/class/net/lan0/statistics/tx_packets";
        let output = Command::new("ip").args(["netns", "exec", &self.one, "cat", counter]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    fn inside(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.one]
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for name in [&self.one, &self.cloud] {
            ip(&format!("netns del {name}"));
            drop(fs::remove_dir_all(PathBuf::from("/etc/netns").join(name)));
        }
    }
}

fn ip(arguments: &str) -> bool {
    let status = Command::new("ip").args(arguments.split(' ')).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn nothing_leaves_by_the_pharmacys_lan_and_all_of_it_by_the_boxs_own_line() {
    let Some(networks) = Networks::make() else {
        return;
    };
    let mut one = Box::set_up().await;
    one.set("RECEHUB_FLEET_API", &format!("http://{CLOUD}:{API}"));
    one.set("RECEHUB_MQTT_HOST", CLOUD);
    one.set("RECEHUB_MQTT_PORT", &MQTT.to_string());
    fs::File::create(one.share.path().join("a.csv")).unwrap();
    let log = one.state.join("log");
    let both = |by| HashSet::from([(API, by), (MQTT, by)]);

    // Not told to keep to a line, it takes the one there is: so the test can fail.
    let running = one.run(&networks.inside(), &log);
    eventually("it comes by the LAN", || async { (networks.came() == both(BY_LAN)).then_some(()) }).await;
    drop(running);
    networks.came.lock().unwrap().clear();

    one.set("RECEHUB_WAN_INTERFACE", "wan0");
    let before = networks.left_by_lan();
    let _running = one.run(&networks.inside(), &log);
    eventually("it has tried both doors in vain", || async {
        let log = fs::read_to_string(&log).unwrap();
        (log.contains("no MQTT connection") && log.contains("uploads wait")).then_some(())
    })
    .await;
    assert_eq!((networks.came(), networks.left_by_lan()), (HashSet::new(), before));

    assert!(ip(&format!("-n {} link set wan0 up", networks.one)));
    assert!(ip(&format!("-n {} route add default via 10.77.2.1 dev wan0 metric 200", networks.one)));
    eventually("it comes by its own line", || async { (networks.came() == both(BY_WAN)).then_some(()) })
        .await;
    assert_eq!(networks.left_by_lan(), before);

    // Names are looked up by the system, so the system has to keep that to the line too.
    let etc = PathBuf::from("/etc/netns").join(&networks.one);
    fs::create_dir_all(&etc).unwrap();
    let check = |server: &str| {
        device_agent::durable::replace(&etc.join("resolv.conf"), format!("nameserver {server}\n").as_bytes())
            .unwrap();
        let output = one.agent(&networks.inside(), &["check-config"]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = check(CLOUD);
    assert!(code == Some(1) && said.contains("which is not reached by wan0"), "{said}");
    assert_eq!(check("10.77.2.1"), (Some(0), String::new()));
}
