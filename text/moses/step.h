/* The steps of moses.h, each rewriting the line in a thread's working memory, and the edits that
 * they are made of. Inside moses only. */
#ifndef MIXT_TEXT_MOSES_STEP_H
#define MIXT_TEXT_MOSES_STEP_H

#include "text/moses/character.h"
#include "text/moses/moses.h"

struct moses {
    struct moses_options options;
    struct character_table characters;
};

/* Each takes work->text and leaves its result there. STATUS_MEMORY. */
enum status moses_normalize(const struct moses *moses, struct moses_work *work) STATUS_CHECKED;
enum status moses_tokenize(const struct moses *moses, struct moses_work *work) STATUS_CHECKED;
enum status moses_detokenize(const struct moses *moses, struct moses_work *work) STATUS_CHECKED;

/* An edit in progress: pieces of work->text and new bytes are put into work->spare. */
struct edit {
    struct moses_work *work;
    size_t copied; /* bytes of work->text dealt with */
    bool is_begun; /* something was replaced */
};

/* Copies the text up to offset from, puts the bytes there, and leaves out the text up to offset
 * to. Offsets never run backwards from one edit to the next. STATUS_MEMORY. */
enum status edit_replace(struct edit *edit, size_t from, size_t to, const char *bytes,
                         size_t size) STATUS_CHECKED;

/* Copies what is left and makes the result the text; does nothing when nothing was replaced. */
enum status edit_finish(struct edit *edit) STATUS_CHECKED;

/* A string to be replaced by another. */
struct literal {
    const char *from;
    const char *to;
    size_t from_size, to_size;
    size_t anchor; /* index of the byte of from that is searched for: the rarest in common text */
};

#define LITERAL(from, to, anchor)                                                                  \
    {                                                                                              \
        from, to, sizeof(from) - 1, sizeof(to) - 1, anchor                                         \
    }

/* Replaces each occurrence, left to right and never overlapping. STATUS_MEMORY. */
enum status edit_literal(struct moses_work *work, const struct literal *literal) STATUS_CHECKED;

/* Makes work->spare the text. */
void moses_take_spare(struct moses_work *work);

#endif
