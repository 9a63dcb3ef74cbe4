//! A start of a server, without consequences: what it would load, cut, remove and refuse.

use super::observe::{Intent, Observed};
use super::output::Meter;
use super::place::Place;
use crate::rebuild::Rebuild;
use crate::state::Machine;
use crate::state::machine::Settings;
use crate::store::{DataDir, Files, Recovered, StoreError, epochs, recover};
use std::sync::Arc;

/// Nodes with a time to live are told apart from ephemerals whatever the server's setting is.
const SETTINGS: Settings = Settings { hash_seed: 0, extended_types: true, digest: true };

/// What a start would come to.
pub(super) struct Rehearsal {
    /// What recovery found, or why a server would refuse.
    pub(super) outcome: Result<Recovered, StoreError>,
    /// The state at the end of the history.
    pub(super) machine: Option<Machine>,
    /// What an ensemble member would say of its epoch files; `None` where there are none.
    pub(super) epochs: Option<Result<epochs::Epochs, StoreError>>,
    /// What would happen to the files.
    pub(super) intents: Vec<Intent>,
}

/// Rehearses a start on these directories.
pub(super) fn rehearse(place: &Place, files: Arc<dyn Files>) -> Rehearsal {
    let observed = Arc::new(Observed::over(files));
    let dir = DataDir::unlocked(Arc::clone(&observed) as Arc<dyn Files>, &place.options);
    let mut rebuild = Rebuild::new(SETTINGS);
    let mut meter = Meter::new("", 0);
    let outcome = recover::recover(&dir, &place.options, &mut rebuild, &mut |at| meter.recovery(at));
    meter.finish();
    let intents = observed.intents();
    let present = |file| !matches!(epochs::read(&dir, file), Ok(None));
    let member = present(epochs::EpochFile::Current) || present(epochs::EpochFile::Accepted);
    let epochs = match &outcome {
        Ok(found) if member => Some(epochs::load(&dir, found.last_zxid)),
        Err(_) if member => {
            let both = epochs::read(&dir, epochs::EpochFile::Accepted)
                .and_then(|a| Ok((a, epochs::read(&dir, epochs::EpochFile::Current)?)));
            both.err().map(Err)
        }
        _ => None,
    };
    Rehearsal { outcome, machine: rebuild.machine_found(), epochs, intents }
}
