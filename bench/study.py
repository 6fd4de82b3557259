#!/usr/bin/env python3
"""Trains families of models that differ in their mixture of experts, and prints how they compare.

    bench/study.py STUDY --data FOLDER --out FOLDER [--seeds N] [--jobs N] [--steps N]

STUDY is one of
    experts-lm   language models: a dense layer, then 4, 32 and 256 experts of the same work a token
    experts-mt   the same for translation
    balance      64 experts with and without the balance losses (table 6 of Shazeer et al. 2017)
    gates        kinds of gate, experts a token, noise, and kinds of expert, with 32 experts; also
                 how routing and output answer small steps of the input (mixt lab steps)
--data holds train.en, val.en, test.en for language models and train.mt.en, train.mt.de and so on
for translation, plain text. Members share one subword model. Each run is one process with one
thread; --jobs run at a time. A run that is finished is not run again, so a study that was stopped
goes on. Results go to FOLDER/STUDY.json, the table to stdout; bench/plot_study.py draws them.
"""
import argparse
import concurrent.futures
import json
import os
import re
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

LM = {"model.type": "lm", "data.subword.size": 2000, "data.max_len": 60, "model.dim": 64,
      "model.dropout": 0.1, "model.encoder.layers": 2, "model.encoder.hidden": 64,
      "model.encoder.projection": "false", "model.encoder.bidirectional": "none",
      "model.moe.after": "[encoder.1]", "model.moe.output": "sigmoid",
      "model.moe.expert.hidden": 128, "model.moe.top_k": 4, "model.moe.experts": 64,
      "model.moe.importance_weight": 0.1, "model.moe.load_weight": 0.1,
      "train.batch_tokens": 2048, "train.steps": 2000, "train.label_smoothing": 0,
      "train.optimizer.lr": 3e-3, "train.optimizer.clip": 1, "train.schedule.warmup": 100,
      "train.schedule.hold": 500, "train.schedule.decay": "linear"}
MT = {"data.subword.size": 3000, "data.max_len": 60, "model.dim": 128, "model.dropout": 0.2,
      "model.encoder.hidden": 128, "model.decoder.hidden": 128, "model.moe.output": "sigmoid",
      "model.moe.expert.hidden": 256, "model.moe.top_k": 4, "model.moe.experts": 64,
      "train.batch_tokens": 1024, "train.steps": 2000, "train.optimizer.lr": 3e-3,
      "train.optimizer.clip": 1, "train.schedule.warmup": 100, "train.schedule.hold": 300,
      "train.schedule.decay": "linear", "valid.beam": 1, "translate.beam": 4,
      "translate.alpha": 1.0}
STEP_SIZES = (0.003, 0.01, 0.03, 0.1, 0.3)
FLOATS = ("importance_cv2", "load_cv2", "load_max", "load_min", "dead")


def variants(study):
    """Name and settings of each member, and what they share."""
    def mix(**settings):
        return {"model.moe." + key.replace("__", "."): value for key, value in settings.items()}

    def sizes(hidden):
        """Where all experts serve every token there is nothing to choose or to balance."""
        dense = {"gate": "softmax", "importance_weight": 0, "load_weight": 0}
        members = [("4", mix(experts=4, **dense)), ("32", mix(experts=32)),
                   ("256", mix(experts=256))]
        return ([("dense", mix(experts=1, top_k=1, expert__hidden=4 * hidden))] +
                [(name, settings | mix(expert__hidden=hidden)) for name, settings in members])

    def weights(importance, load):
        return mix(importance_weight=importance, load_weight=load)

    if study == "experts-lm":
        return LM | {"train.steps": 3000}, sizes(32)
    if study == "experts-mt":
        return MT, sizes(64)
    if study == "balance":
        return LM, [("0 0", weights(0, 0)), ("0.2 0", weights(0.2, 0)), ("0 0.2", weights(0, 0.2)),
                    ("0.1 0.1", weights(0.1, 0.1)), ("0.01 0.01", weights(0.01, 0.01)),
                    ("1 1", weights(1, 1))]
    return LM | mix(experts=32), (
        [(f"top {k}", mix(top_k=k, expert__hidden=512 // k)) for k in (1, 2, 4, 8)] +
        [(f"noise {s}", mix(noise=s)) for s in (0, 0.3, 3)] +
        [("switch", mix(gate="switch", top_k=1, expert__hidden=512)),
         ("balanced", mix(gate="balanced")),
         ("softmax", mix(gate="softmax", experts=4, top_k=4)),
         ("4 x 8", mix(experts="[4, 8]", top_k="[2, 2]")),
         ("lstm", mix(expert__type="lstm", expert__hidden=32)),
         ("linear", mix(expert__type="linear")),
         ("cubic", mix(expert__type="cubic"))])


def call(command):
    done = subprocess.run(command, capture_output=True, text=True,
                          env=dict(os.environ, OMP_WAIT_POLICY="passive"))
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done


def texts(options, is_lm, part):
    names = [f"{part}.en"] if is_lm else [f"{part}.mt.en", f"{part}.mt.de"]
    return [os.path.join(options.data, name) for name in names]


def learn_pieces(options, base, is_lm):
    """The subword model of a study, learned once."""
    path = os.path.join(options.out, options.study, "pieces.model")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        call([options.mixt, "subword", "train", "--input", ",".join(texts(options, is_lm, "train")),
              "--model", path, "--vocab-size", str(base["data.subword.size"])])
    return path


def train(options, settings, run):
    is_lm = settings.get("model.type") == "lm"
    steps = options.steps or settings["train.steps"]
    settings = settings | {
        "data.train": "[" + ", ".join(texts(options, is_lm, "train")) + "]",
        "data.valid": "[" + ", ".join(texts(options, is_lm, "val")) + "]",
        "valid.metric": "perplexity", "valid.every": steps, "save.every": steps,
        "log.every": 50, "train.steps": steps, "train.threads": 1, "save.dir": run}
    if not os.path.exists(os.path.join(run, "done")):
        call([options.mixt, "train"] + [f"{key}={value}" for key, value in settings.items()])
        open(os.path.join(run, "done"), "w").close()


def lab(options, verb, run, text, *more):
    """What a verb of mixt lab tells of the layer of experts; these models have one."""
    return json.loads(call([options.mixt, "lab", verb, "-m", run, text, "--json", "--threads", "1",
                            *more]).stdout)[0]


def measure(options, settings, run):
    """Test perplexity, BLEU of a translator, and the balance over the last quarter of the run."""
    rows = [json.loads(line) for line in open(os.path.join(run, "metrics.jsonl"))]
    windows = [row for row in rows if row["type"] == "train"]
    last = windows[-max(1, len(windows) // 4):]
    result = {"valid": rows[-1]["ppl"] if rows[-1]["type"] == "valid" else None,
              "tokens_per_second": statistics.median(row["tokens_per_second"] for row in windows)}
    if last[-1]["moe"]:
        for key in FLOATS:
            result[key] = statistics.mean(layer[key] for row in last for layer in row["moe"])
    is_lm = settings.get("model.type") == "lm"
    test = texts(options, is_lm, "test")
    told = call([options.mixt, "score", "-m", run] + test).stderr
    result["test"] = float(re.search(r"perplexity[^0-9]*([0-9.]+)", told).group(1))
    if options.study == "gates":
        result["steps"] = [lab(options, "steps", run, test[0], "--size", str(size))
                           for size in STEP_SIZES]
    if settings.get("model.moe.gate") == "balanced":
        result["thresholds"] = lab(options, "thresholds", run, test[0])
    if not is_lm:
        out = os.path.join(run, "test.out")
        with open(test[0]) as source, open(out, "w") as target:
            subprocess.run([options.mixt, "translate", "-m", run], stdin=source, stdout=target,
                           stderr=subprocess.DEVNULL, check=True)
        with open(out) as hypothesis:
            result["bleu"] = float(subprocess.run(
                [options.mixt, "bleu", "-b", test[1]], stdin=hypothesis, capture_output=True,
                text=True, check=True).stdout)
    return result


def one(options, base, name, changes, seed):
    run = os.path.join(options.out, options.study, re.sub(r"[^a-z0-9.]+", "-", name), str(seed))
    settings = base | changes | {"train.seed": seed}
    train(options, settings, run)
    return name, seed, measure(options, settings, run)


def spread(values):
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} +- {statistics.stdev(values):.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=["experts-lm", "experts-mt", "balance", "gates"])
    parser.add_argument("--mixt", default=os.path.join(ROOT, "build", "tools", "mixt"))
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=0, help="updates of each run")
    parser.add_argument("--only", default="", help="members to run, separated by commas")
    options = parser.parse_args()
    base, members = variants(options.study)
    base["data.subword.model"] = learn_pieces(options, base, base.get("model.type") == "lm")
    if options.only:
        members = [member for member in members if member[0] in options.only.split(",")]
    results = {name: {} for name, _ in members}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(one, options, base, name, changes, seed)
                for seed in range(1, options.seeds + 1) for name, changes in members]
        for job in concurrent.futures.as_completed(jobs):
            name, seed, result = job.result()
            results[name][seed] = result
            print(name, seed, json.dumps(result), file=sys.stderr, flush=True)
    with open(os.path.join(options.out, options.study + ".json"), "w") as file:
        json.dump(results, file, indent=1)
    columns = [key for key in ("test", "bleu", "importance_cv2", "load_cv2", "load_max", "dead",
                               "tokens_per_second")
               if all(key in row for rows in results.values() for row in rows.values())]
    print("| member | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, rows in results.items():
        cells = [spread([row[key] for row in rows.values()]) for key in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
