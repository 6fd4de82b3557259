/* W1, a model for 30,000 sentence pairs, and W2, the paper's for translation. */
#include "tools/bench/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SETTINGS = 16, SETTING_BYTES = 64 };

struct shape {
    const char *name;
    int64_t sentences, length;
    const char *settings[MAX_SETTINGS];
};

static const struct shape shapes[] = {
    {"w1",
     128,
     14,
     {"data.subword.size=8000", "model.dim=256", "model.dropout=0.3", "model.encoder.hidden=512",
      "model.decoder.hidden=512", "model.moe.experts=16", "model.moe.top_k=2",
      "model.moe.expert.hidden=1024", "model.moe.output=none", "train.optimizer.clip=1"}},
    {"w2",
     64,
     20,
     {"data.subword.size=32768", "model.dim=512", "model.dropout=0.1", "model.encoder.hidden=2048",
      "model.decoder.hidden=2048", "model.moe.experts=32", "model.moe.top_k=4",
      "model.moe.expert.hidden=2048", "model.moe.output=none", "train.optimizer.clip=0"}},
};

static const struct shape *find(const char *name)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    CHECK(false, "no shape '%s'", name);
}

enum status shape_read(struct config *config, const char *name, int64_t n_experts,
                       const struct option_list *assignments, int64_t *sentences, int64_t *length)
{
    const struct shape *shape = find(name);
    char experts[SETTING_BYTES], tokens[SETTING_BYTES];
    const char **all = calloc(MAX_SETTINGS + 2 + assignments->count, sizeof *all);
    size_t n = 0;
    if (!all)
        return status_set(STATUS_MEMORY, "no memory for the settings");
    *sentences = *sentences ? *sentences : shape->sentences;
    *length = *length ? *length : shape->length;
    while (n < MAX_SETTINGS && shape->settings[n]) {
        all[n] = shape->settings[n];
        n++;
    }
    snprintf(tokens, sizeof tokens, "train.batch_tokens=%" PRId64, *sentences * *length);
    all[n++] = tokens;
    for (size_t i = 0; i < assignments->count; i++)
        all[n++] = assignments->items[i];
    snprintf(experts, sizeof experts, "model.moe.experts=%" PRId64, n_experts);
    if (n_experts)
        all[n++] = experts;
    enum status status = config_read(config, NULL, all, n);
    free(all);
    if (status >= 0 && config->model.type == CONFIG_MODEL_LM)
        status = status_set(STATUS_CONFIG, "bench measures translators: model.type gnmt");
    return status;
}
