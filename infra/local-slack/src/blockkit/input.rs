//! Elements that take something in: what an app may presume and bound in them.

use serde_json::{Map, Value};

use super::Check;
use super::object::Offer;

const TRIGGERS: &[&str] = &["on_enter_pressed", "on_character_entered"];

impl Check<'_> {
    pub fn text_input(&mut self, input: &Map<String, Value>, path: &str) {
        self.string(input, "initial_value", path, 3000);
        for (key, least) in [("min_length", 0), ("max_length", 1)] {
            if let Some(given) = input.get(key)
                && !given.as_u64().is_some_and(|length| (least..=3000).contains(&length))
            {
                self.fault(&format!("{path}/{key}"), &format!("must be from {least} to 3000"));
            }
        }
    }

    /// A text like the pattern, in which 0 stands for any digit.
    pub fn shaped(&mut self, element: &Map<String, Value>, key: &str, path: &str, pattern: &str) {
        let Some(given) = element.get(key).and_then(Value::as_str) else { return };
        let same = |(c, p): (char, char)| if p == '0' { c.is_ascii_digit() } else { c == p };
        if given.len() != pattern.len() || !given.chars().zip(pattern.chars()).all(same) {
            self.fault(&format!("{path}/{key}"), &format!("must look like {pattern}"));
        }
    }

    /// A moment in whole seconds, as Slack wants it: ten digits.
    pub fn moment(&mut self, element: &Map<String, Value>, path: &str) {
        self.integer(element, "initial_date_time", path, 1_000_000_000, 9_999_999_999);
    }

    /// Numbers stand in texts here, so that none loses a digit.
    pub fn number_input(&mut self, element: &Map<String, Value>, path: &str) {
        let mut numbers = [None; 3];
        for (number, key) in numbers.iter_mut().zip(["min_value", "initial_value", "max_value"]) {
            let Some(given) = element.get(key).filter(|given| !given.is_null()) else { continue };
            *number = given.as_str().and_then(|text| text.parse::<f64>().ok());
            if number.is_none() {
                self.fault(&format!("{path}/{key}"), "must be a number in a string");
            }
        }
        let told: Vec<f64> = numbers.into_iter().flatten().collect();
        if !told.is_sorted() {
            self.fault(path, "initial_value must lie between min_value and max_value");
        }
    }

    /// A select that asks the app: what stands in it at first is any option.
    pub fn outside_choice(&mut self, element: &Map<String, Value>, path: &str) {
        self.integer(element, "min_query_length", path, 0, u64::MAX);
        if let Some(option) = element.get("initial_option").filter(|given| !given.is_null()) {
            self.option(option, &format!("{path}/initial_option"), Offer::Menu);
        }
        if let Some(several) = element.get("initial_options").filter(|given| !given.is_null()) {
            self.options(several, &format!("{path}/initial_options"), 1, 100, Offer::Menu);
        }
    }

    /// When typing is told to the app.
    pub fn dispatch(&mut self, element: &Map<String, Value>, path: &str) {
        let Some(config) = element.get("dispatch_action_config").filter(|given| !given.is_null()) else {
            return;
        };
        let path = format!("{path}/dispatch_action_config");
        self.object(config, &path, &[], &["trigger_actions_on"]);
        let path = format!("{path}/trigger_actions_on");
        for trigger in self.count(&config["trigger_actions_on"], &path, 1, TRIGGERS.len()) {
            if !trigger.as_str().is_some_and(|trigger| TRIGGERS.contains(&trigger)) {
                self.fault(&path, &format!("must be one of {TRIGGERS:?}"));
            }
        }
    }

    pub fn integer(&mut self, element: &Map<String, Value>, key: &str, path: &str, least: u64, most: u64) {
        if let Some(given) = element.get(key).filter(|given| !given.is_null())
            && !given.as_u64().is_some_and(|number| (least..=most).contains(&number))
        {
            self.fault(&format!("{path}/{key}"), &format!("must be a whole number from {least} to {most}"));
        }
    }
}
