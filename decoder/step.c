/* The decoder one token at a time, for the beam search. */
#include "decoder/decoder.h"
#include "decoder/join.h"

/* Two attention sources hold the memory in turn while sentences leave. */
static struct attention_source room_like(const struct pass *pass,
                                         const struct attention_source *source)
{
    return (struct attention_source){.memory = tensor_like(pass->arena, &source->memory),
                                     .keys = tensor_like(pass->arena, &source->keys),
                                     .lengths = tensor_like(pass->arena, &source->lengths)};
}

static int32_t *take_ints(const struct pass *pass, int64_t count)
{
    return arena_take(pass->host, (size_t)count * sizeof(int32_t));
}

static void start_lists(const struct decoder *decoder, const struct pass *pass,
                        struct decoder_state *state)
{
    const int64_t n_words = decoder->embedding->table->weight.value.dim[0];
    const int64_t n_numbers = state->max_rows > n_words ? state->max_rows : n_words;
    state->origin = take_ints(pass, state->max_rows);
    state->next_origin = take_ints(pass, state->max_rows);
    state->numbers = take_ints(pass, n_numbers);
    for (int64_t i = 0; i < n_numbers; i++)
        state->numbers[i] = -1;
}

void decoder_start(const struct decoder *decoder, const struct pass *pass,
                   struct decoder_state *state, const struct tensor *memory,
                   const struct tensor *source_lengths, int64_t max_beam)
{
    struct backend *backend = pass->backend;
    const int64_t n_sentences = memory->dim[1], n_memory = memory->dim[0] * n_sentences;
    *state = (struct decoder_state){
        .n_beam = 1, .n_sentences = n_sentences, .max_rows = max_beam * n_sentences};
    /* Copies: decoder_keep() writes to both sources in turn, and the caller's are only borrowed. */
    const struct tensor own_memory = tensor_like(pass->arena, memory);
    const struct tensor own_lengths = tensor_like(pass->arena, source_lengths);
    backend->ops->copy(backend, &own_memory, memory);
    backend->ops->copy(backend, &own_lengths, source_lengths);
    attention_start(&decoder->attention, pass, &state->source, &own_memory, &own_lengths);
    state->spare = room_like(pass, &state->source);
    state->index =
        tensor_1d(pass->arena, DTYPE_I32, state->max_rows > n_memory ? state->max_rows : n_memory);
    start_lists(decoder, pass, state);
    for (int64_t l = 0; l < decoder->config.n_layers; l++) {
        state->r[l] = pass_2d(pass, state->max_rows, decoder->config.dim);
        state->c[l] = pass_2d(pass, state->max_rows, decoder->config.hidden);
        state->next_r[l] = tensor_like(pass->arena, &state->r[l]);
        state->next_c[l] = tensor_like(pass->arena, &state->c[l]);
        backend->ops->fill(backend, &state->r[l], 0);
        backend->ops->fill(backend, &state->c[l], 0);
        if (decoder->config.has_moe_after[l])
            moe_start(&decoder->layers[l].moe, pass, &state->moe[l], state->max_rows);
    }
    if (decoder->config.has_input_feeding) {
        state->context = pass_2d(pass, state->max_rows, decoder->config.dim);
        backend->ops->fill(backend, &state->context, 0);
    }
}

static void swap(struct tensor *a, struct tensor *b)
{
    const struct tensor other = *a;
    *a = *b;
    *b = other;
}

/* -- rows that share what they read; memory is taken as if none did, so that a step's needs follow
 * from the number of its rows alone -- */

/* A list with every entry once, and where in it each one stands. */
struct distinct {
    struct tensor items;   /* [U] i32 in the order of their first place */
    struct tensor numbers; /* [N] i32 */
};

/* The first count numbers, in room for n_rows. */
static struct tensor upload_ints(const struct pass *pass, const int32_t *values, int64_t count,
                                 int64_t n_rows)
{
    const struct tensor room = tensor_1d(pass->arena, DTYPE_I32, n_rows);
    const struct tensor tensor = tensor_slice(&room, 0, count);
    pass->backend->ops->upload(pass->backend, &tensor, values, (size_t)count * sizeof *values);
    return tensor;
}

static struct distinct find_distinct(const struct pass *pass, struct decoder_state *state,
                                     const int32_t *list, int64_t count)
{
    int32_t *items = take_ints(pass, count), *numbers = take_ints(pass, count), n_items = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t *number = &state->numbers[list[i]];
        if (*number < 0) {
            *number = n_items;
            items[n_items++] = list[i];
        }
        numbers[i] = *number;
    }
    for (int32_t i = 0; i < n_items; i++)
        state->numbers[items[i]] = -1;
    return (struct distinct){upload_ints(pass, items, n_items, count),
                             upload_ints(pass, numbers, count, count)};
}

static struct tensor gathered(const struct pass *pass, const struct tensor *from,
                              const struct tensor *rows, int64_t n_rows)
{
    const struct tensor room = pass_2d(pass, n_rows, from->dim[1]);
    const struct tensor to = tensor_slice(&room, 0, rows->dim[0]);
    pass->backend->ops->gather_rows(pass->backend, &to, from, rows);
    return to;
}

/* Where the rows of this step come from; all absent where nothing has moved. */
struct parents {
    struct distinct states; /* rows of the state that are continued */
    struct tensor origin;   /* [N] i32 */
};

static struct parents find_parents(const struct pass *pass, struct decoder_state *state,
                                   int64_t n_rows)
{
    struct parents parents = {0};
    if (state->is_moved) {
        parents.states = find_distinct(pass, state, state->origin, n_rows);
        parents.origin = upload_ints(pass, state->origin, n_rows, n_rows);
    }
    return parents;
}

/* -- a step -- */

/* x [N, D] += LSTM_l(input [.., I] at input_rows), moving the state on. */
static void step_layer(const struct decoder *decoder, const struct pass *pass,
                       struct decoder_state *state, int64_t l, const struct tensor *x,
                       const struct tensor *input, const struct tensor *input_rows,
                       const struct parents *parents)
{
    const int64_t n_rows = x->dim[0];
    const struct tensor next_r = tensor_slice(&state->next_r[l], 0, n_rows);
    const struct tensor next_c = tensor_slice(&state->next_c[l], 0, n_rows);
    struct lstm_layer_source source = {.x = *input,
                                       .x_rows = *input_rows,
                                       .r = tensor_slice(&state->r[l], 0, n_rows),
                                       .r_rows = parents->states.numbers,
                                       .c = state->c[l],
                                       .c_rows = parents->origin};
    if (parents->origin.rank)
        source.r = gathered(pass, &state->r[l], &parents->states.items, n_rows);
    lstm_layer_step(&decoder->layers[l].lstm, pass, &next_r, &next_c, &source);
    pass->backend->ops->add(pass->backend, x, &next_r, 1);
    swap(&state->r[l], &state->next_r[l]);
    swap(&state->c[l], &state->next_c[l]);
}

/* Embeds the tokens, x [N, D], and adds what layer 1 makes of them and, where it is fed, of the
 * context of the step before. Without it, equal tokens share a row. */
static void step_first(const struct decoder *decoder, const struct pass *pass,
                       struct decoder_state *state, const int32_t *tokens, const struct tensor *x,
                       const struct parents *parents)
{
    const int64_t n_rows = x->dim[0], dim = x->dim[1];
    const struct tensor all = {0};
    if (decoder->config.has_input_feeding) {
        const struct tensor ids = upload_ints(pass, tokens, n_rows, n_rows);
        const struct tensor before = tensor_slice(&state->context, 0, n_rows);
        const struct tensor context =
            parents->origin.rank ? gathered(pass, &state->context, &parents->origin, n_rows)
                                 : before;
        embedding_forward(decoder->embedding, pass, x, &ids);
        const struct tensor joined = decoder_join(pass, x, &context);
        step_layer(decoder, pass, state, 0, x, &joined, &all, parents);
        return;
    }
    const struct distinct words = find_distinct(pass, state, tokens, n_rows);
    const struct tensor room = pass_2d(pass, n_rows, dim);
    const struct tensor embedded = tensor_slice(&room, 0, words.items.dim[0]);
    embedding_forward(decoder->embedding, pass, &embedded, &words.items);
    pass->backend->ops->gather_rows(pass->backend, x, &embedded, &words.numbers);
    step_layer(decoder, pass, state, 0, x, &embedded, &words.numbers, parents);
}

static void step_moe(const struct decoder *decoder, const struct pass *pass,
                     struct decoder_state *state, int64_t l, struct tensor *x)
{
    if (!decoder->config.has_moe_after[l])
        return;
    const struct tensor y = tensor_like(pass->arena, x);
    moe_step(&decoder->layers[l].moe, pass, &state->moe[l], &y, x);
    *x = y;
}

void decoder_step(const struct decoder *decoder, const struct pass *pass,
                  struct decoder_state *state, const int32_t *tokens, struct tensor *readout,
                  struct tensor *attention_weights)
{
    const int64_t n_rows = state->n_beam * state->n_sentences, dim = decoder->config.dim;
    CHECK(!pass->is_training, "a step of the search in training");
    const struct tensor all = {0};
    const size_t mark = arena_mark(pass->host);
    const struct parents parents = find_parents(pass, state, n_rows);
    struct tensor x = pass_2d(pass, n_rows, dim);
    step_first(decoder, pass, state, tokens, &x, &parents);

    struct attention_record attention;
    const struct tensor context = decoder->config.has_input_feeding
                                      ? tensor_slice(&state->context, 0, n_rows)
                                      : tensor_like(pass->arena, &x);
    const struct tensor x_beams = tensor_as_3d(&x, state->n_beam, state->n_sentences, dim);
    const struct tensor context_beams =
        tensor_as_3d(&context, state->n_beam, state->n_sentences, dim);
    attention_forward(&decoder->attention, pass, &attention, &state->source, &x_beams,
                      &context_beams);
    *attention_weights = attention.weights;
    step_moe(decoder, pass, state, 0, &x);
    for (int64_t l = 1; l < decoder->config.n_layers; l++) {
        const struct tensor joined = decoder_join(pass, &x, &context);
        step_layer(decoder, pass, state, l, &x, &joined, &all, &parents);
        step_moe(decoder, pass, state, l, &x);
    }
    state->is_moved = false;
    const struct tensor joined = decoder_join(pass, &x, &context);
    *readout = pass_2d(pass, n_rows, dim);
    linear_forward(&decoder->readout, pass, readout, &joined, ACTIVATION_NONE);
    arena_release(pass->host, mark);
}

void decoder_reorder(const struct decoder *decoder, struct decoder_state *state,
                     const int32_t *parents, int64_t n_beam)
{
    const int64_t n_rows = n_beam * state->n_sentences;
    int32_t *origin = state->next_origin;
    CHECK(n_rows <= state->max_rows, "%lld rows of %lld", (long long)n_rows,
          (long long)state->max_rows);
    for (int64_t i = 0; i < n_rows; i++) {
        CHECK(parents[i] >= 0 && parents[i] < state->max_rows, "parent %d", parents[i]);
        origin[i] = state->is_moved ? state->origin[parents[i]] : parents[i];
    }
    state->next_origin = state->origin;
    state->origin = origin;
    state->is_moved = true;
    for (int64_t l = 0; l < decoder->config.n_layers; l++)
        if (decoder->config.has_moe_after[l])
            moe_reorder(&decoder->layers[l].moe, &state->moe[l], parents, n_rows);
    state->n_beam = n_beam;
}

/* Sentences and positions of the memory that stay: [S', B'] out of [S, B]. */
static void keep_memory(const struct pass *pass, struct decoder_state *state,
                        const int32_t *sentences, int64_t count, const int32_t *lengths,
                        int32_t *rows)
{
    struct backend *backend = pass->backend;
    struct attention_source *old = &state->source, *kept = &state->spare;
    const int64_t n_old = old->memory.dim[1];
    int64_t n_positions = 1;
    for (int64_t i = 0; i < count; i++)
        n_positions = lengths[i] > n_positions ? lengths[i] : n_positions;
    for (int64_t s = 0; s < n_positions; s++)
        for (int64_t i = 0; i < count; i++)
            rows[s * count + i] = (int32_t)(s * n_old + sentences[i]);
    const struct tensor index = tensor_slice(&state->index, 0, n_positions * count);
    backend->ops->upload(backend, &index, rows, (size_t)tensor_count(&index) * sizeof *rows);
    struct tensor *const to[] = {&kept->memory, &kept->keys};
    const struct tensor *const from[] = {&old->memory, &old->keys};
    for (int i = 0; i < 2; i++) {
        to[i]->dim[0] = n_positions;
        to[i]->dim[1] = count;
        backend->ops->gather_rows(backend, to[i], from[i], &index);
    }
    kept->lengths.dim[0] = count;
    backend->ops->upload(backend, &kept->lengths, lengths, (size_t)count * sizeof *lengths);
    const struct attention_source other = *old;
    *old = *kept;
    *kept = other;
}

void decoder_keep(const struct decoder *decoder, const struct pass *pass,
                  struct decoder_state *state, const int32_t *sentences, int64_t count,
                  const int32_t *lengths)
{
    const size_t mark = arena_mark(pass->host);
    int32_t *rows = take_ints(pass, tensor_count(&state->index));
    for (int64_t w = 0; w < state->n_beam; w++)
        for (int64_t i = 0; i < count; i++)
            rows[w * count + i] = (int32_t)(w * state->n_sentences + sentences[i]);
    state->n_sentences = count;
    decoder_reorder(decoder, state, rows, state->n_beam);
    keep_memory(pass, state, sentences, count, lengths, rows);
    arena_release(pass->host, mark);
}
