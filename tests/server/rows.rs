//! Known failures of one server, a test for each: rows and advisories of `docs/RELIABILITY.md`.
//!
//! Not here: what a part shows by itself (unit tests), and what takes several servers (`tests/ensemble/rows.rs`).

use super::*;

/// The newest zxid.
fn zxid(server: &Server) -> i64 {
    let srvr = server.word("srvr");
    let zxid = srvr.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).expect("a zxid");
    i64::from_str_radix(zxid, 16).unwrap()
}

/// One operation of a multi, with what stands in front of it.
fn part(op: i32, body: &[u8]) -> Vec<u8> {
    [&op.to_be_bytes()[..], &[0], &(-1_i32).to_be_bytes(), body].concat()
}

/// What stands behind the last operation of a multi.
const END: &[u8] = &[255, 255, 255, 255, 1, 255, 255, 255, 255];

#[test]
fn row_29_an_operation_out_of_its_place_is_an_error_and_no_transaction() {
    let server = Server::start("");
    let check = [text("/"), vec![255; 4]].concat();
    let strangers: [(i32, &[u8]); 9] = [
        (13, &check),
        (0, &[]),
        (-1, &[0, 0, 0, 0]),
        (-10, &[0, 0, 0x75, 0x30]),
        (20, &text("/zookeeper")),
        (10, &[]),
        (77, &check),
        (i32::MAX, &[]),
        (i32::MIN, &[]),
    ];
    for (op, body) in strangers {
        let mut client = server.client();
        let before = zxid(&server);
        client.send(&ask(1, op, body));
        assert_eq!(client.reply(), (1, -6), "{op}");
        client.ends();
        assert_eq!(zxid(&server), before, "{op}");
    }
    // Inside of a multi they take all of it down.
    let made =
        [text("/made"), framed(b""), [0, 0, 0, 1, 0, 0, 0, 31].to_vec(), text("world"), text("anyone")];
    let made = part(1, &[made.concat(), vec![0; 4]].concat());
    for op in [-11, -10, -1, 0, 3, 9, 11, 14, 16, 20, 77, 100] {
        let mut client = server.client();
        client.send(&ask(1, 14, &[made.as_slice(), &part(op, &check), END].concat()));
        let (xid, error) = client.reply();
        assert!(xid == 1 && error != 0, "{op} in a multi: {error}");
        let mut other = server.client();
        other.send(&exists(1, "/made"));
        assert_eq!(other.reply(), (1, -101), "{op} in a multi");
    }
    assert_eq!(server.logged("panicked"), 0);
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.process.id())).unwrap().count()
}

#[test]
fn row_36_connections_that_end_in_any_way_leave_no_descriptor() {
    let server = Server::start("nio.sessionlessCnxnTimeout=500");
    let mut bystander = server.client();
    let half = greeting(0, &[0; 16], 30_000);
    let come_and_go = |count: usize| {
        for n in 0..count {
            match n % 6 {
                0 => drop(server.dial()),
                1 => server.dial().send(&half[..20]),
                2 => server.client().send(&ping()),
                3 => drop(server.word("ruok")),
                4 => server.dial().send(&[255; 8]),
                _ => {
                    let mut client = server.client();
                    client.send(&ask(1, -11, b""));
                    assert_eq!(client.reply(), (1, 0));
                }
            }
        }
    };
    come_and_go(30);
    std::thread::sleep(Duration::from_millis(200));
    let (before, began) = (descriptors(&server), now());
    come_and_go(600);
    while descriptors(&server) > before + 5 {
        assert!(began.elapsed() < PATIENCE, "{} descriptors, {before} before", descriptors(&server));
        std::thread::sleep(Duration::from_millis(20));
    }
    server.is_well(&mut bystander);
}

#[test]
fn cve_2017_5637_a_flood_of_four_letter_words_stops_nobody() {
    let strict = Server::start("4lw.commands.whitelist=srvr");
    for word in ["wchp", "wchc", "wchs", "dump", "cons", "mntr", "stat", "envi"] {
        let refusal = format!("{word} is not executed because it is not in the whitelist.\n");
        assert_eq!(strict.word(word), refusal);
    }
    // Where they are allowed, they cost much: many callers, who do not read what they get.
    let server = Server::start("snapCount=1000000\nnio.sessionlessCnxnTimeout=2000");
    let (mut watcher, mut bystander) = (server.client(), server.client());
    for first in (0..10_000).step_by(500) {
        let watch = |n| ask(n, 3, &[text(&format!("/{n:0100}")), vec![1]].concat());
        watcher.send(&(first..first + 500).flat_map(watch).collect::<Vec<_>>());
        (first..first + 500).for_each(|n| assert_eq!(watcher.reply(), (n, -101)));
    }
    assert!(server.word("wchp").len() > 1_000_000);
    let before = server.resident();
    let callers: Vec<Client> = (0..150)
        .map(|n| {
            let mut caller = server.dial();
            caller.send([&b"wchp"[..], b"wchc", b"dump", b"cons"][n % 4]);
            caller
        })
        .collect();
    bystander.send(&create(1, "/n", b"", 0));
    assert_eq!(bystander.reply(), (1, 0));
    for xid in 2..50 {
        bystander.send(&set(xid, "/n", b""));
        assert_eq!(bystander.reply(), (xid, 0));
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 300 * 1024, "{grown} KiB for 150 callers");
    let began = now();
    while server.metric("num_alive_connections") > 3 {
        assert!(began.elapsed() < PATIENCE, "callers that do not read are kept");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(callers);
    server.is_well(&mut watcher);
    server.is_well(&mut bystander);
}

/// A create that gives everybody these permissions.
fn create_for(xid: i32, path: &str, perms: i32) -> Vec<u8> {
    let acl = [&1_i32.to_be_bytes()[..], &perms.to_be_bytes(), &text("world"), &text("anyone")].concat();
    ask(xid, 1, &[text(path), framed(b"d"), acl, vec![0; 4]].concat())
}

/// addWatch with this mode.
fn add_watch(xid: i32, path: &str, mode: i32) -> Vec<u8> {
    ask(xid, 106, &[text(path), mode.to_be_bytes().to_vec()].concat())
}

#[test]
fn cve_2024_23944_events_of_nodes_that_may_not_be_read_are_kept_back() {
    const ALL_BUT_READ: i32 = 30;
    let server = Server::start("");
    let (mut writer, mut stranger) = (server.client(), server.client());
    writer.send(&create(1, "/p", b"", 0));
    assert_eq!(writer.reply(), (1, 0));
    let watches = [(1, "/p", 1), (2, "/p/secret", 0), (3, "/p/secret", 1), (4, "/p/secret/deep", 0)];
    for (xid, path, mode) in watches {
        stranger.send(&add_watch(xid, path, mode));
        assert_eq!(stranger.reply(), (xid, 0));
    }
    stranger.send(&ask(5, 3, &[text("/p/secret"), vec![1]].concat()));
    assert_eq!(stranger.reply(), (5, -101));
    let deeds = [
        create_for(2, "/p/secret", ALL_BUT_READ),
        set(3, "/p/secret", b"x"),
        create_for(4, "/p/secret/deep", ALL_BUT_READ),
        set(5, "/p/secret/deep", b"x"),
        ask(6, 2, &[text("/p/secret/deep"), vec![255; 4]].concat()),
        ask(7, 2, &[text("/p/secret"), vec![255; 4]].concat()),
        create(8, "/p/open", b"", 0),
    ];
    for (xid, deed) in (2..).zip(&deeds) {
        writer.send(deed);
        assert_eq!(writer.reply(), (xid, 0));
    }
    // All that the stranger hears of is the node that it may read.
    let event = stranger.frame().expect("an event");
    assert_eq!((i32_at(&event, 0), i32_at(&event, 16), &event[24..]), (-1, 1, &text("/p/open")[..]));
    server.is_well(&mut stranger);
}

#[test]
fn cve_2026_24308_no_secret_comes_into_the_log() {
    let server = Server::start_telling(
        "trace",
        "DigestAuthenticationProvider.superDigest=super:CANARY1\nssl.keyStore.password=CANARY2\n\
         ssl.quorum.trustStore.password=CANARY3\nmyPassword=CANARY4\nssl.keyStore.passwrod=CANARY5",
    );
    let mut client = server.client();
    let login =
        |scheme: &str, proof: &[u8]| ask(-4, 100, &[vec![0; 4], text(scheme), framed(proof)].concat());
    client.send(&login("digest", b"bob:CANARY6"));
    assert_eq!(client.reply(), (-4, 0));
    client.send(&create(1, "/n", b"CANARY7", 0));
    assert_eq!(client.reply(), (1, 0));
    client.send(&login("nonsense", b"bob:CANARY8"));
    assert_eq!(client.reply(), (-4, -115));
    let words: String = ["conf", "envi", "cons", "dump", "mntr"].iter().map(|w| server.word(w)).collect();
    assert!(words.contains("dataDir=") && !words.contains("CANARY"), "{words}");
    // The log names what it does not know, and is looked at up to the last word that was sent.
    server.tells("ssl.keyStore.passwrod");
    server.tells("Processing mntr command");
    let log = server.log.lock().unwrap().clone();
    let told: Vec<_> = log.iter().filter(|line| line.contains("CANARY")).collect();
    assert!(told.is_empty(), "{told:#?}");
}
