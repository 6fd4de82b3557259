/* What a text consists of: characters, letters and their scripts, words. */
#ifndef MIXT_TEXT_PREP_MEASURE_H
#define MIXT_TEXT_PREP_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCRIPT_SET_SIZE = 8 };

/* The scripts a language is written in, as ICU's UScriptCode; none: unknown. */
struct script_set {
    int32_t scripts[SCRIPT_SET_SIZE];
    size_t n;
};

/* The scripts of a language, by a code that ICU knows ("de", "zh_TW", "sr_Latn", "deu"); an empty
 * set for another one or NULL. A language written in several scripts has them all, unless the code
 * names one. */
struct script_set script_set_of(const char *language);

struct measure {
    int64_t characters; /* code points */
    int64_t visible;    /* of them, not white space */
    int64_t letters;    /* letters and the marks on them */
    int64_t foreign;    /* letters of a script that is not in the set; 0 for an empty set */
    double words;
};

/* Walks over valid UTF-8.
 *
 * Words are runs without white space, where scripts that are written without spaces between words
 * are counted by their letters: 1.5 Han letters, 2.5 Kana or 4 of Thai, Lao, Khmer, Burmese and
 * Tibetan a word, about what translations into English have. Letters of no script of their own
 * (Common, Inherited) are never foreign. */
struct measure measure_text(const char *bytes, size_t size, const struct script_set *scripts);

#endif
