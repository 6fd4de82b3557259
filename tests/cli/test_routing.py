#!/usr/bin/env python3
"""mixt info --routing: counts that add up, typical tokens by brute force, heat maps, wrong use.

Usage: test_routing.py MIXT [--only NAME] [--seed N]
"""
import base64
import collections
import json
import math
import os
import struct
import xml.etree.ElementTree
import zlib

from harness import expect, expect_error, main

ALL = ["--top", "10000", "--experts", "100"]


def trained(bench, *settings):
    """A tiny model, and a text that its batches do not fill evenly."""
    bench.write_config(steps=8, every=8)
    bench.write_corpus(n_train=100, n_valid=70)
    bench.train("run", *settings)
    lines = bench.read("valid.src").decode().splitlines()
    lines[3] = ""
    lines[5] = "\u00e9 ba"  # an unknown character
    bench.write("in.src", "".join(line + "\n" for line in lines))


def routing(bench, *arguments):
    result = bench.run("info", "--routing", "--json", "run", *arguments)
    expect(result.code == 0, str(result))
    return json.loads(result.out)


def pieces_of(bench, name):
    """The pieces of each line of a text, with the end."""
    bench.write("joint.model", subword_of(bench))
    result = bench.run("subword", "encode", "-m", "joint.model", stdin=bench.read(name))
    expect(result.code == 0, str(result))
    return [["<unk>" if "\u00e9" in piece else piece for piece in line.split()] + ["</s>"]
            for line in result.out.decode().splitlines()]


def subword_of(bench):
    """The subword model that the model's file carries."""
    with open(bench.path("run", "best.safetensors"), "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        metadata = json.loads(file.read(size))["__metadata__"]
    return base64.b64decode(metadata["subword"])


def variation(values):
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) / mean


def entropy(values):
    total = sum(values)
    return -sum(value / total * math.log(value / total) for value in values if value > 0)


def close(left, right):
    return abs(left - right) <= 1e-5 * (1 + abs(right))


def check_layer(layer, sentences, is_normalized, top_k=None):
    """Everything that a layer reports, from the list of all its choices."""
    tokens = collections.defaultdict(dict)
    for entry in layer["typical"]:
        for token in entry["tokens"]:
            at = (token["line"], token["position"])
            expect(entry["expert"] not in tokens[at], f"{at} twice at {entry['expert']}")
            tokens[at][entry["expert"]] = token["weight"]
            line = sentences[token["line"] - 1]
            piece = line[token["position"] - 1]
            expect(token["piece"] == piece, f"{piece!r} wanted: {token}")
            expect(f"[{piece.lstrip(chr(0x2581))}]" in token["context"], str(token))
    n_tokens = sum(map(len, sentences))
    load, importance = [0] * layer["experts"], [0.0] * layer["experts"]
    for weights in tokens.values():
        for expert, weight in weights.items():
            load[expert] += 1
            importance[expert] += weight
        expect(not is_normalized or close(sum(weights.values()), 1), f"weights {weights}")
        expect(top_k is None or len(weights) == top_k, f"{len(weights)} experts of a token")
    name = layer["name"]
    expect(layer["tokens"] == n_tokens, f"{name}: {n_tokens} tokens wanted: {layer['tokens']}")
    expect(layer["unrouted"] == n_tokens - len(tokens), f"{name}: unrouted {layer['unrouted']}")
    expect(layer["load"] == load and layer["choices"] == sum(load), f"{name}: {load} wanted")
    for wanted, found in [
            *zip(importance, layer["importance"]), (variation(load), layer["load_cv"]),
            (variation(importance), layer["importance_cv"]), (entropy(load), layer["load_entropy"]),
            (max(load) * len(load) / sum(load), layer["largest_load"]),
            (sum(entropy(list(weights.values())) for weights in tokens.values()) / len(tokens),
             layer["gate_entropy"])]:
        expect(close(found, wanted), f"{name}: {found}, not {wanted}")
    expect(layer["dead_experts"] == sum(n < 0.01 * sum(load) / len(load) for n in load), name)


def check_all(bench, is_normalized=True, top_k=None):
    sources, targets = pieces_of(bench, "in.src"), pieces_of(bench, "valid.trg")
    inputs = [["<s>"] + line[:-1] for line in targets]
    found = routing(bench, "in.src", "valid.trg", *ALL)
    expect(found["lines"] == len(sources), str(found["lines"]))
    expect([layer["name"] for layer in found["layers"]] == ["encoder.1.moe", "decoder.1.moe"],
           str([layer["name"] for layer in found["layers"]]))
    for layer, sentences in zip(found["layers"], (sources, inputs)):
        check_layer(layer, sentences, is_normalized, top_k)
    return found


def test_counts(bench):
    trained(bench)
    found = check_all(bench, top_k=2)
    alone = routing(bench, "in.src", *ALL)
    expect(alone["layers"] == found["layers"][:1], "the encoder depends on the target")


def test_other_gates(bench):
    for number, (settings, is_normalized, top_k) in enumerate((
            (["model.moe.experts=[3, 4]", "model.moe.top_k=[2, 3]"], True, 6),
            (["model.moe.gate=switch", "model.moe.top_k=1"], False, 1),
            (["model.moe.gate=[balanced, softmax]", "model.moe.experts=[3, 2]",
              "model.moe.top_k=[1, 2]"], True, None),
            (["model.moe.expert.type=lstm", "model.moe.top_k=3"], True, 3))):
        if number:
            os.rename(bench.path("run"), bench.path(f"run{number}"))
        trained(bench, *settings)
        check_all(bench, is_normalized, top_k)


def test_language_model(bench):
    bench.write_config(steps=8, every=8)
    bench.write_corpus(n_train=100, n_valid=70)
    config = bench.read("tiny.yaml").decode()
    config = config.replace("[train.src, train.trg]", "[train.src]")
    config = config.replace("[valid.src, valid.trg]", "[valid.src]")
    config = config.replace("[encoder.1, decoder.1]", "[encoder.1]")
    config = config.replace("model:\n", "model:\n  type: lm\n")
    bench.write("tiny.yaml", config)
    bench.train("run")
    sentences = [["<s>"] + line[:-1] for line in pieces_of(bench, "valid.src")]
    found = routing(bench, "valid.src", *ALL)
    check_layer(found["layers"][0], sentences, True, 2)
    expect_error(bench.run("info", "--routing", "run", "valid.src", "valid.trg"), 2, "one text")


def test_top(bench):
    """The first of all typical tokens, of the experts with most tokens."""
    trained(bench)
    every = routing(bench, "in.src", "valid.trg", *ALL)
    for top, experts in ((3, 2), (1, 100), (0, 3), (7, 0)):
        some = routing(bench, "in.src", "valid.trg", "--top", str(top), "--experts", str(experts))
        for all_of, layer in zip(every["layers"], some["layers"]):
            ranked = sorted(range(layer["experts"]), key=lambda e: (-layer["load"][e], e))
            expect([entry["expert"] for entry in layer["typical"]] == ranked[:experts], str(ranked))
            for entry, wanted in zip(layer["typical"], all_of["typical"]):
                order = sorted(wanted["tokens"],
                               key=lambda t: (-t["weight"], t["line"], t["position"]))
                expect(wanted["tokens"] == order, "not in order")
                expect(entry["tokens"] == order[:top], f"{order[:top]} wanted: {entry['tokens']}")


def test_text(bench):
    trained(bench)
    layer = routing(bench, "in.src", "--top", "2")["layers"][0]
    result = bench.run("info", "--routing", "run", "in.src", "--top", "2", "--experts", "3")
    text = result.out.decode()
    expect(result.code == 0, str(result))
    wanted = [f"encoder.1.moe: 4 experts, {layer['tokens']} tokens, 2.00 experts a token\n",
              f"CV {layer['load_cv']:.4f}", f"CV {layer['importance_cv']:.4f}",
              "and 1 experts more"]
    for entry in layer["typical"][:3]:
        expert = entry["expert"]
        wanted.append(f"expert {expert}: {layer['load'][expert]} tokens")
        wanted += [f"    {token['weight']:.4f}  {token['context']}\n" for token in entry["tokens"]]
    for part in wanted:
        expect(part in text, f"{part!r} wanted in:\n{text}")


def test_plot(bench):
    trained(bench)
    for name in ("map.svg", "map.png"):
        result = bench.run("info", "--routing", "run", "in.src", "valid.trg", "--plot", name)
        if result.code == 2 and "without cairo" in result.err:
            expect_error(result, 2, name)
            expect(not os.path.exists(bench.path(name)), "a plot without cairo")
            return
        expect(result.code == 0 and result.out, str(result))
    root = xml.etree.ElementTree.fromstring(bench.read("map.svg"))
    expect(root.tag == "{http://www.w3.org/2000/svg}svg", root.tag)
    image = bench.read("map.png")
    expect(image[:8] == b"\x89PNG\r\n\x1a\n", "no PNG")
    width, height, depth, kind = struct.unpack(">IIBB", image[16:26])
    data, at = b"", 8
    while at < len(image):
        size, name = struct.unpack(">I4s", image[at:at + 8])
        data += image[at + 8:at + 8 + size] if name == b"IDAT" else b""
        at += 12 + size
    expect((depth, kind) == (8, 2) and len(zlib.decompress(data)) == height * (1 + 3 * width),
           f"{width} x {height}, {depth} bits, kind {kind}")
    expect(not [name for name in os.listdir(bench.folder) if "tmp" in name], "a temporary file")


def test_wrong_use(bench):
    trained(bench)
    bench.write("short.trg", "ba\n")
    for arguments, code, parts in (
            (["run"], 2, ["text"]), (["nosuch", "in.src"], 1, ["nosuch"]),
            (["run", "nosuch"], 1, ["nosuch"]),
            (["run", "in.src", "short.trg"], 3, ["short.trg", "1 lines", "in.src"]),
            (["run", "in.src", "--check"], 2, ["--routing"]),
            (["run", "in.src", "--to", "de"], 2, ["'de'"]),
            (["run", "in.src", "--top", "-1"], 2, ["--top"])):
        expect_error(bench.run("info", "--routing", *arguments), code, *parts)
    expect_error(bench.run("info", "run", "in.src"), 2, "in.src")
    expect_error(bench.run("info", "run", "--json"), 2, "--json")
    result = bench.run("info", "--routing", "run", "in.src", "--plot", "map.txt")
    expect_error(result, 2, "map.txt")
    result = bench.run("info", "--routing", "run", "in.src", "--plot", "nosuch/map.svg")
    expect(result.code == (2 if "without cairo" in result.err else 1) and result.out == b"",
           str(result))
    bench.write("empty", "")
    empty = routing(bench, "empty")["layers"][0]
    expect(empty["tokens"] == 0 and empty["load"] == [0] * 4 and empty["load_cv"] == 0, str(empty))
    bench.train("dense", "model.moe.after=[]")
    expect_error(bench.run("info", "--routing", "dense", "in.src"), 2, "dense", "mixture")


if __name__ == "__main__":
    main([value for name, value in list(globals().items()) if name.startswith("test_")])
