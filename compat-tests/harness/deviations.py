"""Checks that are made of Quoll alone, because the reference is known not to hold them.

Each has a row in deviations.toml with its reason. Its invariant: a row that its suite does not ask for fails the run of
that suite, so that no reason outlives its check. Rows of the suite `differential` are met by its own runner.
"""

import os
import tomllib
from collections.abc import Iterable

from .server import ROOT, HarnessError

FILE = ROOT / "compat-tests" / "deviations.toml"
# How a suite says that it has asked for a row.
MARK = "# deviation "
ELSEWHERE = "differential"


def rows() -> set[tuple[str, str]]:
    """Suite and name of every row."""
    return {(row["suite"], row["id"]) for row in tomllib.loads(FILE.read_text())["deviation"]}


def deviates(suite: str, ident: str) -> bool:
    """Whether a check is left out because the reference is known not to hold it."""
    if (suite, ident) not in rows():
        raise HarnessError(f"deviations.toml has no row {ident} of the suite {suite}")
    print(f"{MARK}{ident}", flush=True)
    return os.environ.get("ZK_TARGET", "quoll") == "reference"


def asked(output: str) -> set[str]:
    """The rows that a suite says it has asked for."""
    return {line.removeprefix(MARK) for line in output.splitlines() if line.startswith(MARK)}


def stale(suite: str, seen: Iterable[str]) -> list[str]:
    """Rows of a suite that a whole run of it did not ask for."""
    known = {ident for name, ident in rows() if name == suite and name != ELSEWHERE}
    return sorted(known - set(seen))
