//! The app's Home: for whom, with which picture, and what becomes of a picture that cannot be made.

use std::path::PathBuf;

use serde_json::json;
use slack_app::{
    fleet_map,
    i18n::Lang,
    model::{Look, Overview, Square},
};

use crate::support::{TestApp, signed, words};

/// Debian's fonts-noto-cjk.
const FONT: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";

impl TestApp {
    async fn open_home(&self, user: &str, event: &str) -> serde_json::Value {
        let body = json!({"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": event,
            "event": {"type": "app_home_opened", "user": user, "tab": "home"}});
        let answer = self.send(signed("/events", &body.to_string())).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        self.work().await;
        self.slack.calls("views.publish").pop().expect("no Home was put up")
    }
}

fn overview() -> Overview {
    let looks = Look::ALL.into_iter().cycle().take(60).enumerate();
    let squares = looks.map(|(number, look)| Square { label: format!("P-{number}"), look }).collect();
    Overview { squares, ..Overview::default() }
}

#[tokio::test]
async fn whoever_has_a_role_sees_the_fleet_and_nobody_else_does() {
    let test = TestApp::start().await;
    test.fleet.with(|state| state.overview = overview());

    let viewer = test.open_home("UVIEWER", "E1").await;
    let english = test.open_home("UENGLISH", "E2").await;
    let nobody = test.open_home("UNOBODY", "E3").await;

    assert!(words(&viewer).contains("レセハブ *60* 台"), "{viewer}");
    assert!(words(&english).contains("*60* boxes"), "{english}");
    assert!(words(&nobody).contains("権限がありません") && !words(&nobody).contains("60"), "{nobody}");
    assert_eq!(viewer["user_id"], "UVIEWER");
}

#[tokio::test]
async fn the_map_is_uploaded_once_for_as_long_as_the_fleet_looks_the_same() {
    let test = TestApp::start_with(|settings| settings.map_font = Some(PathBuf::from(FONT))).await;
    test.fleet.with(|state| state.overview = overview());

    let first = test.open_home("UVIEWER", "E1").await;
    test.open_home("UOPERATOR", "E2").await;
    test.fleet.with(|state| state.overview.squares[0].look = Look::Online);
    test.open_home("UVIEWER", "E3").await;

    let uploads = test.slack.uploads();
    assert_eq!(uploads.len(), 2);
    assert!(uploads[0].starts_with(b"\x89PNG"));
    assert!(first.to_string().contains("\"slack_file\":{\"id\":\"F1\"}"), "{first}");
}

#[tokio::test]
async fn without_a_picture_the_same_is_told_in_words() {
    let test = TestApp::start_with(|settings| settings.map_font = Some(PathBuf::from("/nowhere.ttf"))).await;
    test.fleet.with(|state| state.overview = overview());

    let home = test.open_home("UVIEWER", "E1").await;

    assert!(words(&home).contains("失敗: P-0, P-5"), "{home}");
    assert!(test.slack.uploads().is_empty());
}

#[test]
fn a_font_without_our_words_is_an_error() {
    let latin = usable_latin_font();

    let error = fleet_map::draw(Lang::Ja, &overview(), &latin).unwrap_err().to_string();

    assert!(error.contains("has no"), "{error}");
    assert!(fleet_map::draw(Lang::En, &overview(), &latin).is_ok());
    assert!(fleet_map::check(&PathBuf::from(FONT)).is_ok());
}

/// Some font of the system that has no Japanese.
fn usable_latin_font() -> PathBuf {
    let folders = ["/usr/share/fonts/truetype/dejavu", "/usr/share/fonts/truetype/liberation"];
    let fonts = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let mut fonts =
        fonts.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "ttf"));
    fonts.next().expect("no Latin font: install fonts-dejavu-core")
}
