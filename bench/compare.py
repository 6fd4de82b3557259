#!/usr/bin/env python3
"""Runs mixt and a PyTorch model of the same shape in turn, on the same text, and prints ratios.

    bench/compare.py train  --peer DIR --python PYTHON --data DIR [--rounds 3]
    bench/compare.py decode --peer DIR --python PYTHON --data DIR --model RUN --peer-model FILE

--peer is the folder of the PyTorch program (train.py, decode.py), --python an interpreter that has
torch, sentencepiece and sacrebleu, --data a folder with train.en, train.de, test_2016_flickr.en and
so on, plain text. Speeds are source + target tokens a second in training, and sentences a second
with beam 5 in decoding, loading excluded on both sides. Machines drift: only the ratios of one run
mean something, and only on a machine that does nothing else.
"""
import argparse
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


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "decode"])
    parser.add_argument("--mixt", default=os.path.join(ROOT, "build", "tools", "mixt"))
    parser.add_argument("--peer", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=2048, help="target tokens of a batch")
    parser.add_argument("--model", help="mixt's model for decoding")
    parser.add_argument("--peer-model", help="the peer's model for decoding")
    parser.add_argument("--batch", type=int, default=128, help="the peer's sentences in a batch")
    return parser.parse_args()


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
    """Tokens a second over steps 11 to 30, after ten to warm up, and peak memory in MB."""
    directory = os.path.join(options.scratch, f"run{time.monotonic_ns()}")
    data = f"data.train=[{options.data}/train.en, {options.data}/train.de]"
    subword = os.path.join(options.scratch, "subword.model")
    if not os.path.exists(subword):
        run([options.mixt, "subword", "train", "--type", "unigram", "--size", "8000", "--coverage",
             "1", "--input", f"{options.data}/train.en,{options.data}/train.de", "--model",
             subword])
    done = run([options.mixt, "train"] + W1 +
               [data, f"data.subword.model={subword}", f"save.dir={directory}", "train.steps=30",
                f"train.batch_tokens={options.tokens}", "log.every=10"])
    with open(os.path.join(directory, "metrics.jsonl"), encoding="utf-8") as lines:
        windows = [json.loads(line) for line in lines]
    shutil.rmtree(directory)
    speeds = [w["tokens_per_second"] for w in windows if w["type"] == "train" and w["step"] > 10]
    peak = float(re.search(r"([\d.]+) MB peak", done.stderr).group(1))
    return len(speeds) / sum(1 / speed for speed in speeds), peak


def peer_train(options):
    result = peer_run(options, "train.py",
                      ["--bench", "20", "--warm", "10", "--tok", str(options.tokens)])
    return result["src_tgt_tok_s"], result["peak_rss_MB"]


def mixt_decode(options):
    output = os.path.join(options.scratch, "out.de")
    done = run([options.mixt, "translate", "-m", options.model, "-i",
                f"{options.data}/test_2016_flickr.en", "-o", output, "--beam", "5"])
    speed = float(re.search(r"([\d.]+) lines/s", done.stderr).group(1))
    peak = float(re.search(r"([\d.]+) MB peak", done.stderr).group(1))
    bleu = run([options.mixt, "bleu", f"{options.data}/test_2016_flickr.de", "-i", output, "-b",
                "-w", "2"])
    words = sum(len(line.split()) for line in open(output, encoding="utf-8"))
    print(f"  mixt BLEU {bleu.stdout.strip()}, {words} words")
    return speed, peak


def peer_decode(options):
    output = os.path.join(options.scratch, "peer.de")
    result = peer_run(options, "decode.py",
                      ["--model", options.peer_model, "--beam", "5", "--reps", "2", "--batch",
                       str(options.batch), "--bleu", "--out", output])
    words = sum(len(line.split()) for line in open(output, encoding="utf-8"))
    print(f"  peer BLEU {result['bleu']}, {words} words")
    return result["sent_s"], result["peak_rss_MB"]


def main():
    options = arguments()
    sides = (mixt_train, peer_train) if options.what == "train" else (mixt_decode, peer_decode)
    unit = "tokens/s" if options.what == "train" else "sentences/s"
    ratios = []
    with tempfile.TemporaryDirectory() as options.scratch:
        # The peer keeps its vocabulary beside its model.
        if options.peer_model:
            folder = os.path.dirname(os.path.abspath(options.peer_model))
            for name in os.listdir(folder):
                if name.startswith("spm_"):
                    shutil.copy(os.path.join(folder, name), options.scratch)
        for number in range(options.rounds):
            ours, our_peak = sides[0](options)
            theirs, their_peak = sides[1](options)
            ratios.append(ours / theirs)
            print(f"round {number + 1}: mixt {ours:.1f} {unit}, {our_peak:.0f} MB; "
                  f"peer {theirs:.1f} {unit}, {their_peak:.0f} MB; ratio {ours / theirs:.2f}",
                  flush=True)
    print(f"{options.what}: mixt / peer {statistics.median(ratios):.2f} "
          f"({min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} rounds)")


if __name__ == "__main__":
    main()
