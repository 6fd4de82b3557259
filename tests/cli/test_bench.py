#!/usr/bin/env python3
"""mixt bench and train.profile as their users meet them: figures that fit together, not speeds.

Usage: test_bench.py MIXT [--only NAME] [--seed N]
"""
import itertools
import json
import math
import os
import subprocess
import sys

from harness import ENVIRONMENT, expect, expect_error, main

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "comm"))
import ranks  # noqa: E402

# A shape that takes milliseconds.
TINY = ["data.subword.size=300", "model.dim=32", "model.encoder.hidden=48",
        "model.decoder.hidden=48", "model.moe.experts=8", "model.moe.expert.hidden=64"]
QUICK = ["--seconds", "0.01", "--sentences", "8", "--length", "6", "--threads", "1"]


def bench_rows(bench, verb, *arguments):
    """The report and its rows by name, all of them plausible."""
    result = bench.run("bench", verb, "--json", *QUICK, *arguments, *TINY)
    expect(result.code == 0, f"bench {verb}: {result}")
    report = json.loads(result.out)
    expect(report["verb"] == verb and report["threads"] == 1, report)
    peak = report["peak"]
    expect(1 < peak["f32_gflops"] < 1e5 and 0.1 < peak["read_gbs"] < 1e4, peak)
    expect(0.1 < peak["copy_gbs"] < 1e4, peak)
    names = [row["name"] for row in report["rows"]]
    expect(len(set(names)) == len(names) > 0, f"names differ: {names}")
    for row in report["rows"]:
        expect(row["seconds"] > 0 and row["rate"] > 0 and row["calls"] >= 1, row)
        expect(0 < row["of_peak"] < (100 if row["unit"] == "GB/s" else 20), row)
        expect(1e6 < row["peak_memory_bytes"] < 4e9, row)
    return report, {row["name"]: row for row in report["rows"]}


def test_operations(bench):
    _, rows = bench_rows(bench, "op")
    for product in ("lstm input", "lstm step", "lstm projection", "experts up", "experts down",
                    "softmax", "attention scores"):
        for direction in ("forward", "backward", "gradient"):
            expect(rows[f"{product} {direction}"]["unit"] == "GF/s", rows)
    for name in ("embed", "attention_softmax", "top_k of words", "cross_entropy", "adam", "dropout",
                 "gate_noise", "dispatch"):
        expect(rows[name]["unit"] == "GB/s", rows)
    # [48, 32] times [32, 192], by hand.
    row = rows["lstm input forward"]
    expect(abs(row["rate"] * row["seconds"] / (2e-9 * 48 * 32 * 192) - 1) < 1e-6, row)
    report, chosen = bench_rows(bench, "op", "--only", "softmax", "--compute", "bf16")
    expect(report["device"] == "cpu_bf16" and report["peak"]["bf16_gflops"] > 1, report)
    expect(sorted(chosen) == ["attention_softmax", "softmax backward", "softmax forward",
                              "softmax gradient"], sorted(chosen))


def test_fastest_compute(bench):
    """auto: what the processor has, as the system names it, below what oneDNN is allowed."""
    with open("/proc/cpuinfo", encoding="ascii") as file:
        has = set(next((line for line in file if line.startswith("flags")), "").split())
    amx = "cpu_bf16" if {"amx_bf16", "avx512_bf16"} <= has else "cpu"
    half = "cpu_fp16" if {"avx512_fp16", "avx512_bf16"} <= has else "cpu"
    for most, wanted in (("ALL", amx if amx != "cpu" else half), ("AVX512_CORE_BF16", half),
                         ("AVX512_CORE", "cpu")):
        result = bench.run("bench", "op", "--json", *QUICK, "--only", "softmax", "--compute",
                           "auto", *TINY, env={**ENVIRONMENT, "ONEDNN_MAX_CPU_ISA": most})
        expect(result.code == 0, str(result))
        report = json.loads(result.out)
        expect(report["device"] == wanted, f"{most}: {wanted} wanted, not {report['device']}")
        expect(wanted == "cpu" or report["peak"][wanted[4:] + "_gflops"] > 1, report)


def test_layers(bench):
    _, rows = bench_rows(bench, "layer")
    expect(sorted(rows) == ["attention backward", "attention forward", "lstm backward",
                            "lstm forward", "mixture backward", "mixture forward",
                            "softmax forward", "softmax forward and backward"], sorted(rows))
    for name in ("lstm", "attention", "mixture"):
        forward, backward = rows[name + " forward"], rows[name + " backward"]
        expect(abs(backward["rate"] * backward["seconds"] /
                   (2 * forward["rate"] * forward["seconds"]) - 1) < 1e-6, f"{name}: {rows}")


def test_training(bench):
    """An update's products are those that mixt plan counts, and those of bench op."""
    _, rows = bench_rows(bench, "train")
    update, products = rows["update"], rows["products alone"]
    expect(abs(update["rate"] * update["seconds"] - 2 * 8 * 6) < 1e-6, update)
    flops = update["model_gflops"] * update["seconds"]
    expect(abs(products["rate"] * products["seconds"] / flops - 1) < 1e-6, rows)
    expect(abs(update["of_products"] * products["rate"] / update["model_gflops"] - 1) < 1e-6, rows)
    _, operations = bench_rows(bench, "op")
    sum_of_operations = sum(row["rate"] * row["seconds"] * row["calls_an_update"]
                            for row in operations.values() if row["unit"] == "GF/s")
    expect(abs(sum_of_operations / flops - 1) < 1e-6, f"{sum_of_operations} and {flops}")


def test_decoding(bench):
    _, rows = bench_rows(bench, "decode")
    expect(list(rows) == ["batches, beam 1", "batches, beam 5", "one sentence, beam 1",
                          "one sentence, beam 5"], list(rows))
    for name, row in rows.items():
        sentences = 8 if name.startswith("batches") else 1
        expect(abs(row["rate"] * row["seconds"] - sentences) < 1e-6, row)
    two = bench.run("bench", "decode", "--json", *QUICK[:-1], "2", "--only", "beam 1", *TINY)
    row = json.loads(two.out)["rows"][0]
    expect(abs(row["rate"] * row["seconds"] - 16) < 1e-6, f"a batch for each of 2 threads: {row}")


def test_experts(bench):
    _, rows = bench_rows(bench, "moe")
    expect(list(rows) == [f"{n} experts" for n in (4, 16, 64, 256, 1024)], list(rows))
    first = rows["4 experts"]
    expect(first["against_first"] == 1, first)
    for row in rows.values():
        expect(0 < row["gate_share"] < 1, row)
        expect(abs(row["against_first"] * first["seconds"] / row["seconds"] - 1) < 1e-6, row)
    _, one = bench_rows(bench, "moe", "--experts", "5")
    expect(list(one) == ["5 experts"], list(one))
    two_levels = [*TINY, "model.moe.experts=[4, 8]", "model.moe.top_k=[2, 2]"]
    result = bench.run("bench", "moe", "--json", *QUICK, *two_levels)
    expect(result.code == 0, str(result))
    names = [row["name"] for row in json.loads(result.out)["rows"]]
    expect(names == ["4 x 8 experts"], names)


def test_table(bench):
    result = bench.run("bench", "op", *QUICK, "--only", "readout", *TINY)
    lines = result.out.decode().splitlines()
    expect(result.code == 0 and lines[1].startswith("peak: products "), str(result))
    expect([line.split()[:2] for line in lines[-3:]] ==
           [["readout", "forward"], ["readout", "backward"], ["readout", "gradient"]], str(result))
    expect("MB peak" in result.err, str(result))


def test_make(bench):
    """A file of random weights is a model: the same bytes again, and it translates."""
    made = ["bench", "make", "--make", "a.safetensors", *TINY]
    result = bench.run(*made)
    expect(result.code == 0 and "300 pieces" in result.err, str(result))
    first = bench.read("a.safetensors")
    bench.write("shape.yaml", "model: {dim: 32}\n")
    expect(bench.run(*made, "-c", "shape.yaml").code == 0 and bench.read("a.safetensors") == first,
           "equal arguments must give equal bytes")
    expect(bench.run(*made, "--seed", "2").code == 0 and bench.read("a.safetensors") != first,
           "another seed must give other weights")
    translated = bench.run("translate", "-m", "a.safetensors", "--threads", "1",
                           stdin=b"bade gota mu\n\nko\n")
    lines = translated.out.split(b"\n")
    expect(translated.code == 0 and len(lines) == 4 and lines[0] and not lines[1], translated)
    routing = bench.run("info", "--routing", "--json", "a.safetensors", bench.write(
        "text", "ba de gota mu fikela bo\n" * 9), "text")
    loads = [layer["load"] for layer in json.loads(routing.out)["layers"]]
    expect(all(sum(load > 0 for load in layer) > 2 for layer in loads),
           f"gates must tell tokens apart: {loads}")
    expect_error(bench.run("bench", "--make", "none/a.safetensors", *TINY), 1, "none/a.safetensors")
    expect_error(bench.run("bench", "--make", "a.safetensors", "model.dim=none"), 2, "model.dim")
    expect_error(bench.run("bench", "-c", "shape.yaml"), 2, "--make FILE")


def test_make_balanced(bench):
    """Balanced gates have thresholds by which a token goes to about top_k experts, in int8, too."""
    bench.write("text", "ba de gota mu fikela bo\nzepi vuditi\nko nami\n" * 30)
    settings = [*TINY, "model.moe.gate=balanced", "model.moe.experts=[8, 16]",
                "model.moe.top_k=[2, 2]", "model.moe.after=[encoder.1, decoder.1]"]
    for dtype in "f32", "int8":
        result = bench.run("bench", "make", "--make", "b.safetensors", *settings,
                           f"model.dtype={dtype}")
        expect(result.code == 0, str(result))
        routing = bench.run("info", "--routing", "--json", "b.safetensors", "text", "text")
        for layer in json.loads(routing.out)["layers"]:
            expect(2.5 < layer["choices"] / layer["tokens"] < 6, layer)


def test_nonsense(bench):
    expect_error(bench.run("bench"), 2, "bench wants a verb")
    expect_error(bench.run("bench", "opp"), 2, "'opp'", "did you mean 'op'?")
    for arguments, part in ((["--shape", "w3"], "--shape"), (["--compute", "int4"], "--compute"),
                            (["--threads", "-1"], "--threads"), (["--seconds", "x"], "--seconds"),
                            (["--sentences", "0"], "--sentences"), (["model.dimm=3"], "dimm"),
                            (["model.type=lm"], "translators"), (["--fast"], "--fast"),
                            (["--only", "none", *QUICK], "'none'")):
        expect_error(bench.run("bench", "op", *arguments), 2, part)
    for arguments in (["bench", "--help"], ["bench", "moe", "--help"], ["bench", "make", "--help"]):
        result = bench.run(*arguments)
        expect(result.code == 0 and b"Usage: mixt bench" in result.out, f"{arguments}: {result}")


def test_profile(bench):
    """The phases of a run are the whole of it, and nothing is told where nobody asks."""
    bench.write_corpus(n_train=100)
    bench.write_config(dim=64, steps=8, every=4)
    result = bench.train("run", "train.profile=true")
    metrics = [json.loads(line) for line in bench.read("run", "metrics.jsonl").splitlines()]
    windows = [line for line in metrics if line["type"] == "profile"]
    expect([(w["step"], w["steps"]) for w in windows] == [(4, 4), (8, 4)], windows)
    for window in windows:
        phases = dict(window["phases"])
        phases.pop("save")
        phases.pop("validation")
        expect(abs(sum(phases.values()) - window["seconds"]) < 1e-6, window)
        expect(phases["other"] < 0.03 * window["seconds"], window)
        for name in ("batch", "encoder", "decoder", "attention", "gate", "dispatch", "experts",
                     "output"):
            expect(phases[name] > 0 and (name == "batch" or phases[name + " backward"] > 0), name)
        for name in ("optimizer", "pack weights", "report"):
            expect(phases[name] > 0, name)
    expect(windows[1]["phases"]["validation"] > 0 and windows[1]["phases"]["save"] > 0, windows)
    expect("profile: 8 updates of" in result.err and "experts backward" in result.err, str(result))
    quiet = bench.train("quiet")
    expect("profile" not in quiet.err and b"profile" not in bench.read("quiet", "metrics.jsonl"),
           str(quiet))
    model = bench.read("run", "best.safetensors")
    expect(model == bench.read("quiet", "best.safetensors"), "timing must not change the model")


def squared_error(points, n_ranks, latency, per_byte):
    """Of the relative errors of (n - 1) latencies and (n - 1) / n of the bytes."""
    return sum(((n_ranks - 1) * (latency + per_byte * b / n_ranks) / s - 1) ** 2
               for b, s in points)


def expect_best_fit(found, n_ranks):
    """No latency and time a byte from 0 on that are near the found ones fit what was measured
    better; a bandwidth that is not known is no time a byte."""
    points = [(size["bytes"], size["exchange_seconds"]) for size in found["sizes"]]
    latency, per_byte = found["latency_s"], 1 / (found["bandwidth"] or math.inf)
    expect(latency >= 0 and per_byte >= 0 and latency + per_byte > 0, found)
    least = squared_error(points, n_ranks, latency, per_byte)
    slowest = max(s for _, s in points)
    for move in (1e-3, 1e-2, 0.1):
        for i, k in itertools.product((-1, 0, 1), repeat=2):
            other = (max(0, latency + i * move * slowest),
                     max(0, per_byte + k * move * slowest / points[-1][0]))
            expect(squared_error(points, n_ranks, *other) >= least * (1 - 1e-9), (other, found))


def test_comm(bench):
    """Alone, and on two ranks under each MPI that is there; the numbers fit what was measured.
    Messages of one size say nothing of the bandwidth."""
    command = ["bench", "comm", "--json", "--seconds=0.01"]
    alone = bench.run(*command, "--bytes=300000")
    expect(alone.code == 0 and json.loads(alone.out)["ranks"] == 1, str(alone))
    sizes = [size["bytes"] for size in json.loads(alone.out)["sizes"]]
    expect(sizes == [1024, 4096, 16384, 65536, 262144], sizes)
    folder = os.path.dirname(bench.program)
    for name, most in itertools.product(ranks.usable_libraries(folder), (1024, 4096, 300000)):
        done = subprocess.run([*ranks.command_start(name), "-n", "2", bench.program, *command,
                               f"--bytes={most}"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=100,
                              env=ranks.environment(folder))
        expect(done.returncode == 0, f"{name}: {done}")
        found = json.loads(done.stdout)
        expect(found["ranks"] == found["node"] == 2, found)
        expect(all(size["reduce_seconds"] > 0 for size in found["sizes"]), found)
        expect_best_fit(found, 2)
        expect(most > 1024 or found["bandwidth"] is None, found)
    expect_error(bench.run("bench", "comm", "--transport=mpi"), 2, "mpirun")


if __name__ == "__main__":
    main([test_operations, test_fastest_compute, test_layers, test_training, test_decoding,
          test_experts, test_comm, test_table, test_make, test_make_balanced, test_nonsense,
          test_profile])
