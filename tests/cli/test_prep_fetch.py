#!/usr/bin/env python3
"""mixt prep of data sets that have to be fetched, from a server on the loopback interface.

Usage: test_prep_fetch.py MIXT [--only NAME] [--seed N]
"""
import os
import random
import resource
import shutil
import signal
import time

import archives
import harness
from harness import expect, expect_error, main

harness.ENVIRONMENT.update({"no_proxy": "*", "NO_PROXY": "*"})
LINES = 12000


class Fetching:
    """A data set of one archive of some hundred KB, and the server it stands on."""

    def __init__(self, bench, server):
        self.bench, self.server = bench, server
        self.content = self.archive(bench.random)
        server.files["/one.tgz"] = self.content

    def archive(self, generator):
        self.texts = [archives.text_of([f"{generator.getrandbits(160):x}" for _ in range(LINES)])
                      for _ in range(2)]
        return archives.tar_of([("text.en", self.texts[0]), ("text.de", self.texts[1])])

    def describe(self, *paths, **changes):
        urls = [path if "://" in path else self.server.url + path for path in paths or ["/one.tgz"]]
        description = archives.one_archive_set(self.content, urls)
        for key, value in changes.items():
            if value is None:
                del description["archives"][0][key]
            else:
                description["archives"][0][key] = value
        archives.save_json(self.bench.path("set.json"), description)

    def start(self, *options):
        return self.bench.start("prep", "--dataset", "set.json", "-o", "out", "--text", *options)

    def run(self, *options):
        return self.bench.run("prep", "--dataset", "set.json", "-o", "out", "--text", *options)

    def expect_done(self, *options):
        result = self.run(*options)
        expect(result.code == 0, f"not fetched: {result}")
        self.expect_there()
        return result

    def expect_there(self):
        read = self.bench.read
        expect(read("out", "downloads", "one.tgz") == self.content, "other bytes were fetched")
        expect(os.listdir(self.bench.path("out", "downloads")) == ["one.tgz"], "downloads")
        expect(sum(1 for line in self.texts[0].split(b"\n") if line) == LINES, "the test's text")
        expect(read("out", "train", "source.en") == self.texts[0], "the English side differs")
        expect(read("out", "train", "target.de") == self.texts[1], "the German side differs")
        expect(not os.path.exists(self.bench.path("out.part")), "out.part is left")

    def ranges(self):
        return [entry[1] for entry in self.server.log]

    def part(self):
        return self.bench.path("out.part", "downloads", "one.tgz.part")


def fetching(test):
    def run(bench):
        with archives.Server() as server:
            test(Fetching(bench, server))
    run.__name__ = test.__name__
    return run


@fetching
def test_plain(set_):
    set_.describe()
    set_.expect_done()
    expect(set_.ranges() == [None], f"asked for {set_.ranges()}")
    replaced = set_.run("--overwrite")
    expect(replaced.code == 0, f"{replaced}")
    set_.expect_there()
    expect(len(set_.server.log) == 1, "what was fetched before was fetched again")


@fetching
def test_dropped_connections(set_):
    set_.server.manners["/one.tgz"] = ["drop", "drop", "no length", "good"]
    set_.server.tags["/one.tgz"] = '"one"'
    set_.describe()
    set_.expect_done()
    starts = [int(wanted[len("bytes="):-1]) for wanted in set_.ranges()[1:]]
    expect(len(starts) >= 3 and sorted(set(starts)) == starts, f"continued at {starts}")
    sent = sum(entry[2] for entry in set_.server.log)
    expect(sent < 1.5 * len(set_.content), f"{sent} bytes for {len(set_.content)}")


@fetching
def test_server_without_ranges(set_):
    set_.server.manners["/one.tgz"] = ["no ranges drop", "no ranges"]
    set_.describe()
    set_.expect_done()
    expect(set_.ranges()[1] is not None, "it was not asked for the rest")


@fetching
def test_file_that_changed(set_):
    """With a tag the server says so; without one only the hash tells."""
    new = set_.content
    for tags in ({"/one.tgz": '"old"'}, {}):
        set_.server.files["/one.tgz"] = archives.tar_of([("text.en", b"old\n" * 90000)]) + bytes(
            random.Random(3).randbytes(len(new) // 2))
        set_.server.tags = dict(tags)
        set_.server.manners["/one.tgz"] = ["slow"]
        set_.server.log.clear()
        set_.describe(bytes=None)
        process = set_.start()
        wait_for_part(set_, 100000)
        process.kill()
        process.communicate()
        set_.server.files["/one.tgz"] = new
        set_.server.tags = {path: '"new"' for path in tags}
        set_.expect_done()
        wanted = set_.ranges()
        expect(wanted[1] is not None, f"asked for {wanted}")
        expect(len(wanted) == (2 if tags else 3), f"asked for {wanted}")
        shutil.rmtree(set_.bench.path("out"))


def wait_for_part(set_, size, timeout_s=20):
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if os.path.exists(set_.part()) and os.path.getsize(set_.part()) >= size:
            return
        time.sleep(0.01)
    raise AssertionError("the download does not grow")


@fetching
def test_signals(set_):
    """Ctrl-C keeps the part; the next run goes on with it, also after a kill."""
    set_.describe()
    set_.server.tags["/one.tgz"] = '"one"'
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        set_.server.manners["/one.tgz"] = ["slow"]
        size = os.path.getsize(set_.part()) if os.path.exists(set_.part()) else 0
        process = set_.start()
        wait_for_part(set_, size + 20000)
        process.send_signal(number)
        _, error = process.communicate(timeout=20)
        expect(process.returncode == code, f"{number}: exit code {process.returncode}: {error}")
        if code > 0:
            expect(error.splitlines()[0] == b"mixt: interrupted", f"{error}")
        expect(os.path.getsize(set_.part()) >= size + 20000, "the part is gone")
        expect(not os.path.exists(set_.bench.path("out")), "out is there")
        unpacked = set_.bench.path("out.part", "unpacked")
        expect(not os.path.exists(unpacked) or code < 0, "work is left")
    set_.expect_done()
    sent = sum(entry[2] for entry in set_.server.log)
    expect(sent < 1.5 * len(set_.content), f"{sent} bytes for {len(set_.content)}")


@fetching
def test_part_of_no_use(set_):
    """A part that is longer than the file, another file of its length, or whole already."""
    set_.describe()
    other = bytes(len(set_.content))
    for part, n_requests in ((other + b"more", 1), (other, 1), (set_.content, 0),
                             (other[:1000], 2)):
        set_.server.log.clear()
        for name, content in ((".mixt-prep", b""), ("downloads/one.tgz.part", part)):
            path = set_.bench.path("out.part", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        set_.expect_done()
        expect(len(set_.server.log) == n_requests, f"asked for {set_.ranges()}")
        shutil.rmtree(set_.bench.path("out"))
    set_.describe(bytes=None)  # then the server has to say that there is no more (416)
    for part in (set_.content, set_.content + b"more"):
        os.makedirs(set_.bench.path("out.part", "downloads"))
        set_.bench.write("out.part/.mixt-prep", b"")
        set_.bench.write("out.part/downloads/one.tgz.part", part)
        set_.expect_done()
        shutil.rmtree(set_.bench.path("out"))


@fetching
def test_mirrors(set_):
    """404, 503 for a while, a wrong size, wrong bytes: the next address is tried."""
    set_.server.files["/short.tgz"] = set_.content[:-1]
    set_.server.files["/long.tgz"] = set_.content + b"\0"
    set_.server.files["/wrong.tgz"] = set_.content[:-1] + b"\xff"
    for path, what in (("/absent.tgz", "404"), ("/short.tgz", "published"),
                       ("/long.tgz", "published"), ("/wrong.tgz", "SHA-256"),
                       ("http://127.0.0.1:1/one.tgz", "127.0.0.1")):
        set_.describe(path, "/one.tgz")
        result = set_.expect_done()
        expect(what in result.err and "trying" in result.err, f"{path}: {result}")
        shutil.rmtree(set_.bench.path("out"))
    set_.describe()
    set_.server.manners["/one.tgz"] = ["503", "429", "good"]
    set_.expect_done()


@fetching
def test_nowhere(set_):
    """One clear line after the last address, and nothing left."""
    set_.server.files["/wrong.tgz"] = set_.content[:-1] + b"\xff"
    set_.server.files["/short.tgz"] = set_.content[:-1]
    for path, code, parts in (("/absent.tgz", 1, ["cannot fetch", "/absent.tgz", "404"]),
                              ("/wrong.tgz", 3, ["/wrong.tgz", "SHA-256"]),
                              ("/short.tgz", 3, ["/short.tgz", "bytes", "published"])):
        set_.describe(path)
        expect_error(set_.run(), code, *parts)
        expect(os.listdir(set_.bench.folder) == ["set.json"], os.listdir(set_.bench.folder))
    set_.describe(urls=[])
    expect_error(set_.run(), 1, "no address", "--from")
    expect(os.listdir(set_.bench.folder) == ["set.json"], os.listdir(set_.bench.folder))
    set_.server.manners["/one.tgz"] = ["500"] * 10
    set_.describe()
    expect_error(set_.run(), 1, "cannot fetch", "500", has_progress=True)
    expect(len(set_.server.log) < 10, "tried too often")


@fetching
def test_redirects(set_):
    set_.server.manners["/moved.tgz"] = ["redirect /one.tgz"]
    set_.describe("/moved.tgz")
    set_.expect_done()
    set_.server.manners["/round.tgz"] = ["redirect /round.tgz"] * 50
    set_.describe("/round.tgz")
    result = set_.bench.run("prep", "--dataset", "set.json", "-o", "other")
    expect_error(result, 1, "cannot fetch", "redirect")
    set_.server.manners["/local.tgz"] = ["redirect file:///etc/passwd"]
    set_.describe("/local.tgz")
    result = set_.bench.run("prep", "--dataset", "set.json", "-o", "other")
    expect_error(result, 1, "cannot fetch")


@fetching
def test_stalled(set_):
    """A connection on which nothing comes is given up, and the rest asked for anew."""
    set_.server.manners["/one.tgz"] = ["stall"]
    set_.describe()
    start_s = time.monotonic()
    set_.expect_done("--timeout", "1")
    expect(time.monotonic() - start_s < 6, "it waited for the server")
    expect(len(set_.server.log) == 2, f"asked for {set_.ranges()}")


@fetching
def test_mirror_address(set_):
    """--from URL: the address's path below it, then the archive's name."""
    set_.server.files["/base/deep/one.tgz"] = set_.content
    set_.describe("http://example.invalid/deep/one.tgz")
    set_.expect_done("--from", set_.server.url + "/base/")
    shutil.rmtree(set_.bench.path("out"))
    set_.server.files = {"/flat/one.tgz": set_.content}
    result = set_.run("--from", set_.server.url + "/flat")
    expect(result.code == 0, f"{result}")
    shutil.rmtree(set_.bench.path("out"))
    expect_error(set_.run("--from", set_.server.url + "/none"), 1, "/none/deep/one.tgz", "404",
                 has_progress=True)


@fetching
def test_unverified(set_):
    """Other bytes are taken with --no-verify, and said to be."""
    set_.describe(sha256="0" * 64, md5=None, bytes=17)
    expect_error(set_.run(), 3, "published")
    result = set_.run("--no-verify", "--downloads", "kept")
    expect(result.code == 0 and "not the published archive" in result.err, f"{result}")
    expect(set_.bench.read("kept", "one.tgz") == set_.content, "other bytes in kept")
    expect(not os.path.exists(set_.bench.path("out", "downloads")), "out/downloads")


@fetching
def test_bad_without_hash(set_):
    """A damaged archive that nothing but its own CRC can judge is not kept for the next run."""
    content = set_.content
    set_.server.files["/one.tgz"] = content[:-6] + b"\xff" + content[-5:]
    set_.describe(sha256=None, md5=None)
    expect_error(set_.run(), 3, "one.tgz", "damaged")
    expect(os.listdir(set_.bench.folder) == ["set.json"], os.listdir(set_.bench.folder))
    set_.server.files["/one.tgz"] = content
    set_.expect_done()


@fetching
def test_full_disk(set_):
    set_.describe()
    for limit in (1000, len(set_.content) + 1000):
        result = set_.bench.run(
            "prep", "--dataset", "set.json", "-o", "out",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        expect_error(result, 1, "cannot write", "File too large", has_progress=True)
        left = sorted(os.listdir(set_.bench.folder))
        if limit == 1000:
            expect(left == ["set.json"], f"left: {left}")
        else:  # the archive was complete
            expect(os.listdir(set_.bench.path("out.part", "downloads")) == ["one.tgz"], left)
            expect(sorted(os.listdir(set_.bench.path("out.part"))) == [".mixt-prep", "downloads"],
                   os.listdir(set_.bench.path("out.part")))


if __name__ == "__main__":
    main([test_plain, test_dropped_connections, test_server_without_ranges, test_file_that_changed,
          test_signals, test_part_of_no_use, test_mirrors, test_nowhere, test_redirects,
          test_stalled, test_mirror_address, test_unverified, test_bad_without_hash,
          test_full_disk])
