/* Training as one of several ranks: what they agree on beside the passes themselves, which exchange
 * tokens (moe/exchange.h), and the update, which adds gradients (train/optimizer.h).
 *
 * Each call is collective, and for a rank that is alone (comm NULL or of one rank) does what one
 * process would do. */
#ifndef MIXT_TRAIN_RANKS_H
#define MIXT_TRAIN_RANKS_H

#include "model/model.h"
#include "text/corpus.h"

/* How long one rank waits for what others do alone, such as reading a corpus. */
#define RANKS_PATIENCE_S 86400.0

/* Whether a configuration can be trained on so many ranks; local. STATUS_CONFIG with a hint. */
enum status ranks_check_config(const struct config *config, const struct comm *comm) STATUS_CHECKED;

/* The same settings on all ranks, but those of a machine. */
enum status ranks_check_same_config(const struct config *config, struct comm *comm) STATUS_CHECKED;

/* Opens what train.device and train.compute say; "cuda" and "auto" on several ranks of a host are a
 * GPU for each. Local. */
enum status ranks_open_backend(struct backend *backend, const struct config *config,
                               const struct comm *comm) STATUS_CHECKED;

/* Computing by the same backend on all ranks, which "auto" leaves to each. */
enum status ranks_check_same_device(struct comm *comm,
                                    const struct backend *backend) STATUS_CHECKED;

/* How many threads each rank should have where train.threads says 0: its part of its host's cores,
 * or those it was bound to; 0 where it is alone. Local. */
int ranks_threads(const struct config *config, const struct comm *comm);

/* One decision of all: comm_agree(). */
enum status ranks_agree(struct comm *comm, enum status mine) STATUS_CHECKED;

/* values [n] inout: their sums over the ranks. */
enum status ranks_sum(struct comm *comm, double *values, int64_t n) STATUS_CHECKED;

/* *answer inout becomes rank 0's. */
enum status ranks_follow_first(struct comm *comm, bool *answer) STATUS_CHECKED;

/* *subword becomes rank 0's, on the others, which have none, a copy that the caller owns. */
enum status ranks_share_subword(struct comm *comm, struct subword **subword) STATUS_CHECKED;

/* Compares what all ranks should have alike, bit for bit: values of all that is not divided. Reads
 * it from the device. STATUS_FAILED on all where it differs. */
enum status ranks_check_weights(struct comm *comm, const struct param_list *params) STATUS_CHECKED;

/* What signals asked of any rank since the last call: the largest number. */
struct ranks_wishes {
    int stop;     /* signal that asked to stop, or 0 */
    bool is_save; /* somebody asked to save */
};

enum status ranks_share_wishes(struct comm *comm, struct ranks_wishes *wishes) STATUS_CHECKED;

/* Which sentences of a batch a rank takes: every n_parts-th, from number `part` on; none where that
 * is past the parts. */
struct ranks_share {
    int part, n_parts;
};

/* A batch is passed in rounds: in one, where each rank has its share, or with dist.reproducible in
 * as many as it takes until each of dist.parts was some rank's. */
int ranks_rounds(const struct config *config, const struct comm *comm);
struct ranks_share ranks_share_of(const struct config *config, const struct comm *comm, int round);

/* total [n] inout += mine [n] of every rank, one rank's after the other's. */
enum status ranks_add_in_order(struct comm *comm, double *total, const double *mine,
                               int64_t n) STATUS_CHECKED;

/* A share of batch `index` of a plan, uploaded; first_sentence as in epoch_plan_batch().
 * Where it cannot be had, or has_failed says that the pass is lost already, there are no sentences,
 * so that the rank can still take part with its experts. Not collective. */
enum status ranks_take_batch(const struct pass *pass, const struct epoch_plan *plan,
                             const struct corpus *corpus, int64_t index, int64_t first_sentence,
                             struct ranks_share share, bool has_failed, struct batch *batch,
                             struct model_batch *uploaded) STATUS_CHECKED;

#endif
