#!/usr/bin/env python3
"""Draws what bench/study.py measured: FOLDER/STUDY.json of all studies into SVG files.

    bench/plot_study.py --out FOLDER --plots doc/study

Needs matplotlib.
"""
import argparse
import io
import json
import os
import re
import statistics

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mixt", "font.size": 9,
                            "axes.spines.top": False, "axes.spines.right": False})
from matplotlib import pyplot  # noqa: E402  after the choice of what draws

GATES = ("top 1", "top 4", "noise 0", "switch", "balanced", "softmax", "4 x 8")


def values(rows, key):
    """Mean and deviation over the seeds of a member."""
    numbers = [row[key] for row in rows.values()]
    return statistics.mean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else 0


def bars(axes, results, key, title, is_log=False):
    names = list(results)
    numbers = [values(results[name], key) for name in names]
    places = range(len(names))
    axes.errorbar([mean for mean, _ in numbers], places, xerr=[spread for _, spread in numbers],
                  fmt="o", markersize=4, capsize=2)
    axes.set_yticks(list(places), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", linewidth=0.4)
    axes.set_title(title, fontsize=9)
    if is_log:
        axes.set_xscale("log")


def save(figure, options, name):
    os.makedirs(options.plots, exist_ok=True)
    figure.tight_layout()
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    with open(os.path.join(options.plots, name + ".svg"), "w", encoding="utf-8") as file:
        file.write(re.sub(r"[ \t]+$", "", text.getvalue(), flags=re.MULTILINE))
    pyplot.close(figure)


def draw_members(options, name, results, last):
    """Perplexity and balance of every member of a study."""
    figure, axes = pyplot.subplots(1, 3, figsize=(8.4, 0.9 + 0.22 * len(results)), sharey=True)
    bars(axes[0], results, "test", "test perplexity")
    bars(axes[1], results, "load_cv", "CV of the load", True)
    bars(axes[2], results, *last)
    save(figure, options, name)


def draw_experts(options, studies):
    figure, axes = pyplot.subplots(1, len(studies), figsize=(3.4 * len(studies), 2.6),
                                   squeeze=False)
    for place, (title, results) in zip(axes[0], studies):
        numbers = [values(rows, "test") for rows in results.values()]
        place.errorbar(range(len(results)), [mean for mean, _ in numbers],
                       yerr=[spread for _, spread in numbers], fmt="o-", markersize=4, capsize=2)
        place.set_xticks(range(len(results)), list(results))
        place.set_xlabel("experts")
        place.set_ylabel("test perplexity")
        place.set_title(title, fontsize=9)
        place.grid(linewidth=0.4)
    save(figure, options, "experts")


def draw_steps(options, results):
    """How often a step of the input changes a token's experts, and how far the output jumps."""
    figure, axes = pyplot.subplots(1, 2, figsize=(8.4, 3.2))
    for name in (name for name in GATES if name in results):
        by_size = list(zip(*(row["steps"] for row in results[name].values())))
        sizes = [steps[0]["size"] for steps in by_size]
        changed = [statistics.mean(step["changed_percent"] for step in steps) for steps in by_size]
        axes[0].plot(sizes, changed, "o-", markersize=3, label=name)
        jumps = [[step["jump_changed"] for step in steps if step.get("jump_changed") is not None]
                 for steps in by_size]
        kept = [(size, statistics.mean(jump)) for size, jump in zip(sizes, jumps) if jump]
        if kept:
            axes[1].plot(*zip(*kept), "o-", markersize=3, label=name)
        else:
            axes[1].plot([], [])
    for place, title in zip(axes, ("tokens that change experts, %", "jump of the output, if so")):
        place.set_xscale("log")
        place.set_yscale("log")
        place.set_xlabel("step, as a part of the input's length")
        place.set_title(title, fontsize=9)
        place.grid(linewidth=0.4)
    axes[0].legend(fontsize=7, frameon=False)
    save(figure, options, "steps")


def read(options, study):
    """Results of a study with the CVs, or nothing where it was not run."""
    path = os.path.join(options.out, study + ".json")
    if not os.path.exists(path):
        return None
    results = json.load(open(path))
    for rows in results.values():
        for row in rows.values():
            row["importance_cv"] = row["importance_cv2"] ** 0.5
            row["load_cv"] = row["load_cv2"] ** 0.5
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="where bench/study.py left its results")
    parser.add_argument("--plots", required=True)
    options = parser.parse_args()
    titles = {"experts-lm": "language models", "experts-mt": "translation"}
    experts = [(titles[study], results) for study in titles if (results := read(options, study))]
    if experts:
        draw_experts(options, experts)
    gates, balance = read(options, "gates"), read(options, "balance")
    if balance:
        draw_members(options, "balance", balance, ("importance_cv", "CV of the importance", True))
    if gates:
        draw_members(options, "gates", gates, ("load_max", "largest / mean load"))
        draw_steps(options, gates)


if __name__ == "__main__":
    main()
