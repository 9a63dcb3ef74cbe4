"""What the harness must never do: call a broken run a pass, or leave something running.

Run with `python3 -m unittest discover -s compat-tests/harness -t compat-tests`; needs no server.
"""

import io
import os
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

from harness import deviations
from harness.check import Checks
from harness.server import HarnessError, Settings
from harness.suite import Report, Suite, failed_twice, judge, load, run_suite


def verdict(code: int | None, output: str) -> Report:
    return judge(code, 1.0, output, "", 0.5)


class Deviations(unittest.TestCase):
    def test_what_no_suite_asks_for_is_stale(self) -> None:
        known = [ident for suite, ident in deviations.rows() if suite == "hostile"]
        output = "".join(f"{deviations.MARK}{ident}\n" for ident in known)
        self.assertEqual(deviations.stale("hostile", deviations.asked(output)), [])
        self.assertEqual(deviations.stale("hostile", known[1:]), known[:1])
        self.assertEqual(deviations.stale("differential", []), [], "its runner knows its own")

    def test_a_row_that_is_not_there_cannot_be_asked_for(self) -> None:
        with self.assertRaises(HarnessError):
            deviations.deviates("hostile", "no-such-row")


class Lines(unittest.TestCase):
    def test_threads_side_by_side_lose_none(self) -> None:
        class Slow(io.StringIO):
            def write(self, text: str) -> int:
                time.sleep(0.001)
                return super().write(text)

        checks = Checks()
        with redirect_stdout(Slow()) as output, ThreadPoolExecutor(4) as pool:
            for number in range(40):
                pool.submit(checks.ok if number % 2 else lambda name: checks.fail(name, "why"), f"check {number}")
        lines = output.getvalue().splitlines()
        self.assertEqual((checks.passed, checks.failed), (20, 20))
        self.assertEqual(sum(line.startswith(("ok check ", "not ok check ")) for line in lines), len(lines))
        self.assertEqual(len(lines), 40)


class Verdicts(unittest.TestCase):
    def test_all_passed(self) -> None:
        report = verdict(0, "ok a\nok b\n2 passed, 0 failed\n")
        self.assertEqual((report.passed, report.failed, report.trouble), (2, 0, None))

    def test_a_failed_check_counts_once(self) -> None:
        report = verdict(1, "ok a\nnot ok b: why\n1 passed, 1 failed\n")
        self.assertEqual((report.passed, report.failed, report.trouble), (1, 1, None))

    def test_broken_reports_fail(self) -> None:
        broken = {
            "silence": (0, ""),
            "no check": (0, "0 passed, 0 failed\n"),
            "no summary": (0, "ok a\n"),
            "died after success": (1, "ok a\n1 passed, 0 failed\n"),
            "exit 0 in spite of a failure": (0, "not ok a: why\n0 passed, 1 failed\n"),
            "summary claims more": (0, "ok a\n2 passed, 0 failed\n"),
            "summary hides a failure": (0, "ok a\nnot ok b: why\n1 passed, 0 failed\n"),
            "not provisioned": (3, "Maven is missing\n"),
            "timeout": (None, "ok a\n1 passed, 0 failed\n"),
        }
        for name, (code, output) in broken.items():
            with self.subTest(name):
                report = verdict(code, output)
                self.assertGreater(report.failed, 0)
                self.assertTrue(report.trouble)


class SecondChances(unittest.TestCase):
    def test_only_what_fails_both_times_counts(self):
        one = verdict(1, "not ok a: this\nnot ok b: that\n0 passed, 2 failed\n")
        two = verdict(1, "ok a\nnot ok b: something else\nnot ok c: new\n1 passed, 2 failed\n")
        self.assertEqual(failed_twice(one, two), 1)
        self.assertEqual(failed_twice(one, verdict(0, "ok a\nok b\n2 passed, 0 failed\n")), 0)

    def test_a_second_run_without_an_end_counts(self):
        one = verdict(1, "not ok a: this\n0 passed, 1 failed\n")
        self.assertEqual(failed_twice(one, verdict(None, "ok a\n")), 1)


class Runs(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.work = Path(scratch.name)

    def suite(self, script: str, described: str = "") -> Path:
        path = self.work / "suite"
        path.mkdir()
        (path / "run").write_text("#!/bin/sh\n" + script)
        (path / "run").chmod(0o755)
        if described:
            (path / "suite.toml").write_text(described)
        return path

    def test_a_hanging_suite_ends_with_its_children(self) -> None:
        pid_file = self.work / "child"
        path = self.suite(f"sleep 300 & echo $! > {pid_file}\necho ok a\nwait\n")
        begun = time.monotonic()
        report = run_suite(Suite("hangs", path / "run", timeout=0.5), dict(os.environ), self.work, None)
        self.assertLess(time.monotonic() - begun, 10)
        self.assertIn("no end", report.trouble)
        child = int(pid_file.read_text())
        for _ in range(100):
            # A killed child may stay in the table as a zombie until its new parent looks.
            try:
                state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
            except FileNotFoundError:
                return
            if state == "Z":
                return
            time.sleep(0.05)
        self.fail("the child of the suite still runs")

    def test_settings_of_a_suite(self) -> None:
        path = self.suite("", 'timeout = 7\nconfig = ["a=1"]\n[variants.x]\nwithout = ["b"]\nproperties = ["c=2"]\n')
        suite = load(path)
        self.assertEqual(suite.timeout, 7.0)
        merged = suite.settings.extended(suite.variants["x"])
        self.assertEqual(merged, Settings(["a=1"], ["b"], ["c=2"]))

    def test_a_misspelt_setting_is_an_error(self) -> None:
        with self.assertRaises(HarnessError):
            load(self.suite("", 'confg = ["a=1"]\n'))

    def test_control_is_refused_for_a_server_of_others(self) -> None:
        path = self.suite('if "$ZK_CTL" restart; then echo ok a; else echo "not ok a: $?"; fi\necho "0 passed, 1 failed"\nexit 1\n')
        report = run_suite(Suite("ctl", path / "run"), dict(os.environ), self.work, None)
        self.assertEqual(report.failures, ["not ok a: 3"])


if __name__ == "__main__":
    unittest.main()
