#!/usr/bin/env python3
"""A training that is killed and started again ends with the bytes of one that was not.

Usage: test_resume.py MIXT [--only NAME] [--seed N]
"""
import json
import os
import signal
import subprocess
import time

from harness import expect, expect_error, expect_same_files, main, snapshot

N_KILLS = 10
COMMAND = ("train", "-c", "tiny.yaml")
OFTEN = "save.every=2"  # many checkpoints, so that some kills meet one half written


def make_run(bench, **settings):
    """Corpus and configuration of a run of some seconds, with checkpoints and validations apart."""
    bench.write_corpus(n_train=400)
    bench.write_config(**{"steps": 120, "every": 15, "threads": 2, "dropout": 0.2, **settings})


def unbroken(bench, *settings):
    """The files of a run that nobody disturbs, and the seconds it took."""
    start_s = time.monotonic()
    bench.train("unbroken", *(settings or ["save.every=20"]))
    return models(bench, "unbroken"), time.monotonic() - start_s


def models(bench, directory):
    found = snapshot(bench.path(directory), [".safetensors"])
    expect("best.safetensors" in found and len(found) >= 2, f"models wanted: {sorted(found)}")
    return found


def kill_after(bench, directory, seconds):
    """True if the training still ran when it was killed."""
    with bench.start(*COMMAND, "save.dir=" + directory, OFTEN, stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        code = process.wait()
    expect(code in (0, -signal.SIGKILL), f"exit code {code} after {seconds:.3f} s")
    return code != 0


def test_killed(bench):
    make_run(bench)
    wanted, duration_s = unbroken(bench, OFTEN)
    moments, n_runs = [], 0
    while len(moments) < N_KILLS:
        directory = f"run{n_runs}"
        n_runs += 1
        n_here = bench.random.randint(1, 4)  # kills of the same run, if it lasts so long
        while n_here > 0 and len(moments) < N_KILLS:
            moment_s = bench.random.uniform(0, duration_s)
            if not kill_after(bench, directory, moment_s):
                break
            moments.append(f"{directory} {moment_s:.3f} s")
            n_here -= 1
        bench.train(directory, OFTEN)
        expect_same_files(wanted, models(bench, directory), f"killed at {', '.join(moments)}")
    print(f"     killed at {', '.join(moments)}; a whole run takes {duration_s:.1f} s")


def test_stopped(bench):
    """SIGTERM and SIGINT save, whatever save.every says, and the run goes on from there."""
    make_run(bench)
    wanted, _ = unbroken(bench)
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        directory = "stopped" + str(int(number))
        command = COMMAND + ("save.dir=" + directory, "save.every=100000", "log.every=1")
        with bench.start(*command) as process:
            while b"step 7/" not in process.stderr.readline():
                expect(process.poll() is None, "the training ended")
            process.send_signal(number)
            _, err = process.communicate()
        expect(process.returncode == code, f"exit code {process.returncode}, wanted {code}: {err}")
        expect(not os.path.exists(bench.path(directory, "best.safetensors")), "stopped too late")
        expect(snapshot(bench.path(directory, "last")), "nothing saved")
        result = bench.train(directory, "save.every=20")
        expect("continuing" in result.err, f"'continuing' wanted: {result}")
        expect_same_files(wanted, models(bench, directory), f"stopped by signal {number}")


def test_saved_on_demand(bench):
    """SIGUSR1 saves and goes on."""
    make_run(bench)
    settings = ("save.every=100000", "log.every=1")
    wanted, _ = unbroken(bench, *settings)
    command = COMMAND + ("save.dir=run",) + settings
    with bench.start(*command) as process:
        while b"step 7/" not in process.stderr.readline():
            expect(process.poll() is None, "the training ended")
        process.send_signal(signal.SIGUSR1)
        while b"step 10/" not in process.stderr.readline():
            expect(process.poll() is None, "the training ended")
        expect(snapshot(bench.path("run", "last"), [".safetensors"]), "nothing saved")
        process.communicate()
    expect(process.returncode == 0, f"exit code {process.returncode}")
    expect_same_files(wanted, models(bench, "run"), "saved on demand")


def test_factored(bench):
    """Experts without first moments: as much goes into a checkpoint as the run needs."""
    make_run(bench, steps=60)
    factored = "train.optimizer.experts=factored"
    wanted, _ = unbroken(bench, factored, "save.every=20")
    bench.train("run", factored, "train.steps=31", "save.every=7")
    state = bench.read("run", "last", "state.safetensors")
    for name in (b'"encoder.1.moe.expert.up.second_row"', b'"encoder.1.moe.expert.up_bias.second"',
                 b'"output.bias.first"'):
        expect(name in state, f"{name} wanted in the checkpoint")
    for name in (b'"encoder.1.moe.expert.up.second"', b'"encoder.1.moe.expert.up_bias.first"'):
        expect(name not in state, f"{name} is in the checkpoint")
    result = bench.run("train", "-c", "tiny.yaml", "save.dir=run")
    expect_error(result, 2, "train.optimizer.experts=factored", "says same")
    expect(bench.read("run", "last", "state.safetensors") == state, "the checkpoint was changed")
    bench.train("run", factored, "save.every=20")
    expect_same_files(wanted, models(bench, "run"), "factored")
    os.remove(bench.path("run", "best.safetensors"))
    result = bench.run("translate", "-m", "run", stdin=b"bade\n")
    expect(result.code == 0, f"a checkpoint is a model, too: {result}")


def test_many_experts(bench):
    """Of so many experts that their gradients are not stored, nothing is left after an update."""
    make_run(bench, steps=30)
    for optimizer in ("same", "factored"):
        settings = ("model.moe.experts=80", "train.optimizer.experts=" + optimizer)
        plan = bench.run("plan", "--json", "-c", "tiny.yaml", *settings)
        training = json.loads(plan.out)["memory_bytes"][0]["training"]
        expect(training["gradients"] < 0.5 * training["values"], f"stored: {training}")
        bench.train("whole_" + optimizer, *settings)
        bench.train("part_" + optimizer, *settings, "train.steps=15")
        bench.train("part_" + optimizer, *settings)
        state = ("last", "state.safetensors")  # the best one may be that of the first part
        expect(bench.read("whole_" + optimizer, *state) == bench.read("part_" + optimizer, *state),
               f"{optimizer}: the end differs")


def test_finished(bench):
    """A finished run says so and writes nothing."""
    make_run(bench, steps=20)
    bench.train()
    before = snapshot(bench.path("run"))
    times = {name: os.stat(bench.path("run", name)).st_mtime_ns for name in before}
    result = bench.train()
    expect("finished" in result.err, f"'finished' wanted: {result}")
    expect_same_files(before, snapshot(bench.path("run")), "run again")
    for name, changed in times.items():
        expect(os.stat(bench.path("run", name)).st_mtime_ns == changed, f"{name} was written")


def test_longer(bench):
    """train.steps may be raised: the run goes on as if that had been asked for at once."""
    make_run(bench, steps=120)
    wanted, _ = unbroken(bench)
    bench.train("run", "train.steps=60", "save.every=20")
    bench.train("run", "save.every=20")
    expect_same_files(wanted, models(bench, "run"), "made longer")


def test_lstm_experts(bench):
    """Experts with a state, in the encoder and the decoder, validated with a beam."""
    make_run(bench, steps=40)
    settings = ("model.moe.expert.type=lstm", "train.optimizer.experts=factored", "valid.every=20")
    wanted, _ = unbroken(bench, *settings)
    bench.train("run", "train.steps=20", *settings)
    bench.train("run", *settings)
    expect_same_files(wanted, models(bench, "run"), "with LSTM experts")


def test_balanced(bench):
    """Thresholds are set from the text that comes next, wherever the run was cut; with averages."""
    make_run(bench, steps=40)
    settings = ("model.moe.gate=balanced", "model.moe.experts=[2, 3]", "model.moe.top_k=[1, 2]",
                "train.average=0.9")
    wanted, _ = unbroken(bench, *settings)
    bench.train("run", "train.steps=15", "save.every=7", *settings)
    bench.train("run", *settings)
    expect_same_files(wanted, models(bench, "run"), "with balanced gates")


def test_gnmt(bench):
    """Input feeding, additive attention and LSTMs without projection go on to the same bytes."""
    make_run(bench, steps=40)
    settings = ("save.every=10", "model.decoder.input_feeding=true",
                "model.decoder.attention=additive", "model.encoder.projection=false",
                "model.decoder.projection=false")
    wanted, _ = unbroken(bench, *settings)
    bench.train("run", "train.steps=20", *settings)
    bench.train("run", *settings)
    expect_same_files(wanted, models(bench, "run"), "as in GNMT")


def test_same_seed(bench):
    make_run(bench, steps=30)
    bench.train("one")
    bench.train("two")
    expect_same_files(models(bench, "one"), models(bench, "two"), "the same run twice")
    bench.train("three", "train.seed=2")
    expect(models(bench, "one")["best.safetensors"] != models(bench, "three")["best.safetensors"],
           "another seed made the same model")


if __name__ == "__main__":
    main([test_killed, test_stopped, test_saved_on_demand, test_factored, test_many_experts,
          test_finished, test_longer, test_lstm_experts, test_balanced, test_gnmt, test_same_seed])
