/* The reference's table and its opening. */
#include "backend/ref/ref.h"
#include "backend/ref/real.h"

static void ref_close(struct backend *backend)
{
    backend->context = NULL;
}

/* Nothing is ever in flight. */
static void ref_sync(struct backend *backend)
{
    backend->context = NULL;
}

void REF(set_ops)(struct backend_ops *ops)
{
    *ops = (struct backend_ops){.close = ref_close, .sync = ref_sync};
    ops->name = REAL_DTYPE == DTYPE_F64 ? "ref64" : "ref";
    REF(set_attention)(ops);
    REF(set_elements)(ops);
    REF(set_gate)(ops);
    REF(set_loss)(ops);
    REF(set_lstm)(ops);
    REF(set_mask)(ops);
    REF(set_matmul)(ops);
    REF(set_memory)(ops);
    REF(set_moe)(ops);
    REF(set_optimizer)(ops);
    REF(set_rows)(ops);
    REF(set_topk)(ops);
}

static struct backend_ops table;

enum status REF(open)(struct backend *backend)
{
    if (!table.name)
        REF(set_ops)(&table);
    *backend = (struct backend){.ops = &table, .real = REAL_DTYPE, .n_threads = 1};
    return STATUS_OK;
}
