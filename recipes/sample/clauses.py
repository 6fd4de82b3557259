"""Draws clauses: a verb, what its frame asks for, time, negation, modal, relative clauses."""

import words
from grammar import Clause, NounPhrase
from phrases import PhraseSampler

# Frames whose verbs have -ing forms, but for the verbs below.
ACTIONS = ("obj", "none", "two", "twoto", "put", "to", "music")
NOT_PROGRESSIVE = {"see", "hear", "know", "like", "love", "understand", "forget", "lose", "find"}
LEAVING = ("leave", "depart", "come", "go")             # no place where this happens
DONE_FOR = ("work", "cook", "dance", "smile")           # for somebody, where no object says what
UNWANTED = {"miss", "lose", "forget", "break", "steal", "cry"}  # not with must, can, want to


class ClauseSampler(PhraseSampler):
    """Fills clauses by the frames of lexicon.VERBS."""

    def tense(self):
        return self.weighted([("present", 5), ("past", 4), ("future", 2)])

    def verb(self, frames):
        """frames: (frame, weight) pairs."""
        return self.choice(self.verbs_by_frame[self.weighted(frames)])

    def clause(self, allow_pronoun=True, subject=None, frames=None, tense=None, plain=False):
        """A clause; plain: without time, negation or modal (they come from elsewhere)."""
        frame_weights = frames or [("obj", 17), ("none", 5), ("to", 2), ("in", 1.5), ("from", 0.4),
                                   ("two", 3), ("twoto", 1), ("put", 0.8), ("state", 1.5),
                                   ("music", 0.6), ("be", 5), ("have", 1.5), ("cost", 0.5)]
        verb = self.verb(frame_weights)
        tense = tense or self.tense()
        if verb.frame in ("state", "from", "cost"):
            tense = "present"
        if subject is None:
            subject = self.clause_subject(verb, allow_pronoun)
        c = Clause(subject, verb, tense)
        self.complement(c, allow_pronoun)
        if not plain:
            self.decorate(c)
        return c

    def clause_subject(self, verb, allow_pronoun):
        if verb.frame == "be":
            return None
        if verb.frame == "cost":
            return self.noun_phrase(self.noun(verb.subjects), [
                (("the", "singular"), 4), (("this", "singular"), 3), (("the", "plural"), 2),
                (("this", "plural"), 1)], 0.3)
        return self.subject(verb.subjects, allow_pronoun)

    def complement(self, c, allow_pronoun):
        """What the verb's frame asks for."""
        frame = c.verb.frame
        if frame in ("obj", "state"):
            c.object = self.object(c.verb, allow_pronoun)
            if c.object.kind == "pronoun" and clashes(c.subject, c.object):
                c.object = self.name()
            if frame == "obj" and self.happens(0.12):
                c.phrases.append(self.location() if self.happens(0.6) else
                                 self.accompaniment(not c.verb.en.preposition))
        elif frame == "none":
            if self.happens(0.5):
                has_place = c.verb.en.base not in LEAVING and self.happens(0.6)
                c.phrases.append(self.location() if has_place else
                                 self.accompaniment(c.verb.en.base in DONE_FOR))
        elif frame in ("to", "in", "from"):
            self.destination(c)
        elif frame in ("two", "twoto"):
            c.object = self.thing(self.noun(c.verb.objects))
            c.recipient = self.person()
            if clashes(c.subject, c.recipient) or c.recipient.kind == "pair":
                c.recipient = self.person_noun()
            c.is_recipient_last = frame == "twoto" or self.happens(0.3)
        elif frame == "put":
            c.object = self.thing(self.noun(c.verb.objects))
            c.phrases.append(self.beside(moves=True))
        elif frame == "music":
            c.object = NounPhrase("noun", self.noun(c.verb.objects), determiner="the")
        elif frame == "have":
            self.possession(c)
        elif frame == "cost":
            c.predicate = ("price", self.number())
        elif frame == "be":
            self.predicate(c, allow_pronoun)

    def destination(self, c):
        verb, frame = c.verb, c.verb.frame
        relation = {"to": "to", "in": "at", "from": "from"}[frame]
        if "geo" in verb.objects and (len(verb.objects) == 1 or self.happens(0.4)):
            c.phrases.append(self.geo(relation))
        else:
            tags = verb.objects - {"geo"}
            c.phrases.append(self.place(relation, sorted(tags)))
        if c.phrases[-1].phrase.kind == "noun" and "anydet" in verb.objects:
            c.phrases[-1].phrase.determiner = self.choice(("a", "my", "our", "the"))

    def possession(self, c):
        noun = self.noun(c.verb.objects)
        table = [(("a", "singular"), 6), (("number", "plural"), 3), (("many", "plural"), 1)]
        c.object = self.noun_phrase(noun, table, 0.4)

    def predicate(self, c, allow_pronoun):
        """Fills subject and predicate of a clause with be, or puts a place among its phrases."""
        kind = self.weighted([("person", 4), ("thing", 6), ("more", 3), ("job", 1), ("age", 1.2),
                              ("place", 3)])
        if c.subject is not None and kind in ("thing", "more", "place", "job"):
            kind = "person"
        if kind == "age":
            c.subject = c.subject or self.person(allow_pronoun)
            c.predicate = ("age", self.number())
        elif kind == "job":
            self.job(c)
        elif kind == "place":
            c.subject = self.noun_phrase(self.noun({"small", "cloth", "animal"}), [
                (("the", "singular"), 4), (("possessive", "singular"), 2), (("the", "plural"), 2)])
            c.phrases = [self.beside() if self.happens(0.7) else self.place("at")]
        elif kind == "person":
            c.subject = c.subject or self.person(allow_pronoun)
            fitting = [adjective for adjective in words.ADJECTIVES
                       if adjective.tags & {"person", "=person"}]
            c.predicate = ("adjective", self.choice(fitting))
        else:
            self.quality(c, kind)

    def job(self, c):
        male = [name for name in words.NAMES if name.gender == "m"]
        c.subject = self.choice((NounPhrase("name", self.choice(male)),
                                 self.noun_phrase(self.noun({"kin"}), [
                                     (("possessive", "singular"), 1)], 0)))
        if c.subject.kind == "noun" and "male" not in c.subject.noun.tags:
            c.subject = NounPhrase("name", self.choice(male))
        noun = self.noun({"job"})
        c.predicate = ("job", self.noun_phrase(noun, [(("a", "singular"), 1)], 0.4))

    def quality(self, c, kind):
        """The subject is a thing, with an adjective that fits; kind "more" compares."""
        noun = self.noun({"small", "cloth", "vehicle", "furniture", "place", "animal", "text",
                          "food", "drink", "event", "person", "wheeled", "nature", "part"})
        fitting = [adjective for adjective in words.ADJECTIVES
                   if adjective.tags & (noun.tags | {"=" + tag for tag in noun.tags})]
        adjective = self.choice(fitting)
        table = [(("the", "singular"), 6), (("possessive", "singular"), 2),
                 (("this", "singular"), 2)]
        if "mass" not in noun.tags and "meal" not in noun.tags:
            table += [(("the", "plural"), 3), (("this", "plural"), 1)]
        if "meal" in noun.tags:
            table = table[:1]
        c.subject = self.noun_phrase(noun, table, 0)
        if kind == "thing" or not adjective.de_more:
            c.predicate = ("adjective", adjective)
            return
        others = [other for other in words.NOUNS
                  if (adjective.tags & (other.tags | {"=" + tag for tag in other.tags}))
                  and other != noun and other.tags & noun.tags and "meal" not in other.tags]
        if not others:
            c.predicate = ("adjective", adjective)
            return
        other = self.noun_phrase(self.choice(others), [
            (("the", "singular"), 3), (("possessive", "singular"), 2)], 0)
        c.predicate = (self.choice(("more", "more", "as")), adjective, other)

    # Time, negation, modal

    def decorate(self, c):
        frame = c.verb.frame
        is_countable = frame not in ("cost", "from") and not (
            c.predicate and c.predicate[0] in ("age", "job"))
        if (frame in ACTIONS + ("in",) and c.verb.en.base not in UNWANTED
                and self.happens(0.2)):
            c.modal = self.choice(("must", "can", "want to"))
            c.tense = "present"
        if can_be_negated(c) and self.happens(0.22):
            c.negation = "not" if self.happens(0.75) else "never"
            if c.modal == "must" or frame == "music" or (c.negation == "never" and c.modal):
                c.negation = ""
        if frame == "be" and c.predicate and c.predicate[0] in ("more", "as"):
            c.tense = "present"
        if is_countable and frame != "state" and self.happens(0.45) and c.negation != "never":
            self.add_time(c)
        self.progress(c)

    def add_time(self, c):
        if any(phrase.is_temporal for phrase in c.phrases):
            return
        is_permanent = c.predicate is not None and c.predicate[0] in ("more", "as")
        if is_permanent or c.verb.frame in ("have", "be") and c.tense == "present":
            return
        if (c.tense == "present" and not c.modal and not c.negation and c.verb.en.base != "live"
                and self.happens(0.5)):
            c.frequency = self.frequency()
            return
        if c.verb.en.base == "live":
            if c.tense != "past":
                return
            c.time = self.year()
        else:
            c.time = self.time("future" if c.modal else c.tense)
        c.is_time_first = self.happens(0.4)

    def progress(self, c):
        is_now = c.time is not None and c.time.en in ("now",)
        if (c.tense == "present" and not c.modal and c.verb.frame in ACTIONS and not c.frequency
                and c.negation != "never" and c.verb.en.base not in NOT_PROGRESSIVE
                and (c.time is None or is_now)):
            c.is_progressive = is_now or self.happens(0.5)
        if is_now and not c.is_progressive:
            c.time = None
            c.is_time_first = False

    # Relative clauses

    def add_relative(self, phrase):
        """Gives a noun phrase a relative clause where one fits."""
        has_number = isinstance(phrase.determiner, tuple) and phrase.determiner[0] == "number"
        if phrase.kind != "noun" or phrase.noun.tags & {"mass", "meal"} or not (
                has_number or phrase.determiner in ("the", "a", "this", "many", "all")):
            return
        noun = phrase.noun
        verbs = [verb for verb in self.verbs_by_frame["obj"] if verb.objects & noun.tags and (
            verb.fr.preposition != "à" or "person" in noun.tags)]
        gaps = ["subject"] if noun.tags & {"person", "animal"} else []
        gaps += ["object"] if verbs else []
        gaps += ["place"] if noun.place else []
        if gaps:
            gap = self.choice(gaps)
            relative = self.relative(NounPhrase("noun", noun, phrase.number, "the"), gap, verbs)
            if gap != "subject" or relative.verb.subjects & noun.tags:
                phrase.relative = relative

    def relative(self, phrase, gap, verbs):
        """A relative clause of a plain phrase; verbs: those that it can be the object of."""
        if gap == "object":
            c = Clause(self.person(False), self.choice(verbs), self.tense(), object=phrase)
            c.negation = "not" if self.happens(0.15) else ""
        elif gap == "subject":
            frames = [("obj", 4), ("none", 3), ("in", 1), ("to", 1)]
            c = self.clause(False, phrase, frames if "person" in phrase.noun.tags else frames[1:2],
                            plain=True)
        else:
            staying = [verb for verb in self.verbs_by_frame["none"]
                       if "person" in verb.subjects and verb.en.base not in LEAVING]
            c = Clause(self.person(False), self.choice(staying), self.tense())
        c.gap = gap
        return c


def clashes(subject, other):
    """True where subject and object pronoun could be one person (I see me)."""
    if subject is None:
        return False
    if other.kind == "pronoun" and subject.kind == "pronoun":
        return other.noun == subject.noun or {"I", "we"} == {other.noun, subject.noun}
    return other.kind == subject.kind and other.noun == subject.noun


def can_be_negated(c):
    """Negation has one clear place in these clauses, and one clear meaning."""
    if c.frequency or c.verb.frame in ("from", "cost", "that"):
        return False
    for phrase in (c.subject, c.object, c.recipient):
        if phrase is not None and phrase.kind == "noun" and (
                phrase.determiner in ("every", "many", "all")
                or isinstance(phrase.determiner, tuple) and phrase.determiner[0] == "number"):
            return False
    if c.object is not None and c.phrases:
        return False
    if c.recipient is not None:
        return False
    if c.subject is not None and c.subject.kind == "noun" and c.subject.determiner in ("a", "none"):
        return False
    return True
