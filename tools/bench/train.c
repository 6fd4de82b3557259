/* mixt bench train: updates of a whole model, and how near they come to their products alone. */
#include "tools/bench/product.h"
#include "tools/bench/subject.h"
#include "tools/bench/verbs.h"

static const char description[] =
    "Trains a model of the shape with random weights on random sentences and prints source and "
    "target tokens a second. 'products alone' is the time of an update's products of matrices, "
    "each run by itself as 'mixt bench op' does: of_products is the part of their rate that the "
    "whole update reaches, of peak the part of the machine's.";

/* All products of an update, each by itself; its rate, 0 where it is not wanted. */
static double measure_products(struct session *session)
{
    struct product product[PRODUCT_MAX];
    const int64_t n = product_list(session, product);
    struct row row = {.name = "products alone", .unit = ROW_FLOPS, .calls = 1};
    if (!session_wants(session, row.name))
        return 0;
    for (int64_t i = 0; i < n; i++)
        for (enum direction d = DIRECTION_FORWARD; d < N_DIRECTIONS; d++) {
            int64_t calls;
            const double times = (double)product[i].calls[d];
            row.seconds += times * product_time(session, &product[i], d, &calls);
            row.amount += times * product_flops(session, &product[i], d);
        }
    session_add(session, row);
    return row.amount / row.seconds;
}

static enum status measure_update(struct session *session, double products_rate)
{
    struct subject subject = {0};
    struct row row = {.name = "update", .unit = ROW_TOKENS};
    if (!session_wants(session, row.name))
        return STATUS_OK;
    enum status status = subject_open(&subject, session, true);
    if (status >= 0) {
        const struct work work = {.run = subject_update, .context = &subject};
        row.seconds = session_time(session, work, &row.calls);
        status = subject.status;
    }
    subject_free(&subject);
    if (status < 0)
        return status;
    const double rate = subject_flops(session) / row.seconds;
    row.amount = 2 * (double)(session->sentences * session->length);
    row.fraction = rate / session_peak_flops(session);
    row.extra[0].name = "model_gflops";
    row.extra[0].value = rate * 1e-9;
    if (products_rate > 0) {
        row.extra[1].name = "of_products";
        row.extra[1].value = rate / products_rate;
    }
    session_add(session, row);
    return STATUS_OK;
}

int bench_train_main(int argc, char **argv)
{
    struct bench_options options = {0};
    struct session session;
    const int code = session_start(&session, &options, "train", description, argc, argv);
    if (code >= 0)
        return code;
    const double products_rate = measure_products(&session);
    return session_finish(&session, measure_update(&session, products_rate));
}
