//! What can be wrong with the log, told by the first row that it is wrong with.

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Fault {
    #[error("row {seq} is missing")]
    Missing { seq: i64 },
    #[error("row {seq} is missing: its entry {entry_id} is gone")]
    EntryMissing { seq: i64, entry_id: i64 },
    #[error("row {seq} (entry {entry_id}) is not what was written")]
    Altered { seq: i64, entry_id: i64 },
    #[error(
        "the log was cut off: row {seq} is the first that is missing, and the checkpoint of row {checkpoint} knows of it"
    )]
    Truncated { seq: i64, checkpoint: i64 },
    /// The rows' hashes fit each other and not the checkpoints.
    #[error("the log was written anew: from some row between {seq} and {until} on it is not what was signed")]
    Rewritten { seq: i64, until: i64 },
    #[error("the checkpoint of row {seq} was not signed by a key that is trusted")]
    Forged { seq: i64 },
    #[error("entry {entry_id} was put in beside the chain")]
    Stray { entry_id: i64 },
}

impl Fault {
    /// The row that it is told by.
    pub fn seq(&self) -> Option<i64> {
        match self {
            Self::Missing { seq }
            | Self::EntryMissing { seq, .. }
            | Self::Altered { seq, .. }
            | Self::Truncated { seq, .. }
            | Self::Rewritten { seq, .. }
            | Self::Forged { seq } => Some(*seq),
            Self::Stray { .. } => None,
        }
    }
}
