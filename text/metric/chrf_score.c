/* The score of chrF, in double and in the mixture of float and double that sacreBLEU computes it in
 * during its bootstrap. */
#include "text/metric/chrf.h"

/* Stands for a precision, recall or score of an order without n-grams. */
#define EPSILON 1e-16

/* A number of Python: a double, or what NumPy 2 made of it. A double that meets a float is rounded
 * to a float first, and the result is a float. */
struct number {
    double value; /* exact in float when is_float */
    bool is_float;
};

static struct number number_of(double value)
{
    return (struct number){value, false};
}

/* The result of an operation on operands made by operand(). Computing with two floats in double and
 * rounding gives what computing in float gives: a double has more than twice the digits. */
static struct number result(double value, struct number a, struct number b)
{
    const bool is_float = a.is_float || b.is_float;
    return (struct number){is_float ? (double)(float)value : value, is_float};
}

static double operand(struct number number, struct number other)
{
    return other.is_float ? (double)(float)number.value : number.value;
}

static struct number add(struct number a, struct number b)
{
    return result(operand(a, b) + operand(b, a), a, b);
}

static struct number multiply(struct number a, struct number b)
{
    return result(operand(a, b) * operand(b, a), a, b);
}

static struct number divide(struct number a, struct number b)
{
    return result(operand(a, b) / operand(b, a), a, b);
}

struct chrf_config chrf_config_default(void)
{
    return (struct chrf_config){.char_order = 6, .word_order = 0, .beta = 2};
}

/* (1 + factor) * precision * recall / (factor * precision + recall), the factor being beta^2. */
static struct number f_score(double factor, struct number precision, struct number recall,
                             struct number denominator)
{
    const struct number product = multiply(number_of(1.0 + factor), precision);
    return divide(multiply(product, recall), denominator);
}

static struct number weighted_sum(double factor, struct number precision, struct number recall)
{
    return add(multiply(number_of(factor), precision), recall);
}

struct chrf_score chrf_compute(const int64_t *sums, const struct chrf_config *config, bool is_float)
{
    const double factor = (double)(config->beta * config->beta);
    const int64_t n_orders = config->char_order + config->word_order;
    struct number precisions = number_of(0), recalls = number_of(0), score = number_of(0);
    int64_t n_effective = 0;
    for (int64_t i = 0; i < n_orders; i++) {
        const struct number hypothesis = {(double)sums[3 * i], is_float};
        const struct number reference = {(double)sums[3 * i + 1], is_float};
        const struct number match = {(double)sums[3 * i + 2], is_float};
        const struct number precision =
            hypothesis.value > 0 ? divide(match, hypothesis) : number_of(EPSILON);
        const struct number recall =
            reference.value > 0 ? divide(match, reference) : number_of(EPSILON);
        const struct number denominator = weighted_sum(factor, precision, recall);
        score = add(score, denominator.value > 0 ? f_score(factor, precision, recall, denominator)
                                                 : number_of(EPSILON));
        if (hypothesis.value > 0 && reference.value > 0) {
            precisions = add(precisions, precision);
            recalls = add(recalls, recall);
            n_effective++;
        }
    }
    const struct number hundred = number_of(100);
    if (config->is_epsilon_smoothing) {
        score = divide(multiply(hundred, score), number_of((double)n_orders));
    } else if (n_effective == 0 || !(precisions.value + recalls.value > 0)) {
        score = number_of(0);
    } else {
        precisions = divide(precisions, number_of((double)n_effective));
        recalls = divide(recalls, number_of((double)n_effective));
        const struct number denominator = weighted_sum(factor, precisions, recalls);
        score = multiply(hundred, f_score(factor, precisions, recalls, denominator));
    }
    return (struct chrf_score){score.value, score.is_float};
}
