#!/usr/bin/env python3
"""Makes en.jsonl, de.jsonl and fr.jsonl: what the Moses scripts make of lines from lines.py.

Usage: make_golden.py LATEST RELEASE_4

Both arguments are folders "scripts" of the Moses toolkit, with tokenizer/ and share/ in them: a
present one and that of release 4.0. The first row of a file names its columns: the line, then the
options of `mixt moses` whose output stands there.
"""
import json
import os
import random
import subprocess
import sys

import lines

N_LINES = 400

# Options of mixt moses, and the scripts with theirs; {} is the language.
COLUMNS = [
    ("--lowercase --release latest", ["lowercase.perl"]),
    ("--normalize --release latest", ["normalize-punctuation.perl -l {}"]),
    ("--normalize", ["4 normalize-punctuation.perl -l {}"]),
    ("--non-printing --release latest", ["remove-non-printing-char.perl"]),
    ("--tokenize --release latest", ["tokenizer.perl -q -l {}"]),
    ("--tokenize", ["4 tokenizer.perl -q -l {}"]),
    ("--tokenize -a -no-escape -x --release latest", ["tokenizer.perl -q -l {} -a -no-escape -x"]),
    ("--detokenize --release latest", ["detokenizer.perl -q -l {}"]),
    ("--lowercase --normalize --non-printing --tokenize --release latest",
     ["lowercase.perl", "normalize-punctuation.perl -l {}", "remove-non-printing-char.perl",
      "tokenizer.perl -q -l {}"]),
]


def run_scripts(scripts, language, text, latest, release_4):
    """The text [bytes] after the scripts."""
    for script in scripts:
        folder = release_4 if script.startswith("4 ") else latest
        words = script.removeprefix("4 ").format(language).split()
        path = os.path.join(folder, "tokenizer", words[0])
        text = subprocess.run(["perl", path, *words[1:]], input=text, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=True).stdout
    return text


def make_rows(language, folders):
    dice = random.Random("golden " + language)
    made = [lines.line(dice, language) for _ in range(N_LINES)]
    text = "".join(line + "\n" for line in made).encode()
    columns = [made]
    for _, scripts in COLUMNS:
        output = run_scripts(scripts, language, text, *folders).decode()
        columns.append(output.split("\n")[:-1])
        assert len(columns[-1]) == N_LINES, scripts
    return zip(*columns)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    for language in lines.LANGUAGES:
        with open(os.path.join(here, language + ".jsonl"), "w", encoding="ascii") as file:
            print(json.dumps(["line"] + [name for name, _ in COLUMNS]), file=file)
            for row in make_rows(language, sys.argv[1:3]):
                print(json.dumps(row), file=file)


if __name__ == "__main__":
    main()
