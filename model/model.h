/* The whole model, a translator or a language model, and its subword model.
 *
 * A translator has embeddings, encoder, decoder and softmax; a language model (model/lm.h) has one
 * embedding, the source's, the encoder's layers and the softmax, and its text is the target of a
 * batch without source.
 *
 * Letters as in backend/backend.h. A model's weights may be read by several threads at once, each
 * with a backend and a pass of its own, as long as nobody trains it. */
#ifndef MIXT_MODEL_MODEL_H
#define MIXT_MODEL_MODEL_H

#include "decoder/decoder.h"
#include "encoder/encoder.h"
#include "model/config.h"
#include "text/batch.h"
#include "text/subword/sentencepiece.h"

struct safetensors;

struct model {
    struct config config;     /* its model and subword parts count */
    struct safetensors *file; /* owned; where weights in int8, or experts, lie, mapped; or NULL */
    struct subword *subword;  /* owned; NULL in a model without text */
    int64_t vocabulary;       /* V */
    struct arena arena;       /* owned: values, gradients, moments */
    struct arena products;    /* owned: of a batch's gradients that are not stored, what does not
                                 lie in its pass's arena; empty where all are stored */
    struct arena host;        /* owned: parameters' names */
    struct arena gradients;   /* owned: those that are stored, where they lend their memory */
    size_t encoder_gradients; /* where in it the encoder's begin, */
    size_t decoder_gradients; /* and the decoder's */
    struct param_list params;
    struct embedding source_embedding, target_embedding;
    struct output output;
    struct encoder encoder;
    struct decoder decoder; /* zeroed in a language model: no layers */
};

/* As model_init(), with the experts divided over the ranks of comm, borrowed: each has its share of
 * every mixture's, which must be at least one, and all else whole. */
enum status model_init_share(struct model *model, struct backend *backend, struct comm *comm,
                             const struct config *config, int64_t vocabulary,
                             bool is_training) STATUS_CHECKED;

/* Lays a model out for V = vocabulary words; values are undefined until model_start() or a load;
 * model.dtype int8 wants the latter, and no training.
 * is_training: with gradients and moments. backend is borrowed. On error the model is zeroed. */
enum status model_init(struct model *model, struct backend *backend, const struct config *config,
                       int64_t vocabulary, bool is_training) STATUS_CHECKED;

/* The same, not for training, of a file that stays open: experts' matrices are read in its mapping
 * where the backend can. */
enum status model_init_mapped(struct model *model, struct backend *backend,
                              const struct config *config, int64_t vocabulary) STATUS_CHECKED;

bool model_is_lm(const struct model *model);

/* Whether gradients of experts' matrices are not stored: see experts_have_few_rows(). */
bool model_has_products(const struct config *config);

/* Whether weights are packed late in training, PACK_LATE: where an update is one pass. */
bool model_packs_late(const struct config *config);

/* Whether gradients lend their memory to the pass that comes before them: where an update is one
 * pass, of one rank. */
bool model_lends_gradients(const struct config *config, bool is_alone);

/* Draws start values and packs them. */
void model_start(struct model *model, uint64_t seed);

/* Frees all, the subword model too; a zeroed model may be freed. */
void model_free(struct model *model);

/* MoE layers in order, encoder first: at most max pointers into the model; returns how many. */
int64_t model_moe_layers(struct model *model, struct moe **layers, int64_t max);

/* A batch in the backend's memory. Tensors live in the pass's arena, names in a reused buffer. */
struct model_batch {
    struct sequence source; /* ids [S, B]; absent without sources */
    struct sequence target; /* ids [T, B] target_in; absent without targets */
    struct tensor labels;   /* [N] i32: target_out of the real tokens */
    struct ids host;        /* owned scratch of the upload */
};

/* Uploads; the arena's space is the caller's to release. STATUS_MEMORY. */
enum status model_batch_upload(struct model_batch *to, const struct pass *pass,
                               const struct batch *batch) STATUS_CHECKED;
void model_batch_free(struct model_batch *batch);

/* What model_loss() leaves; tensors in the pass's arena. */
struct model_record {
    struct encoder_record encoder;
    struct decoder_record decoder;
    struct tensor memory; /* [S, B, D] the encoder's; not of a language model */
    struct tensor loss;   /* [N] label-smoothed cross-entropy of each target token */
    struct tensor nll;    /* [N] negative log-likelihood */
};

/* The layers' part of a teacher-forced pass: what the softmax reads, [N, D]. The record gets no
 * losses. */
struct tensor model_read(struct model *model, const struct pass *pass, struct model_record *record,
                         const struct model_batch *batch, double balance_scale);

/* The part in a pass of several ranks of one that has no sentences. */
void model_read_none(struct model *model, const struct pass *pass, struct model_record *record,
                     double balance_scale);

/* One teacher-forced pass. A batch without sentences is for passes of several ranks: this one has
 * no tokens of its own, and no losses. In a training pass the gradients of
 *   scale * sum of losses + balance_scale * sum over MoE layers of their balance losses
 * are added to the parameters'; those that are not stored, as with train.accumulate 1 of many
 * experts, read the pass's arena until the update. */
void model_loss(struct model *model, const struct pass *pass, struct model_record *record,
                const struct model_batch *batch, double smoothing, double scale,
                double balance_scale);

/* The encoder's memory [S, B, D] of a batch's source. record NULL: none is kept, which takes a
 * fraction of the memory. */
struct tensor model_encode(struct model *model, const struct pass *pass,
                           struct encoder_record *record, const struct sequence *source);

/* The gate's record of MoE layer number `index`, in the order of model_moe_layers(). */
const struct moe_record *model_moe_record(const struct model *model,
                                          const struct model_record *record, int64_t index);

#endif
