#!/usr/bin/env python3
"""Breaks the CUDA kernels on purpose, one place after the other, and counts what the tests see.

    tests/simt/mutate.py WORK [--only topk.cu] [--seeds 2] [--list]

WORK is a folder for a copy of the sources and a build of it; it is kept, and used again. Each
barrier is deleted, each atomic operation becomes a plain one, and each comparison with a bound
becomes true, or one too many where it ends a loop. Then the operations of the file, and those that
call its launchers, run against the reference on the emulator that checks every access. A mutant
lives if nothing fails; those that must live are listed in doc/cuda.md with the reason. Not part of
the tests: it takes hours.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNELS = os.path.join("backend", "cuda")
BACKEND = "cuda-emu"
MODULE = os.path.join("tests", "cuda", "check")
BARRIER = re.compile(r"__sync(threads|warp)\(\);")
ATOMIC = re.compile(r"\batomic(Add|Max|Min|Exch|CAS)\(")
COMPARED = re.compile(r" (<|>=) ")
DEVICE = re.compile(r"^(template .*)?.*(__global__|__device__)", re.M)
FUNCTION = re.compile(r"^[\w\" ]+[ *](\w+)\([^;{}]*\)\n\{(.*?)^\}", re.M | re.S)
TIMEOUT = 600


def parts_of_device(text):
    """(start, end) of the bodies of functions that run on the device."""
    found = []
    for match in DEVICE.finditer(text):
        start = text.find("{", text.find(")", match.end()))
        depth, at = 0, start
        while at >= 0 and at < len(text):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            if depth == 0:
                break
            at += 1
        found.append((start, at))
    return found


def operand(text, at, step, ends):
    """Where the operand that begins at `at` ends, walking by `step` to what bounds it."""
    depth = 0
    opening, closing = ("([{", ")]}") if step > 0 else (")]}", "([{")
    while True:
        if depth == 0 and (text[at] in closing or any(text.startswith(e, at) for e in ends)):
            return at
        depth += (text[at] in opening) - (text[at] in closing)
        at += step


def comparison(text, match):
    """(start, end, is_loop) of a comparison such as "i < n"."""
    ends = ["&&", "||", ";", ",", "?", ":", "=", "return"]
    start = operand(text, match.start() - 1, -1, ["&", "|", ";", ",", "?", ":", "=", "\n"])
    keyword = text.find("return", start, match.start())
    start = start if keyword < 0 else keyword + len("return") - 1
    end = operand(text, match.end(), 1, ends)
    line = text[text.rfind("\n", 0, match.start()) + 1:match.start()]
    is_loop = "for (" in line and line.count(";", line.rfind("for (")) == 1
    return start + 1, end, is_loop


def mutants_of(text):
    """(name, mutated text) for each place of a file."""
    found = []
    for start, end in parts_of_device(text):
        for match in BARRIER.finditer(text, start, end):
            found.append((match.start(), "barrier", match.start(), match.end(), ";"))
        for match in ATOMIC.finditer(text, start, end):
            found.append((match.start(), "atomic", match.start(), match.end(),
                          f"plain{match.group(1)}("))
        for match in COMPARED.finditer(text, start, end):
            first, last, is_loop = comparison(text, match)
            written = text[first:last].strip()
            other = {"<": "<=", ">=": ">"}[match.group(1)]
            broken = written.replace(f" {match.group(1)} ", f" {other} ", 1) if is_loop else "true"
            found.append((match.start(), f"bound {written}", first, last, f" {broken}"))
    result = []
    for place, name, first, last, new in sorted(set(found)):
        line = text.count("\n", 0, place) + 1
        result.append((f"{line}: {name}", text[:first] + new + text[last:]))
    return result


PLAIN = """
template <class T> __device__ static T plainAdd(T *p, T v) { T o = *p; *p = o + v; return o; }
template <class T> __device__ static T plainMax(T *p, T v)
{ T o = *p; *p = o > v ? o : v; return o; }
template <class T> __device__ static T plainMin(T *p, T v)
{ T o = *p; *p = o < v ? o : v; return o; }
template <class T> __device__ static T plainExch(T *p, T v) { T o = *p; *p = v; return o; }
template <class T> __device__ static T plainCAS(T *p, T c, T v)
{ T o = *p; *p = o == c ? v : o; return o; }
"""


def launchers_of(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return set(re.findall(r'extern "C" \w+ (\w+)\(', file.read()))


def operations_of(folder, name):
    """The operations whose host code calls a launcher of the file, at any remove."""
    wanted = launchers_of(folder, name)
    texts = {}
    for other in os.listdir(folder):
        if other.endswith((".cu", ".c")):
            with open(os.path.join(folder, other), encoding="utf-8") as file:
                texts[other] = file.read()
    changed = True
    while changed:  # functions that call one of those wanted
        changed = False
        for text in texts.values():
            for match in FUNCTION.finditer(text):
                calls = any(re.search(rf"\b{w}\(", match.group(2)) for w in wanted)
                if calls and match.group(1) not in wanted:
                    wanted.add(match.group(1))
                    changed = True
    found = set()
    for text in texts.values():
        for op, function in re.findall(r"ops->(\w+) = (\w+);", text):
            if function in wanted:
                found.add(op)
    return sorted(found)


def checks_of(build):
    """What test_ops can check alone."""
    return run([os.path.join(build, "tests", "op", "test_ops"), "--list"]).stdout.split()


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **options)


def prepare(work):
    """A copy of the sources as they are, and a build of the checked module and of test_ops."""
    copy, build = os.path.join(work, "source"), os.path.join(work, "build")
    shutil.rmtree(copy, ignore_errors=True)
    listed = run(["git", "-C", ROOT, "ls-files"]).stdout.split("\n")
    for name in filter(None, listed):
        target = os.path.join(copy, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(os.path.join(ROOT, name), target)
    if not os.path.isdir(build):
        done = run(["meson", "setup", build, copy, "-Dcuda=disabled"])
        if done.returncode != 0:
            sys.exit(done.stdout)
    return copy, build


def build_and_test(build, operations, seeds):
    """None: it does not compile; else what the tests saw, "" for nothing."""
    module = os.path.join(MODULE, f"libmixt-{BACKEND}.so")
    if run(["ninja", "-C", build, "tests/op/test_ops", module]).returncode:
        return None
    environment = {**os.environ, "LD_LIBRARY_PATH": os.path.join(build, MODULE)}
    for seed in range(1, seeds + 1):
        for operation in operations:
            try:
                done = run([os.path.join(build, "tests", "op", "test_ops"), "--backend", BACKEND,
                            "--only", operation, "--seed", str(seed)], env=environment,
                           timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                return f"{operation}: no end"
            if done.returncode != 0:
                lines = [line for line in done.stdout.split("\n") if line.strip()]
                return f"{operation}: {lines[0] if lines else done.returncode}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work")
    parser.add_argument("--only", help="one file of backend/cuda")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="name the mutants, run nothing")
    options = parser.parse_args()
    source = os.path.join(ROOT, KERNELS)
    names = [options.only] if options.only else sorted(n for n in os.listdir(source)
                                                       if n.endswith(".cu"))
    copy, build = (None, None) if options.list else prepare(options.work)
    caught, lived = 0, []
    for name in names:
        with open(os.path.join(source, name), encoding="utf-8") as file:
            text = file.read()
        operations = operations_of(source, name)
        if build:
            known = checks_of(build)
            operations = [operation for operation in operations if operation in known]
        print(f"{name}: {' '.join(operations)}", flush=True)
        target = os.path.join(copy, KERNELS, name) if copy else None
        if target and build_and_test(build, operations, options.seeds) != "":
            sys.exit(f"{name} fails as it is")
        for label, mutated in mutants_of(text):
            if options.list:
                print(f"  {label}")
                continue
            include = mutated.index("\n", mutated.index("#include")) + 1
            with open(target, "w", encoding="utf-8") as file:
                file.write(mutated[:include] + PLAIN + mutated[include:])
            seen = build_and_test(build, operations, options.seeds)
            if seen is None:
                print(f"  {label}: does not compile", flush=True)
                continue
            caught += seen != ""
            if seen == "":
                lived.append(f"{name}:{label}")
            print(f"  {label}: {seen or 'LIVES'}", flush=True)
        if target:
            with open(target, "w", encoding="utf-8") as file:
                file.write(text)
    if not options.list:
        total = caught + len(lived)
        print(f"{caught} of {total} caught ({100 * caught / max(1, total):.1f} %)")
        for label in lived:
            print(f"lives: {label}")


if __name__ == "__main__":
    main()
