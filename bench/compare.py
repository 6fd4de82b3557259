#!/usr/bin/env python3
"""Runs mixt and a PyTorch model of the same shape in turn, on the same text, and prints ratios.

    bench/compare.py train  --peer DIR --python PYTHON --data DIR [--shape w2] [--compute bf16]
    bench/compare.py decode --peer DIR --python PYTHON --data DIR --model RUN --peer-model FILE

--peer is the folder of the PyTorch program (train.py, decode.py), --python an interpreter that has
torch, sentencepiece and sacrebleu, --data a folder with train.en, train.de, test_2016_flickr.en and
so on, plain text. The peer runs in its tuned form unless --peer-dtype says bf16, which it can do
only in its plain one. Speeds are source + target tokens a second in training, and sentences a
second in decoding, loading excluded on both sides. W1 trains on the text, W2 on random sentences of
32 tokens on both sides, as the peer does. Machines drift: only the ratios of one run mean
something, and only on a machine that does nothing else.
"""
import argparse
import functools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# The peer's shape W1: 26.8 million parameters, no sigmoid behind the experts, dropout 0.3.
W1 = ["data.subword.size=8000", "model.dim=256", "model.dropout=0.3", "model.encoder.hidden=512",
      "model.decoder.hidden=512", "model.moe.experts=16", "model.moe.top_k=2",
      "model.moe.expert.hidden=1024", "model.moe.output=none", "train.optimizer.clip=1.0",
      "train.schedule.warmup=300", "valid.every=1000000", "save.every=1000000"]
# Target tokens of a batch, and how the peer is told the shape; mixt's W2 is that of mixt bench.
TOKENS = {"w1": 2048, "w2": 1024}
PEER_SHAPE = {"w1": ["--shape", "w1"],
              "w2": ["--shape", "w2", "--clip", "0", "--drop", "0.1"]}
PEER_DTYPE = {"f32": [], "bf16": ["--bf16", "--lstm", "nn", "--moe", "list", "--ce", "plain"]}
W2_LENGTH = 32
MB_A_MIB = 1.048576  # the peer counts in MiB


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "decode"])
    parser.add_argument("--mixt", default=os.path.join(ROOT, "build", "tools", "mixt"))
    parser.add_argument("--peer", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shape", choices=["w1", "w2"], default="w1", help="for training")
    parser.add_argument("--experts", type=int, help="of W2 (default: 32)", default=32)
    parser.add_argument("--compute", choices=["f32", "bf16", "fp16", "auto"], default="f32",
                        help="mixt's compute type in training")
    parser.add_argument("--peer-dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=2, help="of both")
    parser.add_argument("--steps", type=int, help="to time in training (default: 20, of W2 6)")
    parser.add_argument("--tokens", type=int,
                        help="target tokens of a batch (default: 2048, of W2 1024)")
    parser.add_argument("--beam", type=int, nargs="+", default=[1, 5], help="for decoding")
    parser.add_argument("--model", help="mixt's model for decoding")
    parser.add_argument("--peer-model", help="the peer's model for decoding")
    parser.add_argument("--batch", type=int, default=128, help="the peer's sentences in a batch")
    options = parser.parse_args()
    if options.what == "decode" and not (options.model and options.peer_model):
        parser.error("decode wants --model and --peer-model")
    options.tokens = options.tokens or TOKENS[options.shape]
    options.steps = options.steps or (20 if options.shape == "w1" else 6)
    options.warm = max(2, options.steps // 2)
    return options


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done


def peer_run(options, script, extra):
    environment = dict(os.environ, PEER_DATA=options.data, PEER_RUN=options.scratch,
                       GLIBC_TUNABLES="glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold="
                                      "40000000000:glibc.malloc.top_pad=268435456")
    done = run([options.python, os.path.join(options.peer, script)] + extra, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])


def mixt_train(options):
    """Tokens a second after some steps to warm up, and peak memory in MB."""
    return (mixt_train_text if options.shape == "w1" else mixt_train_random)(options)


def mixt_train_text(options):
    directory = os.path.join(options.scratch, f"run{time.monotonic_ns()}")
    data = f"data.train=[{options.data}/train.en, {options.data}/train.de]"
    subword = os.path.join(options.scratch, "subword.model")
    if not os.path.exists(subword):
        run([options.mixt, "subword", "train", "--type", "unigram", "--size", "8000", "--coverage",
             "1", "--input", f"{options.data}/train.en,{options.data}/train.de", "--model",
             subword])
    done = run([options.mixt, "train"] + W1 +
               [data, f"data.subword.model={subword}", f"save.dir={directory}",
                f"train.steps={options.warm + options.steps}", f"train.threads={options.threads}",
                f"train.batch_tokens={options.tokens}", f"train.compute={options.compute}",
                "log.every=1"])
    with open(os.path.join(directory, "metrics.jsonl"), encoding="utf-8") as lines:
        windows = [json.loads(line) for line in lines]
    shutil.rmtree(directory)
    speeds = [w["tokens_per_second"] for w in windows
              if w["type"] == "train" and w["step"] > options.warm]
    peak = float(re.search(r"([\d.]+) MB peak", done.stderr).group(1))
    return len(speeds) / sum(1 / speed for speed in speeds), peak


def mixt_train_random(options):
    """An update is timed three times at least, and here for as long as the peer needs for its."""
    done = run([options.mixt, "bench", "train", "--json", "--shape", "w2", "--only", "update",
                "--experts", str(options.experts), "--compute", options.compute,
                "--threads", str(options.threads), "--length", str(W2_LENGTH),
                "--sentences", str(max(1, options.tokens // W2_LENGTH)),
                "--seconds", str(2 * options.steps)])
    row = json.loads(done.stdout)["rows"][0]
    return row["rate"], row["peak_memory_bytes"] / 1e6


def peer_train(options):
    experts = ["--experts", str(options.experts)] if options.shape == "w2" else []
    result = peer_run(options, "train.py",
                      PEER_SHAPE[options.shape] + PEER_DTYPE[options.peer_dtype] + experts +
                      ["--bench", str(options.steps), "--warm", str(options.warm),
                       "--tok", str(options.tokens), "--threads", str(options.threads)])
    return result["src_tgt_tok_s"], result["peak_rss_MB"] * MB_A_MIB


def mixt_decode(options, beam):
    output = os.path.join(options.scratch, "out.de")
    done = run([options.mixt, "translate", "-m", options.model, "-i",
                f"{options.data}/test_2016_flickr.en", "-o", output, "--beam", str(beam),
                "--threads", str(options.threads)])
    speed = float(re.search(r"([\d.]+) lines/s", done.stderr).group(1))
    peak = float(re.search(r"([\d.]+) MB peak", done.stderr).group(1))
    bleu = run([options.mixt, "bleu", f"{options.data}/test_2016_flickr.de", "-i", output, "-b",
                "-w", "2"])
    words = sum(len(line.split()) for line in open(output, encoding="utf-8"))
    print(f"  mixt beam {beam}: BLEU {bleu.stdout.strip()}, {words} words")
    return speed, peak


def peer_decode(options, beam):
    output = os.path.join(options.scratch, "peer.de")
    result = peer_run(options, "decode.py",
                      ["--model", options.peer_model, "--beam", str(beam), "--reps", "2",
                       "--batch", str(options.batch), "--bleu", "--out", output,
                       "--threads", str(options.threads)])
    words = sum(len(line.split()) for line in open(output, encoding="utf-8"))
    print(f"  peer beam {beam}: BLEU {result['bleu']}, {words} words")
    return result["sent_s"], result["peak_rss_MB"] * MB_A_MIB


def cases(options):
    """What is compared: a name, the unit of the speed, and the two sides."""
    if options.what == "train":
        name = (f"train {options.shape}, mixt {options.compute}, peer {options.peer_dtype}")
        return [(name, "tokens/s", mixt_train, peer_train)]
    return [(f"decode, beam {beam}", "sentences/s", functools.partial(mixt_decode, beam=beam),
             functools.partial(peer_decode, beam=beam)) for beam in options.beam]


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    options = arguments()
    results = {}
    with tempfile.TemporaryDirectory() as options.scratch:
        # The peer keeps its vocabulary beside its model.
        if options.peer_model:
            folder = os.path.dirname(os.path.abspath(options.peer_model))
            for name in os.listdir(folder):
                if name.startswith("spm_"):
                    shutil.copy(os.path.join(folder, name), options.scratch)
        for number in range(options.rounds):
            for name, unit, mixt, peer in cases(options):
                ours, our_peak = mixt(options)
                theirs, their_peak = peer(options)
                results.setdefault(name, []).append((ours / theirs, our_peak / their_peak))
                print(f"round {number + 1}, {name}: mixt {ours:.1f} {unit}, {our_peak:.0f} MB; "
                      f"peer {theirs:.1f} {unit}, {their_peak:.0f} MB; ratio "
                      f"{ours / theirs:.2f}", flush=True)
    for name, ratios in results.items():
        speeds, peaks = zip(*ratios)
        print(f"{name}: mixt / peer {spread(speeds)}, peak memory {spread(peaks)}, "
              f"{len(ratios)} rounds")


if __name__ == "__main__":
    main()
