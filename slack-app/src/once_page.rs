//! The page that shows a new share password once. It stands outside Slack, where nothing is kept.

use crate::i18n::{Lang, fill};

/// How far the page is.
pub enum Page<'a> {
    /// Whoever asked has to say this number in Slack.
    Number(i32),
    /// They did. Nothing is made before they press here: browsers fetch pages ahead.
    Ready { thing: &'a str },
    /// This once; held: the box gets it once somebody else has approved it.
    Shown { thing: &'a str, share: &'a str, user: &'a str, password: &'a str, held: bool },
    /// Used, too old, of another browser, or never there: all look the same.
    Gone,
    /// Nothing was made, and why.
    Failed { why: &'a str },
}

/// Seconds after which the page looks whether the number was said.
const LOOKS_EVERY: u32 = 2;

pub fn html(lang: Lang, page: &Page<'_>) -> String {
    let words = lang.words();
    let body = match page {
        Page::Number(number) => {
            format!("<p>{}</p><p class=\"big\">{number}</p><p>{}</p>", words.page_number, words.page_waits)
        }
        Page::Ready { thing } => format!(
            "<p>{}</p><form method=\"post\"><button>{}</button></form>",
            fill(words.page_ready, &[("thing", &escape(thing))]),
            words.page_show
        ),
        Page::Shown { thing, share, user, password, held } => format!(
            "<p>{}</p><dl><dt>{}</dt><dd>{}</dd><dt>{}</dt><dd>{}</dd><dt>{}</dt><dd class=\"big\">{}</dd></dl>{}<p>{}</p>",
            fill(words.page_shown, &[("thing", &escape(thing))]),
            words.page_share,
            escape(share),
            words.page_user,
            escape(user),
            words.page_password,
            escape(password),
            if *held { format!("<p>{}</p>", words.page_held) } else { String::new() },
            words.page_once
        ),
        Page::Gone => format!("<p>{}</p>", words.page_gone),
        Page::Failed { why } => format!("<p>{}</p>", escape(why)),
    };
    let refresh = match page {
        Page::Number(_) => format!("<meta http-equiv=\"refresh\" content=\"{LOOKS_EVERY}\">"),
        _ => String::new(),
    };
    let code = match lang {
        Lang::Ja => "ja",
        Lang::En => "en",
    };
    let title = words.password_page;
    format!(
        "<!doctype html><html lang=\"{code}\"><head><meta charset=\"utf-8\">{refresh}\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    )
}

const STYLE: &str = "body{font:16px/1.7 'Noto Sans CJK JP','Hiragino Sans',sans-serif;margin:0;background:#f4f5f7;color:#1d1c1d}\
    main{max-width:34rem;margin:10vh auto;padding:1.5rem 2rem;background:#fff;border-radius:12px;box-shadow:0 1px 6px #0002}\
    h1{font-size:1.25rem}.big{font:700 2rem/1.3 monospace;letter-spacing:.06em}dt{color:#616061}dd{margin:0 0 .6rem}\
    button{font:inherit;padding:.5rem 1.4rem;border:0;border-radius:8px;background:#1f3a5f;color:#fff}";

fn escape(text: &str) -> String {
    crate::blocks::escape(text).replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_is_read_as_a_tag() {
        let page = Page::Shown { thing: "t", share: "<b>", user: "u", password: "<script>\"&", held: false };

        let html = html(Lang::Ja, &page);

        assert!(html.contains("&lt;script&gt;&quot;&amp;") && !html.contains("<script>"), "{html}");
    }
}
