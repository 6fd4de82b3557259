"""Several hosts on one machine: network namespaces, each with a host name of its own, joined by
veth pairs and a bridge, or, where the network is to be slow, by a switch of this process.

Needs the rights of root and iproute2; missing() says what is not there.
"""
import collections
import ctypes
import fcntl
import os
import select
import shutil
import signal
import struct
import subprocess
import threading
import time

NETWORK = "10.213.0"
# Runs a command line on a host as ssh does, and says no where its link is down.
AGENT = """#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
host=${{1##*.}}; shift
ip -n {prefix}hub link show "v$host" | grep -q 'state UP' || exit 255
exec ip netns exec "{prefix}$host" unshare --uts sh -c "hostname host$host && $*"
"""
FRAME_BYTES = 2048
# From linux/if_tun.h and linux/sched.h.
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
CLONE_NEWNET = 0x40000000


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False)


def missing():
    """What is lacking for hosts, or None."""
    for tool in ("ip", "unshare", "hostname"):
        if not shutil.which(tool):
            return tool
    name = f"mixt{os.getpid()}-try"
    for words in (("ip", "netns", "add", name),
                  ("ip", "-n", name, "link", "add", "e0", "type", "bridge"),
                  ("ip", "-n", name, "link", "add", "v1", "type", "veth", "peer", "name", "v2"),
                  ("ip", "netns", "exec", name, "unshare", "--uts", "hostname", "try")):
        result = run(*words)
        if result.returncode != 0:
            break
    run("ip", "netns", "delete", name)
    if result.returncode == 0:
        return None
    return f"the right to make hosts: {' '.join(words)}: {result.stderr.strip()}"


class Switch:
    """Gives every namespace a device e0; what one sends comes to all others delay_s later."""

    def __init__(self, namespaces, delay_s):
        self.delay_s, self.is_open = delay_s, True
        self.ports = [self.open_port(namespace) for namespace in namespaces]
        self.thread = threading.Thread(target=self.forward, daemon=True)
        self.thread.start()

    @staticmethod
    def open_port(namespace):
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as home, \
                open(f"/run/netns/{namespace}", "rb") as other:
            if libc.setns(other.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                port = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                fcntl.ioctl(port, TUNSETIFF, struct.pack("16sH22x", b"e0", IFF_TAP | IFF_NO_PI))
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)
        return port

    def forward(self):
        waiting = collections.deque()  # (when it is due, from where, frame)
        while self.is_open:
            left_s = max(0, waiting[0][0] - time.monotonic()) if waiting else 0.1
            for port in select.select(self.ports, [], [], left_s)[0]:
                waiting.append((time.monotonic() + self.delay_s, port, os.read(port, FRAME_BYTES)))
            while waiting and waiting[0][0] <= time.monotonic():
                _, source, frame = waiting.popleft()
                for port in self.ports:
                    self.put(port, source, frame)

    @staticmethod
    def put(port, source, frame):
        """A port that is down or full loses what comes, as real ones do."""
        try:
            if port != source:
                os.write(port, frame)
        except OSError:
            pass

    def close(self):
        self.is_open = False
        self.thread.join()
        for port in self.ports:
            os.close(port)


class Hosts:
    """Hosts 1 to n at addresses NETWORK.1 to n; mpirun runs on another machine, the hub. With
    delay_s everything takes that much longer on its way."""

    def __init__(self, n, folder, delay_s=0):
        self.n, self.prefix, self.delay_s, self.switch = n, f"mixt{os.getpid()}-", delay_s, None
        self.places = ["hub"] + [str(i) for i in range(1, n + 1)]
        self.agent = os.path.join(folder, "agent.sh")
        text = AGENT if delay_s == 0 else \
            "".join(line for line in AGENT.splitlines(True) if "state UP" not in line)
        with open(self.agent, "w", encoding="utf-8") as file:
            file.write(text.format(prefix=self.prefix))
        os.chmod(self.agent, 0o755)

    def ip(self, place, *words):
        result = run("ip", "-n", self.prefix + place, *words)
        if result.returncode != 0:
            raise RuntimeError(f"ip {' '.join(words)}: {result.stderr}")

    def __enter__(self):
        try:
            for place in self.places:
                subprocess.run(["ip", "netns", "add", self.prefix + place], check=True)
                self.ip(place, "link", "set", "lo", "up")
            self.connect()
            for i, place in enumerate(self.places):
                address = f"{NETWORK}.{i if i > 0 else 254}/24"
                self.ip(place, "address", "add", address, "dev", "e0")
                self.ip(place, "link", "set", "e0", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def connect(self):
        if self.delay_s > 0:
            self.switch = Switch([self.prefix + place for place in self.places], self.delay_s)
            return
        self.ip("hub", "link", "add", "e0", "type", "bridge")
        for place in self.places[1:]:
            self.ip("hub", "link", "add", "v" + place, "master", "e0", "type", "veth", "peer",
                    "name", "e0", "netns", self.prefix + place)
            self.ip("hub", "link", "set", "v" + place, "up")

    def pids(self, place):
        found = run("ip", "netns", "pids", self.prefix + place).stdout.split()
        return [int(pid) for pid in found]

    def __exit__(self, *_):
        for place in self.places:
            for pid in self.pids(place):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if self.switch:
            self.switch.close()
        for place in self.places:
            run("ip", "netns", "delete", self.prefix + place)

    def cut(self, i):
        self.ip("hub", "link", "set", f"v{i}", "down")

    def received_bytes(self, i):
        """What a host got by its network."""
        lines = run("ip", "netns", "exec", f"{self.prefix}{i}", "cat", "/proc/net/dev").stdout
        return next(int(line.split()[1]) for line in lines.splitlines() if "e0:" in line)

    def names(self):
        return ",".join(f"{NETWORK}.{i}:1" for i in range(1, self.n + 1))

    def on_hub(self):
        """The start of a command line that runs there."""
        return ["ip", "netns", "exec", self.prefix + "hub", "unshare", "--uts", "sh", "-c",
                'hostname hub && exec "$0" "$@"']
