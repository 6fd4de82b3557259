/* Adding up losses. */
#include "train/losses.h"

#include "train/ranks.h"

static double sum_of(const struct pass *pass, const struct tensor *tensor, void *room)
{
    const int64_t count = tensor_count(tensor);
    const bool is_double = tensor->dtype == DTYPE_F64;
    pass->backend->ops->download(pass->backend, room, tensor,
                                 (size_t)count * dtype_size(tensor->dtype));
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += is_double ? ((const double *)room)[i] : (double)((const float *)room)[i];
    return sum;
}

enum status losses_add(struct losses *losses, const struct pass *pass,
                       const struct model_record *record)
{
    buffer_clear(&losses->host);
    enum status status =
        buffer_reserve(&losses->host, (size_t)tensor_count(&record->loss) * sizeof(double));
    if (status < 0)
        return status;
    status = backend_sync(pass->backend);
    if (status < 0)
        return status;
    losses->loss += sum_of(pass, &record->loss, losses->host.data);
    losses->nll += sum_of(pass, &record->nll, losses->host.data);
    losses->tokens += tensor_count(&record->loss);
    return STATUS_OK;
}

enum status losses_add_in_order(struct losses *total, const struct losses *part, struct comm *comm)
{
    double sums[] = {total->loss, total->nll, (double)total->tokens};
    const double mine[] = {part->loss, part->nll, (double)part->tokens};
    const enum status status = ranks_add_in_order(comm, sums, mine, 3);
    total->loss = sums[0];
    total->nll = sums[1];
    total->tokens = (int64_t)sums[2];
    return status;
}

void losses_clear(struct losses *losses)
{
    losses->loss = losses->nll = 0;
    losses->tokens = 0;
}

void losses_free(struct losses *losses)
{
    buffer_free(&losses->host);
    *losses = (struct losses){0};
}
