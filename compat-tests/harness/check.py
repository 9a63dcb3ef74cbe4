"""The output a suite owes: one line per check, one line of counts.

It knows nothing of servers. Its invariants: a check that raises is a failed check, and the suite goes on; lines of
checks that threads make side by side stay whole.
"""

import difflib
import sys
import threading
import traceback
from collections.abc import Callable


class Failed(Exception):
    """A check did not hold; the text is the reason to print."""


class Checks:
    """Counts and prints checks as they are made."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self._lock = threading.Lock()

    def run(self, name: str, check: Callable[[], None]) -> None:
        """Make one check: it holds unless it raises."""
        try:
            check()
        except Failed as reason:
            self.fail(name, str(reason))
        except Exception as error:  # noqa: BLE001  # whatever broke it, the check did not hold
            traceback.print_exc()
            self.fail(name, f"{type(error).__name__}: {error}")
        else:
            self.ok(name)

    def ok(self, name: str) -> None:
        with self._lock:
            self.passed += 1
            print(f"ok {name}", flush=True)

    def fail(self, name: str, reason: str) -> None:
        first, *rest = reason.splitlines() or [""]
        with self._lock:
            self.failed += 1
            print(f"not ok {name}: {first}", flush=True)
            for line in rest:
                print(f"  {line}", file=sys.stderr, flush=True)

    def equal(self, name: str, found: object, wanted: object) -> None:
        if found == wanted:
            self.ok(name)
        else:
            self.fail(name, f"found {found!r}, wanted {wanted!r}")

    def finish(self) -> int:
        """Print the counts; the exit code of the suite."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0


def difference(found: str, wanted: str, limit: int = 40) -> str:
    """The first differing line of two texts in one line, then a bounded unified difference."""
    lines = list(difflib.unified_diff(wanted.splitlines(), found.splitlines(), "golden", "found", lineterm="", n=2))
    if not lines:
        return f"only line ends differ: found ends {found[-20:]!r}, golden ends {wanted[-20:]!r}"
    changed = [line for line in lines[2:] if line[:1] in "+-"]
    return "\n".join([" | ".join(changed[:2]), *lines[:limit]])
