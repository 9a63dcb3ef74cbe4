//! `quoll purge`: what the running server's own purge does, by hand.

use super::cli::PurgeArgs;
use super::failure::{FINE, Failure};
use super::observe::Observed;
use super::output::{Out, count, size};
use super::place::Place;
use crate::store::{Files, RealFiles, purge as rules};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) fn purge(out: &mut Out<'_>, args: &PurgeArgs, limit: usize) -> Result<u8, Failure> {
    let place = Place::new(&args.directories.data_dir, args.directories.log_dir.as_deref(), limit);
    let real: Arc<dyn Files> = Arc::new(RealFiles);
    place.refuse_strays(&*real)?;
    let mut lengths: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for folder in place.folders() {
        let listed = real.list(&folder).unwrap_or_default();
        lengths.extend(listed.into_iter().map(|f| (folder.join(f.name), f.len)));
    }
    let files: Arc<dyn Files> =
        if args.dry_run { Arc::new(Observed::over(Arc::clone(&real))) } else { Arc::clone(&real) };
    let keep = usize::try_from(args.keep).unwrap_or(usize::MAX);
    let dir = place.open(files)?;
    let gone = rules::purge(&dir, keep)?;
    let freed: u64 = gone.iter().filter_map(|path| lengths.get(path)).sum();
    let verb = if args.dry_run { "would remove" } else { "removed" };
    for path in &gone {
        out.line(format_args!(
            "{verb} {} ({})",
            path.display(),
            size(lengths.get(path).copied().unwrap_or_default())
        ))?;
    }
    out.line(format_args!("{verb} {}, {}", count(gone.len() as u64, "file"), size(freed)))?;
    out.document(&serde_json::json!({
        "dry_run": args.dry_run,
        "keep": keep,
        "removed": gone,
        "bytes": freed,
    }))?;
    Ok(FINE)
}
