#!/usr/bin/env python3
"""mixt subword --type subword-nmt as its users meet it: errors, files, pipes, threads.

Usage: test_subword_codes.py MIXT [--only NAME] [--seed N]
"""
import gzip
import os

from harness import expect, expect_error, main

TYPE = ("--type", "subword-nmt")
CODES = "#version: 0.2\nl o\nlo w</w>\ne r</w>\n"
TEXT = "low lower lowest slow\nnewer newest\n\nwider\n"


def run_ok(bench, *arguments, stdin=b""):
    result = bench.run("subword", *arguments, stdin=stdin)
    expect(result.code == 0, f"{arguments}: {result}")
    return result


def expect_left(bench, *names):
    found = sorted(os.listdir(bench.folder))
    expect(found == sorted(names), f"{found} are left, {sorted(names)} wanted")


def the_four_verbs_agree_with_each_other(bench):
    bench.write("text", TEXT)
    run_ok(bench, "train", *TYPE, "-i", "text", "-o", "codes", "-s", "6")
    learned = run_ok(bench, "learn-bpe", "-s", "6", stdin=TEXT.encode())
    expect(learned.out == bench.read("codes"), f"standard input differs: {learned}")
    for arguments in (("encode", *TYPE), ("apply-bpe",)):
        pieces = run_ok(bench, *arguments, "-c", "codes", "text").out
        expect(b"@@ " in pieces and pieces.count(b"\n") == 4, f"pieces {pieces}")
        bench.write("pieces", pieces)
        decoded = run_ok(bench, "decode", *TYPE, "-i", "pieces", "-o", "decoded")
        expect(decoded.out == b"" and bench.read("decoded") == TEXT.encode(), f"{decoded}")
    counted = run_ok(bench, "vocab", *TYPE, "pieces").out
    expect(counted == run_ok(bench, "get-vocab", stdin=pieces).out, "get-vocab differs")
    total = sum(int(line.split()[1]) for line in counted.splitlines())
    expect(total == len(pieces.split()), f"{total} pieces counted")


def errors_are_one_clear_line(bench):
    bench.write("codes", CODES)
    bench.write("bad", CODES + "one\n")
    bench.write("text", TEXT)
    bench.write("words", "low 3\nlower\n")
    for code, parts, arguments in (
            (2, ["--codes"], ["apply-bpe"]),
            (1, ["nosuch"], ["apply-bpe", "-c", "nosuch"]),
            (3, ["bad:5:"], ["apply-bpe", "-c", "bad"]),
            (1, ["nosuch"], ["apply-bpe", "-c", "codes", "-i", "nosuch", "-o", "out"]),
            (3, ["words:2:"], ["apply-bpe", "-c", "codes", "--vocabulary", "words"]),
            (2, ["(("], ["apply-bpe", "-c", "codes", "--glossaries", "(("]),
            (2, ["dropout"], ["apply-bpe", "-c", "codes", "--dropout", "1.5"]),
            (1, ["nosuch"], ["apply-bpe", "-c", "codes", "-i", "text", "-o", "nosuch/out"]),
            (1, ["nosuch"], ["learn-bpe", "-i", "nosuch", "-o", "out"]),
            (3, ["words:2:"], ["learn-bpe", "--dict-input", "-i", "words", "-o", "out"]),
            (3, ["two or more"], ["learn-bpe", "-o", "out"]),
            (2, ["--write-vocabulary"],
             ["learn-joint-bpe-and-vocab", "-i", "text", "text", "--write-vocabulary", "out"]),
            (2, ["--dict-input"], ["learn-bpe", "--dict-input", "-i", "text", "words"]),
            (2, ["--vocab"], ["segment-char-ngrams"]),
            (2, ["--separator"], ["decode", *TYPE, "--seperator", "x"])):
        expect_error(bench.run("subword", *arguments), code, *parts)
    expect_left(bench, "bad", "codes", "text", "words")


def a_line_comes_out_before_the_next_goes_in(bench):
    bench.write("codes", CODES)
    process = bench.start("subword", "apply-bpe", "-c", "codes")
    for line, wanted in ((b"slow\n", b"s@@ low\n"), (b"\n", b"\n"), (b"x  er\n", b"x er\n")):
        process.stdin.write(line)
        process.stdin.flush()
        found = process.stdout.readline()
        expect(found == wanted, f"{found} instead of {wanted}")
    out, err = process.communicate(b"lowe\nlow")
    expect(out == b"lo@@ w@@ e\nlow" and process.returncode == 0, f"{out} {err}")


def the_last_line_ends_as_it_does_in_the_input(bench):
    bench.write("codes", CODES)
    for text in (b"", b"\n", b"low", b"low\n", b"low\n\n", b"low\n ", b"low\r", b"low\r\n"):
        for threads in "1", "3":
            result = run_ok(bench, "apply-bpe", "-c", "codes", "--threads", threads, stdin=text)
            expect(result.out == text, f"{text} becomes {result.out} with {threads} threads")


def threads_and_compression_change_nothing(bench):
    bench.write("codes", CODES)
    letters = "lowerst"
    lines = [" ".join("".join(bench.random.choices(letters, k=bench.random.randint(1, 9)))
                      for _ in range(bench.random.randint(0, 12))) for _ in range(12000)]
    text = "\n".join(lines).encode()
    bench.write("text.gz", gzip.compress(text))
    wanted = run_ok(bench, "apply-bpe", "-c", "codes", "--threads", "1", stdin=text).out
    expect(wanted.count(b"\n") == 11999, "lines were lost")
    for threads in "2", "7":
        found = run_ok(bench, "apply-bpe", "-c", "codes", "--threads", threads, "text.gz").out
        expect(found == wanted, f"{threads} threads differ")
    found = run_ok(bench, "decode", *TYPE, stdin=wanted).out
    expect(found == text, "decoding differs")


def invalid_utf8_is_repaired_and_said(bench):
    bench.write("codes", CODES)
    result = run_ok(bench, "apply-bpe", "-c", "codes", stdin=b"low\nl\xffow\n\xc3\xa4\n")
    expect(result.out == "low\nl@@ \ufffd@@ o@@ w\nä\n".encode(), f"{result}")
    expect("1 line" in result.err and "2" in result.err, f"a warning wanted: {result}")
    learned = run_ok(bench, "learn-bpe", "--byte", "--min-frequency", "1", stdin=b"\xff\xfe\n")
    expect(learned.out == b"#version: 0.2 byte\n\xff \xfe</w>\n", f"{learned}")


if __name__ == "__main__":
    main([the_four_verbs_agree_with_each_other, errors_are_one_clear_line,
          a_line_comes_out_before_the_next_goes_in, the_last_line_ends_as_it_does_in_the_input,
          threads_and_compression_change_nothing, invalid_utf8_is_repaired_and_said])
