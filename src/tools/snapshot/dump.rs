//! `quoll snapshot dump`: every node as the reference's SnapshotFormatter prints it, and every session.
//!
//! Two passes, so that the number of nodes can stand first without the tree being held.

use super::scan::{Source, Stopped};
use crate::report::java::Zone;
use crate::store::format::snapshot::{Item, Node};
use crate::store::{RealFiles, Trailer};
use crate::tools::failure::{FINE, FOUND, Failure};
use crate::tools::output::{Meter, Out};
use crate::types::Owner;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jute::records::data::Acl;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(in crate::tools) fn dump(
    out: &mut Out<'_>,
    file: &Path,
    data: bool,
    limit: usize,
) -> Result<u8, Failure> {
    let source = Source::open(Arc::new(RealFiles), file, limit)?;
    let mut first = FirstPass::default();
    let mut meter = Meter::new(format!("reading {}", file.display()), source.len);
    // How it ends is judged in the second pass.
    let _ = source.walk(&mut |item| first.take(item), &mut |read| meter.at(read))?;
    meter.finish();

    out.line(format_args!("ZNode Details (count={}):", first.nodes))?;
    let zone = Zone::of_this_machine();
    let end = source.walk(
        &mut |item| match item {
            Item::Node(node) => tell_node(out, &node, data, &zone, &first),
            _ => Ok(()),
        },
        &mut |_| {},
    )?;
    tell_rest(out, &source, &first, &end)?;
    match end {
        Ok(_) => Ok(FINE),
        Err(stopped) => {
            out.line(format_args!(
                "DAMAGED at offset {} of the unpacked stream: {}; what is shown came before",
                stopped.offset, stopped.why
            ))?;
            Ok(FOUND)
        }
    }
}

/// What must be known before the first node is printed.
#[derive(Default)]
struct FirstPass {
    nodes: u64,
    sessions: BTreeMap<i64, (i32, u64)>,
    acls: BTreeMap<i64, Value>,
}

impl FirstPass {
    fn take(&mut self, item: Item<'_>) -> Result<(), Failure> {
        match item {
            Item::Session(id, timeout) => {
                self.sessions.insert(id.0, (timeout, 0));
            }
            Item::Acl(id, list) => {
                self.acls.insert(id, acl_value(&list));
            }
            Item::Node(node) => {
                self.nodes += 1;
                if let Owner::Ephemeral(session) = Owner::unpack(node.stat.ephemeral_owner, true)
                    && let Some((_, ephemerals)) = self.sessions.get_mut(&session.0)
                {
                    *ephemerals += 1;
                }
            }
            Item::End(_) => {}
        }
        Ok(())
    }
}

fn acl_value(list: &[Acl<'_>]) -> Value {
    let one = |acl: &Acl<'_>| json!({ "perms": acl.perms, "scheme": acl.id.scheme, "id": acl.id.id });
    list.iter().map(one).collect()
}

fn tell_node(
    out: &mut Out<'_>,
    node: &Node<'_>,
    data: bool,
    zone: &Zone,
    first: &FirstPass,
) -> Result<(), Failure> {
    let path = if node.path.is_empty() { "/" } else { &*node.path };
    let s = &node.stat;
    if out.json {
        let mut value = json!({
            "path": path, "czxid": s.czxid, "mzxid": s.mzxid, "pzxid": s.pzxid, "ctime": s.ctime,
            "mtime": s.mtime, "version": s.version, "cversion": s.cversion, "aversion": s.aversion,
            "ephemeral_owner": format!("{:#x}", s.ephemeral_owner),
            "data_length": node.data.map(<[u8]>::len),
            "acl": match node.acl {
                -1 => json!([{ "perms": 31, "scheme": "world", "id": "anyone" }]),
                id => first.acls.get(&id).cloned().unwrap_or(Value::Null),
            },
        });
        if let (true, Some(object)) = (data, value.as_object_mut()) {
            object.insert("data".into(), node.data.map(|d| BASE64.encode(d)).into());
        }
        return out.value(&value);
    }
    out.line("----")?;
    out.line(path)?;
    out.line(format_args!("  cZxid = 0x{:014x}", s.czxid))?;
    out.line(format_args!("  ctime = {}", zone.date(s.ctime)))?;
    out.line(format_args!("  mZxid = 0x{:014x}", s.mzxid))?;
    out.line(format_args!("  mtime = {}", zone.date(s.mtime)))?;
    out.line(format_args!("  pZxid = 0x{:014x}", s.pzxid))?;
    out.line(format_args!("  cversion = {}", s.cversion))?;
    out.line(format_args!("  dataVersion = {}", s.version))?;
    out.line(format_args!("  aclVersion = {}", s.aversion))?;
    out.line(format_args!("  ephemeralOwner = 0x{:014x}", s.ephemeral_owner))?;
    match (data, node.data) {
        (true, bytes) => out.line(format_args!("  data = {}", BASE64.encode(bytes.unwrap_or_default()))),
        (false, bytes) => out.line(format_args!("  dataLength = {}", bytes.map_or(0, <[u8]>::len))),
    }
}

fn tell_rest(
    out: &mut Out<'_>,
    source: &Source,
    first: &FirstPass,
    end: &Result<Trailer, Stopped>,
) -> Result<(), Failure> {
    if out.json {
        for (id, (timeout, ephemerals)) in &first.sessions {
            let id = format!("{id:#x}");
            out.value(&json!({ "session": id, "timeout": timeout, "ephemerals": ephemerals }))?;
        }
        let trailer = end.as_ref().ok().copied().unwrap_or_default();
        return out.value(&json!({
            "end": end.is_ok(),
            "zxid": source.zxid.map(|z| z.to_string()),
            "nodes": first.nodes,
            "last_zxid": trailer.last_zxid.map(|z| z.to_string()),
            "digest_zxid": trailer.digest.map(|d| d.zxid.to_string()),
            "digest": trailer.digest.map(|d| format!("{:x}", d.value)),
            "fault": end.as_ref().err().map(|s| &s.why),
            "offset": end.as_ref().err().map(|s| s.offset),
        }));
    }
    out.line("----")?;
    out.line("Session Details (sid, timeout, ephemeralCount):")?;
    for (id, (timeout, ephemerals)) in &first.sessions {
        out.line(format_args!("{id:#x}, {timeout}, {ephemerals}"))?;
    }
    out.line("----")?;
    match source.zxid {
        Some(zxid) => out.line(format_args!("Last zxid: {zxid}")),
        None => out.line("Last zxid: unknown, the file is not named as a snapshot"),
    }
}
