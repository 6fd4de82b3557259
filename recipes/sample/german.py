"""A Sentence as German text."""

import re

import numerals
import words
from grammar import FREE

GENDERS = ("m", "f", "n", "plural")
CASES = ("nom", "acc", "dat")
THE = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem den"}
STRONG = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en"}   # also dies-, jed-
EIN = {"nom": "- e - e", "acc": "en e - e", "dat": "em er em en"}
AFTER_THE = {"nom": "e e e en", "acc": "en e e en", "dat": "en en en en"}
AFTER_EIN = {"nom": "er e es en", "acc": "en e es en", "dat": "en en en en"}
RELATIVE = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem denen"}
IT = {"nom": "er sie es", "acc": "ihn sie es"}        # never governed by a dative
PRONOUNS = {"I": "ich mich mir", "you": "du dich dir", "he": "er ihn ihm", "she": "sie sie ihr",
            "we": "wir uns uns", "they": "sie sie ihnen"}
REFLEXIVE = {"1s": "mich", "2s": "dich", "1p": "uns", "3s": "sich", "3p": "sich"}
EIN_WORDS = {"a": "ein", "no": "kein", "my": "mein", "your": "dein", "his": "sein", "her": "ihr",
             "our": "unser", "their": "ihr"}
DER_WORDS = {"this": "dies", "every": "jed", "which": "welch", "all": "all"}
CONTRACTIONS = {"in dem": "im", "in das": "ins", "an dem": "am", "an das": "ans", "zu dem": "zum",
                "von dem": "vom"}
CONJUNCTIONS = {"because": "weil", "although": "obwohl", "while": "während", "if": "wenn"}
MODALS = {"must": "müssen", "can": "können", "want to": "wollen"}
PERSONS = ("1s", "2s", "3s", "1p", "3p")
IRREGULAR = {"sein": "bin bist ist sind sind", "haben": "habe hast hat haben haben",
             "werden": "werde wirst wird werden werden", "wissen": "weiß weißt weiß wissen wissen",
             "mögen": "mag magst mag mögen mögen", "müssen": "muss musst muss müssen müssen",
             "können": "kann kannst kann können können", "wollen": "will willst will wollen wollen",
             "lächeln": "lächle lächelst lächelt lächeln lächeln"}
PRETERITE = {"sein": "war warst war waren waren", "haben": "hatte hattest hatte hatten hatten"}


def ending(table, case, gender):
    return table[case].split()[GENDERS.index(gender)].replace("-", "")


def gender_of(phrase):
    return "plural" if phrase.is_plural else phrase.noun.de_gender


def determined(determiner, case, gender):
    """The determiner's text and the endings that it asks of an adjective."""
    if isinstance(determiner, tuple):
        kind, value = determiner
        return (numerals.german(value) if kind == "number" else value.name + "s"), STRONG
    if determiner == "none":
        return "", STRONG
    if determiner == "the":
        return ending(THE, case, gender), AFTER_THE
    if determiner in EIN_WORDS:
        return EIN_WORDS[determiner] + ending(EIN, case, gender), AFTER_EIN
    if determiner in DER_WORDS:
        return DER_WORDS[determiner] + ending(STRONG, case, gender), AFTER_THE
    return ("wie viele" if determiner == "how many" else
            "viel" + ending(STRONG, case, gender)), STRONG


def noun_form(phrase, case):
    noun = phrase.noun
    if not phrase.is_plural:
        return noun.de if case == "nom" else noun.de_oblique
    return noun.de_plural + ("n" if case == "dat" and noun.de_plural[-1] not in "ns" else "")


def pronoun(phrase, case):
    index = CASES.index(case)
    if phrase.kind == "weather":
        return "es"
    if phrase.noun in PRONOUNS:
        return PRONOUNS[phrase.noun].split()[index]
    return ending(IT, case, phrase.antecedent.noun.de_gender)


def noun_phrase(phrase, case, is_negated=False):
    """The phrase without its relative clause. is_negated: its article becomes kein."""
    if phrase.is_pronoun:
        return pronoun(phrase, case)
    if phrase.kind == "name":
        return phrase.noun.name
    if phrase.kind == "title":
        title = "Frau" if phrase.title == "Mrs" else "Herr" if case == "nom" else "Herrn"
        return title + " " + phrase.noun
    if phrase.kind == "pair":
        return " und ".join(name.name for name in phrase.noun)
    gender = gender_of(phrase)
    determiner, table = determined("no" if is_negated else phrase.determiner, case, gender)
    adjectives = [adjective.de_stem + ending(table, case, gender)
                  for adjective in phrase.adjectives]
    return " ".join([determiner] * bool(determiner) + adjectives + [noun_form(phrase, case)])


def prepositional_phrase(phrase):
    target = phrase.phrase
    if target.kind == "geo":
        names = {"at": target.noun.de_in, "to": target.noun.de_to, "from": target.noun.de_from}
        return names[phrase.relation]
    if phrase.relation in ("at", "to"):
        place = target.noun.place
        preposition = place.de_in if phrase.relation == "at" else place.de_to
        case = "dat" if phrase.relation == "at" or preposition == "zu" else "acc"
    else:
        entry = words.PREPOSITIONS[phrase.relation]
        preposition = entry.de
        case = entry.case if entry.case != "two" else "acc" if phrase.moves else "dat"
    return with_preposition(preposition, target, case)


def with_preposition(preposition, target, case):
    text = noun_phrase(target, case)
    if target.kind == "noun" and target.determiner == "the":
        start = preposition + " " + text.split()[0]
        if start in CONTRACTIONS:
            return CONTRACTIONS[start] + text[text.index(" "):]
    return preposition + " " + text


def present(verb, person):
    """verb: a GermanVerb or an infinitive from IRREGULAR."""
    infinitive = verb if isinstance(verb, str) else verb.infinitive
    if infinitive in IRREGULAR:
        return IRREGULAR[infinitive].split()[PERSONS.index(person)]
    if person == "1s":
        return infinitive[:-1] + ("" if infinitive.endswith("en") else "e")
    if person == "2s":
        stem = verb.third[:-1]
        return stem + ("t" if stem[-1] in "sßzx" else "st")
    return verb.third if person == "3s" else infinitive


def finite_and_end(c):
    """(finite verb, what stands at the end of the clause, prefix that joins a final verb)."""
    verb, person = c.verb.de, c.subject.person
    whole = verb.prefix + verb.infinitive
    if c.modal:
        return present(MODALS[c.modal], person), [whole], ""
    if c.tense == "future":
        return present("werden", person), [whole], ""
    if c.tense == "past":
        if c.verb in (words.BE, words.HAVE):
            return PRETERITE[whole].split()[PERSONS.index(person)], [], ""
        return present(verb.auxiliary, person), [verb.participle], ""
    return present(verb, person), [], verb.prefix


def relative_clause(phrase):
    c = phrase.relative
    gender = gender_of(phrase)
    if c.gap == "subject":
        opening = ending(RELATIVE, "nom", gender)
    elif c.gap == "place":
        opening = phrase.noun.place.de_in + " " + ending(RELATIVE, "dat", gender)
    else:
        verb = c.verb.de
        opening = ending(RELATIVE, verb.case, gender)
        opening = verb.preposition + " " + opening if verb.preposition else opening
    return ", " + opening + " " + verb_last(c) + ","


def with_relative(phrase, case):
    text = noun_phrase(phrase, case)
    return text + relative_clause(phrase) if phrase.relative is not None else text


def predicate_text(predicate):
    kind, value = predicate[:2]
    if kind == "adjective":
        return value.de
    if kind == "more":
        return value.de_more + " als " + noun_phrase(predicate[2], "nom")
    if kind == "as":
        return "so " + value.de + " wie " + noun_phrase(predicate[2], "nom")
    if kind == "age":
        return numerals.german(value) + " Jahre alt"
    if kind == "price":
        return numerals.german(value) + " Euro"
    return noun_phrase(value, "nom")


def middle(c):
    """What stands between the finite verb (or the subject) and the end of the clause, in order:
    reflexive, pronouns, time (also before and after something), frequency, recipient, definite
    object, negation, indefinite object, prepositional phrases, predicate."""
    verb = c.verb.de
    parts = [REFLEXIVE[c.subject.person]] if verb.is_reflexive else []
    the_object = None if c.gap == "object" else c.object
    governed = the_object is not None and bool(verb.preposition)
    direct = None if governed else the_object
    nominal = [phrase for phrase in ((c.recipient, "dat"), (direct, verb.case))
               if phrase[0] is not None]
    parts += [noun_phrase(*entry) for entry in nominal if entry[0].is_pronoun]
    parts += [c.time.de] if c.time and not c.is_time_first else []
    parts += [prepositional_phrase(phrase) for phrase in c.phrases if phrase.is_temporal]
    parts += [c.frequency[1]] if c.frequency else []
    is_free = direct is not None and direct.kind == "noun" and direct.determiner in FREE
    has_kein = c.negation == "not" and is_free
    if c.recipient is not None and not c.recipient.is_pronoun:
        parts.append(noun_phrase(c.recipient, "dat"))
    late = []
    if direct is not None and not direct.is_pronoun:
        is_late = is_free or c.verb.frame == "music"
        text = (direct.noun.de if c.verb.frame == "music"       # spielt Klavier: no article
                else noun_phrase(direct, verb.case, has_kein))
        (late if is_late else parts).append(text)
    job = c.predicate[1] if c.predicate and c.predicate[0] == "job" else None
    if c.negation and not has_kein and (job is None or c.negation == "never"):
        parts.append("nicht" if c.negation == "not" else "nie")
    parts += late
    if governed:
        parts.append(with_preposition(verb.preposition, the_object, verb.case))
    parts += [prepositional_phrase(phrase) for phrase in c.phrases if not phrase.is_temporal]
    if job is not None:
        is_bare = not job.adjectives and not c.negation          # er ist Arzt
        parts.append(job.noun.de if is_bare else noun_phrase(job, "nom", c.negation == "not"))
    elif c.predicate:
        parts.append(predicate_text(c.predicate))
    return parts


def extraposed(c):
    """The object's relative clause, which follows the whole clause."""
    if c.object is not None and c.gap != "object" and c.object.relative is not None:
        return [relative_clause(c.object)]
    return []


def verb_second(c, front=None):
    """A main clause; front stands before the verb instead of the subject."""
    finite, end, prefix = finite_and_end(c)
    subject = [] if c.gap == "subject" else [with_relative(c.subject, "nom")]
    if front is None and c.is_time_first:
        front = c.time.de
    if front is None:
        parts = subject + [finite]
    else:
        parts = [front] * bool(front) + [finite] + subject
    return " ".join(parts + middle(c) + end + [prefix] * bool(prefix) + extraposed(c))


def verb_last(c):
    finite, end, prefix = finite_and_end(c)
    subject = [] if c.gap == "subject" else [with_relative(c.subject, "nom")]
    return " ".join(subject + middle(c) + end + [prefix + finite] + extraposed(c))


def infinitive(c):
    verb = c.verb.de
    last = verb.prefix + "zu" + verb.infinitive if verb.prefix else "zu " + verb.infinitive
    return " ".join(middle(c) + [last] + extraposed(c))


def question_word(sentence):
    verb = sentence.main.verb
    if sentence.asked == "where":
        return {"to": "wohin", "from": "woher"}.get(verb.frame, "wo")
    if sentence.asked == "whom":
        word = "wem" if verb.de.case == "dat" else "wen"
        return verb.de.preposition + " " + word if verb.de.preposition else word
    if sentence.asked in ("which", "how many"):
        return noun_phrase(sentence.main.object, verb.de.case)
    return {"what": "was", "who": "wer", "when": "wann", "why": "warum"}[sentence.asked]


def conjunction(sentence):
    if sentence.conjunction == "when":
        return "als" if sentence.second.tense == "past" else "wenn"
    return CONJUNCTIONS[sentence.conjunction]


def statement(sentence):
    kind, main, second = sentence.kind, sentence.main, sentence.second
    if kind == "that":
        return verb_second(main) + ", dass " + verb_last(second)
    if kind == "purpose":
        return verb_second(main) + ", um " + infinitive(second)
    if kind == "and":
        return verb_second(main) + " und " + verb_second(second)
    if kind == "but":
        return verb_second(main) + ", aber " + verb_second(second)
    if kind == "subordinate":
        side = conjunction(sentence) + " " + verb_last(second)
        if sentence.is_second_first:
            return side + ", " + verb_second(main, front="")
        return verb_second(main) + ", " + side
    if kind == "there":
        place = prepositional_phrase(main.phrases[0])
        thing = noun_phrase(main.subject, "acc")
        return (place + " gibt es " + thing if main.is_time_first
                else "es gibt " + thing + " " + place)
    return verb_second(main)


def realise(sentence):
    if sentence.kind == "question":
        text, stop = verb_second(sentence.main, front=""), "?"
    elif sentence.kind == "wh":
        text, stop = verb_second(sentence.main, front=question_word(sentence)), "?"
    else:
        text, stop = statement(sentence), "."
    text = re.sub(r"(?: *,)+", ",", text).rstrip(",")
    return text[0].upper() + text[1:] + stop
