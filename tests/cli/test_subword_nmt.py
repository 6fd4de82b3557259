#!/usr/bin/env python3
"""mixt subword beside subword-nmt 0.3.8: the same codes, pieces and vocabularies, byte for byte.

Usage: test_subword_nmt.py MIXT [--seed N] [--corpora N]

subword-nmt's own command line runs in a forked copy of this process, so that each comparison costs
milliseconds. Exit codes: 0 equal, 1 different, 77 when subword-nmt 0.3.8 cannot be imported.

Environment:
  MIXT_SACREBLEU_PYTHON  a Python that has subword-nmt; the test starts itself again with it
  MIXT_SUBWORD_TEXTS     a folder; each two neighbours of its files, by name, are compared too
"""
import argparse
import gc
import importlib.metadata
import os
import random
import re
import subprocess
import sys
import tempfile

WANTED = "0.3.8"
SKIPPED = 77

# Letters of made-up words, a script each; few letters, so that many pairs are equally frequent.
SCRIPTS = ["ab", "abc", "abcdeinorstu", "äöüßéè", "абвгдеж", "αβγδς", "אבגד", "ابتث",
           "अआकि्", "กขา่", "日本語中", "한국어", "😀👩\u200d👧", "e\u0301\u0308", "xX.,!?",
           "ab\u00a0", "ab\t", "\\$^*", "ab\u2003\u3000", "</w>", "@"]
ODD_WORDS = ["</w>", "a</w>", "@@", "x@@", "\ufeff", "\ufeffa", "\x00", "a\x00b", "\u00a0", "\t",
             "a\tb", "\u200b", "\x1f", "\\", "a\\b", "\\1", "&amp;", "#version:", "0.2", "U+2028",
             "\ufffd", "😀", "🇩🇪", "<unk>", "<a1>", "x<b>y<c>", "USA", "1934USABUSA", "(", "[x]",
             "a" * 40, "ab" * 30, "aab" * 20]
# Where Python ends a line; only "\n" is one for mixt, and yet the output is the same.
LINE_ENDS = ["\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
GLOSSARIES = ["USA", "<\\w*>", "a", "ab", "[0-9]+", "(a|b)c", "x.y", "\\d+", "<unk>",
              "&\\w+;", "b+", "a?b", "(?:ab)+", "[^a-c]", "\\bab\\b", "", "a|b", "日", "\\W",
              "(a)(b)?", "(?<=a)b", "(?P<n>a)(?P=n)", "a{2,3}", "\\.", "[]a]"]


class Maker:
    """Makes random texts; the same seed makes the same ones."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def words(self, has_line_ends=True):
        chooser = self.random
        scripts = chooser.sample(SCRIPTS, chooser.randint(1, 4))
        words = []
        for _ in range(chooser.randint(1, 80)):
            letters = chooser.choice(scripts)
            length = chooser.choice([1, 2, 3, 4, 5, 8, 14])
            words.append("".join(chooser.choices(letters, k=length)))
        if chooser.random() < 0.5:
            words += chooser.sample(ODD_WORDS, chooser.randint(1, 8))
        if has_line_ends and chooser.random() < 0.3:
            end = chooser.choice(LINE_ENDS)
            words += [end, "a" + end, "a" + end + "b", end + end + "ab"]
        return words

    def line(self, words):
        chooser = self.random
        if chooser.random() < 0.06:
            return chooser.choice(["", " ", "  ", "\r", " \r", "a", " a  "])
        line = ""
        for index in range(chooser.randint(1, 14)):
            # the first words are the frequent ones
            word = words[min(int(chooser.expovariate(6 / len(words))), len(words) - 1)]
            line += (chooser.choice([" "] * 12 + ["  "]) if index else "") + word
        if chooser.random() < 0.1:
            line = chooser.choice([" ", "  ", "\r"]) + line + chooser.choice([" ", " \r", "\r", ""])
        return line

    def text(self, n_lines=None, has_line_ends=True):
        words = self.words(has_line_ends)
        n_lines = self.random.choice([1, 5, 30, 120]) if n_lines is None else n_lines
        text = "".join(self.line(words) + "\n" for _ in range(n_lines))
        return text[:-1] if self.random.random() < 0.15 else text

    def dictionary(self):
        """Words with counts of all sizes: the learner prunes and renews its statistics."""
        words = {word.strip("\r ") for word in self.words(has_line_ends=False)} - {""}
        words = sorted(word for word in words if " " not in word and len(word.splitlines()) == 1)
        counts = [int(10 ** self.random.uniform(0, 6)) for _ in words]
        self.random.shuffle(words)
        return "".join(f"{word} {count}\n" for word, count in zip(words, counts)) or "ab 3\n"


def write(path, text):
    with open(path, "wb") as stream:
        stream.write(text if isinstance(text, bytes) else text.encode("utf-8"))


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


def run_child(function, stdin_path, folder):
    """A function in a forked child, with its streams on files: (exit code, stdout, stderr)."""
    out, err = os.path.join(folder, "peer.stdout"), os.path.join(folder, "peer.stderr")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            for descriptor, path, mode in ((0, stdin_path, os.O_RDONLY), (1, out, writing),
                                           (2, err, writing)):
                os.dup2(os.open(path, mode, 0o600), descriptor)
            function()
            gc.collect()  # closes the files that subword-nmt leaves open
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
    return os.waitstatus_to_exitcode(status), read(out), read(err)


def run_peer(arguments, stdin_path, folder):
    from subword_nmt.subword_nmt import main

    def call():
        sys.argv = ["subword-nmt"] + arguments
        main()
    return run_child(call, stdin_path, folder)


def run_peer_segment(arguments, folder):
    from subword_nmt import segment_char_ngrams as peer

    def call():
        parsed = peer.create_parser().parse_args(arguments)
        for name in ("input", "vocab"):
            setattr(parsed, name, open(getattr(parsed, name).name, encoding="utf-8", newline="\n"))
        peer.segment_char_ngrams(parsed)
    return run_child(call, os.devnull, folder)


class Comparison:
    """Runs both programs in a folder of their own and counts differences."""

    def __init__(self, mixt, folder, seed):
        self.mixt, self.folder, self.seed = mixt, folder, seed
        self.n_done, self.n_different, self.n_refused = 0, 0, 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_mixt(self, arguments, stdin_path=os.devnull):
        with open(stdin_path, "rb") as stream:
            done = subprocess.run([self.mixt, "subword"] + arguments, stdin=stream,
                                  capture_output=True, check=False, timeout=300)
        return done.returncode, done.stdout, done.stderr

    def differ(self, what, arguments, peer, mine):
        self.n_different += 1
        if self.n_different <= 5:
            print(f"different {what}: seed {self.seed}, comparison {self.n_done}: {arguments}")
            print(f"  subword-nmt {peer!a:.1500}\n  mixt        {mine!a:.1500}")
            for name in ("text", "other", "codes", "vocabulary"):
                if os.path.exists(self.path(name)) and os.path.getsize(self.path(name)) < 4000:
                    print(f"  {name}: {read(self.path(name))!a}")

    def compare(self, arguments, stdin_path=os.devnull, outputs=(), peer=None):
        """The same arguments for both; outputs are files that both write, "@" in arguments stands
        for "peer." and "mine." in their names. Returns whether subword-nmt was content."""
        def named(prefix):
            return [argument.replace("@", self.path(prefix)) if argument.startswith("@.") else
                    argument for argument in arguments]
        peer = peer(named("peer")) if peer else run_peer(named("peer"), stdin_path, self.folder)
        mine = self.run_mixt(named("mine"), stdin_path)
        self.n_done += 1
        if peer[0] != 0:
            # A traceback or a refusal: mixt has to end in an orderly way, no more.
            self.n_refused += 1
            if mine[0] not in (0, 1, 2, 3):
                self.differ("exit code", arguments, peer, mine)
            return False
        if mine[:2] != peer[:2]:
            self.differ("output", arguments, peer, mine)
            return True
        for name in outputs:
            if read(self.path("peer." + name)) != read(self.path("mine." + name)):
                self.differ(name, arguments, read(self.path("peer." + name)),
                            read(self.path("mine." + name)))
                break
        return True

    def expect(self, is_right, what, mine):
        self.n_done += 1
        if not is_right:
            self.differ(what, [], b"", mine)


def learning_options(chooser):
    options = ["-s", str(chooser.choice([0, 1, 3, 20, 150, 400, 1500]))]
    if chooser.random() < 0.5:
        options += ["--min-frequency", str(chooser.choice([-1, 0, 1, 2, 3, 10]))]
    if chooser.random() < 0.2:
        options += ["-t"]
    return options


def applying_options(chooser, separator):
    options = []
    if chooser.random() < 0.3:
        options += ["-m", str(chooser.choice([-1, 0, 1, 5, 40]))]
    if separator != "@@":
        options += ["-s", separator]
    if chooser.random() < 0.4:
        options += ["--glossaries"] + chooser.sample(GLOSSARIES, chooser.randint(1, 4))
    return options


def messages(stderr):
    """What subword-nmt and mixt say alike, without progress bars and figures."""
    wanted = re.compile(rb"no pair has frequency[^\n]*|Number of word[^\n]*|Reducing[^\n]*"
                        rb"|pair \d+:[^\n]*")
    return wanted.findall(stderr)


def compare_learning(comparison, maker):
    """Learns from a text or a dictionary, from a file or standard input; leaves `codes`."""
    options = learning_options(maker.random)
    is_dictionary = maker.random.random() < 0.4
    write(comparison.path("text"), maker.dictionary() if is_dictionary else maker.text())
    options += ["--dict-input"] if is_dictionary else []
    options += ["-v"] if maker.random.random() < 0.1 else []
    text = comparison.path("text")
    if maker.random.random() < 0.3:
        comparison.compare(["learn-bpe"] + options, text)
    is_done = comparison.compare(["learn-bpe", "-i", text, "-o", "@.codes"] + options,
                                 outputs=["codes"])
    if not is_done:
        return False
    peer = messages(run_peer(["learn-bpe", "-i", text, "-o", os.devnull] + options, os.devnull,
                             comparison.folder)[2])
    mine = messages(comparison.run_mixt(["learn-bpe", "-i", text] + options)[2])
    comparison.expect(peer == mine, f"messages {peer!a:.300}", mine)
    write(comparison.path("codes"), read(comparison.path("peer.codes")))
    return True


def change_codes(comparison, chooser):
    """Codes as others may have made them: version 0.1, shuffled, doubled, with line ends."""
    header, *lines = read(comparison.path("codes")).decode("utf-8").rstrip("\n").split("\n")
    kind = chooser.random()
    if kind < 0.15:
        header = "#version: 0.1"
    elif kind < 0.3:
        header = None
    if kind < 0.3:
        lines = [re.sub("([^ ]) ?</w>$", r"\1 </w>" if chooser.random() < 0.3 else r"\1</w>", line)
                 for line in lines]
        lines = [line for line in lines if line.count(" ") == 1]
    elif kind < 0.4:
        chooser.shuffle(lines)
    elif kind < 0.5:
        lines += chooser.choices(lines, k=len(lines)) if lines else []
        chooser.shuffle(lines)
    elif kind < 0.55:
        header, lines = header + ".0\r", [" " + line + " \r" for line in lines]
    elif kind < 0.6 and lines:
        lines[chooser.randrange(len(lines))] = chooser.choice(["", "a", "a b c", "a  b"])
    if not lines:
        return
    text = "\n".join(([header] if header else []) + lines) + chooser.choice(["", "\n", "\n\n\n"])
    write(comparison.path("codes"), text)


def compare_applying(comparison, maker):
    """Applies `codes` to a new text, with random options and sometimes a vocabulary."""
    chooser = maker.random
    change_codes(comparison, chooser)
    separator = chooser.choice(["@@", "@@", "@@", "￭", "#", "", "@", "</w>"])
    options = applying_options(chooser, separator)
    if chooser.random() < 0.7:
        write(comparison.path("other"), read(comparison.path("text")) if chooser.random() < 0.5
              and b" 1\n" not in read(comparison.path("text")) else maker.text())
    else:
        write(comparison.path("other"), maker.text())
    text, codes = comparison.path("other"), comparison.path("codes")
    if chooser.random() < 0.3:
        comparison.compare(["apply-bpe", "-c", codes] + options, text)
    threads = ["--num-workers", chooser.choice(["1", "3"])]
    arguments = ["apply-bpe", "-i", text, "-o", "@.pieces", "-c", codes]
    if not comparison.compare(arguments + threads + options, outputs=["pieces"]):
        return
    pieces = comparison.path("peer.pieces")
    comparison.compare(["get-vocab", "-i", pieces, "-o", "@.vocabulary"], outputs=["vocabulary"])
    compare_decoding(comparison, pieces, separator)
    vocabulary = read(comparison.path("peer.vocabulary")).decode("utf-8").split("\n")[:-1]
    vocabulary = [line for line in vocabulary if len(line.splitlines()) == 1]
    kept = chooser.sample(vocabulary, chooser.randint(0, len(vocabulary)))
    write(comparison.path("vocabulary"), "".join(line + "\n" for line in kept))
    options += ["--vocabulary", comparison.path("vocabulary")]
    if chooser.random() < 0.7:
        options += ["--vocabulary-threshold", str(chooser.choice([-1, 1, 2, 5, 1000]))]
    comparison.compare(["apply-bpe", "-i", text, "-o", "@.pieces", "-c", codes] + options,
                       outputs=["pieces"])


def compare_decoding(comparison, pieces, separator):
    mark = re.escape(separator.encode("utf-8"))
    expected = b"\n".join(re.sub(b"(%s )|(%s ?$)" % (mark, mark), b"", line, flags=re.ASCII)
                          for line in read(pieces).split(b"\n"))
    arguments = ["decode", "--type", "subword-nmt", f"--separator={separator}", pieces]
    mine = comparison.run_mixt(arguments)
    comparison.expect(mine[0] == 0 and mine[1] == expected, f"decoding, not {expected!a:.500}",
                      mine)


def compare_joint(comparison, maker):
    """Joint codes and vocabularies of two or three texts, and their use."""
    chooser = maker.random
    texts, names = [], []
    for index in range(chooser.randint(2, 3)):
        texts.append(comparison.path(f"text.{index}"))
        names.append(f"vocabulary.{index}")
        # with a carriage return the tell() of Python's text files goes wrong, and it stops
        write(texts[-1], maker.text(has_line_ends=chooser.random() < 0.3).replace("\r", ""))
    separator = chooser.choice(["@@", "@@", "￭", "#"])
    options = learning_options(chooser) + (["--separator", separator] if separator != "@@" else [])
    is_done = comparison.compare(
        ["learn-joint-bpe-and-vocab", "-i"] + texts + ["-o", "@.codes", "--write-vocabulary"] +
        ["@." + name for name in names] + options, outputs=["codes"] + names)
    if not is_done or read(comparison.path("peer.codes")).count(b"\n") < 2:
        return
    for text, name in zip(texts, names):
        comparison.compare(["apply-bpe", "-i", text, "-o", "@.pieces", "-c",
                            comparison.path("peer.codes"), "--vocabulary",
                            comparison.path("peer." + name), "--vocabulary-threshold",
                            str(chooser.randint(1, 9)), "-s", separator], outputs=["pieces"])


def compare_bytes(comparison, maker):
    """Byte codes: subword-nmt 0.3.8 has none, so it gets each byte as a character of its own."""
    to_text = {byte: chr(byte if byte < 0x80 else 0x4E00 + byte) for byte in range(256)}
    to_byte = {character: byte for byte, character in to_text.items()}
    data = maker.text(has_line_ends=False).replace("\r", "").encode("utf-8")
    if maker.random.random() < 0.3:
        data = bytes(byte ^ (byte >= 0x80 and maker.random.random() < 0.2) for byte in data)
    data = bytes(byte for byte in data if byte not in b"\x1f")
    text = "".join(to_text[byte] for byte in data)
    write(comparison.path("text"), text)
    write(comparison.path("bytes"), data)
    options = learning_options(maker.random)
    peer = run_peer(["learn-bpe", "-i", comparison.path("text"), "-o", comparison.path("codes")] +
                    options, os.devnull, comparison.folder)
    if peer[0] != 0:
        return

    def as_bytes(content):
        return bytes(to_byte[character] for character in content.decode("utf-8"))
    codes = as_bytes(read(comparison.path("codes"))).replace(b"0.2\n", b"0.2 byte\n", 1)
    mine = comparison.run_mixt(["learn-bpe", "--byte", "-i", comparison.path("bytes"), "-o",
                                comparison.path("mine.codes")] + options)
    found = read(comparison.path("mine.codes"))
    comparison.expect(mine[0] == 0 and found == codes, f"byte codes, not {codes!a:.500}", found)
    if codes.count(b"\n") < 2:
        return
    _, pieces, _ = run_peer(["apply-bpe", "-i", comparison.path("text"), "-c",
                             comparison.path("codes")], os.devnull, comparison.folder)
    mine = comparison.run_mixt(["apply-bpe", "-c", comparison.path("mine.codes")],
                               comparison.path("bytes"))
    comparison.expect(mine[0] == 0 and mine[1] == as_bytes(pieces), "byte pieces", mine)


def compare_segments(comparison, maker):
    chooser = maker.random
    write(comparison.path("text"), maker.text(has_line_ends=False).replace("\r", ""))
    words = read(comparison.path("text")).decode("utf-8").split()
    lines = [f"{word} {chooser.randint(1, 9)}\n" for word in words[:40]] + ["x\n", "a b c\n", "\n"]
    chooser.shuffle(lines)
    write(comparison.path("vocabulary"), "".join(lines))
    options = ["-n", str(chooser.randint(1, 4)), "--shortlist", str(chooser.randint(0, 20)), "-i",
               comparison.path("text"), "--vocab", comparison.path("vocabulary")]
    comparison.compare(["segment-char-ngrams"] + options, peer=lambda arguments: run_peer_segment(
        arguments[1:], comparison.folder))


def compare_dropout(comparison, maker):
    """No equal output is promised: only the same share of pieces, whatever the threads."""
    words = ["abcabc", "bcabca", "cab", "aabbcc"]
    text = "".join(" ".join(maker.random.choices(words, k=8)) + "\n" for _ in range(1500))
    write(comparison.path("text"), text)
    codes = comparison.path("codes")
    run_peer(["learn-bpe", "-s", "12", "-i", comparison.path("text"), "-o", codes], os.devnull,
             comparison.folder)
    for dropout in ("0.1", "0.5", "1"):
        arguments = ["apply-bpe", "-c", codes, "-i", comparison.path("text"), "--dropout", dropout]
        mine = comparison.run_mixt(arguments + ["--threads", "1"])
        others = [comparison.run_mixt(arguments + ["--threads", "5"] + more)
                  for more in ([], ["--seed", "0"], ["--seed", "1"])]
        is_stable = others[0][:2] == others[1][:2] == mine[:2]
        comparison.expect(is_stable and (others[2][1] != mine[1] or dropout == "1"),
                          f"threads or seed with dropout {dropout}", mine)
        peer = run_peer(arguments, os.devnull, comparison.folder)
        found, wanted = len(mine[1].split()), len(peer[1].split())
        # 12,000 words whose numbers of pieces vary by less than 2: about 5 standard deviations
        comparison.expect(abs(found - wanted) < 1500 * 8 * 0.065,
                          f"pieces with dropout {dropout}: {wanted} wanted", found)
        write(comparison.path("pieces"), mine[1])
        decoded = comparison.run_mixt(["decode", "--type", "subword-nmt"],
                                      comparison.path("pieces"))
        comparison.expect(decoded[1].decode("utf-8") == text, "decoding words", decoded)


def compare_files(comparison, folder):
    """Real texts: codes, joint codes, pieces and vocabularies of neighbours in the folder."""
    names = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    for left, right in zip(names, names[1:]):
        comparison.compare(["learn-bpe", "-i", left, "-o", "@.codes", "-s", "10000"],
                           outputs=["codes"])
        for text in (left, right):
            comparison.compare(["apply-bpe", "-i", text, "-o", "@.pieces", "-c",
                                comparison.path("peer.codes")], outputs=["pieces"])
        outputs = ["codes", "vocabulary.0", "vocabulary.1"]
        comparison.compare(["learn-joint-bpe-and-vocab", "-i", left, right, "-o", "@.codes",
                            "--write-vocabulary", "@.vocabulary.0", "@.vocabulary.1"],
                           outputs=outputs)
        for text, name in zip((left, right), outputs[1:]):
            comparison.compare(["apply-bpe", "-i", text, "-o", "@.pieces", "-c",
                                comparison.path("peer.codes"), "--vocabulary",
                                comparison.path("peer." + name), "--vocabulary-threshold", "50"],
                               outputs=["pieces"])
        print(f"{left}, {right}: {comparison.n_different} differences so far", flush=True)


def run_corpus(mixt, seed):
    with tempfile.TemporaryDirectory(prefix="mixt-test-") as folder:
        comparison, maker = Comparison(mixt, folder, seed), Maker(seed)
        if compare_learning(comparison, maker):
            compare_applying(comparison, maker)
        compare_joint(comparison, maker)
        compare_bytes(comparison, maker)
        compare_segments(comparison, maker)
        if seed % 20 == 1:
            compare_dropout(comparison, maker)
        return comparison


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", help="the mixt to test")
    parser.add_argument("--seed", type=int, default=1, help="of the first corpus (default: 1)")
    parser.add_argument("--corpora", type=int, default=60, help="how many (default: 60)")
    arguments = parser.parse_args()
    try:
        import subword_nmt.segment_char_ngrams
        import subword_nmt.subword_nmt
        found = importlib.metadata.version("subword-nmt")
    except ImportError as error:
        found = str(error)
    if found != WANTED:
        other = os.environ.pop("MIXT_SACREBLEU_PYTHON", "")
        if other:
            os.execv(other, [other] + sys.argv)
        print(f"skipped: subword-nmt {WANTED} wanted: {found}")
        sys.exit(SKIPPED)
    mixt = os.path.abspath(arguments.program)
    n_done = n_different = n_refused = 0
    texts = os.environ.get("MIXT_SUBWORD_TEXTS")
    if texts:
        with tempfile.TemporaryDirectory(prefix="mixt-test-") as folder:
            comparison = Comparison(mixt, folder, 0)
            compare_files(comparison, texts)
            n_done, n_different = comparison.n_done, comparison.n_different
    for seed in range(arguments.seed, arguments.seed + arguments.corpora):
        comparison = run_corpus(mixt, seed)
        n_done += comparison.n_done
        n_different += comparison.n_different
        n_refused += comparison.n_refused
        if n_different > 20:
            break
    print(f"{n_done} comparisons, {n_different} different; {n_refused} that subword-nmt refused")
    sys.exit(1 if n_different or not n_done else 0)


if __name__ == "__main__":
    main()
