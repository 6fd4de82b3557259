/* Progress for people and for programs. */
#include "train/report.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "layer/phase.h"

static const size_t max_metrics_bytes = (size_t)1 << 30;

/* Rewrites DIR/metrics.jsonl without the lines of later steps. */
static enum status cut_metrics(const char *path, int64_t from_step)
{
    struct buffer text = {0};
    struct file_writer writer = {0};
    enum status status = STATUS_OK;
    if (!file_exists(path))
        return STATUS_OK;
    if ((status = file_read(path, max_metrics_bytes, &text)) < 0)
        goto done;
    if ((status = file_create(&writer, path)) < 0)
        goto done;
    for (const char *line = text.data; line && *line;) {
        const char *end = strchr(line, '\n');
        if (!end)
            break;
        json_t *object = json_loadb(line, (size_t)(end - line), 0, NULL);
        if (object && json_integer_value(json_object_get(object, "step")) <= from_step)
            fwrite(line, 1, (size_t)(end - line) + 1, writer.stream);
        json_decref(object);
        line = end + 1;
    }
    status = file_commit(&writer);
done:
    file_discard(&writer);
    buffer_free(&text);
    return status;
}

static enum status open_file(FILE **stream, const char *path)
{
    *stream = fopen(path, "ae");
    if (!*stream)
        return status_set(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    setvbuf(*stream, NULL, _IOLBF, 0);
    return STATUS_OK;
}

enum status report_open(struct report *report, const char *directory, int64_t from_step,
                        int64_t n_steps)
{
    *report = (struct report){.n_steps = n_steps};
    report->is_live = isatty(STDERR_FILENO) && !getenv("NO_COLOR");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/metrics.jsonl", directory);
    enum status status = cut_metrics(path, from_step);
    if (status >= 0)
        status = open_file(&report->metrics, path);
    snprintf(path, sizeof path, "%s/train.log", directory);
    if (status >= 0)
        status = open_file(&report->log, path);
    if (status < 0)
        report_close(report);
    return status;
}

void report_close(struct report *report)
{
    if (report->has_line)
        fputc('\n', stderr);
    if (report->log)
        fclose(report->log);
    if (report->metrics)
        fclose(report->metrics);
    *report = (struct report){0};
}

static void write_line(struct report *report, const char *text)
{
    if (!report->log)
        return;
    if (report->has_line)
        fprintf(stderr, "\r\033[K");
    report->has_line = false;
    fprintf(stderr, "%s\n", text);
    char stamp[32] = "";
    const time_t now = time(NULL);
    struct tm local;
    if (localtime_r(&now, &local))
        strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &local);
    fprintf(report->log, "%s  %s\n", stamp, text);
}

void report_note(struct report *report, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    write_line(report, text);
}

static void describe_time(double seconds, char text[32])
{
    const long s = seconds > 0 && seconds < 1e8 ? lround(seconds) : 0;
    if (s >= 3600)
        snprintf(text, 32, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else
        snprintf(text, 32, "%ldm%02lds", s / 60, s % 60);
}

static int describe_window(const struct report *report, const struct report_train *window,
                           char *text, size_t size)
{
    char left[32];
    describe_time(window->seconds_left, left);
    return snprintf(text, size,
                    "step %lld/%lld  loss %.3f  ppl %.2f  %.0f tok/s  lr %.2e  norm %.2f  left %s",
                    (long long)window->step, (long long)report->n_steps, window->loss,
                    exp(window->nll), window->tokens_a_second, window->rate, window->norm, left);
}

/* All layers in one: the least and the most loaded expert, and how many are dead. */
static void describe_experts(const struct expert_stats *experts, char text[64])
{
    double least = INFINITY, most = 0;
    int64_t n_dead = 0;
    text[0] = '\0';
    for (int64_t l = 0; l < experts->n_layers; l++) {
        const struct expert_balance b = expert_stats_balance(experts, l);
        least = b.load_min < least ? b.load_min : least;
        most = b.load_max > most ? b.load_max : most;
        n_dead += b.n_dead;
    }
    if (experts->n_layers)
        snprintf(text, 64, "  moe load %.2f-%.2f dead %lld", least, most, (long long)n_dead);
}

void report_live(struct report *report, const struct report_train *now,
                 const struct expert_stats *experts)
{
    const double seconds = clock_seconds();
    if (!report->is_live || seconds - report->last_live < 0.25)
        return;
    report->last_live = seconds;
    char text[256], balance[64];
    describe_window(report, now, text, sizeof text);
    describe_experts(experts, balance);
    fprintf(stderr, "\r\033[K%s%s", text, balance);
    report->has_line = true;
}

static void add_experts(json_t *object, const struct expert_stats *experts, struct buffer *line)
{
    json_t *layers = json_array();
    for (int64_t l = 0; l < experts->n_layers; l++) {
        const struct expert_balance b = expert_stats_balance(experts, l);
        json_array_append_new(layers, json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f}", "layer",
                                                b.name, "experts", (json_int_t)b.n_experts, "dead",
                                                (json_int_t)b.n_dead, "importance_cv2",
                                                b.importance_cv2, "load_cv2", b.load_cv2,
                                                "load_min", b.load_min, "load_max", b.load_max));
        if (buffer_printf(line, "  %s load %.2f-%.2f cv2 %.3f importance cv2 %.3f dead %lld",
                          b.name, b.load_min, b.load_max, b.load_cv2, b.importance_cv2,
                          (long long)b.n_dead) < 0)
            break;
    }
    json_object_set_new(object, "moe", layers);
}

static void write_metrics(struct report *report, json_t *object)
{
    if (report->metrics) {
        json_dumpf(object, report->metrics, JSON_COMPACT | JSON_REAL_PRECISION(10));
        fputc('\n', report->metrics);
    }
    json_decref(object);
}

void report_window(struct report *report, const struct report_train *window,
                   const struct expert_stats *experts)
{
    char head[256];
    struct buffer line = {0};
    describe_window(report, window, head, sizeof head);
    json_t *object = json_pack("{s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "type", "train", "step",
                               (json_int_t)window->step, "loss", window->loss, "nll", window->nll,
                               "ppl", exp(window->nll), "tokens_per_second",
                               window->tokens_a_second, "lr", window->rate, "norm", window->norm);
    if (buffer_append_string(&line, head) == STATUS_OK)
        add_experts(object, experts, &line);
    write_line(report, line.data ? line.data : head);
    for (int64_t l = 0; l < experts->n_layers; l++) {
        const struct expert_balance b = expert_stats_balance(experts, l);
        if (b.n_dead)
            report_note(report,
                        "%s: %lld of %lld experts got less than 1 %% of an even share; raise "
                        "model.moe.load_weight (now %g)",
                        b.name, (long long)b.n_dead, (long long)b.n_experts,
                        experts->layers[l].moe->config.load_weight);
    }
    write_metrics(report, object);
    buffer_free(&line);
}

void report_validation(struct report *report, const struct report_valid *valid)
{
    json_t *object = json_pack("{s:s, s:I, s:f, s:f, s:b, s:f}", "type", "valid", "step",
                               (json_int_t)valid->step, "nll", valid->nll, "ppl", exp(valid->nll),
                               "best", valid->is_best, "seconds", valid->seconds);
    char bleu[32] = "";
    if (valid->bleu >= 0) {
        json_object_set_new(object, "bleu", json_real(valid->bleu));
        snprintf(bleu, sizeof bleu, "  BLEU %.2f", valid->bleu);
    }
    report_note(report, "valid step %lld  ppl %.3f%s%s  (%.1f s)", (long long)valid->step,
                exp(valid->nll), bleu, valid->is_best ? "  best so far" : "", valid->seconds);
    write_metrics(report, object);
}

static bool is_apart(int phase)
{
    return phase == PHASE_VALIDATION || phase == PHASE_SAVE;
}

/* All phases of the updates together. */
static double update_seconds(const double *seconds)
{
    double sum = 0;
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        sum += is_apart(phase) ? 0 : seconds[phase];
    return sum;
}

void report_profile(struct report *report, int64_t step, int64_t n_steps, const double *seconds)
{
    json_t *phases = json_object();
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        json_object_set_new(phases, phase_name(phase), json_real(seconds[phase]));
    write_metrics(report, json_pack("{s:s, s:I, s:I, s:f, s:o}", "type", "profile", "step",
                                    (json_int_t)step, "steps", (json_int_t)n_steps, "seconds",
                                    update_seconds(seconds), "phases", phases));
}

void report_profile_table(struct report *report, int64_t n_steps, const double *seconds)
{
    const double sum = update_seconds(seconds), steps = (double)n_steps;
    report_note(report, "profile: %lld updates of %.2f ms, of which", (long long)n_steps,
                1e3 * sum / steps);
    for (int i = 1; i <= PHASE_COUNT; i++) {
        const int phase = i % PHASE_COUNT; /* "other" last */
        if (!is_apart(phase) && seconds[phase] > 0)
            report_note(report, "  %-20s %10.2f ms %6.1f %%", phase_name(phase),
                        1e3 * seconds[phase] / steps, 100 * seconds[phase] / sum);
    }
    report_note(report, "  and apart: validation %.1f s, saving %.1f s", seconds[PHASE_VALIDATION],
                seconds[PHASE_SAVE]);
}

enum status report_check(const struct report *report)
{
    if (report->log && (ferror(report->log) || ferror(report->metrics)))
        return status_set(STATUS_IO, "cannot write the run's train.log or metrics.jsonl");
    return STATUS_OK;
}
