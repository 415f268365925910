//! Rules broken on purpose, one at a time, to show that the tests notice.
//!
//! This module exists only in the test build `--cfg twin_break`; a shipped binary has no way to weaken a check.
//! The rule is chosen per thread, so that simulations can run side by side.

use std::cell::RefCell;

thread_local! {
    static RULE: RefCell<Option<String>> = RefCell::new(std::env::var("TWIN_BREAK").ok());
}

/// Breaks `rule` for this thread, or mends everything.
pub fn set(rule: Option<&str>) {
    RULE.with(|current| *current.borrow_mut() = rule.map(str::to_owned));
}

/// Whether `rule` is broken in this thread.
pub fn is(rule: &str) -> bool {
    RULE.with(|current| current.borrow().as_deref() == Some(rule))
}
