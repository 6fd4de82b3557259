#!/usr/bin/env python3
"""Tests the sample corpus: its grammar against hand-written sentences, its files and its split.

Usage: test_sample_corpus.py [FOLDER]     (default: recipes/sample of this checkout)

What the corpus holds back is checked on the text alone, with a reader of the English side that
shares no code with the generator.
"""

import gzip
import hashlib
import pathlib
import re
import sys
import tempfile
import unittest

SAMPLE = pathlib.Path(__file__).resolve().parents[2] / "recipes" / "sample"
if len(sys.argv) > 1:
    SAMPLE = pathlib.Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(SAMPLE))
sys.dont_write_bytecode = True

import english                                                              # noqa: E402
import french                                                               # noqa: E402
import german                                                               # noqa: E402
import lexicon                                                              # noqa: E402
import make_corpus                                                          # noqa: E402
import numerals                                                             # noqa: E402
import phrases                                                              # noqa: E402
import words                                                                # noqa: E402
from grammar import Clause, NounPhrase, PrepositionalPhrase, Sentence       # noqa: E402

SIZES = {"train": 22000, "valid": 500, "test": 1000}
NAMES = {name.name: name for name in words.NAMES}


# Structures in short: the(..), a(..) and so on make phrases, clause(..) takes English words.

def noun(determiner, text, number="singular", relative=None):
    """noun("the", "small red car"): adjectives and a noun by their English words."""
    *adjectives, head = text.split()
    return NounPhrase("noun", words.find(words.NOUNS, head), number, determiner,
                      [words.find(words.ADJECTIVES, word) for word in adjectives], relative)


def phrase(text):
    """A name, a pronoun, "Mr Weber", "Anna+Paul" or a phrase whose first word is an article."""
    if not isinstance(text, str):
        return text
    if text in NAMES:
        return NounPhrase("name", NAMES[text])
    if text in phrases.PERSON_PRONOUNS:
        return NounPhrase("pronoun", text, "plural" if text == "they" else "singular")
    if "+" in text:
        return NounPhrase("pair", tuple(NAMES[name] for name in text.split("+")))
    first, rest = text.split(" ", 1)
    if first in ("Mr", "Mrs"):
        return NounPhrase("title", rest, title=first)
    if first.endswith("'s"):
        first = ("of", NAMES[first[:-2]])
    return noun({"no": "none"}.get(first, first), rest)


def plural(text):
    first, rest = text.split(" ", 1)
    number = int(first) if first.isdigit() else None
    return noun(("number", number) if number else {"no": "none"}.get(first, first), rest, "plural")


def to(relation, text, moves=False):
    if text in [place.en for place in words.PLACES]:
        return PrepositionalPhrase(relation, NounPhrase("geo", words.find(words.PLACES, text)))
    return PrepositionalPhrase(relation, phrase(text), moves)


def clause(subject, verb, the_object=None, *places, frame=None, **more):
    if "time" in more and isinstance(more["time"], str):
        more["time"] = next(time for time in words.TIMES if time.en == more["time"])
    if "often" in more:
        del more["often"]
        more["frequency"] = words.FREQUENCIES[0]
    if "recipient" in more:
        more["recipient"] = phrase(more["recipient"])
    return Clause(phrase(subject), words.verb(verb, frame),
                  object=None if the_object is None else phrase(the_object),
                  phrases=list(places), **more)


def be(subject, kind, value, other=None, **more):
    if kind in ("adjective", "more", "as"):
        value = words.find(words.ADJECTIVES, value)
    predicate = (kind, value) if other is None else (kind, value, phrase(other))
    return Clause(phrase(subject), words.BE, predicate=predicate, **more)


def it(antecedent):
    return NounPhrase("pronoun", "they" if antecedent.is_plural else "it", antecedent.number,
                      antecedent=antecedent)


def say(*parts, **more):
    return Sentence("statement", clause(*parts, **more))


def related(text, gap, *parts, number="singular", **more):
    """A phrase with a relative clause; its place in the clause is left out of parts."""
    determiner, rest = text.split(" ", 1)
    head = noun(determiner, rest, number)
    plain = NounPhrase("noun", head.noun, number, "the")
    parts = {"subject": (plain, *parts), "object": (*parts, plain), "place": parts}[gap]
    head.relative = clause(*parts, gap=gap, **more)
    return head


def weather(verb, **more):
    return Clause(NounPhrase("weather"), words.verb(verb), **more)


LAMP, CARS = noun("the", "lamp"), noun("the", "car", "plural")

# Structure, then what it is in English, German and French.
EXPECTED = [
    # articles, cases, adjective endings
    (say("Anna", "see", "the small dog"),
     "Anna sees the small dog.", "Anna sieht den kleinen Hund.", "Anna voit le petit chien."),
    (say("a old friend", "buy", "a new table"),
     "An old friend buys a new table.", "Ein alter Freund kauft einen neuen Tisch.",
     "Un vieil ami achète une nouvelle table."),
    (say("my friendly brother", "help", "the sick child"),
     "My friendly brother helps the sick child.",
     "Mein freundlicher Bruder hilft dem kranken Kind.",
     "Mon frère sympathique aide l'enfant malade."),
    (say(plural("the woman"), "thank", "she", tense="past"),
     "The women thanked her.", "Die Frauen haben ihr gedankt.", "Les femmes l'ont remerciée."),
    (say("he", "drink", "no cold milk"),
     "He drinks cold milk.", "Er trinkt kalte Milch.", "Il boit du lait froid."),
    (say("he", "drink", "no cold water"),
     "He drinks cold water.", "Er trinkt kaltes Wasser.", "Il boit de l'eau froide."),
    (say("we", "buy", plural("no red apple"), tense="past"),
     "We bought red apples.", "Wir haben rote Äpfel gekauft.",
     "Nous avons acheté des pommes rouges."),
    (say("we", "buy", plural("no beautiful flower"), tense="past"),
     "We bought beautiful flowers.", "Wir haben schöne Blumen gekauft.",
     "Nous avons acheté de belles fleurs."),
    (say("this actress", "know", plural("all student"), frame="state"),
     "This actress knows all the students.", "Diese Schauspielerin kennt alle Studenten.",
     "Cette actrice connaît tous les étudiants."),
    (say("the boy", "answer", "the polite policeman", tense="past"),
     "The boy answered the polite policeman.",
     "Der Junge hat dem höflichen Polizisten geantwortet.",
     "Le garçon a répondu au policier poli."),
    (say("Mrs Weber", "call", "Mr Keller", tense="past"),
     "Mrs Weber called Mr Keller.", "Frau Weber hat Herrn Keller angerufen.",
     "Madame Weber a appelé Monsieur Keller."),
    (say("Anna's old aunt", "dream of", "the wedding"),
     "Anna's old aunt dreams of the wedding.", "Annas alte Tante träumt von der Hochzeit.",
     "La vieille tante d'Anna rêve du mariage."),
    # numbers
    (say("I", "have", plural("21 green bottle")),
     "I have twenty-one green bottles.", "Ich habe einundzwanzig grüne Flaschen.",
     "J'ai vingt et une bouteilles vertes."),
    (say("they", "see", plural("71 bird"), tense="past"),
     "They saw seventy-one birds.", "Sie haben einundsiebzig Vögel gesehen.",
     "Ils ont vu soixante et onze oiseaux."),
    (Sentence("statement", be("the queen", "age", 80)),
     "The queen is eighty years old.", "Die Königin ist achtzig Jahre alt.",
     "La reine a quatre-vingts ans."),
    (Sentence("statement", Clause(plural("this shoe"), words.verb("cost"),
                                  predicate=("price", 99))),
     "These shoes cost ninety-nine euros.", "Diese Schuhe kosten neunundneunzig Euro.",
     "Ces chaussures coûtent quatre-vingt-dix-neuf euros."),
    # separable and reflexive verbs, auxiliaries, tenses
    (say("Paul", "turn on", "the old lamp", time="now", is_time_first=True, is_progressive=True),
     "Now Paul is turning on the old lamp.", "Jetzt schaltet Paul die alte Lampe ein.",
     "Maintenant, Paul allume la vieille lampe."),
    (say("Maria", "arrive", None, to("at", "the station"), tense="past", time="yesterday"),
     "Maria arrived at the station yesterday.", "Maria ist gestern am Bahnhof angekommen.",
     "Maria est arrivée à la gare hier."),
    (say("Anna+Eva", "leave", tense="past"),
     "Anna and Eva left.", "Anna und Eva sind weggegangen.", "Anna et Eva sont parties."),
    (say("Julia", "get up", tense="past", time="this morning", is_time_first=True),
     "This morning Julia got up.", "Heute Morgen ist Julia aufgestanden.",
     "Ce matin, Julia s'est levée."),
    (say("we", "rest", None, to("at", "the garden"), tense="future", time="tomorrow"),
     "We will rest in the garden tomorrow.", "Wir werden uns morgen im Garten ausruhen.",
     "Nous nous reposerons dans le jardin demain."),
    (say("you", "bring", "the letter", modal="must"),
     "You must bring the letter.", "Du musst den Brief mitbringen.",
     "Tu dois apporter la lettre."),
    (say("David", "play", "the piano", often=True),
     "David often plays the piano.", "David spielt oft Klavier.", "David joue souvent du piano."),
    # prepositions, two-way cases, contractions, places
    (say("Leo", "put", "the key", to("under", "the bed", True)),
     "Leo puts the key under the bed.", "Leo legt den Schlüssel unter das Bett.",
     "Leo met la clé sous le lit."),
    (Sentence("statement", Clause(phrase("the key"), words.BE,
                                  phrases=[to("next to", "the big cupboard")])),
     "The key is next to the big cupboard.", "Der Schlüssel ist neben dem großen Schrank.",
     "La clé est à côté de la grande armoire."),
    (say("Ida", "go", None, to("to", "the cinema"), tense="past", frame="to"),
     "Ida went to the cinema.", "Ida ist ins Kino gegangen.", "Ida est allée au cinéma."),
    (say("Ida", "go", None, to("to", "the airport"), tense="future", frame="to"),
     "Ida will go to the airport.", "Ida wird zum Flughafen gehen.", "Ida ira à l'aéroport."),
    (say("they", "travel", None, to("to", "Switzerland"), tense="past"),
     "They travelled to Switzerland.", "Sie sind in die Schweiz gereist.",
     "Ils ont voyagé en Suisse."),
    (say("Emma", "live", None, to("at", "Japan")),
     "Emma lives in Japan.", "Emma wohnt in Japan.", "Emma habite au Japon."),
    (say("she", "work", None, to("without", "my neighbour")),
     "She works without my neighbour.", "Sie arbeitet ohne meinen Nachbarn.",
     "Elle travaille sans mon voisin."),
    (say("the nurse", "sleep", None, to("after", "the breakfast")),
     "The nurse sleeps after breakfast.", "Die Krankenschwester schläft nach dem Frühstück.",
     "L'infirmière dort après le petit-déjeuner."),
    # two objects
    (say("the teacher", "give", "a book", recipient="the boy", frame="two"),
     "The teacher gives the boy a book.", "Der Lehrer gibt dem Jungen ein Buch.",
     "Le professeur donne un livre au garçon."),
    (say("Clara", "explain", "the report", recipient="they", is_recipient_last=True, tense="past"),
     "Clara explained the report to them.", "Clara hat ihnen den Bericht erklärt.",
     "Clara leur a expliqué le rapport."),
    # negation
    (say("Simon", "have", "a car", negation="not"),
     "Simon does not have a car.", "Simon hat kein Auto.", "Simon n'a pas de voiture."),
    (say("Nina", "read", "the newspaper", negation="not", tense="past", time="yesterday"),
     "Nina did not read the newspaper yesterday.", "Nina hat gestern die Zeitung nicht gelesen.",
     "Nina n'a pas lu le journal hier."),
    (say("I", "drink", "no coffee", negation="never"),
     "I never drink coffee.", "Ich trinke nie Kaffee.", "Je ne bois jamais de café."),
    (say("Karl", "find", "she", negation="not", modal="can"),
     "Karl cannot find her.", "Karl kann sie nicht finden.", "Karl ne peut pas la trouver."),
    (Sentence("statement", be("my brother", "job", phrase("a teacher"), negation="not")),
     "My brother is not a teacher.", "Mein Bruder ist kein Lehrer.",
     "Mon frère n'est pas professeur."),
    # questions
    (Sentence("question", clause("Anna", "open", "the window", tense="past")),
     "Did Anna open the window?", "Hat Anna das Fenster aufgemacht?",
     "Est-ce qu'Anna a ouvert la fenêtre ?"),
    (Sentence("wh", clause("he", "read", tense="present"), asked="what"),
     "What does he read?", "Was liest er?", "Qu'est-ce qu'il lit ?"),
    (Sentence("wh", clause(NounPhrase("weather"), "invite", "Lea", tense="past", gap="subject"),
              asked="who"),
     "Who invited Lea?", "Wer hat Lea eingeladen?", "Qui a invité Lea ?"),
    (Sentence("wh", clause("you", "wait for", gap="object"), asked="whom"),
     "Whom do you wait for?", "Auf wen wartest du?", "Qui est-ce que tu attends ?"),
    (Sentence("wh", clause("they", "help", gap="object"), asked="whom"),
     "Whom do they help?", "Wem helfen sie?", "Qui est-ce qu'ils aident ?"),
    (Sentence("wh", clause("Paul", "go", tense="past", frame="to"), asked="where"),
     "Where did Paul go?", "Wohin ist Paul gegangen?", "Où est-ce que Paul est allé ?"),
    (Sentence("wh", clause("she", "write", noun("how many", "letter", "plural"), tense="past",
                           gap="object"), asked="how many"),
     "How many letters did she write?", "Wie viele Briefe hat sie geschrieben?",
     "Combien de lettres est-ce qu'elle a écrites ?"),
    (Sentence("wh", clause("she", "buy", noun("which", "coat"), tense="past", gap="object"),
              asked="which"),
     "Which coat did she buy?", "Welchen Mantel hat sie gekauft?",
     "Quel manteau est-ce qu'elle a acheté ?"),
    # subordinate clauses
    (Sentence("that", clause("Eva", "say", frame="that"),
              clause("Tom", "call", "his sister", tense="future")),
     "Eva says that Tom will call his sister.", "Eva sagt, dass Tom seine Schwester anrufen wird.",
     "Eva dit que Tom appellera sa sœur."),
    (Sentence("subordinate", clause("he", "work"), be("he", "adjective", "tired"), "although"),
     "He works although he is tired.", "Er arbeitet, obwohl er müde ist.",
     "Il travaille bien qu'il soit fatigué."),
    (Sentence("subordinate", clause("we", "stay", None, to("at", "the house"), tense="future"),
              weather("rain"), "if", True),
     "If it rains, we will stay in the house.", "Wenn es regnet, werden wir im Haus bleiben.",
     "S'il pleut, nous resterons dans la maison."),
    (Sentence("subordinate", clause("Anna", "laugh", tense="past"),
              clause("the king", "fall asleep", tense="past"), "when"),
     "Anna laughed when the king fell asleep.",
     "Anna hat gelacht, als der König eingeschlafen ist.",
     "Anna a ri quand le roi s'est endormi."),
    (Sentence("subordinate", clause("Anna", "cook", tense="past"),
              clause("I", "sleep", tense="past"), "while", True),
     "While I slept, Anna cooked.", "Während ich geschlafen habe, hat Anna gekocht.",
     "Pendant que je dormais, Anna a cuisiné."),
    (Sentence("purpose", clause("Erik", "go", None, to("to", "the garden"), frame="to"),
              clause("Erik", "rest", tense="present")),
     "Erik goes to the garden to rest.", "Erik geht in den Garten, um sich auszuruhen.",
     "Erik va dans le jardin pour se reposer."),
    # relative clauses
    (say(related("the man", "subject", "work", None, to("at", "the museum")), "laugh"),
     "The man who works in the museum laughs.", "Der Mann, der im Museum arbeitet, lacht.",
     "L'homme qui travaille au musée rit."),
    (say("I", "call", related("the woman", "object", "Anna", "help", number="plural",
                              tense="past")),
     "I call the women whom Anna helped.", "Ich rufe die Frauen an, denen Anna geholfen hat.",
     "J'appelle les femmes qu'Anna a aidées."),
    (Sentence("statement", be(related("the letter", "object", "Emma", "write", tense="past"),
                            "adjective", "long")),
     "The letter that Emma wrote is long.", "Der Brief, den Emma geschrieben hat, ist lang.",
     "La lettre qu'Emma a écrite est longue."),
    (say("they", "visit", related("the castle", "place", "the queen", "sleep")),
     "They visit the castle where the queen sleeps.",
     "Sie besichtigen das Schloss, in dem die Königin schläft.",
     "Ils visitent le château où la reine dort."),
    # comparison, pronouns that take up a thing, there is
    (Sentence("statement", be("the soup", "more", "good", "the meat")),
     "The soup is better than the meat.", "Die Suppe ist besser als das Fleisch.",
     "La soupe est meilleure que la viande."),
    (Sentence("statement", be("her dress", "as", "expensive", "the coat")),
     "Her dress is as expensive as the coat.", "Ihr Kleid ist so teuer wie der Mantel.",
     "Sa robe est aussi chère que le manteau."),
    (Sentence("but", clause("Oskar", "repair", LAMP, tense="past"),
              clause("Sarah", "turn off", it(LAMP), tense="past", negation="not")),
     "Oskar repaired the lamp, but Sarah did not turn it off.",
     "Oskar hat die Lampe repariert, aber Sarah hat sie nicht ausgeschaltet.",
     "Oskar a réparé la lampe, mais Sarah ne l'a pas éteinte."),
    (Sentence("but", be(CARS, "adjective", "new"),
              be(it(CARS), "adjective", "cheap", negation="not")),
     "The cars are new, but they are not cheap.", "Die Autos sind neu, aber sie sind nicht billig.",
     "Les voitures sont nouvelles, mais elles ne sont pas bon marché."),
    (Sentence("there", Clause(phrase("a big table"), words.BE,
                              phrases=[to("at", "the kitchen")], is_time_first=True)),
     "In the kitchen there is a big table.", "In der Küche gibt es einen großen Tisch.",
     "Dans la cuisine, il y a une grande table."),
    (Sentence("subordinate", clause("she", "smile", tense="past"),
              clause("he", "love", "our green boat", frame="state"), "because"),
     "She smiled because he loves our green boat.",
     "Sie hat gelächelt, weil er unser grünes Boot liebt.",
     "Elle a souri parce qu'il adore notre bateau vert."),
    (say("I", "think of", "the wedding", modal="want to"),
     "I want to think of the wedding.", "Ich will an die Hochzeit denken.",
     "Je veux penser au mariage."),
    (say("I", "think of", "the concert"),
     "I think of the concert.", "Ich denke ans Konzert.", "Je pense au concert."),
    (say("he", "dream of", "the dog"),
     "He dreams of the dog.", "Er träumt vom Hund.", "Il rêve du chien."),
    # dates and times of day
    (say("the train", "depart", tense="future", time=phrases.digit_time(8, 5)),
     "The train will depart at 8:05.", "Der Zug wird um 8:05 Uhr abfahren.",
     "Le train partira à 8 h 05."),
    (say("Tom", "come back", tense="past", is_time_first=True,
         time=phrases.date_time(1, words.MONTHS[2])),
     "On 1 March Tom came back.", "Am 1. März ist Tom zurückgekommen.",
     "Le 1er mars, Tom est revenu."),
]

NUMBERS = {
    16: ("sixteen", "sechzehn", "seize"), 17: ("seventeen", "siebzehn", "dix-sept"),
    20: ("twenty", "zwanzig", "vingt"), 22: ("twenty-two", "zweiundzwanzig", "vingt-deux"),
    30: ("thirty", "dreißig", "trente"), 61: ("sixty-one", "einundsechzig", "soixante et un"),
    70: ("seventy", "siebzig", "soixante-dix"), 77: ("seventy-seven", "siebenundsiebzig",
                                                      "soixante-dix-sept"),
    80: ("eighty", "achtzig", "quatre-vingts"), 81: ("eighty-one", "einundachtzig",
                                                      "quatre-vingt-un"),
    91: ("ninety-one", "einundneunzig", "quatre-vingt-onze"),
    96: ("ninety-six", "sechsundneunzig", "quatre-vingt-seize"),
}


# Phrase, then its German nominative, accusative and dative.
DECLENSION = [
    (phrase("the small dog"), "der kleine Hund", "den kleinen Hund", "dem kleinen Hund"),
    (phrase("the old lamp"), "die alte Lampe", "die alte Lampe", "der alten Lampe"),
    (phrase("the new car"), "das neue Auto", "das neue Auto", "dem neuen Auto"),
    (plural("the good book"), "die guten Bücher", "die guten Bücher", "den guten Büchern"),
    (phrase("a small dog"), "ein kleiner Hund", "einen kleinen Hund", "einem kleinen Hund"),
    (phrase("our old lamp"), "unsere alte Lampe", "unsere alte Lampe", "unserer alten Lampe"),
    (phrase("your new car"), "dein neues Auto", "dein neues Auto", "deinem neuen Auto"),
    (plural("their good book"), "ihre guten Bücher", "ihre guten Bücher", "ihren guten Büchern"),
    (phrase("no cold wine"), "kalter Wein", "kalten Wein", "kaltem Wein"),
    (phrase("no cold milk"), "kalte Milch", "kalte Milch", "kalter Milch"),
    (phrase("no cold water"), "kaltes Wasser", "kaltes Wasser", "kaltem Wasser"),
    (plural("no green apple"), "grüne Äpfel", "grüne Äpfel", "grünen Äpfeln"),
    (phrase("this shy student"), "dieser schüchterne Student", "diesen schüchternen Studenten",
     "diesem schüchternen Studenten"),
    (phrase("every expensive clock"), "jede teure Uhr", "jede teure Uhr", "jeder teuren Uhr"),
    (phrase("this dark room"), "dieses dunkle Zimmer", "dieses dunkle Zimmer",
     "diesem dunklen Zimmer"),
    (plural("many tired colleague"), "viele müde Kollegen", "viele müde Kollegen",
     "vielen müden Kollegen"),
    (phrase("Tom's rich uncle"), "Toms reicher Onkel", "Toms reichen Onkel", "Toms reichem Onkel"),
]

FRENCH_PHRASES = [
    (phrase("a beautiful tree"), "un bel arbre"), (phrase("a new friend"), "un nouvel ami"),
    (phrase("the old hotel"), "le vieil hôtel"),
    (phrase("this old actress"), "cette vieille actrice"),
    (phrase("this tree"), "cet arbre"), (plural("this tree"), "ces arbres"),
    (phrase("my friend"), "mon ami"), (phrase("my school"), "mon école"),
    (phrase("my old school"), "ma vieille école"), (plural("my friend"), "mes amis"),
    (phrase("your cup"), "ta tasse"), (phrase("your hat"), "ton chapeau"),
    (plural("your hat"), "tes chapeaux"), (phrase("his picture"), "son tableau"),
    (plural("his picture"), "ses tableaux"), (phrase("her church"), "son église"),
    (plural("her key"), "ses clés"), (phrase("our bread"), "notre pain"),
    (phrase("our door"), "notre porte"), (plural("our door"), "nos portes"),
    (phrase("their key"), "leur clé"), (phrase("their hat"), "leur chapeau"),
    (plural("their key"), "leurs clés"), (phrase("no beer"), "de la bière"),
    (phrase("no wine"), "du vin"), (phrase("no fresh water"), "de l'eau fraîche"),
    (plural("no new shoe"), "de nouvelles chaussures"), (plural("many egg"), "beaucoup d'œufs"),
    (plural("no white horse"), "des chevaux blancs"), (phrase("every lazy nurse"),
                                                       "chaque infirmière paresseuse"),
    (plural("all shy cat"), "tous les chats timides"), (phrase("a small red car"),
                                                        "une petite voiture rouge"),
    (plural("the old cheap table"), "les vieilles tables bon marché"),
]

# What the relative clause of each noun begins with: "who sees Anna", "that Anna sees", "whom Anna
# helps" and, where it is a place, "where Anna sleeps".
RELATIVES = [
    (related("the boy", "subject", "see", "Anna"), "der Anna sieht"),
    (related("the woman", "subject", "see", "Anna"), "die Anna sieht"),
    (related("the child", "subject", "see", "Anna"), "das Anna sieht"),
    (related("the boy", "subject", "see", "Anna", number="plural"), "die Anna sehen"),
    (related("the dog", "object", "Anna", "see"), "den Anna sieht"),
    (related("the cat", "object", "Anna", "see"), "die Anna sieht"),
    (related("the horse", "object", "Anna", "see"), "das Anna sieht"),
    (related("the cat", "object", "Anna", "see", number="plural"), "die Anna sieht"),
    (related("the man", "object", "Anna", "help"), "dem Anna hilft"),
    (related("the woman", "object", "Anna", "help"), "der Anna hilft"),
    (related("the child", "object", "Anna", "help", number="plural"), "denen Anna hilft"),
    (related("the man", "object", "Anna", "wait for"), "auf den Anna wartet"),
    (related("the station", "place", "Anna", "sleep"), "an dem Anna schläft"),
    (related("the factory", "place", "Anna", "sleep", number="plural"), "in denen Anna schläft"),
]

# The pronoun for a thing, German nominative and accusative, French subject.
THINGS = [("the table", "er", "ihn", "elle"), ("the lamp", "sie", "sie", "elle"),
          ("the car", "es", "es", "elle"), ("the book", "es", "es", "il")]

# German verb forms of I, you, she, we, they.
PRESENT = {
    "know that": "weiß weißt weiß wissen wissen", "like": "mag magst mag mögen mögen",
    "smile": "lächle lächelst lächelt lächeln lächeln", "read": "lese liest liest lesen lesen",
    "work": "arbeite arbeitest arbeitet arbeiten arbeiten",
    "wash": "wasche wäschst wäscht waschen waschen", "eat": "esse isst isst essen essen",
    "feed": "füttere fütterst füttert füttern füttern", "drive": "fahre fährst fährt fahren fahren",
    "use": "benutze benutzt benutzt benutzen benutzen", "be": "bin bist ist sind sind",
    "have": "habe hast hat haben haben", "take": "nehme nimmst nimmt nehmen nehmen",
}
# Finite forms of the same persons with a modal, and of past and future.
FINITE = {
    "must": "muss musst muss müssen müssen", "can": "kann kannst kann können können",
    "want to": "will willst will wollen wollen", "future": "werde wirst wird werden werden",
    "was": "war warst war waren waren", "had": "hatte hattest hatte hatten hatten",
    "haben": "habe hast hat haben haben", "sein": "bin bist ist sind sind",
}
# French verb forms of je, tu, elle, nous, ils: present, then those of the future and subjunctive.
FRENCH_VERBS = {
    "acheter": ("achète achètes achète achetons achètent", "achètera", "achète"),
    "manger": ("mange manges mange mangeons mangent", "mangera", "mange"),
    "choisir": ("choisis choisis choisit choisissons choisissent", "choisira", "choisisse"),
    "vendre": ("vends vends vend vendons vendent", "vendra", "vende"),
    "boire": ("bois bois boit buvons boivent", "boira", "boive"),
    "prendre": ("prends prends prend prenons prennent", "prendra", "prenne"),
    "appeler": ("appelle appelles appelle appelons appellent", "appellera", "appelle"),
    "envoyer": ("envoie envoies envoie envoyons envoient", "enverra", "envoie"),
    "jeter": ("jette jettes jette jetons jettent", "jettera", "jette"),
    "voir": ("vois vois voit voyons voient", "verra", "voie"),
    "venir": ("viens viens vient venons viennent", "viendra", "vienne"),
    "pouvoir": ("peux peux peut pouvons peuvent", "pourra", "puisse"),
    "vouloir": ("veux veux veut voulons veulent", "voudra", "veuille"),
    "devoir": ("dois dois doit devons doivent", "devra", "doive"),
    "avoir": ("ai as a avons ont", "aura", "ait"),
    "être": ("suis es est sommes sont", "sera", "soit"),
    "aller": ("vais vas va allons vont", "ira", "aille"),
    "mettre": ("mets mets met mettons mettent", "mettra", "mette"),
    "peindre": ("peins peins peint peignons peignent", "peindra", "peigne"),
    "courir": ("cours cours court courons courent", "courra", "coure"),
    "connaître": ("connais connais connaît connaissons connaissent", "connaîtra", "connaisse"),
    "lever": ("lève lèves lève levons lèvent", "lèvera", "lève"),
}
PERSONS = ("I", "you", "she", "we", "they")
# "Paul sees / answers / works with X" and "X rests" for I, you, he, she, we, they.
OBJECTS = {
    "see": ("mich dich ihn sie uns sie", "me te le la nous les"),
    "answer": ("mir dir ihm ihr uns ihnen", "me te lui lui nous leur"),
    "with": ("mir dir ihm ihr uns ihnen", "moi toi lui elle nous eux"),
    "rest": ("mich dich sich sich uns sich", "me te se se nous se"),
}


# A second reader of the English side: forms from the tables' text alone.

def first_column(table):
    return [line.split("|")[0].strip() for line in table.splitlines() if line[:1].strip()]


def english_lemmas():
    """Form -> word, for the words whose combinations the split is about."""
    lemmas = {}
    for entry in first_column(lexicon.NOUNS):
        one, *many = entry.split("/")
        lemmas.update({one: one, (many or [one + "s"])[0]: one})
    for entry in first_column(lexicon.ADJECTIVES):
        for form in entry.split("/"):
            lemmas[form] = entry.split("/")[0]
    for entry in first_column(lexicon.VERBS):
        base = re.match(r"\w+", entry).group(0)
        if base not in ("be", "have", "rain", "snow"):
            forms = [base, base + "s", base + "es", base[:-1] + "ies", base + "ed", base + "ing"]
            lemmas.update({form: base for form in forms + entry.split("/")[1:]})
    capital = [name for name in NAMES] + lexicon.SURNAMES
    capital += [entry.split()[-1] for entry in first_column(lexicon.CITIES)]
    capital += [entry.split()[-1] for entry in first_column(lexicon.COUNTRIES)]
    particles = "because although while when if that who whom where what why which".split()
    return {**lemmas, **{word: word for word in capital + particles},
            **{numerals.english(n): numerals.english(n) for n in range(2, 100)}}


def words_of(line, lemmas):
    plain = line.replace("'s", " ")
    found = {lemmas.get(word) for word in re.findall(r"[\w-]+", plain)}
    start = re.match(r"[\w-]+", plain).group(0)
    found.add(lemmas.get(start[0].lower() + start[1:]))
    return found - {None}


def held_out(first, second):
    joined = (" ".join(sorted([first, second]))).encode("utf-8")
    return int(hashlib.sha256(joined).hexdigest()[:2], 16) < 12


def held_out_pairs(found):
    ordered = sorted(found)
    return [(first, second) for index, first in enumerate(ordered) for second in ordered[index + 1:]
            if held_out(first, second)]


def read(folder, pair, part, language):
    path = folder / pair / ("%s.%s.gz" % (part, language))
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return file.read().split("\n")[:-1]


class Grammar(unittest.TestCase):
    def test_sentences(self):
        for sentence, *expected in EXPECTED:
            got = [language.realise(sentence) for language in (english, german, french)]
            self.assertEqual(got, expected)

    def test_declension(self):
        for one, *expected in DECLENSION:
            got = [german.noun_phrase(one, case) for case in ("nom", "acc", "dat")]
            self.assertEqual(got, expected)

    def test_french_phrases(self):
        for one, expected in FRENCH_PHRASES:
            self.assertEqual(french.elide(french.noun_phrase(one)), expected)

    def test_german_relatives(self):
        for one, expected in RELATIVES:
            self.assertEqual(german.relative_clause(one), ", %s," % expected)

    def test_things(self):
        for text, nominative, accusative, subject in THINGS:
            pronoun = it(phrase(text))
            self.assertEqual([german.noun_phrase(pronoun, case) for case in ("nom", "acc")],
                             [nominative, accusative])
            self.assertEqual(french.noun_phrase(pronoun), subject)

    def test_german_verbs(self):
        finite = german.finite_and_end
        for name, forms in PRESENT.items():
            verb, _, frame = name.partition(" ")
            got = [finite(clause(person, verb, frame=frame or None))[0] for person in PERSONS]
            self.assertEqual(" ".join(got), forms)
        for name, forms in FINITE.items():
            more = {"modal": name} if name in german.MODALS else {
                "tense": "future" if name == "future" else "past"}
            verb = {"was": "be", "had": "have", "sein": "arrive"}.get(name, "read")
            got = [finite(clause(person, verb, **more))[0] for person in PERSONS]
            self.assertEqual(" ".join(got), forms)

    def test_french_verbs(self):
        for infinitive, (present, future, subjunctive) in FRENCH_VERBS.items():
            got = [french.present(infinitive, person) for person in french.PERSONS]
            self.assertEqual(" ".join(got), present)
            self.assertEqual(french.future(infinitive, "3s"), future)
            self.assertEqual(french.subjunctive(infinitive, "3s"), subjunctive)

    def test_object_pronouns(self):
        people = ("I", "you", "he", "she", "we", "they")
        for verb, (in_german, in_french) in OBJECTS.items():
            for person, de, fr in zip(people, in_german.split(), in_french.split()):
                sentence = say("Paul", verb, person) if verb in ("see", "answer") else say(
                    "Paul", "work", None, to("with", person)) if verb == "with" else say(
                        person, "rest")
                self.assertRegex(german.realise(sentence), r"\b%s\b" % de)
                self.assertRegex(french.realise(sentence).lower(), r"\b%s\b" % fr)

    def test_numbers(self):
        for number, expected in NUMBERS.items():
            got = [numerals.english(number), numerals.german(number), numerals.french(number)]
            self.assertEqual(got, list(expected))
        self.assertEqual(numerals.french(31, "f"), "trente et une")


class Corpus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = {(pair, part, language): read(SAMPLE, pair, part, language)
                    for pair in ("en-de", "en-fr") for part in SIZES
                    for language in ("en", pair[3:])}
        cls.lemmas = english_lemmas()

    def test_made_again(self):
        with tempfile.TemporaryDirectory() as folder:
            make_corpus.make(folder)
            for key, lines in self.text.items():
                self.assertEqual(read(pathlib.Path(folder), *key), lines, key)

    def test_sizes(self):
        for (pair, part, language), lines in self.text.items():
            self.assertEqual(len(lines), SIZES[part], (pair, part, language))
            self.assertTrue(all(line == " ".join(line.split()) and line for line in lines))

    def test_distinct(self):
        for pair in ("en-de", "en-fr"):
            sources = [line for part in SIZES for line in self.text[pair, part, "en"]]
            self.assertEqual(len(set(sources)), len(sources))

    def test_known_words(self):
        for pair in ("en-de", "en-fr"):
            for language in ("en", pair[3:]):
                counts = {}
                for line in self.text[pair, "train", language]:
                    for word in re.findall(r"\w+", line):
                        counts[word] = counts.get(word, 0) + 1
                rare = {word for line in self.text[pair, "test", language]
                        for word in re.findall(r"\w+", line) if counts.get(word, 0) < 5}
                self.assertEqual(rare, set(), (pair, language))

    def test_train_holds_back(self):
        for pair in ("en-de", "en-fr"):
            for part in ("train", "valid"):
                for line in self.text[pair, part, "en"]:
                    self.assertEqual(held_out_pairs(words_of(line, self.lemmas)), [], line)

    def test_test_combines(self):
        for pair in ("en-de", "en-fr"):
            for line in self.text[pair, "test", "en"]:
                self.assertNotEqual(held_out_pairs(words_of(line, self.lemmas)), [], line)

    def test_combinations_are_related(self):
        """Each test sentence is one whose held-out words depend on each other."""
        split = make_corpus.Split(german.realise, 1)
        wanted, seen = set(self.text["en-de", "test", "en"]), 0
        for _ in range(3000):
            sentence = split.sampler.sentence()
            source = english.realise(sentence)
            if source in wanted:
                seen += 1
                relations = make_corpus.sentence_relations(sentence)
                self.assertTrue(any(held_out(*relation) for relation in relations), source)
        self.assertGreater(seen, 10)

    def test_typography(self):
        marks = {"de": r"[A-Za-zÄÖÜäöüßé0-9 ,.?:'-]+[.?]", "en": r"[A-Za-z0-9 ,.?:'-]+[.?]",
                 "fr": r"[A-Za-zÀÉÊàâçèéêëîïôùûœ0-9 ,.?:'-]+( \?|\.)"}
        for (_, _, language), lines in self.text.items():
            for line in lines:
                self.assertRegex(line, "^" + marks[language] + "$")

    def test_french_elision_and_contraction(self):
        wrong = re.compile(r"(?i)\b(le|la|de|que|ne|je|me|te|se|ce) [aeiouhéèêàâœ](?!nze|uit)"
                           r"|\b(à|de) les? [a-z]|\bsi ils?\b")
        for part in SIZES:
            for line in self.text["en-fr", part, "fr"]:
                self.assertNotRegex(line, wrong)


if __name__ == "__main__":
    unittest.main()
