#!/usr/bin/env python3
"""Registers and shared memory of every kernel, as ptxas reports them.

Usage: registers.py NVCC ROOT [--gpu 80] [--only topk.cu]

Compiles backend/cuda/*.cu for one GPU and prints a line for each kernel. The exit code is 1 where a
kernel spills, has a stack frame, needs more than 128 registers, or more than 48 KiB of shared
memory that the compiler sees.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import tempfile

MOST_REGISTERS, MOST_SHARED = 128, 48 * 1024
ENTRY = re.compile(r"Compiling entry function '(\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def report_of(text):
    """(kernel, registers, shared bytes, stack and spilled bytes) of each kernel."""
    found, name, spilled = [], None, 0
    for line in text.splitlines():
        if match := ENTRY.search(line):
            name, spilled = match.group(1), 0
        elif match := FRAME.search(line):
            spilled = sum(int(number) for number in match.groups())
        elif name and (match := USED.search(line)):
            shared = SHARED.search(line)
            n_shared = int(shared.group(1)) if shared else 0
            found.append((name, int(match.group(1)), n_shared, spilled))
            name = None
    return found


def compile_one(nvcc, root, gpu, path):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [nvcc, "-cubin", path, "-o", os.path.join(folder, "x.cubin"), "-I", root, "-std=c++17",
             "-O3", f"-arch=compute_{gpu}", f"-code=sm_{gpu}", "-Xptxas", "-v"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"registers.py: {path}: {done.stdout}")
    return report_of(done.stdout)


def readable(names):
    try:
        done = subprocess.run(["c++filt", "-p"], input="\n".join(names), stdout=subprocess.PIPE,
                              text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return names
    return [name.replace("void ", "").replace("(anonymous namespace)::", "")
            for name in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nvcc")
    parser.add_argument("root")
    parser.add_argument("--gpu", default="80")
    parser.add_argument("--only", default="*.cu")
    options = parser.parse_args()
    paths = sorted(glob.glob(os.path.join(options.root, "backend", "cuda", options.only)))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(
            lambda path: compile_one(options.nvcc, options.root, options.gpu, path), paths))
    lines = [line for report in reports for line in report]
    if not lines:
        sys.exit("registers.py: no kernel found")
    n_bad = 0
    print(f"sm_{options.gpu}: registers, bytes of shared memory, kernel")
    for (_, registers, shared, spilled), name in zip(lines, readable([line[0] for line in lines])):
        is_bad = registers > MOST_REGISTERS or shared > MOST_SHARED or spilled > 0
        n_bad += is_bad
        print(f"{registers:4d} {shared:6d}  {name}" +
              (f"  TOO MUCH; {spilled} bytes of stack and spills" if is_bad else ""))
    print(f"{len(lines)} kernels, at most {max(line[1] for line in lines)} registers; {n_bad} bad")
    return n_bad > 0


if __name__ == "__main__":
    sys.exit(main())
