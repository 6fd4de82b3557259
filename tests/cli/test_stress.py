#!/usr/bin/env python3
"""Ranks that are killed, stopped or gone at random moments of a training that saves all the time.

Every round starts the same run again, on as many ranks as chance says, under one MPI library or the
other; one rank is lost; all must have ended in time, and what is saved must translate. The next
round goes on from it, the last one alone and to its end.

Usage: test_stress.py MIXT [--rounds N] [--seed N]
Exits with 77 where mixt has no module for an MPI library that is installed.
"""
import argparse
import collections
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from harness import Bench, ENVIRONMENT, expect

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "comm"))
import ranks  # noqa: E402

TIMEOUT_S = 3
# Who waits longest begins late, calls the roll and is ended by its launcher; cores are shared.
END_S = 2 * TIMEOUT_S + 12
START_S = 60
LONGEST_S = 1.5  # from the first step until a signal
CALLS = 1500  # of the transport until an exit; a start takes about 50, an update with a save 40
RANKS = (2, 3, 4)
SETTINGS = ("save.every=2", "log.every=1", f"dist.timeout_s={TIMEOUT_S}",
            "model.moe.expert.hidden=1024")
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "ask": signal.SIGTERM}


class Training:
    """One start under mpirun, and what it has said so far."""

    def __init__(self, bench, name, count, fault):
        command = [*ranks.command_start(name), "-n", str(count), bench.program, "train", "-c",
                   "tiny.yaml", "save.dir=run", "train.steps=1000000", *SETTINGS]
        environment = {**ENVIRONMENT, **ranks.environment(os.path.dirname(bench.program)), **fault}
        self.folder, self.text = os.path.realpath(bench.folder), ""
        self.process = subprocess.Popen(command, cwd=bench.folder, env=environment, text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, start_new_session=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.text += line

    def ranks(self):
        """Process ids of those that are there."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8") as file:
                    command, state = file.read().split("(", 1)[1].rsplit(")", 1)
                if command == "mixt" and state.split()[0] not in "ZX" and \
                        os.readlink(f"/proc/{name}/cwd") == self.folder:
                    found.append(int(name))
            except OSError:
                pass
        return found

    def wait_until(self, condition, limit_s, what):
        end = time.monotonic() + limit_s
        while not condition():
            expect(time.monotonic() < end, f"not within {limit_s:g} s: {what}\n{self.text}")
            time.sleep(0.02)

    def has_ended(self):
        return self.process.poll() is not None and not self.ranks()

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid in self.ranks():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()


def lose(training, event, chance, count):
    """One rank is lost, unless the fault in its environment is what it ends by; from when on the
    others have to end."""
    if event in SIGNALS:
        training.wait_until(lambda: re.search("^step ", training.text, re.M), START_S, "a step")
        time.sleep(chance.random() * LONGEST_S)
        pids = training.ranks()
        expect(len(pids) == count, f"{count} ranks wanted: {pids}\n{training.text}")
        os.kill(chance.choice(pids), SIGNALS[event])
    else:
        training.wait_until(lambda: len(training.ranks()) == count, START_S, "all ranks")
        training.wait_until(lambda: len(training.ranks()) < count, START_S, "a rank's exit")
    return time.monotonic()


def step_of(text):
    found = re.search(r" continuing after step (\d+)$", text, re.M)
    expect(found, f"no first step in:\n{text}")
    return int(found.group(1))


def play(bench, number, name, event):
    """A round; the step that it went on from and the seconds that all took to end."""
    chance, count = bench.random, bench.random.choice(RANKS)
    rank, call = chance.randrange(count), chance.randrange(60, CALLS)
    fault = {"MIXT_COMM_FAULT": f"exit:{call}:{rank}"} if event == "exit" else {}
    training = Training(bench, name, count, fault)
    try:
        lost_s = lose(training, event, chance, count)
        training.wait_until(training.has_ended, END_S, f"the end of all after '{event}'")
        took_s = time.monotonic() - lost_s
    finally:
        training.close()
    step = step_of(training.text)
    print(f"round {number}: {name}, {count} ranks from step {step}: {event}; all ended "
          f"{took_s:.1f} s later, mpirun's code {training.process.returncode}", flush=True)
    return step, took_s


def expect_whole(bench):
    result = bench.run("translate", "-m", "run", stdin=bench.read("valid.src"))
    expect(result.code == 0 and result.out.count(b"\n") == 10, f"ten lines wanted: {result}")


def stress(bench, rounds):
    names = ranks.usable_libraries(os.path.dirname(bench.program))
    events = [*SIGNALS, "exit"]
    count, longest_s, step = collections.Counter(), 0, 0
    bench.write_corpus()
    bench.write_config(steps=100, every=100000)
    bench.train("run", "train.steps=2", *SETTINGS)
    for number in range(1, rounds + 1):
        name, event = bench.random.choice(names), bench.random.choice(events)
        began, took_s = play(bench, number, name, event)
        expect(began >= step, f"step {began} after step {step}: a saved state is lost")
        expect_whole(bench)
        step, longest_s = began, max(longest_s, took_s)
        count[event] += 1
    bench.train("run", f"train.steps={step + 300}", "save.every=300", *SETTINGS[1:])
    expect_whole(bench)
    print(f"{rounds} rounds ({dict(count)}): the last end {longest_s:.1f} s after a loss, "
          f"at a limit of {TIMEOUT_S} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", help="the mixt to test")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.randrange(1000000))
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.program)
    if not ranks.usable_libraries(os.path.dirname(program)):
        print("skipped: no MPI library with its module")
        return ranks.SKIPPED
    print(f"seed {arguments.seed}")
    folder = tempfile.mkdtemp(prefix="mixt-stress-")
    try:
        stress(Bench(program, folder, arguments.seed), arguments.rounds)
    except AssertionError as error:
        print(f"FAIL (seed {arguments.seed}): {error}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
