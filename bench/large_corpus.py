#!/usr/bin/env python3
"""Generates a large parallel corpus and sends it through mixt prep and mixt subword encode.

    bench/large_corpus.py [--lines 10000000] [--folder DIR] [--mixt PROGRAM] [--keep]

Prints lines a second and how memory went: the largest resident size, and the largest in each
quarter of the run, of which those behind the first must be alike if memory does not grow with the
text. About 1 in 50 pairs is a duplicate, 1 in 100 has an empty side and 1 in 100 is out of
proportion. Needs about 5 GB of disk for ten million lines.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
POLL_S = 0.1
NAMES = ("train.en", "train.de")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixt", default=os.path.join(ROOT, "build", "tools", "mixt"))
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--folder", help="where the files go, and text that is there is taken "
                                         "(default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the files there")
    return parser.parse_args()


def make_phrases(generator, n, letters):
    """Runs of one to five words, so that a line is a few draws and not twenty."""
    words = ["".join(generator.choices(letters, k=generator.randint(2, 10))) for _ in range(60000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    drawn = iter(generator.choices(words, weights, k=5 * n))
    return [" ".join(next(drawn) for _ in range(generator.randint(1, 5))) for _ in range(n)]


def generate(folder, n_lines):
    generator = random.Random(7)
    sides = [make_phrases(generator, 200000, letters)
             for letters in ("etaoinshrdlucmfwypvbgkjqxz", "enisratdhulcgmobwfkzvüpäßjöyqx")]
    paths = [os.path.join(folder, name) for name in NAMES]
    with open(paths[0], "w", encoding="utf-8") as left, \
            open(paths[1], "w", encoding="utf-8") as right:
        pair = ("", "")
        for _ in range(n_lines):
            chance = generator.random()
            if chance >= 0.02:
                n = 1 + int(generator.random() * 6)
                pair = tuple(" ".join(generator.choices(side, k=n)).capitalize() + "."
                             for side in sides)
            if chance < 0.03 and chance >= 0.02:
                pair = (pair[0], "")
            elif chance < 0.04 and chance >= 0.03:
                pair = (pair[0], pair[1] * 12)
            left.write(pair[0] + "\n")
            right.write(pair[1] + "\n")


def resident(pid):
    """Resident megabytes: all, and those that no file could replace."""
    values = {}
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name in ("VmRSS", "RssAnon", "RssShmem"):
                    values[name] = int(value.split()[0]) / 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    if "VmRSS" not in values:
        return None
    return values["VmRSS"], values["RssAnon"] + values["RssShmem"]


def watch(name, command, n_lines, stdin=None, stdout=os.devnull):
    start = time.monotonic()
    samples = []
    with open(stdin or os.devnull, "rb") as source, open(stdout, "wb") as sink:
        process = subprocess.Popen(command, stdin=source, stdout=sink, stderr=subprocess.PIPE)
        os.set_blocking(process.stderr.fileno(), False)
        said = b""
        while process.poll() is None:
            samples.append(resident(process.pid))
            said += process.stderr.read() or b""
            time.sleep(POLL_S)
        said += process.stderr.read() or b""
    seconds = time.monotonic() - start
    if process.returncode != 0:
        sys.exit(f"{name} ended with {process.returncode}:\n{said.decode()[-2000:]}")
    samples = [sample for sample in samples if sample]
    quarters = [samples[len(samples) * i // 4:len(samples) * (i + 1) // 4] for i in range(4)]
    peaks = ", ".join(f"{max(all_of for all_of, _ in part):.0f}" for part in quarters if part)
    print(f"{name}: {n_lines} lines in {seconds:.1f} s, {n_lines / seconds:,.0f} lines/s; "
          f"largest resident size {max(s[0] for s in samples):.0f} MB "
          f"({max(s[1] for s in samples):.0f} MB without mapped files); by quarters {peaks} MB")
    print("  " + said.decode(errors="replace").strip().replace("\n", "\n  ")[-1500:], flush=True)


def main():
    options = arguments()
    folder = options.folder or tempfile.mkdtemp(prefix="mixt-large-")
    os.makedirs(folder, exist_ok=True)
    try:
        left, right = (os.path.join(folder, name) for name in NAMES)
        if not os.path.exists(right):
            generate(folder, options.lines)
        corpus, model = os.path.join(folder, "corpus"), os.path.join(folder, "joint.model")
        watch("prep", [options.mixt, "prep", left, right, "-o", corpus, "-l", "en-de"],
              options.lines)
        watch("subword train",
              [options.mixt, "subword", "train", "--size", "8000", "--input-sentence-size",
               "200000", "--input", f"{corpus}/en,{corpus}/de", "--model", model],
              2 * options.lines)
        watch("subword encode", [options.mixt, "subword", "encode", "--model", model],
              options.lines, stdin=left)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
