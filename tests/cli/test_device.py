"""--device and train.device: names, and what is missing said in one line.

A copy of the program stands in a folder of its own, so that no module that was built is found.
"""
import os
import shlex
import shutil
import subprocess

from harness import ENVIRONMENT, expect, expect_error, main

ALONE = {name: value for name, value in ENVIRONMENT.items() if name != "LD_LIBRARY_PATH"}


def alone(bench):
    """The program as DIR/bin/mixt."""
    os.makedirs(bench.path("bin"), exist_ok=True)
    shutil.copy(bench.program, bench.path("bin", "mixt"))
    bench.program = bench.path("bin", "mixt")


def score(bench, device):
    return bench.run("score", "-m", "nosuch", "--device", device, "a", "b", env=ALONE)


def any_library():
    """A library that is no module of mixt."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            path = line.split()[-1]
            if "/libm.so" in path or "/libc.so" in path or "/libz.so" in path:
                return path
    raise AssertionError("no library found to try")


def test_unknown_device(bench):
    for name in ("gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:1", "", "a" * 100):
        expect_error(score(bench, name), 2, "no device", "cuda:N")
    expect_error(score(bench, "ref_bf16:1"), 2, "no device")
    expect_error(score(bench, "cpu_tf32"), 2, "tf32")


def test_unknown_in_settings(bench):
    bench.write("tiny.yaml", "train:\n  device: gpu\n")
    expect_error(bench.run("train", "-c", "tiny.yaml", "save.dir=run"), 2, "tiny.yaml:2: ",
                 "train.device", "gpu", "cuda:N")
    bench.write_corpus(20)
    bench.write_config()
    expect_error(bench.run("train", "-c", "tiny.yaml", "save.dir=run", "train.device=cpu",
                           "train.compute=tf32"), 2, "tf32")
    expect_error(score(bench, "cuda-emu_fp16"), 2, "GPUs compute in f32, tf32 or bf16")


def test_no_module(bench):
    alone(bench)
    expect_error(score(bench, "cuda"), 1, "cuda: there is no libmixt-cuda.so")
    bench.write_corpus(20)
    bench.write_config()
    expect_error(bench.run("train", "-c", "tiny.yaml", "save.dir=run", "train.device=cuda:1",
                           env=ALONE), 1, "libmixt-cuda.so")
    expect_error(score(bench, "auto"), 1, "nosuch") # goes on with the processor


def test_broken_module(bench):
    alone(bench)
    bench.write("bin/libmixt-cuda.so", b"")
    expect_error(score(bench, "cuda"), 1, "libmixt-cuda.so cannot be loaded", "too short")
    expect_error(score(bench, "auto"), 1, "nosuch")


def test_foreign_module(bench):
    alone(bench)
    os.mkdir(bench.path("lib"))
    shutil.copy(any_library(), bench.path("lib", "libmixt-cuda.so"))
    expect_error(score(bench, "cuda"), 1, "another version of mixt")


def test_real_module(bench):
    """Where the module for GPUs was built, it loads, and misses at most the driver or a GPU."""
    folder = os.environ.get("MIXT_CUDA_FOLDER")
    if not folder:
        return
    result = bench.run("score", "-m", "nosuch", "--device", "cuda", "a", "b",
                       env={**ENVIRONMENT, "LD_LIBRARY_PATH": folder})
    expect_error(result, 1, "mixt: ")
    expect(any(part in result.err for part in ("driver", "no GPU", "nosuch")), result)


def cuda_folders(module):
    """Where the loader finds NVIDIA's libraries that the module needs."""
    listed = subprocess.run(["ldd", module], stdout=subprocess.PIPE, text=True, check=True).stdout
    paths = [line.split()[2] for line in listed.splitlines()
             if line.split()[0].startswith(("libcu", "libnccl")) and "=> /" in line]
    return sorted({os.path.dirname(os.path.realpath(path)) for path in paths})


def test_hidden_libraries(bench):
    """The real module where NVIDIA's libraries are hidden: the processor works, and the GPU says
    which library is missing. Needs a mount namespace of its own."""
    folder = os.environ.get("MIXT_CUDA_FOLDER")
    if not folder or subprocess.run(["unshare", "-rm", "true"], stderr=subprocess.DEVNULL,
                                    check=False).returncode != 0:
        return
    folders = cuda_folders(os.path.join(folder, "libmixt-cuda.so"))
    expect(folders, "the module needs no library of NVIDIA's")
    if any(path.startswith(("/lib", "/usr/lib")) for path in folders):
        return # what else needs them cannot do without these folders
    program, bench.program = bench.program, shutil.which("unshare")
    hide = "".join(f"mount -t tmpfs none {shlex.quote(path)} && " for path in folders)

    def hidden(*arguments):
        return bench.run("-rm", "sh", "-c", hide + 'exec "$0" "$@"', program, *arguments,
                         env={**ENVIRONMENT, "LD_LIBRARY_PATH": folder})

    expect_error(hidden("score", "-m", "nosuch", "--device", "cuda", "a", "b"), 1,
                 "libmixt-cuda.so", "cannot be loaded", ".so.")
    expect_error(hidden("score", "-m", "nosuch", "--device", "auto", "a", "b"), 1, "nosuch")
    bench.write_corpus(20)
    bench.write_config(steps=1, every=1)
    result = hidden("train", "-c", "tiny.yaml", "save.dir=run", "train.device=cpu")
    expect(result.code == 0, result)


def test_bench_device(bench):
    expect_error(bench.run("bench", "op", "--seconds", "0", "--device", "gpu"), 2, "gpu")


if __name__ == "__main__":
    main([value for name, value in list(globals().items()) if name.startswith("test_")])
