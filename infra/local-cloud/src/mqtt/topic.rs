//! Topics and filters: which fit each other, and AWS IoT's limits on them.

const MAX_BYTES: usize = 256;
const MAX_SLASHES: usize = 7;

/// Whether `filter` covers `topic`. A wildcard at the front never covers a `$` topic; other than MQTT says, AWS's
/// `a/#` does not cover `a` itself.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), Some(_)) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether something may be published to it.
pub fn valid_topic(topic: &str) -> bool {
    within_limits(topic) && !topic.contains(['+', '#', '\0'])
}

/// Whether it may be subscribed to.
pub fn valid_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut sound = within_limits(filter) && !filter.contains('\0');
    while let Some(level) = levels.next() {
        sound &= match level {
            "#" => levels.peek().is_none(),
            "+" => true,
            level => !level.contains(['+', '#']),
        };
    }
    sound
}

/// Basic ingest names its rule in front of the topic proper, and the front does not count.
fn within_limits(topic: &str) -> bool {
    let proper = topic
        .strip_prefix("$aws/rules/")
        .and_then(|rest| rest.split_once('/'))
        .map_or(topic, |(_, rest)| rest);
    !topic.is_empty() && proper.len() <= MAX_BYTES && proper.matches('/').count() <= MAX_SLASHES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_levels() {
        for (filter, topic, covers) in [
            ("a/b", "a/b", true),
            ("a/+", "a/b", true),
            ("a/+", "a/b/c", false),
            ("a/#", "a", false),
            ("a/#", "a/", true),
            ("a/#", "a/b/c", true),
            ("#", "a/b", true),
            ("+/b", "/b", true),
            ("#", "$aws/things/t/shadow/get", false),
            ("+/things/#", "$aws/things/t", false),
            ("$aws/things/+/shadow/#", "$aws/things/t/shadow/update/delta", true),
            ("a", "A", false),
            ("a/", "a", false),
        ] {
            assert_eq!(matches(filter, topic), covers, "{filter} on {topic}");
        }
    }

    #[test]
    fn the_longest_shadow_topic_is_within_seven_slashes_and_eight_are_not() {
        assert!(valid_topic("$aws/things/t/shadow/name/lan/update/documents"));
        assert!(!valid_topic("a/b/c/d/e/f/g/h/i"));
        assert!(valid_filter("a/b/c/d/e/f/g/#"));
        assert!(!valid_filter("a/b/c/d/e/f/g/h/#"));
        assert!(!valid_topic(&"x".repeat(257)));
        assert!(!valid_topic("a/+"));
        assert!(!valid_filter("a/#/b"));
        assert!(!valid_filter("a/b+"));
        assert!(!valid_filter(""));
    }
}
