/* Which language a multilingual translator is asked for.
 *
 * Shazeer et al. 2017, section 5.4, after Johnson et al. 2016: the first piece of a source
 * sentence, "<2de>", says which language its translation is in, and nothing else in the model
 * knows of languages. Such pieces are control symbols of the subword model: no text spells them.
 * Languages are those of data.languages; a model without any has no such pieces. */
#ifndef MIXT_MODEL_LANGUAGES_H
#define MIXT_MODEL_LANGUAGES_H

#include "model/config.h"
#include "text/subword/sentencepiece.h"

/* Appends the pieces of all languages, each once, with commas between: "<2de>,<2fr>". */
enum status languages_symbols(const struct config_languages *languages,
                              struct buffer *text) STATUS_CHECKED;

/* Sets *piece to the one of a language, or -1 in a model without languages. name NULL: none was
 * asked for, which will do where there is only one. STATUS_CONFIG, naming the languages there are,
 * for another name, and when the subword model lacks the piece. */
enum status languages_piece(const struct config_languages *languages, const struct subword *subword,
                            const char *name, int32_t *piece) STATUS_CHECKED;

#endif
