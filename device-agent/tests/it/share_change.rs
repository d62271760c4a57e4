//! A change of LAN and share together, on the fake interface and a real smbd: one trial, one verdict.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use device_agent::{
    clock::Clock,
    health::Health,
    lan::{
        applier::{Applier, Inbox, Parts},
        desire::Reader,
        fake::FakeLan,
        history,
        journal::Journal,
        pause::{Pauses, Waits},
    },
    newest,
    share::beside::WithShare,
    store::Store,
};
use device_model::{
    lan::ReservedRanges,
    outcome::{Verdict, VerdictKind, code},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{
    eventually, eventually_within,
    smbd::{Samba, THING, seal, write},
};

struct Device {
    samba: Samba,
    store: Store,
    health: Arc<Health>,
    running: Option<(JoinSet<anyhow::Result<()>>, newest::Sender<Value>)>,
    reports: Option<newest::Receiver<Value>>,
}

impl Device {
    /// A box whose share is up, and its agent.
    async fn start() -> Self {
        let (samba, _) = Samba::started().await;
        let store = Store::open(&samba.state()).unwrap();
        let health = Health::new(Clock::system());
        let mut this = Self { samba, store, health, running: None, reports: None };
        this.start_agent(true).await;
        this
    }

    async fn start_agent(&mut self, hosts: bool) {
        let (reports, reported) = newest::queue(16);
        let (desired, wanted) = newest::queue(16);
        let reader = Reader {
            thing: THING.parse().unwrap(),
            sealing: self.samba.sealing(),
            reserved: ReservedRanges::default(),
        };
        let clock = Clock::system();
        let health = Arc::clone(&self.health);
        let host = hosts.then(|| self.samba.host());
        let interface = WithShare { interface: FakeLan::open(&self.lan()).unwrap(), host };
        let journal = Journal(self.store.clone());
        let waits =
            Waits { drift: Duration::from_millis(20), ..Waits::with(Pauses([Duration::from_millis(1); 3])) };
        let parts = Parts { journal, clock, reader, reports, health, waits };
        let applier = Applier::resume(interface, parts).await.unwrap();
        let (_, local) = newest::queue(1);
        let mut tasks = JoinSet::new();
        tasks.spawn(applier.run(Inbox { desired: wanted, local }, CancellationToken::new()));
        self.running = Some((tasks, desired));
        self.reports = Some(reported);
    }

    async fn kill(&mut self) {
        if let Some((mut tasks, _)) = self.running.take() {
            tasks.shutdown().await;
        }
    }

    fn lan(&self) -> PathBuf {
        self.samba.home.path().join("lan")
    }

    fn tell(&self, file: &str, text: &str) {
        write(&self.lan().join(file), text);
    }

    fn want(&self, desired: Value) {
        self.running.as_ref().unwrap().1.send(desired).unwrap();
    }

    /// The wish for another address, and for another share with a password of people's own.
    fn wish(&self, change: &str, share: &str, password: &str) -> Value {
        json!({"schema": 1, "changeId": change, "lan": {"mode": "static", "address": "192.168.10.9/24"},
            "share": {"name": share, "user": "rece", "workgroup": "WORKGROUP",
                "passwordSealed": seal(&self.samba.sealing(), password)}})
    }

    async fn verdict(&self, change: &str) -> Verdict {
        let journal = Journal(self.store.clone());
        // Three attempts, each of which may try to log in for ten seconds.
        eventually_within(Duration::from_mins(1), &format!("a verdict on {change}"), || async {
            let verdicts = journal.verdicts(100).await.unwrap();
            verdicts.into_iter().find(|verdict| verdict.change_id.as_str() == change)
        })
        .await
    }

    fn saved_mode(&self) -> Value {
        let text = fs::read(self.lan().join("saved.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["lan"]["mode"].clone()
    }

    fn own_password(&self) -> String {
        fs::read_to_string(self.samba.state().join("share/password")).unwrap()
    }

    /// Which of the two it is, and not a mixture: the old share and address, or the new ones.
    fn is_new(&self, share: &str, password: &str) -> bool {
        let old = self.samba.lets_in("rx", "rece", &self.own_password());
        let new = self.samba.lets_in(share, "rece", password);
        let address = self.saved_mode() == "static";
        assert_eq!((old, address), (!new, new), "neither the old nor the new");
        new
    }
}

#[tokio::test]
async fn the_share_changes_with_the_address_and_is_reported_without_a_password_of_its_own() {
    let mut device = Device::start().await;
    let mut reports = device.reports.take().unwrap();
    let first = reports.recv().await.unwrap();

    device.want(device.wish("a", "処方", "himitsu"));

    assert_eq!(device.verdict("a").await.verdict, VerdictKind::Applied);
    assert!(device.is_new("処方", "himitsu"));
    assert_eq!(first["share"], json!({"name": "rx", "user": "rece", "workgroup": "WORKGROUP"}));
    let last = loop {
        let report = reports.recv().await.unwrap();
        if report["verdicts"][0]["changeId"] == "a" {
            break report;
        }
    };
    assert_eq!(last["share"]["name"], "処方");
}

#[tokio::test]
async fn an_address_that_does_not_work_takes_the_share_back_with_it() {
    let device = Device::start().await;
    device.tell("probe-fault", code::ADDRESS_IN_USE);

    device.want(device.wish("a", "rx2", "himitsu"));

    let verdict = device.verdict("a").await;
    assert_eq!(
        (verdict.verdict, verdict.code.as_deref()),
        (VerdictKind::RolledBack, Some(code::ADDRESS_IN_USE))
    );
    assert!(!device.is_new("rx2", "himitsu"));
}

#[tokio::test]
async fn a_share_that_nobody_gets_into_takes_the_address_back_with_it() {
    let device = Device::start().await;
    // smbd reads this before all the rest: from now on nobody is let in, whatever the share's settings say.
    let machine = device.samba.home.path().join("machine.conf");
    let text = fs::read_to_string(&machine).unwrap();
    write(&machine, &format!("{text}invalid users = {}\n", device.samba.hosting.account));

    device.want(device.wish("a", "rx2", "himitsu"));

    let verdict = device.verdict("a").await;
    assert_eq!(
        (verdict.verdict, verdict.code.as_deref()),
        (VerdictKind::RolledBack, Some(code::SHARE_LOGIN))
    );
    assert_eq!(verdict.detail.as_deref(), Some("NT_STATUS_ACCESS_DENIED"));
    assert_eq!(device.saved_mode(), "dhcp");
}

#[tokio::test]
async fn killed_at_any_step_the_box_is_on_exactly_the_old_or_the_new_share() {
    for step in ["staged", "trying", "committing", "rollingBack"] {
        let mut device = Device::start().await;
        let fails = step == "rollingBack";
        if fails {
            device.tell("probe-fault", code::ADDRESS_IN_USE);
        }
        device.tell(&format!("gate/hold-{step}"), "");
        device.want(device.wish("a", "rx2", "himitsu"));
        let at = device.lan().join("gate/at");
        eventually(&format!("held at {step}"), || async {
            fs::read_to_string(&at).ok().filter(|at| at == step)
        })
        .await;

        device.kill().await;
        // And the power with it.
        drop(fs::remove_file(device.lan().join("running.json")));
        fs::remove_file(device.lan().join(format!("gate/hold-{step}"))).unwrap();
        device.start_agent(true).await;

        let expected = if fails { VerdictKind::RolledBack } else { VerdictKind::Applied };
        assert_eq!(device.verdict("a").await.verdict, expected, "{step}");
        assert_eq!(device.is_new("rx2", "himitsu"), !fails, "{step}");
    }
}

#[tokio::test]
async fn a_share_on_another_machine_is_not_changed_and_does_not_hinder_the_lan() {
    let mut device = Device::start().await;
    device.kill().await;
    device.start_agent(false).await;

    device.want(device.wish("a", "rx2", "himitsu"));
    let refused = device.verdict("a").await;
    device
        .want(json!({"schema": 1, "changeId": "b", "lan": {"mode": "static", "address": "192.168.10.9/24"}}));

    assert_eq!(refused.code.as_deref(), Some(code::SHARE_NOT_HOSTED));
    assert_ne!(refused.verdict, VerdictKind::Applied);
    assert_eq!(device.verdict("b").await.verdict, VerdictKind::Applied);
    let host = device.samba.host();
    host.check_login(Duration::from_secs(10)).await.unwrap();
    assert_eq!(host.saved().unwrap().name, "rx");
}

#[tokio::test]
async fn a_change_that_says_nothing_of_the_share_keeps_it_and_is_not_taken_for_one_made_on_site() {
    let mut device = Device::start().await;
    let lan = |change: &str, host: u8| {
        json!({"schema": 1, "changeId": change,
            "lan": {"mode": "static", "address": format!("192.168.10.{host}/24")}})
    };
    device.want(device.wish("share", "rx2", "himitsu"));
    assert_eq!(device.verdict("share").await.verdict, VerdictKind::Applied);

    device.want(lan("good", 10));
    assert_eq!(device.verdict("good").await.verdict, VerdictKind::Applied);
    device.tell("probe-fault", code::ADDRESS_IN_USE);
    device.want(lan("bad", 11));
    assert_eq!(device.verdict("bad").await.verdict, VerdictKind::RolledBack);
    device.kill().await;
    device.start_agent(true).await;

    assert!(device.is_new("rx2", "himitsu"));
    let report = device.reports.as_mut().unwrap().recv().await.unwrap();
    assert_eq!(
        (&report["lan"]["address"], &report["share"]["name"]),
        (&json!("192.168.10.10/24"), &json!("rx2"))
    );
    // What really is changed on site is the first that is noticed.
    let saved = device.lan().join("saved.json");
    let text = fs::read_to_string(&saved).unwrap();
    write(&saved, &text.replace("192.168.10.10/24", "192.168.10.77/24"));
    let on_site = eventually("it is noticed", || async {
        let events = device.store.read(history::events).await.unwrap();
        let on_site: Vec<_> = events.into_iter().filter(|event| event.what == "changed_on_site").collect();
        (!on_site.is_empty()).then_some(on_site)
    })
    .await;
    assert_eq!(on_site.len(), 1);
    assert_eq!(json!(on_site[0].profile.lan)["address"], "192.168.10.77/24");
    assert_eq!(on_site[0].profile.share.as_ref().unwrap().name, "rx2");
    eventually("the alarm stands", || async {
        device.health.lan_drift.load(Ordering::Relaxed).then_some(())
    })
    .await;
}
