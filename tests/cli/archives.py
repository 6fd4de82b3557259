"""Small archives of invented text with the inner structure of the published ones, and a server on
the loopback interface that can misbehave, for the tests of data sets."""
import gzip
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
import time


def invent(generator, n_lines, words):
    """Line-parallel text: every line has words, some have odd characters inside."""
    odd = ["ä", "“q”", "a b", "x\ty", "&amp;", "…", "字", "\u2028", "é"]
    sides = []
    for side in range(2):
        lines = []
        for number in range(n_lines):
            line = [f"{number}.{side}"] + generator.choices(words, k=generator.randint(1, 12))
            if generator.random() < 0.1:
                line.append(generator.choice(odd))
            lines.append(" ".join(line))
        sides.append(lines)
    return sides


def text_of(lines):
    return "".join(line + "\n" for line in lines).encode()


def sgml_of(lines, kind, language, n_documents=3):
    """As the shared tasks write it, with white space at the edges of some segments."""
    parts = [f'<{kind} setid="invented" srclang="any" trglang="{language}">']
    size = len(lines) // n_documents + 1
    for document in range(n_documents):
        parts.append(f'<doc sysid="{kind}" docid="invented.{document}" origlang="en">')
        parts.append("<p>")
        for number, line in enumerate(lines[document * size:(document + 1) * size], 1):
            edge = "  " if number % 3 == 0 else ""
            parts.append(f'<seg id="{number}">{edge}{line}{edge}</seg>')
        parts += ["</p>", "</doc>"]
    return ("\n".join(parts + [f"</{kind}>"]) + "\n").encode()


def tar_of(members, mode="w:gz"):
    """The bytes of an archive; members are (name, bytes), or TarInfo objects as they are."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=tarfile.GNU_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            entry = tarfile.TarInfo(member[0])
            entry.size = len(member[1])
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(member[1]))
    return stream.getvalue()


def directory(name):
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    return entry


def claim(name, size):
    """A file that states a size and has no content."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


def link(name, target):
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.SYMTYPE
    entry.linkname = target
    return entry


class Wmt:
    """Archives named and built as those of wmt14-en-de; texts {name: [source, target] lines}."""

    def __init__(self, generator, words, target="de"):
        def new(n_lines):
            return invent(generator, n_lines, words)

        self.pair = f"{target}-en"
        self.target = target
        self.texts = {"europarl": new(60), "commoncrawl": new(40), "news": new(25),
                      "newstest2012": new(9), "newstest2013": new(8), "newstest2014": new(10)}
        self.texts["europarl"][0][3] = ""
        self.texts["europarl"][1][7] = ""
        self.texts["europarl"][0][8] = self.texts["europarl"][1][8] = ""
        self.texts["news"][1][5] += "\rafter a carriage return"
        self.n_empty = 3
        self.archives = {}
        self.build()

    def train(self):
        """Pairs (source, target) in order, without those with an empty side."""
        names = ["europarl", "commoncrawl", "news"]
        return [pair for name in names for pair in zip(*self.texts[name]) if all(pair)]

    def build(self):
        pair, target = self.pair, self.target

        def both(prefix, name):
            source_lines, target_lines = self.texts[name]
            return [(f"{prefix}.{target}", text_of(target_lines)),
                    (f"{prefix}.en", text_of(source_lines))]

        held_out = []
        for year in ("2012", "2013"):
            source_lines, target_lines = self.texts["newstest" + year]
            held_out += [
                (f"dev/newstest{year}-ref.{target}.sgm", sgml_of(target_lines, "refset", target)),
                (f"dev/newstest{year}-src.en.sgm", sgml_of(source_lines, "srcset", "en"))]
        joined = target + "en"
        source_lines, target_lines = self.texts["newstest2014"]
        self.archives = {
            "training-parallel-europarl-v7.tgz": tar_of(
                [directory("training"), ("training/europarl-v7.cs-en.en", b"other\n")]
                + both(f"training/europarl-v7.{pair}", "europarl")),
            "training-parallel-commoncrawl.tgz": tar_of(
                [("./commoncrawl.cs-en.annotation", b"a\tb\n")]
                + both(f"./commoncrawl.{pair}", "commoncrawl")),
            "training-parallel-nc-v9.tgz": tar_of(
                both(f"training/news-commentary-v9.{pair}", "news")),
            "dev.tgz": tar_of([directory("dev")] + held_out),
            "test-full.tgz": tar_of(
                [(f"test-full/newstest2014-{joined}-src.en.sgm",
                  sgml_of(source_lines, "srcset", "en")),
                 (f"test-full/newstest2014-{joined}-ref.{target}.sgm",
                  sgml_of(target_lines, "refset", target))]),
        }

    def write(self, folder):
        os.makedirs(folder, exist_ok=True)
        for name, content in self.archives.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        return folder

    def description(self, base_url=None):
        """The same data set as JSON, with the sizes, hashes and counts of these archives."""
        pair, target = self.pair, self.target

        def sides(archive, source, other):
            return [{"archive": archive, "member": source}, {"archive": archive, "member": other}]

        texts = [
            ("train", "europarl", sides("training-parallel-europarl-v7.tgz",
                                        f"training/europarl-v7.{pair}.en",
                                        f"training/europarl-v7.{pair}.{target}")),
            ("train", "commoncrawl", sides("training-parallel-commoncrawl.tgz",
                                           f"commoncrawl.{pair}.en",
                                           f"./commoncrawl.{pair}.{target}")),
            ("train", "news", sides("training-parallel-nc-v9.tgz",
                                    f"training/news-commentary-v9.{pair}.en",
                                    f"training/news-commentary-v9.{pair}.{target}")),
            ("dev", "newstest2012", sides("dev.tgz", "dev/newstest2012-src.en.sgm",
                                          f"dev/newstest2012-ref.{target}.sgm")),
            ("dev", "newstest2013", sides("dev.tgz", "dev/newstest2013-src.en.sgm",
                                          f"dev/newstest2013-ref.{target}.sgm")),
            ("test", "newstest2014",
             sides("test-full.tgz", f"test-full/newstest2014-{target}en-src.en.sgm",
                   f"test-full/newstest2014-{target}en-ref.{target}.sgm")),
        ]
        return {
            "format": "mixt-dataset", "version": 1, "name": "small", "languages": ["en", target],
            "archives": [describe(name, content, base_url)
                         for name, content in self.archives.items()],
            "texts": [{"part": part, "name": name, "lines": len(self.texts[name][0]),
                       "sides": places} for part, name, places in texts],
            "pairs": len(self.train()),
        }


def describe(name, content, base_url=None):
    archive = {"name": name, "bytes": len(content),
               "sha256": hashlib.sha256(content).hexdigest(),
               "md5": hashlib.md5(content).hexdigest()}
    if base_url:
        archive["urls"] = [f"{base_url}/{name}"]
    return archive


def one_archive_set(content, urls, member="text", languages=("en", "de")):
    """A description of a set of one archive with a training text."""
    return {
        "format": "mixt-dataset", "version": 1, "name": "one", "languages": list(languages),
        "archives": [{**describe("one.tgz", content), "urls": urls}],
        "texts": [{"part": "train", "name": "text",
                   "sides": [{"archive": "one.tgz", "member": f"{member}.{language}"}
                             for language in languages]}],
    }


def save_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)
    return path


class Server:
    """Serves bytes by path, over http on the loopback interface, from a thread of its own.

    files: {path: bytes}. manners: {path: [manner, ...]}: one is taken off for each request, and the
    list's end means good manners. log: (path, Range header or None, bytes sent) of each request.
    """

    def __init__(self):
        self.files, self.manners, self.log = {}, {}, []
        self.tags = {}
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                server.answer(self)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *arguments: None  # who goes away early is no error
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request):
        path, wanted = request.path, request.headers.get("Range")
        manners = self.manners.get(path, [])
        manner = manners.pop(0) if manners else "good"
        entry = [path, wanted, 0]
        self.log.append(entry)
        if manner.isdigit():
            return self.refuse(request, int(manner))
        if manner.startswith("redirect "):
            request.send_response(302)
            request.send_header("Location", manner.split()[1])
            request.send_header("Content-Length", "0")
            return request.end_headers()
        if path not in self.files:
            return self.refuse(request, 404)
        self.send(request, self.files[path], manner, entry)

    @staticmethod
    def refuse(request, code):
        request.send_response(code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def send(self, request, content, manner, entry):
        tag, wanted = self.tags.get(request.path), request.headers.get("Range")
        condition = request.headers.get("If-Range")
        start = 0
        if wanted and manner != "no ranges" and (condition is None or condition == tag):
            start = int(wanted[len("bytes="):].rstrip("-"))
            if start >= len(content):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(content)}")
                request.send_header("Content-Length", "0")
                return request.end_headers()
        body = content[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range",
                                f"bytes {start}-{len(content) - 1}/{len(content)}")
        if tag:
            request.send_header("ETag", tag)
        if manner == "no length":
            request.send_header("Connection", "close")
            request.close_connection = True
            body = body[:len(body) // 2]
        else:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if manner in ("drop", "no ranges drop", "stall"):
            body = body[:len(body) // 2 + 1]
        try:
            if manner == "slow":
                for at in range(0, len(body), 4096):
                    request.wfile.write(body[at:at + 4096])
                    entry[2] += len(body[at:at + 4096])
                    time.sleep(0.02)
            else:
                request.wfile.write(body)
                entry[2] += len(body)
            if manner == "stall":
                time.sleep(8)
        except OSError:
            pass
        if manner in ("drop", "no ranges drop", "stall"):
            request.close_connection = True
            request.connection.close()


def gzip_of(content):
    return gzip.compress(content, mtime=0)
