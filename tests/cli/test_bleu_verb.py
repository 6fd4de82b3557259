#!/usr/bin/env python3
"""What `mixt bleu` does of its own: refusals, messages, streams, test sets, --multi-bleu.

Usage: test_bleu_verb.py MIXT [--only NAME] [--seed N]

How its numbers agree with sacreBLEU is test_bleu_sacrebleu.py.
"""
import gzip
import json
import math
import os
import select

from harness import ENVIRONMENT, expect, expect_error, main

# The options of sacreBLEU 2.6.0 that are not refused, by both names.
OPTIONS = """--list --test-set -t --language-pair -l --origlang -ol --subset --echo --input -i
--num-refs -nr --encoding -e --metrics -m --sentence-level -sl --smooth-method -s --smooth-value -sv
--tokenize -tok --lowercase -lc --force --chrf-char-order -cc --chrf-word-order -cw --chrf-beta
--chrf-whitespace --chrf-lowercase --chrf-eps-smoothing --confidence -ci --confidence-n -cin
--paired-ar -par --paired-bs -pbs --paired-ar-n -parn --paired-bs-n -pbsn --paired-jobs -j --quiet
-q --short -sh --score-only -b --width -w --detail -d --no-color -nc --format -f --version -V
""".split()


def write_pair(bench, n_lines=20):
    lines = [bench.sentence(12) for _ in range(n_lines)]
    bench.write("ref", "".join(target + "\n" for _, target in lines))
    bench.write("hyp", "".join(" ".join(word for word in target.split() if bench.random.random()
                                        < 0.9) + "\n" for _, target in lines))
    bench.write("hyp2", "".join(" ".join(word for word in target.split() if bench.random.random()
                                         < 0.8) + "\n" for _, target in lines))


def environment(**variables):
    return {**ENVIRONMENT, **variables}


def score(bench, *arguments, **options):
    result = bench.run("bleu", *arguments, "-b", "-w", "6", **options)
    expect(result.code == 0, f"{arguments}: {result}")
    return result.out


def test_help_is_complete(bench):
    words = bench.run("bleu", "--help").out.decode().replace(",", " ").split()
    for option in OPTIONS:
        expect(option in words, f"{option} is missing in --help")


def test_refused(bench):
    write_pair(bench)
    for arguments, part in ((["-m", "ter"], "'ter'"), (["-tok", "ja-mecab"], "'ja-mecab'"),
                            (["-tok", "ko-mecab"], "'ko-mecab'"), (["-l", "en-ja"], "'ja-mecab'"),
                            (["-l", "en-ko"], "'ko-mecab'"),
                            (["--download", "wmt14"], "--download"),
                            (["--citation"], "--citation"), (["--ter-no-punct"], "--ter-no-punct"),
                            (["-e", "utf-16"], "'utf-16'"), (["-m", "blue"], "'blue'"),
                            (["-tok", "blue"], "'blue'"), (["-par", "-pbs"], "--paired-bs")):
        expect_error(bench.run("bleu", "ref", "-i", "hyp", *arguments), 2, part)
    expect(bench.run("bleu", "ref", "-i", "hyp", "-l", "en-ja", "-m", "chrf").code == 0,
           "chrF wants no tokenizer")


def test_contradictions(bench):
    write_pair(bench)
    for arguments in (["-sl", "-ci"], ["-sl", "-m", "bleu", "chrf"], ["-pbs"], ["-l", "de"],
                      ["-t", "set"], ["-ol", "en"], ["--echo", "src"]):
        expect_error(bench.run("bleu", "ref", "-i", "hyp", *arguments), 1)
    expect_error(bench.run("bleu", "ref", "-i", "hyp", "hyp2", "-ci"), 1, "--paired-bs")
    expect_error(bench.run("bleu", "ref", "-i", "hyp", "hyp"), 1, "'hyp'")
    expect_error(bench.run("bleu", "-i", "hyp"), 1, "no reference")
    expect_error(bench.run("bleu", "-", stdin=b"a\n"), 2, "standard input")


def test_inputs(bench):
    write_pair(bench)
    wanted = score(bench, "ref", "-i", "hyp")
    with gzip.open(bench.path("hyp.gz"), "wb") as packed:
        packed.write(bench.read("hyp"))
    expect(score(bench, "ref", "-i", "hyp.gz") == wanted, "a .gz file scores differently")
    expect(score(bench, "ref", stdin=bench.read("hyp")) == wanted, "standard input differs")
    expect(score(bench, "ref", "-i", "-", stdin=bench.read("hyp")) == wanted, "'-' differs")
    expect(score(bench, "-", "-i", "hyp", stdin=bench.read("ref")) == wanted, "'-' differs")
    for threads in ("1", "2", "5"):
        expect(score(bench, "ref", "-i", "hyp", "--threads", threads) == wanted, "threads matter")


def test_bad_inputs(bench):
    write_pair(bench)
    bench.write("bad", b"a b\n" * 6 + b"a \xff b\n" + b"c\n" * 13)
    bench.write("short", b"a b\n" * 19)
    bench.write("empty", b"")
    os.mkdir(bench.path("folder"))
    expect_error(bench.run("bleu", "ref", "-i", "bad"), 1, "bad:7", "UTF-8")
    expect_error(bench.run("bleu", "bad", "-i", "hyp"), 1, ":7:", "UTF-8 in bad")
    expect_error(bench.run("bleu", "ref", "-i", "short"), 1, "short", "19", "ref", "20")
    expect_error(bench.run("bleu", "ref", "-i", "hyp", "short"), 1, "short", "19", "20")
    expect_error(bench.run("bleu", "empty", "-i", "empty"), 1, "empty holds no lines")
    expect_error(bench.run("bleu", "nothing", "-i", "hyp"), 1, "nothing")
    expect_error(bench.run("bleu", "ref", "-i", "folder"), 1, "folder")
    expect_error(bench.run("bleu", "ref", "-nr", "2", "-i", "hyp"), 17, ":1:", "2 references", "1")
    expect_error(bench.run("bleu", "ref", "-e", "ascii", "-i", "bad"), 1, "bad:7", "ASCII")


def test_full_disk(bench):
    write_pair(bench)
    with open("/dev/full", "wb") as full:
        for more in ([], ["-sl"]):
            result = bench.run("bleu", "ref", "-i", "hyp", *more, stdout=full)
            expect_error(result, 1, "write")


def test_stdin_traps(bench):
    bench.write("ref", "a b c d\ne f g h\n")
    result = bench.run("bleu", "ref", "-b", stdin=b"a\tb c d\ne f\rg h\n")
    expect(result.code == 0 and result.out == b"100.0\n", f"white space wanted: {result}")
    expect("standard input:1: a tab" in result.err and "standard input:2: a carriage" in result.err,
           f"two warnings wanted: {result}")
    result = bench.run("bleu", "ref", "-b", stdin=b"a b c d\r\ne f g h\r\n")
    expect(result.out == b"100.0\n" and result.err == "", f"no warning wanted: {result}")
    result = bench.run("bleu", "ref", "--stdin-systems", stdin=b"a b c d\tx\ne f g h\ty\n")
    found = json.loads(result.out)
    expect([item["BLEU"] for item in found] == ["100.0", "0.0"], f"two systems wanted: {result}")
    expect([item["system"] for item in found] == ["System 1", "System 2"], f"names: {result}")
    result = bench.run("bleu", "ref", "--stdin-systems", stdin=b"a\tb\nc\n")
    expect_error(result, 17, ":2:", "1 systems", "2 in line 1")
    expect_error(bench.run("bleu", "ref", "--stdin-systems", stdin=b"a\tb\n"), 1, "1 lines", "2")


def test_script_warning(bench):
    bench.write("ref", "今天天气很好。\n我们去北京。\n")
    bench.write("latin", "a b c d\nвот это да\n")
    for arguments, is_warned in ((["ref"], True), (["ref", "-l", "en-zh"], False),
                                 (["ref", "-tok", "13a"], False), (["ref", "-m", "chrf"], False),
                                 (["ref", "-q"], False), (["latin"], False)):
        result = bench.run("bleu", *arguments, stdin="今天天气好。\n我们北京。\n".encode())
        expect(result.code == 0 and ("hint: give the language pair" in result.err) == is_warned,
               f"{arguments}, warning {is_warned} wanted: {result}")


def test_sentence_level_streams(bench):
    bench.write("ref", "a b c d e\n" * 3)
    with bench.start("bleu", "ref", "-sl", "-b") as process:
        for line, wanted in ((b"a b c d e\n", b"100.0\n"), (b"x\n", b"0.0\n")):
            process.stdin.write(line)
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], 60)
            expect(ready, "no score came before the next line")
            found = process.stdout.readline()
            expect(found == wanted, f"{wanted} wanted, not {found}")
        process.stdin.close()
        expect(process.wait() == 1, "a missing line is an error")


def test_seed(bench):
    write_pair(bench)

    def p_values(seed, *arguments):
        result = bench.run("bleu", "ref", "-i", "hyp", "hyp2", *arguments,
                           env=environment(SACREBLEU_SEED=seed))
        expect(result.code == 0, f"seed {seed}: {result}")
        return json.loads(result.out)[1]["BLEU"]

    for test in (["-pbs", "-pbsn", "500"], ["-par", "-parn", "500"]):
        expect(p_values("0", *test) == p_values("0", *test), "seed 0 is a seed")
        expect(p_values("1", *test) == p_values("1", *test), "a seed repeats")
        expect(p_values("1", *test, "--threads", "1") == p_values("1", *test, "--threads", "3"),
               "threads matter")
    expect(p_values("0", "-pbs") != p_values("1", "-pbs"), "seeds 0 and 1 draw the same")
    expect(p_values("none", "-pbs")["mean"] != p_values("none", "-pbs")["mean"],
           "'none' draws the same twice")
    for seed in ("-1", "x", "1.5", "", "1__0"):
        expect_error(bench.run("bleu", "ref", "-i", "hyp", "-ci",
                               env=environment(SACREBLEU_SEED=seed)), 1, "SACREBLEU_SEED")


def test_paired_chrf_json(bench):
    write_pair(bench)
    result = bench.run("bleu", "ref", "-i", "hyp", "hyp2", "-m", "chrf", "-pbs", "-pbsn", "100")
    found = json.loads(result.out)
    expect(found[0]["chrF2"]["p_value"] is None and 0 < found[1]["chrF2"]["p_value"] <= 1,
           f"a p-value of the second system wanted: {result}")
    expect(found[1]["chrF2"]["mean"] > 0, f"a mean wanted: {result}")


def test_spm_model(bench):
    write_pair(bench)
    missing = environment(SACREBLEU=bench.path("sets"))
    result = bench.run("bleu", "ref", "-i", "hyp", "-tok", "flores200", env=missing)
    expect_error(result, 1, "sets/models/flores200sacrebleuspm", "--spm-model")
    trained = bench.run("subword", "train", "-i", "ref", "-m", "tiny", "--size", "40", "-t", "bpe")
    expect(trained.code == 0, f"no model was trained: {trained}")
    for tokenizer, name in (("flores200", "flores200sacrebleuspm"),
                            ("spm", "sacrebleu_tokenizer_spm.model"),
                            ("spBLEU-1K", "spbleu-1k_tokenizer_spm.model")):
        given = score(bench, "ref", "-i", "hyp", "-tok", tokenizer, "--spm-model", "tiny")
        os.makedirs(bench.path("sets", "models"), exist_ok=True)
        bench.write(os.path.join("sets", "models", name), bench.read("tiny"))
        kept = score(bench, "ref", "-i", "hyp", "-tok", tokenizer, env=missing)
        expect(given == kept, f"{tokenizer}: {given} and {kept}")
    bench.write("damaged", bench.read("tiny")[:-9])
    result = bench.run("bleu", "ref", "-i", "hyp", "-tok", "flores101", "--spm-model", "damaged")
    expect_error(result, 1, "damaged")


def write_sgml(bench, name, lines, tag="seg"):
    os.makedirs(os.path.dirname(bench.path(name)), exist_ok=True)
    body = "".join(f'<{tag} id="{i}"> {line} </{tag}>\n' for i, line in enumerate(lines))
    bench.write(name, '<refset>\n<doc docid="d" genre="g" origlang="en">\n' + body + "</doc>\n")


def test_sets(bench):
    sets = environment(SACREBLEU=bench.path("sets"))
    missing = bench.run("bleu", "-t", "wmt14/full", "-l", "en-de", stdin=b"a\n", env=sets)
    expect_error(missing, 1, "sets/wmt14/full/wmt14_full.en-de.src", "raw/")
    raw = "sets/wmt14/full/raw/x/newstest2014-"
    write_sgml(bench, raw + "deen-src.en.sgm", ["a  &amp;\u2028b", "c"])
    write_sgml(bench, raw + "deen-ref.de.sgm", ["A b c d e", "x"])
    write_sgml(bench, raw + "fren-src.en.sgm", ["no", "no"])
    write_sgml(bench, raw + "fren-ref.fr.sgm", ["no", "no"])
    result = bench.run("bleu", "-t", "wmt14/full", "-l", "en-de", "--echo", "all", env=sets)
    expect(result.out == "a &amp; b\tA b c d e\td\tg\ten\nc\tx\td\tg\ten\n".encode(), f"{result}")
    result = bench.run("bleu", "-t", "wmt14/full", "-l", "en-de", "-b", env=sets,
                       stdin=b"A b c d e\nx\n")
    expect(result.out == b"100.0\n", f"{result}")
    write_sgml(bench, "sets/wmt14/full/raw/y/newstest2014-deen-src.en.sgm", ["two", "of them"])
    expect_error(bench.run("bleu", "-t", "wmt14/full", "-l", "en-de", env=sets, stdin=b"x\n"), 1,
                 "x/newstest2014-deen-src.en.sgm", "y/newstest2014-deen-src.en.sgm")
    for pair in ("ende", "deen"):  # files of one direction are no files of the other
        for role in ("src.en", "ref.de"):
            write_sgml(bench, f"sets/two/raw/newstest2016-{pair}-{role}.sgm", [pair + role])
    result = bench.run("bleu", "-t", "two", "-l", "en-de", "--echo", "src", "ref", env=sets)
    expect(result.out == b"endesrc.en\tenderef.de\n", f"{result}")
    os.makedirs(bench.path("sets/own"))
    for field, text in (("src", "a\nb\n"), ("ref-A", "k l m n\no p q r\n"), ("ref-B", "x\ny\n"),
                        ("domain", "news\nsport\n"), ("origlang", "en\nde\n")):
        bench.write(f"sets/own/own.en-de.{field}", text)
    result = bench.run("bleu", "--list", env=sets)
    expect(result.out.decode().split() == "own : en-de two : raw files only wmt14/full : raw files "
           "only".split(), f"{result}")
    result = bench.run("bleu", "--list", "-t", "own", env=sets)
    expect(result.out == b"en-de: src, ref:A, ref:B, origlang, domain\n", f"{result}")
    for options, wanted in ((["--subset", "spo|x"], b"y\n"), (["-ol", "en"], b"x\n"),
                            (["-ol", "non-en", "--subset", "^news$"], b"")):
        result = bench.run("bleu", "-t", "own", "-l", "en-de", "--echo", "ref:B", *options,
                           env=sets)
        expect(result.code == 0 and result.out == wanted, f"{options}: {result}")
    result = bench.run("bleu", "-t", "own", "-l", "en-de", "-d", env=sets, stdin=b"k l m n\ny\n")
    expect(result.out.decode().splitlines()[1:] ==
           [f"origlang={key:<16}: sentences=1      BLEU = {value}" for key, value in
            (("de domain=ALL", "0.0"), ("de domain=sport", "0.0"), ("en domain=ALL", "100.0"),
             ("en domain=news", "100.0"))], f"{result}")
    for arguments, part in ((["-t", "own,../own", "-l", "en-de"], "../own"),
                            (["-t", "own", "-l", "en-fr"], "en-fr"),
                            (["-t", "own", "-l", "en-de", "--subset", "("], "'('"),
                            (["-t", "own", "-l", "en-de", "-ol", "fr"], "origlang=fr")):
        expect_error(bench.run("bleu", *arguments, env=sets, stdin=b"x\ny\n"), 1, part)


def multi_bleu(hypotheses, references):
    """By the formula, of lists of words: [lines], [[lines] of each reference]."""
    def n_grams(words, n):
        return [tuple(words[at:at + n]) for at in range(len(words) - n + 1)]

    correct, total, length, closest = [0] * 4, [0] * 4, 0, 0
    for row in zip(hypotheses, *references):
        words, *others = [line.split() for line in row]
        length += len(words)
        closest += min((abs(len(other) - len(words)), len(other)) for other in others)[1]
        for n in range(1, 5):
            found = n_grams(words, n)
            total[n - 1] += len(found)
            for gram in set(found):
                most = max(n_grams(other, n).count(gram) for other in others)
                correct[n - 1] += min(found.count(gram), most)
    penalty = 1.0 if length >= closest else math.exp(1 - closest / length)
    precisions = [c / t for c, t in zip(correct, total)]
    bleu = penalty * math.exp(sum(math.log(p) for p in precisions) / 4)
    return (f"BLEU = {100 * bleu:.2f}, " + "/".join(f"{100 * p:.1f}" for p in precisions) +
            f" (BP={penalty:.3f}, ratio={length / closest:.3f}, hyp_len={length}, "
            f"ref_len={closest})\n").encode()


def test_multi_bleu(bench):
    write_pair(bench, 200)
    texts = [bench.read(name).decode().split("\n")[:-1] for name in ("hyp", "ref", "hyp2")]
    result = bench.run("bleu", "--multi-bleu", "ref", "-i", "hyp")
    expect(result.code == 0 and result.out == multi_bleu(texts[0], texts[1:2]), f"{result}")
    result = bench.run("bleu", "--multi-bleu", "ref", "hyp2", stdin=bench.read("hyp"))
    expect(result.out == multi_bleu(texts[0], texts[1:]), f"{result}")
    bench.write("upper", bench.read("hyp").upper())
    result = bench.run("bleu", "--multi-bleu", "-lc", "ref", "-i", "upper")
    expect(result.out == multi_bleu(texts[0], texts[1:2]), f"{result}")
    bench.write("blank", "\n\n")
    result = bench.run("bleu", "--multi-bleu", "blank", stdin=b"a\nb\n")
    expect(result.code == 1 and result.out.startswith(b"BLEU = 0, 0/0/0/0 (BP=0, "), f"{result}")
    expect_error(bench.run("bleu", "--multi-bleu", "ref", "-m", "chrf"), 2, "--multi-bleu")
    expect_error(bench.run("bleu", "--multi-bleu", "ref", "-i", "hyp", "hyp2"), 2, "2")


def test_closed_pipe(bench):
    bench.write("ref", "a b c d\n" * 200000)
    process = bench.start("bleu", "ref", "-i", "ref", "-sl")
    process.stdout.read(10)
    process.stdout.close()
    _, err = process.stdin.close(), process.stderr.read()
    code = process.wait(60)
    expect(code == -13 and err == b"", f"SIGPIPE wanted, not {code} {err}")
    process.stderr.close()


def test_memory(bench):
    """Nothing is kept of the lines."""
    bench.write("ref", (" ".join(["word"] * 200) + "\n") * 60000)
    process = bench.start("bleu", "ref", "-i", "ref", "-b", "--threads", "2")
    out = process.stdout.read()
    _, code, used = os.wait4(process.pid, 0)
    process.returncode = code
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    expect(code == 0 and out == b"100.0\n", f"exit code {code}, {out}")
    expect(used.ru_maxrss < 200 << 10, f"{used.ru_maxrss} KiB for a corpus of 60 MB")


if __name__ == "__main__":
    main([test for name, test in list(globals().items()) if name.startswith("test_")])
