#!/usr/bin/env python3
"""Ranks that are late, hang, are stopped, killed or gone: the others say so in one line, and all
processes end within the limit.

Usage: test_lost_ranks.py NAME FOLDER LOSE_RANK BACKEND
NAME and FOLDER are those of ranks.py. BACKEND cuda-emu tries what is different with GPUs alone.
"""
import concurrent.futures
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
AT_ONCE = 4  # jobs, which mostly wait
HOST = os.uname().nodename
CALL = 4  # the one that a fault meets
# One call of the transport is one step, but that tensors' first one finds out about devices. Who
# sends small broadcasts does not wait for their receivers.
STEP = {"barrier": "4", "agree": "4", "broadcast": r"\d+", "all_to_all": "3", "all_reduce": "3"}
NO_WORD = "; no word from rank 2"


class Job:
    """One run of lose_rank, with what it printed and which of its processes are left."""

    def __init__(self, mpi, command, folder, fault):
        environment = {"MIXT_COMM_FAULT": fault} if fault else {}
        environment["SIMT_DEVICES"] = str(RANKS)
        self.what = f"{command[-3]}, fault {fault}"
        self.mpi = mpi
        began = time.monotonic()
        self.process = ranks.start(command, folder, env=environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        try:
            self.text = self.process.communicate(timeout=TIMEOUT_S + SLACK_S)[0]
            self.is_late = False
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.text = self.process.communicate()[0]
            self.is_late = True
        self.left = self.wait_for_ranks()
        print(f"{self.what}: {time.monotonic() - began:.1f} s", flush=True)

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

    def check(self, condition, what):
        if not condition:
            sys.exit(f"{self.what}: {what}\nexit code {self.process.returncode}; printed:\n"
                     f"{self.text}")

    def expect_done(self):
        self.check(not self.is_late and not self.left and self.process.returncode == 0, "failed")

    def expect_gone(self):
        self.check(not self.is_late, "the job did not end")
        self.check(not self.left, f"processes are left: {self.left}")

    def expect_ended(self):
        """MPICH's mpirun may return 0 where a rank leaves while others abort: mixt launch does not
        ask it either."""
        self.expect_gone()
        self.check(self.process.returncode != 0 or self.mpi == "mpich",
                   "the job's exit code is 0")

    def expect_line(self, operation, step, missing):
        """Each rank that waited can say so before the first of them ends all."""
        line = (rf"^mixt: rank [01] on {re.escape(HOST)}: step {step}: {operation} did not end "
                rf"within {TIMEOUT_S} s{missing}$")
        self.check(re.search(line, self.text, re.M), f"no line like {line}")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def try_host(run):
    """Everything that can befall a rank; `run` starts a job of an operation, a fault and steps."""
    good = [run("barrier", None, 50), run("all_reduce", f"delay:{CALL}", 10)]
    hangs = {name: run(name, f"hang:{CALL}:2")
             for name in ("barrier", "broadcast", "agree", "all_to_all", "all_reduce")}
    stopped, late = run("all_reduce", f"stop:{CALL}:2"), run("absent", None)
    killed, left = run("all_reduce", f"kill:{CALL}:1"), run("all_reduce", f"exit:{CALL}:1")
    corrupt = run("all_reduce", f"corrupt:{CALL}:1")
    dropped = run("all_to_all", f"drop:{CALL}:1", CALL)
    for job in good:
        job.result().expect_done()
    for operation, job in hangs.items():
        job.result().expect_ended()
        job.result().expect_line(operation, STEP[operation], NO_WORD)
    stopped.result().expect_ended()
    stopped.result().expect_line("all_reduce", STEP["all_reduce"], NO_WORD)
    late.result().expect_ended()
    late.result().expect_line("all_reduce", "4", NO_WORD)  # by the rank that waited longest
    left.result().expect_gone()  # MPICH's mpirun may return the code of the rank that left, 0
    for job in (killed, corrupt, dropped):
        job.result().expect_ended()
    job = corrupt.result()
    job.check("mixt: step 3: number" in job.text, "the turned bit was not seen")


def try_device(run):
    good, absent = run("all_reduce", None, 10), run("absent", None)
    good.result().expect_done()
    absent.result().expect_ended()
    absent.result().expect_line("all_reduce", "4", "")


def main():
    name, folder, program, backend = sys.argv[1:]
    command = ranks.require(name, folder) + ["-n", str(RANKS), program, backend]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        def run(operation, fault, steps=1000000):
            arguments = [operation, str(TIMEOUT_S), str(steps)]
            return pool.submit(Job, name, command + arguments, folder, fault)
        (try_device if backend == "cuda-emu" else try_host)(run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
