#!/usr/bin/env python3
"""mixt prep on files: what it keeps and reports, what it refuses, and what it leaves behind.

Usage: test_prep.py MIXT [--only NAME] [--seed N]
"""
import gzip
import json
import os
import re
import resource
import shutil
import signal
import time

from harness import expect, expect_error, expect_same_files, main, snapshot

RULES = ["empty", "too-long", "too-short", "ratio", "copy", "script", "non-letters", "duplicate"]


def write_lines(bench, name, lines):
    return bench.write(name, "".join(line + "\n" for line in lines))


def sentences(bench, n, longest=12):
    """n pairs that no rule drops, many of them there before."""
    pairs = [bench.sentence(longest) for _ in range(max(1, n // 2))]
    return [bench.random.choice(pairs) if bench.random.random() < 0.5 else bench.sentence(longest)
            for _ in range(n)]


def prep(bench, *arguments, **options):
    result = bench.run("prep", *arguments, **options)
    expect(result.code == 0, f"prep failed: {result}")
    return result


def manifest(bench, folder):
    return json.loads(bench.read(folder, "manifest.json"))


def without_duplicates(pairs):
    return list(dict.fromkeys(pairs))


def expect_nothing_left(bench, before):
    """No file more than before, nor an empty folder."""
    expect(sorted(os.listdir(bench.folder)) == before,
           f"left behind: {set(os.listdir(bench.folder)) - set(before)}")


def expect_whole(bench, folder):
    """No temporary files in a finished corpus."""
    names = sorted(os.listdir(bench.path(folder)))
    odd = [name for name in names
           if not re.fullmatch(r"manifest\.json|pairs-\d{5}\.bin|(source|target)\.\w+", name)]
    expect(not odd and "manifest.json" in names, f"files of the corpus: {names}")


def test_report_adds_up(bench):
    """Each rule drops what was planted for it, and everything adds up, in every report."""
    pairs = sentences(bench, 400)
    word = "wort"
    planted = {
        "empty": [("", word), (" \u00a0\t", word), (word, "\u200b")],
        "too-long": [(" ".join([word] * 251), " ".join(["other"] * 251)), ("x" * 5001, "y" * 5001)],
        "ratio": [(word, " ".join(["other"] * 8))] * 1 + [(" ".join(["other"] * 9), word)],
        "copy": [("the same", "the same"), ("the  same", " the same")],
        "script": [("\u0434\u0430 \u0434\u0430", word), (word, "\u65e5\u672c\u8a9e")],
        "non-letters": [("1 2 3 4", word), (word, "... 55 !!")],
    }
    lines = list(pairs)
    for rule, rows in planted.items():
        for row in rows:
            lines.insert(bench.random.randrange(len(lines) + 1), row)
    write_lines(bench, "a.en", (source for source, _ in lines))
    write_lines(bench, "a.de", (target for _, target in lines))
    result = prep(bench, "a.en", "a.de", "-o", "out", "-l", "en-de", "--dropped", "dropped.tsv",
                  "--text")
    kept = without_duplicates(pair for pair in lines if pair in set(pairs))
    expected = {rule: len(rows) for rule, rows in planted.items()}
    expected.update({"too-short": 0, "duplicate": len(pairs) - len(kept)})
    found = manifest(bench, "out")
    expect((found["source"], found["target"], found["pairs"]) == ("en", "de", len(kept)),
           f"manifest: {found}")
    report = found["report"]
    expect({rule: tally["pairs"] for rule, tally in report["dropped"].items()} == expected,
           f"{expected} wanted: {report['dropped']}")
    expect(report["lines"] == len(lines) == report["kept"] + sum(expected.values()),
           f"does not add up: {report}")
    expect(list(report["dropped"]) == RULES, f"order of the rules: {list(report['dropped'])}")
    for rule in RULES:
        expect(re.search(rf"^  {rule} +{expected[rule]} ", result.err, re.MULTILINE),
               f"{rule} {expected[rule]} wanted: {result}")
    dropped = [line.split("\t") for line in bench.read("dropped.tsv").decode().splitlines()]
    expect(len(dropped) == len(lines) - len(kept), f"{len(dropped)} dropped pairs in the file")
    for rule, path, number, source, target in dropped:
        clean = tuple(" ".join(side.split()).replace("\u200b", "")
                      for side in lines[int(number) - 1])
        expect(path == "a.en" and clean == (source, target), f"line {number}: {source} {target}")
        expect(rule == "duplicate" or lines[int(number) - 1] in planted[rule],
               f"line {number} was dropped for {rule}")
    expect(bench.read("out", "source.en").decode() == "".join(s + "\n" for s, _ in kept), "source")
    expect(bench.read("out", "target.de").decode() == "".join(t + "\n" for _, t in kept), "target")
    expect_whole(bench, "out")
    expect(re.search(rf"mixt: {len(lines)} lines, {len(kept)} pairs kept, \d+ lines/s", result.err),
           f"footer wanted: {result}")


def test_cat(bench):
    pairs = without_duplicates(sentences(bench, 500))
    write_lines(bench, "a", (source for source, _ in pairs))
    write_lines(bench, "b", (target for _, target in pairs))
    prep(bench, "a", "b", "-o", "out")
    both = [f"{source}\t{target}" for source, target in pairs]
    for arguments, wanted in (([], both), (["--tab"], both),
                              (["--side", "source"], [source for source, _ in pairs]),
                              (["--side", "target"], [target for _, target in pairs])):
        result = prep(bench, "cat", "out", *arguments)
        expect(result.out.decode().splitlines() == wanted, f"{arguments}: {result}")

    def shuffle(seed, *arguments):
        return prep(bench, "cat", "out", "--shuffle", seed, *arguments).out.decode().splitlines()
    shuffled = shuffle("3")
    expect(shuffled != both and sorted(shuffled) == sorted(both), "a shuffled corpus wanted")
    expect(shuffle("3") == shuffled and shuffle("4") != shuffled, "an order for each seed")
    expect(shuffle("3", "--side", "source") == [line.split("\t")[0] for line in shuffled],
           "the same order for each side")


def test_tabs_are_not_mixed_up(bench):
    bench.write("a", "one\ttwo\n")
    bench.write("b", "eins zwei\n")
    prep(bench, "a", "b", "-o", "out", "--keep-space")
    expect_error(bench.run("prep", "cat", "out"), 3, "tab", "--side")
    expect(prep(bench, "cat", "out", "--side", "source").out == b"one\ttwo\n", "the tab itself")


def test_inputs(bench):
    """Several files, .gz, and standard input give what one pair of files gives."""
    pairs = sentences(bench, 300)
    source = "".join(s + "\n" for s, _ in pairs).encode()
    target = "".join(t + "\n" for _, t in pairs).encode()
    bench.write("a", source)
    bench.write("b", target)
    bench.write("a.gz", gzip.compress(source))
    prep(bench, "a", "b", "-o", "plain")
    prep(bench, "a.gz", "-", "-o", "zipped", stdin=target)
    half = [b"".join(part[:100]) for part in (source.splitlines(True), target.splitlines(True))]
    rest = [b"".join(part[100:]) for part in (source.splitlines(True), target.splitlines(True))]
    for name, content in zip(("a1", "b1", "a2", "b2"), half + rest):
        bench.write(name, content)
    prep(bench, "--source", "a1", "a2", "--target", "b1", "b2", "-o", "parts")
    prep(bench, "a1", "b1", "--source", "a2", "--target", "b2", "-o", "mixed")
    wanted = bench.read("plain", "pairs-00000.bin")
    for folder in ("zipped", "parts", "mixed"):
        expect(bench.read(folder, "pairs-00000.bin") == wanted, f"{folder} differs")


def test_threads_do_not_matter(bench):
    pairs = sentences(bench, 20000)
    write_lines(bench, "a", (source for source, _ in pairs))
    write_lines(bench, "b", (target for _, target in pairs))
    for threads in (1, 2, 7):
        prep(bench, "a", "b", "-o", "out", "--overwrite", "--dropped", "dropped",
             "-t", str(threads))
        found = {**snapshot(bench.path("out")), "dropped": bench.read("dropped")}
        if threads == 1:
            wanted = found
        expect_same_files(wanted, found, f"{threads} threads")


def test_usage(bench):
    bench.write("a", "one\n")
    bench.write("b", "eins\n")
    before = sorted(os.listdir(bench.folder))
    expect_error(bench.run("prep", "a", "b"), 2, "--output")
    expect_error(bench.run("prep", "-o", "out"), 2, "no files")
    expect_error(bench.run("prep", "a", "-o", "out"), 2, "'a'")
    expect_error(bench.run("prep", "a", "b", "c", "-o", "out"), 2)
    expect_error(bench.run("prep", "-", "-", "-o", "out"), 2, "standard input")
    expect_error(bench.run("prep", "--source", "a", "--target", "a", "b", "-o", "out"), 2,
                 "--source")
    for languages in ("en", "en-de-fr", "-de", "en-", "e/n-de"):
        expect_error(bench.run("prep", "a", "b", "-o", "out", "--languages=" + languages), 2)
    expect_error(bench.run("prep", "a", "b", "-o", "out", "--max-foreign", "2"), 2, "--max-foreign")
    expect_error(bench.run("prep", "--verify"), 2, "--verify")
    expect_error(bench.run("prep", "cat"), 2)
    expect_nothing_left(bench, before)


def test_refusals(bench):
    """Each failure is one line, and leaves nothing but what was there."""
    bench.write("a", "one\ntwo\n")
    bench.write("b", "eins\n")
    bench.write("empty", "")
    bench.write("cut.gz", gzip.compress(b"one\n" * 50)[:-4])
    before = sorted(os.listdir(bench.folder))
    expect_error(bench.run("prep", "a", "none", "-o", "out"), 1, "none")
    expect_error(bench.run("prep", "a", "b", "-o", "x/y/out"), 3, "a has 2 lines but b has 1",
                 "--check a b")
    expect_error(bench.run("prep", "empty", "empty", "-o", "out"), 3, "no pair is left",
                 has_progress=True)
    expect_error(bench.run("prep", "cut.gz", "cut.gz", "-o", "out"), 3, "cut.gz", "too early")
    expect_error(bench.run("prep", "a", "a", "-o", "b"), 1, "b")
    expect_error(bench.run("prep", "a", "a", "-o", "b/out"), 1, "b")
    expect_error(bench.run("prep", "a", "a", "-o", "out", "--copies", "keep", "--dropped",
                           "none/dropped"), 1, "none/dropped")
    expect_error(bench.run("prep", "cat", "none"), 1, "none")
    os.mkdir(bench.path("folder"))
    expect_error(bench.run("prep", "cat", "folder"), 3, "not a finished corpus")
    os.rmdir(bench.path("folder"))
    expect_nothing_left(bench, before)


def test_existing_corpus(bench):
    bench.write("a", "one\n")
    bench.write("b", "eins\n")
    bench.write("c", "zwei\n")
    prep(bench, "a", "b", "-o", "out")
    wanted = snapshot(bench.path("out"))
    expect_error(bench.run("prep", "a", "c", "-o", "out"), 2, "--overwrite")
    expect_error(bench.run("prep", "a", "none", "-o", "out", "--overwrite"), 1, "none")
    expect_same_files(wanted, snapshot(bench.path("out")), "after failures")
    prep(bench, "a", "c", "-o", "out", "--overwrite")
    expect(prep(bench, "cat", "out").out == b"one\tzwei\n", "the new corpus")
    expect_whole(bench, "out")


def big_files(bench, n):
    pairs = [bench.sentence(30) for _ in range(2000)]
    lines = [bench.random.choice(pairs) for _ in range(n)]
    write_lines(bench, "big.a", (f"{s} {i}" for i, (s, _) in enumerate(lines)))
    write_lines(bench, "big.b", (t for _, t in lines))


def test_full_disk(bench):
    """A limit on the size of files is a disk that is full: at each stage, an error and no rest."""
    big_files(bench, 20000)
    before = sorted(os.listdir(bench.folder))
    for kib in (1, 100, 1000, 2500, 3000):
        def limit(size=kib * 1024):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        result = bench.run("prep", "big.a", "big.b", "-o", "x/out", "--text", preexec_fn=limit)
        expect_error(result, 1, "cannot write", "File too large", has_progress=True)
        expect_nothing_left(bench, before)
    prep(bench, "big.a", "big.b", "-o", "x/out", "--text")


def start_held(bench):
    """A run that has read half of its pairs and waits for the rest of its standard input."""
    process = bench.start("prep", "big.a", "-", "-o", "out")
    content = bench.read("big.b")
    process.stdin.write(content[:len(content) // 2])
    process.stdin.flush()
    end_s = time.monotonic() + 60
    while not os.path.isdir(bench.path("out", ".mixt-unfinished")):
        expect(process.poll() is None and time.monotonic() < end_s, "an unfinished corpus wanted")
        time.sleep(0.001)
    return process


def test_signals(bench):
    """A signal while pairs are read or written removes everything; a killed run does no harm."""
    big_files(bench, 100000)
    before = sorted(os.listdir(bench.folder))
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start_held(bench)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)  # ends its input
        expect(process.returncode == 128 + number, f"{number}: {process.returncode} {err}")
        expect(b"stopped" in err, f"{number}: {err}")
        expect_nothing_left(bench, before)
    start_s = time.monotonic()
    prep(bench, "big.a", "big.b", "-o", "out")
    duration_s = time.monotonic() - start_s
    wanted = snapshot(bench.path("out"))
    for _ in range(5):  # stopped or done: which of them, the machine's speed decides
        shutil.rmtree(bench.path("out"))
        process = bench.start("prep", "big.a", "big.b", "-o", "out")
        time.sleep(bench.random.uniform(0, duration_s))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        if process.returncode == 0:
            expect_same_files(wanted, snapshot(bench.path("out")), "done before the signal")
            continue
        expect(process.returncode in (143, -signal.SIGTERM), f"{process.returncode} {err}")
        expect_nothing_left(bench, before)
        os.mkdir(bench.path("out"))
    shutil.rmtree(bench.path("out"))
    process = start_held(bench)
    process.kill()
    process.communicate(timeout=60)
    expect_error(bench.run("prep", "cat", "out"), 3, "not a finished corpus")
    prep(bench, "big.a", "big.b", "-o", "out")
    expect_whole(bench, "out")
    prep(bench, "--verify", "out")


def test_damage(bench):
    """Bytes of shards flipped and cut: what is read is right or refused, and --verify sees all."""
    pairs = without_duplicates(sentences(bench, 3000))
    write_lines(bench, "a", (source for source, _ in pairs))
    write_lines(bench, "b", (target for _, target in pairs))
    prep(bench, "a", "b", "-o", "out")
    result = prep(bench, "--verify", "out")
    expect(f"{len(pairs)} pairs" in result.err, f"the count wanted: {result}")
    whole = bench.read("out", "pairs-00000.bin")
    for _ in range(40):
        place = bench.random.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bench.random.randrange(8)
        bench.write("out/pairs-00000.bin", bytes(damaged))
        expect_error(bench.run("prep", "--verify", "out"), 3, "pairs-00000.bin", "damaged")
        result = bench.run("prep", "cat", "out")
        expect(result.code in (0, 3), f"byte {place}: {result}")
    for size in [0, 7, 31, 32, 33] + [bench.random.randrange(len(whole)) for _ in range(10)]:
        bench.write("out/pairs-00000.bin", whole[:size])
        expect_error(bench.run("prep", "cat", "out"), 3, "pairs-00000.bin", "damaged")
    os.remove(bench.path("out/pairs-00000.bin"))
    expect_error(bench.run("prep", "cat", "out"), 1, "pairs-00000.bin")
    bench.write("out/pairs-00000.bin", whole)
    text = bench.read("out", "manifest.json")
    for size in range(0, len(text) - 2, 97):
        bench.write("out/manifest.json", text[:size])
        expect_error(bench.run("prep", "cat", "out"), 3, "manifest.json")


def test_check(bench):
    pairs = [bench.sentence(40) for _ in range(3000)]
    source, target = [s for s, _ in pairs], [t for _, t in pairs]
    write_lines(bench, "a", source)
    write_lines(bench, "b", target)
    result = bench.run("prep", "--check", "a", "b")
    expect(result.code == 0 and b"no place found" in result.out, f"they fit: {result}")
    for place in (700, 2200):
        write_lines(bench, "b", target[:place] + target[place + 1:] + ["one more"])
        result = bench.run("prep", "--check", "a", "b")
        expect(result.code == 3 and result.err.startswith("mixt: a and b seem to lose step"),
               f"an error wanted: {result}")
        match = re.search(rb"lines (\d+) and (\d+) .* a has 1 line there that b lacks", result.out)
        match = match or re.search(rb"line (\d+)() .* a has 1 line there that b lacks", result.out)
        expect(match, f"a place wanted: {result}")
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        expect(first - 3 <= place + 1 <= last + 3 and last - first < 30,
               f"line {place + 1} is not at {first}..{last}")
    write_lines(bench, "b", bench.random.sample(target, len(target)))
    result = bench.run("prep", "--check", "a", "b")
    expect(result.code == 0 and b"say nothing" in result.out, f"nothing to say: {result}")
    write_lines(bench, "b", target[:2])
    result = bench.run("prep", "--check", "a", "b")
    expect(result.code == 3 and b"a has 3000 lines but b has 2" in result.out, f"counts: {result}")
    expect(sorted(os.listdir(bench.folder)) == ["a", "b"], "nothing written")


def test_memory_is_flat(bench):
    """Eight times the lines, about the same memory."""
    peaks = []
    for n in (40000, 320000):
        big_files(bench, n)
        result = prep(bench, "big.a", "big.b", "-o", "out", "--overwrite")
        peaks.append(int(re.search(r"(\d+) MB peak", result.err).group(1)))
    expect(peaks[1] < peaks[0] + 16 and peaks[1] < 200, f"peaks of {peaks} MB")


if __name__ == "__main__":
    main([test_report_adds_up, test_cat, test_tabs_are_not_mixed_up, test_inputs,
          test_threads_do_not_matter, test_usage, test_refusals, test_existing_corpus,
          test_full_disk, test_signals, test_damage, test_check, test_memory_is_flat])
