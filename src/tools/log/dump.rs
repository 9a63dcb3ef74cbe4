//! `quoll log dump`: a line for each transaction.

use super::examine::walk;
use super::text;
use crate::report::java::Zone;
use crate::state::DecodedTxn;
use crate::store::RealFiles;
use crate::store::format::log::{HEADER_LEN, LogEnd};
use crate::tools::failure::{FINE, FOUND, Failure};
use crate::tools::output::Out;
use serde_json::json;
use std::path::{Path, PathBuf};

pub(in crate::tools) fn dump(out: &mut Out<'_>, files: &[PathBuf], limit: usize) -> Result<u8, Failure> {
    let mut code = FINE;
    for path in files {
        if files.len() > 1 {
            out.line(format_args!("{}:", path.display()))?;
        }
        code = code.max(one(out, path, limit)?);
    }
    Ok(code)
}

fn one(out: &mut Out<'_>, path: &Path, limit: usize) -> Result<u8, Failure> {
    let zone = Zone::of_this_machine();
    let mut records = 0u64;
    let mut undecodable = 0u64;
    if let Some((version, dbid)) = header(path)? {
        out.line(format_args!(
            "ZooKeeper Transactional Log File with dbid {dbid} txnlog format version {version}"
        ))?;
    }
    let (end, _) = walk(&RealFiles, path, limit, &mut |record| {
        records += 1;
        match DecodedTxn::parse(&record.payload) {
            Ok(txn) if out.json => out.value(&text::value(&txn, record.offset)),
            Ok(txn) => out.line(text::line(&txn, &zone)),
            Err(why) => {
                undecodable += 1;
                out.line(format_args!(
                    "NO TRANSACTION at offset {}: zxid {}, {why}",
                    record.offset, record.zxid
                ))?;
                out.value(&json!({
                    "offset": record.offset, "zxid": record.zxid.to_string(), "fault": why.to_string(),
                }))
            }
        }
    })?;
    let (name, fault) = match end {
        LogEnd::Clean(_) => {
            out.line(format_args!("EOF reached after {records} txns."))?;
            ("clean", None)
        }
        LogEnd::TornTail(at) => {
            out.line(format_args!(
                "TORN at offset {at} after {records} txns: the last write was never completed."
            ))?;
            ("torn", None)
        }
        LogEnd::Corrupt(at, why) => {
            out.line(format_args!(
                "DAMAGED at offset {at} after {records} txns: {why}; `quoll log repair {}` tells what is behind.",
                path.display()
            ))?;
            ("damaged", Some(why.to_string()))
        }
    };
    out.value(&json!({
        "file": path, "end": name, "offset": end.offset(), "records": records, "fault": fault,
    }))?;
    let damaged = undecodable > 0 || matches!(end, LogEnd::Corrupt(..));
    Ok(if damaged { FOUND } else { FINE })
}

/// Version and dbid, where there is a header.
fn header(path: &Path) -> Result<Option<(i32, i64)>, Failure> {
    use crate::store::Files as _;
    let file =
        RealFiles.open(path, crate::store::files::Mode::Read).map_err(|e| Failure::io("open", path, &e))?;
    let mut bytes = [0; HEADER_LEN];
    let n = file.read_at(0, &mut bytes).map_err(|e| Failure::io("read", path, &e))?;
    if n < HEADER_LEN || !crate::store::format::log::is_header(&bytes) {
        return Ok(None);
    }
    let mut r = jute::Reader::new(&bytes);
    let fields = r.i32().and_then(|_| Ok((r.i32()?, r.i64()?)));
    Ok(fields.ok())
}
