//! STS's answers and refusals as XML.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use quick_xml::escape::escape;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// A refusal, by AWS's name.
#[derive(Debug)]
pub struct StsError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

/// An XML element.
#[derive(Debug)]
pub enum Element {
    Text(&'static str, String),
    Of(&'static str, Vec<Element>),
}

impl Element {
    pub fn text(name: &'static str, text: &str) -> Self {
        Self::Text(name, text.to_owned())
    }

    fn write(&self, xml: &mut String) {
        let (Self::Text(name, _) | Self::Of(name, _)) = self;
        let _ = write!(xml, "<{name}>");
        match self {
            Self::Text(_, text) => xml.push_str(&escape(text.as_str())),
            Self::Of(_, children) => children.iter().for_each(|child| child.write(xml)),
        }
        let _ = write!(xml, "</{name}>");
    }
}

pub fn result(action: &str, elements: &[Element]) -> Response<Bytes> {
    let id = request_id();
    let mut xml = format!("<{action}Response xmlns=\"{NAMESPACE}\">\n<{action}Result>");
    for element in elements {
        element.write(&mut xml);
    }
    let _ = write!(
        xml,
        "</{action}Result>\n<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata>\n</{action}Response>\n"
    );
    respond(StatusCode::OK, &id, xml)
}

pub fn error(error: &StsError) -> Response<Bytes> {
    let id = request_id();
    let xml = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\">\n<Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error>\n\
         <RequestId>{id}</RequestId>\n</ErrorResponse>\n",
        error.code,
        escape(error.message.as_str()),
    );
    respond(error.status, &id, xml)
}

fn respond(status: StatusCode, id: &str, xml: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(xml));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

fn request_id() -> String {
    let id = hex::encode(rand::random::<[u8; 16]>());
    format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
}
