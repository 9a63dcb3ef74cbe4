"""Four-letter words in each role, compared with goldens that were taken from ensembles of 3.9.5."""

import os
import re
from pathlib import Path

import figures
from fixtures.stage import Stage, connect, need, sync
from harness.check import Failed, difference
from harness.ensemble import Ensemble, Member

GOLDEN = Path(__file__).resolve().parent / "golden"
WORDS = ("srvr", "stat", "conf", "isro", "ruok", "cons", "wchs", "gtmk", "dump", "mntr", "lsnp", "lead")

# Values of mntr that tell the role and the state; of the others only the keys count.
TOLD = {
    "zk_server_state", "zk_znode_count", "zk_ephemerals_count", "zk_synced_followers", "zk_learners", "zk_quorum_size",
    "zk_synced_non_voting_followers", "zk_synced_observers", "zk_peer_state", "zk_global_sessions", "zk_watch_count",
    "zk_local_sessions", "zk_outstanding_requests", "zk_pending_syncs",
}  # fmt: skip


def scene(stage: Stage) -> None:
    record = bool(os.environ.get("ZK_RECORD"))
    with stage.scene("words", stage.kinds(4), observers=(4,)) as servers:
        client = connect(servers[3])
        need(client.create("/word", b"word"))
        client.close()
        for member in servers.members.values():
            client = connect(member)
            need(sync(client))
            client.close()
        roles = {"leader": servers.leader(), "follower": servers.followers()[0], "observer": servers[4]}
        for role, member in roles.items():
            for word in WORDS:
                one(stage, servers, role, member, word, record)
        figures.checks(stage, servers, roles)


def one(stage: Stage, servers: Ensemble, role: str, member: Member, word: str, record: bool) -> None:
    stage.checks.run(f"{word} of the {role}", lambda: golden(servers, role, member, word, record))


def golden(servers: Ensemble, role: str, member: Member, word: str, record: bool) -> None:
    found = normal(member, word, servers)
    path = GOLDEN / f"{role}-{word}.txt"
    if record:
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
        return
    wanted = path.read_text()
    if found != wanted:
        raise Failed(difference(found, wanted))


def normal(asked: Member, word: str, servers: Ensemble) -> str:
    """Names for ports, clocks, builds, addresses of clients, and for whoever has the role."""
    text = asked.say(word)
    text = re.sub(rf"(?m)^(serverId=){asked.number}$", r"\1<own>", text)
    for key, port in (("clientPort", asked.client), ("electionPort", asked.election), ("quorumPort", asked.quorum)):
        text = re.sub(rf"(?m)^({key}=){port}$", r"\1<own>", text)
    for member in servers.members.values():
        for port, name in ((member.client, "client"), (member.quorum, "quorum"), (member.election, "election")):
            text = re.sub(rf"\b{port}\b", f"<{name} {member.number}>", text)
    text = re.sub(r"3\.9\.5-[0-9A-Za-z.+-]+, built on \d{4}-\d\d-\d\d \d\d:\d\d UTC", "3.9.5-<build>", text)
    text = re.sub(r"(?m)^(Latency min/avg/max: ).*$", r"\1<latency>", text)
    text = re.sub(r"(?m)^(Received|Sent|Connections|Outstanding): \d+$", r"\1: <count>", text)
    text = re.sub(r"(?m)^(Zxid: )0x[0-9a-f]+$", r"\1<zxid>", text)
    text = re.sub(r"(?m)^(dataDir|dataLogDir)=/.*/version-2$", r"\1=<dir>/version-2", text)
    text = re.sub(r"(?m)^(dataDirSize|dataLogSize)=\d+$", r"\1=<size>", text)
    text = re.sub(r"(?m)^(Proposal sizes last/min/max: ).*$", r"\1<sizes>", text)
    text = re.sub(r"/127\.0\.0\.1:\d+", "/127.0.0.1:<own port>", text)
    text = re.sub(r"=\d+\)", "=<count>)", re.sub(r"(queued|recved|sent)=\d+", r"\1=<count>", text))
    if word == "dump":
        # Which connections and sessions are there a moment after their close is a matter of milliseconds.
        text = re.sub(r"(?m)^(Session|Connections) Sets \(\d+\)/\(\d+\):$", r"\1 Sets:", text)
        text = re.sub(r"(?m)^(\d+ expire at .*|\tip: .*|\t?0x[0-9a-f]+.*)\n", "", text)
    if word == "mntr":
        text = monitored(text)
    return text


def monitored(text: str) -> str:
    """Keys in order of their names, without those that a JVM alone has; summaries are known by their stem."""
    found = set()
    for line in text.splitlines():
        key, _, value = line.partition("\t")
        key = re.sub(r"_\d+_learner_handler", "_<id>_learner_handler", key)
        if key in TOLD:
            found.add(f"{key}\t{value}")
        elif key.startswith(("zk_jvm", "jvm_", "zk_process", "zk_open_file", "zk_max_file")):
            continue
        else:
            found.add(key)
    return "".join(f"{line}\n" for line in sorted(found))
