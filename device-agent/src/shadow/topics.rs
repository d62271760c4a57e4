//! The topics of a named shadow, there and back.

use device_model::thing_name::ThingName;

/// What a message of the shadow service is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    GetAccepted,
    GetRejected,
    UpdateAccepted,
    UpdateRejected,
    Delta,
}

impl Answer {
    pub const ALL: [Self; 5] =
        [Self::GetAccepted, Self::GetRejected, Self::UpdateAccepted, Self::UpdateRejected, Self::Delta];

    fn ending(self) -> &'static str {
        match self {
            Self::GetAccepted => "get/accepted",
            Self::GetRejected => "get/rejected",
            Self::UpdateAccepted => "update/accepted",
            Self::UpdateRejected => "update/rejected",
            Self::Delta => "update/delta",
        }
    }

    pub fn topic(self, thing: &ThingName, shadow: &str) -> String {
        topic(thing, shadow, self.ending())
    }

    /// What the topic is about, if it is one of this shadow's.
    pub fn read(topic: &str, thing: &ThingName, shadow: &str) -> Option<Self> {
        let ending = topic.strip_prefix(&self::topic(thing, shadow, ""))?;
        Self::ALL.into_iter().find(|answer| answer.ending() == ending)
    }
}

pub fn get(thing: &ThingName, shadow: &str) -> String {
    topic(thing, shadow, "get")
}

pub fn update(thing: &ThingName, shadow: &str) -> String {
    topic(thing, shadow, "update")
}

fn topic(thing: &ThingName, shadow: &str, ending: &str) -> String {
    format!("$aws/things/{thing}/shadow/name/{shadow}/{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_read_back_and_no_other_shadows() {
        let thing = "tenpo-0001".parse().unwrap();
        for answer in Answer::ALL {
            let topic = answer.topic(&thing, "lan");
            assert_eq!(Answer::read(&topic, &thing, "lan"), Some(answer));
            assert_eq!(Answer::read(&topic, &thing, "status"), None);
            assert_eq!(Answer::read(&topic, &"tenpo-0002".parse().unwrap(), "lan"), None);
        }
    }
}
