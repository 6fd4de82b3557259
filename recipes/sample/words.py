"""The tables of lexicon.py as records, and the few facts all three languages share."""

import re
from collections import namedtuple

import lexicon

Noun = namedtuple("Noun", "en en_plural de_gender de de_plural de_oblique fr_gender fr fr_plural "
                          "tags place")
Place = namedtuple("Place", "en_in de_in de_to fr_in fr_to")
Adjective = namedtuple("Adjective", "en en_more de de_more de_stem fr fr_feminine is_invariable "
                                    "is_before tags")
Verb = namedtuple("Verb", "en frame subjects objects de fr")
EnglishVerb = namedtuple("EnglishVerb", "base past ing particle preposition")
GermanVerb = namedtuple("GermanVerb", "prefix infinitive third participle case preposition "
                                      "auxiliary is_reflexive")
FrenchVerb = namedtuple("FrenchVerb", "infinitive preposition auxiliary is_reflexive")
Name = namedtuple("Name", "name gender")
Geo = namedtuple("Geo", "en de_in de_to de_from fr_in fr_from")
Time = namedtuple("Time", "en de fr tenses")
Preposition = namedtuple("Preposition", "en de case fr")


def rows(table):
    """The table's lines, split into columns; an indented line continues the one before."""
    for line in re.sub(r"\n +", " ", table).splitlines():
        if line.strip():
            yield [column.strip() for column in line.split("|")]


def read_noun(columns):
    english, german, french, tags = columns[:4]
    en, _, en_plural = english.partition("/")
    de_gender, german = german.split(" ", 1)
    de, de_plural, de_oblique = (german.split("/") + ["", ""])[:3]
    fr_gender, french = french.split(" ", 1)
    fr, _, fr_plural = french.partition("/")
    place = None
    if len(columns) > 4:
        en_in, de_pair, fr_pair = [part.split() for part in columns[4].split(",")]
        place = Place(en_in[0], *de_pair, *fr_pair)
    return Noun(en, en_plural or en + "s", de_gender, de, de_plural, de_oblique or de,
                fr_gender, fr, fr_plural or fr + "s", frozenset(tags.split() + [en]), place)


def french_feminine(word):
    if word.endswith("e"):
        return word
    for ending, feminine in (("eux", "euse"), ("er", "ère")):
        if word.endswith(ending):
            return word[:-len(ending)] + feminine
    return word + "e"


def read_adjective(columns):
    english, german, french, tags = columns
    en, _, en_more = english.partition("/")
    de, de_more, de_stem = (german.split("/") + ["", ""])[:3]
    forms, place = french.rsplit(" ", 1)
    fr, fr_feminine, invariable = (forms.split("/") + ["", ""])[:3]
    return Adjective(en, en_more, de, de_more, de_stem or (de[:-1] if de.endswith("e") else de),
                     fr, fr_feminine or french_feminine(fr), bool(invariable), place == "b",
                     frozenset(tags.split()))


def english_verb(text):
    first, past, ing = (text.split("/") + ["", ""])[:3]
    base, _, rest = first.partition(" ")
    particle = rest.removeprefix("+") if rest.startswith("+") else ""
    return EnglishVerb(base, past or base + "ed", ing or base + "ing", particle,
                       "" if particle else rest)


def german_verb(text):
    infinitive, third, participle, *rest = [part.strip() for part in text.split(",")]
    prefix, _, stem = infinitive.rpartition("+")
    words = set(rest)
    preposition = "".join(words - {"dat", "sein", "sich"})
    case = "dat" if "dat" in words or preposition == "von" else "acc"
    return GermanVerb(prefix, stem, third, participle, case, preposition,
                      "sein" if "sein" in words else "haben", "sich" in words)


def french_verb(text):
    infinitive, *rest = [part.strip() for part in text.split(",")]
    words = set(rest)
    return FrenchVerb(infinitive, "".join(words & {"à", "de"}),
                      "être" if words & {"être", "se"} else "avoir", "se" in words)


def read_verb(columns):
    english, german, french, frame, subjects, objects = (columns + ["", ""])[:6]
    return Verb(english_verb(english), frame, frozenset(subjects.split()),
                frozenset(objects.split()), german_verb(german), french_verb(french))


def read_city(columns):
    en, de, fr = columns
    elided = "d'" if fr[0] in "AEIOUÉ" else "de "
    return Geo(en, "in " + de, "nach " + de, "aus " + de, "à " + fr, elided + fr)


def read_country(columns):
    en, german, french = columns
    german = [part.strip() for part in german.split(",")]
    if len(german) == 1:
        german = [word + " " + german[0] for word in ("in", "nach", "aus")]
    return Geo(en, *german, *[part.strip() for part in french.split(",")])


NOUNS = [read_noun(columns) for columns in rows(lexicon.NOUNS)]
ADJECTIVES = [read_adjective(columns) for columns in rows(lexicon.ADJECTIVES)]
VERBS = [read_verb(columns) for columns in rows(lexicon.VERBS)]
NAMES = ([Name(name, "f") for name in lexicon.NAMES_FEMALE]
         + [Name(name, "m") for name in lexicon.NAMES_MALE])
PLACES = ([read_city(columns) for columns in rows(lexicon.CITIES)]
          + [read_country(columns) for columns in rows(lexicon.COUNTRIES)])
TIMES = [Time(en, de, fr, tuple(tenses.split())) for en, de, fr, tenses in rows(lexicon.TIMES)]
FREQUENCIES = [tuple(columns) for columns in rows(lexicon.FREQUENCIES)]
WEEKDAYS = [tuple(columns) for columns in rows(lexicon.WEEKDAYS)]
MONTHS = [tuple(columns) for columns in rows(lexicon.MONTHS)]
PREPOSITIONS = {en: Preposition(en, de.split()[0], de.split()[1], fr)
                for en, de, fr in rows(lexicon.PREPOSITIONS)}


def find(records, english):
    """The one record whose English word, or base form of a verb, is this."""
    for record in records:
        word = record.en
        if isinstance(word, EnglishVerb):
            word = " ".join(part for part in (word.base, word.particle or word.preposition) if part)
        if word == english:
            return record
    raise KeyError(english)


def verb(english, frame=None):
    """The verb "look for", "turn on", "know" (with its frame where two verbs share the words)."""
    return find([record for record in VERBS if frame in (None, record.frame)], english)


BE = verb("be")
HAVE = verb("have")
