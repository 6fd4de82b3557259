#!/usr/bin/env python3
"""Checks who includes whom: a folder may use only the folders below it.

Usage: check_includes.py [ROOT]      check the repository (default: the one this file is in)
       check_includes.py --self-test check that planted breaches are reported

Prints a line for each breach, "moe/gate.c:1: moe may not include beam"; exits 1 if there are any.
"""
import os
import re
import sys
import tempfile

import tree

# The whole rule: a folder, and what it may include beside itself. Lowest folder first.
MAY_INCLUDE = {
    "base": "",
    "backend": "base",
    "text": "base",
    "layer": "base backend",
    "attention": "base backend layer",
    "moe": "base backend layer",
    "encoder": "base backend layer attention moe",
    "decoder": "base backend layer attention moe",
    "beam": "base backend layer attention moe decoder",
    "model": "base backend text layer attention moe encoder decoder",
    "api": "base backend text layer attention moe encoder decoder beam model",
    "train": "base backend text layer attention moe encoder decoder beam model api",
    "tools": "base backend text layer attention moe encoder decoder beam model api train",
    "bench": "base backend text layer attention moe encoder decoder beam model api train",
    "tests": "base backend text layer attention moe encoder decoder beam model api train tools",
}
# A kernel file runs on the device, or on the emulator of the tests.
EXCEPTIONS = {("backend/cuda/cu.h", "tests/simt/simt.h")}
INCLUDE = re.compile(r'\s*#\s*include\s*"([^"]*)"')


def breach(root, path, included):
    """What is wrong with `#include "included"` in the file path, or None."""
    folder, target = path.split("/")[0], included.split("/")[0]
    if "/" not in included or target not in MAY_INCLUDE:
        return f'include "{included}" is not a path from the root of the repository'
    if not os.path.isfile(os.path.join(root, included)):
        return f'include "{included}" does not exist'
    if target != folder and target not in MAY_INCLUDE[folder].split() \
            and (path, included) not in EXCEPTIONS:
        return f"{folder} may not include {target}"
    return None


def check_file(root, path):
    if path.split("/")[0] not in MAY_INCLUDE:
        return [f"{path}:1: its folder is not in the table of check_includes.py"]
    breaches = []
    with open(os.path.join(root, path), encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            wrong = breach(root, path, match.group(1)) if match else None
            if wrong:
                breaches.append(f"{path}:{number}: {wrong}")
    return breaches


def check(root):
    return [line for path in tree.files(root, tree.CODE) for line in check_file(root, path)]


def self_test():
    """Plants a file for each rule and compares the reports."""
    planted = {
        "beam/beam.h": '#include "decoder/decoder.h"\n',
        "decoder/decoder.h": '#include <stdint.h>\n#include "base/status.h"\n',
        "base/status.h": "",
        "moe/gate.c": '#include "beam/beam.h"\n',
        "text/ids.c": '\n  #  include "decoder/decoder.h"\n',
        "model/model.c": '#include "beam/beam.h"\n#include "../base/status.h"\n',
        "layer/lstm.cc": '#include "lstm.h"\n#include "layer/none.h"\n',
        "utils/all.c": '#include "base/status.h"\n',
        "tests/test_beam.c": '#include "beam/beam.h"\n',
    }
    wanted = [
        'layer/lstm.cc:1: include "lstm.h" is not a path from the root of the repository',
        'layer/lstm.cc:2: include "layer/none.h" does not exist',
        "model/model.c:1: model may not include beam",
        'model/model.c:2: include "../base/status.h" is not a path from the root of the repository',
        "moe/gate.c:1: moe may not include beam",
        "text/ids.c:2: text may not include decoder",
        "utils/all.c:1: its folder is not in the table of check_includes.py",
    ]
    with tempfile.TemporaryDirectory() as root:
        for path, text in planted.items():
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        found = check(root)
    if found != wanted:
        print("wanted:", *wanted, "found:", *found, sep="\n  ")
        return 1
    print(f"{len(wanted)} planted breaches reported")
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "..")
    breaches = check(root)
    print(*breaches, sep="\n", end="\n" if breaches else "")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
