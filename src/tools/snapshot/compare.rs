//! `quoll snapshot compare`: which persistent nodes came, went or changed; or, with thresholds, which subtrees
//! grew or shrank.
//!
//! Ephemerals are left out, as the reference's comparer does: they come and go with their sessions. Memory: a
//! row for each node of both files, without their data.

use super::scan::Source;
use crate::store::RealFiles;
use crate::store::format::snapshot::{Item, Node};
use crate::tools::failure::{FINE, FOUND, Failure};
use crate::tools::output::{Meter, Out, count, table};
use crate::types::Owner;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::path::Path;
use std::sync::Arc;

/// A persistent node, as far as it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leaf {
    len: u64,
    data: u64,
    acl: u64,
    version: i32,
    aversion: i32,
    czxid: i64,
}

/// Nodes by path: left and right.
type Both = BTreeMap<String, [Option<Leaf>; 2]>;

pub(in crate::tools) fn compare(
    out: &mut Out<'_>,
    left: &Path,
    right: &Path,
    bytes: Option<u64>,
    nodes: Option<u64>,
    limit: usize,
) -> Result<u8, Failure> {
    let mut both = Both::new();
    for (side, path) in [left, right].into_iter().enumerate() {
        load(path, side, limit, &mut both)?;
    }
    let different = if bytes.is_some() || nodes.is_some() {
        subtrees(out, &both, bytes.unwrap_or(u64::MAX), nodes.unwrap_or(u64::MAX))?
    } else {
        each_node(out, &both)?
    };
    Ok(if different { FOUND } else { FINE })
}

fn load(path: &Path, side: usize, limit: usize, both: &mut Both) -> Result<(), Failure> {
    let source = Source::open(Arc::new(RealFiles), path, limit)?;
    let mut meter = Meter::new(format!("reading {}", path.display()), source.len);
    let mut acls: HashMap<i64, u64, FixedState> = HashMap::default();
    let end = source.walk(
        &mut |item| {
            match item {
                Item::Acl(id, list) => {
                    let text = |t: &Option<jute::Text<'_>>| t.as_deref().unwrap_or_default().to_owned();
                    let entry =
                        |a: &jute::records::data::Acl<'_>| (a.perms, text(&a.id.scheme), text(&a.id.id));
                    let mut entries: Vec<_> = list.iter().map(entry).collect();
                    entries.sort();
                    acls.insert(id, FixedState::default().hash_one(entries.as_slice()));
                }
                Item::Node(node) if Owner::unpack(node.stat.ephemeral_owner, true).session().is_none() => {
                    let leaf = leaf(&node, &acls);
                    let sides = both.entry(node.path.into_owned()).or_default();
                    if let Some(place) = sides.get_mut(side) {
                        *place = Some(leaf);
                    }
                }
                _ => {}
            }
            Ok(())
        },
        &mut |read| meter.at(read),
    )?;
    end.map(drop).map_err(|stopped| {
        // Not a difference: the question has no answer.
        Failure::Unable(format!(
            "{} is damaged at offset {} of the unpacked stream: {}; it cannot be compared",
            path.display(),
            stopped.offset,
            stopped.why
        ))
    })
}

fn leaf(node: &Node<'_>, acls: &HashMap<i64, u64, FixedState>) -> Leaf {
    // The open list has a number of its own that stands in no table.
    let open = || FixedState::default().hash_one([(31, "world".to_owned(), "anyone".to_owned())].as_slice());
    Leaf {
        len: node.data.map_or(0, <[u8]>::len) as u64,
        data: FixedState::default().hash_one(node.data),
        acl: acls.get(&node.acl).copied().unwrap_or_else(open),
        version: node.stat.version,
        aversion: node.stat.aversion,
        czxid: node.stat.czxid,
    }
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

fn each_node(out: &mut Out<'_>, both: &Both) -> Result<bool, Failure> {
    let (mut added, mut removed, mut changed, mut same) = (Vec::new(), Vec::new(), Vec::new(), 0u64);
    for (path, sides) in both {
        let path = shown(path);
        match sides {
            [None, Some(new)] => {
                out.line(format_args!("+ {path}  {}", count(new.len, "byte")))?;
                added.push(json!({ "path": path, "bytes": new.len }));
            }
            [Some(old), None] => {
                out.line(format_args!("- {path}  {}", count(old.len, "byte")))?;
                removed.push(json!({ "path": path, "bytes": old.len }));
            }
            [Some(old), Some(new)] if old != new => {
                let (text, value) = changes(old, new);
                out.line(format_args!("~ {path}  {text}"))?;
                changed.push(json!({ "path": path, "changes": value }));
            }
            _ => same += 1,
        }
    }
    let different = !(added.is_empty() && removed.is_empty() && changed.is_empty());
    out.line(format_args!(
        "{} added, {} removed, {} changed, {same} the same (persistent nodes)",
        added.len(),
        removed.len(),
        changed.len()
    ))?;
    out.document(&json!({
        "different": different, "added": added, "removed": removed, "changed": changed, "same": same,
    }))?;
    Ok(different)
}

fn changes(old: &Leaf, new: &Leaf) -> (String, Value) {
    let mut texts = Vec::new();
    let mut value = serde_json::Map::new();
    if old.czxid != new.czxid {
        texts.push(format!("made anew (czxid {:#x} -> {:#x})", old.czxid, new.czxid));
        value.insert("czxid".into(), json!([old.czxid, new.czxid]));
    }
    if old.data != new.data {
        texts.push(format!("data {} -> {} bytes", old.len, new.len));
        value.insert("bytes".into(), json!([old.len, new.len]));
    }
    if old.version != new.version {
        texts.push(format!("version {} -> {}", old.version, new.version));
        value.insert("version".into(), json!([old.version, new.version]));
    }
    if old.acl != new.acl || old.aversion != new.aversion {
        texts.push(format!("access list, version {} -> {}", old.aversion, new.aversion));
        value.insert("aversion".into(), json!([old.aversion, new.aversion]));
    }
    (texts.join(", "), Value::Object(value))
}

/// What a subtree holds: nodes and bytes, left and right.
#[derive(Debug, Default, Clone, Copy)]
struct Sizes {
    nodes: [u64; 2],
    bytes: [u64; 2],
}

fn subtrees(out: &mut Out<'_>, both: &Both, bytes: u64, nodes: u64) -> Result<bool, Failure> {
    let mut sums: BTreeMap<&str, Sizes> = BTreeMap::new();
    for (path, sides) in both {
        let mut at = path.as_str();
        loop {
            let sum = sums.entry(at).or_default();
            for ((leaf, nodes), bytes) in sides.iter().zip(&mut sum.nodes).zip(&mut sum.bytes) {
                *nodes += u64::from(leaf.is_some());
                *bytes += leaf.map_or(0, |l| l.len);
            }
            match at.rsplit_once('/') {
                Some((parent, _)) => at = parent,
                None => break,
            }
        }
    }
    let header = ["PATH", "NODES LEFT", "RIGHT", "CHANGE", "BYTES LEFT", "RIGHT", "CHANGE"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let mut list = Vec::new();
    for (path, Sizes { nodes: [nl, nr], bytes: [bl, br] }) in &sums {
        if nl.abs_diff(*nr) <= nodes && bl.abs_diff(*br) <= bytes {
            continue;
        }
        let change = |from: u64, to: u64| i128::from(to) - i128::from(from);
        let path = shown(path);
        rows.push(vec![
            path.to_owned(),
            nl.to_string(),
            nr.to_string(),
            format!("{:+}", change(*nl, *nr)),
            bl.to_string(),
            br.to_string(),
            format!("{:+}", change(*bl, *br)),
        ]);
        list.push(json!({ "path": path, "nodes": [nl, nr], "bytes": [bl, br] }));
    }
    let different = !list.is_empty();
    if different {
        for row in table(&rows, &[1, 2, 3, 4, 5, 6]) {
            out.line(row)?;
        }
    } else {
        out.line("no subtree differs by more than that")?;
    }
    out.document(&json!({ "different": different, "subtrees": list }))?;
    Ok(different)
}
