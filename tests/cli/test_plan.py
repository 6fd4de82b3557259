#!/usr/bin/env python3
"""mixt plan against the figures published with the paper's models, and its own sums.

Usage: test_plan.py MIXT [--only NAME] [--seed N]
"""
import glob
import json
import os
import resource
import time

from harness import expect, expect_error, main

RECIPES = os.path.join(os.path.dirname(__file__), "..", "..", "recipes")

# Multiply-adds a timestep and parameters without embedding and softmax, in millions, and all
# parameters in billions, as printed in tables 7 and 8 of Shazeer et al. 2017.
PUBLISHED = {
    "lm-1b-lstm-2048-512": ("9.4", "9.4", "0.8"),
    "lm-1b-4xlstm-512": ("8.4", "8.4", "0.8"),
    "lm-1b-moe-1-wide": ("8.4", "8.4", "0.8"),
    "lm-1b-moe-4": ("8.4", "8.4", "0.8"),
    "lm-1b-moe-32": ("8.4", "37.8", "0.9"),
    "lm-1b-moe-256": ("8.6", "272.9", "1.1"),
    "lm-1b-moe-256-h": ("8.4", "272.9", "1.1"),
    "lm-1b-moe-1024-h": ("8.5", "1079.0", "1.9"),
    "lm-1b-moe-4096-h": ("8.9", "4303.4", "5.1"),
    "lm-1b-moe-34m": ("33.8", "4313.9", "6.0"),
    "lm-1b-moe-143m": ("142.7", "4371.1", "6.0"),
    "lm-100b-4xlstm-512": ("8.4", "8.4", "0.1"),
    "lm-100b-moe-32": ("8.4", "37.8", "0.1"),
    "lm-100b-moe-256-h": ("8.4", "272.9", "0.4"),
    "lm-100b-moe-1024-h": ("8.5", "1079.0", "1.2"),
    "lm-100b-moe-4096-h": ("8.6", "4303.4", "4.4"),
    "lm-100b-moe-16384-h": ("8.8", "17201.0", "17.3"),
    "lm-100b-moe-65536-h": ("9.2", "68791.0", "68.9"),
    "lm-100b-moe-131072-h": ("9.7", "137577.6", "137.7"),
    "wmt14-en-fr-moe-2048": ("85", None, "8.7"),
    "wmt14-en-de-moe-2048": ("85", None, "8.7"),
    "multilingual-moe-512": ("102", None, "8.7"),
}


def plan(bench, *arguments, **options):
    result = bench.run("plan", "--json", *arguments, **options)
    expect(result.code == 0 and result.err == "", f"plan {arguments}: {result}")
    return json.loads(result.out)


def recipe(name):
    return os.path.join(RECIPES, "paper", name + ".yaml")


def expect_published(what, value, printed, share):
    """Within a share of the printed figure, or it is the printed one when rounded as that is."""
    digits = len(printed.partition(".")[2])
    wanted = float(printed)
    expect(abs(value / wanted - 1) <= share or abs(value - wanted) <= 0.5 * 10 ** -digits,
           f"{what}: {value}, published is {printed}")


def test_published(bench):
    names = sorted(os.path.basename(path)[:-5] for path in glob.glob(recipe("*")))
    expect(names == sorted(PUBLISHED), f"recipes {names}")
    for name, (work, layers, total) in PUBLISHED.items():
        found = plan(bench, "-c", recipe(name))
        parameters = found["parameters"]
        expect(found["name"] == name, f"{name} is called {found['name']}")
        share = 0.01 if layers is None else 0.02
        expect_published(name + ", multiply-adds", found["multiply_adds"]["timestep"] / 1e6, work,
                         share)
        expect_published(name + ", parameters", parameters["total"] / 1e9, total, share)
        if layers:
            expect_published(name + ", layers",
                             parameters["without_embedding_and_softmax"] / 1e6, layers, share)


def test_recipes_train(bench):
    """mixt train reads each with texts from the command line."""
    for name in PUBLISHED:
        texts = "[a.txt]" if name.startswith("lm-") else "[a.en, a.de]"
        result = bench.run("train", "-c", recipe(name), "--dump-config", "data.train=" + texts,
                           "data.valid=" + texts, "save.dir=run")
        expect(result.code == 0 and f"name: {name}\n".encode() in result.out, str(result))


def test_exact(bench):
    """MoE-1024-h by hand: 16 groups of 64 experts, two of each a token, noisy gates."""
    found = plan(bench, "-c", recipe("lm-1b-moe-1024-h"))
    lstm = 2 * 512 * 4 * 512
    gate, asked = 2 * 512 * (16 + 1024), 2 * 512 * (16 + 2 * 64)
    expert = 2 * 512 * 1024
    biases = 2 * 4 * 512 + 1024 * (1024 + 512)
    words = 793471
    expect(found["multiply_adds"]["timestep"] == 2 * lstm + asked + 4 * expert,
           found["multiply_adds"])
    expect(found["parameters"] == {
        "total": 2 * lstm + gate + 1024 * expert + biases + 2 * words * 512 + words,
        "without_embedding_and_softmax": 2 * lstm + gate + 1024 * expert + biases,
        "experts": 1024 * (expert + 1024 + 512), "gates": gate}, found["parameters"])
    expect(found["multiply_adds"]["softmax"] == words * 512, found["multiply_adds"])


def test_parts_add_up(bench):
    for path in glob.glob(os.path.join(RECIPES, "**", "*.yaml"), recursive=True):
        found = plan(bench, "-c", path)
        parts, work = found["parts"], found["multiply_adds"]
        expect(sum(part["parameters"] for part in parts) == found["parameters"]["total"], path)
        side_sums = sum(part[side + "_multiply_adds"] for part in parts
                        for side in ("source", "target"))
        expect(side_sums == work["timestep"] + work["softmax"], path)
        expect(work["timestep"] == work["layers"] + work["gates"] + work["experts"], path)


def test_ranks(bench):
    """Experts are shared, the rest is not; what Adam keeps is twice the values, shared too, or
    factored."""
    name = recipe("lm-1b-moe-256-h")
    found = plan(bench, "-c", name, "--ranks", "1,8,3")
    expect([memory["ranks"] for memory in found["memory_bytes"]] == [1, 8, 3], found)
    parameters = found["parameters"]
    for memory, experts in zip(found["memory_bytes"], (256, 32, 86)):
        training = memory["training"]
        values = 4 * (parameters["total"] - parameters["experts"] * (256 - experts) / 256)
        own = 4 * parameters["experts"] * experts / 256
        moments = 2 * (own + (values - own) / memory["ranks"])
        expect(training["values"] == training["gradients"] == values
               and training["averages"] == 0, f"{values} bytes wanted: {training}")
        expect(abs(training["moments"] - moments) <= 1, f"{moments} bytes wanted: {training}")
        expect(training["total"] == sum(training.values()) - training["total"], training)
        expect(memory["decoding"]["values"] == values, memory)
        expect(memory["decoding"]["gradients"] == memory["decoding"]["moments"] == 0, memory)
    same = found["memory_bytes"][0]["training"]
    factored = plan(bench, "-c", name, "train.optimizer.experts=factored",
                    "train.average=0.9")["memory_bytes"][0]["training"]
    experts = 256 * (2 * (512 + 1024) + 1024 + 512)
    expect(factored["moments"] == 8 * (parameters["total"] - parameters["experts"]) + 4 * experts
           and factored["averages"] == same["values"], f"{experts} numbers wanted: {factored}")
    parts = plan(bench, "-c", name, "dist.reproducible=true", "--ranks", "1,2")["memory_bytes"]
    for memory in (memory["training"] for memory in parts):
        expect(memory["gradients"] == memory["moments"] == 2 * memory["values"], memory)
    recomputed = plan(bench, "-c", name, "train.recompute_experts=true")
    expect(recomputed["memory_bytes"][0]["training"]["activations"] < same["activations"],
           "hidden units of experts are counted where they are not kept")


def test_gradients_of_few_rows(bench):
    """Gradients of matrices are stored where more rows meet them than they are large, and where
    those of several batches are added up."""
    name = recipe("lm-1b-moe-256-h")
    matrices = 4 * 256 * 2 * 512 * 1024  # bytes
    fewest = 256 * 512 * 1024 // (2 * (512 + 1024) * 4)  # tokens, four rows each

    def training(tokens, *settings):
        return plan(bench, "-c", name, f"train.batch_tokens={tokens}",
                    *(settings or ["train.accumulate=1"]))["memory_bytes"][0]["training"]

    few, many = training(fewest), training(fewest + 1)
    summed = training(fewest, "train.accumulate=2")
    expect(many["gradients"] == many["values"] == summed["gradients"], f"{many}, {summed}")
    expect(few["gradients"] == many["gradients"] - matrices, f"{few}, {many}")
    rows = 4 * 4 * fewest * (512 + 1024)
    expect(abs(few["activations"] - summed["activations"] - rows) < 0.5 * rows, f"{few}, {summed}")


def test_time(bench):
    """An update by hand: a language model of one mixture, 2 of 8 experts, on 4 ranks."""
    def time_of(ranks, *options):
        found = plan(bench, "--ranks", ranks, "--bandwidth=1e9", "--latency=1e-5", "--flops=1e10",
                     *options, "model.type=lm", "model.dim=32", "model.moe.after=[encoder.1]",
                     "model.moe.experts=8", "model.moe.top_k=2", "train.batch_tokens=1000",
                     "train.accumulate=3", "data.subword.size=500")
        return found, found["update_seconds"][0]

    found, time_4 = time_of("4")
    work = found["multiply_adds"]["timestep"] + found["multiply_adds"]["softmax"]
    rows, dense = 250 * 2, found["parameters"]["total"] - found["parameters"]["experts"]
    exchanged = 3 / 4 * (4 * rows * 32 * 4 + 8 * 4)
    reduced = 2 * 3 / 4 * dense * 4
    wanted = {"compute": 6 * work * 750 / 1e10, "update": 0,
              "exchange": 3 * (5 * 3 * 1e-5 + exchanged / 1e9), "exchange_bytes": 3 * exchanged,
              "reduce": 6e-5 + reduced / 1e9, "reduce_bytes": reduced}
    wanted["total"] = sum(wanted[name] for name in ("compute", "update", "exchange", "reduce"))
    wanted["tokens_a_second"] = 3000 / wanted["total"]
    for name, value in wanted.items():
        expect(abs(time_4[name] - value) <= 1e-9 * value, f"{name}: {value} wanted: {time_4}")
    alone = time_of("1")[1]
    expect(alone["exchange"] == alone["reduce"] == 0 and alone["compute"] == 4 * wanted["compute"],
           f"one rank: {alone}")
    memory = found["memory_bytes"][0]["training"]
    update = time_of("4", "--memory=1e9")[1]["update"]
    moved = 2 * memory["values"] + 3 * memory["gradients"] + 2 * memory["moments"]
    expect(abs(update - moved / 1e9) <= 1e-9 * update, f"{moved} bytes wanted: {update}")
    # In two stages, 8 nodes of 8: 21 messages for 63, not quite twice the bytes.
    flat, staged = (time_of("64", f"--node={n}")[1]["exchange"] for n in (1, 8))
    batch = (1000 / 64 * 2 * 32 * 4 * 4 + 32) / 1e9
    expect(abs(flat - 3 * (5 * 63e-5 + 63 / 64 * batch)) < 1e-9, f"flat: {flat}")
    expect(abs(staged - 3 * (5 * 21e-5 + 14 / 8 * batch)) < 1e-9, f"in stages: {staged}")


def test_small_and_quick(bench):
    """137 billion parameters in little memory and under a second."""
    start_s = time.monotonic()
    plan(bench, "-c", recipe("lm-100b-moe-131072-h"), "--ranks", "1,2,4,8,16,32,64,128")
    expect(time.monotonic() - start_s < 1, f"{time.monotonic() - start_s} s")
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    expect(peak_kib < 256 * 1024, f"{peak_kib} KiB")


def test_text(bench):
    """The text shows the numbers of the JSON."""
    arguments = ["-c", recipe("wmt14-en-fr-moe-2048"), "--ranks", "64"]
    found = plan(bench, *arguments)
    result = bench.run("plan", *arguments)
    text = result.out.decode()
    expect(result.code == 0 and result.err == "", str(result))
    for part in found["parts"]:
        line = f"{part['name']:24} {part['parameters']:15d} {part['source_multiply_adds']:15.0f} " \
               f"{part['target_multiply_adds']:15.0f}\n"
        expect(line in text, f"{line!r} wanted in:\n{text}")
    for number in (found["parameters"]["experts"], found["multiply_adds"]["timestep"]):
        expect(f" {number:.0f} " in text, f"{number} wanted in:\n{text}")
    total = found["memory_bytes"][0]["training"]["total"] / 2 ** 20
    expect(f" {total:.0f}\n" in text, f"{total} MiB wanted in:\n{text}")


def test_wrong_use(bench):
    for ranks in ("0", "", "1,", "x", "1,x", "-3", "1 2", "99999999999999999999", "1000001"):
        expect_error(bench.run("plan", "--ranks=" + ranks), 2, "--ranks", f"'{ranks}'")
    expect_error(bench.run("plan", "--ranks=" + ",".join(["1"] * 33)), 2, "--ranks", "32")
    expect_error(bench.run("plan", "--bandwidth=0"), 2, "--bandwidth")
    expect_error(bench.run("plan", "-c", "nosuch"), 1, "nosuch")
    expect_error(bench.run("plan", "model.moe.top_k=17"), 2, "model.moe.top_k")
    expect_error(bench.run("plan", "--json", "model.dim=0"), 2, "model.dim")


if __name__ == "__main__":
    main([value for name, value in list(globals().items()) if name.startswith("test_")])
