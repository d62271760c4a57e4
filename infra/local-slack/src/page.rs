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
