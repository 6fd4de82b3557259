"""Sentences as structures that belong to no language, and what a structure is made of.

A noun phrase is a Noun with its determiner, a name, a pronoun or a place name. A clause has a
subject, a verb and what depends on it. english.py, german.py and french.py turn a Sentence into
text; the text of each is a function of the structure alone, and the English text leaves nothing
open that the other two need (see README.md for the conventions).
"""

from dataclasses import dataclass, field
from typing import Any, Optional

import numerals

# Determiners of a noun phrase: the, a, none, this, every, many, all, which, how many, a possessive,
# a name's possessive as ("of", Name), a number in words as ("number", n).
POSSESSIVES = ("my", "your", "his", "her", "our", "their")
FREE = ("a", "none")        # what a negation turns into kein / pas de


@dataclass
class NounPhrase:
    """kind: noun, name, pair (two names joined by and), title, pronoun, geo, weather."""
    kind: str
    noun: Any = None            # Noun, Name, pair of Names, Geo, pronoun such as "she"
    number: str = "singular"
    determiner: Any = "none"
    adjectives: list = field(default_factory=list)
    relative: Optional["Clause"] = None
    title: str = ""             # Mr or Mrs
    antecedent: Optional["NounPhrase"] = None   # of "it" and "they"

    @property
    def is_pronoun(self):
        return self.kind in ("pronoun", "weather")

    @property
    def is_plural(self):
        return self.number == "plural" or self.kind == "pair"

    @property
    def is_mass(self):
        return self.kind == "noun" and "mass" in self.noun.tags

    @property
    def person(self):
        """(person, number): I 1s, you 2s, she 3s, we 1p, they 3p."""
        if self.kind == "pronoun" and self.noun in ("I", "you", "we"):
            return {"I": "1s", "you": "2s", "we": "1p"}[self.noun]
        return "3p" if self.is_plural else "3s"


@dataclass
class PrepositionalPhrase:
    """relation: a key of words.PREPOSITIONS, or at / to / from (place) whose words are the noun's.

    moves: the phrase is a direction, which two-way prepositions mark by the accusative."""
    relation: str
    phrase: NounPhrase
    moves: bool = False

    @property
    def is_temporal(self):
        return self.relation in ("after", "before")


@dataclass
class Clause:
    """A verb with its parts; a clause with gap "subject" keeps the subject for agreement."""
    subject: Optional[NounPhrase]
    verb: Any
    tense: str = "present"              # present, past, future
    modal: str = ""                     # must, can, want to
    negation: str = ""                  # not, never
    object: Optional[NounPhrase] = None
    recipient: Optional[NounPhrase] = None
    phrases: list = field(default_factory=list)
    predicate: Any = None               # ("adjective", a), ("more" or "as", a, other phrase),
                                        # ("job", phrase), ("age", n), ("price", n)
    time: Any = None                    # words.Time
    is_time_first: bool = False
    frequency: Any = None               # one of words.FREQUENCIES
    is_progressive: bool = False
    is_recipient_last: bool = False     # "explains X to Y"
    gap: str = ""                       # what a relative clause or question takes out of the
                                        # clause: subject, object, place


@dataclass
class Sentence:
    """kind: statement, question, wh, that, subordinate, and, but, purpose, there."""
    kind: str
    main: Clause
    second: Optional[Clause] = None
    conjunction: str = ""               # because, although, while, when, if
    is_second_first: bool = False
    asked: str = ""                     # what, who, whom, where, when, why, which, how many


def head_word(phrase):
    """The English words by which a noun phrase counts as a part of a combination."""
    if phrase is None or phrase.is_pronoun:
        return []
    if phrase.kind == "pair":
        return [name.name for name in phrase.noun]
    if phrase.kind == "name":
        return [phrase.noun.name]
    if phrase.kind == "title":
        return [phrase.noun]
    return [phrase.noun.en.split()[-1]]


def phrase_relations(phrase):
    if phrase is None:
        return
    heads = head_word(phrase)
    for adjective in phrase.adjectives:
        yield from ((adjective.en, head) for head in heads)
    if isinstance(phrase.determiner, tuple):
        kind, value = phrase.determiner
        yield from ((numerals.english(value) if kind == "number" else value.name, head)
                    for head in heads)
    elif phrase.determiner == "which":
        yield from ((phrase.determiner, head) for head in heads)
    if phrase.relative is not None:
        verb = phrase.relative.verb.en.base
        if phrase.relative.verb.frame not in ("be", "have"):
            yield from ((verb, head) for head in heads)
            yield (verb, introducer(phrase))
        yield from clause_relations(phrase.relative)


def introducer(phrase):
    """The English word that begins the relative clause of a phrase."""
    gap = phrase.relative.gap
    if gap == "place":
        return "where"
    if "person" not in phrase.noun.tags:
        return "that"
    return "who" if gap == "subject" else "whom"


def clause_relations(clause):
    """Pairs of English words that the clause puts in a grammatical relation."""
    verb = clause.verb.en.base
    has_verb = clause.verb.frame not in ("be", "have", "weather")
    parts = [clause.subject, clause.object, clause.recipient]
    parts += [phrase.phrase for phrase in clause.phrases]
    for part in parts:
        yield from phrase_relations(part)
        if has_verb:
            yield from ((verb, head) for head in head_word(part))
    if clause.predicate:
        kind, value = clause.predicate[:2]
        if kind in ("adjective", "more", "as"):
            yield from ((value.en, head) for head in head_word(clause.subject))
        if kind in ("age", "price"):
            yield from ((numerals.english(value), head) for head in head_word(clause.subject))
        if kind == "job":
            yield from phrase_relations(value)
        if kind in ("more", "as"):
            yield from phrase_relations(clause.predicate[2])


def clause_names(clause):
    """Every name and noun that the clause says, as often as it says it."""
    parts = [(clause.subject, clause.gap == "subject"), (clause.object, clause.gap == "object"),
             (clause.recipient, False)]
    parts += [(phrase.phrase, False) for phrase in clause.phrases]
    if clause.predicate and isinstance(clause.predicate[-1], NounPhrase):
        parts.append((clause.predicate[-1], False))
    for phrase, is_unsaid in parts:
        if phrase is None or is_unsaid:
            continue
        yield from head_word(phrase)
        if has_owner(phrase):
            yield phrase.determiner[1].name
        if phrase.relative is not None:
            yield from clause_names(phrase.relative)


def repeats_itself(sentence):
    """True where a name or noun is said twice (Emma sees Emma)."""
    names = list(clause_names(sentence.main))
    if sentence.second is not None:
        names += clause_names(sentence.second)
    return len(set(names)) < len(names)


def has_owner(phrase):
    return isinstance(phrase.determiner, tuple) and phrase.determiner[0] == "of"


def clause_verbs(clause):
    if clause.verb.frame not in ("be", "have", "weather"):
        yield clause.verb.en.base


def sentence_relations(sentence):
    """All pairs of words in a grammatical relation, as a set of sorted pairs."""
    pairs = set(clause_relations(sentence.main))
    if sentence.second is not None:
        pairs |= set(clause_relations(sentence.second))
        word = sentence.conjunction or ("that" if sentence.kind == "that" else "")
        if word:
            pairs |= {(word, verb) for clause in (sentence.main, sentence.second)
                      for verb in clause_verbs(clause)}
    if sentence.asked and sentence.asked != "how many":
        pairs |= {(sentence.asked, verb) for verb in clause_verbs(sentence.main)}
    return {tuple(sorted(pair)) for pair in pairs if pair[0] != pair[1]}
