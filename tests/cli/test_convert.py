#!/usr/bin/env python3
"""Models in int8: what 'mixt convert' writes, what the other verbs make of it, and what is refused.

Usage: test_convert.py MIXT [--only NAME] [--seed N]
"""
import json
import os
import struct

from harness import ENVIRONMENT, expect, expect_error, main

SIZES = {"F32": 4, "I8": 1}
# What oneDNN may use, and so the kernels of int8: the fastest, then VNNI, AVX2 and plain C.
VECTORS = ["ALL", "AVX512_CORE_VNNI", "AVX2", "SSE41"]


def train_model(bench):
    """A model that has learnt enough for its outputs to differ and to end."""
    bench.write_corpus(n_train=600)
    bench.write_config(steps=150, every=150, batch_tokens=600, threads=2, dim=40)
    bench.train()


def convert(bench, model="run", name="int8.safetensors"):
    result = bench.run("convert", "-m", model, "--dtype", "int8", name)
    expect(result.code == 0 and result.out == b"", f"convert: {result}")
    return bench.path(name)


def read(path):
    """Metadata, and name -> (type, shape, offset in the file, bytes)."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = (entry["dtype"], entry["shape"], first, data[first:last])
        count = SIZES[entry["dtype"]]
        for size in entry["shape"]:
            count *= size
        expect(count == last - first, f"{name}: {entry}")
    return metadata, tensors


def translate(bench, model, text, *arguments, vectors="ALL"):
    environment = dict(ENVIRONMENT)
    if vectors != "ALL":
        environment["ONEDNN_MAX_CPU_ISA"] = vectors
    result = bench.run("translate", "-m", model, *arguments, stdin=text, env=environment)
    expect(result.code == 0, f"{model} {arguments}: {result}")
    return result.out.splitlines()


def check_matrix(value, shape, blocks, scales, is_transposed):
    """Each number of a matrix is within half a step of what its block and scale say."""
    values = struct.unpack(f"<{len(value) // 4}f", value)
    scale = struct.unpack(f"<{len(scales) // 4}f", scales)
    n_in, n_out = (shape[1], shape[0]) if is_transposed else shape
    depth = (n_in + 63) // 64 * 64
    for j in range(n_out):
        for i in range(n_in):
            at = j // 16 * 16 * depth + i // 4 * 64 + j % 16 * 4 + i % 4
            (q,) = struct.unpack_from("<b", blocks, at)
            wanted = values[j * n_in + i if is_transposed else i * n_out + j]
            expect(abs(q * scale[j] - wanted) <= 0.5001 * scale[j] and abs(q) <= 127,
                   f"input {i}, column {j}: {wanted} became {q} * {scale[j]}")


def test_file(bench):
    """Any reader opens it, its blocks start at multiples of 64, and they hold the matrices."""
    train_model(bench)
    metadata, tensors = read(convert(bench))
    expect("dtype: int8" in metadata["config"], metadata["config"])
    _, before = read(bench.path("run", "best.safetensors"))
    rounded = [name for name in before if name + ".blocks" in tensors]
    expect(len(rounded) > 20, f"only {rounded}")
    for name, (kind, shape, offset, data) in tensors.items():
        if kind == "I8":
            expect(name.endswith(".blocks") and offset % 64 == 0, f"{name} at {offset}")
        elif not name.endswith(".scales"):
            expect(before[name][1:2] + before[name][3:] == (shape, data), f"{name} has changed")
    for name in before:
        kept = "gate" in name or "bias" in name or name.endswith(".v") or "embedding" in name
        expect((name in tensors) == kept and (name in tensors or name in rounded), name)
    for name in ("encoder.1.forward.projection", "decoder.readout.weight", "embedding.shared"):
        _, shape, _, value = before[name]
        check_matrix(value, shape, tensors[name + ".blocks"][3], tensors[name + ".scales"][3],
                     name == "embedding.shared")
    again = convert(bench, name="again.safetensors")
    with open(again, "rb") as one, open(bench.path("int8.safetensors"), "rb") as other:
        expect(one.read() == other.read(), "two conversions differ")


def test_translate(bench):
    """The same bytes for any batch, threads and vector unit, and nearly those of f32."""
    train_model(bench)
    model = convert(bench)
    lines = [bench.sentence(longest=12)[0] for _ in range(400)]
    text = "".join(line + "\n" for line in lines).encode()
    wanted = translate(bench, model, text)
    for arguments in (["--batch-tokens", "1"], ["--batch-tokens", "4000"], ["--threads", "1"],
                      ["--threads", "2", "--batch-tokens", "200"]):
        found = translate(bench, model, text, *arguments)
        expect(found == wanted, f"{arguments}: {sum(a != b for a, b in zip(found, wanted))} lines")
    for vectors in VECTORS[1:]:
        fewer = text[:text.index(b"\n", 2000) + 1]
        found = [translate(bench, model, fewer, *arguments, vectors=vectors)
                 for arguments in (["--batch-tokens", "1"], ["--threads", "2"])]
        expect(found[0] == found[1], f"{vectors}: the batch changes translations")
    f32 = translate(bench, "run", text)
    n_same = sum(a == b for a, b in zip(f32, wanted))
    expect(n_same > 0.9 * len(lines), f"only {n_same} of {len(lines)} lines as in f32")
    expect(len(set(wanted)) > len(lines) / 4, "too few different translations: a poor test")


def test_other_verbs(bench):
    train_model(bench)
    model = convert(bench)
    bench.write("some.src", "ba de\n")
    bench.write("some.trg", "ed ab\n")
    scores = [float(bench.run("score", "-m", name, "some.src", "some.trg").out)
              for name in ("run", model)]
    expect(abs(scores[0] - scores[1]) < 0.05 * abs(scores[0]) + 0.1, f"scores {scores}")
    result = bench.run("info", "--check", model)
    expect(result.code == 0 and b"matrices in int8" in result.out, f"info: {result}")
    result = bench.run("info", "--routing", model, "some.src")
    expect(result.code == 0, f"routing: {result}")
    sizes = [json.loads(bench.run("plan", "-c", "tiny.yaml", "--json", f"model.dtype={dtype}",
                                  "model.dim=256").out) for dtype in ("f32", "int8")]
    expect(sizes[0] != sizes[1], "the plan does not know of int8")


def test_refusals(bench):
    train_model(bench)
    model = convert(bench)
    expect_error(bench.run("convert", "-m", model, "--dtype", "int8", "x"), 3, "already")
    expect_error(bench.run("convert", "-m", "run", "x"), 2, "--dtype")
    expect_error(bench.run("convert", "--dtype", "int8", "x"), 2, "model")
    expect_error(bench.run("convert", "-m", "run", "--dtype", "int4", "x"), 2, "int8")
    expect_error(bench.run("convert", "-m", "none", "--dtype", "int8", "x"), 1, "none")
    expect_error(bench.run("convert", "-m", "run", "--dtype", "int8", "none/x"), 1, "none/x")
    expect_error(bench.run("train", "-c", "tiny.yaml", "save.dir=other", "model.dtype=int8"), 2,
                 "model.dtype", "convert")
    expect(not os.path.exists(bench.path("x")), "a refused conversion left a file")


def test_damage(bench):
    """A changed byte of any kind of tensor is seen when the model is opened."""
    train_model(bench)
    with open(convert(bench), "rb") as file:
        good = file.read()
    _, tensors = read(bench.path("int8.safetensors"))
    for name in ("encoder.1.moe.expert.up.blocks", "encoder.1.moe.expert.up.scales",
                 "output.bias"):
        bad = bytearray(good)
        bad[tensors[name][2] + 5] ^= 1
        with open(bench.path("bad.safetensors"), "wb") as file:
            file.write(bad)
        expect_error(bench.run("translate", "-m", "bad.safetensors", stdin=b"ba\n"), 3, name)
        expect_error(bench.run("info", "--check", "bad.safetensors"), 3, name)
    with open(bench.path("bad.safetensors"), "wb") as file:
        file.write(good[:-100])
    expect_error(bench.run("translate", "-m", "bad.safetensors", stdin=b"ba\n"), 3, "bad")
    source = bytearray(open(bench.path("run", "best.safetensors"), "rb").read())
    source[-3] ^= 1
    with open(bench.path("damaged.safetensors"), "wb") as file:
        file.write(source)
    expect_error(bench.run("convert", "-m", "damaged.safetensors", "--dtype", "int8", "x"), 3,
                 "damaged")


if __name__ == "__main__":
    main([test_file, test_translate, test_other_verbs, test_refusals, test_damage])
