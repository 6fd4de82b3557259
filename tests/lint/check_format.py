#!/usr/bin/env python3
"""Checks that every C and C++ file is as clang-format 14 lays it out.

Usage: check_format.py ROOT

Other versions break lines elsewhere, so without version 14 the check is skipped (exit code 77).
"""
import re
import shutil
import subprocess
import sys

import tree

WANTED = "14"


def find_formatter():
    """The path of a clang-format of the wanted version, and what else was found."""
    found = "no clang-format found"
    for name in ("clang-format-" + WANTED, "clang-format"):
        path = shutil.which(name)
        if path is None:
            continue
        text = subprocess.run([path, "--version"], stdout=subprocess.PIPE).stdout.decode()
        version = re.search(r"version (\d+)\.", text)
        if version and version.group(1) == WANTED:
            return path, ""
        found = f"{name} is version {version.group(1) if version else '?'}"
    return None, found


def main():
    formatter, found = find_formatter()
    if formatter is None:
        print(f"skipped: {found}, and this check needs version {WANTED}")
        return 77
    names = tree.files(sys.argv[1], tree.CODE)
    command = [formatter, "--dry-run", "-Werror", "--style=file"] + names
    code = subprocess.run(command, cwd=sys.argv[1]).returncode
    print(f"{len(names)} files checked")
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
