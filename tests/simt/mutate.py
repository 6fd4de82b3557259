#!/usr/bin/env python3
"""Breaks the CUDA kernels on purpose, one place after the other, and counts what the tests see.

    mutate.py run ROOT TEST_OPS TEST_KERNELS MODULE_FOLDER [--only topk.cu] [--number N] [--jobs 2]
    mutate.py list ROOT
    mutate.py rewrite ROOT FILE.cu OUTPUT
    mutate.py self-test

All mutants of a kernel file (mutants.py) are in one text, and SIMT_MUTANT chooses one of them: the
build makes one module of all kernel files, and `run` opens it once a mutant and test. Tests are
those of operations against the reference on the emulator that checks every access, and those of
launchers with grids of two blocks; only those run that come to the place, the shortest first, until
one fails. A mutant lives if nothing fails. `run` fails where fewer than 95 of 100 deletions are
caught, or where a mutant lives that doc/cuda.md does not argue.
"""
import argparse
import concurrent.futures
import os
import select
import subprocess
import sys
import tempfile
import time

import mutants

BACKEND = "cuda-emu"
KERNELS = "kernels"  # the test of launchers, among the names of operations
STEPS = "50000000"   # accesses of a kernel before it counts as endless
LIMIT = 10           # seconds at least, and so many times a test's own, before a test does
TIMES = 5
WANTED = 0.95
FAILED = (b"FAILED", b"simt:", b"test_ops:")


class Tests:
    """What can be run, how, and what came to which place in how much time."""

    def __init__(self, options):
        self.test_ops, self.test_kernels = options.test_ops, options.test_kernels
        self.environment = {**os.environ, "LD_LIBRARY_PATH": options.folder,
                            "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1",
                            "SIMT_STEPS": STEPS}
        self.seconds, self.reached = {}, {}

    def names(self):
        listed = subprocess.run([self.test_ops, "--list"], stdout=subprocess.PIPE, text=True,
                                check=True).stdout.split()
        return [KERNELS] + list(dict.fromkeys(listed))

    def command(self, name):
        if name == KERNELS:
            return [self.test_kernels]
        return ["stdbuf", "-oL", self.test_ops, "--backend", BACKEND, "--only", name]

    def run(self, name, settings, limit):
        """What went wrong first, or "" for nothing."""
        process = subprocess.Popen(self.command(name), stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env={**self.environment, **settings})
        try:
            return first_failure(process, time.monotonic() + limit)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def explore(self, name):
        """Runs a test with nothing broken, to see where it comes to."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "reached")
            begin = time.monotonic()
            seen = self.run(name, {"SIMT_MUTANTS_REACHED": path}, 3600)
            self.seconds[name] = time.monotonic() - begin
            if seen:
                sys.exit(f"{name} fails with nothing broken: {seen}")
            with open(path, encoding="ascii") as file:
                self.reached[name] = {int(word) for word in file.read().split()}

    def judge(self, number):
        """(what the tests saw of a mutant or "", how many came to it)."""
        names = [name for name in self.reached if number in self.reached[name]]
        for name in sorted(names, key=self.seconds.get):
            seen = self.run(name, {"SIMT_MUTANT": str(number)},
                            max(LIMIT, TIMES * self.seconds[name]))
            if seen:
                return f"{name}: {seen}", len(names)
        return "", len(names)


def first_failure(process, end):
    """Reads a test's lines until one tells of a failure, it ends, or the time is up."""
    source, rest = process.stdout.fileno(), b""
    while True:
        ready, _, _ = select.select([source], [], [], max(0, end - time.monotonic()))
        if not ready:
            return "no end"
        piece = os.read(source, 65536)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(FAILED):
                return line.decode(errors="replace")
        if not piece:
            code = process.wait()
            return f"exit code {code}" if code else ""


def wanted_mutants(options):
    """(file, mutant) of those to run."""
    found = []
    for name, (_, places) in mutants.read_all(options.root).items():
        if options.only in (None, name):
            found += [(name, mutant) for mutant in places
                      if options.number in (None, mutant.number)]
    return found


def argued(root):
    """The text of doc/cuda.md, where those that live are named as "FILE FUNCTION: PLACE"."""
    with open(os.path.join(root, "doc", "cuda.md"), encoding="utf-8") as file:
        return file.read()


def report(chosen, alive, doc):
    """Prints the sum of it; whether it is as it should be. Both are pairs of file and mutant."""
    for what, is_step in (("deletions", False), ("steps too many", True)):
        n_all, n_alive = (sum(m.is_step == is_step for _, m in pairs) for pairs in (chosen, alive))
        share = (n_all - n_alive) / max(1, n_all)
        print(f"{what}: {n_all - n_alive} of {n_all} caught ({100 * share:.1f} %)")
        is_fine = is_step and is_fine or not is_step and (share >= WANTED or n_all == 0)
    for name, mutant in alive:
        is_known = f"`{name} {mutant.label}`" in doc
        is_fine = is_fine and is_known
        print(f"lives, {'argued' if is_known else 'NOT ARGUED'}: {name} {mutant.label}")
    return is_fine


def run(options):
    tests, chosen, alive = Tests(options), wanted_mutants(options), []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(tests.explore, tests.names()))
        print(f"{len(tests.seconds)} tests, {sum(tests.seconds.values()):.0f} s", flush=True)
        verdicts = pool.map(lambda pair: tests.judge(pair[1].number), chosen)
        for (name, mutant), (seen, n_tests) in zip(chosen, verdicts):
            print(f"{mutant.number} {name}:{mutant.line} {mutant.label}: "
                  f"{seen or 'LIVES'} [{n_tests} tests]", flush=True)
            if not seen:
                alive.append((name, mutant))
    return report(chosen, alive, argued(options.root))


def list_all(options):
    for name, (_, places) in mutants.read_all(options.root).items():
        for mutant in places:
            print(f"{mutant.number} {name}:{mutant.line} {mutant.label}")
    return True


def rewrite(options):
    text = mutants.rewrite(options.root, os.path.basename(options.file))
    with open(options.output, "w", encoding="utf-8") as file:
        file.write(text)
    return True


SAMPLE = """
static int host(int n) { return n < 3 ? 1 : 0; }
__global__ void sample_kernel(int *y, const int *x, int n)
{
    for (int i = 0; i < n; i++)
        if (f(i, x[i] < 2) < n && i >= 3)
            atomicAdd(&y[x[i]], 1);
    __syncthreads();
}
"""
SAMPLE_SWITCHED = """
static int host(int n) { return n < 3 ? 1 : 0; }
__global__ void sample_kernel(int *y, const int *x, int n)
{
    for (int i = 0; (simt_is_mutant(2) ? (i <= n) : ((simt_is_mutant(1) ? (true) : (i < n)))); i++)
        if ((simt_is_mutant(3) ? (true) : (f(i, (simt_is_mutant(4) ? (true) : (x[i] < 2))) < n)) \
&& (simt_is_mutant(6) ? (false) : ((simt_is_mutant(5) ? (true) : (i >= 3)))))
            (simt_is_mutant(7) ? (plainAdd(&y[x[i]], 1)) : (atomicAdd(&y[x[i]], 1)));
    { if (!simt_is_mutant(8)) __syncthreads(); }
}
"""


def self_test(_):
    """Every kind of place in a small text, one within another; nothing of the host's."""
    places = mutants.places_of(SAMPLE)
    for number, mutant in enumerate(places, 1):
        mutant.number = number
    got = mutants.switched(SAMPLE, places, 0, len(SAMPLE))
    if got != SAMPLE_SWITCHED:
        print(f"FAILED: the sample became{got}")
    failed = [line for line in (b"FAILED x", b"simt: race: write") if not line.startswith(FAILED)]
    pairs = [("a.cu", mutant) for mutant in 5 * places]
    alive = [pair for pair in pairs if pair[1].label.endswith("barrier")]
    doc = f"| `a.cu {alive[0][1].label}` |"
    is_judged = report(pairs, alive[:1], doc) and not report(pairs, alive[:1], "") and \
        not report(pairs, alive, doc) and not report(pairs, [("a.cu", places[1])], doc)
    return got == SAMPLE_SWITCHED and not failed and is_judged


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="what", required=True)
    part = parts.add_parser("run")
    for name in ("root", "test_ops", "test_kernels", "folder"):
        part.add_argument(name)
    part.add_argument("--only", help="one file of backend/cuda")
    part.add_argument("--number", type=int, help="one mutant")
    part.add_argument("--jobs", type=int, default=2)
    part.set_defaults(do=run)
    part = parts.add_parser("list")
    part.add_argument("root")
    part.set_defaults(do=list_all)
    part = parts.add_parser("rewrite")
    for name in ("root", "file", "output"):
        part.add_argument(name)
    part.set_defaults(do=rewrite)
    parts.add_parser("self-test").set_defaults(do=self_test)
    options = parser.parse_args()
    sys.exit(0 if options.do(options) else 1)


if __name__ == "__main__":
    main()
