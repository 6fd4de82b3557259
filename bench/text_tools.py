#!/usr/bin/env python3
"""Runs each text tool of mixt and its peer in turn, on the same text, and prints ratios.

    bench/text_tools.py [--only NAME...] [--rounds 3] [--lines N] [--cores 1] [--python PYTHON]
                        [--moses DIR] [--text SOURCE TARGET]

Both programs get the same cores (--cores; 0: all of them). --python is an interpreter that has
sacrebleu 2.6.0 and subword-nmt; --moses a folder with Moses' tokenizer.perl, lowercase.perl and
normalize-punctuation.perl (and its share/ beside the folder above). A peer that is not there is
named and left out, and one that prints something else is an error. --text takes plain text files;
without it lines are made up: words by Zipf's law, capitals, numbers and punctuation. Times are wall
seconds, starting the program included; only the ratios of one run mean something, and only on a
machine that does nothing else.
"""
import argparse
import filecmp
import itertools
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixt", default=os.path.join(ROOT, "build", "tools", "mixt"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--moses")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=100000)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--text", nargs=2, metavar=("SOURCE", "TARGET"))
    return parser.parse_args()


class Run:
    """One run of a program: wall and CPU seconds, peak memory in MB, what it printed."""

    def __init__(self, command, cores, stdin=None, stdout=None):
        chosen = sorted(os.sched_getaffinity(0))[:cores or None]
        start = time.monotonic()
        with open(stdin or os.devnull, "rb") as source, tempfile.TemporaryFile() as errors, \
                open(stdout or os.devnull, "wb") as sink:
            process = subprocess.Popen(command, stdin=source, stdout=sink, stderr=errors,
                                       preexec_fn=lambda: os.sched_setaffinity(0, chosen))
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.wall = time.monotonic() - start
            if process.returncode != 0:
                errors.seek(0)
                sys.exit(f"{' '.join(command)}\nended with {process.returncode}:\n"
                         f"{errors.read().decode(errors='replace')[-2000:]}")
        self.cpu = usage.ru_utime + usage.ru_stime
        self.megabytes = usage.ru_maxrss / 1024


class Text:
    """The files that the tools read."""

    def __init__(self, options, folder):
        self.folder = folder
        self.random = random.Random(1)
        if options.text:
            self.source, self.target = options.text
        else:
            self.source, self.target = self.path("source"), self.path("target")
            self.make(options.lines)
        self.system = self.path("system")
        self.worsen(self.target, self.system)

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, n_lines):
        letters = "etaoinshrdlucmfwypvbgkjqxz"
        words = ["".join(self.random.choices(letters, k=self.random.randint(2, 11)))
                 for _ in range(40000)]
        weights = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(words))))
        for name in (self.source, self.target):
            with open(name, "w", encoding="utf-8") as file:
                for _ in range(n_lines):
                    line = self.random.choices(words, cum_weights=weights,
                                               k=self.random.randint(3, 30))
                    line[0] = line[0].capitalize()
                    if self.random.random() < 0.2:
                        line.insert(1, str(self.random.randint(1, 2000)) + ",")
                    file.write(" ".join(line) + self.random.choice([".", ".", ".", "!", " (?)"])
                               + "\n")

    def worsen(self, good, bad):
        """Changes about a fifth of the words: a system with a BLEU between 30 and 60."""
        with open(good, encoding="utf-8") as lines, open(bad, "w", encoding="utf-8") as file:
            for line in lines:
                words = line.split()
                for i in range(len(words) - 1):
                    if self.random.random() < 0.1:
                        words[i], words[i + 1] = words[i + 1], words[i]
                file.write(" ".join(word for word in words if self.random.random() > 0.03) + "\n")


def sacrebleu(options, *more):
    return [options.python, "-m", "sacrebleu"] + list(more)


def subword_nmt(options, *more):
    return [options.python, "-c", "from subword_nmt.subword_nmt import main; main()"] + list(more)


def need_module(options, name):
    """What is missing, or None."""
    found = subprocess.run([options.python, "-c", f"import {name}"], capture_output=True)
    return None if found.returncode == 0 else f"{options.python} has no {name}"


def bleu_case(*more):
    def case(options, text):
        files = [text.target, "-i", text.system, *more]
        return (need_module(options, "sacrebleu"), None, [options.mixt, "bleu", *files],
                sacrebleu(options, *files))
    return case


def paired_case(*more):
    def case(options, text):
        other = text.path("other")
        if not os.path.exists(other):
            text.worsen(text.system, other)
        files = [text.target, "-i", text.system, other, *more]
        return (need_module(options, "sacrebleu"), None, [options.mixt, "bleu", *files],
                sacrebleu(options, *files))
    return case


def learn_case(options, text):
    command = ["learn-bpe", "-s", "10000"]
    return (need_module(options, "subword_nmt"), text.source,
            [options.mixt, "subword", *command], subword_nmt(options, *command))


def apply_case(options, text):
    codes = text.path("codes")
    if not os.path.exists(codes):
        Run([options.mixt, "subword", "learn-bpe", "-s", "10000"], 0, text.source, codes)
    command = ["apply-bpe", "-c", codes]
    return (need_module(options, "subword_nmt"), text.source,
            [options.mixt, "subword", *command], subword_nmt(options, *command))


def encode_case(options, text):
    model = text.path("unigram.model")
    if not os.path.exists(model):
        Run([options.mixt, "subword", "train", "--size", "8000", "--input", text.source, "--model",
             model], 0)
    missing = None if shutil.which("spm_encode") else "there is no spm_encode"
    return (missing, text.source, [options.mixt, "subword", "encode", "--model", model],
            ["spm_encode", f"--model={model}"])


def moses_case(options, text):
    steps = [("lowercase.perl", []), ("normalize-punctuation.perl", ["-l", "en"]),
             ("tokenizer.perl", ["-l", "en", "-threads", "1"])]
    missing = None if options.moses else "--moses names no folder"
    command = " | ".join(" ".join(["perl", os.path.join(options.moses or "", name), *more])
                         for name, more in steps)
    return (missing, text.source, [options.mixt, "moses", "-l", "en", "--release", "latest",
                                   "--lowercase", "--normalize", "--tokenize"],
            ["sh", "-c", command])


CASES = {
    "bleu": bleu_case(),
    "bleu-ci": bleu_case("-ci"),
    "chrf": bleu_case("-m", "chrf"),
    "chrf++": bleu_case("-m", "chrf", "--chrf-word-order", "2"),
    "paired-bs": paired_case("--paired-bs"),
    "paired-ar": paired_case("--paired-ar"),
    "learn-bpe": learn_case,
    "apply-bpe": apply_case,
    "sentencepiece": encode_case,
    "moses": moses_case,
}


def measure(name, options, text):
    missing, stdin, *commands = CASES[name](options, text)
    if missing:
        print(f"{name:14} left out: {missing}")
        return
    rounds = []
    outputs = [text.path("ours"), text.path("theirs")]
    for _ in range(options.rounds):
        rounds.append([Run(command, options.cores, stdin, output)
                       for command, output in zip(commands, outputs)])
        if not filecmp.cmp(*outputs, shallow=False):
            sys.exit(f"{name}: the outputs differ")
    ratios = [theirs_run.wall / ours_run.wall for ours_run, theirs_run in rounds]
    middle = [statistics.median(pair[side].wall for pair in rounds) for side in (0, 1)]
    peak = [max(pair[side].megabytes for pair in rounds) for side in (0, 1)]
    print(f"{name:14} mixt {middle[0]:7.2f} s {peak[0]:6.0f} MB   peer {middle[1]:8.2f} s "
          f"{peak[1]:6.0f} MB   ratio {statistics.median(ratios):6.1f} "
          f"({min(ratios):.1f} to {max(ratios):.1f})", flush=True)


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        text = Text(options, folder)
        for name in options.only:
            measure(name, options, text)


if __name__ == "__main__":
    main()
