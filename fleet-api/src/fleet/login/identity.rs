//! Reads who signed out of STS's answer; strictly, for whatever else could be made to look like it
//! would let a stranger in.

use quick_xml::{Reader, events::Event};

use crate::config::LoginConfig;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const ARN: [&str; 3] = ["GetCallerIdentityResponse", "GetCallerIdentityResult", "Arn"];

/// The certificate whose holder took the box's role; None: it is somebody else, or no such answer.
pub fn certificate_id(answer: &[u8], config: &LoginConfig) -> Option<String> {
    let arn = arn(std::str::from_utf8(answer).ok()?)?;
    let rest = arn.strip_prefix("arn:aws:sts::")?;
    let (account, rest) = rest.split_once(":assumed-role/")?;
    let (role, session) = rest.split_once('/')?;
    let good = account == config.account && role == config.role && super::is_certificate_id(session);
    good.then(|| session.to_owned())
}

/// The one Arn at the one place where it belongs.
fn arn(text: &str) -> Option<String> {
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut found = None;
    let mut roots = 0;
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) => {
                let name = std::str::from_utf8(element.name().as_ref()).ok()?.to_owned();
                if path.is_empty() {
                    roots += 1;
                    let namespace = element.try_get_attribute("xmlns").ok()??;
                    if name != ARN[0] || roots > 1 || namespace.value.as_ref() != NAMESPACE.as_bytes() {
                        return None;
                    }
                }
                path.push(name);
            }
            Event::End(_) => {
                path.pop()?;
            }
            Event::Text(text) => {
                let text = text.decode().ok()?;
                if path.iter().map(String::as_str).eq(ARN) {
                    if found.is_some() {
                        return None;
                    }
                    found = Some(text.trim().to_owned());
                } else if path.is_empty() && !text.trim().is_empty() {
                    return None;
                }
            }
            Event::Decl(_) | Event::Empty(_) => {}
            Event::Eof => return found.filter(|_| path.is_empty()),
            // No comment, entity, CDATA or document type stands in a real answer.
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn config() -> LoginConfig {
        LoginConfig {
            server_id: "x".to_owned(),
            sts_url: "http://127.0.0.1".parse().unwrap(),
            region: "r".to_owned(),
            account: "123456789012".to_owned(),
            role: "box".to_owned(),
        }
    }

    fn answer(arn: &str) -> String {
        format!(
            "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\">\n <GetCallerIdentityResult>\n  <Arn>{arn}</Arn>\n  \
             <UserId>AROA:x</UserId><Account>123456789012</Account>\n </GetCallerIdentityResult>\n \
             <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\n</GetCallerIdentityResponse>\n"
        )
    }

    fn read(text: &str) -> Option<String> {
        certificate_id(text.as_bytes(), &config())
    }

    #[test]
    fn the_session_name_of_the_boxes_role_is_the_certificate() {
        let arn = format!("arn:aws:sts::123456789012:assumed-role/box/{ID}");

        assert_eq!(read(&answer(&arn)).as_deref(), Some(ID));
    }

    #[test]
    fn another_account_role_or_partition_is_nobody() {
        for arn in [
            format!("arn:aws:sts::999999999999:assumed-role/box/{ID}"),
            format!("arn:aws:sts::123456789012:assumed-role/boxer/{ID}"),
            format!("arn:aws:sts::123456789012:assumed-role/x/box/{ID}"),
            format!("arn:aws-cn:sts::123456789012:assumed-role/box/{ID}"),
            format!("arn:aws:iam::123456789012:user/box/{ID}"),
            "arn:aws:sts::123456789012:assumed-role/box/mallory".to_owned(),
            format!("arn:aws:sts::123456789012:assumed-role/box/{}", ID.to_uppercase()),
        ] {
            assert_eq!(read(&answer(&arn)), None, "{arn}");
        }
    }

    #[test]
    fn an_answer_of_another_shape_is_nobodys() {
        let good = answer(&format!("arn:aws:sts::123456789012:assumed-role/box/{ID}"));
        let arn = format!("<Arn>arn:aws:sts::123456789012:assumed-role/box/{ID}</Arn>");
        for text in [
            good.replace(NAMESPACE, "https://evil.example/"),
            good.replace("GetCallerIdentityResponse", "AssumeRoleResponse"),
            good.replace("<Account>", &format!("{arn}<Account>")),
            good.replace("GetCallerIdentityResult", "Other"),
            format!("<!DOCTYPE x>{good}"),
            format!("{good}{good}"),
            good.replace("<Arn>", "<Arn><!-- -->"),
            format!("{{\"Arn\": \"arn:aws:sts::123456789012:assumed-role/box/{ID}\"}}"),
            good[..good.len() - 5].to_owned(),
            String::new(),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
    }
}
