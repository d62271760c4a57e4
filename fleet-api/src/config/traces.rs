//! Where traces go, told by OpenTelemetry's own names.

use url::Url;

use super::Reader;

const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const SPOKEN: &str = "http/protobuf";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracesConfig {
    /// With its path.
    pub endpoint: Url,
    pub service: String,
}

impl<F: Fn(&str) -> Option<String>> Reader<'_, F> {
    /// None: nothing is traced.
    pub(super) fn traces(&mut self) -> Option<TracesConfig> {
        let service = self.given("OTEL_SERVICE_NAME").unwrap_or_else(|| "fleet-api".to_owned());
        // The traces' own name holds the whole address, the other one what all signals have in common.
        let whole = self.collector(TRACES_ENDPOINT);
        let common = self.collector(ENDPOINT).map(|mut url| {
            let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
            url.set_path(&path);
            url
        });
        let endpoint = whole.or(common)?;
        for name in PROTOCOLS {
            if self.given(name).is_some_and(|protocol| protocol != SPOKEN) {
                self.faults.push(format!("{name} is not {SPOKEN}"));
            }
        }
        Some(TracesConfig { endpoint, service })
    }

    fn collector(&mut self, name: &str) -> Option<Url> {
        let url = self.optional::<Url>(name, "a URL")?;
        if matches!(url.scheme(), "http" | "https") {
            return Some(url);
        }
        self.faults.push(format!("{name} is not http:// or https://"));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Option<TracesConfig>, Vec<String>) {
        let var =
            |name: &str| pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader { var: &var, faults: Vec::new() };
        (reader.traces(), reader.faults)
    }

    #[test]
    fn nothing_is_traced_unless_a_collector_is_named() {
        assert_eq!(read(&[("OTEL_SERVICE_NAME", "x")]), (None, vec![]));
    }

    #[test]
    fn the_traces_own_address_is_taken_as_it_stands_and_goes_first() {
        let common = (ENDPOINT, "http://collector:4318/base/");
        let (traces, _) = read(&[common]);
        let traces = traces.unwrap();
        assert_eq!(traces.endpoint.as_str(), "http://collector:4318/base/v1/traces");
        assert_eq!(traces.service, "fleet-api");

        let (traces, _) =
            read(&[common, (TRACES_ENDPOINT, "https://other/in"), ("OTEL_SERVICE_NAME", "tokyo")]);
        let traces = traces.unwrap();
        assert_eq!((traces.endpoint.as_str(), traces.service.as_str()), ("https://other/in", "tokyo"));
    }

    #[test]
    fn what_we_do_not_speak_is_a_fault() {
        assert_eq!(read(&[(ENDPOINT, "collector:4318")]).1.len(), 1);
        assert_eq!(read(&[(ENDPOINT, "http://collector"), (PROTOCOLS[1], "grpc")]).1.len(), 1);
        assert_eq!(read(&[(ENDPOINT, "http://collector"), (PROTOCOLS[0], SPOKEN)]).1.len(), 0);
    }
}
