#!/usr/bin/env python3
"""What the command line does with help, wrong use, missing, damaged and empty input.

Usage: test_cli.py MIXT [--only NAME] [--seed N]
"""
import gzip
import os
import re
import resource
import signal

from harness import expect, expect_error, main, snapshot

# What each verb needs beside the option that is being tried.
NEEDED = {"subword": ["train", "encode", "decode", "normalize", "vocab"]}
MISSPELT = {"train": ("--cofnig", "--config"), "translate": ("--bema", "--beam"),
            "bleu": ("--tokenise", "--tokenize"), "score": ("--modle", "--model"),
            "subword train": ("--vocab_siez", "--vocab-size"),
            "subword encode": ("--modle", "--model")}


def verbs(bench):
    """All verbs, those of two words too, as lists of words."""
    text = bench.run("--help").out.decode()
    names = re.findall(r"^  ([a-z]+) ", text, re.MULTILINE)
    expect(len(names) >= 2, f"verbs wanted in: {text}")
    return [[name, part] for name in names for part in NEEDED.get(name, [])] + \
           [[name] for name in names if name not in NEEDED]


def test_help(bench):
    for arguments in [["--help"], ["-h"], ["help"], ["--version"]] + \
                     [verb + ["--help"] for verb in verbs(bench)]:
        result = bench.run(*arguments)
        expect(result.code == 0 and result.err == "" and result.out.endswith(b"\n"),
               f"{arguments}: {result}")
        if arguments[-1] == "--help" and len(arguments) > 1:
            usage = "Usage: mixt " + " ".join(arguments[:-1])
            expect(result.out.decode().startswith(usage), f"{usage} wanted: {result}")


def test_help_is_narrow(bench):
    for verb in verbs(bench):
        for line in bench.run(*verb, "--help").out.decode().splitlines():
            expect(len(line) <= 80, f"{verb}: more than 80 columns: {line}")


def test_no_verb(bench):
    expect_error(bench.run(), 2, "verb", "--help")


def test_unknown_verb(bench):
    expect_error(bench.run("bluu"), 2, "'bluu'", "did you mean 'bleu'?")
    expect_error(bench.run("--frobnicate"), 2, "--frobnicate")


def test_unknown_option(bench):
    for verb in verbs(bench):
        expect_error(bench.run(*verb, "--frobnicate"), 2, "--frobnicate")
        if " ".join(verb) in MISSPELT:
            word, meant = MISSPELT[" ".join(verb)]
            expect_error(bench.run(*verb, word + "=3"), 2, word, f"did you mean '{meant}'?")


def test_missing_file(bench):
    for arguments in (["bleu", "nosuch"], ["train", "-c", "nosuch"], ["translate", "-m", "nosuch"],
                      ["subword", "encode", "-m", "nosuch"], ["info", "nosuch"]):
        expect_error(bench.run(*arguments), 1, "nosuch")


def test_folder_as_file(bench):
    os.mkdir(bench.path("folder"))
    for arguments in (["bleu", "folder"], ["train", "-c", "folder"],
                      ["subword", "encode", "-m", "folder"]):
        expect_error(bench.run(*arguments), 1, "folder")


def test_needed_option(bench):
    expect_error(bench.run("translate"), 2, "model")
    expect_error(bench.run("subword", "encode"), 2, "model")


def test_bleu_unequal(bench):
    bench.write("reference", "one\ntwo\nthree\n")
    result = bench.run("bleu", "reference", stdin=b"one\ntwo\n")
    expect_error(result, 1)
    expect("2" in result.err and "3" in result.err or "reference" in result.err,
           f"which text is longer wanted: {result}")


# -- configuration --

def expect_config_error(bench, line, text, *parts):
    """The text as the configuration is refused with FILE:LINE, before anything is made."""
    bench.write("wrong.yaml", text)
    expect_error(bench.run("train", "-c", "wrong.yaml", "save.dir=run"), 2,
                 f"wrong.yaml:{line}: ", *parts)
    expect(not os.path.exists(bench.path("run")), "the run's folder was made")


def test_unknown_key(bench):
    expect_config_error(bench, 3, "model:\n  dim: 32\n  dropuot: 0.1\n", "dropuot",
                        "did you mean", "dropout")
    expect_config_error(bench, 1, "modle: {dim: 32}\n", "modle", "did you mean", "model")
    expect_config_error(bench, 2, "train:\n  moe: {experts: 4}\n", "moe")
    bench.write("empty.yaml", "")
    expect_error(bench.run("train", "-c", "empty.yaml", "model.dropuot=0.1"), 2, "dropuot",
                 "did you mean", "dropout")


def test_wrong_value(bench):
    expect_config_error(bench, 2, "model:\n  dim: wide\n", "model.dim", "'wide'")
    expect_config_error(bench, 2, "train:\n  steps: -1\n", "train.steps", "-1")
    expect_config_error(bench, 2, "data:\n  subword: {type: unigrm}\n", "unigrm", "unigram")
    expect_config_error(bench, 2, "model:\n  dropout: 1.0\n", "model.dropout")
    expect_config_error(bench, 1, "model: 3\n", "model")


def test_broken_yaml(bench):
    expect_config_error(bench, 2, "model:\n  dim: [1, 2]]\n")
    expect_config_error(bench, 2, "model: {dim: 8}\nmodel: {dim: 9}\n", "model")


def test_wrong_assignment(bench):
    bench.write_config()
    expect_error(bench.run("train", "-c", "tiny.yaml", "model.dim"), 2, "model.dim")
    expect_error(bench.run("train", "-c", "tiny.yaml", "model.dim=x"), 2, "model.dim", "'x'")


def test_no_data(bench):
    bench.write("tiny.yaml", "model: {dim: 8}\n")
    expect_error(bench.run("train", "-c", "tiny.yaml", "save.dir=run"), 2, "data.train")


def test_dump_config(bench):
    """What --dump-config prints is a configuration that means the same."""
    bench.write_config()
    first = bench.run("train", "-c", "tiny.yaml", "--dump-config", "model.dropout=0.3",
                      "save.dir=run")
    expect(first.code == 0 and b"0.3" in first.out, f"the merged settings wanted: {first}")
    bench.write("again.yaml", first.out)
    again = bench.run("train", "-c", "again.yaml", "--dump-config")
    expect(again.out == first.out, f"other settings: {again}, not {first}")


# -- training data --

def expect_nothing_kept(bench, directory="run"):
    kept = [name for name in snapshot(bench.path(directory)) if ".safetensors" in name]
    expect(not kept, f"a failed training left {kept}")


def test_unequal_files(bench):
    bench.write_config()
    bench.write_corpus(n_train=40)
    lines = bench.read("train.trg").splitlines(keepends=True)
    bench.write("train.trg", b"".join(lines[:-3]))
    result = bench.run("train", "-c", "tiny.yaml", "save.dir=run")
    expect_error(result, 3, "train.src", "40", "train.trg", "37", has_progress=True)
    expect_nothing_kept(bench)


def test_missing_data(bench):
    bench.write_config()
    bench.write_corpus()
    os.remove(bench.path("train.trg"))
    expect_error(bench.run("train", "-c", "tiny.yaml", "save.dir=run"), 1, "train.trg",
                 has_progress=True)
    expect_nothing_kept(bench)


def test_empty_data(bench):
    bench.write_config()
    bench.write_corpus()
    for name in ("train.src", "train.trg"):
        bench.write(name, "")
    expect_error(bench.run("train", "-c", "tiny.yaml", "save.dir=run"), 3, has_progress=True)
    expect_nothing_kept(bench)


def test_cut_gzip(bench):
    bench.write_corpus()
    for side in ("src", "trg"):
        bench.write(f"train.{side}.gz", gzip.compress(bench.read("train." + side)))
    bench.write("train.trg.gz", bench.read("train.trg.gz")[:-20])
    bench.write_config()
    result = bench.run("train", "-c", "tiny.yaml", "save.dir=run",
                       "data.train=[train.src.gz, train.trg.gz]")
    expect_error(result, 3, "train.trg.gz", has_progress=True)
    expect_nothing_kept(bench)


def test_run_directory_in_the_way(bench):
    bench.write_config()
    bench.write_corpus()
    bench.write("run", "a file\n")
    expect_error(bench.run("train", "-c", "tiny.yaml", "save.dir=run"), 1, "run")
    expect(bench.read("run") == b"a file\n", "the file was overwritten")


# -- a trained model --

def trained(bench, **settings):
    bench.write_config(**{"steps": 4, "every": 2, **settings})
    bench.write_corpus()
    bench.train()
    return os.path.join("run", "best.safetensors")


def test_translate_empty_input(bench):
    trained(bench)
    result = bench.run("translate", "-m", "run")
    expect(result.code == 0 and result.out == b"", f"nothing wanted of nothing: {result}")
    result = bench.run("translate", "-m", "run", stdin=b"\n\n")
    expect(result.code == 0 and result.out == b"\n\n", f"two empty lines wanted: {result}")


def test_damaged_model(bench):
    path = trained(bench)
    whole = bench.read(path)
    places = [8 + bench.random.randrange(100), len(whole) // 2, len(whole) - 5]
    flipped = [whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:] for at in places]
    cut = [whole[:size] for size in (0, 7, 100, len(whole) // 2, len(whole) - 1)]
    text = [b"hello\n" * 1000, b"\xff" * 64, whole + b"\0"]
    for number, content in enumerate(cut + flipped + text):
        name = bench.write(f"damaged{number}.safetensors", content)
        result = bench.run("translate", "-m", name, stdin=b"ba de\n")
        expect_error(result, 3, name)


def test_damaged_checkpoint(bench):
    trained(bench)
    before = snapshot(bench.path("run"), [".safetensors"])
    for name in [name for name in before if name.startswith("last")]:
        bench.write(os.path.join("run", name), before[name][:-9])
        result = bench.run("train", "-c", "tiny.yaml", "save.dir=run", "train.steps=6")
        expect_error(result, 3, name, has_progress=True)
        after = snapshot(bench.path("run"), [".safetensors"])
        best = "best.safetensors"
        expect(after[best] == before[best], "the best model changed")
        bench.write(os.path.join("run", name), before[name])


def test_other_shape(bench):
    trained(bench)
    result = bench.run("train", "-c", "tiny.yaml", "save.dir=run", "train.steps=6", "model.dim=48")
    expect_error(result, 2, "model.dim", "32", "48", "run", has_progress=True)


def test_other_data(bench):
    trained(bench)
    bench.write_corpus()
    result = bench.run("train", "-c", "tiny.yaml", "save.dir=run", "train.steps=6")
    expect_error(result, 3, "run", has_progress=True)


def test_run_in_use(bench):
    bench.write_config(steps=100000, every=1)
    bench.write_corpus()
    with bench.start("train", "-c", "tiny.yaml", "save.dir=run") as first:
        while b"step 2/" not in first.stderr.readline():
            expect(first.poll() is None, "the first training ended")
        result = bench.run("train", "-c", "tiny.yaml", "save.dir=run")
        first.kill()
        first.communicate()
    expect_error(result, 1, "run", "in use")


def test_diverged(bench):
    bench.write_config(lr=100.0, steps=400, every=200)
    bench.write_corpus()
    result = bench.run("train", "-c", "tiny.yaml", "save.dir=run", "train.optimizer.clip=0",
                       "train.schedule.warmup=0")
    if result.code != 0:  # that such a rate breaks this model is likely, not certain
        expect_error(result, 5, has_progress=True)


def test_full_disk_keeps_the_old(bench):
    """Where a file may not grow, no half file appears under a final name."""
    path = trained(bench)
    before = bench.read(path)
    limit = len(before) // 2
    result = bench.run("train", "-c", "tiny.yaml", "save.dir=run", "train.steps=8",
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit,) * 2))
    expect_error(result, 1, "run", has_progress=True)
    expect(bench.read(path) == before, "the old model is gone")
    expect(not [name for name in snapshot(bench.path("run")) if "tmp" in name],
           f"temporary files stay: {sorted(snapshot(bench.path('run')))}")
    bench.train("run", "train.steps=8")


def test_full_output(bench):
    trained(bench)
    with open("/dev/full", "wb") as full:
        result = bench.run("translate", "-m", "run", stdin=b"ba de\n", stdout=full)
        expect_error(result, 1, "cannot write")
        result = bench.run("--help", stdout=full)
        expect_error(result, 1, "standard output")


def test_closed_pipe(bench):
    """`mixt translate | head -1` ends early and says nothing about it."""
    trained(bench)
    with bench.start("translate", "-m", "run") as process:
        process.stdin.write(b"ba\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"de\n")
        process.stdin.close()
        err = process.stderr.read().decode()
        code = process.wait()
    expect(code == -signal.SIGPIPE and "mixt: " not in err,
           f"a quiet SIGPIPE wanted: exit code {code}, stderr: {err}")


if __name__ == "__main__":
    main([value for name, value in list(globals().items()) if name.startswith("test_")])
