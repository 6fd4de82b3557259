"""A Sentence as French text."""

import re
from dataclasses import replace

import lexicon
import numerals
import words
from grammar import FREE

PERSONS = ("1s", "2s", "3s", "1p", "3p")
THE = {"m": "le", "f": "la"}
A = {"m": "un", "f": "une"}
SOME = {"m": "du", "f": "de la"}                        # partitive
POSSESSIVE = {"my": "mon ma mes", "your": "ton ta tes", "his": "son sa ses", "her": "son sa ses",
              "our": "notre notre nos", "their": "leur leur leurs"}
SUBJECT = {"I": "je", "you": "tu", "he": "il", "she": "elle", "we": "nous"}
DIRECT = {"I": "me", "you": "te", "he": "le", "she": "la", "we": "nous", "they": "les"}
INDIRECT = {"I": "me", "you": "te", "he": "lui", "she": "lui", "we": "nous", "they": "leur"}
STRESSED = {"I": "moi", "you": "toi", "he": "lui", "she": "elle", "we": "nous", "they": "eux"}
REFLEXIVE = {"1s": "me", "2s": "te", "3s": "se", "1p": "nous", "3p": "se"}
CONJUNCTIONS = {"because": "parce que", "although": "bien que", "while": "pendant que",
                "when": "quand", "if": "si"}
MOODS = {"although": "subjunctive", "while": "imperfect"}
MODALS = {"must": "devoir", "can": "pouvoir", "want to": "vouloir"}
BEFORE_VOWEL = {"beau": "bel", "nouveau": "nouvel", "vieux": "vieil"}
VOWELS = "aeiouyàâéèêëîïôöùûœ"

IRREGULAR = {infinitive: (present.split(), future, participle) for infinitive, present, future,
             participle in words.rows(lexicon.FRENCH_IRREGULAR)}
SUBJUNCTIVE = {infinitive: forms.split() for infinitive, forms
               in words.rows(lexicon.FRENCH_SUBJUNCTIVE)}


def is_elided_before(word):
    """True where le, de, que ... lose their vowel: before a vowel or a mute h."""
    first = word[0].lower()
    return (first in VOWELS or first == "h") and word not in ("huit", "onze")


def elide(text):
    """Elision through the whole text: le ami -> l'ami, que elle -> qu'elle, si il -> s'il."""
    def join(match):
        word, following = match.groups()
        return word[:-1] + "'" if is_elided_before(following) else match.group(0)

    text = re.sub(r"\b([lL]e|[lL]a|[dD]e|[nN]e|[qQ]ue|[jJ]e|[mM]e|[tT]e|[sS]e) (?=([^ ,.?]+))",
                  join, text)
    return re.sub(r"\b([Ss])i (ils?)\b", r"\1'\2", text)


def conjugation(infinitive):
    """(present forms by person, future stem, participle)."""
    if infinitive in IRREGULAR:
        return IRREGULAR[infinitive]
    stem = infinitive[:-2]
    if infinitive.endswith("er"):
        we = stem + ("e" if stem.endswith("g") else "") + "ons"
        return [stem + "e", stem + "es", stem + "e", we, stem + "ent"], infinitive, stem + "é"
    if infinitive.endswith("ir"):
        forms = [stem + end for end in ("is", "is", "it", "issons", "issent")]
        return forms, infinitive, stem + "i"
    assert infinitive.endswith("re"), infinitive
    forms = [stem + end for end in ("s", "s", "", "ons", "ent")]
    return forms, infinitive[:-1], stem + "u"


def present(infinitive, person):
    return conjugation(infinitive)[0][PERSONS.index(person)]


def future(infinitive, person):
    return conjugation(infinitive)[1] + dict(zip(PERSONS, ("ai", "as", "a", "ons", "ont")))[person]


def imperfect(infinitive, person):
    stem = "ét" if infinitive == "être" else present(infinitive, "1p")[:-3]
    return stem + dict(zip(PERSONS, ("ais", "ais", "ait", "ions", "aient")))[person]


def subjunctive(infinitive, person):
    if infinitive in SUBJUNCTIVE:
        return SUBJUNCTIVE[infinitive][PERSONS.index(person)]
    if person == "1p":
        stem = present(infinitive, "1p")[:-3]
        return (stem[:-1] if stem.endswith("ge") else stem) + "ions"
    stem = present(infinitive, "3p")[:-3]
    return stem + {"1s": "e", "2s": "es", "3s": "e", "3p": "ent"}[person]


def gender_of(phrase):
    """m or f; I, you and we count as masculine, a pair of women as feminine."""
    if phrase.kind == "noun":
        return phrase.noun.fr_gender
    if phrase.kind == "name":
        return phrase.noun.gender
    if phrase.kind == "title":
        return "f" if phrase.title == "Mrs" else "m"
    if phrase.kind == "pair":
        return "f" if all(name.gender == "f" for name in phrase.noun) else "m"
    if phrase.kind == "pronoun" and phrase.antecedent is not None:
        return gender_of(phrase.antecedent)
    return "f" if phrase.noun == "she" else "m"


def inflect(word, gender, is_plural, feminine=None):
    """Adds the endings of a participle or an adjective."""
    if gender == "f":
        word = feminine or word + "e"
    if not is_plural or word[-1] in "sx":
        return word
    return word + ("x" if word.endswith("eau") else "s")


def adjective_form(adjective, gender, is_plural, following=""):
    if adjective.is_invariable:
        return adjective.fr
    word = inflect(adjective.fr, gender, is_plural, adjective.fr_feminine)
    if following and is_elided_before(following):
        word = BEFORE_VOWEL.get(word, word)
    return word


def determiner_text(phrase, gender, following, is_negated):
    determiner, is_plural = phrase.determiner, phrase.is_plural
    starts_vowel = is_elided_before(following)
    has_adjective_first = following != noun_form(phrase)
    if is_negated and determiner in FREE:
        return "de"
    if isinstance(determiner, tuple):
        kind, value = determiner
        if kind == "number":
            return numerals.french(value, gender)
        determiner = "the"
    if determiner in POSSESSIVE:
        form = 2 if is_plural else 1 if gender == "f" and not starts_vowel else 0
        return POSSESSIVE[determiner].split()[form]
    if determiner == "the":
        return "les" if is_plural else THE[gender]
    if determiner == "all":
        return ("toutes" if gender == "f" else "tous") + " les"
    if determiner == "a":
        return A[gender]
    if determiner == "none":
        if is_plural:
            return "de" if has_adjective_first else "des"
        return "de l'" if starts_vowel else SOME[gender]
    if determiner == "this":
        if is_plural:
            return "ces"
        return "cette" if gender == "f" else "cet" if starts_vowel else "ce"
    if determiner == "which":
        return "quel" + ("le" if gender == "f" else "") + ("s" if is_plural else "")
    return {"every": "chaque", "many": "beaucoup de", "how many": "combien de"}[determiner]


def noun_form(phrase):
    return phrase.noun.fr_plural if phrase.is_plural else phrase.noun.fr


def noun_phrase(phrase, is_negated=False):
    """Subject or object; is_negated: what a negation turns into "pas de"."""
    if phrase.kind == "weather":
        return "il"
    if phrase.kind == "pronoun":
        if phrase.noun in SUBJECT:
            return SUBJECT[phrase.noun]
        return ("elle" if gender_of(phrase) == "f" else "il") + "s" * phrase.is_plural
    if phrase.kind == "name":
        return phrase.noun.name
    if phrase.kind == "title":
        return ("Madame " if phrase.title == "Mrs" else "Monsieur ") + phrase.noun
    if phrase.kind == "pair":
        return " et ".join(name.name for name in phrase.noun)
    gender, is_plural = gender_of(phrase), phrase.is_plural
    before = [adjective for adjective in phrase.adjectives if adjective.is_before]
    after = [adjective for adjective in phrase.adjectives if not adjective.is_before]
    noun = noun_form(phrase)
    forms = [adjective_form(adjective, gender, is_plural, noun) for adjective in before] + [noun]
    determiner = determiner_text(phrase, gender, forms[0], is_negated)
    forms += [adjective_form(adjective, gender, is_plural) for adjective in after]
    text = determiner + ("" if determiner.endswith("'") else " ") + " ".join(forms)
    if isinstance(phrase.determiner, tuple) and phrase.determiner[0] == "of":
        text += " de " + phrase.determiner[1].name
    if phrase.relative is not None:
        text += " " + relative_clause(phrase)
    return text


def with_preposition(preposition, phrase):
    if phrase.kind == "pronoun":
        stressed = STRESSED[phrase.noun]
        if phrase.noun == "they" and gender_of(phrase) == "f":
            stressed = "elles"
        return preposition + " " + stressed
    text = noun_phrase(phrase)
    is_definite = phrase.kind == "noun" and (phrase.determiner == "the" or (
        isinstance(phrase.determiner, tuple) and phrase.determiner[0] == "of"))
    if is_definite and preposition.split()[-1] in ("à", "de"):
        article, rest = text.split(" ", 1)
        contracted = {"à le": "au", "à les": "aux", "de le": "du", "de les": "des"}
        last = preposition.split()[-1]
        if article == "les" or (article == "le" and not is_elided_before(rest.split()[0])):
            return preposition[:-len(last)] + contracted[last + " " + article] + " " + rest
    if phrase.kind == "noun" and phrase.determiner == "none" and preposition.endswith("de"):
        text = text.split(" ", 1)[1] if " " in text else text       # de + des -> de
    return preposition + " " + text


def prepositional_phrase(phrase):
    target = phrase.phrase
    if target.kind == "geo":
        return target.noun.fr_from if phrase.relation == "from" else target.noun.fr_in
    if phrase.relation == "at":
        place = target.noun.place
        return with_preposition(place.fr_in, target)
    if phrase.relation == "to":
        return with_preposition(target.noun.place.fr_to, target)
    return with_preposition(words.PREPOSITIONS[phrase.relation].fr, target)


def relative_clause(phrase):
    c = phrase.relative
    if c.gap == "subject":
        return "qui " + clause(c)
    if c.gap == "place":
        return "où " + clause(c)
    governed = {"": "que", "de": "dont", "à": "à qui"}[c.verb.fr.preposition]
    return governed + " " + clause(c, leading=phrase)


def predicate_text(c):
    kind, value = c.predicate[:2]
    gender, is_plural = gender_of(c.subject), c.subject.is_plural or c.subject.person == "1p"
    if kind in ("adjective", "more", "as"):
        word = adjective_form(value, gender, is_plural)
        if kind == "adjective":
            return word
        other = predicate_other(c.predicate[2])
        if kind == "as":
            return "aussi " + word + " que " + other
        if value.en == "good":
            return inflect("meilleur", gender, is_plural) + " que " + other
        return "plus " + word + " que " + other
    if kind == "age":
        return numerals.french(value) + " ans"
    if kind == "price":
        return numerals.french(value) + " euros"
    if value.determiner == "a" and not value.adjectives:
        return noun_form(value)                                     # il est médecin
    return noun_phrase(value)


def predicate_other(phrase):
    return with_preposition("", phrase).strip() if phrase.kind == "pronoun" else noun_phrase(phrase)


def clitic(c):
    """The object pronoun before the verb and whether it is a direct object."""
    if c.object is not None and c.gap != "object" and c.object.kind == "pronoun":
        pronoun = c.object
        if c.verb.fr.preposition == "à" and c.verb.en.base != "think":
            return INDIRECT[pronoun.noun], None
        if c.verb.fr.preposition:
            return "", None
        if pronoun.noun == "it":
            return THE[gender_of(pronoun)], pronoun
        return DIRECT[pronoun.noun], pronoun
    if c.recipient is not None and c.recipient.kind == "pronoun":
        return INDIRECT[c.recipient.noun], None
    return "", None


def after_verb(c, has_clitic):
    parts = []
    is_negated = bool(c.negation)
    the_object = None if c.gap == "object" else c.object
    if the_object is not None and not (the_object.kind == "pronoun" and has_clitic):
        preposition = c.verb.fr.preposition
        is_general = c.verb.frame == "state" and the_object.determiner == "none"
        if preposition:
            parts.append(with_preposition(preposition, the_object))
        elif is_general and the_object.kind == "noun":              # il aime le riz
            parts.append(noun_phrase(replace(the_object, determiner="the")))
        else:
            parts.append(noun_phrase(the_object, is_negated))
    if c.recipient is not None and c.recipient.kind != "pronoun":
        parts.append(with_preposition("à", c.recipient))
    if c.predicate:
        parts.append(predicate_text(c))
    return parts + [prepositional_phrase(phrase) for phrase in c.phrases]


def verb_group(c, leading, mood):
    """ne, clitic, finite verb, pas, frequency, participle or infinitive.

    leading: the direct object that comes before the verb (relative clause, question).
    mood: indicative, subjunctive, or imperfect for what lasted while something happened."""
    verb, person = c.verb.fr, c.subject.person
    is_age = bool(c.predicate) and c.predicate[0] == "age"
    infinitive = "avoir" if is_age else verb.infinitive
    pronoun, direct = clitic(c)
    pronoun = REFLEXIVE[person] if verb.is_reflexive else pronoun
    conjugate = subjunctive if mood == "subjunctive" else present
    finite_clitic, tail = pronoun, []
    if c.modal:
        finite, finite_clitic = conjugate(MODALS[c.modal], person), ""
        tail = [pronoun] * bool(pronoun) + [infinitive]
    elif c.tense == "future":
        finite = future(infinitive, person)
    elif c.tense == "past" and mood != "subjunctive" and (
            mood == "imperfect" or infinitive in ("être", "avoir")):
        finite = imperfect(infinitive, person)
    elif c.tense == "past":
        finite, tail = conjugate(verb.auxiliary, person), [participle(c, leading or direct)]
    else:
        finite = conjugate(infinitive, person)
    parts = ["ne"] * bool(c.negation) + [finite_clitic] * bool(finite_clitic) + [finite]
    parts += {"not": ["pas"], "never": ["jamais"], "": []}[c.negation]
    parts += [c.frequency[2]] if c.frequency else []
    return parts + tail, bool(pronoun)


def participle(c, direct):
    word = conjugation(c.verb.fr.infinitive)[2]
    if c.verb.fr.auxiliary == "être":
        subject = c.subject
        return inflect(word, gender_of(subject), subject.is_plural or subject.person == "1p")
    if direct is None:
        return word
    return inflect(word, gender_of(direct), direct.is_plural or direct.person == "1p")


def clause(c, leading=None, mood="indicative"):
    leading = leading if c.verb.fr.preposition == "" else None
    subject = [] if c.gap == "subject" else [noun_phrase(c.subject)]
    group, has_clitic = verb_group(c, leading, mood)
    parts = subject + group + after_verb(c, has_clitic)
    time = [c.time.fr] if c.time else []
    if c.is_time_first:
        return time[0] + ", " + " ".join(parts)
    return " ".join(parts + time)


def infinitive(c):
    pronoun, _ = clitic(c)
    pronoun = REFLEXIVE[c.subject.person] if c.verb.fr.is_reflexive else pronoun
    parts = [pronoun] * bool(pronoun) + [c.verb.fr.infinitive] + after_verb(c, bool(pronoun))
    return " ".join(parts)


def question(sentence):
    main = sentence.main
    asked = sentence.asked
    if asked == "who":
        return "qui " + clause(main)
    if asked == "what":
        return "qu'est-ce que " + clause(main)
    if asked == "whom":
        start = main.verb.fr.preposition + " qui" if main.verb.fr.preposition else "qui"
        return start + " est-ce que " + clause(main)
    if asked == "where" and main.verb.frame == "from":
        return "d'où est-ce que " + clause(main)
    if asked in ("which", "how many"):
        return noun_phrase(main.object) + " est-ce que " + clause(main, leading=main.object)
    word = {"": "", "where": "où ", "when": "quand ", "why": "pourquoi "}[asked]
    return word + "est-ce que " + clause(main)


def statement(sentence):
    kind, main, second = sentence.kind, sentence.main, sentence.second
    if kind == "that":
        return clause(main) + " que " + clause(second)
    if kind == "purpose":
        return clause(main) + " pour " + infinitive(second)
    if kind == "and":
        return clause(main) + " et " + clause(second)
    if kind == "but":
        return clause(main) + ", mais " + clause(second)
    if kind == "subordinate":
        mood = MOODS.get(sentence.conjunction, "indicative")
        side = CONJUNCTIONS[sentence.conjunction] + " " + clause(second, mood=mood)
        return side + ", " + clause(main) if sentence.is_second_first else clause(main) + " " + side
    if kind == "there":
        place = prepositional_phrase(main.phrases[0])
        thing = noun_phrase(main.subject)
        return (place + ", il y a " + thing if main.is_time_first
                else "il y a " + thing + " " + place)
    return clause(main)


def realise(sentence):
    text = question(sentence) if sentence.kind in ("question", "wh") else statement(sentence)
    text = elide(text)
    return text[0].upper() + text[1:] + (" ?" if sentence.kind in ("question", "wh") else ".")
