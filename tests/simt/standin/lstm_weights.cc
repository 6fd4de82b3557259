/* Where the weights of the stand-in's LSTM lie: in an order of its own, so that whoever assumes
 * one instead of asking cudnnGetRNNWeightParams() fails. */
#include "tests/simt/standin/lstm.hh"
#include "tests/simt/standin/standin.hh"

static uint64_t hash_shape(const struct lstm_shape *shape)
{
    uint64_t hash = 0;
    for (int64_t value :
         {(int64_t)shape->type, shape->input, shape->hidden, shape->proj, shape->layers,
          shape->directions, (int64_t)shape->has_input_bias, (int64_t)shape->has_recurrent_bias})
        hash = standin_hash(hash ^ (uint64_t)value);
    return hash;
}

static int64_t input_of(const struct lstm_shape *shape, int64_t pseudo_layer)
{
    return pseudo_layer < shape->directions ? shape->input : shape->proj * shape->directions;
}

static struct lstm_weight matrix(const struct lstm_shape *shape, int64_t pseudo_layer, int id)
{
    if (id < 4)
        return {0, shape->hidden, input_of(shape, pseudo_layer)};
    if (id < 8)
        return {0, shape->hidden, shape->proj};
    if (shape->proj == shape->hidden)
        return {0, 0, 0};
    return {0, shape->proj, shape->hidden};
}

static struct lstm_weight bias(const struct lstm_shape *shape, int id)
{
    const bool exists = id < 4 ? shape->has_input_bias : shape->has_recurrent_bias;
    return {0, exists ? shape->hidden : 0, exists ? 1 : 0};
}

/* Fisher-Yates with numbers drawn from the hash. */
static std::vector<size_t> shuffled(size_t count, uint64_t hash)
{
    std::vector<size_t> order(count);
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    for (size_t i = count; i > 1; i--) {
        hash = standin_hash(hash);
        const size_t other = hash % i, kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
    return order;
}

std::vector<struct lstm_weight> lstm_weights(const struct lstm_shape *shape, int64_t *n_elements)
{
    std::vector<struct lstm_weight> weights;
    uint64_t hash = hash_shape(shape);
    for (int64_t p = 0; p < shape->layers * shape->directions; p++) {
        for (int id = 0; id < LSTM_MATRICES; id++)
            weights.push_back(matrix(shape, p, id));
        for (int id = 0; id < LSTM_BIASES; id++)
            weights.push_back(bias(shape, id));
    }
    int64_t end = 0;
    for (size_t i : shuffled(weights.size(), hash)) {
        hash = standin_hash(hash);
        end += (int64_t)(hash % 6); /* a gap, of any alignment */
        weights[i].offset = end;
        end += weights[i].rows * weights[i].cols;
    }
    *n_elements = end + 3;
    return weights;
}
