//! What stands in the data directories: each format by itself, and all of them together through a recovery.

use bytes::Bytes;
use jute::records::data::StatPersisted;
use quoll::rebuild::Rebuild;
use quoll::state::{DecodedTxn, Loader, Machine, Settings, TreeView as _};
use quoll::store::files::SimFiles;
use quoll::store::format::compress::Unpacked;
use quoll::store::format::snapshot::{Decoder, Encoder, Fault, Item, Step};
use quoll::store::format::{epoch, log, mark, names};
use quoll::store::log_reader::{LogCursor, Next};
use quoll::store::{Compression, Files, Store, StoreOptions, Trailer};
use quoll::types::{Millis, SessionId, Zxid};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// The longest item that the targets let in, so that inputs of their size can exceed it.
const LIMIT: usize = 16 * 1024;

/// The most that a packed snapshot is unpacked to.
const UNPACKED: u64 = 4 * 1024 * 1024;

pub(super) fn settings() -> Settings {
    Settings { hash_seed: 7, extended_types: true, digest: true }
}

/// One transaction. Replayed, it changes a tree the same way twice, or not at all.
pub(super) fn transactions(input: &[u8]) {
    let read = DecodedTxn::parse(input);
    let mut one = Machine::new(settings());
    let mut two = Machine::new(settings());
    for _ in 0..2 {
        assert_eq!(one.replay(input).is_ok(), read.is_ok());
        _ = two.replay(input);
    }
    assert_eq!(one.digest(), two.digest());
    if let Ok(txn) = &read {
        assert!(one.last_zxid().0 >= txn.header.zxid.min(one.last_zxid().0));
    }
}

/// A log file, at once and through the cursor.
pub(super) fn log(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    let (found, end) = log::scan(&bytes, LIMIT);
    for record in &found {
        assert!(record.payload.len() <= LIMIT);
        assert_eq!(log::payload_zxid(&record.payload), Some(record.zxid));
        _ = DecodedTxn::parse(&record.payload);
    }
    let mut written = log::header().to_vec();
    for record in &found {
        log::push_record(&mut written, &record.payload);
    }
    if !found.is_empty() {
        assert_eq!(
            written[log::HEADER_LEN..],
            input[log::HEADER_LEN..written.len()],
            "sound records are copied"
        );
    }
    let files = SimFiles::new();
    let path = Path::new("/data/version-2/log.1");
    files.plant(path, input);
    let Ok(mut cursor) = LogCursor::open(&files, path, LIMIT) else { return };
    for (i, wanted) in found.iter().enumerate() {
        match cursor.step() {
            Ok(Next::Record(record)) => assert_eq!(record, *wanted),
            other => panic!("record {i}: the cursor finds {other:?}"),
        }
    }
    assert!(matches!(cursor.step(), Ok(Next::End)));
    assert_eq!(cursor.judge().ok(), Some(end), "the cursor's judgement");
}

/// Everything that a snapshot holds, or why it is none.
#[derive(Debug, Default, PartialEq)]
struct Content {
    sessions: Vec<(SessionId, i32)>,
    acls: usize,
    nodes: Vec<(String, usize, i64, StatPersisted)>,
    end: Option<Trailer>,
    fault: Option<Fault>,
}

/// Reads it in windows of a size.
fn content(input: &[u8], window: usize, loader: &mut Option<Loader>) -> Content {
    let mut content = Content::default();
    let mut decoder = Decoder::new(LIMIT);
    let (mut from, mut till) = (0, window.min(input.len()));
    loop {
        let step = match decoder.step(&input[from..till], till == input.len()) {
            Ok(step) => step,
            Err(fault) => {
                content.fault = Some(fault);
                return content;
            }
        };
        match step {
            Step::More if till == input.len() => panic!("it asks for more behind the end"),
            Step::More => {
                let used = decoder.used();
                decoder.advance(&input[from..till]);
                from += used;
                till = (till + window).min(input.len());
            }
            Step::Item(Item::Session(id, timeout)) => {
                content.sessions.push((id, timeout));
                if let Some(loader) = loader {
                    loader.session(id, Millis(timeout.into()));
                }
            }
            Step::Item(Item::Acl(id, list)) => {
                content.acls += 1;
                if let Some(loader) = loader {
                    loader.acl(id, &list);
                }
            }
            Step::Item(Item::Node(node)) => {
                if let Some(into) = loader
                    && into.node(&node.path, node.data, node.acl, &node.stat).is_err()
                {
                    *loader = None;
                }
                let data = node.data.map_or(0, <[u8]>::len);
                content.nodes.push((node.path.into_owned(), data, node.acl, node.stat));
            }
            Step::Item(Item::End(trailer)) => {
                content.end = Some(trailer);
                return content;
            }
        }
    }
}

/// The first byte says how it is packed and in which windows it is read.
pub(super) fn snapshot(input: &[u8]) {
    let Some((choice, packed)) = input.split_first() else { return };
    let how = [Compression::Plain, Compression::Plain, Compression::Gzip, Compression::Snappy]
        [usize::from(choice & 3)];
    let mut plain = Vec::new();
    if Unpacked::new(packed, how).take(UNPACKED).read_to_end(&mut plain).is_err() {
        return;
    }
    let mut loader = Some(Loader::new(settings()));
    let whole = content(&plain, plain.len().max(1), &mut loader);
    if plain.len() < LIMIT {
        let pieces = content(&plain, 1 + usize::from(choice >> 2) * 7, &mut None);
        assert_eq!(pieces, whole, "in pieces and at once");
    }
    let Some(trailer) = whole.end else { return };
    if let Some(loader) = loader {
        let machine = loader.finish(1);
        assert!(machine.node_count() >= whole.nodes.len());
    }
    // What was read can be written, and reads the same.
    let mut encoder = Encoder::new(&whole.sessions, &[]);
    for (path, data, acl, stat) in &whole.nodes {
        encoder.node(path, Some(&vec![7; *data]), *acl, stat);
    }
    encoder.finish(&trailer);
    let again = content(encoder.buffered(), 1 << 20, &mut None);
    let beyond =
        |(path, ..): &(String, usize, i64, StatPersisted)| path.chars().any(|c| u32::from(c) > 0xffff);
    if !whole.nodes.iter().any(beyond)
        && !whole.nodes.iter().any(|(path, ..)| path == "/" || path.len() > LIMIT)
    {
        assert_eq!((again.sessions, again.nodes), (whole.sessions, whole.nodes));
    }
}

/// Small files, and names of large ones.
pub(super) fn epochs(input: &[u8]) {
    if let Some(number) = epoch::decode(input) {
        assert_eq!(epoch::decode(&epoch::encode(number)), Some(number));
    }
    if let Some(found) = mark::Mark::decode(input) {
        assert_eq!(found.encode().as_slice(), input);
    }
    let text = String::from_utf8_lossy(input);
    for name in text.split('\n') {
        _ = names::parse(name);
        _ = Compression::of_name(name);
        _ = Compression::from_setting(name);
        for (zxid, written) in [
            names::log_zxid(name).map(|z| (z, names::log(z))),
            names::snapshot_zxid(name).map(|z| (z, names::snapshot(z, Compression::of_name(name)))),
        ]
        .into_iter()
        .flatten()
        {
            let again = names::log_zxid(&written).or(names::snapshot_zxid(&written));
            assert_eq!(again, Some(zxid), "{name:?}, written as {written:?}");
        }
    }
}

/// A byte for what there is, then files with their lengths in front. Recovery refuses or gives a tree, and gives
/// the same the second time.
pub(super) fn recovery(input: &[u8]) {
    let Some((_, mut rest)) = input.split_first() else { return };
    let files = SimFiles::new();
    let dir = Path::new("/data/version-2");
    let named =
        ["snapshot.0", "log.1", "acceptedEpoch", "currentEpoch", "snapshot.2", "log.3", "snapshot.5.snappy"];
    for name in named {
        let Some((length, after)) = rest.split_first_chunk::<2>() else { break };
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        if length > 0 {
            files.plant(&dir.join(name), &after[..length]);
        }
        rest = &after[length..];
    }
    let files: Arc<dyn Files> = Arc::new(files);
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let mut options = StoreOptions::new("/data", "/data");
        options.limit = LIMIT;
        let Ok(opened) = Store::open(Arc::clone(&files), options) else { return };
        let mut tree = Rebuild::new(settings());
        let outcome = opened.recover(&mut tree, &mut |_| {});
        _ = opened.epochs(Zxid(1));
        outcomes.push(match outcome {
            Ok(found) => {
                let machine = tree.finish();
                (found.last_zxid.0, machine.digest(), machine.node_count())
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                (i64::MIN, None, 0)
            }
        });
    }
    assert_eq!(outcomes.first(), outcomes.last(), "the second start finds what the first one left");
}
