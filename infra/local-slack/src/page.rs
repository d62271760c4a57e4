//! The page: Slack in a browser, out of the binary itself, without a build step or anything from outside.

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;

const INDEX: &str = include_str!("../page/index.html");
const FILES: &[(&str, &str, &str)] = &[
    ("/page/style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("/page/blocks.css", "text/css; charset=utf-8", include_str!("../page/blocks.css")),
    ("/page/app.js", "text/javascript; charset=utf-8", include_str!("../page/app.js")),
    ("/page/blocks.js", "text/javascript; charset=utf-8", include_str!("../page/blocks.js")),
    ("/page/elements.js", "text/javascript; charset=utf-8", include_str!("../page/elements.js")),
    ("/page/messages.js", "text/javascript; charset=utf-8", include_str!("../page/messages.js")),
    ("/page/modals.js", "text/javascript; charset=utf-8", include_str!("../page/modals.js")),
    ("/page/composer.js", "text/javascript; charset=utf-8", include_str!("../page/composer.js")),
    ("/page/moment.js", "text/javascript; charset=utf-8", include_str!("../page/moment.js")),
    ("/page/icons.js", "text/javascript; charset=utf-8", include_str!("../page/icons.js")),
    ("/page/text.js", "text/javascript; charset=utf-8", include_str!("../page/text.js")),
];

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = || async { Html(INDEX) };
    let mut router = Router::new().route("/", get(page)).route("/archives/{channel}/{message}", get(page));
    for (path, kind, content) in FILES {
        let file = || async { ([(header::CONTENT_TYPE, *kind)], *content).into_response() };
        router = router.route(path, get(file));
    }
    router
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_page_comes_out_of_the_binary() {
        let served = |path: &str| FILES.iter().any(|(file, ..)| *file == path);
        for (path, kind, content) in FILES {
            let imports = content.lines().filter_map(|line| line.split_once(" from './"));
            for (_, rest) in imports {
                let name = rest.trim_end_matches("';");
                assert!(served(&format!("/page/{name}")), "{path} imports {name}");
            }
            assert!(!content.trim().is_empty(), "{path} is empty");
            assert!(kind.ends_with("charset=utf-8"), "{path} has Japanese in it");
        }
        for path in INDEX.split('"').filter(|part| part.starts_with("/page/")) {
            assert!(served(path), "index.html names {path}");
        }
    }

    #[test]
    fn nothing_of_the_page_comes_from_elsewhere() {
        let all = FILES.iter().map(|(_, _, content)| *content).chain([INDEX]);
        for text in all {
            let foreign = text.match_indices("://").filter(|(at, _)| {
                !text[..*at].ends_with("http") || !text[*at..].starts_with("://www.w3.org/2000/svg")
            });
            assert_eq!(foreign.count(), 0, "{}", &text[..80]);
        }
    }
}
