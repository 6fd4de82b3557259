#!/usr/bin/env python3
"""Ranks that are late, hang, are stopped, killed or gone: the others say so in one line, and all
processes end within the limit.

Usage: test_lost_ranks.py NAME FOLDER LOSE_RANK
"""
import os
import re
import signal
import subprocess
import sys
import time

import ranks

RANKS = 3
TIMEOUT_S = 2
SLACK_S = 20  # for starting, ending and other programs on the same cores
HOST = os.uname().nodename
CALL = 4  # the one that a fault meets; one call of the transport is one step


class Job:
    """One run of lose_rank, with what it printed and which of its processes are left."""

    def __init__(self, command, folder, fault):
        self.process = ranks.start(command, folder, env={"MIXT_COMM_FAULT": fault} if fault else {},
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.began = time.monotonic()
        self.text = ""

    def finish(self):
        try:
            self.text = self.process.communicate(timeout=TIMEOUT_S + SLACK_S)[0]
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.text = self.process.communicate()[0]
            raise AssertionError(f"it did not end\n{self.text}") from None
        finally:
            self.left = self.wait_for_ranks()
        return self

    def wait_for_ranks(self):
        """Those of the ranks that are there some seconds after; they are killed."""
        pids = [int(pid) for pid in re.findall(r"^rank \d+ pid (\d+)$", self.text, re.M)]
        for _ in range(50):
            left = [pid for pid in pids if is_alive(pid)]
            if not left:
                break
            time.sleep(0.1)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return left


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def check(condition, job, what):
    if not condition:
        raise AssertionError(f"{what}\n--- exit code {job.process.returncode}; printed:\n{job.text}")


def expect_ended(job):
    check(not job.left, job, f"processes are left: {job.left}")
    check(job.process.returncode != 0, job, "the job's exit code is 0")


def expect_line(job, operation, missing):
    """Each rank that waited can say so before the first of them ends all."""
    line = (rf"^mixt: rank [01] on {re.escape(HOST)}: step {CALL}: {operation} did not end within "
            rf"{TIMEOUT_S} s; no word from rank {missing}$")
    check(re.search(line, job.text, re.M), job, f"no line like {line}")


def main():
    name, folder, program = sys.argv[1:]
    mpirun = ranks.require(name, folder) + ["-n", str(RANKS), program]

    def run(operation, fault, steps=1000000):
        began = time.monotonic()
        job = Job(mpirun + [operation, str(TIMEOUT_S), str(steps)], folder, fault).finish()
        print(f"{operation} {fault}: {time.monotonic() - began:.1f} s")
        return job

    job = run("barrier", None, 50)
    check(job.process.returncode == 0 and not job.left, job, "without a fault")
    job = run("all_reduce", f"delay:{CALL}", 10)
    check(job.process.returncode == 0 and not job.left, job, "late, and within the limit")
    for operation in ("barrier", "broadcast", "agree", "all_to_all"):
        job = run(operation, f"hang:{CALL}:2")
        expect_ended(job)
        expect_line(job, operation, 2)
    job = run("all_reduce", f"stop:{CALL}:2")
    expect_ended(job)
    expect_line(job, "all_reduce", 2)
    for fault in ("kill", "exit"):
        expect_ended(run("all_reduce", f"{fault}:{CALL}:1"))
    job = run("all_reduce", f"corrupt:{CALL}:1")
    expect_ended(job)
    check(f"mixt: step {CALL}: number" in job.text, job, "the turned bit was not seen")
    job = run("all_to_all", f"drop:{CALL}:1", CALL)
    expect_ended(job)
    return 0


if __name__ == "__main__":
    sys.exit(main())
