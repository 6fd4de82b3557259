#!/usr/bin/env python3
"""Language models from the command line: training, scoring, continuing, and what they refuse.

Usage: test_lm.py MIXT [--only NAME] [--seed N]
"""
import math
import os
import re

from harness import expect, expect_error, expect_same_files, main, snapshot

LM = ("model.type=lm", "data.train=[train.src]", "data.valid=[valid.src]",
      "model.moe.after=[encoder.1]")
LINES = [
    "the old clock on the wall has stopped", "nobody knows who left this letter here",
    "we should leave before it starts to rain", "my brother repairs bicycles in a small shop",
    "seven geese flew over the frozen lake", "please close the window when you go out",
]


def make_run(bench, **settings):
    bench.write_corpus(n_train=400)
    bench.write_config(**{"steps": 60, "every": 15, "threads": 2, "dropout": 0.2, **settings})


def models(bench, directory):
    found = snapshot(bench.path(directory), [".safetensors"])
    expect("best.safetensors" in found and len(found) >= 2, f"models wanted: {sorted(found)}")
    return found


def test_overfit(bench):
    """Six lines by heart: the first word is all that is left to guess."""
    text = "".join(line + "\n" for line in LINES)
    bench.write("train.src", text)
    bench.write("valid.src", text)
    bench.write_config(size=90, dim=64, dropout=0.0, label_smoothing=0.0, steps=100, every=50,
                       batch_tokens=1000, lr=4e-3)
    bench.train("run", *LM)
    scored = bench.run("score", "-m", "run", "train.src")
    expect(scored.code == 0, f"scores wanted: {scored}")
    log_probs = [float(line) for line in scored.out.split()]
    expect(len(log_probs) == len(LINES), f"a line for each line wanted: {scored}")
    for value in log_probs:
        # nobody can know which of the six lines comes: log(1/6) = -1.79
        expect(-2.3 < value < -1.3, f"{log_probs} are not of lines known by heart")
    found = re.search(r"(\d+) pieces, perplexity ([\d.]+), (\d+) words, perplexity ([\d.]+)",
                      scored.err)
    expect(found, f"a summary wanted: {scored}")
    n_words = sum(len(line.split()) + 1 for line in LINES)
    expect(int(found[3]) == n_words, f"{n_words} words wanted: {scored}")
    for count, perplexity in ((1, 2), (3, 4)):
        wanted = math.exp(-sum(log_probs) / int(found[count]))
        expect(abs(float(found[perplexity]) - wanted) < 1e-3, f"{wanted} wanted: {scored}")
    alone = bench.run("score", "-m", "run", "train.src", "--ppl")
    expect(abs(float(alone.out) - float(found[2])) < 1e-3, f"{found[2]} alone wanted: {alone}")


def test_score_neighbours(bench):
    """A line's score does not depend on the lines beside it; empty lines have one, too."""
    make_run(bench)
    bench.train("run", *LM)
    lines = [bench.sentence(longest=12)[0] for _ in range(150)] + ["", "x" * 300, "\u2028"]
    bench.write("all", "".join(line + "\n" for line in lines))
    together = bench.run("score", "-m", "run", "all").out.split()
    expect(len(together) == len(lines), f"{len(together)} scores of {len(lines)} lines")
    for i in bench.random.sample(range(len(lines)), 5) + [150, 151]:
        bench.write("one", lines[i] + "\n")
        alone = bench.run("score", "-m", "run", "one").out.split()
        expect([together[i]] == alone, f"line {i + 1}: {together[i]}, alone {alone}")


def test_resume(bench):
    """Stopped and continued is the same as never stopped; so is the same run again."""
    make_run(bench)
    bench.train("unbroken", *LM, "train.average=0.9")
    bench.train("again", *LM, "train.average=0.9")
    expect_same_files(models(bench, "unbroken"), models(bench, "again"), "the same run twice")
    bench.train("run", *LM, "train.average=0.9", "train.steps=30", "save.every=7")
    bench.train("run", *LM, "train.average=0.9")
    expect_same_files(models(bench, "unbroken"), models(bench, "run"), "continued")


def test_info(bench):
    make_run(bench, steps=4, every=2)
    bench.train("run", *LM)
    result = bench.run("info", "run")
    expect(b"language model" in result.out and b"decoder" not in result.out, f"{result}")
    tensors = bench.run("info", "run", "--tensors").out.decode()
    expect("encoder.1.moe" in tensors and "decoder" not in tensors, tensors)
    expect("embedding.target" not in tensors and "output.weight" not in tensors, tensors)
    bench.train("untied", *LM, "model.tie=[]")
    tensors = bench.run("info", "untied", "--tensors").out.decode()
    expect("embedding.source" in tensors and "output.weight" in tensors, tensors)


def expect_refused(bench, arguments, *parts):
    bench.write_config()
    expect_error(bench.run("train", "-c", "tiny.yaml", "save.dir=run", *arguments), 2, *parts)
    expect(not os.path.exists(bench.path("run")), "the run's folder was made")


def test_settings(bench):
    expect_refused(bench, LM + ("data.train=[train.src, train.trg]",), "data.train", "2 files",
                   "one text")
    expect_refused(bench, LM + ("data.valid=[a, b]",), "data.valid", "one text")
    expect_refused(bench, ("data.train=[train.src]",), "data.train", "odd")
    expect_refused(bench, LM + ("valid.metric=bleu",), "valid.metric", "perplexity")
    expect_refused(bench, LM + ("model.moe.after=[encoder.1, decoder.1]",), "model.moe.after",
                   "decoder")
    expect_refused(bench, LM + ("model.encoder.bidirectional=first",),
                   "model.encoder.bidirectional", "none")


def test_other_verbs(bench):
    make_run(bench, steps=4, every=2)
    bench.train("lm", *LM)
    bench.train("translator")
    expect_error(bench.run("translate", "-m", "lm", stdin=b"ba\n"), 2, "language model", "score")
    expect_error(bench.run("score", "-m", "lm", "train.src", "train.trg"), 2, "one text")
    expect_error(bench.run("score", "-m", "translator", "train.src"), 2, "SOURCE TARGET")


if __name__ == "__main__":
    main([test_overfit, test_score_neighbours, test_resume, test_info, test_settings,
          test_other_verbs])
