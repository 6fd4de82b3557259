#!/usr/bin/env python3
"""Checks that every header compiles alone and twice, without warnings, and is guarded by its path.

Usage: check_headers.py ROOT COMPILER [FLAG...]
"""
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import tree

FLAGS = ["-D_GNU_SOURCE", "-fopenmp", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
         "-fsyntax-only"]
CUDA_INCLUDE = "/usr/local/cuda/include"
CUDA = re.compile(r"^#\s*include <(cuda|cublas|cudnn|nccl)", re.MULTILINE)
# What kernel files include: C++, with macros of as many arguments as CUDA's.
CPLUSPLUS = ("backend/cuda/cu.h", "backend/cuda/device.h", "tests/simt/simt.h")


def wanted_guard(path):
    return "MIXT_" + re.sub(r"[/.\-]", "_", path).upper()


def check_guard(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    guard = re.search(r"^#ifndef (\w+)\n#define (\w+)\n", text, re.MULTILINE)
    if guard is None or {guard.group(1), guard.group(2)} != {wanted_guard(path)}:
        return f"{path}:1: its include guard is not {wanted_guard(path)}\n"
    return ""


def is_without_cuda(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        needs_cuda = path in CPLUSPLUS or CUDA.search(file.read())
    return needs_cuda and not os.path.isdir(CUDA_INCLUDE)


def check_header(root, path, compiler):
    if is_without_cuda(root, path):
        return check_guard(root, path)
    language = ["-std=c11", "-x", "c"]
    if path in CPLUSPLUS:
        language = ["-std=gnu++17", "-Wno-pedantic", "-Wno-unknown-pragmas", "-x", "c++"]
    source = f'#include "{path}"\n#include "{path}"\nextern int header_is_complete;\n'
    command = compiler + FLAGS + ["-isystem", CUDA_INCLUDE, "-I", root] + language + ["-"]
    done = subprocess.run(command, input=source.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    complaint = done.stdout.decode() if done.returncode else ""
    return complaint + check_guard(root, path)


def main():
    root, compiler = sys.argv[1], sys.argv[2:]
    names = tree.files(root, [".h"])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = [text for text in pool.map(lambda name: check_header(root, name, compiler),
                                                names) if text]
    print(*complaints, sep="", end="")
    print(f"{len(names)} headers checked, {len(complaints)} with complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
