#!/usr/bin/env python3
"""Training on several ranks: one model, whatever their number, and one end for all.

Usage: test_dist.py MIXT [--only NAME] [--seed N]
Exits with 77 where mixt has no module for an MPI library that is installed.
"""
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time

from harness import (ENVIRONMENT, expect, expect_error, expect_same_files, main, Result,
                     snapshot)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "comm"))
import ranks  # noqa: E402

LIMIT_S = 200
HIERARCHY = ("model.moe.experts=[3,4]", "model.moe.top_k=[2,2]")
BALANCED = ("model.moe.gate=balanced", "model.moe.threshold_weight=0.1")


def libraries(program):
    return ranks.usable_libraries(os.path.dirname(program))


def launch(bench, name, counts, *arguments, before=()):
    """mixt train under mpirun; counts: how many ranks, or [(how many, their arguments), ..];
    before: what each rank is started by."""
    if isinstance(counts, int):
        counts = [(counts, ())]
    command = ranks.command_start(name)
    for i, (count, more) in enumerate(counts):
        command += [":"] * (i > 0) + ["-n", str(count), *before, bench.program, "train", "-c",
                                      "tiny.yaml", *arguments, *more]
    environment = ranks.environment(os.path.dirname(bench.program))
    return subprocess.Popen(command, cwd=bench.folder, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            start_new_session=True, env={**ENVIRONMENT, **environment})


def finish(process):
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired as late:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(f"not done after {LIMIT_S} s: {process.args}") from late
    return Result(process.returncode, out, err)


def train_ranks(bench, name, count, directory, *arguments):
    result = finish(launch(bench, name, count, "save.dir=" + directory, *arguments))
    expect(result.code == 0, f"{count} ranks of {name} failed: {result}")
    expect(result.err.count("mixt: train;") == 1, f"one rank should tell the end: {result}")
    return result


def metrics(bench, directory):
    """[(type, step, loss or NLL)]"""
    lines = [json.loads(line) for line in bench.read(directory, "metrics.jsonl").splitlines()]
    return [(line["type"], line["step"], line.get("loss", line["nll"])) for line in lines]


def expect_same_run(bench, wanted, found, what, bound=1e-5):
    a, b = metrics(bench, wanted), metrics(bench, found)
    expect([x[:2] for x in a] == [x[:2] for x in b], f"{what}: other steps than alone")
    worst = max(abs(x[2] - y[2]) for x, y in zip(a, b))
    expect(worst < bound, f"{what}: losses differ by {worst}")
    translations = [bench.run("translate", "-m", directory, stdin=bench.read("valid.src"))
                    for directory in (wanted, found)]
    for result in translations:
        expect(result.code == 0, f"{what}: translation failed: {result}")
    expect(translations[0].out == translations[1].out, f"{what}: other translations than alone")


def test_gpus(bench):
    """Two emulated GPUs, whose tensors travel by the stand-in of NCCL, against the processor."""
    folder = os.environ.get("MIXT_EMULATED_FOLDER")
    if not folder:
        print("     no emulated module")
        return
    make_run(bench, steps=20, every=20)
    os.environ["LD_LIBRARY_PATH"] = folder
    gpus = ("train.device=cuda-emu", "log.every=1")
    for mixture, settings in (("flat", ()), ("two levels", HIERARCHY), ("balanced", BALANCED)):
        bench.train("alone " + mixture, "log.every=1", *settings)
        train_ranks(bench, libraries(bench.program)[0], 2, "gpus " + mixture, *gpus, *settings)
        expect_same_run(bench, "alone " + mixture, "gpus " + mixture, mixture, bound=1e-4)
        with open(bench.path("gpus " + mixture, "train.log"), encoding="utf-8") as file:
            expect("computing on" in file.read(), "the log should name the GPU")


def launch_failing(bench, rank, n, directory):
    """Two emulated GPUs; on one rank the n-th call of NCCL fails."""
    before = ("sh", "-c", 'test "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = %d && '
              'export SIMT_FAIL_CALL=%d SIMT_FAIL_LIBRARY=nccl; exec "$0" "$@"' % (rank, n))
    return launch(bench, libraries(bench.program)[0], 2, "save.dir=" + directory,
                  "train.device=cuda-emu", "dist.timeout_s=60", before=before)


def expect_failed_call(result, what):
    """A line of each rank at most, of which one names NCCL; nothing that the emulator says."""
    lines = [line for line in result.err.splitlines() if line.startswith("mixt: ")]
    # Open MPI's own mpirun may crash when it has two failures to tell.
    has_crashed = result.code == -signal.SIGSEGV  # a rank that crashes is another exit code
    expect((result.code == 1 or has_crashed) and 1 <= len(lines) <= 2, f"{what}: {result}")
    expect(all(line.startswith("mixt: rank ") for line in lines), f"{what}: {result}")
    expect(any(": NCCL: " in line for line in lines), f"{what}: {result}")
    expect("simt:" not in result.err, f"{what}: {result}")


def test_failing_gpus(bench):
    """The n-th call of NCCL fails on one of two ranks: it says so in one line, and the other does
    not wait for it. MIXT_ALL_CALLS: each of the first calls, and then ever fewer, up to a job that
    has fewer than n."""
    folder = os.environ.get("MIXT_EMULATED_FOLDER")
    if not folder:
        print("     no emulated module")
        return
    make_run(bench, steps=1, every=1, batch_tokens=100)
    os.environ["LD_LIBRARY_PATH"] = folder
    is_all = "MIXT_ALL_CALLS" in os.environ
    ever_fewer = [17 + n * (n + 11) // 2 for n in range(60)]
    for rank in range(2):
        calls = [*range(1, 17), *ever_fewer] if is_all else [1, 2 + 6 * rank]
        codes = []
        for n in calls:
            start_s = time.monotonic()
            result = finish(launch_failing(bench, rank, n, f"run{rank} {n}"))
            codes.append(result.code)
            if result.code == 0 and n > 16:
                break
            expect_failed_call(result, f"rank {rank}, call {n}")
            expect(time.monotonic() - start_s < 50, f"rank {rank}, call {n}: the other waited")
        expect(not is_all or codes[-1] == 0, f"rank {rank}: no job has fewer than {n} calls")


def make_run(bench, **settings):
    bench.write_corpus(n_train=400)
    bench.write_config(**{"steps": 50, "every": 25, "dropout": 0.2, **settings})


def expect_with_a_seed(compare, bench, mixture, settings):
    """Which experts a token gets is a choice, and two scores may stand closer than sums are
    rounded, which ranks do otherwise. In two levels, seed 1, losses part by 6.4e-5 at step 48, on
    two ranks as on one whose learning rate is larger by 3e-7; four ranks agree. So there are two
    seeds, of which one has to agree: what depends on the ranks does so with any."""
    try:
        compare(bench, mixture, settings)
    except AssertionError as difference:
        print(f"     {difference}; another seed")
        compare(bench, mixture + ", again", ("train.seed=2", *settings))


def compare_losses(bench, mixture, settings):
    alone = "alone " + mixture
    bench.train(alone, *settings)
    for name in libraries(bench.program):
        for count in (2, 4):
            directory = f"{mixture} {name} {count}"
            train_ranks(bench, name, count, directory, *settings)
            expect_same_run(bench, alone, directory, directory)


def test_same_losses(bench):
    make_run(bench)
    for mixture, settings in (("flat", ()), ("two levels", HIERARCHY)):
        expect_with_a_seed(compare_losses, bench, mixture,
                           ("log.every=1", "dist.check_every=10", *settings))


def compare_balanced(bench, mixture, settings):
    """Two and four ranks against one; four and then two where the mixture has two levels."""
    names = libraries(bench.program)
    alone = "alone " + mixture
    bench.train(alone, *settings)
    stages = {f"{mixture} 2": [(names[-1], 2, 50)], f"{mixture} 4": [(names[-1], 4, 50)]}
    if "two" in mixture:
        stages[f"{mixture} 4"] = [(names[0], 4, 25), (names[0], 2, 50)]
    else:
        stages[f"{mixture} 2"] = [(names[0], 2, 50)]
    for directory, parts in stages.items():
        for name, count, steps in parts:
            train_ranks(bench, name, count, directory, *settings, f"train.steps={steps}")
        expect_same_run(bench, alone, directory, directory)


def test_balanced(bench):
    """Experts that choose among the tokens of all ranks, thresholds learned and set from these."""
    make_run(bench, batch_tokens=100)
    for mixture, settings in (("flat", BALANCED), ("two levels", (*BALANCED, *HIERARCHY))):
        expect_with_a_seed(compare_balanced, bench, mixture,
                           ("log.every=1", "dist.check_every=10", *settings))


def read_tensors(path):
    """({name: bytes}, {name: number of its first in the whole tensor}, metadata)"""
    with open(path, "rb") as file:
        content = file.read()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + size])
    about = header.pop("__metadata__")
    data = content[8 + size:]
    tensors = {name: data[slice(*tensor["data_offsets"])] for name, tensor in header.items()}
    return tensors, json.loads(about.get("starts", "{}")), about


def read_state(folder):
    """All tensors of a state, those of its shards joined, and what it says of the run."""
    tensors, _, about = read_tensors(os.path.join(folder, "state.safetensors"))
    parts = {}
    for shard in json.loads(about.pop("shards", '{"files": []}'))["files"]:
        found, starts, _ = read_tensors(os.path.join(folder, shard["name"]))
        for name, content in found.items():
            parts.setdefault(name, []).append((starts[name], content))
    for name, pieces in parts.items():
        tensors[name] = b"".join(content for _, content in sorted(pieces))
    about.pop("hash")
    return tensors, about


def test_reproducible(bench):
    """With dist.reproducible any number of ranks gives the same bytes. Widths that no
    vector of a processor divides show what depends on where an expert's numbers lie."""
    make_run(bench, steps=10, every=10, dim=36)
    names = libraries(bench.program)
    mixtures = (("flat", ("model.moe.experts=7", "model.moe.expert.hidden=20", "train.average=0.9",
                          "train.optimizer.clip=0.5")),
                ("two levels", (*HIERARCHY, "model.moe.expert.hidden=20", "train.accumulate=2",
                                "train.optimizer.experts=factored", "valid.metric=perplexity")),
                ("balanced", (*HIERARCHY, *BALANCED, "valid.metric=perplexity")))
    for i, (mixture, settings) in enumerate(mixtures):
        settings = ("dist.reproducible=true", "log.every=1", "train.threads=0", *settings)
        bench.train("alone " + mixture, *settings)
        want = metrics(bench, "alone " + mixture)
        for name, count in ((names[0], 3),) if i else ((names[0], 2), (names[-1], 4)):
            directory = f"{mixture} {name} {count}"
            train_ranks(bench, name, count, directory, *settings)
            expect(metrics(bench, directory) == want, f"{directory}: other losses than alone")
            for read, what in ((lambda run: bench.read(run, "best.safetensors"), "best model"),
                               (lambda run: read_state(bench.path(run, "last")), "state")):
                expect(read(directory) == read("alone " + mixture),
                       f"{directory}: other bytes in the {what} than alone")


def test_other_ranks_continue(bench):
    """What four ranks saved goes on on one, two and three, and is a model like any other."""
    make_run(bench, steps=40, every=10)
    name = libraries(bench.program)[0]
    settings = ("log.every=1", "train.average=0.9", "train.optimizer.experts=factored")
    bench.train("alone", *settings)
    train_ranks(bench, name, 4, "four", "train.steps=20", *settings)
    for count in (1, 2, 3):
        directory = f"then {count}"
        shutil.copytree(bench.path("four"), bench.path(directory))
        train_ranks(bench, name, count, directory, *settings)
        expect_same_run(bench, "alone", directory, directory)
    shutil.copytree(bench.path("four"), bench.path("then itself"))
    bench.train("then itself", *settings)
    expect_same_run(bench, "alone", "then itself", "without mpirun")


def test_shards(bench):
    """A state of four ranks is four shards and their list, which older ones do not outlive, and is
    read by every verb; by one rank it becomes one file again."""
    make_run(bench, steps=6, every=3)
    name = libraries(bench.program)[0]
    bench.train("alone")
    train_ranks(bench, name, 4, "four")
    wanted = ["state.safetensors"] + [f"state-2-{r}-of-4.safetensors" for r in (1, 2, 3, 4)]
    expect(sorted(os.listdir(bench.path("four", "last"))) == sorted(wanted),
           os.listdir(bench.path("four", "last")))
    text = bench.read("valid.src")
    found = [bench.run("translate", "-m", f"{run}/last/state.safetensors", stdin=text)
             for run in ("alone", "four")]
    expect(found[0].code == found[1].code == 0 and found[0].out == found[1].out, str(found[1]))
    info = bench.run("info", "--check", "four/last/state.safetensors")
    alone = bench.run("info", "alone/last/state.safetensors")
    expect(info.code == 0 and b"shards: 4" in info.out, str(info))
    count = [line for line in alone.out.splitlines() if line.startswith(b"numbers: ")][0].split()[1]
    expect(b"numbers: " + count in info.out, f"{info} for {alone}")
    expect_error(bench.run("convert", "-m", "four/last/state.safetensors", "--dtype=int8",
                           "x.safetensors"), 3, "shards")
    bench.write("four/last/state-9-1-of-2.safetensors", "of a saving that did not end")
    bench.write("four/last/state-3-1-of-4.safetensors.123.0.tmp", "of a rank that died")
    bench.train("four", "train.steps=7")
    expect(os.listdir(bench.path("four", "last")) == ["state.safetensors"], "shards are left")


def flip_a_bit(path):
    """Of an expert's weights, which every verb reads."""
    with open(path, "r+b") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        begin = min(tensor["data_offsets"][0] for name, tensor in header.items()
                    if ".expert." in name and not name.endswith((".first", ".second")))
        file.seek(8 + size + begin)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 4]))


def test_damaged_shards(bench):
    """One missing, cut, changed or foreign shard is named by whoever reads the state, and nothing
    is written."""
    make_run(bench, steps=6, every=3)
    name = libraries(bench.program)[0]
    train_ranks(bench, name, 4, "run")
    train_ranks(bench, name, 4, "other", "train.seed=2")
    shard = "state-2-3-of-4.safetensors"
    for kind, damage, code in (
            ("missing", os.unlink, 1),
            ("cut", lambda path: os.truncate(path, os.path.getsize(path) - 100), 3),
            ("changed", flip_a_bit, 3),
            ("foreign", lambda path: shutil.copy(bench.path("other", "last", shard), path), 3)):
        shutil.copytree(bench.path("run"), bench.path(kind))
        damage(bench.path(kind, "last", shard))
        before = snapshot(bench.path(kind), (".safetensors",))
        for result in (bench.run("translate", "-m", kind + "/last/state.safetensors", stdin=b"a\n"),
                       bench.run("info", "--check", kind + "/last/state.safetensors")):
            expect_error(result, code, shard)
        for count in (1, 3):
            result = finish(launch(bench, name, count, "save.dir=" + kind, "train.steps=9"))
            expect_one_message(result, code, shard)
        expect_same_files(before, snapshot(bench.path(kind), (".safetensors",)), kind)


def test_few_sentences(bench):
    """Batches of one sentence and of a few: ranks without any take part."""
    make_run(bench, batch_tokens=24, steps=30, every=30)
    settings = ("log.every=1", "train.accumulate=2")
    bench.train("alone", *settings)
    train_ranks(bench, libraries(bench.program)[0], 4, "four", *settings)
    expect_same_run(bench, "alone", "four", "four ranks")


def expect_one_message(result, code, *parts):
    """mpirun adds lines of its own, and may end with another code where ranks are ended."""
    lines = [line for line in result.err.splitlines() if line.startswith("mixt: ")]
    expect(len(lines) == 1, f"one message wanted: {result}")
    expect(result.code == code, f"exit code {code} wanted: {result}")
    for part in parts:
        expect(part in lines[0], f"{part!r} wanted in the message: {result}")


def test_refused(bench):
    make_run(bench)
    for settings, count, part in (
            (["model.moe.expert.type=lstm"], 2, "model.moe.expert.type lstm"),
            (["model.moe.experts=2"], 3, "2 experts, and there are 3 ranks"),
            (["dist.reproducible=true", "dist.parts=2"], 3, "dist.parts 2"),
            (["dist.reproducible=true", "train.threads=2"], 2, "train.threads 2"),
            (["dist.reproducible=true", "model.moe.experts=128"], 2, "gives 128")):
        for name in libraries(bench.program):
            result = finish(launch(bench, name, count, "save.dir=run", *settings))
            expect_one_message(result, 2, part)
    expect(not os.path.exists(bench.path("run")), "a refused run made its directory")


def test_one_rank_fails(bench):
    make_run(bench)
    for name in libraries(bench.program):
        result = finish(launch(bench, name, [(1, ()), (1, ("train.seed=2",))], "save.dir=a"))
        expect_one_message(result, 1, "the configuration")
        result = finish(launch(bench, name, [(1, ()), (1, ("train.device=ref",))], "save.dir=d"))
        expect_one_message(result, 1, "the backend (train.device and train.compute)")
        lost = ("data.train=[train.src,lost]",)
        result = finish(launch(bench, name, [(1, ()), (1, lost)], "save.dir=b"))
        expect_one_message(result, 1, "rank 1: ", "lost")
        bench.write("other.src", bench.read("train.src").replace(b"a", b"o"))
        other = ("data.train=[other.src,train.trg]",)
        result = finish(launch(bench, name, [(1, ()), (1, other)], "save.dir=c",
                               "data.subword.size=64"))
        expect_one_message(result, 1, "the data of data.train")


def test_full_disk(bench):
    """No rank can write its shard to the end: all stop, and what was there stays."""
    make_run(bench, every=100)
    large = ("model.moe.expert.hidden=16384", "save.every=3")
    limited = ("sh", "-c", 'ulimit -f 32768 && exec "$0" "$@"')  # 32 MiB: MPI makes files, too
    for name in libraries(bench.program):
        train_ranks(bench, name, 2, name, "train.steps=2", *large)
        before = snapshot(bench.path(name, "last"))
        expect(len(before) == 3 and sorted(map(len, before.values()))[1] > 32768 * 1024,
               "the shards are too small for this test")
        result = finish(launch(bench, name, 2, "save.dir=" + name, "train.steps=10", *large,
                               before=limited))
        expect_one_message(result, 1, "state-2-")
        expect_same_files(before, snapshot(bench.path(name, "last")), "what a full disk left")


def test_lost_directory(bench):
    """Rank 0 cannot even begin to write."""
    make_run(bench, steps=60, every=100)
    with launch(bench, libraries(bench.program)[0], 2, "save.dir=run", "log.every=1") as process:
        while b"step 3/" not in process.stderr.readline():
            expect(process.poll() is None, "the training ended")
        shutil.rmtree(bench.path("run", "last"))
        expect_one_message(finish(process), 1, "last/state-")


def test_diverged(bench):
    """A gradient that is not finite on any rank is one decision of all."""
    make_run(bench)
    for name in libraries(bench.program):
        result = finish(launch(bench, name, 2, "save.dir=" + name, "train.optimizer.lr=100",
                               "train.optimizer.clip=0", "train.steps=2000", "log.every=1",
                               "model.moe.output=none", "model.moe.expert.type=cubic"))
        expect_one_message(result, 5, "the gradient is not finite")


def signal_to_one(bench, number, *settings):
    """What is left of a run of two ranks after the second got a signal, and the seconds it took."""
    make_run(bench, steps=100000, every=100000)
    with launch(bench, "openmpi", 2, "save.dir=run", "log.every=1", *settings) as process:
        while b"step 7/" not in process.stderr.readline():
            expect(process.poll() is None, "the training ended")
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True,
                                  check=True).stdout.split()
        os.kill(int(children[-1]), number)
        start_s = time.monotonic()
        result = finish(process)
    return result, time.monotonic() - start_s


def test_signal_to_one(bench):
    """A rank that is asked to stop makes all save and stop."""
    result, took_s = signal_to_one(bench, signal.SIGTERM)
    expect(took_s < 60, f"it took {took_s} s to stop")
    expect_one_message(result, 143, "signal 15: saved at step")
    expect(os.path.exists(bench.path("run", "last", "state.safetensors")), "nothing saved")


def test_hanging_rank(bench):
    """A rank that is stopped, not dead, ends all in time, with a line that says where."""
    result, took_s = signal_to_one(bench, signal.SIGSTOP, "dist.timeout_s=3")
    expect(took_s < 60, f"it took {took_s} s to end")
    expect(result.code == 1, f"exit code 1 wanted: {result}")
    expect(any(line.startswith("mixt: rank 0 on") and "no word from rank 1" in line
               for line in result.err.splitlines()), f"a line of rank 0 wanted: {result}")


def test_rank_leaves(bench):
    """Where a rank leaves with exit code 0, which MPICH's mpirun then returns, mixt launch starts
    again, until the training is done."""
    if "mpich" not in libraries(bench.program):
        return
    make_run(bench, steps=8, every=8)
    environment = {**ENVIRONMENT, **ranks.environment(os.path.dirname(bench.program)),
                   "MIXT_COMM_FAULT": "exit:200:1"}
    result = bench.run("launch", "-n2", "--pause=0", "--mpirun=" + ranks.find_mpirun("mpich"), "--",
                       "train", "-c", "tiny.yaml", "save.dir=run", "save.every=1",
                       "dist.timeout_s=2", env=environment)
    expect(result.code == 0, str(result))
    expect("starting again" in result.err, f"no rank left: {result}")
    expect("finished at step 8" in result.err, f"no end: {result}")


if __name__ == "__main__":
    if len(sys.argv) > 1 and os.path.exists(sys.argv[1]) \
            and not libraries(os.path.abspath(sys.argv[1])):
        print("skipped: no MPI library with its module")
        sys.exit(ranks.SKIPPED)
    tests = [test_same_losses, test_balanced, test_reproducible, test_gpus, test_failing_gpus,
             test_other_ranks_continue, test_shards, test_damaged_shards, test_few_sentences,
             test_refused, test_one_rank_fails, test_full_disk, test_lost_directory,
             test_diverged, test_rank_leaves]
    if "openmpi" in libraries(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "")):
        tests += [test_signal_to_one, test_hanging_rank]
    main(tests)
