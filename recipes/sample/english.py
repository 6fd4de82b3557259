"""A Sentence as English text."""

import numerals
import words
from grammar import POSSESSIVES, introducer

OBJECT_PRONOUNS = {"I": "me", "you": "you", "he": "him", "she": "her", "it": "it", "we": "us",
                   "they": "them"}
BE_FORMS = {"present": {"1s": "am", "3s": "is"}, "past": {"1s": "was", "3s": "was"}}
MODALS = {"must": ("must", "must", "must"), "can": ("can", "can", "cannot"),
          "want to": ("want to", "wants to", "")}


def article(following):
    return "an" if following[0] in "aeiou" and not following.startswith("uni") else "a"


def third_person(base):
    if base in ("have", "be"):
        return {"have": "has", "be": "is"}[base]
    if base.endswith(("s", "sh", "ch", "x")) or base in ("go", "do"):
        return base + "es"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + "s"


def noun_phrase(phrase, is_object=False):
    if phrase.kind == "weather":
        return "it"
    if phrase.kind == "pronoun":
        return OBJECT_PRONOUNS[phrase.noun] if is_object else phrase.noun
    if phrase.kind == "name":
        return phrase.noun.name
    if phrase.kind == "title":
        return phrase.title + " " + phrase.noun
    if phrase.kind == "pair":
        return " and ".join(name.name for name in phrase.noun)
    if phrase.kind == "geo":
        return phrase.noun.en
    noun = phrase.noun.en_plural if phrase.is_plural else phrase.noun.en
    parts = [adjective.en for adjective in phrase.adjectives] + [noun]
    text = " ".join(parts)
    determiner = phrase.determiner
    if isinstance(determiner, tuple):
        kind, value = determiner
        text = (numerals.english(value) if kind == "number" else value.name + "'s") + " " + text
    elif determiner == "a":
        text = article(text) + " " + text
    elif determiner == "this":
        text = ("these " if phrase.is_plural else "this ") + text
    elif determiner == "all":
        text = "all the " + text
    elif determiner == "the" and "meal" in phrase.noun.tags:
        pass                                            # after breakfast
    elif determiner != "none":
        assert determiner in POSSESSIVES + ("the", "every", "many", "which", "how many")
        text = determiner + " " + text
    if phrase.relative is not None:
        text += " " + introducer(phrase) + " " + clause(phrase.relative)
    return text


def prepositional_phrase(phrase):
    text = noun_phrase(phrase.phrase, is_object=True)
    if phrase.relation == "at":
        place = phrase.phrase.noun
        return ("in " if phrase.phrase.kind == "geo" else place.place.en_in + " ") + text
    if phrase.relation == "from":
        return text                                     # the verb is "come from"
    return phrase.relation + " " + text


def finite_be(tense, person):
    return BE_FORMS[tense].get(person, "are" if tense == "present" else "were")


def predicate_text(predicate):
    kind, value = predicate[:2]
    if kind == "adjective":
        return value.en
    if kind == "more":
        more = value.en_more or "more " + value.en
        return more + " than " + noun_phrase(predicate[2], is_object=True)
    if kind == "as":
        return "as " + value.en + " as " + noun_phrase(predicate[2], is_object=True)
    if kind == "age":
        return numerals.english(value) + " years old"
    if kind == "price":
        return numerals.english(value) + " euros"
    return noun_phrase(value)


def verb_group(subject, c, with_do):
    """The words before and from the subject on: (auxiliary, [not, adverb], verb form).

    with_do: the clause is a question whose auxiliary goes before the subject."""
    verb = c.verb.en
    person = subject.person
    third = person == "3s"
    inner = ["not"] if c.negation == "not" else []
    inner += ["never"] if c.negation == "never" else []
    inner += [c.frequency[0]] if c.frequency else []
    if c.modal == "want to":
        if with_do or c.negation == "not":
            return "does" if third else "do", inner, "want to " + verb.base
        return "", inner, MODALS["want to"][third] + " " + verb.base
    if c.modal:
        if c.modal == "can" and c.negation == "not" and not with_do:
            return "cannot", inner[1:], verb.base
        return c.modal, inner, verb.base
    if c.tense == "future":
        return "will", inner, verb.base
    if verb.base == "be":
        return finite_be(c.tense, person), inner, ""
    if c.is_progressive:
        return finite_be("present", person), inner, verb.ing
    if with_do or c.negation == "not":
        auxiliary = "did" if c.tense == "past" else "does" if third else "do"
        return auxiliary, inner, verb.base
    if c.tense == "past":
        return "", inner, verb.past
    return "", inner, third_person(verb.base) if third else verb.base


def after_verb(c):
    verb = c.verb.en
    parts = []
    the_object = None if c.gap == "object" or c.object is None else c.object
    recipient = None if c.gap == "recipient" else c.recipient
    if recipient is not None and not c.is_recipient_last:
        parts.append(noun_phrase(recipient, is_object=True))
    if verb.preposition:
        parts.append(verb.preposition)
    if the_object is not None:
        parts.append(noun_phrase(the_object, is_object=True))
    if verb.particle:
        at_end = the_object is None or the_object.is_pronoun
        parts.insert(len(parts) if at_end else 0, verb.particle)
    if recipient is not None and c.is_recipient_last:
        parts.append("to " + noun_phrase(recipient, is_object=True))
    if c.predicate:
        parts.append(predicate_text(c.predicate))
    parts += [prepositional_phrase(phrase) for phrase in c.phrases]
    return parts


def clause(c, is_question=False):
    """The clause in the order of a statement, or of a question (auxiliary first)."""
    auxiliary, inner, form = verb_group(c.subject, c, is_question)
    subject = [] if c.gap == "subject" else [noun_phrase(c.subject)]
    if is_question:
        parts = [auxiliary] + subject + inner + [form]
    else:
        parts = subject + [auxiliary] + inner + [form]
    parts += after_verb(c)
    time = [c.time.en] if c.time else []
    parts = time + parts if c.is_time_first else parts + time
    return " ".join(part for part in parts if part)


def infinitive(c):
    return " ".join(["to", c.verb.en.base] + after_verb(c))


def question(sentence):
    main = sentence.main
    if sentence.asked == "who":
        return "who " + clause(main)
    if sentence.asked in ("which", "how many"):
        return noun_phrase(main.object) + " " + clause(main, is_question=True)
    if sentence.asked:
        return sentence.asked + " " + clause(main, is_question=True)
    return clause(main, is_question=True)


def statement(sentence):
    kind, main, second = sentence.kind, sentence.main, sentence.second
    if kind == "that":
        return clause(main) + " that " + clause(second)
    if kind == "purpose":
        return clause(main) + " " + infinitive(second)
    if kind == "and":
        return clause(main) + " and " + clause(second)
    if kind == "but":
        return clause(main) + ", but " + clause(second)
    if kind == "subordinate":
        side = sentence.conjunction + " " + clause(second)
        return side + ", " + clause(main) if sentence.is_second_first else clause(main) + " " + side
    if kind == "there":
        there = "there " + finite_be("present", main.subject.person)
        place = prepositional_phrase(main.phrases[0])
        subject = noun_phrase(main.subject)
        return " ".join([place, there, subject] if main.is_time_first else [there, subject, place])
    return clause(main)


def realise(sentence):
    if sentence.kind in ("question", "wh"):
        text, stop = question(sentence), "?"
    else:
        text, stop = statement(sentence), "."
    return text[0].upper() + text[1:] + stop


def is_past_visible(c):
    """False where "they read" could be either tense."""
    verb = c.verb.en
    if c.tense != "past" or c.modal or c.negation == "not" or c.verb is words.BE:
        return True
    return verb.past != (third_person(verb.base) if c.subject.person == "3s" else verb.base)
