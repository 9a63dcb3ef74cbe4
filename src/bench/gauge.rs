//! The server's process, seen from outside: its processor time and its memory, as Linux tells them in /proc.

use super::failure::Failure;

/// One look at a process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Look {
    /// User and system time, in seconds. The system counts in hundredths.
    pub(super) cpu: f64,
    /// Resident memory in KiB.
    pub(super) resident: u64,
}

/// Looks at a process.
pub(super) fn look(pid: u32) -> Result<Look, Failure> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).map_err(Failure::io(path))
    };
    let ticks = ticks(&read("stat")?);
    let resident = resident(&read("status")?);
    match (ticks, resident) {
        (Some(ticks), Some(resident)) => Ok(Look { cpu: ticks / per_second(), resident }),
        _ => Err(Failure::Server(format!("process {pid} does not tell its time and memory"))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// utime and stime: the 12th and 13th field behind the name, which stands in parentheses and may contain any.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: f64 = times.next()?.parse().ok()?;
    let system: f64 = times.next()?.parse().ok()?;
    Some(user + system)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 10 0 0 0 150 50 9 9 20 0 3 0 100 1000 10";
        assert_eq!(ticks(stat), Some(200.0));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1234));
        assert_eq!(ticks("7 x"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let look = look(std::process::id()).unwrap();
        assert!(look.resident > 0 && look.cpu >= 0.0);
    }
}
