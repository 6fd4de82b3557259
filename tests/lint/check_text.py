#!/usr/bin/env python3
"""Checks what no compiler looks at: layout of text files, leftovers, paths of one machine, sizes.

Usage: check_text.py ROOT | --self-test

Each complaint is "FILE:LINE: what"; exit code 1 if there are any.
"""
import os
import re
import sys

import tree

SIZE_LIMIT = 1 << 20  # bytes of one file
WIDTH = 100           # columns of a line of code
CODE = tree.CODE + (".py", ".sh", "meson.build", "meson_options.txt")
PLAIN = ("LICENSE",)  # a text that is not ours to lay out

LEFTOVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
MACHINE_PATH = re.compile(r"(?<![\w./])/(?:home|root|work|Users|mnt)/\w")
PACKAGE_HOST = re.compile(r"(?:deb|security|ftp|archive|snapshot)[.](?:debian[.]org|ubuntu[.]com)"
                          r"|pypi[.]org|pythonhosted[.]org|npmjs[.]org|crates[.]io")


def check_line(name, line, is_table):
    """Complaints about one line, without its line end; lines of tables may be long."""
    complaints = []
    if line != line.rstrip():
        complaints.append("space or carriage return at the end of the line")
    if name.endswith(CODE):
        if "\t" in line:
            complaints.append("tab")
        if len(line) > WIDTH and not is_table:
            complaints.append(f"{len(line)} columns, more than {WIDTH}")
    if LEFTOVER.search(line):
        complaints.append("leftover: " + LEFTOVER.search(line).group(0))
    if MACHINE_PATH.search(line):
        complaints.append("path of one machine: " + MACHINE_PATH.search(line).group(0))
    if PACKAGE_HOST.search(line):
        complaints.append("name of a package host: " + PACKAGE_HOST.search(line).group(0))
    return complaints


def check_content(name, content):
    """Complaints about a file, each with its place."""
    if len(content) > SIZE_LIMIT:
        return [f"{name}:1: {len(content)} bytes, more than {SIZE_LIMIT}"]
    if b"\0" in content or content[:2] == b"\x1f\x8b" or name in PLAIN:
        return []
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return []  # test data
    complaints, is_table = [], False
    if text and not text.endswith("\n"):
        complaints.append(f"{name}:{text.count(chr(10)) + 1}: no line end at the end of the file")
    if text.endswith("\n\n"):
        complaints.append(f"{name}:{text.count(chr(10))}: empty line at the end of the file")
    for number, line in enumerate(text.split("\n"), 1):
        is_table = (is_table or "clang-format off" in line) and "clang-format on" not in line
        complaints += [f"{name}:{number}: {what}" for what in check_line(name, line, is_table)]
    return complaints


def check(root):
    complaints = []
    for name in tree.files(root):
        with open(os.path.join(root, name), "rb") as file:
            complaints += check_content(name, file.read(SIZE_LIMIT + 1))
    return complaints


def self_test():
    planted = [
        ("a.c", b"int a;\n", 0),
        ("a.c", b"int a;", 1),
        ("a.c", b"int a; \n", 1),
        ("a.c", b"\tint a;\n", 1),
        ("notes.md", b"a\tb " + b"x" * 200 + b"\n", 0),
        ("a.py", b"#" + b"x" * 99 + b"\n", 0),
        ("a.py", b"#" + b"x" * 100 + b"\n", 1),
        ("a.c", b"/* clang-format off */\n" + b"x" * 101 + b"\n/* clang-format on */\n", 0),
        ("a.c", b"/* clang-format off */\n/* clang-format on */\n" + b"x" * 101 + b"\n", 1),
        ("a.h", b"/* TO" b"DO */\n", 1),
        ("a.md", b"see /ho" b"me/someone\n", 1),
        ("a.md", b"see /usr/include, src/home/x\n", 0),
        ("a.sh", b"fetch https://deb" b".debian" b".org/x\n", 1),
        ("a.bin", b"x" * (SIZE_LIMIT + 1), 1),
        ("a.bin", b"\0 \t\n", 0),
    ]
    code = 0
    for name, content, n_wanted in planted:
        found = check_content(name, content)
        if len(found) != n_wanted:
            print(f"{name} {content[:40]}: {n_wanted} complaints wanted, found {found}")
            code = 1
    print(f"{len(planted)} planted files checked")
    return code


def main():
    if sys.argv[1] == "--self-test":
        return self_test()
    complaints = check(sys.argv[1])
    print(*complaints, sep="\n", end="\n" if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
