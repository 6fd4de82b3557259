#!/usr/bin/env python3
"""A toy model learns on an emulated GPU what it learns on the processor: 20 updates with the same
losses, and the same translations afterwards.

Usage: test_cuda.py MIXT [--only NAME] [--seed N]; LD_LIBRARY_PATH names the folder of
libmixt-cuda-emu.so. MIXT_TEST_DEVICE names another device than cuda-emu (tests/gpu-selftest).
"""
import json
import os
import re

from harness import ENVIRONMENT, expect, main

STEPS = 20
DEVICE = os.environ.get("MIXT_TEST_DEVICE", "cuda-emu")
CLOSE = 1e-4 # of losses, relative
# A projection to fewer numbers than there are cells is what cuDNN has.
MORE_CELLS = ["model.encoder.hidden=24", "model.decoder.hidden=24"]


def losses(bench, run):
    lines = [json.loads(line) for line in bench.read(run, "metrics.jsonl").splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def compare(bench, *settings):
    bench.write_corpus(60, 4)
    bench.write_config(dim=16, batch_tokens=120, steps=STEPS, every=STEPS, size=48)
    for run, device in (("cpu", "cpu"), ("gpu", DEVICE)):
        bench.train(run, f"train.device={device}", "log.every=1", *settings)
    wanted, found = losses(bench, "cpu"), losses(bench, "gpu")
    expect(len(wanted) >= STEPS and len(found) == len(wanted), f"{wanted}\n{found}")
    for step, (a, b) in enumerate(zip(wanted, found)):
        expect(abs(a - b) <= CLOSE * abs(a), f"loss of report {step}: {b}, wanted {a}")
    lines = bench.read("valid.src")
    texts = [bench.run("translate", "-m", "cpu", "--device", device, stdin=lines)
             for device in ("cpu", DEVICE)]
    expect(all(text.code == 0 for text in texts), f"{texts[0]}\n{texts[1]}")
    expect(texts[0].out == texts[1].out and texts[0].out.count(b"\n") == 4,
           f"translations differ: {texts[0].out}\n{texts[1].out}")
    expect("computing on" in texts[1].err, texts[1])


def test_flat(bench):
    compare(bench, *MORE_CELLS)


def test_hierarchy(bench):
    compare(bench, "model.moe.experts=[2,2]", "model.moe.top_k=[2,1]")


def test_balanced(bench):
    compare(bench, "model.moe.gate=balanced")


def test_same_bytes(bench):
    """Two runs give the same model."""
    bench.write_corpus(60, 4)
    bench.write_config(dim=16, batch_tokens=120, steps=STEPS // 4, every=STEPS // 4, size=48)
    for run in ("one", "two"):
        bench.train(run, f"train.device={DEVICE}")
    expect(bench.read("one", "best.safetensors") == bench.read("two", "best.safetensors"),
           "two runs differ")


def translate_with_few(bench, hidden, dtype):
    """34 MB of experts on a device of 32 MiB, of which two workers take their part."""
    made = bench.run("bench", "make", "--make", "m.safetensors", "data.subword.size=300",
                     "model.dim=128", "model.encoder.hidden=32", "model.decoder.hidden=32",
                     "model.moe.experts=64", "model.moe.top_k=2",
                     f"model.moe.expert.hidden={hidden}", f"model.dtype={dtype}")
    expect(made.code == 0, str(made))
    command = ["translate", "-m", "m.safetensors", "--threads=2", "--batch-tokens=4"]
    text = b"ba\nde go\nku\n"
    results = [bench.run(*command, stdin=text)]
    for mib in "4096", "32":
        results.append(bench.run(*command, "--device", DEVICE, stdin=text,
                                 env={**ENVIRONMENT, "SIMT_MEMORY_MIB": mib}))
    for result in results:
        expect(result.code == 0 and result.out == results[0].out, f"{result} for {results[0]}")


def test_few_experts_in_int8(bench):
    translate_with_few(bench, 1024, "int8")


def test_few_experts_in_f32(bench):
    translate_with_few(bench, 256, "f32")


def calls():
    """1, 2, .. 30, then ever further apart: how a run begins fails call by call."""
    n = 1
    while True:
        yield n
        n += 1 if n < 30 else n // 5


def fail(bench, library):
    """Each chosen call of a library fails in a run of its own, up to a run that has fewer calls.
    Returns the number of runs that failed."""
    for n_failed, n in enumerate(calls()):
        result = bench.run("translate", "-m", "run", "--device", "cuda-emu", "-t", "1",
                           stdin=bench.read("source"),
                           env={**ENVIRONMENT, "SIMT_FAIL_CALL": str(n),
                                "SIMT_FAIL_LIBRARY": library})
        if result.code == 0:
            return n_failed
        lines = result.err.splitlines()
        expect(result.code in (1, 4) and lines and lines[-1].startswith("mixt: cuda-emu"),
               f"{library}, call {n}: {result}")
        expect("simt:" not in result.err and "Traceback" not in result.err,
               f"{library}, call {n}: {result}")


def test_failing_calls(bench):
    """The n-th call of one of NVIDIA's libraries fails: one clear line, no crash, and nothing that
    the emulator has to say."""
    bench.write_corpus(30, 2)
    bench.write_config(dim=16, batch_tokens=200, steps=1, every=1, size=48)
    bench.train("run", "train.device=cpu")
    bench.write("source", bench.read("valid.src").splitlines(True)[0])
    for library, least in (("cudart", 30), ("cublas", 30), ("cudnn", 1)):
        n_failed = fail(bench, library)
        expect(n_failed >= least, f"{library}: only {n_failed} calls could fail")


def test_failing_dnn(bench):
    """The n-th call of cuDNN fails, from the first on to those of the last layer's gradients: the
    line names the function."""
    bench.write_corpus(12, 2)
    bench.write_config(dim=16, batch_tokens=200, steps=1, every=1, size=48)
    names = set()
    for n in [1, 2, 3, 4, 6, *range(10, 17), 24, 33, *range(146, 160)]:
        result = bench.run("train", "-c", "tiny.yaml", "save.dir=run%d" % n, "model.moe.after=[]",
                           "train.device=cuda-emu", *MORE_CELLS,
                           env={**ENVIRONMENT, "SIMT_FAIL_CALL": str(n),
                                "SIMT_FAIL_LIBRARY": "cudnn"})
        found = re.search(r"^mixt: cuda-emu:0: (cudnn\w+): CUDNN_STATUS_\w+$", result.err, re.M)
        expect(result.code in (1, 4) and found, f"call {n}: {result}")
        names.add(found[1])
    for name in ("cudnnCreate", "cudnnSetRNNDescriptor_v8", "cudnnGetRNNTempSpaceSizes",
                 "cudnnGetRNNWeightParams", "cudnnRNNForward", "cudnnRNNBackwardData_v8",
                 "cudnnRNNBackwardWeights_v8"):
        expect(name in names, f"{name} is not among {sorted(names)}")


if __name__ == "__main__":
    main([value for name, value in list(globals().items()) if name.startswith("test_")])
