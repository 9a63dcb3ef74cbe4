"""Makes answers of four-letter words comparable: names for ports and sessions, words for clocks, sizes and builds.

What the reference prints in no fixed order is sorted, after checking that its counts agree with its lines; everything
else stays where it is, to the byte.
"""

import re

VERSION = re.compile(r"3\.9\.5-[0-9A-Za-z.+-]+, built on \d{4}-\d\d-\d\d \d\d:\d\d UTC")
LATENCY = re.compile(r"(?m)^(Latency min/avg/max: )\d+/\d+\.\d{1,4}/\d+$")
DATE = re.compile(r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d \w+ \d{4}")
CONS_CLOCKS = re.compile(r"(est|lresp|llat|minlat|avglat|maxlat)=\d+")
SETS = re.compile(r"^(.*) \((\d+)\)/\((\d+)\):$")
BUCKET = re.compile(r"^(\d+) expire at <date>:$")


class Names:
    """Who is who: sessions and ports of the clients this suite opened."""

    def __init__(self) -> None:
        self._sessions: dict[str, str] = {}
        self._ports: dict[int, str] = {}

    def add(self, name: str, session: int, port: int) -> None:
        self._sessions[f"0x{session:x}"] = f"<session {name}>"
        self._ports[port] = f"<port {name}>"

    def apply(self, text: str, own_port: int) -> str:
        ports = self._ports | {own_port: "<own port>"}
        text = re.sub(r"0x[0-9a-f]+", lambda match: self._sessions.get(match[0], match[0]), text)
        return re.sub(r"(/127\.0\.0\.1:)(\d+)", lambda match: match[1] + ports.get(int(match[2]), match[2]), text)


def common(text: str) -> str:
    text = VERSION.sub("3.9.5-<build>, built on <date>", text)
    return DATE.sub("<date>", text)


def srvr(text: str) -> str:
    return LATENCY.sub(r"\1<int>/<decimal>/<int>", text)


def restarted(text: str) -> str:
    """Before its first question of this suite the server was asked whether it serves, who knows how often."""
    return re.sub(r"(?m)^(Received|Sent): \d+$", r"\1: <int>", stat(text))


def stat(text: str) -> str:
    """As `srvr`; the block of clients is in no order."""
    return srvr(sorted_run(text, lambda line: line.startswith(" /")))


def cons(text: str) -> str:
    return sorted_run(CONS_CLOCKS.sub(r"\1=<int>", text), lambda line: line.startswith(" /"))


def conf(text: str, port: int) -> str:
    text = re.sub(rf"(?m)^clientPort={port}$", "clientPort=<port>", text)
    text = re.sub(r"(?m)^(dataDir|dataLogDir)=/.*/version-2$", r"\1=<dir>/version-2", text)
    return re.sub(r"(?m)^(dataDirSize|dataLogSize)=\d+$", r"\1=<int>", text)


def dirs(text: str) -> str:
    return re.sub(r"(?m)^(datadir_size|logdir_size): \d+$", r"\1: <int>", text)


def envi(text: str) -> str:
    """The keys in their order; whether a value is there at all."""
    return re.sub(r"(?m)^([^=\n]+)=.+$", r"\1=<value>", text)


def digests(text: str) -> str:
    return re.sub(r"(?m)^([0-9a-f]+): -?\d+$", r"\1: <digest>", text)


def blocks(text: str) -> str:
    """`wchc` and `wchp`: blocks of a head and indented lines, neither in any order; the end is kept."""
    groups: list[list[str]] = []
    lines = text.split("\n")
    end = len(lines)
    while end and not lines[end - 1]:
        end -= 1
    for line in lines[:end]:
        if line.startswith("\t") and groups:
            groups[-1].append(line)
        else:
            groups.append([line])
    ordered = sorted([head, *sorted(rest)] for head, *rest in groups)
    return "\n".join([line for group in ordered for line in group] + lines[end:])


def dump(text: str) -> str:
    """Three parts. Which bucket a deadline falls into is a matter of milliseconds, so buckets are counted and undone."""
    out: list[str] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if head := SETS.match(line):
            body = []
            while at < len(lines) and (BUCKET.match(lines[at]) or lines[at].startswith("\t")):
                body.append(lines[at])
                at += 1
            out += [f"{head[1]} (buckets)/({head[3]}):", buckets_agree(body, int(head[2]), int(head[3]))]
            out += sorted(entry for entry in body if entry.startswith("\t"))
        elif line.startswith("Sessions with Ephemerals"):
            end = at
            while end < len(lines) and (lines[end].startswith("\t") or lines[end].startswith("<session")):
                end += 1
            out += [line, blocks("\n".join(lines[at:end]))] if end > at else [line]
            at = end
        else:
            out.append(line)
    return "\n".join(out)


def buckets_agree(body: list[str], buckets: int, entries: int) -> str:
    heads = [at for at, line in enumerate(body) if BUCKET.match(line)]
    ends = [*heads[1:], len(body)]
    counted = [int(BUCKET.match(body[at])[1]) == end - at - 1 for at, end in zip(heads, ends)]
    agree = len(heads) == buckets and all(counted) and len(body) - len(heads) == entries
    return "<buckets agree with their lines>" if agree else f"<buckets disagree: {body!r}>"


def sorted_run(text: str, belongs) -> str:
    """Sort the lines that belong together; they form one run."""
    lines = text.split("\n")
    places = [at for at, line in enumerate(lines) if belongs(line)]
    for at, line in zip(places, sorted(lines[at] for at in places)):
        lines[at] = line
    if places and places[-1] - places[0] + 1 != len(places):
        lines.append("<the lines of the run do not stand together>")
    return "\n".join(lines)


# Values of `mntr` that follow from what this suite did; of all others the name and the kind of number count.
EXACT = re.compile(
    r"zk_(server_state|ephemerals_count|num_alive_connections|outstanding_requests|znode_count|global_sessions"
    r"|local_sessions|watch_count|auth_failed_count|approximate_data_size|connection_drop_probability"
    r"|(last|min|max)_client_response_size|packets_received|connection_rejected|large_requests_rejected"
    r"|digest_mismatches_count|unrecoverable_error_count|cnt_(readlatency|updatelatency)"
    r"|(min|max|cnt|sum)_node_(created|changed|deleted|children)_watch_count"
    r"|(min|max|cnt|sum)_app_(read|write)_per_namespace"
    r"|response_packet_(get_children_)?cache_(hits|misses))"
)


def mntr(text: str) -> str:
    """The two lines that lead, then all others by name: their order is a hash order."""
    lines = text.split("\n")
    kept = [mntr_line(line) for line in lines]
    return "\n".join([*kept[:2], *sorted(kept[2:-1]), kept[-1]])


def mntr_line(line: str) -> str:
    key, tab, value = line.partition("\t")
    if not tab or EXACT.fullmatch(key) or key == "zk_version":
        return line
    if re.fullmatch(r"-?\d+", value):
        return f"{key}\t<int>"
    if re.fullmatch(r"-?\d+\.\d+(E-?\d+)?", value):
        return f"{key}\t<decimal>"
    return line
