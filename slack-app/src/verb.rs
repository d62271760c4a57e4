//! The names of what can be done by a button. A button carries only one of these and an id.

/// `about` is a box.
pub const STATUS: &str = "status";
pub const LAN: &str = "lan";
pub const HISTORY: &str = "history";
pub const ROLLBACK: &str = "rollback";
pub const CSV: &str = "csv";
pub const PASSWORD: &str = "password_page";

/// `about` is a change.
pub const CANCEL: &str = "cancel";
pub const RETRY: &str = "retry";
pub const APPROVE: &str = "approve";
pub const REJECT: &str = "reject";

/// `about` is nothing.
pub const PENDING: &str = "pending";
pub const APPROVALS: &str = "approvals";
pub const HELP: &str = "help";
pub const REFRESH: &str = "refresh";

/// A box was chosen, in the modal whose metadata says what for; `about` is the box.
pub const CHOOSE: &str = "choose";
/// The way to get an address was chosen in the LAN form.
pub const MODE: &str = crate::lan_view::field::MODE;
/// At once or at a time was chosen.
pub const WHEN: &str = crate::lan_view::field::WHEN;

/// The buttons that need nothing but to be answered: everything that a message or a view may hold.
pub const ALL: [&str; 17] = [
    STATUS, LAN, HISTORY, ROLLBACK, CSV, PASSWORD, CANCEL, RETRY, APPROVE, REJECT, PENDING, APPROVALS, HELP,
    REFRESH, CHOOSE, MODE, WHEN,
];
