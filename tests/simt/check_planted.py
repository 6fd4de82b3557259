#!/usr/bin/env python3
"""Checks that the emulator finds each planted defect, and none where there is none.

Usage: check_planted.py FLAVOUR PROGRAM        one program: plain, asan or check
       check_planted.py --clang ROOT FOLDER    builds all three with clang++ in FOLDER, and checks

Exits 77, saying why, where clang++ or CUDA's headers are missing.
"""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys

N_SEEDS = 20
CUDA_INCLUDE = "/usr/local/cuda/include"

# What each flavour must do with a defect. CLEAN: no result is wrong and nothing reported, in any
# run. WRONG: some result is wrong. A text: a report in every run that contains it (or the program
# ended by it). None: the flavour cannot see it, or not surely.
CLEAN, WRONG = "clean", "wrong"
EXPECTED = {
    # defect: (plain, asan, check)
    "clean": (CLEAN, CLEAN, CLEAN),
    "no_barrier_after_write": (WRONG, WRONG, "race: "),
    "no_barrier_before_reuse": (WRONG, WRONG, "race: "),
    "no_barrier_in_tree": (WRONG, WRONG, "race: "),
    "no_syncwarp": (WRONG, WRONG, "race: "),
    "partial_syncwarp": (None, None, "race: "),
    "divergent_barrier": ("barrier", "barrier", "barrier"),
    "exit_before_barrier": ("barrier after exit", "barrier after exit", "barrier after exit"),
    "missing_thread": ("deadlock", "deadlock", "deadlock"),
    "shuffle_mask": ("warp collective mismatch",) * 3,
    "shuffle_inactive": ("shuffle from inactive lane",) * 3,
    "shared_unwritten": (WRONG, WRONG, "uninitialised: read"),
    "shared_overrun": (WRONG, "use-after-poison", "out of bounds: write"),
    "read_overrun": (None, "use-after-poison", "out of bounds: read"),
    "write_overrun": (None, "use-after-poison", "out of bounds: write"),
    "local_overrun": (None, "out of bounds", "out of bounds: index 2"),
    "misaligned": (WRONG, "misaligned address", "misaligned: access"),
    "global_unwritten": (None, None, "uninitialised: read"),
    "no_atomic": (None, None, "race: "),
    "atomic_and_read": (None, None, "race: "),
    "many_readers": (None, None, "race: "),
    "byte_in_word": (None, None, "race: write"),
    "blocks_meet": (WRONG, WRONG, "race: write"),
    "host_read": (None, None, "kernel reads host memory"),
    "host_write": (None, None, "kernel writes host memory"),
    "others_local": (None, None, "local variable of another thread"),
    "other_device": ("another device's memory", "another device's memory",
                     "kernel of device 0 touches device 1"),
    "use_after_free": (None, "use-after-poison", "out of bounds: read"),
    "double_free": ("cudaFree of what is not allocated",) * 3,
    "ragged_block": ("are not whole warps",) * 3,
    "copy_overrun": ("copy: source of 64 bytes out of bounds",) * 3,
    "copy_kind": ("copy: kind 1 does not fit",) * 3,
    "copy_unwritten": (None, None, "copy to the host: uninitialised"),
    "library_overrun": ("library: A: reads 65 bytes out of bounds",) * 3,
    "host_dereference": ("HOST code dereferenced DEVICE memory",) * 3,
    "no_sync": (WRONG, WRONG, WRONG),
    "no_event": (WRONG, WRONG, WRONG),
}
# clang++ loads a float4 by its parts and asks for no more than their alignment.
UNSEEN_BY_CLANG = ("misaligned",)
FLAVOURS = ("plain", "asan", "check")
SUMMARY = re.compile(r"^(\w+): wrong (\d+), flagged (\d+) of (\d+): (.*)$", re.MULTILINE)


def run(program, defect):
    """Exit code and all output of one defect under all seeds."""
    environment = dict(os.environ, SIMT_DEVICES="2", SIMT_REPORTS="1000",
                       ASAN_OPTIONS="detect_leaks=0", UBSAN_OPTIONS="halt_on_error=1")
    done = subprocess.run([program, defect, str(N_SEEDS)], env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280)
    return done.returncode, done.stdout.decode(errors="replace")


def complaint(expected, code, output):
    """What is wrong with the outcome of one defect, or None."""
    found = SUMMARY.search(output)
    n_wrong, n_flagged, message = (int(found[2]), int(found[3]), found[5]) if found else (0, 0, "")
    if expected == CLEAN and (code or not found or n_wrong or n_flagged):
        return f"is not clean (exit code {code}, wrong {n_wrong}, flagged {n_flagged}: {message})"
    if expected == WRONG and n_wrong == 0:
        return f"shows in no result (exit code {code})"
    if expected in (CLEAN, WRONG, None):
        return None
    if expected not in output:
        return f"is not reported as '{expected}', but: {message}"
    if found and (n_flagged < N_SEEDS or code == 0):
        return f"is reported in {n_flagged} of {N_SEEDS} runs, with exit code {code}"
    return None if code else "ends with exit code 0"


def check(flavour, program, unseen=()):
    """Complaints about one program."""
    complaints = []
    column = FLAVOURS.index(flavour)
    listed = subprocess.run([program, "--list"], stdout=subprocess.PIPE).stdout.decode().split()
    if sorted(listed) != sorted(EXPECTED):
        return [f"{flavour}: the defects are not those of this program: {listed}"]
    for defect, expected in EXPECTED.items():
        wanted = None if defect in unseen else expected[column]
        what = complaint(wanted, *run(program, defect))
        if what:
            complaints.append(f"{flavour}: {defect} {what}")
    print(f"{flavour}: {len(EXPECTED)} defects, {N_SEEDS} seeds, {len(complaints)} complaints")
    return complaints


# ---- builds with another compiler ----

COMMON = ["-g", "-fPIC", "-isystem", CUDA_INCLUDE]
SANITIZE = ["-fsanitize=address,undefined"]
SETTINGS = {  # of the emulator, of kernels
    "plain": (["-O2"], ["-O2"]),
    "asan": (["-O1"] + SANITIZE, ["-O1"] + SANITIZE),
    "check": (["-O2", "-DSIMT_CHECK"], ["-O1", "-fsanitize=thread,alignment,array-bounds"]),
}


def compile_file(source, target, arguments):
    command = arguments + ["-c", source, "-o", target]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout.decode()}")
    return target


def build(flavour, root, folder):
    """The program of one flavour."""
    host, kernels = SETTINGS[flavour]
    here = os.path.join(root, "tests", "simt")
    common = COMMON + ["-I", root]
    cpp = ["clang++", "-std=gnu++17"] + common
    jobs = [(name, cpp + host) for name in sorted(glob.glob(os.path.join(here, "*.cc")))]
    jobs += [(os.path.join(here, "planted.cu"), cpp + kernels + ["-x", "c++"]),
             (os.path.join(here, "planted.c"), ["clang", "-std=gnu11"] + common)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda job: compile_file(
            job[0], os.path.join(folder, f"{os.path.basename(job[0])}.{flavour}.o"), job[1]),
            jobs))
    program = os.path.join(folder, "planted_" + flavour)
    link = ["clang++"] + (SANITIZE if flavour == "asan" else []) + objects
    subprocess.run(link + ["-o", program, "-ldl", "-lpthread"], check=True)
    return program


def check_clang(root, folder):
    for wanted, found in (("clang++", shutil.which("clang++")),
                          (CUDA_INCLUDE, os.path.isdir(CUDA_INCLUDE))):
        if not found:
            print(f"skipped: no {wanted}")
            sys.exit(77)
    os.makedirs(folder, exist_ok=True)
    return [line for flavour in FLAVOURS
            for line in check(flavour, build(flavour, root, folder), UNSEEN_BY_CLANG)]


def main():
    if sys.argv[1] == "--clang":
        complaints = check_clang(sys.argv[2], sys.argv[3])
    else:
        complaints = check(sys.argv[1], sys.argv[2])
    print(*complaints, sep="\n", end="\n" if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
