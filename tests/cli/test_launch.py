#!/usr/bin/env python3
"""mixt launch: starts again what fails, leaves out machines that do not answer, spreads lines.

mpirun and the agent are scripts here, which say what they were asked and fail as planned; the
verbs are mixt's own.

Usage: test_launch.py MIXT [--only NAME] [--seed N]
"""
import os
import signal
import subprocess
import time

from harness import expect, expect_error, main

MPIRUN = """#!/bin/sh
# Fails with the codes of file 'codes', one a start; then runs the command itself.
if [ "$1" = --version ]; then echo "{version}"; exit; fi
echo "$*" >> starts
code=$(head -n 1 codes)
sed -i 1d codes
[ -z "$code" ] || exit "$code"
while [ "$1" != -n ]; do shift; done
shift 2
exec "$@"
"""
AGENT = """#!/bin/sh
# The machine 'dead' does not answer; others are this one. Each start takes a line of 'faults'.
[ "$1" != dead ] || exit 255
[ "$2" != true ] || exit 0
fault=$(flock lock sh -c 'head -n 1 faults; sed -i 1d faults')
case $fault in
fail) exit 1 ;;
short) sh -c "$2" | sed 1d ;;
late) sleep 1; kill -KILL $$ ;;
*) sh -c "$2" ;;
esac
"""
TOKENIZE = ("moses", "-l", "en", "--tokenize")


def write_script(bench, name, text):
    path = bench.path(bench.write(name, text))
    os.chmod(path, 0o755)
    return path


def write_mpirun(bench, *codes, version="mpirun (Open MPI) 4.1.4"):
    bench.write("codes", "".join(f"{code}\n" for code in codes))
    bench.write("starts", "")
    return "--mpirun=" + write_script(bench, "mpirun.sh", MPIRUN.format(version=version))


def starts(bench):
    return bench.read("starts").decode().splitlines()


def test_starts_again(bench):
    mpirun = write_mpirun(bench, 1, 137)
    result = bench.run("launch", "-n", "3", "--pause=0.01", mpirun, "--", "--version")
    expect(result.code == 0 and result.out.startswith(b"mixt "), f"the version wanted: {result}")
    expect(len(starts(bench)) == 3 and starts(bench)[0].startswith("-n 3 /"), str(starts(bench)))
    expect(result.err.count("starting again") == 2, f"two failures told: {result}")


def test_end_without_a_word(bench):
    """Exit code 0 is no success where the training did not say so: MPICH's mpirun gives it when a
    rank leaves. Questions about a training say nothing."""
    bench.write_corpus()
    bench.write_config(steps=2, every=2)
    train = ("train", "-c", "tiny.yaml", "save.dir=run")
    mpirun = write_mpirun(bench, 0, 0)
    result = bench.run("launch", "-n2", "--pause=0", mpirun, "--", *train)
    expect(result.code == 0 and len(starts(bench)) == 3, f"three starts wanted: {result}")
    expect(result.err.count("did not come to its end") == 2, str(result))
    expect(os.path.exists(bench.path("run", "best.safetensors")), "a trained model wanted")
    mpirun = write_mpirun(bench, 0, 0)
    result = bench.run("launch", "-n2", "--pause=0", "--restarts=1", mpirun, "--", *train)
    expect_error(result, 1, "2 failures in a row", has_progress=True)
    mpirun = write_mpirun(bench)
    result = bench.run("launch", "-n2", mpirun, "--", "train", "--keys")
    expect(result.code == 0 and len(starts(bench)) == 1, str(result))


def test_gives_up(bench):
    mpirun = write_mpirun(bench, 1, 1, 9, 1)
    result = bench.run("launch", "-n2", "--pause=0", "--restarts=2", mpirun, "--", "--version")
    expect_error(result, 9, "3 failures in a row", has_progress=True)
    expect(len(starts(bench)) == 3, str(starts(bench)))


def test_leaves_what_no_start_mends(bench):
    for code in (2, 3, 5):
        mpirun = write_mpirun(bench, code)
        result = bench.run("launch", "-n2", "--pause=0", mpirun, "--", "--version")
        expect(result.code == code and len(starts(bench)) == 1, f"one start, {code}: {result}")


def test_hosts(bench):
    """Those that answer are named to either mpirun, with as many ranks as they take."""
    agent = "--agent=" + write_script(bench, "agent.sh", AGENT)
    for version, wanted in (
            ("mpirun (Open MPI) 4.1.4", "-n 5 --host a:2,b:3 --mca plm_rsh_agent "),
            ("HYDRA build details:", "-n 5 -hosts a:2,b:3 -launcher ssh -launcher-exec ")):
        mpirun = write_mpirun(bench, 1, version=version)
        result = bench.run("launch", "--hosts=a:2,dead:4,b:3", agent, "--restarts=0", mpirun, "--",
                           "--version")
        expect(result.code == 1 and "dead does not answer" in result.err, str(result))
        expect(starts(bench)[0].startswith(wanted), f"{wanted!r} wanted: {starts(bench)}")
    result = bench.run("launch", "--hosts=dead", agent, "--restarts=0", mpirun, "--", "--version")
    expect_error(result, 1, "failures in a row", has_progress=True)
    expect("none of the hosts answers" in result.err, str(result))


def finish(process):
    """Its output, once it has ended by itself."""
    try:
        return process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("an end at once wanted")


def test_stops(bench):
    """A signal reaches what was started, and nothing is started again."""
    bench.write("codes", "")
    script = write_script(bench, "mpirun.sh", "#!/bin/sh\ntrap 'echo told; exit 7' TERM\n"
                          "echo ready\nwhile :; do sleep 0.05; done\n")
    with bench.start("launch", "-n2", "--mpirun=" + script, "--", "--version") as process:
        expect(process.stdout.readline() == b"ready\n", "a start wanted")
        process.send_signal(signal.SIGTERM)
        out, err = finish(process)
    expect(process.returncode == 143 and out == b"told\n", f"{process.returncode} {out} {err}")


def write_lines(bench, n_lines):
    text = "".join(f"Line {i}, {bench.sentence()[0]}.\n" for i in range(n_lines))
    bench.write("in.txt", text.rstrip("\n"))  # the last one has no end
    return bench.run(*TOKENIZE, stdin=text.rstrip("\n").encode()).out


def launch_lines(bench, *options, verb=TOKENIZE):
    return bench.run("launch", "-i", "in.txt", "-o", "out.txt", "--pause=0.01", *options, "--",
                     *verb)


def test_lines(bench):
    wanted = write_lines(bench, 9001)
    result = launch_lines(bench, "-n", "3")
    expect(result.code == 0, str(result))
    expect(bench.read("out.txt") == wanted, "the lines of one process wanted")
    expect("9001 of 9001 lines" in result.err, str(result))


def test_lines_of_broken_machines(bench):
    wanted = write_lines(bench, 9001)
    agent = "--agent=" + write_script(bench, "agent.sh", AGENT)
    faults = ["fail", "short", "late", "fail", "short"] + ["none"] * 4
    bench.random.shuffle(faults)
    bench.write("faults", "".join(fault + "\n" for fault in faults))
    result = launch_lines(bench, "--hosts=a:2,dead:1,b:1", agent)
    expect(result.code == 0, str(result))
    expect(bench.read("out.txt") == wanted, "the lines of one process wanted")
    expect(result.err.count("; again") == 5, f"five failures told: {result}")


def test_lines_that_fail(bench):
    write_lines(bench, 3000)
    agent = "--agent=" + write_script(bench, "agent.sh", AGENT)
    bench.write("faults", "short\n" * 100)
    result = launch_lines(bench, "--hosts=a:2", agent, "--restarts=2")
    expect_error(result, 1, "failed too often", has_progress=True)
    result = launch_lines(bench, "-n2", verb=("moses", "--no-such"))
    expect(result.code == 2 and "failed (exit code 2)" in result.err, str(result))
    expect(not os.path.exists(bench.path("out.txt")), "no output wanted")
    left = [name for name in os.listdir(bench.folder) if name.startswith(".mixt")]
    expect(not left, f"nothing half-written wanted: {left}")


def test_lines_stop(bench):
    write_lines(bench, 3000)
    agent = "--agent=" + write_script(bench, "agent.sh", AGENT.replace("sleep 1;", "sleep 60;"))
    bench.write("faults", "late\n" * 3)
    with bench.start("launch", "-i", "in.txt", "-o", "out.txt", "--hosts=a:3", agent, "--",
                     *TOKENIZE) as process:
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        finish(process)
    expect(process.returncode == 130, f"exit code {process.returncode}")
    expect(not os.path.exists(bench.path("out.txt")), "no output wanted")


def test_wrong(bench):
    bench.write("in.txt", "")
    result = launch_lines(bench, "-n2")
    expect(result.code == 0 and bench.read("out.txt") == b"", f"an empty output wanted: {result}")
    for arguments, code, part in (
            (("-n2", "-i", "none", "-o", "x", "--", "moses"), 1, "cannot read none"),
            (("-n2", "-i", "in.txt", "--", "moses"), 2, "go together"),
            (("--", "train"), 2, "--ranks or --hosts"),
            (("--hosts=a:0", "--", "train"), 2, "'a:0' is not"),
            (("--hosts=a:2,", "--", "train"), 2, "'' is not"),
            (("-n2", "--restarts=0", "--mpirun=./none", "--", "train"), 1, "failures in a row")):
        expect_error(bench.run("launch", *arguments), code, part, has_progress=True)


if __name__ == "__main__":
    main([value for name, value in list(globals().items()) if name.startswith("test_")])
