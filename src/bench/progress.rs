//! The line on a terminal that shows that something happens. Elsewhere it is silent.

use super::options::Plan;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A line, or nothing.
#[derive(Debug)]
pub(super) struct Line(ProgressBar);

impl Line {
    /// Draws on standard error when that is a terminal.
    pub(super) fn new(plan: &Plan) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        let style = ProgressStyle::with_template("{spinner} {prefix} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(plan.workload.name());
        Self(bar)
    }

    /// Shows a message.
    pub(super) fn say(&self, message: impl Into<String>) {
        if !self.0.is_hidden() {
            self.0.set_message(message.into());
            self.0.tick();
        }
    }

    /// How often it is worth saying something.
    pub(super) const PACE: Duration = Duration::from_millis(200);
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
