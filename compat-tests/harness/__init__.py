"""The harness of the compatibility suites: servers under test, suites, and small helpers for suites in Python."""
