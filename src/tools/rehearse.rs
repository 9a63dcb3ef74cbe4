//! A start of a server, without consequences: what it would load, cut, remove and refuse.

use super::observe::{Intent, Observed};
use super::output::Meter;
use super::place::Place;
use crate::state::machine::Settings;
use crate::state::{Loader, Machine};
use crate::store::{DataDir, Files, Recovered, Restore, StoreError, Trailer, epochs, recover};
use crate::types::{Entry, Millis, SessionId, Zxid};
use jute::records::data::{Acl, StatPersisted};
use std::sync::Arc;

/// Nodes with a time to live are told apart from ephemerals whatever the server's setting is.
const SETTINGS: Settings = Settings { hash_seed: 0, extended_types: true, digest: true };

/// A state being rebuilt.
#[derive(Default)]
struct Rebuild {
    loader: Option<Loader>,
    machine: Option<Machine>,
}

impl Rebuild {
    fn loader(&mut self) -> &mut Loader {
        self.loader.get_or_insert_with(|| Loader::new(SETTINGS))
    }
}

impl Restore for Rebuild {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn session(&mut self, id: SessionId, timeout: i32) {
        self.loader().session(id, Millis(timeout.into()));
    }

    fn acl(&mut self, id: i64, list: &[Acl<'_>]) -> Result<(), String> {
        self.loader().acl(id, list);
        Ok(())
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), String> {
        self.loader().node(path, data, acl, stat).map_err(|e| e.to_string())
    }

    fn snapshot(&mut self, zxid: Zxid, trailer: &Trailer) -> Result<(), String> {
        let mut loader = self.loader.take().unwrap_or_else(|| Loader::new(SETTINGS));
        if let Some(digest) = &trailer.digest {
            loader.digest(digest.zxid.0, digest.value.cast_unsigned());
        }
        self.machine = Some(loader.finish(zxid.0));
        Ok(())
    }

    fn txn(&mut self, entry: Entry) -> Result<(), String> {
        let machine = self.machine.get_or_insert_with(|| Machine::new(SETTINGS));
        machine.replay(&entry.payload).map(drop).map_err(|e| e.to_string())
    }
}

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
    let mut rebuild = Rebuild::default();
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
    Rehearsal { outcome, machine: rebuild.machine, epochs, intents }
}
