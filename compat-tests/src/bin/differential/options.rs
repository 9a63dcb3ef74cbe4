//! The command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str = "\
usage: differential --left HOST:PORT --right HOST:PORT [options]

Sends the same requests to two servers and compares what they answer, byte by byte. The left one is the
reference in all messages. Both are emptied.

  --seeds A..B        random sequences to run (default 0..200)
  --ops N             requests per random sequence (default 500)
  --batch N           seeds per line of the report (default 25)
  --seed S            run this seed alone, without the directed sequences
  --only NAME         run this directed sequence alone; `--only list` names them all
  --no-directed       leave the directed sequences out
  --seed-list FILE    seeds to run before the others: one per line, with an optional number of requests
  --deviations FILE   rows that explain differences; a row that explains none is a failure
  --fresh             both servers began empty and nobody else uses them: their zxids must agree
  --trace             print every step and every answer
  --json              print differences as JSON, one per line
  --limit SECONDS     end after so long, what has not run has failed (default 900)
  --outcomes          print how often each operation was answered with each error
  --no-shrink         do not look for small reproducers
";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) left: SocketAddr,
    pub(crate) right: SocketAddr,
    pub(crate) seeds: Range<u64>,
    pub(crate) ops: usize,
    pub(crate) batch: u64,
    pub(crate) only: Option<String>,
    pub(crate) directed: bool,
    pub(crate) seed_list: Option<PathBuf>,
    pub(crate) deviations: Option<PathBuf>,
    pub(crate) fresh: bool,
    pub(crate) trace: bool,
    pub(crate) json: bool,
    pub(crate) limit: Duration,
    pub(crate) shrink: bool,
    pub(crate) outcomes: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().map_err(|e| format!("{text}: {e}"))?.next();
    found.ok_or_else(|| format!("{text}: no address"))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is no number"))
}

pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut o = Options {
        left: nowhere,
        right: nowhere,
        seeds: 0..200,
        ops: 500,
        batch: 25,
        only: None,
        directed: true,
        seed_list: None,
        deviations: None,
        fresh: false,
        trace: false,
        json: false,
        limit: Duration::from_secs(900),
        shrink: true,
        outcomes: false,
    };
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{flag} wants a value"));
        match flag.as_str() {
            "--left" => o.left = address(&value()?)?,
            "--right" => o.right = address(&value()?)?,
            "--seeds" => {
                let text = value()?;
                let (from, to) = text.split_once("..").ok_or("--seeds wants A..B")?;
                o.seeds = number(from)?..number(to)?;
            }
            "--seed" => {
                let seed: u64 = number(&value()?)?;
                o.seeds = seed..seed + 1;
                o.directed = false;
            }
            "--ops" => o.ops = number(&value()?)?,
            "--batch" => o.batch = number::<u64>(&value()?)?.max(1),
            "--only" => o.only = Some(value()?),
            "--no-directed" => o.directed = false,
            "--seed-list" => o.seed_list = Some(value()?.into()),
            "--deviations" => o.deviations = Some(value()?.into()),
            "--fresh" => o.fresh = true,
            "--trace" => o.trace = true,
            "--json" => o.json = true,
            "--limit" => o.limit = Duration::from_secs(number(&value()?)?),
            "--outcomes" => o.outcomes = true,
            "--no-shrink" => o.shrink = false,
            other => return Err(format!("unknown option {other}")),
        }
    }
    if o.only.as_deref() != Some("list") && (o.left == nowhere || o.right == nowhere) {
        return Err("--left and --right are wanted".into());
    }
    Ok(o)
}
