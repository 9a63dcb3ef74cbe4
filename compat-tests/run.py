#!/usr/bin/env python3
"""Runs the compatibility suites against the reference server and against Quoll, with the same assertions.

A suite is an executable `suites/<name>/run`; README.md beside this file tells what it gets and what it owes.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from harness import deviations  # noqa: E402
from harness.server import (  # noqa: E402
    ROOT,
    HarnessError,
    Server,
    provision_reference,
    quoll_binary,
    remove_tree,
    serves,
)
from harness.suite import TARGETS, Report, Suite, discover, failed_twice, run_suite, turns_of  # noqa: E402


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, interrupted)
    suites = discover()
    if options.list:
        print("\n".join(suite.name for suite in suites if options.group in (None, suite.group)))
        return 0
    try:
        chosen = choose([suite for suite in suites if options.group in (None, suite.group)], options.suite)
        return run_all(chosen, options)
    except HarnessError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("run.py: interrupted", file=sys.stderr)
        return 130


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=(*TARGETS, "both"), help="the server to test (default: both, and what else a suite knows)")
    parser.add_argument("--suite", nargs="+", action="extend", metavar="NAME", help="suites to run (default: all)")
    parser.add_argument("--group", metavar="NAME", help="the suites of one group: single, ensemble, chaos (default: all)")
    parser.add_argument("--list", action="store_true", help="list the suites and end")
    parser.add_argument("--keep", action="store_true", help="keep the work directories and tell where they are")
    parser.add_argument("--verbose", action="store_true", help="print the whole output of every suite")
    parser.add_argument("--record", action="store_true", help="let suites write their goldens; reference only")
    parser.add_argument(
        "--connect",
        metavar="HOST:PORT",
        help="use a server that is already running; --target says which one it is (default: quoll)",
    )
    options = parser.parse_args()
    if options.connect:
        options.target = options.target or "quoll"
        host, _, port = options.connect.rpartition(":")
        if not host or not port.isdecimal():
            parser.error("--connect wants HOST:PORT")
        if options.target == "both":
            parser.error("--connect reaches one server: name it with --target")
    options.target = options.target or "both"
    if options.record and options.target != "reference":
        parser.error("goldens are recorded from the reference alone: add --target reference")
    return options


def choose(suites: list[Suite], names: list[str] | None) -> list[Suite]:
    known = {suite.name: suite for suite in suites}
    for name in names or []:
        if name not in known:
            raise HarnessError(f"there is no suite {name!r}; known: {', '.join(known) or 'none'}")
    chosen = [known[name] for name in names] if names else suites
    if not chosen:
        raise HarnessError("there is no suite to run")
    return chosen


def run_all(suites: list[Suite], options: argparse.Namespace) -> int:
    cache = Path(os.environ.get("COMPAT_CACHE") or ROOT / "compat-tests" / ".cache").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"COMPAT_CACHE": str(cache), "ZK_CLASSPATH": provision_reference(cache)}
    env.pop("ZK_RECORD", None)
    if options.record:
        env["ZK_RECORD"] = "1"
    os.environ["COMPAT_CACHE"] = str(cache)
    turns = [(suite, target) for suite in suites for target in turns_of(suite, options.target)]
    if not turns:
        raise HarnessError(f"no suite chosen knows the target {options.target!r}")
    if any(target != "reference" for _, target in turns) and not options.connect:
        quoll_binary()
    passed = failed = 0
    asked: dict[str, set[str]] = {}
    for suite, target in turns:
        report = run_one(suite, target, env, options)
        if report.failed and target == "reference" and not options.connect:
            # It is no suspect, and has bugs of its own: what it does once in a while is no verdict on a check. What it
            # does twice is one.
            print(f"suite {suite.name}: the reference gets a second chance", flush=True)
            first, report = report, run_one(suite, target, env, options)
            report.failed = failed_twice(first, report)
            print(f"suite {suite.name}: {report.failed} checks failed both times", flush=True)
        passed += report.passed
        failed += report.failed
        asked.setdefault(suite.name, set()).update(deviations.asked(report.output))
    for name, seen in asked.items():
        for ident in deviations.stale(name, seen):
            print(f"not ok suite {name}: it asks for no deviation {ident}; the row in deviations.toml is stale", flush=True)
            failed += 1
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def run_one(suite: Suite, target: str, env: dict[str, str], options: argparse.Namespace) -> Report:
    work = Path(tempfile.mkdtemp(prefix=f"compat-{suite.name}-{target}-"))
    try:
        return run_in(work, suite, target, env, options)
    finally:
        if options.keep:
            print(f"  kept: {work}", flush=True)
        else:
            remove_tree(work)


def run_in(work: Path, suite: Suite, target: str, env: dict[str, str], options: argparse.Namespace) -> Report:
    server = None
    try:
        if options.connect:
            host, _, port = options.connect.rpartition(":")
            if not serves(host, int(port)):
                raise HarnessError(f"no server answers `srvr` at {options.connect}")
            address = options.connect
        elif not suite.server:
            address = ""
        else:
            server = Server(target, work, suite.settings, suite.variants)
            server.start()
            address = server.address
        report = run_suite(suite, env | {"ZK_CONNECT": address, "ZK_TARGET": target}, work, server)
    except HarnessError as error:
        report = Report(0, 1, [], "", "", 0.0, str(error))
    finally:
        if server:
            stop_quietly(server)
    show(suite, target, report, server, options.verbose)
    return report


def stop_quietly(server: Server) -> None:
    try:
        server.stop()
    except HarnessError as error:
        print(f"  {error}", flush=True)


def show(suite: Suite, target: str, report: Report, server: Server | None, verbose: bool) -> None:
    if verbose:
        print(report.output, end="")
        print(report.errors, end="")
    else:
        for line in report.output.splitlines():
            if line.startswith("not ok ") or is_sum(line):
                print(f"  {line}")
    if report.trouble:
        print(f"  not ok suite {suite.name}: {report.trouble}")
    if report.failed:
        if not verbose:
            print_tail("standard error of the suite", report.errors)
        if server:
            print_tail(f"log of the {target} server", server.tail())
    print(
        f"suite {suite.name} {target}: {report.passed} passed, {report.failed} failed, {report.seconds:.1f} s",
        flush=True,
    )


def is_sum(line: str) -> bool:
    """What a suite counted, and rows of tables. Details are indented."""
    return line.startswith("# ") and not line.startswith(("#  ", deviations.MARK))


def print_tail(title: str, text: str, lines: int = 40) -> None:
    if text.strip():
        print(f"  --- {title}, last lines")
        for line in text.splitlines()[-lines:]:
            print(f"  | {line}")


def interrupted(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
