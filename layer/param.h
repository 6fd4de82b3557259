/* The list of everything that is learned.
 *
 * Each layer adds its parameters once, in its init; optimiser, checkpoint and tests walk the list.
 * Names are paths such as "encoder.1.forward.input", unique in a list, and name the tensors of the
 * model file. */
#ifndef MIXT_LAYER_PARAM_H
#define MIXT_LAYER_PARAM_H

#include "backend/backend.h"
#include "backend/comm/comm.h"

/* How a parameter starts. */
enum param_start {
    PARAM_ZERO,
    PARAM_UNIFORM,     /* in -bound .. bound */
    PARAM_FORGET_GATE, /* LSTMs' biases [.., 4H]: 1 for the forget gates, 0 elsewhere */
    PARAM_NORMAL,      /* standard deviation `bound` */
    PARAM_CONSTANT     /* `bound` everywhere */
};

struct param {
    char *name;             /* owned by the list's host arena */
    struct weight weight;   /* weight.value: the parameter, [..] real */
    struct tensor grad;     /* same shape; absent unless the list trains; an update zeroes it */
    struct tensor sum;      /* of a list by parts: the gradients of all parts, one added after the
                               other, while grad is that of one */
    struct arena *products; /* borrowed; where there is one the gradient is not stored, `grad` is
                               absent, and a backward pass leaves in this arena ... */
    struct product_gradient product; /* ... what does not outlive it else of the two factors;
                                        absent before, and after the update */
    struct tensor first;  /* Adam's moments; absent unless the list trains, the first also where */
    struct tensor second; /* the list factors experts and this is one's; where ranks share an
                             update [own numbers], see layer/runs.h */
    struct tensor second_row;    /* [E, in] factored second moments, which an expert's matrices */
    struct tensor second_column; /* [E, out] then have instead of `second` */
    struct tensor average;       /* moving average; absent unless the list has averages */
    enum param_start start;
    double bound;
    bool is_expert;       /* the first dimension counts experts */
    int forms;            /* PACK_... that its layer reads going forward; 0: never packed */
    bool is_late;         /* packed when it is read, see struct param_list */
    int64_t first_expert; /* where ranks divide the experts: the first of those that all tensors */
    int64_t n_experts;    /* here hold, and how many all ranks have; else 0 and 0 */
    int64_t run_at;       /* where ranks share an update: its place in its run (layer/runs.h), */
    int64_t run_count;    /* and how many numbers that has; else 0 and 0 */
};

struct param_list {
    struct backend *backend; /* borrowed */
    struct arena *arena;     /* borrowed, of the backend; holds values, gradients and moments */
    struct arena *host;      /* borrowed, of the host; holds names */
    struct arena *gradients; /* borrowed, of the backend: for gradients that are stored, side by
                                side; NULL: they lie in arena */
    struct arena *products;  /* borrowed, of the backend: for gradients that are not stored, from a
                                backward pass to the update; NULL: all are */
    struct comm *comm;       /* borrowed: the ranks that divide the experts; NULL: all are here */
    bool is_training;        /* gradients and moments exist */
    bool by_parts;           /* and sums of parts' gradients, see struct pass */
    bool has_average;        /* and moving averages */
    bool is_int8;            /* matrices that may be are in int8; such a list does not train */
    bool is_mapped;          /* experts' matrices that are not in int8 have weight.host, which comes
                                with a file, and no value; such a list does not train */
    bool packs_late;         /* most weights are packed when a product reads them, to keep few
                                copies at a time; the backend alone may then read them */
    bool factors_experts;    /* experts have no first moments, and their matrices [E, in, out]
                                factored second ones */
    struct param **items;    /* owned */
    int64_t count, capacity;
    struct run *runs; /* the host arena's; see layer/runs.h */
    int64_t n_runs;
    enum status error; /* sticky: STATUS_MEMORY when the list could not grow */
};

/* A description of one parameter. */
struct param_spec {
    int rank;
    int64_t dim[3];
    enum param_start start;
    double bound;
    int forms;
    bool is_expert;   /* of one of E experts */
    bool is_met_once; /* of one of E experts: all its rows of a pass meet it in one product */
    bool is_product;  /* its gradient need not be stored: its layer's backward pass asks whether */
    bool may_round;   /* a matrix that products read in one form and may read in int8 */
};

/* Adds a parameter; its value is undefined until param_list_start() or a load, and has no memory
 * before runs_place() where there are runs. name_format makes
 * the name. Where ranks divide the experts it has this rank's share, comm_share(), of dim[0]. Never
 * NULL; a failure is kept in list->error and param_list_check() returns it. */
struct param *param_add(struct param_list *list, struct param_spec spec, const char *name_format,
                        ...) __attribute__((format(printf, 3, 4)));

/* In a list in int8: lets products read a parameter in int8 where it is kept as it is, too, as a
 * tied embedding. Blocks have a shape, their data comes with a file; scales are the arena's. */
void param_round(struct param_list *list, struct param *param);

enum status param_list_check(const struct param_list *list) STATUS_CHECKED;

/* Draws all start values: a pure function of seed, names' order and shapes. A share of the experts
 * gets what it gets in the whole. */
void param_list_start(struct param_list *list, uint64_t seed);

/* Packs every weight that is ever packed; after a start, a load or an update. A list that trains
 * packs both forms, one that does not only those that layers read going forward. */
void param_list_pack(struct param_list *list);

/* Packs what layers read going forward for other handles of the backend, until the next
 * param_list_pack(). */
void param_list_pack_for_all(struct param_list *list);

/* The same for one parameter of the list. */
void param_list_pack_one(struct param_list *list, struct param *param);

/* average += share * (value - average) for every parameter; share 1 copies. */
void param_list_average(struct param_list *list, double share);

/* Exchanges values and averages, and packs: so the averages can be tried out and saved. */
void param_list_swap_average(struct param_list *list);

/* What an update applies: the sum of the parts' gradients, or the one that there is. */
const struct tensor *param_gradient(const struct param *param);

/* sum += grad, grad = 0: a part's backward pass through the parameter is done. */
void param_add_part(struct backend *backend, const struct param *param);

/* Gradients to zero: before the first update, since each leaves them so. */
void param_list_zero_gradients(struct param_list *list);

/* Forgets gradients that are not stored; they have been applied. */
void param_list_drop_products(struct param_list *list);

/* The parameter's experts are divided over ranks. */
bool param_is_divided(const struct param *param);

/* How many numbers all parameters hold together, those of other ranks' experts too. */
int64_t param_list_size(const struct param_list *list);

/* The parameter of this name, or NULL. */
struct param *param_find(const struct param_list *list, const char *name);

/* The parameter whose name with this ending is `name`, or NULL: "a.up" for "a.up.scales". */
struct param *param_find_part(const struct param_list *list, const char *name, const char *ending);

/* Frees packed copies and the list, not the arena; a zeroed list may be freed. */
void param_list_free(struct param_list *list);

#endif
