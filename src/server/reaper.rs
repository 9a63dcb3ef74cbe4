//! Containers whose last child is gone and TTL nodes whose time is up (`ContainerManager`). It only points at
//! them: the delete is ordered and validated like any other, and fails silently if somebody was faster.

use super::core::Core;
use std::sync::Arc;
use std::time::Duration;

/// How often to look, and how fast to delete.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReaperSettings {
    pub(super) every: Duration,
    pub(super) max_per_minute: u32,
    pub(super) never_used_ms: i64,
}

pub(super) async fn run(core: Arc<Core>, settings: ReaperSettings) {
    let pause = Duration::from_millis(60_000 / u64::from(settings.max_per_minute.max(1)));
    tracing::info!(
        "Using checkIntervalMs={} maxPerMinute={} maxNeverUsedIntervalMs={}",
        settings.every.as_millis(),
        settings.max_per_minute,
        settings.never_used_ms,
    );
    loop {
        tokio::time::sleep(settings.every).await;
        // Whoever else decides looks for itself.
        if !core.decides() {
            continue;
        }
        for path in candidates(&core, settings.never_used_ms) {
            tracing::info!("Attempting to delete candidate container: {path}");
            core.reap(&path);
            tokio::time::sleep(pause).await;
        }
    }
}

fn candidates(core: &Core, never_used_ms: i64) -> Vec<Box<str>> {
    let wall = core.clock.now().wall;
    core.shared.read(|machine| {
        let mut paths = machine.container_candidates(wall, never_used_ms);
        paths.extend(machine.ttl_candidates(wall));
        paths
    })
}
