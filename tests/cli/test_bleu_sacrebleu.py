#!/usr/bin/env python3
"""Compares `mixt bleu` with sacreBLEU 2.6.0, byte for byte on stdout and by exit code.

Usage: test_bleu_sacrebleu.py MIXT [--seed N] [--corpora N]

MIXT is the program to test. sacreBLEU's own command line runs in a forked copy of this process, so
that each comparison costs milliseconds. Exit codes: 0 equal, 1 different, 77 when sacreBLEU 2.6.0
cannot be imported.

Environment:
  MIXT_SACREBLEU_PYTHON  a Python that has sacreBLEU 2.6.0; the test starts itself again with it
  MIXT_BLEU_TEXTS        a folder; the first lines of each UTF-8 file in it are compared too
"""
import argparse
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

WANTED = "2.6.0"
SKIPPED = 77

# Cased letters added after Unicode 15: ICU and Python may be on either side of them.
NEW_LETTERS = [(0x1C89, 0x1C8A), (0xA7CB, 0xA7DC), (0x10D40, 0x10D8F), (0x16EA0, 0x16ED3)]

WORDS = """the a The man woman dog two three young people in on at with of and is are was standing
sitting walking near street water field blue red white shirt holding looking playing camera his
Wasser Straße über schöne Mädchen Häuser d'une l'été it's don't O'Neill U.S. e.g. 3.14 1,000 1990s
2-year-old ice-cream state-of-the-art C++ AT&T R&D $5 10% #1 http://example.org/a?b=c&d=e
user@example.org (approx.) "quoted" 'single' [sic] a/b x_y <b> </b> &amp; &quot;so&quot; &lt;tag&gt;
<skipped> 12:30 ... -- - – — „Ja“ «oui» Привет мир ΟΔΟΣ ΣΟΦΟΣ İstanbul ISPARTA 東京 日本語 한국어
नमस्ते مرحبا 😀 👩‍👩‍👧""".split()
ENDS = [".", ".", ".", "!", "?", " .", ",", "...", ".)", ". ", "", "。", ".\"", "…"]
SPACES = [" "] * 5 + ["  ", "\u00a0", "\u3000", "\t", "\u2028", "\x85", "\x1f", "\u200b"]
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
SIGMA = "ΣΣΣσςΑαaA1 .-'’\u00ad\u0301\u0345:İIıʰªΪ\u2019_\u3000中"


def is_usable(code_point):
    if code_point == 0x0A or 0xD800 <= code_point <= 0xDFFF:
        return False
    if any(low <= code_point <= high for low, high in NEW_LETTERS):
        return False
    return unicodedata.category(chr(code_point)) != "Cn"


def usable_code_points():
    by_category = {}
    for code_point in range(0x110000):
        if is_usable(code_point):
            by_category.setdefault(unicodedata.category(chr(code_point)), []).append(code_point)
    return by_category


class Maker:
    """Makes random lines; the same seed makes the same lines."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.by_category = usable_code_points()
        self.categories = sorted(self.by_category)

    def sentence(self):
        words = [self.random.choice(WORDS) for _ in range(self.random.randint(1, 25))]
        text = words[0]
        for word in words[1:]:
            text += self.random.choice(SPACES) + word
        return text + self.random.choice(ENDS)

    def character(self):
        kind = self.random.random()
        if kind < 0.25:
            return self.random.choice("abcABC")
        if kind < 0.4:
            return self.random.choice("0123456789")
        if kind < 0.6:
            return self.random.choice(".,-" + PUNCTUATION)
        if kind < 0.7:
            return self.random.choice(SPACES)
        if kind < 0.72:
            return self.random.choice(["&amp;", "&quot;", "&lt;", "&gt;", "<skipped>", "&"])
        return chr(self.random.choice(self.by_category[self.random.choice(self.categories)]))

    def noise(self):
        return "".join(self.character() for _ in range(self.random.randint(0, 40)))

    def punctuation(self):
        alphabet = "ab01.,-&;<> " + self.random.choice(PUNCTUATION)
        return "".join(self.random.choice(alphabet) for _ in range(self.random.randint(0, 40)))

    def sigma(self):
        length = self.random.randint(1, 20)
        return "".join(self.random.choice(SIGMA) if self.random.random() < 0.9 else self.character()
                       for _ in range(length))

    def line(self):
        kind = self.random.random()
        if kind < 0.1:
            return self.random.choice(["", "", " ", ".", "a", "\u00a0", "\ufeff", "\x00", "a b ."])
        maker = self.random.choice([self.sentence, self.noise, self.punctuation, self.sigma])
        return maker()

    def changed(self, line):
        """A line that shares most of its words with the given one."""
        kind = self.random.random()
        if kind < 0.15:
            return line
        if kind < 0.2:
            return self.line()
        if kind < 0.3:
            return line.upper() if self.random.random() < 0.5 else line.lower()
        characters = list(line)
        for _ in range(self.random.randint(1, 3)):
            at = self.random.randint(0, len(characters))
            edit = self.random.random()
            if edit < 0.4:
                characters[at:at] = self.character()
            elif edit < 0.7:
                del characters[at:at + self.random.randint(1, 4)]
            else:
                start = self.random.randint(0, len(characters))
                characters[at:at] = characters[start:start + self.random.randint(1, 10)]
        return "".join(characters)


def write_lines(path, lines, line_end="\n", is_ended=True):
    text = line_end.join(lines) + (line_end if is_ended else "")
    with open(path, "wb") as stream:
        stream.write(text.encode("utf-8"))


def run_sacrebleu(arguments, stdin_path, folder):
    """sacreBLEU's main() in a child, with its streams on files: (exit code, stdout, stderr)."""
    out, err = os.path.join(folder, "peer.out"), os.path.join(folder, "peer.err")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for descriptor, path, mode in ((0, stdin_path, os.O_RDONLY),
                                           (1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
                                           (2, err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
                os.dup2(os.open(path, mode, 0o600), descriptor)
            from sacrebleu.sacrebleu import main
            sys.argv = ["sacrebleu"] + arguments
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else (0 if stop.code is None else 1)
        except BaseException as error:  # what Python itself would print before exiting with 1
            os.write(2, repr(error).encode("utf-8", "replace"))
        finally:
            try:
                sys.stdout.flush()
            finally:
                os._exit(code)
    _, status = os.waitpid(child, 0)
    with open(out, "rb") as stream:
        stdout = stream.read()
    with open(err, "rb") as stream:
        stderr = stream.read()
    return os.waitstatus_to_exitcode(status), stdout, stderr


def run_mixt(mixt, arguments, stdin_path):
    with open(stdin_path, "rb") as stream:
        done = subprocess.run([mixt, "bleu"] + arguments, stdin=stream, capture_output=True,
                              check=False)
    return done.returncode, done.stdout, done.stderr


class Comparison:
    def __init__(self, mixt, folder, seed):
        self.mixt, self.folder, self.seed = mixt, folder, seed
        self.n_done, self.n_different = 0, 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def compare(self, arguments, stdin_path=os.devnull, with_stderr=False):
        peer = run_sacrebleu(arguments, stdin_path, self.folder)
        mine = run_mixt(self.mixt, arguments, stdin_path)
        self.n_done += 1
        size = 3 if with_stderr else 2
        if peer[:size] == mine[:size]:
            return True
        self.n_different += 1
        if self.n_different <= 5:
            print(f"different: seed {self.seed}, comparison {self.n_done}: {' '.join(arguments)}")
            print(f"  sacrebleu {peer}\n  mixt      {mine}")
            for name in sorted(os.listdir(self.folder)):
                if name.startswith(("ref", "hyp")) and os.path.getsize(self.path(name)) < 3000:
                    with open(self.path(name), encoding="utf-8", newline="\n") as stream:
                        print(f"  {name}: {stream.read()!a}")
        return False


def random_options(chooser):
    options = []
    options += chooser.choice([[], ["-f", "text"], ["-f", "json"], ["--format=text"]])
    width = chooser.randint(0, 6)
    options += chooser.choice([[], ["-w", str(width)], [f"-w{width}"]])
    options += chooser.choice([[], ["-lc"], ["--lowercase"]])
    options += chooser.choice([[], [], ["-tok", "none"], ["--tokenize", "13a"]])
    options += chooser.choice([[], [], ["-b"]])
    options += chooser.choice([[], [], ["-sh"]])
    options += chooser.choice([[], [], [], ["-sl"]])
    smoothing = chooser.choice(["", "exp", "none", "floor", "add-k"])
    if smoothing:
        options += ["-s", smoothing]
    if smoothing in ("floor", "add-k") and chooser.random() < 0.5:
        options += ["-sv", chooser.choice(["0", "0.01", "0.5", "1", "2.25", "1e-3"])]
    return options


def compare_corpus(comparison, hypotheses, references, options, chooser):
    """Over files or standard input, with separate references or several in one file."""
    is_stdin = chooser.random() < 0.4
    if is_stdin:  # there sacreBLEU gives these characters another meaning
        hypotheses = [line.replace("\r", " ").replace("\t", " ") for line in hypotheses]
    is_ended = chooser.random() < 0.9 or hypotheses[-1] == "" or is_stdin
    line_end = "\r\n" if chooser.random() < 0.1 else "\n"
    hyp = comparison.path("hyp")
    write_lines(hyp, hypotheses, line_end, is_ended)
    for name in os.listdir(comparison.folder):
        if name.startswith("ref"):
            os.remove(comparison.path(name))
    paths = []
    if len(references) > 1 and chooser.random() < 0.2:
        fields = [[field.replace("\t", " ") for field in row] for row in zip(*references)]
        write_lines(comparison.path("ref"), ["\t".join(row) + "." for row in fields])
        paths, options = [comparison.path("ref")], options + ["-nr", str(len(references))]
    else:
        for number, lines in enumerate(references):
            paths.append(comparison.path(f"ref{number}"))
            write_lines(paths[-1], lines)
    if is_stdin:
        return comparison.compare(paths + options, stdin_path=hyp)
    return comparison.compare(options + paths + ["-i", hyp])


def compare_random(comparison, maker, n_corpora):
    for _ in range(n_corpora):
        n_lines = maker.random.choice([1, 1, 2, 5, 20])
        n_references = maker.random.choice([1, 1, 2, 3])
        base = [maker.line() for _ in range(n_lines)]
        references = [base] + [[maker.changed(line) for line in base]
                               for _ in range(n_references - 1)]
        hypotheses = [maker.changed(line) for line in base]
        compare_corpus(comparison, hypotheses, references, random_options(maker.random),
                       maker.random)


def compare_every_option(comparison, maker):
    """Sentences of an ordinary kind under every format, width, case, tokenizer and smoothing."""
    base = [maker.sentence() for _ in range(60)]
    references = [base] + [[maker.changed(line) for line in base] for _ in range(2)]
    hypotheses = [maker.changed(line) for line in base]
    write_lines(comparison.path("hyp"), hypotheses)
    paths = []
    for number, lines in enumerate(references):
        paths.append(comparison.path(f"ref{number}"))
        write_lines(paths[-1], lines)
    for n_references in (1, 2, 3):
        for smoothing in ("exp", "floor", "add-k", "none"):
            for width in range(7):
                for more in ([], ["-f", "text"], ["-b"], ["-f", "text", "-sh", "-lc"],
                             ["-lc", "-tok", "none"]):
                    comparison.compare(paths[:n_references] + ["-i", comparison.path("hyp"), "-s",
                                       smoothing, "-w", str(width)] + more)


def compare_edges(comparison):
    """Empty inputs, unequal lengths, the warning about tokenized text, the environment."""
    ref, hyp = comparison.path("ref0"), comparison.path("hyp")
    tokenized = ["a small test line ."] * 100
    cases = [([""], [""]), (["a"], [""]), ([""], ["a"]), (["a b c"], ["a b c"]),
             (["a b c d"], ["a b c d"]), (["a", "b"], ["a"]), (["x y z w"], ["a b c d"]),
             (["\ufeffa b c d e"], ["a b c d e"]), (["a\x00b c d e"], ["a\x00b c d e"])]
    for references, hypotheses in cases:
        write_lines(ref, references)
        write_lines(hyp, hypotheses)
        for options in ([], ["-f", "text"], ["-b"], ["-sl"]):
            comparison.compare([ref, "-i", hyp] + options)
            comparison.compare([ref] + options, stdin_path=hyp)
    write_lines(ref, [""])
    comparison.compare([ref])  # an empty standard input is one empty line
    write_lines(ref, tokenized)
    for n_tokenized in (99, 100):
        write_lines(hyp, tokenized[:n_tokenized] + ["another one."] * (100 - n_tokenized))
        for options in ([], ["-q"], ["--force"], ["-lc", "-f", "text"], ["-sl"]):
            comparison.compare([ref, "-i", hyp] + options, with_stderr=True)
    for name in ("text", "TEXT", "json", "xml", ""):
        os.environ["SACREBLEU_FORMAT"] = name
        comparison.compare([ref, "-i", hyp])
    del os.environ["SACREBLEU_FORMAT"]
    write_lines(ref, ["only one field"] * 100)
    comparison.compare([ref, "-i", hyp, "-nr", "2"])
    comparison.compare([comparison.path("nothing"), "-i", hyp])
    write_lines(ref, tokenized)
    with open(hyp, "wb") as stream:
        stream.write(b"a\xff b\n" * 100)
    comparison.compare([ref, "-i", hyp])


def compare_texts(comparison, maker, folder):
    """The first lines of each file of a folder, against changed copies of themselves."""
    for root, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            try:
                with open(os.path.join(root, name), encoding="utf-8", newline="\n") as stream:
                    base = [line.rstrip("\n") for _, line in zip(range(1000), stream)]
            except (OSError, UnicodeDecodeError):
                continue
            if not base:
                continue
            references = [base, [maker.changed(line) for line in base]]
            hypotheses = [maker.changed(line) for line in base]
            for options in ([], ["-f", "text", "-w", "6"], ["-lc", "-f", "text", "-w", "4"],
                            ["-tok", "none"], ["-s", "floor", "-f", "text"]):
                compare_corpus(comparison, hypotheses, references[:maker.random.randint(1, 2)],
                               options, maker.random)


def survey_lower_case(comparison):
    """Every character's lower case, against Python's; returns how many differ."""
    code_points = [c for c in range(0x110000) if is_usable(c)]
    write_lines(comparison.path("hyp"), ["a" + chr(c) + "a" for c in code_points])
    write_lines(comparison.path("ref0"), ["a" + chr(c).lower() + "a" for c in code_points])
    _, out, err = run_mixt(comparison.mixt, [comparison.path("ref0"), "-i", comparison.path("hyp"),
                                             "-lc", "-tok", "none", "-sl", "-b", "-w", "0"],
                           os.devnull)
    # white space and marks never change, so that only a difference in letters scores below 100
    scores = out.split()
    if len(scores) != len(code_points):
        print(f"lower case: {len(scores)} scores for {len(code_points)} characters: {err!r}")
        return 1
    different = [c for c, score in zip(code_points, scores) if score != b"100"]
    if different:
        print("lower case differs for", " ".join(f"U+{c:04X}" for c in different[:20]))
    return len(different)


def restart_with_other_python():
    """With the Python that the environment names, once."""
    other = os.environ.pop("MIXT_SACREBLEU_PYTHON", "")
    if other:
        os.execv(other, [other] + sys.argv)


def has_sacrebleu():
    try:
        import sacrebleu
        import sacrebleu.sacrebleu  # its main(), before the forks
    except ImportError as error:
        print(f"skipped: sacreBLEU cannot be imported: {error}")
        return False
    if sacrebleu.__version__ != WANTED:
        print(f"skipped: sacreBLEU {WANTED} wanted, {sacrebleu.__version__} found")
        return False
    return True


def main():
    restart_with_other_python()
    parser = argparse.ArgumentParser()
    parser.add_argument("mixt")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpora", type=int, default=600)
    arguments = parser.parse_args()
    if not has_sacrebleu():
        return SKIPPED
    os.environ["NO_COLOR"] = "1"
    os.environ.pop("SACREBLEU_FORMAT", None)
    maker = Maker(arguments.seed)
    texts = os.environ.get("MIXT_BLEU_TEXTS", "")
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(os.path.abspath(arguments.mixt), folder, arguments.seed)
        compare_edges(comparison)
        compare_every_option(comparison, maker)
        compare_random(comparison, maker, arguments.corpora)
        if texts:
            compare_texts(comparison, maker, texts)
        n_letters = survey_lower_case(comparison)
    print(f"{comparison.n_done} comparisons, {comparison.n_different} different; "
          f"{n_letters} characters with another lower case "
          f"(Unicode {unicodedata.unidata_version} in Python, seed {arguments.seed})")
    return 1 if comparison.n_different or n_letters else 0


if __name__ == "__main__":
    sys.exit(main())
