#!/usr/bin/env python3
"""Runs travel on simulated ranks (SimGrid's SMPI), and sets its times beside the alpha-beta model.

The network: hosts of one rank each at 12.5 GB/s and 1 us from a backbone; what a rank does for a
message costs it 1 us each at both ends. Simulated times are estimates, not measurements.

Usage: simulate.py TRAVEL RANKS NODE [TOKENS]
Exits with 77 and a reason where SimGrid is missing.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

BANDWIDTH, LINK_S, OVERHEAD_S = 12.5e9, 1e-6, 1e-6
WIDTH, ROUNDS, CHOICES, EXPERTS_A_RANK = 8, 1, 2, 2
STAGES_WIN_FROM = 256  # ranks
# From so many ranks on a send ends when it is received: sends that went their own way take SimGrid
# minutes to remember, at 128 ranks, and hours at 512.
MANY = 256
PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <cluster id="c" prefix="n" suffix="" radical="0-{last}" speed="100Gf" bw="{bandwidth}Bps"
           lat="{latency}s"/>
</platform>
"""
SETTINGS = ["smpi/host-speed:100Gf", "smpi/simulate-computation:no", "smpi/test:0",
            "smpi/grow-injected-times:no", "network/crosstraffic:0"]


def simulate(travel, ranks, node, tokens):
    settings = SETTINGS + [f"smpi/{name}:0:{OVERHEAD_S}:0" for name in ("os", "ois", "or")]
    if ranks >= MANY:
        settings.append("smpi/send-is-detached-thresh:0")
    with tempfile.TemporaryDirectory() as folder:
        platform, hosts = os.path.join(folder, "platform.xml"), os.path.join(folder, "hosts")
        with open(platform, "w", encoding="utf-8") as file:
            file.write(PLATFORM.format(last=ranks - 1, bandwidth=BANDWIDTH, latency=LINK_S))
        with open(hosts, "w", encoding="utf-8") as file:
            file.write("".join(f"n{rank}\n" for rank in range(ranks)))
        return subprocess.run(
            ["smpirun", "-np", str(ranks), "-hostfile", hosts, "-platform", platform,
             *(f"--cfg={setting}" for setting in settings), "--log=root.thres:error",
             os.path.abspath(travel), str(node), str(tokens), str(WIDTH), str(ROUNDS)],
            cwd=folder, capture_output=True, text=True, check=False)


def exchange_model_s(messages, sent_bytes):
    """Overheads of sending and receiving each message, the bytes, one way through the network."""
    return messages * 2 * OVERHEAD_S + sent_bytes / BANDWIDTH + 2 * LINK_S


def model_s(ranks, node, tokens):
    """Three all-to-alls, of numbers and of rows there and back, at once or in stages."""
    counts, rows = ranks * EXPERTS_A_RANK * 4, tokens * CHOICES * WIDTH * 4
    total = 0
    for sent in (counts, rows, rows):
        if node == 1:
            total += exchange_model_s(ranks - 1, sent)
        else:
            nodes = ranks // node
            total += exchange_model_s(node - 1, nodes * 8 * node) + \
                exchange_model_s(node - 1, sent) + exchange_model_s(nodes - 1, sent)
    return total


def main():
    if not shutil.which("smpirun"):
        print("skipped; missing: SimGrid (libsimgrid-dev)")
        return 77
    travel, ranks, node = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    tokens = int(sys.argv[4]) if len(sys.argv) > 4 else 16
    result = simulate(travel, ranks, node, tokens)
    found = re.search(r"at_once_s (\S+) in_stages_s (\S+)", result.stdout)
    if result.returncode != 0 or not found:
        print(f"exit code {result.returncode}: {result.stdout}{result.stderr}")
        return 1
    at_once_s, in_stages_s = map(float, found.groups())
    for name, seconds, model in (("at once", at_once_s, model_s(ranks, 1, tokens)),
                                 (f"in stages of {node}", in_stages_s,
                                  model_s(ranks, node, tokens))):
        print(f"{ranks} ranks, {name}: simulated {seconds * 1e6:.0f} us, model {model * 1e6:.0f}")
    if ranks >= STAGES_WIN_FROM and in_stages_s >= at_once_s:
        print("stages should be faster")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
