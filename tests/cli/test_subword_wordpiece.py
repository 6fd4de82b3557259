#!/usr/bin/env python3
"""mixt subword --type wordpiece beside the plain ways to do the same: learning that counts the
whole text anew for every piece, and BERT's tokenisation written down character by character.

Usage: test_subword_wordpiece.py MIXT [--only NAME] [--seed N] [--corpora N]

--corpora N tries N random corpora for each comparison.
"""
import gzip
import math
import os
import sys
import unicodedata

from harness import expect, expect_error, main

ALPHABETS = ["ab", "abc", "abcdefgh", "a#", "#ab", "äöüßab漢", "ab#😀", "aaaaab"]
CHARACTERS = ("aaabbbccdeeABCÄÖäöüßéèñçÇİıΣσςſﬁ  \u00a0\u3000\u2028\u2003\t"
              "#'.,;:!?-–—«»„“$%&+=<>^`~|@"
              "漢字日本ひらカタ한국\u0301\u0308\u0327\u302e\U0001d165\u0000\u0007\u200b\u200d\ufeff"
              "\uf900㐀\u00ad\ufffd\u0085\u001c😀👍🏽ΐᾂ𝔘\U00020000\U0002f800①½२१अा")


def split_words(text, mode):
    """BERT's basic tokenisation; mode "" is white space alone."""
    if mode == "":
        return text.split()
    clean = []
    for character in text:
        category = unicodedata.category(character)
        if character in "\t\n\r" or category == "Zs":
            clean.append(" ")
        elif character not in "\0\ufffd" and category not in ("Cc", "Cf"):
            clean.append(f" {character} " if is_chinese(ord(character)) else character)
    words = []
    for token in "".join(clean).split():
        if mode == "lowercase":
            token = "".join(character for character in unicodedata.normalize("NFD", token.lower())
                            if unicodedata.category(character) != "Mn")
        apart = "".join(f" {character} " if is_punctuation(character) else character
                        for character in token)
        words += apart.split()
    return words


def is_chinese(code):
    blocks = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
              (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]
    return any(first <= code <= last for first, last in blocks)


def is_punctuation(character):
    if ord(character) < 128:
        return character.isprintable() and not character.isalnum() and character != " "
    return unicodedata.category(character).startswith("P")


def cut_word(word, vocabulary, longest):
    """Pieces of a word: always the longest that the vocabulary has."""
    if len(word) > longest:
        return ["[UNK]"]
    pieces, start = [], 0
    while start < len(word):
        inside = "##" if start else ""
        ends = [end for end in range(start + 1, len(word) + 1)
                if inside + word[start:end] in vocabulary]
        if not ends:
            return ["[UNK]"]
        pieces.append(inside + word[start:ends[-1]])
        start = ends[-1]
    return pieces


def learn(text, size, specials, n_characters, min_count, score, longest):
    """The vocabulary, by counting everything again before each join."""
    counts, characters = {}, {}
    for word in text.split():
        if len(word) > longest:
            continue
        counts[word] = counts.get(word, 0) + 1
    for word, count in counts.items():
        for character in word:
            characters[character] = characters.get(character, 0) + count
    frequent = sorted(characters, key=lambda character: (-characters[character], character))
    kept = sorted(frequent[:n_characters])
    units = kept + ["##" + character for character in kept]
    cut = {word: [("##" if at else "") + character if character in kept else None
                  for at, character in enumerate(word)] for word in counts}
    while len(specials) + sum(unit not in specials for unit in units) < size:
        best = best_pair(cut, counts, min_count, score)
        if best is None:
            break
        joined = best[0] + best[1][2:]
        if joined not in units:
            units.append(joined)
        cut = {word: join_in(row, best, joined) for word, row in cut.items()}
    return specials + [unit for unit in units if unit not in specials]


def join_in(row, pair, joined):
    result = []
    for unit in row:
        if result and (result[-1], unit) == pair:
            result[-1] = joined
        else:
            result.append(unit)
    return result


def best_pair(cut, counts, min_count, score):
    alone, together, total = {}, {}, 0
    for word, row in cut.items():
        for at, unit in enumerate(row):
            if unit is None:
                continue
            total += counts[word]
            alone[unit] = alone.get(unit, 0) + counts[word]
            if at and row[at - 1] is not None:
                pair = (row[at - 1], unit)
                together[pair] = together.get(pair, 0) + counts[word]
    best = None
    for (left, right), count in together.items():
        if count < min_count:
            continue
        expected = float(alone[left]) * float(alone[right])
        worth = count / expected
        if score == "gain":
            worth = count * math.log(float(count) * float(total) / expected)
        key = (-worth, -count, left.encode(), right.encode())
        if best is None or key < best[0]:
            best = (key, (left, right))
    return best and best[1]


def random_text(rng, n_lines=25):
    letters = rng.choice(ALPHABETS)
    words = ["".join(rng.choices(letters, k=rng.randint(1, rng.choice([3, 8, 14]))))
             for _ in range(rng.randint(1, 50))]
    lines = [" ".join(rng.choices(words, k=rng.randint(0, 12))) for _ in range(n_lines)]
    return "\n".join(lines + [letters[0]]) + "\n"


def random_lines(rng, n=300):
    lines = ["".join(rng.choices(CHARACTERS, k=rng.randint(0, 40))) for _ in range(n)]
    return [line.replace("\n", "").replace("\0", " ") for line in lines]


def run_ok(bench, *arguments, **options):
    verb, *rest = arguments
    result = bench.run("subword", verb, "--type", "wordpiece", *rest, **options)
    expect(result.code == 0, f"{arguments} failed: {result}")
    return result


def learns_what_counting_anew_learns(bench):
    rng = bench.random
    for _ in range(CORPORA):
        text = random_text(rng)
        size, min_count = rng.randint(20, 90), rng.choice([1, 2, 3, 10])
        specials = rng.choice([[], ["[PAD]", "[UNK]"], ["a", "[UNK]", "ab", "##a"]])
        n_characters = rng.choice([1000, 1000, 2, 1])
        score, longest = rng.choice(["gain", "ratio"]), rng.choice([100, 100, 5])
        bench.write("text", text)
        run_ok(bench, "train", "-m", "vocab.txt", "--size", str(size), "--score", score,
               "--min-frequency", str(min_count), "--characters", str(n_characters),
               "--special-pieces", ",".join(specials), "--max-characters", str(longest), "text")
        wanted = learn(text, size, specials, n_characters, min_count, score, longest)
        found = bench.read("vocab.txt").decode().split("\n")[:-1]
        expect(found == wanted, f"seed {bench.seed}: {found} instead of {wanted} from {text!r}")


def encodes_as_bert_does(bench):
    rng = bench.random
    modes = {"": [], "basic": ["--basic"], "lowercase": ["--lowercase"]}
    for mode, flags in modes.items():
        for _ in range(CORPORA // 10 + 1):
            lines = random_lines(rng)
            text = "\n".join(lines) + "\n"
            bench.write("text", text)
            run_ok(bench, "train", "-m", "vocab.txt", "--size", "400", "--characters", "80",
                   *flags, "text")
            pieces = bench.read("vocab.txt").decode().split("\n")[:-1]
            ids = {piece: str(at) for at, piece in enumerate(pieces)}
            longest = rng.choice([100, 5])
            wanted = [[piece for word in split_words(line.lstrip("\ufeff") if at == 0 else line,
                                                     mode)
                       for piece in cut_word(word, ids, longest)]
                      for at, line in enumerate(lines)]
            for form, convert in (("piece", str), ("id", ids.get)):
                found = run_ok(bench, "encode", "-m", "vocab.txt", "-f", form, *flags,
                               "--max-characters", str(longest), "text")
                for line, got, right in zip(lines, found.out.decode().split("\n"), wanted):
                    right = " ".join(map(convert, right))
                    expect(got == right, f"{mode} {form}: {got!r}, not {right!r}, for {line!r}")
                expect(found.out.count(b"\n") == len(lines), "one line for each line")


def pieces_and_ids_decode_to_the_words(bench):
    rng = bench.random
    lines = [" ".join("".join(rng.choices("abcäö漢", k=rng.randint(1, 9)))
                      for _ in range(rng.randint(0, 8))) for _ in range(200)]
    text = "\n".join(lines) + "\n"
    bench.write("text", text)
    run_ok(bench, "train", "-m", "vocab.txt", "-s", "60", "text")
    for form in ("piece", "id"):
        encoded = run_ok(bench, "encode", "-m", "vocab.txt", "-f", form, "text").out
        decoded = run_ok(bench, "decode", "-m", "vocab.txt", "-f", form, stdin=encoded).out
        expect(decoded.decode() == text, f"{form}: the text came back changed")
    decoded = run_ok(bench, "decode", stdin=b"##a b  ##c ## ##d\n\n").out
    expect(decoded == b"##a bc ##d\n\n", f"decoded {decoded}")


def threads_and_gzip_change_nothing(bench):
    lines = random_lines(bench.random, 20000)
    text = ("\n".join(lines) + "\n").encode()
    bench.write("text", text)
    bench.write("text.gz", gzip.compress(text))
    run_ok(bench, "train", "-m", "vocab.txt", "-s", "900", "text")
    run_ok(bench, "train", "-m", "again.txt", "-s", "900", "text.gz")
    expect(bench.read("vocab.txt") == bench.read("again.txt"), "another vocabulary from .gz")
    outputs = [run_ok(bench, "encode", "-m", "vocab.txt", "--lowercase", "--threads", threads,
                      name).out for threads, name in (("1", "text"), ("4", "text.gz"))]
    run_ok(bench, "encode", "-m", "vocab.txt", "--lowercase", "-o", "out", stdin=text)
    outputs.append(bench.read("out"))
    expect(outputs[0] == outputs[1] == outputs[2], "the output depends on threads or on .gz")


def forgets_rare_words_for_want_of_room(bench):
    words = [f"w{number}" for number in range(500)]
    bench.write("text", "often often often " + " ".join(words) + "\n")
    few = run_ok(bench, "train", "-m", "vocab.txt", "-s", "60", "--max-words", "100", "text")
    expect("were forgotten" in few.err, f"nothing said: {few}")
    expect("503 words" in few.err, f"words counted wrong: {few}")
    expect("\noften\n" in bench.read("vocab.txt").decode(), "a frequent word was forgotten")
    many = run_ok(bench, "train", "-m", "vocab.txt", "-s", "60", "text")
    expect("forgotten" not in many.err, f"said without need: {many}")


def vocab_prints_the_ids(bench):
    bench.write("vocab.txt", "\ufeff[UNK]\r\na\r\n##b\r\n")
    result = run_ok(bench, "vocab", "-m", "vocab.txt")
    expect(result.out == b"[UNK]\t0\na\t1\n##b\t2\n", f"printed {result}")
    result = run_ok(bench, "encode", "-m", "vocab.txt", stdin=b"abb b aba\n")
    expect(result.out == b"a ##b ##b [UNK] [UNK]\n", f"encoded {result}")


def bad_vocabularies_are_one_clear_line(bench):
    cases = [
        (b"", "no pieces"),
        (b"a\nb\n", "no piece '[UNK]'"),
        (b"[UNK]\na\nb\na\n", "vocab.txt:4: piece 'a' is on line 2 already"),
        (b"[UNK]\n\na\n", "vocab.txt:2: an empty line"),
        (b"[UNK]\na\n\n", "vocab.txt:3: an empty line"),
        (b"[UNK]\na\t-1.5\n", "vocab.txt:2: white space"),
        (b"[UNK]\na\xff\n", "vocab.txt:2: invalid UTF-8"),
        (b"[UNK]\na\0b\n", "vocab.txt:2: white space"),
        (b"\x1f\x8b\x08\0rubbish", "vocab.txt"),
        (b"[UNK]\n" + b"a" * 100000 + b"\n", "vocab.txt"),
    ]
    for content, part in cases:
        bench.write("vocab.txt", content)
        result = bench.run("subword", "encode", "--type", "wordpiece", "-m", "vocab.txt",
                           stdin=b"a\n")
        expect_error(result, 3, "vocab.txt", part)
    result = bench.run("subword", "encode", "--type", "wordpiece", "-m", "none.txt")
    expect_error(result, 1, "none.txt")


def bad_input_is_one_clear_line(bench):
    bench.write("vocab.txt", "[UNK]\na\n")
    decode = ("subword", "decode", "--type", "wordpiece", "-f", "id", "-m", "vocab.txt")
    for content, part in ((b"0 2\n", "no piece has the id 2"), (b"0 x\n", "'x' is not a piece id"),
                          (b"99999999999\n", "'99999999999' is not a piece id")):
        result = bench.run(*decode, stdin=content)
        expect_error(result, 3, "standard input:1", part)
    train = ("subword", "train", "--type", "wordpiece", "-m", "new.txt")
    bench.write("text", "abcdefgh\n")
    for code, part, arguments in (
            (2, "too few", ("-s", "8", "text")), (3, "no words", ("empty",)),
            (2, "'' is not a piece", ("--special-pieces", "a,,b", "text")),
            (2, "twice", ("--special-pieces", "a,a", "text")), (1, "missing", ("missing",))):
        bench.write("empty", "\n \n")
        result = bench.run(*train, *arguments)
        expect_error(result, code, part)
    expect_error(bench.run(*train[:-2], "text"), 2, "--model")
    left = [name for name in os.listdir(bench.folder) if name.startswith("new")]
    expect(left == [], f"left behind: {left}")


CORPORA = 30
if "--corpora" in sys.argv:
    at = sys.argv.index("--corpora")
    CORPORA = int(sys.argv[at + 1])
    del sys.argv[at:at + 2]
main([
    learns_what_counting_anew_learns,
    encodes_as_bert_does,
    pieces_and_ids_decode_to_the_words,
    threads_and_gzip_change_nothing,
    forgets_rare_words_for_want_of_room,
    vocab_prints_the_ids,
    bad_vocabularies_are_one_clear_line,
    bad_input_is_one_clear_line,
])
