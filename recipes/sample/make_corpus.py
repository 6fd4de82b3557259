#!/usr/bin/env python3
"""Writes the sample corpus: make_corpus.py [FOLDER] (default: the folder of this script).

For en-de and en-fr: train, valid and test, each as two gzip files with a sentence a line. The
output is the same everywhere and always. README.md explains the split.
"""

import gzip
import hashlib
import pathlib
import re
import sys

import english
import french
import german
import lexicon
import numerals
import words
from grammar import sentence_relations
from sampler import Sampler

SIZES = {"train": 22000, "valid": 500, "test": 1000}
PAIRS = {"de": (german.realise, 1), "fr": (french.realise, 2)}      # target: realiser, seed
HELD_OUT_OF_256 = 12
LEAST_COUNT = 5             # a word of test occurs at least so often in train
LONGEST = 24                # words of the English sentence

FUNCTION_VERBS = ("be", "have", "rain", "snow")
INTRODUCERS = ("because although while when if that who whom where what why which").split()


def is_held_out(one, other):
    """The split's rule, by which about one pair of English words in 21 is held out."""
    text = " ".join(sorted((one, other)))
    return hashlib.sha256(text.encode("utf-8")).digest()[0] < HELD_OUT_OF_256


def english_forms():
    """Every English form of the words that combinations are made of -> the word itself."""
    forms = {word: word for word in INTRODUCERS + lexicon.SURNAMES}
    forms.update({name.name: name.name for name in words.NAMES})
    forms.update({place.en.split()[-1]: place.en.split()[-1] for place in words.PLACES})
    forms.update({numerals.english(n): numerals.english(n) for n in range(2, 100)})
    entries = [(noun.en, (noun.en, noun.en_plural)) for noun in words.NOUNS]
    entries += [(adjective.en, (adjective.en, adjective.en_more)) for adjective in words.ADJECTIVES]
    entries += [(verb.en.base, (verb.en.base, verb.en.past, verb.en.ing,
                                english.third_person(verb.en.base)))
                for verb in words.VERBS if verb.en.base not in FUNCTION_VERBS]
    for word, spellings in entries:
        for form in spellings:
            if form and forms.setdefault(form, word) != word:
                raise ValueError("%s is a form of both %s and %s" % (form, forms[form], word))
    return forms


def tokens(text):
    """Words and marks; a possessive 's is a token of its own."""
    return re.findall(r"[^\W_]+(?:[-:][^\W_]+)*|'s|[^\w\s]", text)


def english_words(text, forms):
    """The words of the sentence that can be in a combination, without their first capital."""
    found = set()
    for token in tokens(text):
        for form in (token, token[0].lower() + token[1:]):
            if form in forms:
                found.add(forms[form])
    return sorted(found)


def has_clear_tense(sentence):
    """English shows the tense of each clause (not: they read the book)."""
    return all(english.is_past_visible(c) for c in all_clauses(sentence))


def all_clauses(sentence):
    for c in (sentence.main, sentence.second):
        if c is not None:
            yield c
            for phrase in (c.subject, c.object):
                if phrase is not None and phrase.relative is not None:
                    yield phrase.relative


class Split:
    """Deals sentences out to train, valid and candidates of test."""

    def __init__(self, realise, seed):
        self.sampler = Sampler(seed)
        self.realise = realise
        self.forms = english_forms()
        self.target_of = {}
        self.parts = {"train": [], "valid": [], "test": []}
        self.counts = ({}, {})

    def draw(self):
        """One new pair and the part that it may go to ("" for none)."""
        while True:
            sentence = self.sampler.sentence()
            source, target = english.realise(sentence), self.realise(sentence)
            known = self.target_of.get(source)
            if known is not None and known != target:
                raise ValueError("two translations of %r: %r and %r" % (source, known, target))
            if known is None and has_clear_tense(sentence) and len(source.split()) <= LONGEST:
                break
        self.target_of[source] = target
        return (source, target), self.part_of(sentence, source)

    def part_of(self, sentence, source):
        relations = sentence_relations(sentence)
        present = english_words(source, self.forms)
        for pair in relations:
            if not set(pair) <= set(present):
                raise ValueError("%r is not in %r" % (pair, source))
        if any(is_held_out(*pair) for pair in relations):
            return "test"
        together = any(is_held_out(one, other) for index, one in enumerate(present)
                       for other in present[index + 1:])
        return "" if together else "train"

    def fill(self):
        while any(len(self.parts[part]) < SIZES[part] for part in ("train", "valid")):
            pair, part = self.draw()
            if part == "train" and len(self.parts["valid"]) < SIZES["valid"] and (
                    self.sampler.happens(SIZES["valid"] / SIZES["train"])):
                part = "valid"
            if part and (part == "test" or len(self.parts[part]) < SIZES[part]):
                self.parts[part].append(pair)
        self.count_words()
        candidates, self.parts["test"] = self.parts["test"], []
        for pair in candidates:
            if len(self.parts["test"]) < SIZES["test"] and self.has_known_words(pair):
                self.parts["test"].append(pair)
        if len(self.parts["test"]) < SIZES["test"]:
            raise ValueError("too few sentences for test")
        return self.parts

    def count_words(self):
        for pair in self.parts["train"]:
            for counts, text in zip(self.counts, pair):
                for token in tokens(text):
                    counts[token] = counts.get(token, 0) + 1

    def has_known_words(self, pair):
        return all(counts.get(token, 0) >= LEAST_COUNT for counts, text in zip(self.counts, pair)
                   for token in tokens(text))


def write_lines(path, lines):
    """gzip without time and name, so that the bytes depend on the text and zlib alone."""
    data = ("\n".join(lines) + "\n").encode("utf-8")
    with open(path, "wb") as file:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as out:
            out.write(data)


def make(folder):
    for language, (realise, seed) in PAIRS.items():
        pair_folder = pathlib.Path(folder) / ("en-" + language)
        pair_folder.mkdir(parents=True, exist_ok=True)
        for part, pairs in Split(realise, seed).fill().items():
            write_lines(pair_folder / (part + ".en.gz"), [source for source, _ in pairs])
            write_lines(pair_folder / ("%s.%s.gz" % (part, language)),
                        [target for _, target in pairs])


if __name__ == "__main__":
    if len(sys.argv) > 2 or "-h" in sys.argv or "--help" in sys.argv:
        print(__doc__.strip())
        sys.exit(2)
    make(sys.argv[1] if len(sys.argv) == 2 else pathlib.Path(__file__).resolve().parent)
