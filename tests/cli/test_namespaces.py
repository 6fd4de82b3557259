#!/usr/bin/env python3
"""Training on several hosts, which are network namespaces of this machine: over TCP, with a slow
network, and when a host's link is cut.

Usage: test_namespaces.py MIXT [--only NAME] [--seed N]
Exits with 77 and a reason where there is no MPI library or no right to make namespaces.
"""
import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import hosts as network
from harness import ENVIRONMENT, expect, main, Result
from hosts import Hosts

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "comm"))
import ranks  # noqa: E402

N = 3
TIMEOUT_S = 3
LIMIT_S = 60
# From the cut until the last rank is gone: the one that waits longest begins late, calls the roll
# and has to be ended by its launcher.
END_S = 2 * TIMEOUT_S + 15
DELAY_S = 0.005


def libraries(program):
    return ranks.usable_libraries(os.path.dirname(os.path.abspath(program)))


def mpirun(name):
    """No host shares memory with another."""
    start = " ".join(ranks.command_start(name))
    return start + (" --mca btl tcp,self --mca pml ob1" if name == "openmpi" else " -iface e0")


@contextlib.contextmanager
def started(bench, hosts, *command):
    environment = {**ENVIRONMENT, **ranks.environment(os.path.dirname(bench.program)),
                   "UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "e0"}
    with subprocess.Popen([*hosts.on_hub(), *command], cwd=bench.folder, env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def launched(bench, hosts, name, *arguments, restarts=0):
    return started(bench, hosts, bench.program, "launch", "--hosts", hosts.names(), "--agent",
                   hosts.agent, "--mpirun", mpirun(name), f"--restarts={restarts}", "--pause=0.1",
                   "--", "train", "-c", "tiny.yaml", f"dist.timeout_s={TIMEOUT_S}", *arguments)


def started_ranks(bench, hosts, name, *arguments):
    """What a rank says goes to a file of its host, since one that is cut off can tell no other."""
    where = ["--host", hosts.names(), "--mca", "plm_rsh_agent"] if name == "openmpi" else \
        ["-hosts", hosts.names(), "-launcher", "ssh", "-launcher-exec"]
    return started(bench, hosts, *mpirun(name).split(), "-n", str(N), *where, hosts.agent, "sh",
                   "-c", f'exec "$0" "$@" 2>"{name}.$(uname -n)"', bench.program, "train", "-c",
                   "tiny.yaml", "save.dir=" + name, f"dist.timeout_s={TIMEOUT_S}", *arguments)


def wait_until(condition, limit_s, what):
    end = time.monotonic() + limit_s
    while not condition():
        expect(time.monotonic() < end, f"not within {limit_s} s: {what}")
        time.sleep(0.05)


def is_training(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            name, state = file.read().split("(", 1)[1].rsplit(")", 1)
        return name == "mixt" and state.split()[0] not in "ZX"
    except OSError:
        return False


def trainings(hosts):
    return [i for i in range(1, N + 1) if any(map(is_training, hosts.pids(str(i))))]


def finish(process, what):
    try:
        result = Result(0, *process.communicate(timeout=LIMIT_S))
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{what}: not done after {LIMIT_S} s") from late
    result.code = process.returncode
    expect(result.code == 0, f"{what}: {result}")


def make_run(bench, **settings):
    bench.write_corpus()
    bench.write_config(**settings)


def test_cut(bench):
    """All ranks end in time, the one that is cut off, too, each with a line that says where."""
    make_run(bench, steps=100000, every=100000)
    for name in libraries(bench.program):
        def said(i):
            path = bench.path(f"{name}.host{i}")
            return bench.read(path).decode() if os.path.exists(path) else ""
        with Hosts(N, bench.folder) as hosts, \
                started_ranks(bench, hosts, name, "log.every=1"):
            wait_until(lambda: "step 7/" in said(1), LIMIT_S, f"{name}: step 7")
            expect(trainings(hosts) == [1, 2, 3], f"a rank on every host: {trainings(hosts)}")
            hosts.cut(N)
            start_s = time.monotonic()
            wait_until(lambda: not trainings(hosts), END_S, f"{name}: the end of all ranks")
            print(f"     {name}: all ended {time.monotonic() - start_s:.1f} s after the cut")
        lines = re.findall(rf"^mixt: rank ([01]) on host([12]): step \d+: \w+ did not end within "
                           rf"{TIMEOUT_S} s; no word from rank 2$", said(1) + said(2), re.M)
        expect(lines and all(int(r) + 1 == int(i) for r, i in lines), f"{name}: {said(1)}{said(2)}")
        expect(re.search(rf"^mixt: rank 2 on host3: step \d+: \w+ did not end within {TIMEOUT_S} s;"
                         r" no word from rank 0, 1$", said(3), re.M), f"{name}: host3: {said(3)}")


def train_everywhere(bench, name, directory, **how):
    with Hosts(N, bench.folder, **how) as hosts, \
            launched(bench, hosts, name, "save.dir=" + directory) as process:
        finish(process, directory)
        for i in range(1, N + 1):
            expect(hosts.received_bytes(i) > 100000, f"{directory}: host {i} received too little")


def test_launch_goes_on(bench):
    """mixt launch starts again without the host that is cut off, for which mpirun may wait."""
    make_run(bench, steps=600, every=50)
    for name in libraries(bench.program):
        with Hosts(N, bench.folder) as hosts, \
                launched(bench, hosts, name, "save.dir=" + name, "log.every=20",
                         restarts=3) as process:
            wait_until(lambda: b"step 60/" in process.stderr.readline(), LIMIT_S, "step 60")
            hosts.cut(N)
            # Not until its output ends, which what mpirun left on the lost host may hold open.
            expect(process.wait(timeout=3 * LIMIT_S) == 0, f"{name}: exit code")
        info = bench.run("info", name + "/last/state.safetensors")
        expect(b"step: 600\n" in info.out and b"shards: 2" in info.out, str(info))


def test_tcp(bench):
    """mixt launch trains on all hosts, whose tensors travel by their network."""
    make_run(bench, steps=20)
    for name in libraries(bench.program):
        train_everywhere(bench, name, name)


def test_latency(bench):
    """A slow network changes nothing but the time."""
    make_run(bench, steps=5, every=5)
    for name in libraries(bench.program):
        train_everywhere(bench, name, name)
        train_everywhere(bench, name, name + " slow", delay_s=DELAY_S)
        wanted, found = (bench.run("translate", "-m", directory, stdin=bench.read("valid.src"))
                         for directory in (name, name + " slow"))
        expect(wanted.code == 0 and found.code == 0, f"{wanted}{found}")
        expect(wanted.out == found.out, f"{name}: other translations over a slow network")


if __name__ == "__main__":
    lacking = network.missing() if len(sys.argv) > 1 else None
    if len(sys.argv) > 1 and not libraries(sys.argv[1]):
        lacking = "an MPI library with its module"
    if lacking:
        print("skipped; missing:", lacking)
        sys.exit(ranks.SKIPPED)
    main([test_cut, test_launch_goes_on, test_tcp, test_latency])
