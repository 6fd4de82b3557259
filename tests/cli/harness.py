"""What the tests of the command line share: running mixt, checking, made-up text, tiny models.

A test is a function that takes a Bench and raises AssertionError; main() runs all it is given.
"""
import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

TIMEOUT_S = 300
# Waiting threads that spin would starve the others where tests share the cores.
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "passive"}

# A model and a run that take seconds; %(...)s are filled by Bench.write_config().
CONFIG = """\
name: tiny
data:
  train: [train.src, train.trg]
  valid: [valid.src, valid.trg]
  subword: {type: bpe, size: %(size)s}
model:
  dim: %(dim)s
  dropout: %(dropout)s
  encoder: {layers: 2, hidden: %(dim)s}
  decoder: {layers: 2, hidden: %(dim)s}
  moe:
    after: [encoder.1, decoder.1]
    experts: 4
    top_k: 2
    expert: {hidden: %(dim)s}
train:
  batch_tokens: %(batch_tokens)s
  steps: %(steps)s
  threads: %(threads)s
  optimizer: {lr: %(lr)s}
  schedule: {warmup: 20, hold: 100000}
  label_smoothing: %(label_smoothing)s
valid: {every: %(every)s, beam: 2}
save: {every: %(every)s}
log: {every: %(every)s}
"""
DEFAULTS = dict(size=64, dim=32, dropout=0.1, batch_tokens=300, steps=60, threads=1, lr=5e-3,
                label_smoothing=0.1, every=20)


class Result:
    """What a finished program left: exit code (negative: a signal), both outputs."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err.decode("utf-8", "backslashreplace")

    def __str__(self):
        return f"exit code {self.code}, stdout {self.out[:300]!r}, stderr:\n{self.err[-2000:]}"


class Bench:
    """A program and an empty folder to use it in."""

    def __init__(self, program, folder, seed):
        self.program, self.folder, self.seed = program, folder, seed
        self.random = random.Random(seed)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def start(self, *arguments, **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                   "cwd": self.folder, "env": ENVIRONMENT, **options}
        return subprocess.Popen([self.program, *arguments], **options)

    def run(self, *arguments, stdin=b"", **options):
        process = self.start(*arguments, **options)
        try:
            out, err = process.communicate(stdin, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"mixt {' '.join(arguments)}: not done after {TIMEOUT_S} s")
        return Result(process.returncode, out or b"", err or b"")

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return name

    def read(self, *names):
        with open(self.path(*names), "rb") as file:
            return file.read()

    def write_config(self, **settings):
        return self.write("tiny.yaml", CONFIG % {**DEFAULTS, **settings})

    def write_corpus(self, n_train=200, n_valid=10):
        """A language pair that is learnable in seconds: each word has one translation."""
        for name, n_pairs in (("train", n_train), ("valid", n_valid)):
            pairs = [self.sentence() for _ in range(n_pairs)]
            self.write(name + ".src", "".join(source + "\n" for source, _ in pairs))
            self.write(name + ".trg", "".join(target + "\n" for _, target in pairs))

    def sentence(self, longest=6):
        words = self.random.choices(WORDS, k=self.random.randint(1, longest))
        return " ".join(words), " ".join(translate_word(word) for word in words)

    def train(self, directory="run", *arguments):
        """Trains; tiny.yaml and the corpus must be there."""
        result = self.run("train", "-c", "tiny.yaml", "save.dir=" + directory, *arguments)
        expect(result.code == 0, f"training failed: {result}")
        return result


SYLLABLES = ["ba", "de", "fi", "go", "ku", "la", "me", "no"]
WORDS = [first + second for first in SYLLABLES for second in SYLLABLES[:5]]


def translate_word(word):
    return word[::-1] + "s"


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def expect_error(result, code, *parts, has_progress=False):
    """One clear line, perhaps with a hint, nothing on stdout, the exit code, and the parts in it.
    has_progress: lines about the work may stand before it."""
    lines = result.err.splitlines()
    if lines and lines[-1].startswith("hint: "):
        lines.pop()
    expect(result.code == code, f"exit code {code} wanted: {result}")
    expect(lines and lines[-1].startswith("mixt: "), f"'mixt: ...' wanted at the end: {result}")
    expect(has_progress or len(lines) == 1, f"one line and at most a hint wanted: {result}")
    expect(result.out == b"", f"nothing on stdout wanted: {result}")
    for part in parts:
        expect(part in result.err, f"{part!r} wanted in the message: {result}")


def snapshot(folder, endings=("",)):
    """{path: bytes} of the files below a folder with one of the endings."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if name.endswith(tuple(endings)):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, folder)] = file.read()
    return found


def expect_same_files(wanted, found, what):
    expect(sorted(wanted) == sorted(found), f"{what}: files {sorted(wanted)}, {sorted(found)}")
    for name, content in wanted.items():
        expect(content == found[name], f"{what}: {name} differs")


def run_test(test, program, seed):
    folder = tempfile.mkdtemp(prefix="mixt-test-")
    start_s = time.monotonic()
    try:
        test(Bench(program, folder, seed))
    except AssertionError as error:
        print(f"FAIL {test.__name__} (seed {seed}): {error}", flush=True)
        return False
    except Exception:  # a broken test is a failure, not the end of the others
        print(f"FAIL {test.__name__} (seed {seed}): {traceback.format_exc()}", flush=True)
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"ok   {test.__name__} ({time.monotonic() - start_s:.1f} s)", flush=True)
    return True


def main(tests):
    parser = argparse.ArgumentParser()
    parser.add_argument("program", help="the mixt to test")
    parser.add_argument("--only", help="run only the tests with this in their name")
    parser.add_argument("--seed", type=int, default=1, help="of all random choices (default: 1)")
    arguments = parser.parse_args()
    chosen = [test for test in tests if not arguments.only or arguments.only in test.__name__]
    program = os.path.abspath(arguments.program)
    passed = [run_test(test, program, arguments.seed) for test in chosen]
    print(f"{passed.count(True)} of {len(chosen)} passed")
    sys.exit(0 if chosen and all(passed) else 1)
