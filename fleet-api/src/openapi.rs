//! The document of the HTTP API, made from the code: OpenAPI 3.1. Served at `/openapi.json`, with a page to
//! read and try it at `/docs`, and kept as `fleet-api/openapi.json`.

use utoipa::{
    Modify, OpenApi, ToSchema,
    openapi::{
        ContentBuilder, Ref, RefOr, Response, Schema,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    error::PROBLEMS,
    fleet::audit::export::Format,
    routes::{audit, changes, device, devices, feed, lan, pharmacies, places, stats, uploads},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Recehub fleet API",
        description = "Rece-hubs in pharmacies: which there are, what runs on them, what was asked of them, what they \
                       have brought in. Times are RFC 3339 in UTC. Lists are `{\"items\": [...], \"next\": cursor or \
                       null}`. Every refusal is `application/problem+json` with a stable `type`; those that any \
                       request may meet are listed with each, and a request without credentials that are good is \
                       told 401 before anything else."
    ),
    paths(
        pharmacies::list, pharmacies::add, pharmacies::one, pharmacies::edit, places::of_pharmacy,
        devices::list, devices::register, devices::one, devices::revoke, places::replace, places::move_box,
        places::of_box, places::tag, lan::show, lan::change,
        changes::list, changes::one, changes::cancel, changes::retry, changes::revert,
        uploads::list, uploads::one, uploads::path, uploads::receive,
        stats::show, feed::follow, audit::list, audit::take, audit::verify,
        device::enroll, device::nonce, device::login,
    ),
    components(schemas(Problem, feed::ReceiptEvent, feed::ChangeEvent, Format)),
    modifiers(&Credentials, &Refusals),
)]
struct Document;

/// Why a request was refused (RFC 9457).
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "tells the document what is answered")]
struct Problem {
    /// `urn:recehub:problem:…`: what clients match on.
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// Of `unusable-fields`: what is wrong with which field.
    errors: Option<Vec<FieldFault>>,
    /// Of `change-open` and `change-closed`.
    change_id: Option<String>,
}

/// What is wrong with a field; the code's parameters stand beside it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "tells the document what is answered")]
struct FieldFault {
    field: String,
    code: String,
    detail: String,
}

/// The whole document.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// As it is kept beside the code, to be read and compared.
pub fn text() -> anyhow::Result<String> {
    Ok(format!("{}\n", document().to_pretty_json()?))
}

/// The page, with all that it is made of; nothing is fetched from elsewhere.
pub fn page() -> SwaggerUi {
    let config = Config::from("/openapi.json").try_it_out_enabled(true).persist_authorization(false);
    SwaggerUi::new("/docs").url("/openapi.json", document()).config(config)
}

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = |text: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build();
            SecurityScheme::Http(scheme)
        };
        let schemes = &mut document.components.get_or_insert_default().security_schemes;
        schemes.insert(
            "token".to_owned(),
            RefOr::T(bearer("An API token (`fleet-api token create`), or a token of the identity provider")),
        );
        schemes.insert("device".to_owned(), RefOr::T(bearer("A box's session (`POST /v1/device/login`)")));
    }
}

/// Puts in what every request may meet, and what each refusal looks like.
struct Refusals;

impl Modify for Refusals {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            for operation in
                [&mut item.get, &mut item.put, &mut item.post, &mut item.patch].into_iter().flatten()
            {
                refusals(operation);
            }
        }
        let schemas = document.components.get_or_insert_default();
        if let Some(RefOr::T(Schema::Object(problem))) = schemas.schemas.get_mut("Problem")
            && let Some(RefOr::T(Schema::Object(kind))) = problem.properties.get_mut("type")
        {
            let kinds = PROBLEMS.iter().map(|(name, _)| format!("urn:recehub:problem:{name}").into());
            kind.enum_values = Some(kinds.collect());
        }
    }
}

fn refusals(operation: &mut Operation) {
    let mut common = vec![
        ("400", "malformed-request"),
        ("408", "request-timeout"),
        ("500", "internal"),
        ("503", "unavailable"),
    ];
    if operation.security.as_ref().is_some_and(|needed| !needed.is_empty()) {
        common.extend([("401", "unauthenticated"), ("403", "forbidden"), ("429", "too-many-requests")]);
    }
    if operation.request_body.is_some() {
        common.extend([("413", "too-large"), ("415", "media-type")]);
    }
    for (status, name) in common {
        let response = RefOr::T(Response::new(name));
        operation.responses.responses.entry(status.to_owned()).or_insert(response);
    }
    let problem = || ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
        {
            response.content.insert("application/problem+json".to_owned(), RefOr::T(problem()));
        }
    }
}
