"""Made-up lines on which the Moses scripts have something to decide."""
import unicodedata

LANGUAGES = ("en", "de", "fr")

WORDS = {
    "en": """don't I'm we'll o'clock 'tis rock'n'roll dogs' Jones' 1990's 90's well-known e-mail
        U.S. i.e. e.g. Mr. Mrs. Dr. vs. v. No. Nos. Art. pp. Rs. Ph.D. etc. Inc. May. Jan. So am I.
        3.5 1,000 1,2,3 5% 7 cm 12:30 $5 www.example.org/a?b=c&d http://x.y/~z me@host.example the
        a house sees red Green BLUE""",
    "de": """z.B. d.h. u.a. usw. bzw. ca. Nr. Art. S. 3. 25. 100. XIV. xiv. Dr. Prof. Std. Mio.
        geht's Hans' Straße ÄPFEL Öl über Haus-und-Hof 3,5 1.000 12,5% 20 °C 30 cm der die Das
        und""",
    "fr": """l'homme L'AMI d'un qu'il aujourd'hui jusqu'à c'est-à-dire p.ex. etc. art. fig. M. Mme.
        MM. a. b. éd. tél. n° nº 5 1 000,50 3,14 18 % À ÇA où est-ce que œuvre le La les ami""",
}
MARKS = list("""!"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~""") + """
    '' "" `` ... .. .' ." ," ,, ., ?! -- ( ) 's n't @-@ @/@ <a> </b> <p> &amp; &lt; &gt; &apos;
    &quot; &#91; &#93; &#124; &bar; &bra; &ket; &amp;lt; &amp;amp; & ; „ “ ” ‘ ’ ‚ ´ – — … « » ¿ ¡ §
    ° º ºC nº € £ ₹ ¢ · ‹ › ′ ″ % cm""".split()
SPACES = ["\u00a0", "\u00a0", "\u00a0", "\t", "\r", "\v", "\f", "\u0085", "\u1680", "\u2003",
          "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "  ", "   "]
LETTERS = list("aAsSzZiIßéÉİıΣςǅﬁªⅷⅧⓐ中文한かー！ｶ𝒜𠀀жЖאعกक") + ["\u093f"]
DIGITS = list("0159") + ["²", "½", "٣", "๕", "Ⅻ", "①", "𝟗", "〇"]
INVISIBLE = ["\0", "\x01", "\x1b", "\x1c", "\x1f", "\x7f", "\u00ad", "\u0301", "\u200b", "\u200d",
             "\u200e", "\u2060", "\ufeff", "\ufe0f", "\u0378", "\ue000", "\uffff", "\U0001f600",
             "\U0001f1e9", "\U000e0001", "\U0010ffff"]
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Cf Co "
              "Cn").split()


def any_character(random):
    """A character of a category drawn first, as far as some tries find one."""
    wanted = random.choice(CATEGORIES)
    character = "x"
    for _ in range(200):
        limit = random.choice((0x250, 0x2100, 0x3100, 0x10000, 0x20000, 0x110000))
        code = random.randrange(limit)
        if not 0xD800 <= code < 0xE000 and code != 10:
            character = chr(code)
            if unicodedata.category(character) == wanted:
                return character
    return character


def unit(random, language):
    kind = random.randrange(20)
    if kind < 6:
        return random.choice(WORDS[language].split())
    if kind < 11:
        return random.choice(MARKS)
    if kind < 13:
        return random.choice(LETTERS)
    if kind < 15:
        return random.choice(DIGITS)
    if kind < 16:
        return random.choice(SPACES)
    if kind < 17:
        return random.choice(INVISIBLE)
    if kind < 18:
        return random.choice(".,'-\"") * random.randint(1, 4)
    return any_character(random)


def line(random, language):
    """A line without its end; between words, marks and characters is a space or nothing."""
    n_units = random.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 12, 20))
    joint = random.choice((0.1, 0.5, 0.9))
    parts = []
    for _ in range(n_units):
        parts += [unit(random, language), " " if random.random() < joint else ""]
    if random.random() < 0.7:
        parts = parts[:-1]
    return "".join(parts)
