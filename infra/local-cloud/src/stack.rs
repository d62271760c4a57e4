//! Brings the account to what the template says, as an update of a CloudFormation stack would.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::rules::{Rules, compile};
use crate::state::aliases::RoleAlias;
use crate::state::rules::StoredRule;
use crate::state::{Store, StoreResult};
use crate::template::Resources;

const MAX_POLICY_VERSIONS: usize = 5;

/// Policies, role aliases and rules.
pub fn apply(store: &Store, resources: &Resources, now: DateTime<Utc>) -> anyhow::Result<()> {
    for policy in &resources.iot_policies {
        put_policy(store, &policy.name, &policy.document.to_string(), now.timestamp())?;
    }
    for alias in &resources.role_aliases {
        let known = store.role_alias(&alias.alias)?;
        store.put_role_alias(&RoleAlias {
            alias: alias.alias.clone(),
            role_arn: alias.role_arn.clone(),
            duration: i64::from(alias.duration_seconds),
            created: known.map_or(now.timestamp(), |known| known.created),
            modified: now.timestamp(),
        })?;
    }
    let rules = store.rules()?;
    for rule in &resources.topic_rules {
        let payload = json!({
            "sql": rule.sql, "awsIotSqlVersion": rule.sql_version, "ruleDisabled": rule.disabled,
            "actions": rule.actions, "errorAction": rule.error_action,
        });
        let known = rules.iter().find(|known| known.name == rule.name);
        let stored = StoredRule {
            name: rule.name.clone(),
            sql: rule.sql.clone(),
            payload: payload.to_string(),
            disabled: rule.disabled,
            created: known.map_or(now.timestamp(), |known| known.created),
        };
        compile(&stored).map_err(|error| anyhow::anyhow!("rule {}: {error}", rule.name))?;
        store.put_rule(&stored)?;
    }
    Ok(())
}

/// The HTTP destinations. Answers what only exists now, by `LogicalId.Attribute`.
pub fn destinations(
    store: &Store,
    rules: &Rules,
    resources: &Resources,
    now: DateTime<Utc>,
) -> StoreResult<BTreeMap<String, String>> {
    let mut attributes = BTreeMap::new();
    for wanted in &resources.destinations {
        match store.destination(&wanted.arn)? {
            Some(known) if known.url == wanted.confirmation_url && known.status == "ENABLED" => {}
            // Another address (ports of a laptop change), or not confirmed yet.
            Some(mut known) => {
                known.url.clone_from(&wanted.confirmation_url);
                rules.ask_again(known, now)?;
            }
            None => {
                rules.create_destination(&wanted.arn, &wanted.confirmation_url, now)?;
            }
        }
        attributes.insert(format!("{}.Arn", wanted.logical_id), wanted.arn.clone());
    }
    Ok(attributes)
}

fn put_policy(store: &Store, name: &str, document: &str, now: i64) -> StoreResult<()> {
    let versions = store.policy_versions(name)?;
    let Some(default) = versions.iter().find(|it| it.is_default) else {
        return store.create_policy(name, document, now);
    };
    if default.document == document {
        return Ok(());
    }
    if versions.len() >= MAX_POLICY_VERSIONS
        && let Some(oldest) = versions.iter().rfind(|it| !it.is_default)
    {
        store.delete_policy_version(name, oldest.version)?;
    }
    store.create_policy_version(name, document, true, now)?;
    Ok(())
}
