#!/usr/bin/env python3
"""mixt subword beside SentencePiece's own programs: the same models, pieces, ids and texts.

Usage: test_subword_sentencepiece.py MIXT [--only NAME] [--seed N] [--corpora N]

Needs spm_train, spm_encode, spm_decode and spm_export_vocab; exits with 77 without them.
--corpora N tries N more pairs of a random text and random options.
"""
import gzip
import os
import random
import shutil
import subprocess
import sys

from harness import expect, expect_error, main

PEERS = ["spm_train", "spm_encode", "spm_decode", "spm_export_vocab", "spm_normalize"]

# Letters of made-up words, a script each; words of one script have few of them, so that there is
# something to merge.
SCRIPTS = [
    "abcdeinorstu", "äöüßéèñçœæ", "абвгдежийкл", "αβγδεζηθ", "אבגדהו", "ابتثجح", "अआकखगि",
    "กขคงจา", "日本語中文字人大", "ひらがなカタカナ", "한국어가나다",
]
UNSPACED = {"日本語中文字人大", "ひらがなカタカナ", "กขคงจา"}
# What the normalisations change, take away, or must leave alone.
ODD = [
    "ﬁ", "ﬃ", "①", "㍿", "ＡＢＣ", "１２３", "ｶﾞｷﾞ", "ﷺ", "e\u0301", "é", "ı", "ſ", "ẞ", "İ", "½",
    "²", "™", "😀", "👩‍👩‍👧", "🇩🇪", "❤️", "\u200b", "\u200d", "\u00ad", "\ufeff", "\u2581", "\u2585",
    "\x01", "\x07", "\x1b", "\x7f", "\u0085", "\u2028", "𝔘𝔫𝔦", "\U000e0041", "\ue000", "\ufffd",
    "<s>", "</s>", "<unk>", "<0x41>", "⁇", "\\", "\"", "'", "a,b", "--", "...", "%s", "\t", "\r",
]
SPACES = [" "] * 20 + ["  ", "\t", "\u00a0", "\u3000", "\u2003", "   "]


def random_word(rng, words):
    roll = rng.random()
    if roll < 0.06:
        return rng.choice(ODD)
    if roll < 0.12:
        return str(rng.randint(0, 10 ** rng.randint(1, 6)))
    return rng.choice(words)


def random_words(rng, n=60):
    words = []
    for _ in range(n):
        script = rng.choice(SCRIPTS[:1] * 12 + SCRIPTS)
        letters = "".join(rng.choices(script, k=rng.randint(1, 6)))
        words.append(letters.capitalize() if rng.random() < 0.2 else letters)
    return words


def random_line(rng, words):
    if rng.random() < 0.03:
        return rng.choice(["", " ", "\t", "\u3000", "  \t "])
    line = ""
    for _ in range(rng.randint(1, 14)):
        word = random_word(rng, words)
        joint = "" if any(letter in script for letter in word[:1] for script in UNSPACED) \
            else rng.choice(SPACES)
        line += joint + word
    return line if rng.random() < 0.1 else line.strip(" ")


def random_text(rng, n_lines):
    words = random_words(rng)
    return [random_line(rng, words) for _ in range(n_lines)]


def join(lines):
    return "".join(line + "\n" for line in lines).encode()


def peer(folder, *arguments, stdin=b"", code=0):
    done = subprocess.run(arguments, cwd=folder, input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)
    complaint = done.stderr[-1500:].decode(errors="replace")
    expect(done.returncode == code or code is None,
           f"{' '.join(arguments)}: {done.returncode} {complaint}")
    return done.stdout


def first_difference(ours, theirs):
    for number, (left, right) in enumerate(zip(ours.split(b"\n"), theirs.split(b"\n")), 1):
        if left != right:
            return f"line {number}: {left.decode(errors='replace')!r} for " \
                   f"{right.decode(errors='replace')!r}"
    return f"{ours.count(10)} and {theirs.count(10)} lines"


def expect_same(ours, theirs, what):
    expect(ours == theirs, f"{what}: {first_difference(ours, theirs)}")


def ours(bench, *arguments, stdin=b""):
    result = bench.run("subword", *arguments, stdin=stdin)
    expect(result.code == 0, f"{arguments}: {result}")
    return result.out


def in_folder(bench, name, files):
    """A folder with these files, the same for the peer and for mixt, so that names agree."""
    folder = bench.path(name)
    os.makedirs(folder, exist_ok=True)
    for file, content in files.items():
        with open(os.path.join(folder, file), "wb") as out:
            out.write(content)
    return folder


def train_both(bench, files, *options):
    """Trains with both programs; compares the files; the name of the model, or None where the
    peer refuses."""
    theirs, mine = in_folder(bench, "peer", files), in_folder(bench, "mixt", files)
    arguments = ["--model_prefix=m", *options]
    for folder in theirs, mine:
        for name in "m.model", "m.vocab":
            if os.path.exists(os.path.join(folder, name)):
                os.remove(os.path.join(folder, name))
    peer(theirs, "spm_train", *arguments, code=None)
    is_made = os.path.exists(os.path.join(theirs, "m.vocab"))
    result = bench.run("subword", "train", *arguments, cwd=mine)
    if not is_made:
        expect(result.code in (1, 2, 3) and len(os.listdir(mine)) == len(files),
               f"{options}: refused by the peer, but {result}")
        return None
    expect(result.code == 0, f"{options}: {result}")
    for name in "m.vocab", "m.model":
        left, right = (bench.read(folder, name) for folder in ("mixt", "peer"))
        expect_same(left, right, f"{options}: {name}")
    return os.path.join(mine, "m.model")


def compare_use(bench, model, text, what, *options):
    """Pieces, ids and both ways back. There is text that the library refuses for some models: then
    mixt says so and has done the lines before."""
    for form in "piece", "id":
        arguments = ["--model=" + model, "--output_format=" + form, *options]
        theirs = subprocess.run(["spm_encode", *arguments], cwd=bench.folder, input=text,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        result = bench.run("subword", "encode", *arguments, stdin=text)
        expect((result.code == 0) == (theirs.returncode == 0) and
               (result.code == 0 or "not consumed" in result.err), f"{arguments}: {result}")
        mine = result.out
        expect_same(mine, theirs.stdout, f"{what}: encode {arguments}")
        back = ["--model=" + model, "--input_format=" + form]
        expect_same(ours(bench, "decode", *back, stdin=mine),
                    peer(bench.folder, "spm_decode", *back, stdin=mine), f"{what}: decode {form}")


def text_files(bench, n_lines=180):
    rng = random.Random(bench.seed)
    return {"t": join(random_text(rng, n_lines))}, join(random_text(rng, 120))


def test_types_and_normalizations(bench):
    files, held_out = text_files(bench)
    for kind, size in ("unigram", 420), ("bpe", 420), ("word", 300), ("char", 250):
        for rule in "nmt_nfkc", "nfkc", "nfkc_cf", "identity":
            options = ["--input=t", f"--vocab_size={size}", "--model_type=" + kind,
                       "--normalization_rule_name=" + rule, "--hard_vocab_limit=false"]
            model = train_both(bench, files, *options)
            expect(model, f"{options}: the peer trains no model")
            compare_use(bench, model, held_out, f"{kind} {rule}")


OPTIONS = [
    ["--byte_fallback", "--vocab_size=600"],
    ["--byte_fallback=true", "--vocab_size=600", "--model_type=bpe", "--character_coverage=0.98",
     "--normalization_rule_name=identity"],
    ["--character_coverage=1.0", "--vocab_size=500"],
    ["--user_defined_symbols=<sep>,ba,\"a,b\"", "--control_symbols=<cls>,<mask>"],
    ["--model_type=bpe", "--user_defined_symbols=日本,<s>", "--byte_fallback", "--vocab_size=700"],
    ["--user_defined_symbols_file=symbols", "--control_symbols_file=controls",
     "--required_chars_file=chars"],
    ["--required_chars=żŁ日", "--character_coverage=0.98"],
    ["--split_by_unicode_script=false", "--split_by_number=false"],
    ["--split_by_whitespace=false", "--max_sentencepiece_length=30"],
    ["--split_digits", "--model_type=bpe"],
    ["--treat_whitespace_as_suffix=true"],
    ["--treat_whitespace_as_suffix", "--model_type=bpe", "--add_dummy_prefix=false"],
    ["--allow_whitespace_only_pieces", "--remove_extra_whitespaces=false",
     "--normalization_rule_name=identity"],
    ["--add_dummy_prefix", "false", "--remove_extra_whitespaces", "false"],
    ["--unk_id=3", "--bos_id=-1", "--eos_id=0", "--pad_id=1", "--unk_piece=[unk]",
     "--eos_piece=[end]", "--pad_piece=[pad]", "--unk_surface=?"],
    ["--vocabulary_output_piece_score=false", "--accept_language=de,en"],
    ["--input_sentence_size=150", "--shuffle_input_sentence=false"],
    ["--input_sentence_size=150"],
    ["--seed_sentencepiece_size=500", "--shrinking_factor=0.6", "--num_sub_iterations=3",
     "--num_threads=4"],
    ["--max_sentence_length=40", "--vocab_size=300"],
    ["--model_type=word", "--use_all_vocab"],
    ["--model_type=char", "--use_all_vocab=true"],
    ["--train_extremely_large_corpus=true"],
    ["--self_test_sample_size=5", "--random_seed=7"],
    ["--normalization_rule_tsv=rules.tsv"],
    ["--normalization_rule_name=nmt_nfkc_cf", "--denormalization_rule_tsv=rules.tsv"],
    ["--input_format=text"],
    ["--vocab_size=20"],
    ["--vocab_size=900000"],
    ["--bos_id=5", "--eos_id=5"],
    ["--bos_id=10000"],
    ["--control_symbols=a,a"],
    ["--use_all_vocab"],
    ["--normalization_rule_tsv=nosuch"],
]


def test_options(bench):
    files, held_out = text_files(bench)
    files["symbols"] = "<sep>\n\"q\"\na,b\nka ba\n".encode()
    files["controls"] = b"<cls>\n<mask>\n"
    files["chars"] = "żŁ\nß\n".encode()
    files["rules.tsv"] = b"41\t62 62\n3042\t30A2\n1F600\t3A 29\n"
    n_models = 0
    for options in OPTIONS:
        given = " ".join(options)
        size = [] if "vocab_size" in given else ["--vocab_size=420"]
        soft = [] if "=20" in given or "900000" in given else ["--hard_vocab_limit=false"]
        model = train_both(bench, files, "--input=t", *size, *soft, *options)
        n_models += model is not None
        if model:
            compare_use(bench, model, held_out, str(options))
    expect(n_models >= 26, f"only {n_models} of {len(OPTIONS)} models were made")


def test_counted_text(bench):
    words = random_words(random.Random(bench.seed), 200)
    text = "".join(f"{word}\t{5000 // (i + 1)}\n" for i, word in enumerate(words)).encode()
    options = ["--input=t", "--input_format=tsv", "--hard_vocab_limit=false", "--vocab_size=250"]
    for more in [], ["--model_type=bpe"], ["--model_type=word"]:
        expect(train_both(bench, {"t": text}, *options, *more), f"{more}: no model")
    noise = ["--enable_differential_privacy", "--differential_privacy_noise_level=0.001",
             "--differential_privacy_clipping_threshold=2", "--random_seed=3"]
    expect(train_both(bench, {"t": text}, *options, *noise), "no model with noise")
    expect(train_both(bench, {"t": b"no count\n"}, *options) is None, "a model without counts")


def test_several_inputs(bench):
    files, _ = text_files(bench)
    files["u"] = files["t"][::-1].decode(errors="replace").encode()
    size = ["--vocab_size=500", "--hard_vocab_limit=false"]
    expect(train_both(bench, files, "--input=t,u", *size), "no model of two files")
    # The same text from a compressed file and from standard input, in a model without names.
    bench.write("t", files["t"])
    bench.write("t.gz", gzip.compress(files["t"]))
    models = set()
    for arguments, stdin in ((["-i", "t"], b""), (["-i", "t.gz"], b""), ([], files["t"])):
        ours(bench, "train", *arguments, *size, "-m", "out.model", stdin=stdin)
        models.add(bench.read("out.model"))
    expect(len(models) == 1, "three models from one text")
    expect(b"out.model" not in models.pop(), "the model names a file")


def make_model(bench, *options, n_lines=180):
    files, held_out = text_files(bench, n_lines)
    bench.write("t", files["t"])
    ours(bench, "train", "-i", "t", "-m", "m.model", "--hard-vocab-limit=false", *options)
    return held_out


def test_extra_options(bench):
    for kind in "unigram", "bpe":
        held_out = make_model(bench, "--size=420", "--type=" + kind, "--coverage=0.98")
        for extra in "bos", "eos", "reverse", "unk", "bos:eos", "eos:reverse:bos:unk:reverse":
            compare_use(bench, "m.model", held_out, extra, "--extra_options=" + extra)
        pieces = ours(bench, "encode", "-m", "m.model", stdin=held_out)
        for extra in "reverse", "bos:eos", "reverse:bos":
            arguments = ["--model=m.model", "--extra_options=" + extra]
            expect_same(ours(bench, "decode", *arguments, stdin=pieces),
                        peer(bench.folder, "spm_decode", *arguments, stdin=pieces), extra)


def test_vocabulary(bench):
    for kind in "unigram", "bpe":
        held_out = make_model(bench, "--size=420", "--type=" + kind)
        counts = ["--model=m.model", "--generate_vocabulary"]
        mine = ours(bench, "encode", *counts, stdin=held_out)
        expect_same(mine, peer(bench.folder, "spm_encode", *counts, stdin=held_out), "counts")
        expect_same(ours(bench, "encode", *counts, "--threads=1", stdin=held_out), mine, "threads")
        bench.write("counts", mine)
        bench.write("bare", "".join(line.split("\t")[0] + "\n"
                                    for line in mine.decode().split("\n")[:40]))
        for options in (["--vocabulary=counts", "--vocabulary_threshold=4"],
                        ["--vocabulary=counts"], ["--vocabulary=bare"]):
            compare_use(bench, "m.model", held_out, f"{kind} {options}", *options)
    bench.write("wrong", "a\tb\n")
    expect_error(bench.run("subword", "encode", "-m", "m.model", "--vocabulary", "wrong"), 3,
                 "wrong:1:", "'b'")


def test_n_best(bench):
    held_out = make_model(bench, "--size=420")
    for arguments in (["--output_format=nbest_piece"], ["--output_format=nbest_id"],
                      ["--output_format=nbest_piece", "--nbest_size=3", "--extra_options=bos"]):
        arguments = ["--model=m.model", *arguments]
        expect_same(ours(bench, "encode", *arguments, stdin=held_out),
                    peer(bench.folder, "spm_encode", *arguments, stdin=held_out), str(arguments))


def test_sampling(bench):
    for kind in "unigram", "bpe":
        held_out = make_model(bench, "--size=420", "--type=" + kind, "--coverage=0.98")
        for form in "sample_piece", "sample_id":
            arguments = ["-m", "m.model", "--output-format", form, "--alpha=0.1", "--nbest-size=-1"]
            drawn = ours(bench, "encode", *arguments, "--threads=3", stdin=held_out * 50)
            alone = ours(bench, "encode", *arguments, "--threads=1", stdin=held_out * 50)
            expect_same(drawn, alone, f"{kind} {form}: threads")
            other = ours(bench, "encode", *arguments, "--seed=1", stdin=held_out * 50)
            expect(drawn != other, f"{kind} {form}: seeds")
            if form == "sample_piece":
                pieces = drawn
        best = ours(bench, "encode", "-m", "m.model", stdin=held_out * 50)
        spelled = [text.replace(b" ", b"") for text in (pieces, best)]
        expect_same(*spelled, f"{kind}: what the pieces spell")
        few = ours(bench, "encode", "-m", "m.model", "--sample=0.2", "--n-best=3", stdin=held_out)
        expect(few.count(b"\n") == held_out.count(b"\n"), f"{kind}: lines")


def test_raw_bytes(bench):
    """Text that is no text: both read bytes, and a line end ends a line."""
    rng = random.Random(bench.seed)
    for rule in "nmt_nfkc", "identity":
        make_model(bench, "--size=700", "--byte-fallback", "--normalize=" + rule)
        lines = [bytes(rng.choice(b"ab \xc3\xa4\xff\xed\xa0\xf0\x9f\x00\r\t") for _ in range(30))
                 for _ in range(200)]
        text = b"\xef\xbb\xbfba\n" + b"\n".join(lines) + b"\nno line end"
        for form in "piece", "id":
            arguments = ["--model=m.model", "--output_format=" + form]
            expect_same(ours(bench, "encode", *arguments, stdin=text),
                        peer(bench.folder, "spm_encode", *arguments, stdin=text), f"{rule} {form}")


def test_decode_odd_pieces(bench):
    make_model(bench, "--size=420")
    text = "▁a  ▁b\n ▁a ▁b \n\n \nnosuch ▁nosuch\n<s> ▁a </s>\n<unk> a\na\t▁b\n▁ ▁ a\n".encode()
    expect_same(ours(bench, "decode", "-m", "m.model", stdin=text),
                peer(bench.folder, "spm_decode", "--model=m.model", stdin=text), "pieces")
    for ids, what in ((b"1 2\n3 x\n", "'x'"), (b"1\n-1\n", "-1"), (b"1\n99999\n", "99999")):
        result = bench.run("subword", "decode", "-m", "m.model", "-f", "id", stdin=ids)
        expect(result.code == 3 and ":2: " in result.err and what in result.err,
               f"{ids}: {result}")
        expect(result.out.count(b"\n") == 1, f"{ids}: the line before it is wanted: {result}")


def test_vocab(bench):
    for kind in "unigram", "bpe":
        make_model(bench, "--size=420", "--type=" + kind)
        for form in "vocab", "syms":
            expect_same(ours(bench, "vocab", "-m", "m.model", "--output_format=" + form),
                        peer(bench.folder, "spm_export_vocab", "--model=m.model",
                             "--output_format=" + form), f"{kind} {form}")


def test_normalize(bench):
    rng = random.Random(bench.seed)
    text = join(random_text(rng, 300))
    for rule in "nmt_nfkc", "nfkc_cf", "identity":
        make_model(bench, "--size=420", "--normalize=" + rule, "--user-defined-symbols=①,a")
        for options in (["--model=m.model"], ["--normalization_rule_name=" + rule],
                        ["--model=m.model", "--remove_extra_whitespaces=false"]):
            expect_same(ours(bench, "normalize", *options, stdin=text),
                        peer(bench.folder, "spm_normalize", *options, stdin=text),
                        f"{rule} {options}")


def test_files_and_streams(bench):
    held_out = make_model(bench, "--size=420")
    bench.write("one", held_out)
    bench.write("two.gz", gzip.compress(held_out))
    wanted = ours(bench, "encode", "-m", "m.model", stdin=held_out) * 2
    expect_same(ours(bench, "encode", "-m", "m.model", "one", "two.gz"), wanted, "two files")
    ours(bench, "encode", "--model=m.model", "--input=one", "--output=out", "two.gz")
    expect_same(bench.read("out"), wanted, "--output")
    result = bench.run("subword", "encode", "-m", "m.model", "--output=none", "one", "nosuch")
    expect_error(result, 1, "nosuch")
    expect(not os.path.exists(bench.path("none")), "half an output was left")
    # Whoever types into a pipe gets an answer to each line.
    process = bench.start("subword", "encode", "-m", "m.model")
    for number in range(3):
        process.stdin.write(b"ba\n")
        process.stdin.flush()
        expect(process.stdout.readline().endswith(b"\n"), f"answer {number}")
    process.stdin.close()
    expect(process.wait(60) == 0, "exit code")
    process.stdout.close()
    process.stderr.close()


def test_long_lines(bench):
    for kind in "unigram", "bpe":
        held_out = make_model(bench, "--size=420", "--type=" + kind)
        line = held_out.replace(b"\n", b" ").replace(b"\r", b"") * 70 + b"\n"
        expect(len(line) > 400000, f"{len(line)} bytes")
        compare_use(bench, "m.model", b"ba\n" + line + b"ba\n", kind)


def test_wrong_use(bench):
    make_model(bench, "--size=420", "--type=bpe")
    bench.write("blank", "  \n\u200b\n\t\u3000\n\n")
    bench.write("reserved", "a \u2585\n \n")
    bench.write("counts", "a b\t9223372036854775807\nb a\t9223372036854775807\n" * 2)
    for arguments, code, *parts in (
            (["train", "-i", "t"], 2, "--model"),
            (["train", "-i", "t", "-m", "x", "--model-prefix=x"], 2, "exclude"),
            (["train", "-i", "t", "-m", "x", "--vocab_siez=5"], 2, "did you mean '--vocab-size'"),
            (["train", "-i", "t", "-m", "x", "--byte_fallback=maybe"], 2, "true or false"),
            (["train", "-i", "t", "-m", "x", "--input-sentence-size=50"], 2, "more than 100"),
            (["train", "-i", "nosuch", "-m", "x"], 1, "nosuch"),
            (["train", "-i", "nosuch", "-m", "x", "--input-sentence-size=500"], 1, "nosuch"),
            (["train", "-i", "t", "-m", "nosuch/x"], 1, "nosuch"),
            (["train", "-i", "blank", "-m", "x"], 3, "no text"),
            (["train", "-i", "blank", "-m", "x", "--input-sentence-size=500"], 3, "no text"),
            (["train", "-i", "reserved", "-m", "x"], 3, "no text"),
            (["train", "-i", "counts", "-m", "x", "--input-format=tsv"], 3, "counts"),
            (["train", "-i", "counts", "-m", "x"], 2, "the largest allowed is"),
            (["train", "-m", "x"], 3, "no text"),
            (["train", "-m", "x", "--input-sentence-size=500"], 3, "no text"),
            (["encode", "-m", "m.model", "--output_format=proto"], 2, "proto"),
            (["encode", "-m", "m.model", "--output_format=nbest_piece"], 2, "unigram"),
            (["encode", "-m", "m.model", "--extra_options=boss"], 2, "boss"),
            (["encode", "-m", "m.model", "--sample=2"], 2, "probability"),
            (["encode", "-m", "m.model", "--vocabulary=nosuch"], 1, "nosuch"),
            (["encode", "-m", "t"], 3, "t:"),
            (["encode", "-m", "m.model", "--type=nosuch"], 2, "nosuch"),
            (["decode", "-m", "m.model", "--output_format=proto"], 2, "output-format")):
        expect_error(bench.run("subword", *arguments), code, *parts)
    expect(not os.path.exists(bench.path("x")), "a model was left")


def random_options(rng):
    kind = rng.choice(["unigram", "bpe", "word", "char"])
    options = ["--input=t", "--hard_vocab_limit=false", "--model_type=" + kind,
               f"--vocab_size={rng.randint(250, 1000)}", "--normalization_rule_name=" +
               rng.choice(["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"]),
               f"--character_coverage={rng.choice([0.98, 0.9995, 1.0])}"]
    for name in ("byte_fallback", "split_by_unicode_script", "split_by_number",
                 "split_by_whitespace", "split_digits", "treat_whitespace_as_suffix",
                 "allow_whitespace_only_pieces", "add_dummy_prefix", "remove_extra_whitespaces"):
        if rng.random() < 0.3:
            options.append(f"--{name}={rng.choice(['true', 'false'])}")
    if rng.random() < 0.5:
        symbols = sorted({rng.choice([word for word in ODD if word not in ("<unk>", "\"", "a,b")])
                          for _ in range(3)})
        options.append("--user_defined_symbols=" + ",".join(symbols))
    return options


def random_corpora(n):
    def test_random_corpora(bench):
        n_models = 0
        for number in range(n):
            rng = random.Random(f"{bench.seed} {number}")
            options = random_options(rng)
            files = {"t": join(random_text(rng, rng.randint(20, 400)))}
            model = train_both(bench, files, *options)
            if model:
                compare_use(bench, model, join(random_text(rng, 100)), f"{number}: {options}")
                n_models += 1
        print(f"{n_models} models from {n} texts", flush=True)
    return test_random_corpora


def take_corpora():
    """The number behind --corpora, taken off the command line."""
    if "--corpora" not in sys.argv:
        return 0
    place = sys.argv.index("--corpora")
    number = int(sys.argv[place + 1])
    del sys.argv[place:place + 2]
    return number


if __name__ == "__main__":
    MISSING = [name for name in PEERS if not shutil.which(name)]
    if MISSING:
        print("skipped: not installed:", ", ".join(MISSING))
        sys.exit(77)
    main([test for name, test in sorted(globals().items()) if name.startswith("test_")] +
         [random_corpora(n) for n in [take_corpora()] if n])
