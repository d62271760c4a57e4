//! The share that the box hosts, on a real smbd: put on, tried, kept, put back.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use device_agent::share::sessions::{Sessions, SmbStatus};
use device_model::{outcome::code, share::ShareSettings};

use crate::support::{
    eventually,
    smbd::{Samba, seal, settings, write},
};

const PATIENCE: Duration = Duration::from_secs(10);

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// The password that the box made for itself.
fn own_password(samba: &Samba) -> String {
    read(&samba.state().join("share/password"))
}

/// Everything on disk that says what the share is.
fn files(samba: &Samba) -> [String; 3] {
    let (conf, share) = (&samba.hosting.conf, samba.state().join("share"));
    [conf.clone(), conf.with_extension("users"), share.join("credentials")].map(|path| read(&path))
}

fn with_password(samba: &Samba, settings: ShareSettings, password: &str) -> ShareSettings {
    let sealed = seal(&samba.sealing(), password);
    ShareSettings { password_sealed: Some(sealed), ..settings }
}

#[tokio::test]
async fn a_box_starts_with_a_share_and_a_password_of_its_own() {
    let (samba, host) = Samba::started().await;

    host.check_login(PATIENCE).await.unwrap();

    let password = own_password(&samba);
    assert_eq!(password.len(), 23, "{password}");
    assert!(samba.lets_in("rx", "rece", &password));
    assert!(!samba.lets_in("rx", "rece", "guess") && !samba.lets_in("rx", "guest", ""));
    for name in ["password", "credentials", "settings.json"] {
        let mode = fs::metadata(samba.state().join("share").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // Another start finds it all there.
    let before = files(&samba);
    samba.host().start().await.unwrap();
    assert_eq!(files(&samba), before);
}

#[tokio::test]
async fn new_settings_are_tried_by_a_login_and_outlive_a_restart_once_they_are_kept() {
    let (samba, host) = Samba::started().await;
    let first = host.saved().unwrap();
    let new = with_password(&samba, settings("処方 データ$", "rece.2"), "花子%U;#\"2026");

    host.try_on(&new).await.unwrap();
    host.check_login(PATIENCE).await.unwrap();
    assert_eq!(host.saved().unwrap(), first, "a trial is not kept");
    assert!(samba.lets_in("処方 データ$", "rece.2", "花子%U;#\"2026"));
    let gone = samba.run("rx", &host.credentials(), "exit");
    assert!(String::from_utf8_lossy(&gone.stdout).contains("BAD_NETWORK_NAME"), "{gone:?}");
    assert!(!samba.lets_in("処方 データ$", "rece", &own_password(&samba)));
    host.commit(&new).await.unwrap();

    assert_eq!(samba.host().saved().unwrap(), new);
    host.check_login(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn what_is_put_back_is_what_was_there_before() {
    let (samba, host) = Samba::started().await;
    let (first, before) = (host.saved().unwrap(), files(&samba));
    let new = with_password(&samba, settings("rx2", "other"), "other");

    for previous in [Some(&first), None] {
        host.try_on(&new).await.unwrap();
        host.check_login(PATIENCE).await.unwrap();
        host.roll_back(previous).await.unwrap();

        assert_eq!(files(&samba), before);
        host.check_login(PATIENCE).await.unwrap();
        assert!(samba.lets_in("rx", "rece", &own_password(&samba)));
        assert!(!samba.lets_in("rx2", "other", "other"));
    }
}

/// The agent is killed anywhere in a trial; whatever is asked of the next one is what comes of it.
#[tokio::test]
async fn a_trial_that_was_cut_off_anywhere_ends_on_exactly_the_old_or_the_new_share() {
    let (samba, host) = Samba::started().await;
    let first = host.saved().unwrap();
    // Only the password differs, which stands nowhere but in smbd's database.
    let new = with_password(&samba, first.clone(), "new");
    let old_files = files(&samba);
    for step in 0..12u64 {
        let cut = tokio::time::timeout(Duration::from_millis(step * 15), host.try_on(&new)).await;
        let next = samba.host();

        if step.is_multiple_of(2) {
            next.roll_back(Some(&first)).await.unwrap();
            assert_eq!(files(&samba), old_files, "cut off in step {step}: {cut:?}");
            assert!(samba.lets_in("rx", "rece", &own_password(&samba)), "cut off in step {step}: {cut:?}");
            assert!(!samba.lets_in("rx", "rece", "new"), "cut off in step {step}: {cut:?}");
        } else {
            next.commit(&new).await.unwrap();
            assert!(samba.lets_in("rx", "rece", "new"), "cut off in step {step}: {cut:?}");
            assert_eq!(next.saved().unwrap(), new);
            next.commit(&first).await.unwrap();
        }
    }
}

#[tokio::test]
async fn settings_that_smbd_would_read_as_something_else_change_nothing() {
    let (samba, host) = Samba::started().await;
    let before = files(&samba);

    for name in ["rx]\n[homes", "nix\n  path = /etc"] {
        let fault = host.try_on(&settings(name, "rece")).await.unwrap_err();
        assert_eq!(fault.code, code::SHARE_NOT_SET, "{name:?}");
    }
    let fault = host.try_on(&with_password(&samba, settings("rx", "rece"), "a\nb")).await.unwrap_err();
    assert_eq!(fault.code, code::BAD_SETTINGS);
    let foreign = ShareSettings { password_sealed: Some("AAAA".to_owned()), ..settings("rx", "rece") };
    assert_eq!(host.try_on(&foreign).await.unwrap_err().code, code::PASSWORD_UNREADABLE);

    assert_eq!(files(&samba), before);
    host.check_login(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_login_that_fails_says_by_smbds_own_word_why() {
    let (samba, host) = Samba::started().await;
    let credentials = host.credentials();
    let good = read(&credentials);
    let reason = async |text: &str| {
        write(&credentials, text);
        let fault = host.check_login(Duration::ZERO).await.unwrap_err();
        assert_eq!(fault.code, code::SHARE_LOGIN);
        fault.detail
    };

    let wrong = good.replace(&own_password(&samba), "wrong");
    assert_eq!(reason(&wrong).await, "NT_STATUS_LOGON_FAILURE");
    assert_eq!(reason(&good.replace("`rx`", "`nix`")).await, "NT_STATUS_BAD_NETWORK_NAME");
    // Where no smbd was started nobody listens.
    let silent = Samba::new();
    let host = silent.host();
    host.start().await.unwrap();
    let fault = host.check_login(Duration::ZERO).await.unwrap_err();
    assert_eq!(fault.detail, "NT_STATUS_CONNECTION_REFUSED");
}

#[tokio::test]
async fn smbd_can_be_told_by_a_signal() {
    let mut samba = Samba::new();
    samba.hosting.pid_file = Some(samba.home.path().join("pid/smbd.pid"));
    let host = samba.host();
    // Before smbd runs there is nobody to tell.
    host.start().await.unwrap();
    samba.start().await;

    host.try_on(&settings("rx2", "rece")).await.unwrap();

    host.check_login(PATIENCE).await.unwrap();
    assert!(samba.lets_in("rx2", "rece", &own_password(&samba)));
}

#[tokio::test]
async fn no_name_of_a_file_stands_in_what_smbd_logs() {
    let (samba, host) = Samba::started().await;
    let local = samba.home.path().join("local");
    write(&local, "content");
    let command = |command: &str| samba.run("rx", &host.credentials(), command);

    let put = command(&format!(
        "put {} 山田花子.csv; mkdir 鈴木; rename 山田花子.csv 鈴木/佐藤.csv",
        local.display()
    ));
    assert!(put.status.success(), "{put:?}");
    command("get nothing-by-the-name-of-田中; del 鈴木/佐藤.csv; rmdir 鈴木");

    assert!(read(&samba.hosting.conf).contains("log level = 0"));
    let logs = fs::read_dir(samba.home.path().join("log")).unwrap();
    let logs: Vec<_> = logs.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    assert_ne!(logs.len(), 0);
    for log in logs {
        let log = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
        for name in ["山田", "花子", "鈴木", "佐藤", "田中", "nothing-by-the-name"] {
            assert!(!log.contains(name), "{log}");
        }
    }
}

#[tokio::test]
async fn a_password_is_in_no_programs_arguments() {
    let (samba, host) = Samba::started().await;
    let secrets = [own_password(&samba), "correct-horse".to_owned()];
    let new = with_password(&samba, settings("rx2", "rece"), &secrets[1]);
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let watch = thread::spawn(move || {
        let (mut told, mut looked_at) = (HashSet::new(), HashSet::new());
        while !is_over.load(Ordering::Relaxed) {
            for process in fs::read_dir("/proc").unwrap().flatten() {
                let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                looked_at.extend(line.split('\0').next().map(str::to_owned));
                told.extend(secrets.iter().any(|secret| line.contains(secret)).then_some(line));
            }
        }
        (told, looked_at)
    });

    for _ in 0..5 {
        host.try_on(&new).await.unwrap();
        host.check_login(PATIENCE).await.unwrap();
        host.roll_back(None).await.unwrap();
        host.check_login(PATIENCE).await.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    let (told, looked_at) = watch.join().unwrap();

    assert!(looked_at.contains("pdbedit") && looked_at.contains("smbclient"), "{looked_at:?}");
    assert_eq!(told, HashSet::new());
}

#[tokio::test]
async fn smbd_tells_who_is_connected() {
    let (samba, host) = Samba::started().await;
    let from_anywhere = SmbStatus { conf: samba.hosting.conf.clone(), is_ours: |_| false };

    assert_eq!(from_anywhere.others().await, Some(BTreeSet::new()));
    let mut client = samba.stay("rx", &host.credentials());
    let found = eventually("somebody is connected", || async {
        from_anywhere.others().await.filter(|found| !found.is_empty())
    });
    let found = found.await;
    let from_elsewhere = host.sessions().others().await;
    drop(client.stdin.take());
    client.wait().unwrap();

    assert_eq!(found.len(), 1);
    assert_eq!(from_elsewhere, Some(BTreeSet::new()), "the box itself does not count");
}
