"""Draws noun phrases, times and places at random."""

import random

import lexicon
import numerals
import words
from grammar import NounPhrase, PrepositionalPhrase
from words import Time

PERSON_PRONOUNS = ("I", "you", "he", "she", "we", "they")
TWO_WAY = ("on", "under", "behind", "next to", "in front of")


class PhraseSampler:
    """The only source of chance is random.Random.random(), whose values Python guarantees."""

    def __init__(self, seed):
        self.draw = random.Random(seed).random
        self.nouns_by_tag = {}
        for noun in words.NOUNS:
            for tag in noun.tags:
                self.nouns_by_tag.setdefault(tag, []).append(noun)
        self.verbs_by_frame = {}
        for verb in words.VERBS:
            self.verbs_by_frame.setdefault(verb.frame, []).append(verb)

    def happens(self, probability):
        return self.draw() < probability

    def below(self, bound):
        return int(self.draw() * bound)

    def choice(self, items):
        return items[self.below(len(items))]

    def weighted(self, table):
        """table: (item, weight) pairs."""
        left = self.draw() * sum(weight for _, weight in table)
        for item, weight in table:
            left -= weight
            if left < 0:
                return item
        return table[-1][0]

    def noun(self, tags):
        """One noun with any of the tags, all such nouns alike."""
        found = {}
        for tag in sorted(tags):
            for noun in self.nouns_by_tag.get(tag, ()):
                found[noun.en] = noun
        return self.choice(list(found.values()))

    def number(self):
        return 2 + self.below(98) if self.happens(0.6) else 2 + self.below(19)

    # Noun phrases

    def name(self):
        return NounPhrase("name", self.choice(words.NAMES))

    def title(self):
        return NounPhrase("title", self.choice(lexicon.SURNAMES),
                          title=self.choice(("Mr", "Mrs")))

    def pronoun(self, which=PERSON_PRONOUNS):
        word = self.choice(which)
        return NounPhrase("pronoun", word, "plural" if word == "they" else "singular")

    def pair(self):
        first = self.choice(words.NAMES)
        second = self.choice([name for name in words.NAMES if name != first])
        return NounPhrase("pair", (first, second))

    def adjectives(self, noun, probability=0.3):
        if not self.happens(probability):
            return []
        fitting = [adjective for adjective in words.ADJECTIVES if adjective.tags & noun.tags]
        if not fitting:
            return []
        one = self.choice(fitting)
        colours = [adjective for adjective in fitting if is_colour(adjective)]
        if one.is_before and colours and self.happens(0.3):
            return [one, self.choice(colours)]
        return [one]

    def noun_phrase(self, noun, determiners, adjective_probability=0.3):
        """determiners: (determiner, number) with weights."""
        determiner, number = self.weighted(determiners)
        if determiner == "number":
            determiner = ("number", self.number())
        if determiner == "of":
            determiner = ("of", self.choice(words.NAMES))
        if determiner == "possessive":
            determiner = self.choice(("my", "his", "her", "our", "their", "your"))
        return NounPhrase("noun", noun, number, determiner,
                          self.adjectives(noun, adjective_probability))

    def person_noun(self):
        noun = self.noun({"person"})
        if "kin" in noun.tags:
            table = [(("possessive", "singular"), 6), (("of", "singular"), 3),
                     (("possessive", "plural"), 1), (("the", "singular"), 1)]
        else:
            table = [(("the", "singular"), 9), (("a", "singular"), 3), (("the", "plural"), 4),
                     (("number", "plural"), 2), (("this", "singular"), 1.5),
                     (("this", "plural"), 0.7), (("many", "plural"), 1), (("every", "singular"), 1)]
        return self.noun_phrase(noun, table, 0.25)

    def person(self, allow_pronoun=True):
        """Any phrase for people."""
        kind = self.weighted([("noun", 8), ("name", 8), ("pronoun", 4 * allow_pronoun),
                              ("title", 1.5), ("pair", 1.5)])
        return {"noun": self.person_noun, "name": self.name, "pronoun": self.pronoun,
                "title": self.title, "pair": self.pair}[kind]()

    def thing(self, noun):
        """A phrase for an object, an animal, food ..."""
        if "meal" in noun.tags:
            return NounPhrase("noun", noun, "singular", "the")
        if "mass" in noun.tags:
            table = [(("none", "singular"), 6), (("the", "singular"), 4),
                     (("this", "singular"), 1), (("possessive", "singular"), 1)]
            return self.noun_phrase(noun, table, 0.25)
        table = [(("the", "singular"), 8), (("a", "singular"), 7), (("possessive", "singular"), 3),
                 (("of", "singular"), 1), (("this", "singular"), 1.5), (("the", "plural"), 3),
                 (("none", "plural"), 2), (("number", "plural"), 3), (("many", "plural"), 1),
                 (("this", "plural"), 0.7), (("all", "plural"), 0.7),
                 (("possessive", "plural"), 0.7)]
        return self.noun_phrase(noun, table, 0.35)

    def subject(self, tags, allow_pronoun=True):
        """tags: the subjects that a verb allows."""
        if "person" in tags and ("animal" not in tags or self.happens(0.7)):
            return self.person(allow_pronoun)
        tags = tags - {"person"} if tags - {"person"} else tags
        return self.noun_phrase(self.noun(tags), [
            (("the", "singular"), 6), (("possessive", "singular"), 2), (("a", "singular"), 1),
            (("the", "plural"), 2), (("number", "plural"), 1), (("this", "singular"), 1)])

    def object(self, verb, allow_pronoun=True):
        noun = self.noun(verb.objects)
        if "person" in noun.tags:
            if verb.frame in ("obj", "state") and allow_pronoun and self.happens(0.15):
                return self.pronoun()
            return self.name() if self.happens(0.3) else self.person_noun()
        phrase = self.thing(noun)
        if verb.de.preposition or verb.fr.preposition:
            # Words such as "of" want a phrase with an article in all three languages.
            if phrase.determiner == "none":
                phrase.determiner = "the"
        if verb.frame == "state" and phrase.determiner == "a":
            phrase.determiner = "the"
        return phrase

    # Times and places

    def time(self, tense):
        kind = self.weighted([("word", 6), ("weekday", 1.5 * (tense != "present")),
                              ("clock", 2), ("half", 1), ("date", 1.5 * (tense != "present")),
                              ("year", 0.8 * (tense == "past")), ("span", tense != "present")])
        if kind == "word":
            return self.choice([time for time in words.TIMES if tense in time.tenses])
        if kind == "weekday":
            en, de, fr = self.choice(words.WEEKDAYS)
            return Time("on " + en, "am " + de, fr, ())
        if kind == "clock":
            return clock_time(2 + self.below(10))
        if kind == "half":
            return digit_time(6 + self.below(17), 5 * (1 + self.below(11)))
        if kind == "date":
            return date_time(1 + self.below(28), self.choice(words.MONTHS))
        if kind == "year":
            return self.year()
        return span_time(2 + self.below(11), self.choice(("day", "week", "year")), tense)

    def year(self):
        year = str(1950 + self.below(70))
        return Time("in " + year, "im Jahr " + year, "en " + year, ())

    def frequency(self):
        return self.choice(words.FREQUENCIES)

    def place(self, relation, tags=("place",)):
        """at / to with a place that the nouns' own prepositions fit."""
        noun = self.noun(set(tags))
        determiners = [(("the", "singular"), 8)]
        if "anydet" in noun.tags and relation == "at":
            determiners += [(("a", "singular"), 2), (("possessive", "singular"), 2)]
        phrase = self.noun_phrase(noun, determiners, 0.2)
        return PrepositionalPhrase(relation, phrase, moves=relation == "to")

    def geo(self, relation):
        return PrepositionalPhrase(relation, NounPhrase("geo", self.choice(words.PLACES)))

    def beside(self, moves=False):
        """A two-way preposition with furniture, a building or a container."""
        relation = self.choice(TWO_WAY + ("in",))
        tags = {"on": {"surface"}, "under": {"table", "bed", "sofa", "chair", "tree"},
                "in": {"container"}}.get(relation, {"near"})
        phrase = self.noun_phrase(self.noun(tags), [(("the", "singular"), 8),
                                                    (("possessive", "singular"), 1)], 0.2)
        return PrepositionalPhrase(relation, phrase, moves)

    def location(self):
        return self.place("at") if self.happens(0.75) else self.geo("at")

    def accompaniment(self, allows_for):
        """with, without or for somebody; after or before an event."""
        if self.happens(0.3):
            event = self.noun({"event"})
            relation = self.choice(("after", "before"))
            return PrepositionalPhrase(relation, NounPhrase("noun", event, determiner="the"))
        relation = self.weighted([("with", 4), ("without", 1), ("for", 2 * allows_for)])
        other = self.person()
        if other.determiner in ("every", "many"):
            other.determiner = "the"
        return PrepositionalPhrase(relation, other)


def is_colour(adjective):
    return adjective.en in lexicon.COLOURS


def clock_time(hour):
    return Time("at %s o'clock" % numerals.english(hour), "um %s Uhr" % numerals.german(hour),
                "à %s heures" % numerals.french(hour, "f"), ())


def digit_time(hour, minute):
    return Time("at %d:%02d" % (hour, minute), "um %d:%02d Uhr" % (hour, minute),
                "à %d h %02d" % (hour, minute), ())


def date_time(day, month):
    en, de, fr = month
    return Time("on %d %s" % (day, en), "am %d. %s" % (day, de),
                "le %s %s" % ("1er" if day == 1 else day, fr), ())


def span_time(count, unit, tense):
    en = "%s %ss" % (numerals.english(count), unit)
    de_unit = {"day": "Tagen", "week": "Wochen", "year": "Jahren"}[unit]
    fr_unit = {"day": "jours", "week": "semaines", "year": "ans"}[unit]
    de = numerals.german(count) + " " + de_unit
    fr = numerals.french(count, "f" if unit == "week" else "m") + " " + fr_unit
    if tense == "past":
        return Time(en + " ago", "vor " + de, "il y a " + fr, ())
    return Time("in " + en, "in " + de, "dans " + fr, ())
