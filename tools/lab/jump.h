/* How discontinuous a mixture of experts is: small steps of its inputs, and what they do. */
#ifndef MIXT_TOOLS_LAB_JUMP_H
#define MIXT_TOOLS_LAB_JUMP_H

#include "moe/moe.h"

/* Jumps |y(x') - y(x)| / |y(x)| of the mixture's output, as it is before dropout and residual. */
struct jumps {
    int64_t count; /* of tokens whose y(x) is not 0 */
    double sum;
};

struct jump_tally {
    int64_t tokens;
    int64_t changed;       /* tokens whose set of experts is another at x' */
    struct jumps other;    /* of these */
    struct jumps the_same; /* of the rest */
};

/* x [n_rows, dim] becomes x + size |x| u, u a random direction: a function of key and the row's
 * number, counted from first_row. */
void jump_step(float *x, int64_t n_rows, int64_t dim, double size, struct random_key key,
               uint32_t first_row);

/* Takes a step from every token of a layer's record, outside of training, and adds what it does to
 * the tally. sequence: of the layer's input. All tokens step at once: experts with a state see
 * the steps of the tokens before, too. Real is f32. STATUS_MEMORY, STATUS_DEVICE. */
enum status jump_measure(const struct moe *moe, const struct pass *pass,
                         const struct moe_record *record, const struct sequence *sequence,
                         double size, struct random_key key,
                         struct jump_tally *tally) STATUS_CHECKED;

#endif
