#!/usr/bin/env python3
"""Several target languages in one model: the first piece of the source asks for one of them.

Usage: test_multilingual.py MIXT [--only NAME] [--seed N]
"""
import base64
import json
import os

from harness import expect, expect_error, expect_same_files, main, snapshot

# Two invented languages: in one each word is turned round, in the other the words are.
BOTH = ("data.train=[a.src, a.trg, b.src, b.trg]", "data.valid=[va.src, va.trg, vb.src, vb.trg]",
        "data.languages=[turned, back-wards]")


def sentences(bench, count, longest=3):
    return [bench.sentence(longest)[0] for _ in range(count)]


def turned(line):
    return " ".join(word[::-1] + "s" for word in line.split())


def backwards(line):
    return " ".join(reversed(line.split()))


def write_pair(bench, name, lines, translate):
    bench.write(name + ".src", "".join(line + "\n" for line in lines))
    bench.write(name + ".trg", "".join(translate(line) + "\n" for line in lines))


def make_run(bench, n_train=300, **settings):
    write_pair(bench, "a", sentences(bench, n_train), turned)
    write_pair(bench, "b", sentences(bench, n_train), backwards)
    held_out = sentences(bench, 20)
    write_pair(bench, "va", held_out, turned)
    write_pair(bench, "vb", held_out, backwards)
    bench.write_config(**{"size": 100, "dim": 48, "steps": 300, "every": 100, "threads": 2,
                          "batch_tokens": 400, **settings})


def right_lines(bench, language, translate):
    source = bench.read("va.src").decode().splitlines()
    result = bench.run("translate", "-m", "run", "--to", language, "-i", "va.src")
    expect(result.code == 0, f"translations wanted: {result}")
    out = result.out.decode().splitlines()
    expect(len(out) == len(source), f"{len(source)} lines wanted: {result}")
    return sum(line == translate(text) for line, text in zip(out, source))


def log_prob(bench, language, target):
    result = bench.run("score", "-m", "run", "--to", language, "va.src", target)
    expect(result.code == 0, f"scores wanted: {result}")
    return sum(float(line) for line in result.out.split())


def test_languages_are_kept_apart(bench):
    make_run(bench, n_train=1000, dropout=0.0, label_smoothing=0.0, steps=500, every=250)
    bench.train("run", *BOTH, "data.max_len=8")
    for language, translate in (("turned", turned), ("back-wards", backwards)):
        right = right_lines(bench, language, translate)
        expect(right >= 12, f"{right} of 20 lines right in '{language}'")
    for language, own, other in (("turned", "va.trg", "vb.trg"),
                                 ("back-wards", "vb.trg", "va.trg")):
        expect(log_prob(bench, language, own) > log_prob(bench, language, other) + 100,
               f"'{language}' does not prefer {own}")
    # a part of a line that is cut asks for the same language as the whole
    long_line = bench.read("va.src").decode().replace("\n", ", ")
    cut = [bench.run("translate", "-m", "run", "--to", name, "--max-len", "6",
                     stdin=long_line.encode()) for name in ("turned", "back-wards")]
    ends = [sum(word.endswith("s") for word in result.out.decode().split()) /
            len(result.out.split()) for result in cut]
    expect(ends[0] > 0.6 and ends[1] < 0.2, f"parts in both languages: {cut[0]} {cut[1]}")
    info = bench.run("info", "run")
    expect(b"languages: turned, back-wards\n" in info.out, f"the languages wanted: {info}")


def subword_model(bench, path):
    """The subword model inside a model file, as a file of its own."""
    content = bench.read(path)
    header = json.loads(content[8:8 + int.from_bytes(content[:8], "little")])
    return bench.write("inside.model", base64.b64decode(header["__metadata__"]["subword"]))


def test_text_asks_for_nothing(bench):
    """A text that spells a language's piece does not have it."""
    make_run(bench, steps=2, every=2)
    bench.train("run", *BOTH)
    model = subword_model(bench, "run/best.safetensors")
    pieces = bench.run("subword", "vocab", "-m", model).out.decode().splitlines()
    asking = {str(i) for i, piece in enumerate(pieces) if piece.startswith("<2")}
    expect(len(asking) == 2, f"two languages wanted among {pieces[:20]}")
    ids = bench.run("subword", "encode", "-m", model, "--output-format", "id",
                    stdin=b"<2turned> ba <2back-wards>\n").out.decode().split()
    expect(ids and not asking & set(ids), f"pieces {asking} of a text: {ids}")


def test_resume(bench):
    make_run(bench, steps=40, every=10, dropout=0.2)
    settings = BOTH + ("valid.metric=perplexity",)  # whose best model is the last one
    bench.train("unbroken", *settings)
    bench.train("run", *settings, "train.steps=20", "save.every=7")
    bench.train("run", *settings)
    wanted = snapshot(bench.path("unbroken"), [".safetensors"])
    expect("best.safetensors" in wanted, f"models wanted: {sorted(wanted)}")
    expect_same_files(wanted, snapshot(bench.path("run"), [".safetensors"]), "continued")
    result = bench.run("train", "-c", "tiny.yaml", "save.dir=run", *BOTH[:2],
                       "data.languages=[turned, other]", "train.steps=50")
    expect_error(result, 2, "data.languages", "back-wards", "other", has_progress=True)


def test_choosing(bench):
    make_run(bench, steps=2, every=2)
    bench.train("run", *BOTH)
    for verb in (("translate", "-m", "run"), ("score", "-m", "run", "va.src", "va.trg")):
        expect_error(bench.run(*verb), 2, "--to", "turned, back-wards")
        expect_error(bench.run(*verb, "--to", "fr"), 2, "'fr'", "turned, back-wards")
    bench.train("one", "data.train=[a.src, a.trg]", "data.valid=[va.src, va.trg]",
                "data.languages=[turned]")
    bench.train("none", "data.train=[a.src, a.trg]", "data.valid=[va.src, va.trg]")
    expect(bench.run("translate", "-m", "one", stdin=b"ba\n").code == 0, "the only one wanted")
    expect(bench.run("translate", "-m", "one", "--to", "turned", stdin=b"ba\n").code == 0,
           "the only one wanted")
    expect_error(bench.run("translate", "-m", "none", "--to", "turned"), 2, "'turned'")


def test_several_texts_without_languages(bench):
    """Pairs are put one behind the other: the same run as with one long pair."""
    make_run(bench, steps=20, every=20)
    for name in ("a", "b"):
        for side in ("src", "trg"):
            bench.write(f"{name}1.{side}", bench.read(f"{name}.{side}"))
    for side in ("src", "trg"):
        bench.write("whole." + side, bench.read("a." + side) + bench.read("b." + side))
    valid = "data.valid=[va.src, va.trg]"
    bench.train("parts", "data.train=[a.src, a.trg, b.src, b.trg]", valid)
    bench.train("whole", "data.train=[whole.src, whole.trg]", valid)
    wanted = snapshot(bench.path("whole"), [".safetensors"])
    found = snapshot(bench.path("parts"), [".safetensors"])
    expect_same_files(wanted, found, "in parts")


def test_settings(bench):
    def refused(*arguments, parts):
        bench.write_config()
        expect_error(bench.run("train", "-c", "tiny.yaml", "save.dir=run", *arguments), 2, *parts)
        expect(not os.path.exists(bench.path("run")), "the run's folder was made")

    refused("data.train=[a, b, c]", parts=["data.train", "odd"])
    refused(BOTH[0], "data.valid=[]", "data.languages=[de]", parts=["data.train", "4 files", "1"])
    refused("data.valid=[va.src, va.trg]", BOTH[0], BOTH[2], parts=["data.valid", "2 files"])
    refused("data.languages=[de, 'f r']", parts=["data.languages", "letters"])
    refused("model.type=lm", "model.moe.after=[]", "data.train=[a]", "data.valid=[]",
            "data.languages=[de]", parts=["data.languages", "language model"])


def test_given_subword_model(bench):
    """A subword model without the languages' pieces is refused; one with them will do."""
    make_run(bench, steps=2, every=2)
    common = ("subword", "train", "-i", "a.src,b.src", "-t", "bpe", "-s", "90", "--pad-id", "3")
    for name, more in (("plain", ()),
                       ("symbols", ("--control-symbols", "<2turned>,<2back-wards>"))):
        made = bench.run(*common, "-m", name + ".model", *more)
        expect(made.code == 0, f"a subword model wanted: {made}")
    result = bench.run("train", "-c", "tiny.yaml", "save.dir=plain", *BOTH,
                       "data.subword.model=plain.model")
    expect_error(result, 2, "<2turned>", "data.languages", has_progress=True)
    bench.train("run", *BOTH, "data.subword.model=symbols.model")


if __name__ == "__main__":
    main([test_languages_are_kept_apart, test_text_asks_for_nothing, test_resume, test_choosing,
          test_several_texts_without_languages, test_settings, test_given_subword_model])
