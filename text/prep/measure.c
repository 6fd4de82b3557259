/* One walk over the code points, with ICU's character properties. */
#include "text/prep/measure.h"

#include <strings.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include "base/status.h"
#include "text/utf8.h"

enum { SIXTIETHS = 60, LARGEST_ASCII = 0x7F };

/* Languages that are written in more scripts than the one ICU takes for likely. */
static const struct {
    const char *language;
    UScriptCode scripts[3];
    size_t n;
} several_scripts[] = {
    {"az", {USCRIPT_LATIN, USCRIPT_CYRILLIC, USCRIPT_ARABIC}, 3},
    {"bs", {USCRIPT_LATIN, USCRIPT_CYRILLIC}, 2},
    {"ha", {USCRIPT_LATIN, USCRIPT_ARABIC}, 2},
    {"kk", {USCRIPT_CYRILLIC, USCRIPT_LATIN, USCRIPT_ARABIC}, 3},
    {"ks", {USCRIPT_ARABIC, USCRIPT_DEVANAGARI}, 2},
    {"ku", {USCRIPT_LATIN, USCRIPT_ARABIC, USCRIPT_CYRILLIC}, 3},
    {"ky", {USCRIPT_CYRILLIC, USCRIPT_LATIN, USCRIPT_ARABIC}, 3},
    {"mn", {USCRIPT_CYRILLIC, USCRIPT_MONGOLIAN}, 2},
    {"ms", {USCRIPT_LATIN, USCRIPT_ARABIC}, 2},
    {"pa", {USCRIPT_GURMUKHI, USCRIPT_ARABIC}, 2},
    {"ro", {USCRIPT_LATIN, USCRIPT_CYRILLIC}, 2},
    {"sd", {USCRIPT_ARABIC, USCRIPT_DEVANAGARI}, 2},
    {"sh", {USCRIPT_LATIN, USCRIPT_CYRILLIC}, 2},
    {"sr", {USCRIPT_CYRILLIC, USCRIPT_LATIN}, 2},
    {"tg", {USCRIPT_CYRILLIC, USCRIPT_ARABIC, USCRIPT_LATIN}, 3},
    {"tk", {USCRIPT_LATIN, USCRIPT_CYRILLIC, USCRIPT_ARABIC}, 3},
    {"tt", {USCRIPT_CYRILLIC, USCRIPT_LATIN}, 2},
    {"ug", {USCRIPT_ARABIC, USCRIPT_CYRILLIC, USCRIPT_LATIN}, 3},
    {"uz", {USCRIPT_LATIN, USCRIPT_CYRILLIC, USCRIPT_ARABIC}, 3},
    {"zh", {USCRIPT_HAN, USCRIPT_BOPOMOFO}, 2},
};

struct script_set script_set_of(const char *language)
{
    struct script_set set = {0};
    if (language == NULL || language[0] == '\0')
        return set;
    for (size_t i = 0; i < sizeof several_scripts / sizeof several_scripts[0]; i++) {
        if (strcasecmp(language, several_scripts[i].language) != 0)
            continue;
        for (size_t k = 0; k < several_scripts[i].n; k++)
            set.scripts[set.n++] = several_scripts[i].scripts[k];
        return set;
    }
    UErrorCode code = U_ZERO_ERROR;
    UScriptCode scripts[SCRIPT_SET_SIZE];
    const int32_t n = uscript_getCode(language, scripts, SCRIPT_SET_SIZE, &code);
    /* A warning says that ICU fell back on its default language: it does not know this one. */
    if (code != U_ZERO_ERROR || n < 0)
        return set;
    for (int32_t i = 0; i < n; i++)
        set.scripts[set.n++] = scripts[i];
    return set;
}

static bool is_in_set(const struct script_set *set, int32_t script)
{
    for (size_t i = 0; i < set->n; i++) {
        if (set->scripts[i] == script)
            return true;
    }
    return false;
}

/* What a letter of a script without spaces adds to the words, in sixtieths; 0 for other scripts. */
static int64_t letter_weight(UScriptCode script)
{
    switch (script) {
    case USCRIPT_HAN:
    case USCRIPT_BOPOMOFO:
        return SIXTIETHS * 2 / 3;
    case USCRIPT_HIRAGANA:
    case USCRIPT_KATAKANA:
        return SIXTIETHS * 2 / 5;
    case USCRIPT_THAI:
    case USCRIPT_LAO:
    case USCRIPT_KHMER:
    case USCRIPT_MYANMAR:
    case USCRIPT_TIBETAN:
        return SIXTIETHS / 4;
    default:
        return 0;
    }
}

/* The run without white space that the walk is in. */
struct run {
    bool is_open;
    bool has_weighed; /* letters of scripts without spaces */
    bool is_in_word;  /* inside a stretch of other letters, which is counted */
    int64_t others;   /* such stretches */
};

/* A run is at least a word, even of punctuation alone, unless its letters were weighed. */
static int64_t end_run(struct run *run)
{
    int64_t words = 0;
    if (run->is_open)
        words = run->has_weighed ? run->others : 1;
    *run = (struct run){0};
    return words;
}

/* What a code point is, looked up once. */
struct kind {
    bool is_space;
    bool is_format;     /* invisible, as the joiners of Persian and of emoji */
    bool is_letter;     /* with the marks on letters */
    bool is_word_part;  /* letters, marks, digits */
    UScriptCode script; /* of letters and marks */
};

static struct kind kind_of(uint32_t code_point)
{
    if (code_point <= LARGEST_ASCII) {
        const uint32_t lower = code_point | 0x20;
        const bool is_letter = lower >= 'a' && lower <= 'z';
        return (struct kind){.is_space =
                                 code_point == ' ' || (code_point >= '\t' && code_point <= '\r'),
                             .is_letter = is_letter,
                             .is_word_part = is_letter || (code_point >= '0' && code_point <= '9'),
                             .script = is_letter ? USCRIPT_LATIN : USCRIPT_COMMON};
    }
    const uint32_t category = U_GET_GC_MASK((UChar32)code_point);
    struct kind kind = {
        .is_format = (category & U_GC_CF_MASK) != 0,
        .is_letter = (category & (U_GC_L_MASK | U_GC_M_MASK)) != 0,
        .is_word_part = (category & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) != 0,
        .script = USCRIPT_COMMON,
    };
    kind.is_space = !kind.is_word_part && u_isUWhiteSpace((UChar32)code_point);
    UErrorCode code = U_ZERO_ERROR;
    if (kind.is_letter)
        kind.script = uscript_getScript((UChar32)code_point, &code);
    return kind;
}

/* Adds a visible code point to the run; returns its own weight in sixtieths. */
static int64_t extend_run(struct run *run, const struct kind *kind)
{
    const int64_t weight = letter_weight(kind->script);
    /* Marks and letters of all scripts, as the Japanese sound mark, go with what is before them. */
    const bool joins = kind->is_letter && kind->script <= USCRIPT_INHERITED;
    run->is_open = true;
    if (weight > 0)
        run->has_weighed = true;
    if (joins)
        return 0;
    const bool is_other = kind->is_word_part && weight == 0;
    if (is_other && !run->is_in_word)
        run->others++;
    run->is_in_word = is_other;
    return weight;
}

/* The walk over a text. */
struct walk {
    struct measure measure;
    struct run run;
    const struct script_set *scripts;
    bool is_latin_foreign;
    int64_t whole;     /* words */
    int64_t sixtieths; /* of words */
};

static bool is_ascii_letter(char byte)
{
    const char lower = (char)(byte | 0x20);
    return lower >= 'a' && lower <= 'z';
}

/* Takes the ASCII letters at the front at once, most of most texts; returns how many. */
static size_t take_ascii_letters(struct walk *walk, const char *bytes, size_t size)
{
    size_t n = 0;
    while (n < size && is_ascii_letter(bytes[n]))
        n++;
    if (n == 0)
        return 0;
    walk->measure.characters += (int64_t)n;
    walk->measure.visible += (int64_t)n;
    walk->measure.letters += (int64_t)n;
    walk->measure.foreign += walk->is_latin_foreign ? (int64_t)n : 0;
    const struct kind latin = {.is_letter = true, .is_word_part = true, .script = USCRIPT_LATIN};
    (void)extend_run(&walk->run, &latin);
    return n;
}

static void take(struct walk *walk, const struct kind *kind)
{
    struct measure *measure = &walk->measure;
    measure->characters++;
    if (kind->is_space)
        walk->whole += end_run(&walk->run);
    if (kind->is_space || kind->is_format)
        return;
    measure->visible++;
    walk->sixtieths += extend_run(&walk->run, kind);
    if (!kind->is_letter)
        return;
    measure->letters++;
    if (walk->scripts->n > 0 && kind->script > USCRIPT_INHERITED &&
        !is_in_set(walk->scripts, kind->script))
        measure->foreign++;
}

struct measure measure_text(const char *bytes, size_t size, const struct script_set *scripts)
{
    struct walk walk = {.scripts = scripts,
                        .is_latin_foreign = scripts->n > 0 && !is_in_set(scripts, USCRIPT_LATIN)};
    for (size_t offset = 0; offset < size;) {
        offset += take_ascii_letters(&walk, bytes + offset, size - offset);
        if (offset == size)
            break;
        const struct kind kind = kind_of(utf8_next(bytes, size, &offset));
        take(&walk, &kind);
    }
    walk.whole += end_run(&walk.run);
    walk.measure.words = (double)walk.whole + (double)walk.sixtieths / SIXTIETHS;
    return walk.measure;
}
