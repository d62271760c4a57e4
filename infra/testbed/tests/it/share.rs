//! The share of a box: real Samba, for its one user.

use testbed::samba::Share;

#[tokio::test]
async fn a_file_put_by_smb_lies_in_the_folder_and_only_its_user_gets_in() {
    let scratch = tempfile::tempdir().unwrap();
    let port = testbed::ports::Ports::open(scratch.path(), std::collections::BTreeMap::default())
        .unwrap()
        .take("smb-1")
        .unwrap();
    let mut share = Share::new(scratch.path(), port, "right").unwrap();
    let smbd = share.start(&scratch.path().join("log"), "smbd").await.unwrap();
    let local = scratch.path().join("local");
    std::fs::copy("/etc/hostname", &local).unwrap();

    share.client(&format!("put {} 処方.csv", local.display())).output().await.unwrap();
    let saved = std::fs::read(share.folder.join("処方.csv")).unwrap();
    share.password = "wrong".to_owned();
    let refused = share.client("ls").output().await.unwrap_err();

    assert_eq!(saved, std::fs::read(&local).unwrap());
    assert!(refused.to_string().contains("LOGON_FAILURE"), "{refused}");
    smbd.stop().await.unwrap();
}
