//! The modal beside the one-time page: the way there, and the number that the page shows.

use crate::{
    blocks::{Block, Field, Modal, actions, button, section},
    fleet::PasswordPage,
    i18n::{Lang, fill},
    model::BoxView,
};

pub const CALLBACK: &str = "password_page";
pub const NUMBER: &str = "number";

/// The page's address is no secret: it shows nothing before its asker has said its number here.
pub fn modal(lang: Lang, device: &BoxView, page: &PasswordPage) -> Block {
    let words = lang.words();
    let mut open = button("open_page", "", words.password_open);
    open["url"] = page.url.clone().into();
    let mut blocks = vec![section(&fill(words.password_page_text, &[("thing", device.thing.as_str())]))];
    blocks.extend(actions(&[open]));
    let number =
        Field { name: NUMBER, label: words.password_number, hint: None, optional: false, tells: false };
    blocks.push(number.text(None, 4, false));
    Modal {
        callback: CALLBACK,
        title: words.password_title,
        submit: Some(words.password_confirm),
        close: words.close,
        metadata: page.id.clone(),
        clears: false,
    }
    .with(&blocks)
}
