#!/usr/bin/env python3
"""Compares `mixt bleu` with sacreBLEU 2.6.0, byte for byte on stdout and by exit code.

Usage: test_bleu_sacrebleu.py MIXT [--seed N] [--corpora N]

MIXT is the program to test. Each corpus is made at random from the seed, and so are the options it
is scored with. Exit codes: 0 equal, 1 different, 77 when sacreBLEU 2.6.0 cannot be imported.

Left out, because mixt differs there on purpose: on standard input "\\r" and, without
--stdin-systems, tabs; SACREBLEU_SEED=0 with paired tests, which sacreBLEU takes for no seed; -sl
with an error further on, before which mixt has printed; TER and MeCab. Where sacreBLEU fails by a
mistake of its own in resampling chrF, mixt only must not.

Environment:
  MIXT_SACREBLEU_PYTHON  a Python that has sacreBLEU 2.6.0; the test starts itself again with it
  MIXT_BLEU_TEXTS        a folder; the first lines of each UTF-8 file in it are compared too
"""
import argparse
import gzip
import os
import sys
import tempfile
import unicodedata

from bleu_peer import Comparison, has_sacrebleu, restart_with_other_python, train_models
from bleu_texts import Maker, is_usable, write_lines

SKIPPED = 77
TOKENIZERS = ["13a", "13a", "intl", "intl", "char", "zh", "zh", "none", "flores101", "flores200",
              "spm", "spBLEU-1K"]
# Names of systems: they are printed in JSON and in tables.
SYSTEMS = ["hyp", "a b", "ümlaut", "東京", "x_y%", "r&d #1", "ba$e^2~{c}", "back\\slash", "quo\"te",
           "1", "2", "10", "1.5", "2.25", "1e5", "1_000", "1,000", "nan", "True", "Baseline: x",
           "<a>", "😀", " padded ", "it's"]


def random_metrics(chooser):
    return chooser.choice([[], [], [], ["-m", "bleu"], ["-m", "chrf"], ["-m", "chrf"],
                           ["-m", "bleu", "chrf"], ["--metrics", "chrf", "bleu"]])


def random_tokenizer(chooser):
    options = []
    if chooser.random() < 0.6:
        options += [chooser.choice(["-tok", "--tokenize"]), chooser.choice(TOKENIZERS)]
    if not options and chooser.random() < 0.3:
        options += [chooser.choice(["-l", "--language-pair"]),
                    chooser.choice(["en-zh", "en-de", "zh-en", "ja-en", "en-zh-x"])]
    elif options and chooser.random() < 0.1:
        options += ["-l", chooser.choice(["en-ja", "en-ko", "de-zh"])]
    return options


def random_chrf(chooser):
    options = []
    options += chooser.choice([[], [], ["-cw", "2"], ["-cw", "1"], ["--chrf-word-order", "4"]])
    options += chooser.choice([[], [], ["-cc", str(chooser.randint(1, 9))]])
    options += chooser.choice([[], [], ["--chrf-beta", str(chooser.choice([1, 3, 0, 5]))]])
    options += chooser.choice([[], [], ["--chrf-whitespace"]])
    options += chooser.choice([[], [], ["--chrf-lowercase"]])
    options += chooser.choice([[], [], [], ["--chrf-eps-smoothing"]])
    return options


def random_options(chooser, has_chrf):
    """What does not depend on the number of systems."""
    options = []
    options += chooser.choice([[], ["-f", "text"], ["-f", "json"], ["--format=text"],
                               ["-f", "latex"]])
    width = chooser.randint(0, 6)
    options += chooser.choice([[], ["-w", str(width)], [f"-w{width}"]])
    options += chooser.choice([[], ["-lc"], ["--lowercase"]])
    options += random_tokenizer(chooser)
    options += chooser.choice([[], [], ["-b"]])
    options += chooser.choice([[], [], ["-sh"]])
    options += chooser.choice([[], [], ["--force"], ["-q"]])
    smoothing = chooser.choice(["", "exp", "none", "floor", "add-k"])
    if smoothing:
        options += [chooser.choice(["-s", "--smooth-method"]), smoothing]
    if smoothing in ("floor", "add-k") and chooser.random() < 0.5:
        options += ["-sv", chooser.choice(["0", "0.01", "0.5", "1", "2.25", "1e-3"])]
    if has_chrf:
        options += random_chrf(chooser)
    return options


def random_seed(chooser):
    return chooser.choice([{}, {}, {"SACREBLEU_SEED": str(chooser.choice(
        [1, 42, 4294967295, 4294967296, 10 ** 30, "007", " 8 ", "1_0"]))}])


def write_references(comparison, references, chooser):
    """In files of their own, or in one with tabs, or compressed; returns paths and options."""
    for name in os.listdir(comparison.folder):
        if name.startswith("ref"):
            os.remove(comparison.path(name))
    if len(references) > 1 and chooser.random() < 0.2:
        fields = [[field.replace("\t", " ") for field in row] for row in zip(*references)]
        write_lines(comparison.path("ref"), ["\t".join(row) + "." for row in fields])
        return ["ref"], ["-nr", str(len(references))]
    paths = []
    for number, lines in enumerate(references):
        paths.append(f"ref{number}")
        write_lines(comparison.path(paths[-1]), lines)
        if chooser.random() < 0.05:
            with open(comparison.path(paths[-1]), "rb") as plain:
                text = plain.read()
            paths[-1] += ".gz"
            with gzip.open(comparison.path(paths[-1]), "wb") as packed:
                packed.write(text)
    return paths, []


def for_stdin(line):
    """sacreBLEU gives these characters another meaning there."""
    return line.replace("\r", " ").replace("\t", " ")


def compare_one(comparison, hypotheses, references, options, chooser, environment=None, more=()):
    """One system, over a file or standard input."""
    is_stdin = chooser.random() < 0.4
    if is_stdin:
        hypotheses = [for_stdin(line) for line in hypotheses]
    is_ended = chooser.random() < 0.9 or hypotheses[-1] == "" or is_stdin
    line_end = "\r\n" if chooser.random() < 0.1 else "\n"
    name = "hyp" if is_stdin else chooser.choice(SYSTEMS)
    write_lines(comparison.path(name), hypotheses, line_end, is_ended)
    paths, split = write_references(comparison, references, chooser)
    arguments = paths + options + split if is_stdin else options + split + paths + ["-i", name]
    if not is_stdin and options and options[-1] in ("bleu", "chrf"):
        arguments = paths + ["-i", name] + options + split
    stdin_path = comparison.path("hyp") if is_stdin else os.devnull
    comparison.compare(arguments, stdin_path, environment=environment, more=more)
    os.remove(comparison.path(name))


def compare_several(comparison, systems, references, options, chooser, environment, more):
    """Several systems, over files or the fields of standard input."""
    paths, split = write_references(comparison, references, chooser)
    if chooser.random() < 0.3:
        systems = [[for_stdin(line) for line in lines] for lines in systems]
        rows = ["\t".join(row) for row in zip(*systems)]
        for at, row in enumerate(rows):  # trailing white space may take fields away: 17 is right
            if chooser.random() < 0.95 and row.rstrip().count("\t") < len(systems) - 1:
                rows[at] += "x"
        write_lines(comparison.path("hyp"), rows)
        # a line of the first column ends the options that take several words
        comparison.compare(paths + options + split, comparison.path("hyp"),
                           environment=environment, more=list(more) + ["--stdin-systems"])
        os.remove(comparison.path("hyp"))
        return
    names = chooser.sample(SYSTEMS, len(systems))
    for name, lines in zip(names, systems):
        write_lines(comparison.path(name), lines)
    given = list(names)
    if chooser.random() < 0.1:
        given.append(names[0])  # the baseline again: ignored in a paired test, else an error
    comparison.compare(paths + options + split + ["-i"] + given, environment=environment,
                       more=more)
    for name in names:
        os.remove(comparison.path(name))


def random_test(chooser):
    """A paired test, or none."""
    if chooser.random() < 0.35:
        return []
    if chooser.random() < 0.5:
        return [chooser.choice(["-par", "--paired-ar"]), "-parn", str(chooser.randint(1, 120))]
    return [chooser.choice(["-pbs", "--paired-bs"])] + \
        chooser.choice([["-pbsn", str(chooser.randint(1, 300))], ["--paired-bs-n=100"]])


def compare_random(comparison, maker, n_corpora):
    chooser = maker.random
    for _ in range(n_corpora):
        base = maker.corpus(chooser.choice([1, 1, 2, 5, 20, 20, 50]))
        n_references = chooser.choice([1, 1, 1, 2, 3, 4])
        references = [base] + [[maker.changed(line) for line in base]
                               for _ in range(n_references - 1)]
        metrics = random_metrics(chooser)
        options = random_options(chooser, "chrf" in metrics)
        environment = {"NO_COLOR": chooser.choice(["", "1"]), **random_seed(chooser)}
        more = chooser.choice([[], ["--threads", "1"], ["--threads=3"]])
        n_systems = chooser.choice([1, 1, 1, 1, 2, 2, 3, 4])
        systems = [[maker.changed(line) for line in base] for _ in range(n_systems)]
        if n_systems > 1:
            test = random_test(chooser)
            compare_several(comparison, systems, references, metrics + options + test, chooser,
                            environment, more)
            continue
        kind = chooser.random()
        if kind < 0.15:
            options.append(chooser.choice(["-sl", "--sentence-level"]))
        elif kind < 0.4:
            options += [chooser.choice(["-ci", "--confidence"]), "-cin",
                        str(chooser.choice([0, 1, 2, 39, 40, 41, 100, 200]))]
        elif kind < 0.45:
            options.append("-d")
        compare_one(comparison, systems[0], references, metrics + options, chooser, environment,
                    more)


def compare_every_option(comparison, maker):
    """Sentences of an ordinary kind under every tokenizer, smoothing, format, width and case."""
    base = [maker.sentence() for _ in range(40)]
    references = [base] + [[maker.changed(line) for line in base] for _ in range(2)]
    write_lines(comparison.path("hyp"), [maker.changed(line) for line in base])
    paths = []
    for number, lines in enumerate(references):
        paths.append(f"ref{number}")
        write_lines(comparison.path(paths[-1]), lines)
    for tokenizer in sorted(set(TOKENIZERS)):
        for case in ([], ["-lc"]):
            comparison.compare(paths[:2] + ["-i", "hyp", "-tok", tokenizer, "-w", "4"] + case)
    for smoothing in ("exp", "floor", "add-k", "none"):
        for width in range(7):
            more = maker.random.choice([[], ["-f", "text"], ["-b"], ["-f", "text", "-sh", "-lc"]])
            comparison.compare(paths[:1 + width % 3] + ["-i", "hyp", "-s", smoothing, "-w",
                                                        str(width)] + more)
    for order in ("-cc1", "-cc=3", "-cw2", "-cw0"):
        for more in ([], ["--chrf-eps-smoothing"], ["--chrf-whitespace", "--chrf-lowercase"]):
            name, value = order[:3], order[3:].lstrip("=")
            comparison.compare(paths[:2] + ["-i", "hyp", "-m", "chrf", "-w", "6", name, value]
                               + more)


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
        for options in ([], ["-f", "text"], ["-b"], ["-sl"], ["-m", "chrf"], ["-ci"],
                        ["-m", "bleu", "chrf", "-ci", "-b", "-f", "text"]):
            if "-sl" in options and len(references) != len(hypotheses):
                continue  # mixt prints the lines before the end, sacreBLEU none
            comparison.compare(["ref0", "-i", "hyp"] + options)
            comparison.compare(["ref0"] + options, stdin_path=hyp)
    write_lines(ref, [""])
    comparison.compare(["ref0"], wanted=0)  # an empty standard input is one empty line
    write_lines(ref, tokenized)
    for n_tokenized in (99, 100):
        write_lines(hyp, tokenized[:n_tokenized] + ["another one."] * (100 - n_tokenized))
        for options in ([], ["-q"], ["--force"], ["-lc", "-f", "text"], ["-sl"], ["-m", "chrf"]):
            comparison.compare(["ref0", "-i", "hyp"] + options, with_stderr=True, wanted=0)
    for name in ("text", "TEXT", "json", "xml", ""):
        comparison.compare(["ref0", "-i", "hyp"], environment={"SACREBLEU_FORMAT": name})
    write_lines(ref, ["only one field"] * 100)
    comparison.compare(["ref0", "-i", "hyp", "-nr", "2"], wanted=17)
    comparison.compare(["nothing", "-i", "hyp"], wanted=1)
    write_lines(ref, tokenized)
    with open(hyp, "wb") as stream:
        stream.write(b"a\xff b\n" * 100)
    comparison.compare(["ref0", "-i", "hyp"], wanted=1)
    with open(hyp, "wb") as stream:
        stream.write("café être ß\n".encode("latin-1") * 100)
    for name in ("latin-1", "ISO8859-1", "L1", "ascii"):
        comparison.compare(["ref0", "-i", "hyp", "-e", name])


def compare_traps(comparison):
    """What one would not expect of sacreBLEU, each with the bytes that show it."""
    def compare(references, hypotheses, *options, **settings):
        for number, lines in enumerate(references):
            write_lines(comparison.path(f"ref{number}"), lines)
        write_lines(comparison.path("hyp"), hypotheses)
        paths = [f"ref{number}" for number in range(len(references))]
        for more in ([], ["-f", "text", "-w", "4"]):
            comparison.compare(paths + ["-i", "hyp"] + list(options) + more, **settings)

    compare([["a &amp;lt; b 3-4 a..b Café's—ok <skipped> &quot;x&quot;"]],
            ["a < b 3 - 4 a . . b Café's—ok \"x\""], "-sl")
    compare([["x a—b p…q €5 \U00020000 y"]], ["x a — b p … q € 5 \U00020000 y"], "-tok", "zh")
    compare([["in 2015. 2015.5 (2,000) a.b.c 5% ٣٫١"]], ["in 2015. 2015 . 5 (2,000) a . b . c 5 %"],
            "-tok", "intl")
    compare([["今天天气很好。"]], ["今天天气好。"])
    compare([["今天天气很好。"]], ["今天天气好。"], "-l", "en-zh")
    # an empty reference counts as one of no words
    compare([["a b c d", "e f g h"], ["", "x"]], ["a b c", "e f g h i"])
    compare([["a b c"] * 3], ["a b c"] * 3)  # lines of three words score 0
    compare([["a b c"] * 3], ["a b c"] * 3, "-sl")
    compare([["ΟΔΟΣ İstanbul ΣΑΣ."]], ["οδος i̇stanbul σας."], "-lc")
    compare([["(hi) ?? 'a' b. ,x"]], ["(hi ) ? 'a' b ."], "-m", "chrf", "-cw", "2")
    compare([["x y z"] * 5], ["x y z a"] * 5, "-s", "add-k", "-sv", "0.7", "-ci")
    compare([["a \u200b \ufeff \u180e b\u2028c\x85d\x1ce"]], ["a b c d e"], "-tok", "none", "-sl")
    for seed in ("0", "-1", "x", "12345678901234567890123", "+5", "5_", "", "1 2"):
        compare([["a b c d e", "f g h i"]], ["a b c d e", "f g"], "-ci",
                environment={"SACREBLEU_SEED": seed})
    compare([["a b c d", "b c d e"]], ["a b d", "b c d e"], "-d")
    for test in ("-par", "-pbs"):  # here the signature shows the number, with -ci as it was given
        comparison.compare(["ref0", "-i", "hyp", "ref0", test, "-f", "text"], wanted=0,
                           environment={"SACREBLEU_SEED": " 007"})
    for number, lines in enumerate((["a b c  ", "a b  "], ["a b c  \ta b   \tx", "a  \tb  \tc"])):
        write_lines(comparison.path(("ref0", "hyp")[number]), lines)
    for options in (["-m", "chrf", "--chrf-whitespace"], ["-f", "text", "-m", "bleu", "chrf"],
                    ["-par", "-f", "text"], ["-pbs"]):  # each line but the first loses its spaces
        comparison.compare(["ref0"] + options, comparison.path("hyp"), more=["--stdin-systems"],
                           wanted=0)
    compare([["a"]], ["a"], "-sl", "-ci", wanted=1)
    compare([["a"]], ["a"], "-sl", "-m", "bleu", "chrf", wanted=1)
    compare([["a"]], ["a"], "-pbs", wanted=1)
    compare([["a"]], ["a"], "-l", "zh", wanted=1)
    compare([["a"]], ["a"], "-m", "blue", wanted=2)
    compare([["a"]], ["a"], "-tok", "blue", wanted=2)
    compare([["a"]], ["a"], "-par", "-pbs", wanted=2)
    compare([["a"], ["a"]], ["a"], "-nr", "2", wanted=1)
    for option in ("--tok=none", "--metric=chrf", "--lower", "--sent", "--score", "--wid=3",
                   "--form=text"):
        compare([["A b c d."]], ["a b c d"], option, wanted=0)
    for option in ("--smooth=exp", "--s", "--toke=blue", "--no=x"):
        compare([["A b c d."]], ["a b c d"], option, wanted=2)
    comparison.compare(["-i", "hyp"], wanted=1)
    comparison.compare(["ref0", "-i", "hyp", "hyp"], wanted=1)
    comparison.compare(["ref0", "-i", "hyp", "ref0", "-ci"], wanted=1)
    comparison.compare(["ref0", "-i", "hyp", "ref0", "-sl"], wanted=1)


def compare_terminal(comparison, maker):
    """Colours, and the warnings and progress that go to stderr."""
    base = [maker.plain_sentence() for _ in range(8)]
    for name in ("ref0", "hyp", "hyp2"):
        write_lines(comparison.path(name), [maker.changed(line) for line in base])
    for options in (["-i", "hyp", "-ci", "-f", "text"], ["-i", "hyp", "hyp2", "-f", "text"],
                    ["-i", "hyp", "hyp2", "-pbs", "-f", "text", "-m", "bleu", "chrf"],
                    ["-i", "hyp", "hyp2", "-par", "-parn", "30", "-f", "latex"],
                    ["-i", "hyp", "-ci", "-f", "text", "-m", "bleu", "chrf"]):
        for environment in ({"NO_COLOR": ""}, {"NO_COLOR": "1"}):
            comparison.compare(["ref0"] + options, on_terminal=True, environment=environment)
            comparison.compare(["ref0"] + options, with_stderr=True, environment=environment)
    write_lines(comparison.path("ref0"), base)
    write_lines(comparison.path("hyp"), base)
    write_lines(comparison.path("hyp2"), ["x" + line[4:] for line in base])
    for trials in ("18", "19"):  # p = 1/19 says nothing and is red, p = 1/20 has a star
        comparison.compare(["ref0", "-i", "hyp", "hyp2", "-par", "-parn", trials, "-f", "text"],
                           on_terminal=True, environment={"NO_COLOR": ""}, wanted=0)
    for options in (["-l", "en-ja", "-tok", "char"], ["-l", "en-zh", "-tok", "13a"],
                    ["-tok", "spm"], ["-tok", "spm", "-q"]):
        comparison.compare(["ref0", "-i", "hyp"] + options, with_stderr=True, wanted=0)


def write_set(folder, name, pair, fields):
    os.makedirs(os.path.join(folder, name, "raw"), exist_ok=True)
    for field, lines in fields.items():
        file_name = f"{name.replace('/', '_')}.{pair}.{field.replace(':', '-')}"
        write_lines(os.path.join(folder, name, file_name), lines)


def write_sgml(path, language, lines, documents, is_source):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tag = "srcset" if is_source else "refset"
    text = [f'<{tag} setid="made up" srclang="any" trglang="{language}">']
    for number, (document, origlang) in enumerate(documents):
        text.append(f'<doc sysid="ref" docid="{document}" genre="news" origlang="{origlang}">')
        text += ["<p>"] + [f'<seg id="{at + 1}">{line}</seg>'
                           for at, line in enumerate(lines[number::len(documents)])] + ["</p>"]
        text.append("</doc>")
    write_lines(path, text + [f"</{tag}>"])


def compare_test_sets(comparison, maker, folder):
    """Sets in sacreBLEU's folder, processed and, for the filters of sacreBLEU, raw."""
    lines = [[maker.plain_sentence().replace("&", "+").replace("<", "(").replace("\t", " ")
              for _ in range(24)] for _ in range(4)]
    documents = [("d1", "en"), ("d2", "de"), ("d3", "en")]
    order = [line for start in range(3) for line in range(24)[start::3]]
    spread = {"docid": [], "genre": ["news"] * 24, "origlang": []}
    for start in range(3):
        for _ in range(24)[start::3]:
            spread["docid"].append(documents[start][0])
            spread["origlang"].append(documents[start][1])
    raw = os.path.join(folder, "wmt14/full/raw/test-full")
    write_sgml(os.path.join(raw, "newstest2014-deen-src.en.sgm"), "en", lines[0], documents, True)
    write_sgml(os.path.join(raw, "newstest2014-deen-ref.de.sgm"), "de", lines[1], documents, False)
    source, reference = ([text[at] for at in order] for text in lines[:2])
    write_set(folder, "wmt14/full", "en-de", {"src": source, "ref": reference, **spread})
    write_set(folder, "wmt20/tworefs", "de-en", {"src": source, "ref:0": reference,
                                                 "ref:1": lines[2], **spread})
    write_set(folder, "multi30k/2016", "en-de", {"src": lines[2], "ref": lines[3]})
    write_set(folder, "multi30k/2017", "en-de", {"src": lines[0], "ref": lines[1]})
    hypotheses = [for_stdin(maker.changed(line)) for line in reference]
    write_lines(comparison.path("hyp"), hypotheses)
    write_lines(comparison.path("hyp2"), [maker.changed(line) for line in hypotheses])
    write_lines(comparison.path("hyp3"), [maker.changed(line) for line in lines[3] + lines[1]])
    full = ["-t", "wmt14/full", "-l", "en-de"]
    for fields in (["src"], ["ref"], ["src", "ref"], ["all"], ["docid", "origlang"], ["nothing"],
                   ["all", "src"]):
        for more in ([], ["--origlang", "en"], ["-ol", "non-en"]):
            comparison.compare(full + more + ["--echo"] + fields, environment={"NO_COLOR": "1"})
    comparison.compare(["-t", "wmt20/tworefs", "-l", "de-en", "--echo", "ref", "ref:1", "all"])
    comparison.compare(["-t", "wmt20/tworefs", "-l", "de-en", "--echo", "ref", "ref:1"])
    comparison.compare(["-t", "multi30k/2016,multi30k/2017", "-l", "en-de", "--echo", "src"])
    for options in ([], ["-ol", "en"], ["-ol", "non-en", "-ci"], ["-ol", "fr"], ["-d"],
                    ["-d", "-m", "chrf", "bleu", "-w", "3"], ["-sl", "-ol", "de"],
                    ["-tok", "none", "-f", "text"]):
        comparison.compare(full + options + ["-i", "hyp"])
        comparison.compare(full + options, stdin_path=comparison.path("hyp"))
    comparison.compare(full + ["-i", "hyp", "hyp2", "-pbs", "-ol", "en"])
    comparison.compare(["-t", "wmt20/tworefs", "-l", "de-en", "-i", "hyp"], wanted=0)
    comparison.compare(["-t", "multi30k/2016,multi30k/2017", "-l", "en-de", "-i", "hyp3"], wanted=0)
    comparison.compare(["-t", "multi30k/2016", "-l", "en-de", "-i", "hyp3"], wanted=1)
    comparison.compare(["-t", "nothing", "-l", "en-de", "-i", "hyp"], wanted=1)
    comparison.compare(["-t", "wmt14/full", "-i", "hyp"], wanted=1)
    comparison.compare(full + ["hyp", "-i", "hyp"], wanted=1)
    comparison.compare(["-i", "hyp", "--list", "-t", "wmt14/full", "-l", "en-de"], wanted=0)
    compare_raw(comparison, folder, full)


def compare_raw(comparison, folder, full):
    """mixt converts the published files itself: the same without what sacreBLEU processed."""
    kept = [(fields, comparison.run_sacrebleu(full + ["--echo", fields], os.devnull, {}))
            for fields in ("src", "ref", "docid", "genre", "origlang")]
    for field, _ in kept:
        os.remove(os.path.join(folder, "wmt14/full", f"wmt14_full.en-de.{field}"))
    for field, wanted in kept:
        found = comparison.run_mixt(full + ["--echo", field], os.devnull, {})
        comparison.n_done += 1
        if found[:2] != wanted[:2]:
            comparison.n_different += 1
            print(f"raw {field} differs: {found} instead of {wanted}")


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
                            ["-tok", "none"], ["-tok", "intl", "-s", "floor", "-f", "text"],
                            ["-m", "chrf", "-cw", "2", "-w", "6"], ["-ci", "-cin", "200"]):
                compare_one(comparison, hypotheses, references[:maker.random.randint(1, 2)],
                            options, maker.random)


def survey_lower_case(comparison):
    """Every character's lower case, against Python's; returns how many differ."""
    code_points = [c for c in range(0x110000) if is_usable(c)]
    write_lines(comparison.path("hyp"), ["a" + chr(c) + "a" for c in code_points])
    write_lines(comparison.path("ref0"), ["a" + chr(c).lower() + "a" for c in code_points])
    _, out, err = comparison.run_mixt(["ref0", "-i", "hyp", "-lc", "-tok", "none", "-sl", "-b",
                                       "-w", "0"], os.devnull, {})
    # white space and marks never change, so that only a difference in letters scores below 100
    scores = out.split()
    if len(scores) != len(code_points):
        print(f"lower case: {len(scores)} scores for {len(code_points)} characters: {err!r}")
        return 1
    different = [c for c, score in zip(code_points, scores) if score != b"100"]
    if different:
        print("lower case differs for", " ".join(f"U+{c:04X}" for c in different[:20]))
    return len(different)


def main():
    restart_with_other_python()
    parser = argparse.ArgumentParser()
    parser.add_argument("mixt")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpora", type=int, default=250)
    arguments = parser.parse_args()
    mixt = os.path.abspath(arguments.mixt)
    texts = os.environ.get("MIXT_BLEU_TEXTS", "")
    for name in ("SACREBLEU_FORMAT", "SACREBLEU_SEED"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as top:
        sets, folder = os.path.join(top, "sets"), os.path.join(top, "texts")
        os.mkdir(sets)
        os.mkdir(folder)
        if not has_sacrebleu(sets):
            return SKIPPED
        maker = Maker(arguments.seed)
        train_models(sets, [maker.plain_sentence() for _ in range(400)])
        comparison = Comparison(mixt, folder, arguments.seed)
        compare_edges(comparison)
        compare_traps(comparison)
        compare_terminal(comparison, maker)
        compare_test_sets(comparison, maker, sets)
        compare_every_option(comparison, maker)
        compare_random(comparison, maker, arguments.corpora)
        if texts:
            compare_texts(comparison, maker, texts)
        n_letters = survey_lower_case(comparison)
    print(f"{comparison.n_done} comparisons, {comparison.n_different} different, "
          f"{comparison.n_failed} that both refuse, {comparison.n_faults} faults of sacreBLEU; "
          f"{n_letters} characters with another lower case (Unicode "
          f"{unicodedata.unidata_version} in Python, seed {arguments.seed})")
    return 1 if comparison.n_different or n_letters else 0


if __name__ == "__main__":
    sys.exit(main())
