"""Made-up text for the tests of mixt bleu: sentences of an ordinary kind and hostile noise."""
import random
import unicodedata

# Cased letters added after Unicode 15: ICU and Python may be on either side of them.
NEW_LETTERS = [(0x1C89, 0x1C8A), (0xA7CB, 0xA7DC), (0x10D40, 0x10D8F), (0x16EA0, 0x16ED3)]

WORDS = """the a The man woman dog two three young people in on at with of and is are was standing
sitting walking near street water field blue red white shirt holding looking playing camera his
Wasser Straße über schöne Mädchen Häuser d'une l'été it's don't O'Neill U.S. e.g. 3.14 1,000 1990s
2-year-old ice-cream state-of-the-art C++ AT&T R&D $5 10% #1 http://example.org/a?b=c&d=e
user@example.org (approx.) "quoted" 'single' [sic] a/b x_y <b> </b> &amp; &quot;so&quot; &lt;tag&gt;
<skipped> 12:30 ... -- - – — „Ja“ «oui» Привет мир ΟΔΟΣ ΣΟΦΟΣ İstanbul ISPARTA 東京 日本語 한국어
नमस्ते مرحبا 😀 👩‍👩‍👧 שלום ٣٫١٤ ½ Ⅷ x² naïve naïve ﬁn ＡＢＣ １２３ …so… ¿qué? ¡no! €5 5€
£3.50 °C № § ± × ÷ √2 →""".split()
CHINESE = "我们今天去北京看了一场电影，天气很好。他说：“你好！”在2024年，价格是3.5元（约5%）、大家都高兴；是吗？—…·《书》"
ENDS = [".", ".", ".", "!", "?", " .", ",", "...", ".)", ". ", "", "。", ".\"", "…"]
SPACES = [" "] * 5 + ["  ", "\u00a0", "\u3000", "\t", "\u2028", "\x85", "\x1f", "\u200b"]
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
SIGMA = "ΣΣΣσςΑαaA1 .-'’\u00ad\u0301\u0345:İIıʰªΪ\u2019_\u3000中"


def is_usable(code_point):
    if code_point == 0x0A or 0xD800 <= code_point <= 0xDFFF:
        return False
    if any(low <= code_point <= high for low, high in NEW_LETTERS):
        return False
    return unicodedata.category(chr(code_point)) != "Cn"


def usable_code_points():
    by_category = {}
    for code_point in range(0x110000):
        if is_usable(code_point):
            by_category.setdefault(unicodedata.category(chr(code_point)), []).append(code_point)
    return by_category


class Maker:
    """Makes random lines; the same seed makes the same lines."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.by_category = usable_code_points()
        self.categories = sorted(self.by_category)

    def sentence(self):
        words = [self.random.choice(WORDS) for _ in range(self.random.randint(1, 25))]
        text = words[0]
        for word in words[1:]:
            text += self.random.choice(SPACES) + word
        return text + self.random.choice(ENDS)

    def plain_sentence(self):
        words = [self.random.choice(WORDS) for _ in range(self.random.randint(4, 25))]
        return " ".join(words) + self.random.choice(ENDS)

    def chinese(self):
        return "".join(self.random.choice(CHINESE) if self.random.random() < 0.95
                       else self.random.choice(WORDS) for _ in range(self.random.randint(1, 40)))

    def character(self):
        kind = self.random.random()
        if kind < 0.25:
            return self.random.choice("abcABC")
        if kind < 0.4:
            return self.random.choice("0123456789")
        if kind < 0.6:
            return self.random.choice(".,-" + PUNCTUATION)
        if kind < 0.7:
            return self.random.choice(SPACES)
        if kind < 0.72:
            return self.random.choice(["&amp;", "&quot;", "&lt;", "&gt;", "<skipped>", "&"])
        return chr(self.random.choice(self.by_category[self.random.choice(self.categories)]))

    def noise(self):
        return "".join(self.character() for _ in range(self.random.randint(0, 40)))

    def punctuation(self):
        alphabet = "ab01.,-&;<> " + self.random.choice(PUNCTUATION)
        return "".join(self.random.choice(alphabet) for _ in range(self.random.randint(0, 40)))

    def sigma(self):
        length = self.random.randint(1, 20)
        return "".join(self.random.choice(SIGMA) if self.random.random() < 0.9 else self.character()
                       for _ in range(length))

    def one_category(self):
        """Characters of one kind between letters, digits and spaces."""
        kind = self.by_category[self.random.choice(self.categories)]
        return "".join(chr(self.random.choice(kind)) if self.random.random() < 0.5
                       else self.random.choice("ab12 .") for _ in range(self.random.randint(1, 30)))

    def long_line(self):
        return " ".join(self.random.choice([self.sentence, self.noise])()
                        for _ in range(self.random.randint(50, 300)))

    def line(self):
        kind = self.random.random()
        if kind < 0.1:
            return self.random.choice(["", "", " ", ".", "a", "\u00a0", "\ufeff", "\x00", "a b ."])
        if kind < 0.102:
            return self.long_line()
        maker = self.random.choice([self.sentence, self.noise, self.punctuation, self.sigma,
                                    self.chinese, self.one_category])
        return maker()

    def changed(self, line):
        """A line that shares most of its words with the given one."""
        kind = self.random.random()
        if kind < 0.15:
            return line
        if kind < 0.2:
            return self.line()
        if kind < 0.3:
            return line.upper() if self.random.random() < 0.5 else line.lower()
        characters = list(line)
        for _ in range(self.random.randint(1, 3)):
            at = self.random.randint(0, len(characters))
            edit = self.random.random()
            if edit < 0.4:
                characters[at:at] = self.character()
            elif edit < 0.7:
                del characters[at:at + self.random.randint(1, 4)]
            else:
                start = self.random.randint(0, len(characters))
                characters[at:at] = characters[start:start + self.random.randint(1, 10)]
        return "".join(characters)

    def corpus(self, n_lines):
        """Lines as wild as they come, or all of one ordinary kind."""
        kind = self.random.random()
        maker = self.line if kind < 0.6 else self.plain_sentence if kind < 0.85 else self.chinese
        return [maker() for _ in range(n_lines)]


def write_lines(path, lines, line_end="\n", is_ended=True):
    text = line_end.join(lines) + (line_end if is_ended else "")
    with open(path, "wb") as stream:
        stream.write(text.encode("utf-8"))
