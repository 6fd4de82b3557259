"""Numbers from 2 to 99 in words."""

import re

ENGLISH_UNITS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen "
                 "fourteen fifteen sixteen seventeen eighteen nineteen").split()
ENGLISH_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
GERMAN_UNITS = ("null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn "
                "vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn").split()
GERMAN_TENS = "- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
FRENCH_UNITS = ("zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze "
                "quinze seize dix-sept dix-huit dix-neuf").split()
FRENCH_TENS = ("- - vingt trente quarante cinquante soixante soixante quatre-vingt "
               "quatre-vingt").split()


def english(number):
    if number < 20:
        return ENGLISH_UNITS[number]
    tens, unit = divmod(number, 10)
    return ENGLISH_TENS[tens] + ("-" + ENGLISH_UNITS[unit] if unit else "")


def german(number):
    if number < 20:
        return GERMAN_UNITS[number]
    tens, unit = divmod(number, 10)
    return (GERMAN_UNITS[unit] + "und" if unit else "") + GERMAN_TENS[tens]


def french(number, gender="m"):
    """gender: of the noun counted (vingt et un garçons, vingt et une filles)."""
    if number < 20:
        text = FRENCH_UNITS[number]
    else:
        tens, unit = divmod(number, 10)
        if tens in (7, 9):
            unit += 10
        if unit == 0:
            text = FRENCH_TENS[tens] + ("s" if tens == 8 else "")
        elif unit in (1, 11) and tens < 8:
            text = FRENCH_TENS[tens] + " et " + FRENCH_UNITS[unit]
        else:
            text = FRENCH_TENS[tens] + "-" + FRENCH_UNITS[unit]
    return text + "e" if gender == "f" and re.search(r"(^|[ -])un$", text) else text
