//! Sound records behind a damaged place: what would be lost by cutting there.
//!
//! They are looked for at every offset, because damage may have taken the framing with it. They are counted,
//! never used: a history with a hole is no history.

use crate::store::Files;
use crate::store::files::Mode;
use crate::store::format::log::{self, Step};
use crate::tools::failure::Failure;
use crate::types::Zxid;
use serde::Serialize;
use std::path::Path;

/// What is read at once.
const WINDOW: usize = 1024 * 1024;

/// Sound records behind damage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(in crate::tools) struct Behind {
    pub(in crate::tools) records: u64,
    pub(in crate::tools) first: Option<String>,
    pub(in crate::tools) last: Option<String>,
    /// The search was ended: too much looked like a record without being one.
    pub(in crate::tools) incomplete: bool,
}

/// Looks for them behind `from`.
pub(super) fn behind(files: &dyn Files, path: &Path, from: u64, limit: usize) -> Result<Behind, Failure> {
    let file = files.open(path, Mode::Read).map_err(|e| Failure::io("open", path, &e))?;
    let len = file.len().map_err(|e| Failure::io("read", path, &e))?;
    let mut found = Behind::default();
    // A hostile file could make every offset look like a record: work is bounded by a multiple of its size.
    let mut budget = len.saturating_mul(4).saturating_add(limit as u64);
    let mut window = vec![0; WINDOW.saturating_add(limit).saturating_add(log::FRAME_LEN)];
    let mut base = from.saturating_add(1);
    while base < len {
        let n = file.read_at(base, &mut window).map_err(|e| Failure::io("read", path, &e))?;
        let bytes = window.get(..n).unwrap_or_default();
        let last_window = base + n as u64 >= len;
        let mut at = 0;
        while at < n && (at < WINDOW || last_window) {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(length) = plausible(rest, limit) else {
                at += 1;
                continue;
            };
            let Some(left) = budget.checked_sub(length as u64) else {
                found.incomplete = true;
                return Ok(found);
            };
            budget = left;
            match log::step(rest, limit) {
                Step::Record { zxid, len } => {
                    found.add(zxid);
                    at += len + log::FRAME_LEN;
                }
                _ => at += 1,
            }
        }
        base += at.max(1) as u64;
    }
    Ok(found)
}

impl Behind {
    fn add(&mut self, zxid: Zxid) {
        self.records += 1;
        self.first.get_or_insert_with(|| zxid.to_string());
        self.last = Some(zxid.to_string());
    }
}

/// Could a record stand here? Looks at little, so that a checksum is taken only where one may match.
fn plausible(rest: &[u8], limit: usize) -> Option<usize> {
    let (sum, after) = rest.split_first_chunk::<8>()?;
    let length = i32::from_be_bytes(*after.first_chunk::<4>()?);
    let length = usize::try_from(length).ok().filter(|n| (log::TXN_HEADER_LEN..=limit).contains(n))?;
    let small = i64::from_be_bytes(*sum) >> 32 == 0;
    (small && rest.get(log::PREFIX_LEN + length) == Some(&log::END)).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::SimFiles;

    #[test]
    fn records_behind_damage_are_counted_wherever_they_are() {
        let mut bytes = log::header().to_vec();
        for zxid in 1..=4000i64 {
            let mut payload = vec![0; 12];
            payload.extend_from_slice(&zxid.to_be_bytes());
            payload.extend_from_slice(&[7; 600]);
            log::push_record(&mut bytes, &payload);
        }
        assert!(bytes.len() > 2 * WINDOW);
        let sim = SimFiles::new();
        sim.create_dirs(Path::new("/d")).unwrap();
        let path = Path::new("/d/log.1");
        // Three records are torn out of the framing.
        bytes.drain(20..1900);
        bytes.extend_from_slice(&[0; 5000]);
        sim.plant(path, &bytes);
        let found = behind(&sim, path, 16, 10_000).unwrap();
        assert_eq!(
            found,
            Behind {
                records: 3997,
                first: Some("0x4".into()),
                last: Some("0xfa0".into()),
                incomplete: false
            }
        );
        assert_eq!(behind(&sim, path, bytes.len() as u64, 10_000).unwrap(), Behind::default());
    }
}
