"""Draws sentences at random. Tags decide what goes with what, weights how often."""

import words
from clauses import LEAVING, ClauseSampler, can_be_negated
from grammar import Clause, NounPhrase, Sentence, repeats_itself
from phrases import is_colour

NO_PURPOSE = ("leave", "depart", "arrive", "wake", "fall", "come", "lose", "miss", "forget", "get",
              "cry")
CONJUNCTIONS = ("because", "although", "while", "when", "if")


class Sampler(ClauseSampler):
    """sentence() draws one sentence; the others are its kinds."""

    def sentence(self):
        kind = self.weighted([("statement", 12), ("relative", 4), ("question", 2.5), ("wh", 4),
                              ("that", 2), ("subordinate", 4.5), ("and", 1.5), ("contrast", 2.5),
                              ("purpose", 1.5), ("there", 1)])
        drawn = getattr(self, "make_" + kind)()
        return self.sentence() if repeats_itself(drawn) else drawn

    def make_statement(self):
        return Sentence("statement", self.clause())

    def make_relative(self):
        c = self.clause()
        target = c.object if c.object is not None and self.happens(0.65) else c.subject
        if target is c.object and (c.phrases or c.recipient is not None):
            target = c.subject
        if target is c.object and c.time is not None:
            c.is_time_first = True
        if c.verb.frame not in ("music", "have"):
            self.add_relative(target)
        return Sentence("statement", c)

    def make_question(self):
        c = self.clause()
        c.is_time_first = False
        if c.negation:
            c.negation = ""
        return Sentence("question", c)

    def make_wh(self):
        asked = self.weighted([("what", 3), ("who", 3), ("whom", 2), ("where", 2.5), ("when", 2),
                               ("why", 2), ("which", 2), ("how many", 2)])
        frames = {"what": [("obj", 1)], "who": [("obj", 4), ("none", 1), ("to", 1), ("music", 1)],
                  "whom": [("obj", 1)], "where": [("none", 2), ("obj", 2), ("to", 2), ("in", 1),
                                                  ("from", 1)],
                  "when": [("obj", 3), ("none", 3), ("to", 2)],
                  "why": [("obj", 3), ("none", 2), ("to", 1), ("be", 2)],
                  "which": [("obj", 1)], "how many": [("obj", 1)]}[asked]
        c = self.clause(frames=frames, plain=True)
        if asked == "where":
            c.phrases = []
        self.shorten_question(c, asked)
        if not self.fits_question(c, asked):
            return self.make_wh()
        if asked in ("what", "whom"):
            c.object = None
        return Sentence("wh", c, asked=asked)

    def shorten_question(self, c, asked):
        """Takes out of the clause what the question word stands for."""
        if asked == "who":
            c.subject = NounPhrase("weather")       # third person singular, masculine
            c.gap = "subject"
        elif asked in ("what", "whom", "which", "how many"):
            c.phrases = []
            c.gap = "object"
            if asked in ("which", "how many") and c.object.kind == "noun":
                number = "plural" if asked == "how many" or self.happens(0.3) else "singular"
                c.object = NounPhrase("noun", c.object.noun, number, asked)
        if asked not in ("where", "when") and c.verb.frame not in ("from", "be"):
            if self.happens(0.3):
                c.time = self.time(c.tense)
        if asked == "why" and self.happens(0.2) and can_be_negated(c):
            c.negation = "not"

    def fits_question(self, c, asked):
        is_person = c.object is not None and is_human(c.object)
        if asked == "what":
            return not is_person and not c.verb.de.preposition and not c.verb.fr.preposition
        if asked == "whom":
            return is_person and c.verb.fr.preposition in ("", "à")
        if asked in ("which", "how many"):
            plain = not c.verb.de.preposition and not c.verb.fr.preposition
            return c.object.kind == "noun" and plain and not c.object.is_mass and (
                "meal" not in c.object.noun.tags)
        if asked == "where":
            return c.verb.en.base not in LEAVING or c.verb.frame == "to"
        if asked == "when":
            return not any(phrase.is_temporal for phrase in c.phrases)
        return not (c.time and c.time.en == "now")

    def make_that(self):
        verb = self.choice(self.verbs_by_frame["that"])
        subject = self.person()
        main = Clause(subject, verb)
        second = self.clause(not has_plural(subject))
        if verb.en.base == "hope":
            second = self.clause(not has_plural(subject), tense="future", plain=True,
                                 frames=[("obj", 4), ("none", 3), ("to", 1), ("two", 1)])
            if self.happens(0.4):
                second.time = self.time("future")
        second.is_time_first = False
        if has_plural(subject) and mentions_they(second):
            return self.make_that()
        return Sentence("that", main, second)

    def make_subordinate(self):
        conjunction = self.choice(CONJUNCTIONS)
        main = self.clause()
        allow = not has_plural(main.subject) and not mentions_they(main)
        if conjunction == "if":
            main = self.clause(tense="future", plain=True,
                               frames=[("obj", 4), ("none", 3), ("to", 2), ("in", 1)])
            second = self.short_side("present", allow)
        elif conjunction == "while":
            tense = self.choice(("present", "past"))
            frames = [("none", 3), ("obj", 4), ("music", 1)]
            main = self.clause(tense=tense, plain=True, frames=frames)
            second = self.clause(allow, tense=tense, plain=True, frames=frames)
        elif conjunction == "when":
            tense = self.choice(("present", "past"))
            main = self.clause(tense=tense, plain=True,
                               frames=[("none", 3), ("obj", 4), ("to", 1)])
            second = self.short_side(tense, allow)
        else:
            if main.tense == "future" and conjunction == "although":
                main = self.clause(tense="present")
            second = self.clause(allow, tense=self.choice(("present", "past")))
        if not self.is_clear(main, second):
            return self.make_subordinate()
        first = self.happens(0.4)
        main.is_time_first = main.is_time_first and not first
        second.is_time_first = False
        if conjunction == "although" and second.predicate and second.predicate[0] == "age":
            second.tense = "present"
        return Sentence("subordinate", main, second, conjunction, first)

    def short_side(self, tense, allow_pronoun):
        """A clause for when and if."""
        if self.happens(0.25):
            return Clause(NounPhrase("weather"), self.verb([("weather", 1)]), tense)
        frames = [("none", 4), ("obj", 4), ("to", 1), ("be", 1.5 * (tense == "present"))]
        return self.clause(allow_pronoun, tense=tense, plain=True, frames=frames)

    @staticmethod
    def is_clear(*clauses):
        """False where a "they" or "them" could mean something in another clause."""
        return not any(mentions_they(c) for c in clauses)

    def make_and(self):
        first, second = self.clause(False), self.clause(False)
        second.is_time_first = False
        if not self.is_clear(first, second):
            return self.make_and()
        return Sentence("and", first, second)

    def make_contrast(self):
        """Two clauses, of which the second takes a thing of the first up by "it" or "they"."""
        if self.happens(0.5):
            return self.contrast_of_quality()
        verb = self.verb([("obj", 1)])
        noun = self.noun(verb.objects)
        if noun.tags & {"person", "meal"} or verb.de.preposition or verb.fr.preposition:
            return self.make_contrast()
        thing = self.thing(noun)
        first = Clause(self.choice((self.name, self.title))(), verb, self.tense(), object=thing)
        if thing.determiner in ("many", "all"):
            thing.determiner = "the"
        fitting = [verb for verb in self.verbs_by_frame["obj"] + self.verbs_by_frame["state"]
                   if verb.objects & thing.noun.tags and not verb.de.preposition
                   and not verb.fr.preposition and verb is not first.verb
                   and verb.de.case == "acc"]
        if not fitting:
            return self.make_contrast()
        second_verb = self.choice(fitting)
        tense = "present" if second_verb.frame == "state" else self.tense()
        second = Clause(self.choice((self.name, lambda: self.pronoun(("I", "he", "she", "we"))))(),
                        second_verb, tense, object=reference(thing))
        if self.happens(0.5):
            second.negation = "not"
        return Sentence(self.choice(("but", "and")), first, second)

    def contrast_of_quality(self):
        noun = self.noun({"small", "cloth", "vehicle", "furniture", "place", "text", "food",
                          "drink", "wheeled", "animal"})
        fitting = [adjective for adjective in words.ADJECTIVES if adjective.tags & noun.tags]
        one, other = self.choice(fitting), self.choice(fitting)
        if one is other or is_colour(one) and is_colour(other):
            return self.make_contrast()
        table = [(("the", "singular"), 3), (("this", "singular"), 2),
                 (("possessive", "singular"), 2)]
        if "mass" not in noun.tags:
            table += [(("the", "plural"), 2), (("possessive", "plural"), 1)]
        subject = self.noun_phrase(noun, table, 0)
        first = Clause(subject, words.BE, self.choice(("present", "present", "past")),
                       predicate=("adjective", one))
        second = Clause(reference(subject), words.BE, first.tense, predicate=("adjective", other))
        if self.happens(0.35):
            second.negation = "not"
        if self.happens(0.3):
            first = Clause(self.name(), self.choice([
                verb for verb in self.verbs_by_frame["state"] if verb.en.base == "like"]),
                object=subject)
            conjunction = "because"
            second.negation, second.tense = "", "present"
            return Sentence("subordinate", first, second, conjunction)
        return Sentence("but" if second.negation else "and", first, second)

    def make_purpose(self):
        main = self.clause(frames=[("to", 1)], plain=True)
        if self.happens(0.3):
            main.time = self.time(main.tense)
            main.is_time_first = True
        if main.time and main.time.en == "now":
            main.is_progressive = True
        second = self.clause(False, main.subject, [("obj", 6), ("none", 1), ("two", 1)],
                             tense="present", plain=True)
        if second.verb.en.base in NO_PURPOSE or not self.is_clear(main, second):
            return self.make_purpose()
        second.gap = "subject"              # the infinitive's subject is unsaid
        return Sentence("purpose", main, second)

    def make_there(self):
        thing = self.noun_phrase(self.noun({"small", "animal", "furniture", "built", "tree"}), [
            (("a", "singular"), 6), (("number", "plural"), 3), (("many", "plural"), 1)], 0.35)
        if thing.noun.place:
            where = self.place("at", ("village", "city", "park"))
        elif "furniture" in thing.noun.tags or self.happens(0.6):
            where = self.place("at")
        else:
            where = self.beside()
        if where.phrase.noun is thing.noun:
            return self.make_there()
        return Sentence("there", Clause(thing, words.BE, phrases=[where],
                                        is_time_first=self.happens(0.5)))


def is_human(phrase):
    return phrase.kind != "noun" or "person" in phrase.noun.tags


def has_plural(phrase):
    return phrase is not None and phrase.is_plural


def mentions_they(c):
    phrases = [c.subject, c.object, c.recipient] + [phrase.phrase for phrase in c.phrases]
    return any(phrase is not None and phrase.kind == "pronoun" and phrase.noun == "they"
               and phrase.antecedent is None for phrase in phrases)


def reference(phrase):
    """The pronoun that takes a thing up again."""
    return NounPhrase("pronoun", "they" if phrase.is_plural else "it", phrase.number,
                      antecedent=phrase)
