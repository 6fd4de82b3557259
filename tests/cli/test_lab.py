"""mixt lab as its users meet it."""
import json
import os

import harness
from harness import expect, expect_error

SMALL = ["lab", "cluster", "--points", "200", "--steps", "3", "--runs", "2"]


def table_and_json_agree(bench):
    table = bench.run(*SMALL, "--setting", "3")
    report = bench.run(*SMALL, "--setting", "3", "--json")
    expect(table.code == 0 and report.code == 0, f"{table}; {report}")
    head, *lines = table.out.decode().splitlines()
    rows = json.loads(report.out)
    expect(len(lines) == len(rows) == 4, f"four models wanted: {table}")
    for line, row in zip(lines, rows):
        words = line.split()
        expect(words[:4] == ["3", row["model"], row["kind"], str(row["runs"])], line)
        expect(words[4] == f"{row['test_accuracy']['mean']:.2f}", f"{line}; {row}")
        expect(("dispatch_entropy" in row) == (row["model"] == "mixture"), row)
    expect([row["runs"] for row in rows] == [1, 1, 2, 2], rows)
    expect("+-" in lines[3] and "99.99" in lines[3], lines[3])


def threads_do_not_matter(bench):
    one = bench.run(*SMALL, "--threads", "1", "--json")
    three = bench.run(*SMALL, "--threads", "3", "--json")
    expect(one.code == 0 and one.out == three.out, f"{one}; {three}")
    expect(len(json.loads(one.out)) == 16, "four models in four settings wanted")
    other = bench.run(*SMALL, "--seed", "9", "--json")
    expect(other.out != one.out, "another seed must give other results")
    authors = bench.run(*SMALL, "--recipe", "authors", "--json")
    expect(authors.code == 0 and authors.out != one.out, "so must another recipe")
    expect_error(bench.run(*SMALL, "--recipe", "none"), 2, "steady")


def steps_of_a_trained_model(bench):
    bench.write_corpus(n_train=60)
    bench.write_config(steps=20, every=10)
    bench.train()
    table = bench.run("lab", "steps", "-m", "run", "--size", "0.5", "valid.src", "valid.trg")
    report = bench.run("lab", "steps", "-m", "run", "--size", "0.5", "--json", "--threads", "1",
                       "valid.src", "valid.trg")
    expect(table.code == 0 and report.code == 0, f"{table}; {report}")
    rows = json.loads(report.out)
    lines = table.out.decode().splitlines()[1:]
    expect([row["layer"] for row in rows] == ["encoder.1.moe", "decoder.1.moe"], rows)
    for line, row in zip(lines, rows):
        words = line.split()
        expect(words[:2] == [row["layer"], str(row["tokens"])], line)
        expect(0 < row["changed_percent"] < 100, row)
        expect(row["jump_changed"] > row["jump_same"] > 0, row)
        expect(words[3] == f"{row['jump_changed']:.5f}", f"{line}; {row}")
    source = bench.run("lab", "steps", "-m", "run", "--size", "0", "valid.src")
    words = source.out.decode().splitlines()[1].split()
    expect(words[2:] == ["0.000", "-", "0.00000"], f"no step, no change: {source}")
    expect_error(bench.run("lab", "steps", "-m", "run", "valid.src", "train.trg"), 3, "ends after")
    expect_error(bench.run("lab", "steps", "valid.src"), 2, "-m MODEL")
    expect_error(bench.run("lab", "thresholds", "-m", "run", "valid.src"), 2, "not balanced")
    expect_error(bench.run("lab", "steps", "-m", "run", "none.src"), 1, "none.src")
    expect_error(bench.run("lab", "steps", "-m", "run", "--size", "-1", "valid.src"), 2, "--size")


def thresholds_learn_the_balanced_choice(bench):
    """Thresholds at their start are far off; those that training learned, which are in the
    checkpoint, are not, and neither are those set for the best model."""
    bench.write_corpus(n_train=200)
    bench.write_config(steps=150, every=150)
    state = os.path.join("last", "state.safetensors")
    lab = ["lab", "thresholds", "-m", os.path.join("run", state), "--json", "train.src",
           "train.trg"]
    settings = ["model.moe.gate=balanced", "model.moe.threshold_weight=1"]
    bench.train("run", *settings)
    trained = json.loads(bench.run(*lab).out)
    bench.train("fresh", *settings, "train.optimizer.lr=0", "train.steps=1")
    lab[3] = os.path.join("fresh", state)
    fresh = json.loads(bench.run(*lab).out)
    lab[3] = "fresh"
    best = json.loads(bench.run(*lab).out)
    for row, start, of_best in zip(trained, fresh, best):
        expect(row["tokens"] == start["tokens"] > 400, f"{row}; {start}")
        expect(row["same_percent"] > 80 > start["same_percent"], f"{row}; {start}")
        expect(row["decisions_percent"] > row["same_percent"], row)
        expect(of_best["same_percent"] > 95, of_best)
    blocks = bench.run(*lab, "--tokens", "100", "--threads", "1")
    expect([row["tokens"] for row in json.loads(blocks.out)] == [row["tokens"] for row in fresh],
           f"each token once: {blocks}")


def tensors(bench, name):
    """A checkpoint without its head, which holds the settings."""
    content = bench.read(name, "last", "state.safetensors")
    return content[8 + int.from_bytes(content[:8], "little"):]


def thresholds_choose_for_unseen_text(bench):
    """Learned under dropout, thresholds choose 70 to 84 % of the tokens as a batch does; those of
    the best model are set anew, flat and in groups, and training goes on as if they were not."""
    sample = os.path.join(os.path.dirname(__file__), "..", "..", "recipes", "sample", "en-de")
    train, test = (os.path.abspath(os.path.join(sample, name))
                   for name in ("train.en.gz", "test.en.gz"))
    bench.write_config(size=300, dropout=0.3, batch_tokens=512, steps=150, every=150)
    settings = ["model.type=lm", f"data.train=[{train}]", "data.valid=[]",
                "model.encoder.bidirectional=none", "model.moe.after=[encoder.1]",
                "model.moe.gate=balanced"]
    for name, experts in (("flat", ["model.moe.experts=8", "model.moe.top_k=2"]),
                          ("groups", ["model.moe.experts=[4, 4]", "model.moe.top_k=[2, 1]"])):
        bench.train(name, *settings, *experts)
        result = bench.run("lab", "thresholds", "-m", name, "--json", "--threads", "1", test)
        row = json.loads(result.out)[0]
        expect(row["tokens"] > 20000 and row["same_percent"] > 90, f"{name}: {row}")
    bench.train("often", *settings, *experts, "valid.every=30")
    expect(tensors(bench, "often") == tensors(bench, "groups"), "validating changed the training")


def nonsense_is_refused(bench):
    expect_error(bench.run("lab"), 2, "lab wants a verb")
    expect_error(bench.run("lab", "clusters"), 2, "'clusters'", "did you mean 'cluster'?")
    for arguments, part in ((["--setting", "5"], "--setting"), (["--setting", "0"], "--setting"),
                            (["--runs", "0"], "--runs"), (["--runs", "ten"], "--runs"),
                            (["--points", "-1"], "--points"), (["--factor", "noise"], "--factor"),
                            (["--steps", "0"], "--steps"), (["--sampels", "1"], "--sampels"),
                            (["file"], "file")):
        expect_error(bench.run("lab", "cluster", *arguments), 2, part)
    for arguments in (["lab", "--help"], ["lab", "cluster", "--help"]):
        result = bench.run(*arguments)
        expect(result.code == 0 and b"cluster" in result.out, f"{arguments}: {result}")


if __name__ == "__main__":
    harness.main([table_and_json_agree, threads_do_not_matter, steps_of_a_trained_model,
                  thresholds_learn_the_balanced_choice, thresholds_choose_for_unseen_text,
                  nonsense_is_refused])
