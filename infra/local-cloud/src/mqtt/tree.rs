//! Who subscribed to what, as a tree of topic levels: a message visits only what can match it.

use std::collections::HashMap;
use std::sync::Arc;

/// Subscribers by filter.
#[derive(Debug, Default)]
pub struct Tree {
    children: HashMap<Box<str>, Tree>,
    here: HashMap<Arc<str>, u8>,
}

impl Tree {
    /// Adds or changes a subscription.
    pub fn insert(&mut self, filter: &str, client: &Arc<str>, qos: u8) {
        let node = filter.split('/').fold(self, |node, level| node.children.entry(level.into()).or_default());
        node.here.insert(Arc::clone(client), qos);
    }

    pub fn remove(&mut self, filter: &str, client: &str) {
        match filter.split_once('/') {
            Some((level, rest)) => self.remove_below(level, |child| child.remove(rest, client)),
            None => self.remove_below(filter, |leaf| {
                leaf.here.remove(client);
            }),
        }
    }

    /// Every client that is to have a message on `topic`, once each, with the highest `QoS` it asked for.
    pub fn subscribers(&self, topic: &str) -> HashMap<Arc<str>, u8> {
        let mut found = HashMap::new();
        let mut levels = topic.split('/');
        if topic.starts_with('$') {
            // A wildcard at the front never covers a `$` topic.
            if let Some(child) = levels.next().and_then(|level| self.children.get(level)) {
                child.collect(levels, &mut found);
            }
        } else {
            self.collect(levels, &mut found);
        }
        found
    }

    fn collect<'t>(
        &self,
        mut levels: impl Iterator<Item = &'t str> + Clone,
        found: &mut HashMap<Arc<str>, u8>,
    ) {
        let Some(level) = levels.next() else { return self.take(found) };
        if let Some(rest) = self.children.get("#") {
            rest.take(found);
        }
        for child in [self.children.get(level), self.children.get("+")].into_iter().flatten() {
            child.collect(levels.clone(), found);
        }
    }

    fn take(&self, found: &mut HashMap<Arc<str>, u8>) {
        for (client, qos) in &self.here {
            let best = found.entry(Arc::clone(client)).or_insert(*qos);
            *best = (*best).max(*qos);
        }
    }

    fn remove_below(&mut self, level: &str, remove: impl FnOnce(&mut Tree)) {
        if let Some(child) = self.children.get_mut(level) {
            remove(child);
            if child.here.is_empty() && child.children.is_empty() {
                self.children.remove(level);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::topic;

    fn clients(tree: &Tree, topic: &str) -> Vec<(String, u8)> {
        let mut found: Vec<_> =
            tree.subscribers(topic).into_iter().map(|(client, qos)| (client.to_string(), qos)).collect();
        found.sort();
        found
    }

    #[test]
    fn a_client_with_overlapping_filters_is_found_once_with_its_highest_qos() {
        let mut tree = Tree::default();
        tree.insert("a/+", &"one".into(), 0);
        tree.insert("a/#", &"one".into(), 1);
        tree.insert("a/b", &"two".into(), 0);

        assert_eq!(clients(&tree, "a/b"), [("one".to_owned(), 1), ("two".to_owned(), 0)]);
        tree.remove("a/#", "one");
        assert_eq!(clients(&tree, "a/b"), [("one".to_owned(), 0), ("two".to_owned(), 0)]);
    }

    #[test]
    fn the_tree_agrees_with_matching_filter_by_filter() {
        let levels = ["a", "b", "$aws", "+", ""];
        let mut filters: Vec<String> = vec!["#".into()];
        for one in levels {
            filters.push(one.into());
            filters.push(format!("{one}/#"));
            for two in levels {
                filters.push(format!("{one}/{two}"));
                filters.push(format!("{one}/{two}/#"));
            }
        }
        let mut tree = Tree::default();
        for filter in &filters {
            tree.insert(filter, &filter.as_str().into(), 0);
        }
        for text in ["a", "a/b", "$aws/a", "/", "", "b/b/c", "$aws", "a/b/c/d"] {
            let expected: Vec<_> = {
                let mut covering: Vec<_> = filters
                    .iter()
                    .filter(|filter| topic::matches(filter, text))
                    .map(|f| (f.clone(), 0))
                    .collect();
                covering.sort();
                covering
            };
            assert_eq!(clients(&tree, text), expected, "{text}");
        }
        for filter in &filters {
            tree.remove(filter, filter);
        }
        assert!(tree.children.is_empty(), "nothing is left behind");
    }
}
