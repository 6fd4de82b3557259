#!/usr/bin/env python3
"""tests/gpu-selftest as far as it comes without a GPU: what it refuses.

Usage: test_gpu_selftest.py MIXT [--only NAME] [--seed N]
"""
import os
import shutil

from harness import ENVIRONMENT, expect, main

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "gpu-selftest")
NEEDED = ("bash", "env", "cat", "dirname", "readlink", "grep")


def start(bench, *arguments):
    """Where no program of NVIDIA's is found."""
    os.makedirs(bench.path("bin"), exist_ok=True)
    for name in NEEDED:
        if not os.path.exists(bench.path("bin", name)):
            os.symlink(shutil.which(name), bench.path("bin", name))
    bench.program = SCRIPT
    return bench.run("--log", bench.path("log"), *arguments,
                     env={**ENVIRONMENT, "PATH": bench.path("bin")})


def expect_refused(result, code, text):
    expect(result.code == code and result.out == b"" and text in result.err
           and len(result.err.splitlines()) == 1, result)


def test_no_driver(bench):
    expect_refused(start(bench), 3, "no NVIDIA driver here")
    expect_refused(start(bench, "--device", "cuda:1"), 3, "no NVIDIA driver here")


def test_no_gpu(bench):
    bench.write("nvidia-smi", b"#!/bin/sh\nexit 9\n")
    os.makedirs(bench.path("bin"), exist_ok=True)
    os.chmod(bench.path("nvidia-smi"), 0o755)
    os.symlink(bench.path("nvidia-smi"), bench.path("bin", "nvidia-smi"))
    expect_refused(start(bench), 3, "no GPU here")


def test_usage(bench):
    expect_refused(start(bench, "--nosuch"), 2, "unknown option '--nosuch'")
    expect_refused(start(bench, "--device"), 2, "--device wants a value")
    expect_refused(start(bench, "--device", "cpu"), 2, "no device 'cpu'")
    result = start(bench, "--help")
    expect(result.code == 0 and b"Exit codes" in result.out, result)


if __name__ == "__main__":
    main([value for name, value in list(globals().items()) if name.startswith("test_")])
