#!/usr/bin/env python3
"""Adds up the results in meson's logs of test runs.

Usage: count_tests.py LOG...

Each LOG is a testlog.json: one JSON object a line. Prints "PASSED FAILED SKIPPED", then the name of
each failed test on a line. A log that is missing, empty or damaged counts as one failed test.
"""
import json
import sys

PASSED = ("OK", "EXPECTEDFAIL")
SKIPPED = ("SKIP",)


def read_results(path):
    """Pairs of (name, result) from one log."""
    try:
        with open(path, encoding="utf-8") as lines:
            tests = [json.loads(line) for line in lines if line.strip()]
        results = [(test["name"], test["result"]) for test in tests]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [(f"{path}: {error}", "ERROR")]
    return results or [(f"{path}: no test was run", "ERROR")]


def main():
    results = [result for path in sys.argv[1:] for result in read_results(path)]
    n_passed = sum(result in PASSED for _, result in results)
    n_skipped = sum(result in SKIPPED for _, result in results)
    print(n_passed, len(results) - n_passed - n_skipped, n_skipped)
    for name, result in results:
        if result not in PASSED + SKIPPED:
            print(f"{name}: {result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
