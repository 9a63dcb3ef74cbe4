//! The benchmark against servers that misbehave in one way each: every fault must be seen and counted.

use super::clock::Clock;
use super::options::{Options, Plan};
use super::report::Report;
use super::tally::Faults;
use super::{connect, fanout, idle, steady};
use clap::Parser;
use jute::records::data::Stat;
use jute::records::proto::{ConnectResponse, GetDataResponse, PathResponse, ReplyHeader, RequestHeader};
use jute::{OpCode, Reader, Record, Text, writer};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vice {
    None,
    /// The tenth read gets NoNode.
    Error,
    /// The tenth read is answered with the next one's xid.
    Order,
    /// The tenth read gets a byte too much.
    Length,
    /// The connection closes instead of the tenth read's reply.
    Hangup,
    /// The tenth read is never answered.
    Silence,
    /// The tenth read is answered with what is no frame.
    Garbage,
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn plan(server: &str, line: &str) -> Plan {
    let words = ["bench"].into_iter().chain(line.split_whitespace()).chain(["--server", server]);
    Plan::try_from(Cli::try_parse_from(words).unwrap().options).unwrap()
}

/// A server with the vice; answers creates, reads, childless getChildren, multis of ten, closes.
fn serve(vice: Vice) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || talk(stream.unwrap(), vice));
        }
    });
    address
}

fn frame_of(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn send(stream: &mut TcpStream, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
    let mut out = Vec::new();
    let mark = writer::begin_frame(&mut out);
    fill(&mut out);
    writer::end_frame(&mut out, mark);
    stream.write_all(&out)
}

fn talk(mut stream: TcpStream, vice: Vice) -> io::Result<()> {
    frame_of(&mut stream)?;
    send(&mut stream, |out| {
        let passwd: Option<&[u8]> = Some(&[1; 16]);
        ConnectResponse { protocol_version: 0, time_out: 10_000, session_id: 1, passwd }.write(out);
        false.write(out);
    })?;
    let mut reads = 0;
    loop {
        let request = frame_of(&mut stream)?;
        let header = RequestHeader::read(&mut Reader::new(&request)).unwrap();
        let op = OpCode::from_code(header.op).unwrap();
        reads += i32::from(op == OpCode::GetData);
        let now = if reads == 10 { vice } else { Vice::None };
        match now {
            Vice::Hangup => return Ok(()),
            Vice::Silence => continue,
            Vice::Garbage => stream.write_all(&[0xff; 64])?,
            _ => {}
        }
        send(&mut stream, |out| {
            let err = if now == Vice::Error { -101 } else { 0 };
            let xid = header.xid + i32::from(now == Vice::Order);
            ReplyHeader { xid, zxid: 1, err }.write(out);
            match op {
                OpCode::GetData if err == 0 => {
                    let data: Option<&[u8]> = Some(&[7; 100]);
                    GetDataResponse { data, stat: Stat::default() }.write(out);
                }
                OpCode::Create => PathResponse { path: Some(Text::from("/x")) }.write(out),
                OpCode::GetChildren => writer::count(out, Some(0)),
                _ => {}
            }
            if now == Vice::Length {
                out.push(0);
            }
        })?;
        if op == OpCode::CloseSession {
            return Ok(());
        }
    }
}

fn read_with(vice: Vice, depth: usize) -> Report {
    let line = format!("read -c 1 -d {depth} --ops 40 --warmup 0 --nodes 10 --timeout 0.5");
    steady::run(&plan(&serve(vice), &line), Clock::start()).unwrap()
}

#[test]
fn a_good_server_has_no_faults_and_every_operation_is_counted_once() {
    for depth in [1, 7, 64] {
        let report = read_with(Vice::None, depth);
        assert_eq!(report.faults, Faults::default(), "depth {depth}");
        let operations = report.rows[0].operations;
        assert!((40..=40 + depth as u64).contains(&operations), "depth {depth}: {operations}");
    }
}

#[test]
fn every_vice_is_seen_and_named() {
    for depth in [1, 16] {
        for (vice, name) in [
            (Vice::Error, "NoNode 1"),
            (Vice::Order, "out of order 1"),
            (Vice::Length, "wrong length 1"),
            (Vice::Hangup, "connections lost 1"),
            (Vice::Garbage, "connections lost 1"),
        ] {
            let report = read_with(vice, depth);
            let names: Vec<String> =
                report.faults.named().into_iter().map(|(name, n)| format!("{name} {n}")).collect();
            assert!(names.contains(&name.to_owned()), "{vice:?}, depth {depth}: {names:?}");
        }
    }
}

#[test]
fn what_is_never_answered_ends_the_run_and_is_counted() {
    let report = read_with(Vice::Silence, 1);
    assert_eq!(report.faults, Faults { unanswered: 1, ..Faults::default() });
    // With more in flight the next reply shows that one is missing.
    assert_eq!(read_with(Vice::Silence, 16).faults.out_of_order, 1);
}

#[test]
fn a_watch_that_never_fires_is_a_fault() {
    let plan = plan(&serve(Vice::None), "watch -c 3 --ops 2 --timeout 0.3");
    let report = fanout::run(&plan, Clock::start()).unwrap();
    assert_eq!(report.faults.unanswered, 3);
}

#[test]
fn sessions_come_and_go() {
    let plan = plan(&serve(Vice::None), "connect -c 4 --ops 50 --warmup 0");
    let report = connect::run(&plan, Clock::start()).unwrap();
    assert_eq!(report.faults, Faults::default());
    assert!(report.rows[0].operations >= 50);
}

#[test]
fn the_report_says_the_same_to_people_and_to_programs() {
    let plan = plan(&serve(Vice::None), "read -c 1 -d 1 --ops 40 --warmup 0 --nodes 10");
    let report = steady::run(&plan, Clock::start()).unwrap();
    let json = report.json(&plan);
    assert_eq!(json["operations"], report.rows[0].operations);
    assert_eq!(json["faults"]["total"], 0);
    assert!(json["kinds"]["read"]["latency_us"]["p999"].as_f64().unwrap() > 0.0);
    let text = report.text(&plan);
    assert!(text.contains("p999") && text.contains("faults: none"), "{text}");
}

#[test]
fn idle_sessions_live_on_heartbeats() {
    // The timeout granted is 10 s, so a heartbeat is due every 3.3 s.
    let plan = plan(&serve(Vice::None), "idle -c 5 --seconds 3.6");
    let report = idle::run(&plan, Clock::start()).unwrap();
    assert_eq!(report.faults, Faults::default());
    assert_eq!(report.rows[0].operations, 5);
}
