//! `DescribeEndpoint`.

use axum::Json;
use axum::extract::{Query, State};
use serde_json::json;

use super::error::IotError;
use super::{Answer, Caller, Iot, Params};

pub async fn describe(State(iot): State<Iot>, caller: Caller, Query(params): Params) -> Answer {
    caller.demand(&iot, "iot:DescribeEndpoint", "*")?;
    let kind = params.get("endpointType").map_or("iot:Data", String::as_str);
    let address = iot.endpoints.get(kind).ok_or_else(|| IotError::invalid("Endpoint type is not known"))?;
    Ok(Json(json!({ "endpointAddress": address })))
}
