"""Runs a program under the mpirun of one MPI library; what the tests of this folder share.

Usage: ranks.py NAME FOLDER COUNT PROGRAM [ARGUMENT...]
NAME is openmpi or mpich, and FOLDER that of libmixt-NAME.so. Exits with mpirun's code, or with 77
and a reason where one of the two is missing.
"""
import os
import shutil
import signal
import subprocess
import sys

SKIPPED = 77
LIMIT_S = 100
LIBRARIES = ("openmpi", "mpich")


def find_mpirun(name):
    """The library's mpirun, or None; distributions that have both put the name at its end."""
    for candidate in (f"mpirun.{name}", f"mpiexec.{name}", "mpirun", "mpiexec"):
        path = shutil.which(candidate)
        if not path:
            continue
        about = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        words = about.stdout + about.stderr
        if ("Open MPI" in words or "OpenRTE" in words) == (name == "openmpi"):
            return path
    return None


def command_start(name):
    """The start of a command line that runs ranks of a library whose mpirun is there."""
    return [find_mpirun(name)] + (["--oversubscribe"] if name == "openmpi" else [])


def what_lacks(name, folder):
    lacks = [] if find_mpirun(name) else [f"mpirun of {name}"]
    module = f"libmixt-{name}.so"
    return lacks + ([] if os.path.exists(os.path.join(folder, module)) else [module])


def usable_libraries(folder):
    return [name for name in LIBRARIES if not what_lacks(name, folder)]


def require(name, folder):
    """The start of a command line; exits where it cannot be had."""
    lacks = what_lacks(name, folder)
    if lacks:
        print("skipped; missing:", " and ".join(lacks))
        sys.exit(SKIPPED)
    return command_start(name)


def environment(folder):
    """Cores are shared with other tests: who waits sleeps. Where tests run as root, MPI may. What
    the libraries of MPI leave at their end is not ours to look for."""
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    return dict(os.environ, OMP_WAIT_POLICY="passive", ASAN_OPTIONS=sanitizer.lstrip(":"),
                OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                OMPI_MCA_mpi_yield_when_idle="1",
                OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_hwloc_base_binding_policy="none",
                LD_LIBRARY_PATH=folder + ":" + os.environ.get("LD_LIBRARY_PATH", ""))


def start(command, folder, **more):
    return subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL, start_new_session=True,
                            env=dict(environment(folder), **more.pop("env", {})), **more)


def main():
    name, folder, count = sys.argv[1:4]
    command = require(name, folder) + ["-n", count] + sys.argv[4:]
    process = start(command, folder)
    try:
        return process.wait(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        print(f"not done after {LIMIT_S} s:", *command)
        return 1


if __name__ == "__main__":
    sys.exit(main())
