//! A transaction as one line, in the words of the reference's TxnLogToolkit, and as JSON.
//!
//! Where that tool breaks lines or prints bytes as they are, here everything stays on the line: data that is
//! text is shown as text with escapes, other data as `base64:...`.

use crate::report::java::Zone;
use crate::state::Body;
use crate::state::txn::{Create, DecodedTxn};
use crate::types::Owner;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jute::OpCode;
use jute::records::data::Acl;
use serde_json::{Map, Value, json};

/// What the reference calls a type.
const fn op_name(op: OpCode) -> &'static str {
    match op {
        OpCode::Create => "create",
        OpCode::Create2 => "create2",
        OpCode::CreateTtl => "createTTL",
        OpCode::CreateContainer => "createContainer",
        OpCode::Delete => "delete",
        OpCode::DeleteContainer => "deleteContainer",
        OpCode::SetData => "setData",
        OpCode::Reconfig => "reconfig",
        OpCode::SetAcl => "setACL",
        OpCode::Check => "check",
        OpCode::Multi => "multi",
        OpCode::CreateSession => "createSession",
        OpCode::CloseSession => "closeSession",
        OpCode::Error => "error",
        _ => "unknown",
    }
}

/// The whole line.
pub(super) fn line(txn: &DecodedTxn<'_>, zone: &Zone) -> String {
    let h = &txn.header;
    format!(
        "{} session {:#x} cxid {:#x} zxid {:#x} {} {}",
        zone.short_date(h.time),
        h.client_id,
        h.cxid,
        h.zxid,
        op_name(txn.body.op()),
        body(&txn.body)
    )
    .trim_end()
    .to_owned()
}

fn body(body: &Body<'_>) -> String {
    match body {
        Body::CreateSession(timeout) => timeout.0.to_string(),
        Body::CloseSession(None) => String::new(),
        Body::CloseSession(Some(paths)) => {
            let paths: Vec<String> = paths.iter().map(|p| escaped(p)).collect();
            format!("[{}]", paths.join(","))
        }
        Body::Error(code) => code.code().to_string(),
        Body::Create(create) => created(create),
        Body::Delete(_, path) => escaped(path),
        Body::SetData(_, path, bytes, version) => format!("{},{},{version}", escaped(path), data(*bytes)),
        Body::SetAcl(path, acl, version) => format!("{},{},{version}", escaped(path), list(acl)),
        Body::Check(path, version) => format!("{},{version}", escaped(path)),
        Body::Multi(parts) => {
            let part = |p: &Body<'_>| format!("{}:{}", op_name(p.op()), self::body(p));
            parts.iter().map(part).collect::<Vec<_>>().join(";")
        }
    }
}

fn created(create: &Create<'_>) -> String {
    let common = format!("{},{},{}", escaped(&create.path), data(create.data), list(&create.acl));
    match create.owner {
        Owner::Ttl(ttl) => format!("{common},{},{}", create.parent_cversion, ttl.0),
        Owner::Container => format!("{common},{}", create.parent_cversion),
        owner => format!("{common},{},{}", owner.session().is_some(), create.parent_cversion),
    }
}

fn list(acl: &[Acl<'_>]) -> String {
    let one = |a: &Acl<'_>| {
        let text = |t: &Option<jute::Text<'_>>| escaped(t.as_deref().unwrap_or_default());
        format!("{},s{{'{},'{}}}", a.perms, text(&a.id.scheme), text(&a.id.id))
    };
    format!("[{}]", acl.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn data(bytes: Option<&[u8]>) -> String {
    let bytes = bytes.unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')) => escaped(text),
        _ => format!("base64:{}", BASE64.encode(bytes)),
    }
}

/// Control characters and backslashes as escapes: one transaction is one line, and no terminal is fooled.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || c == '\\' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Everything, as JSON.
pub(super) fn value(txn: &DecodedTxn<'_>, offset: u64) -> Value {
    let h = &txn.header;
    let mut map = Map::new();
    map.insert("offset".into(), offset.into());
    map.insert("zxid".into(), format!("{:#x}", h.zxid).into());
    map.insert("time".into(), h.time.into());
    map.insert("session".into(), format!("{:#x}", h.client_id).into());
    map.insert("cxid".into(), h.cxid.into());
    map.append(&mut body_value(&txn.body));
    if let Some(digest) = &txn.digest {
        map.insert("digest".into(), format!("{:x}", digest.tree_digest).into());
    }
    Value::Object(map)
}

fn body_value(body: &Body<'_>) -> Map<String, Value> {
    let acls = |acl: &[Acl<'_>]| -> Value {
        acl.iter().map(|a| json!({ "perms": a.perms, "scheme": a.id.scheme, "id": a.id.id })).collect()
    };
    let data = |bytes: Option<&[u8]>| bytes.map(|b| BASE64.encode(b));
    let fields = match body {
        Body::CreateSession(timeout) => json!({ "timeout": timeout.0 }),
        Body::CloseSession(paths) => json!({ "paths": paths }),
        Body::Error(code) => json!({ "error": code.code() }),
        Body::Create(c) => {
            let mut fields = json!({
                "path": c.path, "data": data(c.data), "acl": acls(&c.acl),
                "parent_cversion": c.parent_cversion, "ephemeral": c.owner.session().is_some(),
            });
            if let (Owner::Ttl(ttl), Some(fields)) = (c.owner, fields.as_object_mut()) {
                fields.insert("ttl".into(), ttl.0.into());
            }
            fields
        }
        Body::Delete(_, path) => json!({ "path": path }),
        Body::SetData(_, path, bytes, version) => {
            json!({ "path": path, "data": data(*bytes), "version": version })
        }
        Body::SetAcl(path, acl, version) => json!({ "path": path, "acl": acls(acl), "version": version }),
        Body::Check(path, version) => json!({ "path": path, "version": version }),
        Body::Multi(parts) => json!({ "parts": parts.iter().map(body_value).collect::<Vec<_>>() }),
    };
    let mut map = Map::new();
    map.insert("type".into(), op_name(body.op()).into());
    if let Value::Object(mut fields) = fields {
        map.append(&mut fields);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use jute::records::data::Id;
    use jute::records::txn::{CreateTtlTxn, CreateTxn, ErrorTxn, MultiTxn, SetDataTxn, SubTxn, TxnHeader};
    use jute::{Record, encode};

    fn lined(op: i32, body: &impl Record<'static>) -> String {
        let mut payload =
            encode(&TxnHeader { client_id: 7, cxid: 1, zxid: 0x2f, time: 1_795_180_960_000, op });
        body.write(&mut payload);
        line(&DecodedTxn::parse(&payload).unwrap(), &Zone::utc())
    }

    fn anyone() -> Option<Vec<Acl<'static>>> {
        Some(vec![Acl { perms: 31, id: Id { scheme: Some("world".into()), id: Some("anyone".into()) } }])
    }

    #[test]
    fn lines_as_the_reference_prints_them_but_on_one_line() {
        let prefix = "11/20/26, 1:22:40 PM UTC session 0x7 cxid 0x1 zxid 0x2f ";
        let create = CreateTxn {
            path: Some("/a".into()),
            data: Some(b"x\ny"),
            acl: anyone(),
            ephemeral: true,
            parent_c_version: 3,
        };
        assert_eq!(lined(1, &create), format!("{prefix}create /a,x\\ny,[31,s{{'world,'anyone}}],true,3"));
        let ttl = CreateTtlTxn {
            path: Some("/t".into()),
            data: None,
            acl: anyone(),
            parent_c_version: 5,
            ttl: 60_000,
        };
        assert_eq!(lined(21, &ttl), format!("{prefix}createTTL /t,,[31,s{{'world,'anyone}}],5,60000"));
        assert_eq!(lined(-1, &ErrorTxn { err: -110 }), format!("{prefix}error -110"));
        let set = |data| SetDataTxn { path: Some("/a".into()), data, version: 4 };
        assert_eq!(lined(5, &set(Some(&[0xff, 0]))), format!("{prefix}setData /a,base64:/wA=,4"));
        let part: &'static [u8] = encode(&set(None)).leak();
        let txns = vec![SubTxn { op: 5, data: Some(part) }, SubTxn { op: -1, data: Some(&[0, 0, 0, 0]) }];
        assert_eq!(lined(14, &MultiTxn { txns: Some(txns) }), format!("{prefix}multi setData:/a,,4;error:0"));
    }
}
