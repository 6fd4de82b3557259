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
        state->next_context = tensor_like(pass->arena, &state->context);
        backend->ops->fill(backend, &state->context, 0);
    }
}

static void swap(struct tensor *a, struct tensor *b)
{
    const struct tensor other = *a;
    *a = *b;
    *b = other;
}

/* x [N, D] += LSTM_l(input [N, I]), moving the state on. */
static void step_layer(const struct decoder *decoder, const struct pass *pass,
                       struct decoder_state *state, int64_t l, const struct tensor *x,
                       const struct tensor *input)
{
    const int64_t n_rows = x->dim[0];
    const struct tensor r = tensor_slice(&state->r[l], 0, n_rows);
    const struct tensor c = tensor_slice(&state->c[l], 0, n_rows);
    const struct tensor next_r = tensor_slice(&state->next_r[l], 0, n_rows);
    const struct tensor next_c = tensor_slice(&state->next_c[l], 0, n_rows);
    lstm_layer_step(&decoder->layers[l].lstm, pass, &next_r, &next_c, input, &r, &c);
    pass->backend->ops->add(pass->backend, x, &next_r, 1);
    swap(&state->r[l], &state->next_r[l]);
    swap(&state->c[l], &state->next_c[l]);
}

/* What layer 1 reads beside the state: x [N, D], and the last step's context where it is fed. */
static struct tensor first_input(const struct decoder *decoder, const struct pass *pass,
                                 const struct decoder_state *state, const struct tensor *x)
{
    if (decoder->config.has_input_feeding) {
        const struct tensor context = tensor_slice(&state->context, 0, x->dim[0]);
        return decoder_join(pass, x, &context);
    }
    const struct tensor input = tensor_like(pass->arena, x);
    pass->backend->ops->copy(pass->backend, &input, x);
    return input;
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
                  struct decoder_state *state, const struct tensor *tokens, struct tensor *readout,
                  struct tensor *attention_weights)
{
    const int64_t n_rows = state->n_beam * state->n_sentences, dim = decoder->config.dim;
    CHECK(tensor_count(tokens) == n_rows && !pass->is_training, "%lld tokens for %lld rows",
          (long long)tensor_count(tokens), (long long)n_rows);
    struct tensor x = pass_2d(pass, n_rows, dim);
    embedding_forward(decoder->embedding, pass, &x, tokens);
    const struct tensor input = first_input(decoder, pass, state, &x);
    step_layer(decoder, pass, state, 0, &x, &input);

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
        step_layer(decoder, pass, state, l, &x, &joined);
        step_moe(decoder, pass, state, l, &x);
    }
    const struct tensor joined = decoder_join(pass, &x, &context);
    *readout = pass_2d(pass, n_rows, dim);
    linear_forward(&decoder->readout, pass, readout, &joined, ACTIVATION_NONE);
}

/* The first count rows of `to` = rows of `from` named by the state's index. */
static void gather(const struct pass *pass, const struct decoder_state *state, struct tensor *to,
                   struct tensor *from, int64_t count)
{
    const struct tensor rows = tensor_slice(&state->index, 0, count);
    const struct tensor target = tensor_slice(to, 0, count);
    pass->backend->ops->gather_rows(pass->backend, &target, from, &rows);
    swap(to, from);
}

void decoder_reorder(const struct decoder *decoder, const struct pass *pass,
                     struct decoder_state *state, const int32_t *parents, int64_t n_beam)
{
    const int64_t n_rows = n_beam * state->n_sentences;
    CHECK(n_rows <= state->max_rows, "%lld rows of %lld", (long long)n_rows,
          (long long)state->max_rows);
    pass->backend->ops->upload(pass->backend, &state->index, parents,
                               (size_t)n_rows * sizeof *parents);
    for (int64_t l = 0; l < decoder->config.n_layers; l++) {
        gather(pass, state, &state->next_r[l], &state->r[l], n_rows);
        gather(pass, state, &state->next_c[l], &state->c[l], n_rows);
        if (decoder->config.has_moe_after[l])
            moe_reorder(&decoder->layers[l].moe, &state->moe[l], parents, n_rows);
    }
    if (decoder->config.has_input_feeding)
        gather(pass, state, &state->next_context, &state->context, n_rows);
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
    const size_t mark = arena_mark(pass->arena);
    int32_t *rows = arena_take(pass->arena, (size_t)tensor_count(&state->index) * sizeof(int32_t));
    for (int64_t w = 0; w < state->n_beam; w++)
        for (int64_t i = 0; i < count; i++)
            rows[w * count + i] = (int32_t)(w * state->n_sentences + sentences[i]);
    state->n_sentences = count;
    decoder_reorder(decoder, pass, state, rows, state->n_beam);
    keep_memory(pass, state, sentences, count, lengths, rows);
    arena_release(pass->arena, mark);
}
