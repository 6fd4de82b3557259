/* Words before which, in the Moses tokenizer, a dot does not end a sentence. */
#ifndef MIXT_TEXT_MOSES_ABBREVIATION_H
#define MIXT_TEXT_MOSES_ABBREVIATION_H

#include <stddef.h>

#include "text/moses/moses.h"

enum abbreviation {
    ABBREVIATION_NONE,
    ABBREVIATION_ALWAYS,       /* the dot stays with the word */
    ABBREVIATION_BEFORE_DIGITS /* only where a number follows */
};

/* What the word [size], without its dot, is in the language. */
enum abbreviation abbreviation_find(enum moses_language language, enum moses_release release,
                                    const char *word, size_t size);

#endif
