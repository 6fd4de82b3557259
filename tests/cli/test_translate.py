#!/usr/bin/env python3
"""Every input line has its line of output, whatever its neighbours, the batch and the threads.

Usage: test_translate.py MIXT [--only NAME] [--seed N]
"""
from harness import expect, main

N_LINES = 2000


def train_model(bench):
    """A model that has learnt enough for its outputs to differ and to end."""
    bench.write_corpus(n_train=600)
    bench.write_config(steps=150, every=150, batch_tokens=600, threads=2)
    bench.train()


def odd_lines(bench):
    """Lines that programs stumble over; none holds a line feed."""
    long_sentence = " ".join(bench.sentence()[0] for _ in range(60))
    return [
        b"", b"", b" ", b"\t", b"   \t ", b"\r", "\u3000".encode(), "\u2028".encode(), b"\0",
        b"ba\r", b"ba de\r", b"ba\rde", b"ba\0de", "ba\u2028de".encode(), b"ba\x85de", b"ba\tde",
        b"\xff\xfe", b"ba \xc3", b"ba \xed\xa0\x80 de", b"\xf4\x90\x80\x80", "\ufeffba".encode(),
        "Zürich 東京 😀 नमस्ते".encode(), b"x" * 500, b"bade" * 400, long_sentence.encode(),
        (long_sentence + " ").encode() * 5, b". " * 300, b"<s> </s> <unk> <pad>", b"ba ||| de",
        "\u2581ba\u2581de".encode(), b"-1", b"--help", b"#", b"'\"\\$`",
    ]


def mixed_lines(bench):
    lines = odd_lines(bench)
    while len(lines) < N_LINES:
        lines.append(bench.sentence(longest=12)[0].encode())
    bench.random.shuffle(lines)
    return lines


def translate(bench, lines, *arguments):
    result = bench.run("translate", "-m", "run", *arguments, stdin=b"\n".join(lines) + b"\n")
    expect(result.code == 0, f"{arguments}: {result}")
    expect(result.out.endswith(b"\n"), f"{arguments}: no line end at the end")
    out = result.out[:-1].split(b"\n")
    expect(len(out) == len(lines), f"{arguments}: {len(lines)} lines in, {len(out)} out")
    result.out.decode()  # valid UTF-8
    return out


def expect_same_lines(lines, wanted, found, what):
    for number, (line, one, other) in enumerate(zip(lines, wanted, found), 1):
        expect(one == other, f"{what}: line {number}, {line[:80]!r}: {one!r} became {other!r}")


def test_lines(bench):
    train_model(bench)
    lines = mixed_lines(bench)
    wanted = translate(bench, lines)
    for line, translation in zip(lines, wanted):
        if not line.strip(b" \t\r\0"):
            expect(translation == b"", f"{line!r} became {translation!r}")
    n_different = len(set(wanted))
    expect(n_different > N_LINES / 10, f"only {n_different} different translations: a poor test")
    for arguments in (["--batch-tokens", "1"], ["--batch-tokens", "200"],
                      ["--batch-tokens", "4000"], ["--threads", "1"], ["--threads", "2"],
                      ["--threads", "2", "--batch-tokens", "200"]):
        expect_same_lines(lines, wanted, translate(bench, lines, *arguments), arguments)
    order = list(range(N_LINES))
    bench.random.shuffle(order)
    shuffled = translate(bench, [lines[i] for i in order])
    back = dict(zip(order, shuffled))
    expect_same_lines(lines, wanted, [back[i] for i in range(N_LINES)], "shuffled")
    alone = bench.random.sample(range(N_LINES), 5)
    for i in alone:
        for threads in "1", "2", "3":
            expect_same_lines([lines[i]], [wanted[i]],
                              translate(bench, [lines[i]], "--threads", threads), "alone")


def test_line_ends(bench):
    """CRLF is a line end, and the last line needs none."""
    train_model(bench)
    lines = [bench.sentence()[0].encode() for _ in range(20)]
    wanted = translate(bench, lines)
    returned = translate(bench, [line + b"\r" for line in lines])
    expect_same_lines(lines, wanted, returned, "CRLF")
    result = bench.run("translate", "-m", "run", stdin=b"\n".join(lines))
    expect(result.out == b"\n".join(wanted) + b"\n", f"without the last line end: {result}")


def test_line_by_line(bench):
    """A line in gives a line out at once, so that a program can talk to it."""
    train_model(bench)
    with bench.start("translate", "-m", "run") as process:
        for _ in range(3):
            process.stdin.write(bench.sentence()[0].encode() + b"\n")
            process.stdin.flush()
            expect(process.stdout.readline().endswith(b"\n"), "no line came back")
        process.stdin.close()
        expect(process.stdout.read() == b"", "more lines than asked for")
        process.stderr.read()
    expect(process.returncode == 0, f"exit code {process.returncode}")


if __name__ == "__main__":
    main([test_lines, test_line_ends, test_line_by_line])
