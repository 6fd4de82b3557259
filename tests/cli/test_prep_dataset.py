#!/usr/bin/env python3
"""mixt prep of data sets, from folders of small archives with the published inner structure.

Usage: test_prep_dataset.py MIXT [--only NAME] [--seed N]
"""
import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import re
import resource
import shutil
import subprocess
import tarfile
import zipfile

import archives
from harness import WORDS, expect, expect_error, expect_same_files, main, snapshot

RAW = ["--keep-space", "--normalize", "none"]  # leaves the text of the kept pairs untouched


def wmt(bench, target="de"):
    return archives.Wmt(bench.random, WORDS, target)


def segment(line):
    """What sacreBLEU makes of the text of a segment."""
    return re.sub(r"\s+", " ", line.strip())


def expect_nothing_left(bench, *names):
    """Neither the output nor anything beside it, but for the files named."""
    left = sorted(name for name in os.listdir(bench.folder) if name.startswith("out"))
    expect(left == sorted(names), f"left behind: {left}")


def corpus(bench, folder):
    """The pairs of a corpus."""
    sides = []
    for side in ("source", "target"):
        result = bench.run("prep", "cat", folder, "--side", side)
        expect(result.code == 0, f"prep cat: {result}")
        lines = result.out.decode().split("\n")
        expect(lines.pop() == "", "the last line has no end")
        sides.append(lines)
    return list(zip(*sides))


def expect_wmt(bench, small, folder="out"):
    for part, names in (("dev", ["newstest2012", "newstest2013"]), ("test", ["newstest2014"])):
        for side, language in enumerate(("en", small.target)):
            wanted = "".join(segment(line) + "\n" for name in names
                             for line in small.texts[name][side])
            found = bench.read(folder, f"{part}.{language}").decode()
            expect(found == wanted, f"{part}.{language}: {found[:300]!r} not {wanted[:300]!r}")
    found, wanted = corpus(bench, f"{folder}/train"), small.train()
    expect(len(found) == len(wanted), f"{len(found)} pairs, not {len(wanted)}")
    for mine, theirs in zip(found, wanted):
        expect(mine == theirs, f"{mine!r} not {theirs!r}")


def expect_wmt_manifest(bench, small, folder, verified):
    manifest = json.loads(bench.read(folder, "manifest.json"))
    lines = {text["name"]: text["lines"] for text in manifest["texts"]}
    expect(sorted(lines.values()) == sorted(len(sides[0]) for sides in small.texts.values()),
           f"lines {lines}")
    expect(manifest["made"]["verified"] is verified, "verified")
    expect(manifest["made"]["train"]["pairs"] == len(small.train()), "pairs")
    for archive in manifest["made"]["archives"]:
        content = small.archives[archive["name"]]
        expect(archive["bytes"] == len(content), f"bytes of {archive}")
        expect(archive["sha256"] == hashlib.sha256(content).hexdigest(), f"hash of {archive}")
        expect(archive["published"] is verified, f"published of {archive}")
    for file in manifest["made"]["files"]:
        content = bench.read(folder, file["name"])
        expect(file["sha256"] == hashlib.sha256(content).hexdigest(), f"hash of {file}")
        expect(file["lines"] == content.count(b"\n"), f"lines of {file}")
        expect(file["bytes"] == len(content), f"bytes of {file}")


def test_published_names(bench):
    """The built-in description fits archives of the published structure."""
    small = wmt(bench)
    small.write(bench.path("folder"))
    result = bench.run("prep", "wmt14-en-de", "--from", "folder", "--no-verify", "-o", "out", *RAW)
    expect(result.code == 0 and result.out == b"", f"prep failed: {result}")
    expect("not the published archive" in result.err, f"said nothing of --no-verify: {result}")
    expect_wmt(bench, small)
    expect_wmt_manifest(bench, small, "out", False)
    expect_nothing_left(bench, "out")
    refused = bench.run("prep", "wmt14-en-de", "--from", "folder", "-o", "other")
    expect_error(refused, 3, "training-parallel-europarl-v7.tgz", "published")
    again = bench.run("prep", "wmt14-en-de", "--from", "folder", "--no-verify", "-o", "out")
    expect_error(again, 2, "out exists", "--overwrite")
    expect_wmt(bench, small)
    os.mkdir(bench.path("mine"))
    bench.write("mine/thesis.txt", "years of work")
    expect_error(bench.run("prep", "wmt14-en-de", "--from", "folder", "--no-verify", "-o", "mine",
                           "--overwrite"), 2, "mine exists")
    expect(bench.read("mine", "thesis.txt") == b"years of work", "a stranger's file is gone")
    replaced = bench.run("prep", "wmt14-en-de", "--from", "folder", "--no-verify", "-o", "out/",
                         "--overwrite", *RAW)
    expect(replaced.code == 0, f"--overwrite: {replaced}")
    expect_wmt(bench, small)
    expect_nothing_left(bench, "out")


def test_french(bench):
    """Five training texts, two of them .gz members of an uncompressed .tar."""
    small = wmt(bench, "fr")
    words = [archives.invent(bench.random, n, WORDS) for n in (30, 20)]
    small.archives["training-parallel-un.tgz"] = archives.tar_of(
        [("un/undoc.2000.fr-en.en", archives.text_of(words[0][0])),
         ("un/undoc.2000.fr-en.fr", archives.text_of(words[0][1]))])
    small.archives["training-giga-fren.tar"] = archives.tar_of(
        [("giga-fren.release2.fixed.en.gz", archives.gzip_of(archives.text_of(words[1][0]))),
         ("giga-fren.release2.fixed.fr.gz", archives.gzip_of(archives.text_of(words[1][1])))],
        mode="w")
    small.write(bench.path("folder"))
    result = bench.run("prep", "wmt14-en-fr", "--from", "folder", "--no-verify", "-o", "out", *RAW)
    expect(result.code == 0, f"prep failed: {result}")
    wanted = small.train()
    at = len([pair for name in ("europarl", "commoncrawl") for pair in zip(*small.texts[name])
              if all(pair)])
    wanted[at:at] = zip(*words[0])
    wanted += zip(*words[1])
    expect(corpus(bench, "out/train") == wanted, "the training pairs differ")
    expect(bench.read("out", "test.fr").decode() ==
           "".join(segment(line) + "\n" for line in small.texts["newstest2014"][1]), "test.fr")


def test_other_places(bench):
    """Held-out text from the archives of the single years, under their names or their address's
    path; from plain text; and from unpacked members, where there are no archives."""
    small = wmt(bench)
    del small.archives["dev.tgz"]
    years = {}
    for year in ("2012", "2013"):
        source, target = small.texts["newstest" + year]
        years[year] = archives.tar_of(
            [(f"test/newstest{year}-src.en.sgm", archives.sgml_of(source, "srcset", "en")),
             (f"test/newstest{year}-src.de.sgm", archives.sgml_of(target, "srcset", "de"))])
    small.write(bench.path("folder"))
    bench.write("folder/wmt12-test.tgz", years["2012"])
    os.mkdir(bench.path("folder", "wmt13"))
    bench.write("folder/wmt13/test.tgz", years["2013"])
    result = bench.run("prep", "wmt14-en-de", "--from", "folder", "--no-verify", "-o", "out", *RAW)
    expect(result.code == 0, f"prep failed: {result}")
    expect_wmt(bench, small)

    plain = archives.tar_of([(f"dev/newstest{year}.{language}",
                              archives.text_of(small.texts["newstest" + year][side]))
                             for year in ("2012", "2013")
                             for side, language in enumerate(("en", "de"))])
    os.remove(bench.path("folder", "wmt12-test.tgz"))
    os.remove(bench.path("folder", "wmt13", "test.tgz"))
    bench.write("folder/dev.tgz", plain)
    result = bench.run("prep", "wmt14-en-de", "--from", "folder", "--no-verify", "-o", "out2", *RAW)
    expect(result.code == 0, f"prep failed: {result}")
    wanted = small.texts["newstest2012"][1] + small.texts["newstest2013"][1]
    expect(bench.read("out2", "dev.de") == archives.text_of(wanted), "plain text was changed")

    for name in small.archives:
        with tarfile.open(bench.path("folder", name)) as tar:
            tar.extractall(bench.path("folder"))
        os.remove(bench.path("folder", name))
    with tarfile.open(bench.path("folder", "dev.tgz")) as tar:
        tar.extractall(bench.path("folder"))
    os.remove(bench.path("folder", "dev.tgz"))
    europarl = bench.path("folder", "training", "europarl-v7.de-en.en")
    bench.write(europarl + ".gz", archives.gzip_of(bench.read(europarl)))
    os.remove(europarl)
    result = bench.run("prep", "wmt14-en-de", "--from", "folder", "--no-verify", "-o", "out3", *RAW)
    expect(result.code == 0 and "found unpacked" in result.err, f"prep failed: {result}")
    expect_same_files(snapshot(bench.path("out2"), (".en", ".de", ".bin")),
                      snapshot(bench.path("out3"), (".en", ".de", ".bin")), "unpacked")
    expect_error(bench.run("prep", "wmt14-en-de", "--from", "folder", "-o", "out4"), 3,
                 "europarl-v7 has 60 lines, but 1920209 were published")


def test_description(bench):
    """A described set is verified; its manifest makes the same again."""
    small = wmt(bench)
    small.write(bench.path("folder"))
    archives.save_json(bench.path("set.json"), small.description())
    result = bench.run("prep", "--dataset", "set.json", "--from", "folder", "-o", "out", *RAW)
    expect(result.code == 0, f"prep failed: {result}")
    expect("--no-verify" not in result.err, f"a word on --no-verify: {result}")
    expect_wmt(bench, small)
    expect_wmt_manifest(bench, small, "out", True)
    again = bench.run("prep", "--dataset", "out/manifest.json", "--from", "folder", "-o", "again",
                      *RAW)
    expect(again.code == 0, f"from the manifest: {again}")
    endings = (".en", ".de", ".bin")
    expect_same_files(snapshot(bench.path("out"), endings), snapshot(bench.path("again"), endings),
                      "made from the manifest")
    changed = json.loads(bench.read("out", "manifest.json"))
    changed["texts"][0]["sides"][0]["sha256"] = "0" * 64
    archives.save_json(bench.path("set.json"), changed)
    expect_error(bench.run("prep", "--dataset", "set.json", "--from", "folder", "-o", "out5"), 3,
                 "europarl-v7.de-en.en", "SHA-256", "0" * 64)
    cleaned = bench.run("prep", "wmt14-en-de", "--from", "folder", "--no-verify", "-o", "out6")
    expect(cleaned.code == 0, f"with cleaning: {cleaned}")
    wanted = [tuple(segment(text) for text in pair) for pair in small.train()]
    expect(corpus(bench, "out6/train") == wanted, "cleaned text differs")


def flip(content, place):
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1:]


def middle(name):
    return lambda small: small.archives.update(
        {name: flip(small.archives[name], len(small.archives[name]) // 2)})


def cut(name):
    return lambda small: small.archives.update(
        {name: small.archives[name][:len(small.archives[name]) * 2 // 3]})


def rebuilt(name, change, mode="w:gz"):
    """Replaces an archive by one whose members went through change(list of (name, bytes))."""
    def damage(small):
        members = []
        with tarfile.open(fileobj=io.BytesIO(small.archives[name])) as tar:
            for entry in tar:
                if entry.isfile():
                    members.append((entry.name, tar.extractfile(entry).read()))
        small.archives[name] = archives.tar_of(change(members), mode)
    return damage


def replaced(member, content):
    return lambda members: [(name, content(old) if name == member else old)
                            for name, old in members]


def renamed(member, other):
    return lambda members: [(other if name == member else name, content)
                            for name, content in members]


def large_with_wrong_crc(small):
    """The damage stands long after all members and the end of the .tar, behind its padding."""
    small.texts["news"] = [[f"{number} of many" for number in range(100000)]] * 2
    small.build()
    padded = gzip.decompress(small.archives[NEWS]) + bytes(1 << 20)
    small.archives[NEWS] = flip(archives.gzip_of(padded), -6)


NEWS = "training-parallel-nc-v9.tgz"
NEWS_EN = "training/news-commentary-v9.de-en.en"
TEST = "test-full.tgz"
TEST_DE = "test-full/newstest2014-deen-ref.de.sgm"

# what is done, exit code, parts of the message; with and without --no-verify
VERIFIED = [
    (middle(NEWS), 3, [NEWS, "SHA-256"]),
    (cut(NEWS), 3, [NEWS, "bytes, but", "published"]),
    (lambda small: small.archives.pop(NEWS), 1, [NEWS, "neither"]),
    (lambda small: small.archives.update({NEWS: b""}), 3, [NEWS, "has 0 bytes"]),
]
UNVERIFIED = [
    (middle(NEWS), 3, [NEWS, "damaged"]),
    (cut(NEWS), 3, [NEWS, "cut off"]),
    (lambda small: small.archives.update({NEWS: small.archives[NEWS][:-4] + b"\0\1\2\3"}), 3,
     [NEWS, "length"]),
    (lambda small: small.archives.update({NEWS: flip(small.archives[NEWS], -6)}), 3,
     [NEWS, "check"]),
    (large_with_wrong_crc, 3, [NEWS, "check"]),
    (lambda small: small.archives.update({NEWS: b""}), 3, ["has no member", NEWS_EN]),
    (lambda small: small.archives.update({NEWS: b"<!DOCTYPE html>\n<html>not found</html>\n"}), 3,
     [NEWS, "not a readable archive"]),
    (lambda small: small.archives.pop(NEWS), 1, [NEWS, "neither"]),
    (rebuilt(NEWS, renamed(NEWS_EN, "training/news-commentary-v9.de-en.eng")), 3,
     ["has no member", NEWS_EN, "nearest", "training/news-commentary-v9.de-en.eng"]),
    (rebuilt(NEWS, renamed(NEWS_EN, "news-commentary-v9.de-en.en")), 3,
     ["has no member", NEWS_EN, "is news-commentary-v9.de-en.en"]),
    (rebuilt(NEWS, lambda members: members + [members[0]]), 3, ["twice"]),
    (rebuilt(NEWS, lambda members: [members[0], archives.link(NEWS_EN, "/etc/passwd")]), 3,
     [NEWS_EN, "symbolic link"]),
    (rebuilt(NEWS, lambda members: [members[0], archives.directory(NEWS_EN)]), 3,
     [NEWS_EN]),
    (rebuilt(NEWS, lambda members: [members[0], archives.claim(NEWS_EN, 1 << 60)]), 3,
     [NEWS_EN, "states a size"]),
    (rebuilt(NEWS, lambda members: [members[0], archives.claim(NEWS_EN, 1 << 30)]), 3,
     [NEWS, "Truncated"]),
    (rebuilt(NEWS, lambda members: [members[0], ("../../" + NEWS_EN, b"x\n")]), 3,
     ["has no member", NEWS_EN]),
    (rebuilt(NEWS, replaced(NEWS_EN, lambda old: old + b"one more\n")), 3,
     [NEWS_EN, "has 26 lines", "has 25"]),
    (rebuilt(TEST, replaced(TEST_DE, lambda old: old.replace(b'<seg id="2">', b"", 1))), 3,
     ["newstest2014-deen"]),
    (rebuilt(TEST, replaced(TEST_DE, lambda old: old.replace(b"</seg>", b"", 1))), 3,
     [TEST_DE, "</seg>"]),
    (rebuilt(TEST, replaced(TEST_DE, lambda old: old.replace(b"invented.1", b"other", 1))), 3,
     [TEST_DE, "document 'other'"]),
    (rebuilt(TEST, replaced(TEST_DE, lambda old: b"no segments\n")), 3, [TEST_DE]),
]


def expect_refused(bench, number, case, *options):
    damage, code, parts = case
    small = wmt(bench)
    folder = bench.path(f"folder{number}{len(options)}")
    damage(small)
    small.write(folder)
    result = bench.run("prep", *options, "--from", folder, "-o", "out")
    expect_error(result, code, *parts)
    expect_nothing_left(bench)


def test_damage_verified(bench):
    for number, case in enumerate(VERIFIED):
        bench.random = random.Random(bench.seed)
        archives.save_json(bench.path("set.json"), wmt(bench).description())
        bench.random = random.Random(bench.seed)
        expect_refused(bench, number, case, "--dataset", "set.json")


def test_damage_unverified(bench):
    for number, case in enumerate(UNVERIFIED):
        expect_refused(bench, number, case, "wmt14-en-de", "--no-verify")


def test_counts(bench):
    """Counts that differ from those described, of a text and of all pairs."""
    small = wmt(bench)
    small.write(bench.path("folder"))
    for change, parts in (
            (lambda set_: set_["texts"][1].update(lines=41),
             ["commoncrawl has 40 lines, but 41 were published"]),
            (lambda set_: set_["texts"][4].update(lines=7),
             ["newstest2013 has 8 lines, but 7 were published"]),
            (lambda set_: set_.update(pairs=121), ["122", "121 were published"]),
            (lambda set_: set_.update(pairs=123), ["122", "123 were published"]),
            (lambda set_: set_.update(pairs=110, tolerance=0.1), ["about 110"])):
        description = small.description()
        expect(description["pairs"] == 122, "the test's own count")
        change(description)
        archives.save_json(bench.path("set.json"), description)
        result = bench.run("prep", "--dataset", "set.json", "--from", "folder", "-o", "out")
        expect_error(result, 3, *parts, has_progress=True)
        expect_nothing_left(bench)
    description["tolerance"] = 0.11
    archives.save_json(bench.path("set.json"), description)
    result = bench.run("prep", "--dataset", "set.json", "--from", "folder", "-o", "out")
    expect(result.code == 0, f"within the tolerance: {result}")


def test_wrong_descriptions(bench):
    good = wmt(bench).description()
    bench.write("broken.json", '{"format": "mixt-dataset", ')
    expect_error(bench.run("prep", "--dataset", "broken.json", "-o", "out"), 3, "broken.json:1",
                 "not JSON")
    for change, parts in (
            (lambda set_: set_.update(format="other"), ["format"]),
            (lambda set_: set_.update(version=2), ["version"]),
            (lambda set_: set_.pop("name"), ["name", "missing"]),
            (lambda set_: set_.update(name="../up"), ["name"]),
            (lambda set_: set_.update(languages=["en"]), ["languages"]),
            (lambda set_: set_.update(languages=["en", "a/b"]), ["languages"]),
            (lambda set_: set_.update(pairs=-1), ["pairs"]),
            (lambda set_: set_.update(archives=[]), ["archives"]),
            (lambda set_: set_.update(colour=1), ["colour", "known are"]),
            (lambda set_: set_["archives"][0].update(sha256="xyz"), ["archives[0].sha256"]),
            (lambda set_: set_["archives"][1].update(name=set_["archives"][0]["name"]),
             ["archives[1].name"]),
            (lambda set_: set_["archives"][0].update(name="a/b"), ["archives[0].name"]),
            (lambda set_: set_["archives"][0].update(urls=["file:///etc/passwd"]),
             ["archives[0].urls"]),
            (lambda set_: set_["texts"][2].update(part="training"), ["texts[2].part"]),
            (lambda set_: set_["texts"][2].update(sides=[]), ["texts[2].sides"]),
            (lambda set_: set_["texts"][2]["sides"][1].update(archive="none.tgz"),
             ["texts[2].sides[1].archive"]),
            (lambda set_: set_["texts"][3].update(part="train"), ["SGML"])):
        description = json.loads(json.dumps(good))
        change(description)
        archives.save_json(bench.path("set.json"), description)
        result = bench.run("prep", "--dataset", "set.json", "--from", ".", "-o", "out")
        expect_error(result, 3, "set.json", *parts)
        expect_nothing_left(bench)
    expect_error(bench.run("prep", "--dataset", "absent.json", "-o", "out"), 1, "absent.json")
    archives.save_json(bench.path("set.json"), good)
    expect_error(bench.run("prep", "--dataset", "set.json", "--from", "nowhere", "-o", "out"), 1,
                 "nowhere")
    os.mkdir(bench.path("out.part"))
    bench.write("out.part/thesis.txt", "years of work\n")
    expect_error(bench.run("prep", "--dataset", "set.json", "--from", ".", "-o", "out"), 2,
                 "out.part is in the way")
    expect(bench.read("out.part", "thesis.txt") == b"years of work\n", "a stranger's file is gone")


def test_forms(bench):
    """Other forms of archives, and a text alone with and without compression."""
    sides = archives.invent(bench.random, 50, WORDS)
    texts = [archives.text_of(lines) for lines in sides]
    members = [("d/t.en", texts[0]), ("d/t.de", texts[1].rstrip(b"\n"))]
    plain = archives.tar_of(members, "w")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    forms = {"a.tar": plain, "a.tgz": archives.gzip_of(plain), "a.tar.bz2": bz2.compress(plain),
             "a.tar.xz": lzma.compress(plain), "a.zip": stream.getvalue(),
             "two.tgz": archives.gzip_of(plain[:1000]) + archives.gzip_of(plain[1000:])}
    for name, content in forms.items():
        bench.write(name, content)
        archives.save_json(bench.path("set.json"), {
            "format": "mixt-dataset", "version": 1, "name": "forms", "languages": ["en", "de"],
            "archives": [archives.describe(name, content)],
            "texts": [{"part": "dev", "name": "t",
                       "sides": [{"archive": name, "member": "d/t.en"},
                                 {"archive": name, "member": "./d/t.de"}]}]})
        result = bench.run("prep", "--dataset", "set.json", "--from", ".", "-o", "out-" + name)
        expect(result.code == 0, f"{name}: {result}")
        expect(bench.read("out-" + name, "dev.en") == texts[0], f"{name}: dev.en")
        expect(bench.read("out-" + name, "dev.de") == texts[1], f"{name}: dev.de")
        if name == "two.tgz":
            continue
        damaged = flip(content, len(content) // 2 + 7)
        if name != "a.tar":  # which has no hash inside
            bench.write(name, damaged)
            result = bench.run("prep", "--dataset", "set.json", "--from", ".", "--no-verify", "-o",
                               "out-bad")
            expect(result.code == 3, f"a flipped byte in {name}: {result}")
    for compress in (lambda content: content, archives.gzip_of, bz2.compress):
        names = ["alone.en", "alone.de"]
        packed = [compress(text) for text in texts]
        for name, content in zip(names, packed):
            bench.write(name, content)
        archives.save_json(bench.path("set.json"), {
            "format": "mixt-dataset", "version": 1, "name": "alone", "languages": ["en", "de"],
            "archives": [archives.describe(*pair) for pair in zip(names, packed)],
            "texts": [{"part": "test", "name": "t",
                       "sides": [{"archive": name} for name in names]}]})
        result = bench.run("prep", "--dataset", "set.json", "--from", ".", "-o", "alone",
                           "--overwrite")
        expect(result.code == 0, f"{result}")
        expect([bench.read("alone", "test.en"), bench.read("alone", "test.de")] == texts, "alone")
        shutil.rmtree(bench.path("alone"))


def test_full_disk(bench):
    """Writes fail at many places; each time one line, and nothing is left."""
    small = wmt(bench)
    small.write(bench.path("folder"))
    arguments = ["prep", "wmt14-en-de", "--from", "folder", "--no-verify", "-o", "out"]
    failed = set()
    for limit in (0, 1, 100, 300, 700, 1500, 2500, 4000, 6000, 8000, 12000, 1 << 20):
        result = bench.run(*arguments, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (limit, limit)))
        if result.code == 0:
            expect_wmt_manifest(bench, small, "out", False)
            break
        expect_error(result, 1, "File too large", has_progress=True)
        failed.add(result.err.splitlines()[-1].split(":")[1].split("/")[-1])
        expect_nothing_left(bench)
    expect(result.code == 0, f"with room enough: {result}")
    expect(len(failed) >= 2, f"writes failed only at {failed}")
    small_disk(bench, small)


def small_disk(bench, small):
    """The same on a file system of a few blocks, where this user may mount one."""
    os.mkdir(bench.path("disk"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", bench.path("disk")]
    try:
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
            print("     (no small file system here)")
            return
    except FileNotFoundError:
        return
    try:
        big = archives.invent(bench.random, 3000, WORDS)
        small.texts["europarl"] = big
        small.build()
        small.write(bench.path("folder"))
        result = bench.run("prep", "wmt14-en-de", "--from", "folder", "--no-verify", "-o",
                           "disk/out")
        expect_error(result, 1, "No space left")
        expect(os.listdir(bench.path("disk")) == [], f"left: {os.listdir(bench.path('disk'))}")
    finally:
        subprocess.run(["umount", bench.path("disk")], check=True)


if __name__ == "__main__":
    main([test_published_names, test_french, test_other_places, test_description,
          test_damage_verified, test_damage_unverified, test_counts, test_wrong_descriptions,
          test_forms, test_full_disk])
