/* Two passes. In the first, threads clean and judge pairs of lines; their results, in order, go to
 * a temporary file, and hashes of what is kept to another. In the second the pairs that are no
 * duplicates go to the corpus. Where duplicates may stay, the first pass writes the corpus. */
#include "text/prep/prep.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/file.h"
#include "text/pipeline.h"
#include "text/prep/duplicates.h"
#include "text/prep/pairs_writer.h"
#include "text/prep/stage.h"
#include "text/utf8.h"

enum { SECOND_PASS_STEP = 4096 };

/* What a thread hands on of a pair of lines: this, and both texts, each with a final NUL. */
struct result {
    struct duplicates_key key; /* of a pair that is kept */
    int64_t line;
    uint64_t source_size;
    uint64_t target_size;
    enum prep_rule rule;
    bool is_changed;
};

struct run {
    const struct prep_options *options;
    struct prep_report *report;
    struct script_set source_scripts;
    struct script_set target_scripts;
    struct cleaner **cleaners; /* [threads] */
    size_t input;              /* being read */
    struct pairs_writer *writer;
    struct file_writer dropped; /* empty where not wanted */
    struct stage stage;         /* empty where duplicates may stay */
    FILE *keys;
    struct duplicates *duplicates;
    int64_t n_staged;
};

static struct duplicates_key key_of(enum prep_duplicates duplicates, const struct pair *pair)
{
    const char *start = pair->source.bytes;
    size_t size = pair->source.size;
    if (duplicates == PREP_DUPLICATES_TARGET) {
        start = pair->target.bytes;
        size = pair->target.size;
    } else if (duplicates == PREP_DUPLICATES_PAIR) {
        size += 1 + pair->target.size; /* they stand next to each other, with a NUL between */
    }
    const XXH128_hash_t hash = XXH3_128bits(start, size);
    return (struct duplicates_key){hash.low64, hash.high64};
}

/* Cleans a line behind what is in output, and ends it with a NUL. */
static enum status clean_to(struct cleaner *cleaner, const struct line *line, struct buffer *output,
                            uint64_t *size, bool *is_changed)
{
    const size_t before = output->size;
    enum status status = clean_line(cleaner, line->bytes, line->size, output, is_changed);
    *size = output->size - before;
    return status < 0 ? status : buffer_append(output, "", 1);
}

/* The pair behind the result in a buffer. */
static struct pair pair_of(const struct result *result, const char *texts)
{
    return (struct pair){
        {texts, (size_t)result->source_size},
        {texts + result->source_size + 1, (size_t)result->target_size},
    };
}

/* The work of a thread on one pair of lines. */
static enum status judge_row(void *context, int thread, const struct line *row,
                             struct buffer *output)
{
    const struct run *run = context;
    const struct prep_rules *rules = &run->options->rules;
    struct cleaner *cleaner = run->cleaners[thread];
    struct result result;
    memset(&result, 0, sizeof result); /* its holes are copied too */
    const size_t place = output->size;
    bool is_source_changed = false, is_target_changed = false;
    enum status status = buffer_append(output, &result, sizeof result);
    if (status == STATUS_OK)
        status = clean_to(cleaner, &row[0], output, &result.source_size, &is_source_changed);
    if (status == STATUS_OK)
        status = clean_to(cleaner, &row[1], output, &result.target_size, &is_target_changed);
    if (status < 0)
        return status;
    const struct pair pair = pair_of(&result, output->data + place + sizeof result);
    result.line = row[0].number;
    result.is_changed = is_source_changed || is_target_changed;
    result.rule = prep_judge(rules, &pair, &run->source_scripts, &run->target_scripts);
    if (result.rule == PREP_KEEP && rules->duplicates != PREP_DUPLICATES_KEEP)
        result.key = key_of(rules->duplicates, &pair);
    memcpy(output->data + place, &result, sizeof result);
    return STATUS_OK;
}

static const char *input_name(const char *path)
{
    return path == NULL || strcmp(path, "-") == 0 ? "standard input" : path;
}

/* Copies what fits, whole characters only; terminals get no control characters to see. */
static void copy_example(char example[PREP_EXAMPLE_BYTES], const struct pair_text *text)
{
    size_t size = text->size;
    if (size >= PREP_EXAMPLE_BYTES) {
        size = PREP_EXAMPLE_BYTES - 1;
        while (size > 0 && ((unsigned char)text->bytes[size] & 0xC0) == 0x80)
            size--;
    }
    for (size_t i = 0; i < size; i++)
        example[i] =
            (unsigned char)text->bytes[i] < ' ' || text->bytes[i] == 0x7F ? ' ' : text->bytes[i];
    example[size] = '\0';
}

/* Writes a text as a field, in which a tab cannot be. */
static void write_field(FILE *stream, const struct pair_text *text)
{
    for (size_t i = 0; i < text->size;) {
        const char *tab = memchr(text->bytes + i, '\t', text->size - i);
        const size_t end = tab == NULL ? text->size : (size_t)(tab - text->bytes);
        fwrite(text->bytes + i, 1, end - i, stream);
        if (tab != NULL)
            putc(' ', stream);
        i = end + 1;
    }
}

/* Counts a dropped pair, and writes it to the file of them. */
static enum status drop(struct run *run, enum prep_rule rule, const struct staged *staged)
{
    struct prep_tally *tally = &run->report->dropped[rule];
    if (tally->count < PREP_EXAMPLES) {
        struct prep_example *example = &tally->examples[tally->count];
        example->input = staged->input;
        example->line = staged->line;
        copy_example(example->source, &staged->pair.source);
        copy_example(example->target, &staged->pair.target);
    }
    tally->count++;
    FILE *stream = run->dropped.stream;
    if (stream == NULL)
        return STATUS_OK;
    fprintf(stream, "%s\t%s\t%" PRId64 "\t", prep_rule_name(rule),
            input_name(run->options->inputs[staged->input].source), staged->line);
    write_field(stream, &staged->pair.source);
    putc('\t', stream);
    write_field(stream, &staged->pair.target);
    if (putc('\n', stream) == EOF || ferror(stream) != 0)
        return status_set(STATUS_IO, "cannot write %s: %s", run->options->dropped, strerror(errno));
    return STATUS_OK;
}

/* Working storage has no name, but the directory that it fills. */
static enum status name_output(const struct run *run, enum status status)
{
    if (status != STATUS_IO)
        return status;
    return status_set(status, "%s: %s", run->options->output, status_message());
}

static enum status keep(struct run *run, const struct duplicates_key *key,
                        const struct staged *staged)
{
    if (run->duplicates == NULL)
        return pairs_writer_add(run->writer, &staged->pair);
    run->n_staged++;
    enum status status = stage_write(&run->stage, staged);
    if (status == STATUS_OK)
        status = duplicates_add(run->duplicates, key);
    return name_output(run, status);
}

/* Asks the caller whether to go on. */
static enum status show_progress(struct run *run, bool is_writing)
{
    const struct prep_options *options = run->options;
    if (options->progress == NULL)
        return STATUS_OK;
    const int64_t written = pairs_writer_count(run->writer);
    const struct prep_progress progress = {
        .lines = run->report->lines,
        .kept = run->duplicates == NULL ? written : run->n_staged,
        .is_writing = is_writing,
        .written = written,
    };
    if (options->progress(options->progress_context, &progress))
        return STATUS_OK;
    return status_set(STATUS_INTERRUPTED, "stopped; %s is as it was", options->output);
}

/* Takes the results of a block of rows, in order. */
static enum status take_results(void *context, const struct buffer *output, bool is_pause)
{
    (void)is_pause;
    struct run *run = context;
    enum status status = STATUS_OK;
    for (size_t place = 0; place < output->size && status == STATUS_OK;) {
        struct result result;
        memcpy(&result, output->data + place, sizeof result);
        place += sizeof result;
        const struct staged staged = {pair_of(&result, output->data + place), run->input,
                                      result.line};
        place += (size_t)(result.source_size + result.target_size + 2);
        run->report->lines++;
        run->report->changed += result.is_changed ? 1 : 0;
        if (result.rule == PREP_KEEP)
            status = keep(run, &result.key, &staged);
        else
            status = drop(run, result.rule, &staged);
    }
    return status < 0 ? status : show_progress(run, false);
}

static enum status describe_repairs(struct run *run, const struct lines *lines)
{
    struct buffer *repairs = &run->report->repairs;
    const size_t before = repairs->size;
    enum status status = lines_describe(lines_so_far(lines), lines_name(lines), repairs);
    if (status == STATUS_OK && repairs->size > before)
        status = buffer_append_string(repairs, "\n");
    return status;
}

/* Where the files differ in their lines, there is a way to find out where. */
static void hint_at_check(const struct prep_input *input, struct lines *const lines[2])
{
    if (lines_so_far(lines[0])->lines != lines_so_far(lines[1])->lines)
        status_hint("the files must be line-parallel; 'mixt prep --check %s %s' looks for the "
                    "place where they lose step",
                    input_name(input->source), input_name(input->target));
}

/* First pass over one pair of files. */
static enum status read_input(struct run *run, size_t number)
{
    const struct prep_input *input = &run->options->inputs[number];
    struct lines *lines[2] = {NULL, NULL};
    run->input = number;
    enum status status = lines_open(&lines[0], input->source);
    if (status == STATUS_OK)
        status = lines_open(&lines[1], input->target);
    if (status == STATUS_OK) {
        const struct pipeline pipeline = {
            .inputs = lines,
            .n_inputs = 2,
            .threads = run->options->threads,
            .context = run,
            .apply = judge_row,
            .deliver = take_results,
        };
        status = pipeline_run(&pipeline);
        if (status == STATUS_DATA)
            hint_at_check(input, lines);
    }
    if (status == STATUS_OK) {
        run->report->input_lines[number] = lines_so_far(lines[0])->lines;
        status = describe_repairs(run, lines[0]);
    }
    if (status == STATUS_OK)
        status = describe_repairs(run, lines[1]);
    lines_close(lines[0]);
    lines_close(lines[1]);
    return status;
}

/* Second pass: the pairs that are no duplicates. */
static enum status write_staged(struct run *run)
{
    if (run->duplicates == NULL)
        return STATUS_OK;
    enum status status = show_progress(run, true);
    if (status == STATUS_OK)
        status = duplicates_find(run->duplicates, run->options->threads);
    if (status == STATUS_OK)
        status = stage_rewind(&run->stage);
    status = name_output(run, status);
    for (int64_t i = 0; i < run->n_staged && status == STATUS_OK; i++) {
        struct staged staged;
        status = stage_read(&run->stage, &staged);
        if (status < 0)
            return name_output(run, status);
        if (duplicates_has(run->duplicates, i))
            status = drop(run, PREP_DUPLICATE, &staged);
        else
            status = pairs_writer_add(run->writer, &staged.pair);
        if (status == STATUS_OK && i % SECOND_PASS_STEP == 0)
            status = show_progress(run, true);
    }
    return status;
}

static enum status open_cleaners(struct run *run)
{
    const size_t threads = (size_t)run->options->threads;
    run->cleaners = calloc(threads, sizeof *run->cleaners);
    if (run->cleaners == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu threads", threads);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < threads && status == STATUS_OK; i++)
        status = cleaner_open(&run->cleaners[i], &run->options->rules.clean);
    return status;
}

static enum status open_output(struct run *run)
{
    const struct prep_options *options = run->options;
    const struct pairs_writer_options writer = {
        .directory = options->output,
        .source_name = options->source_language == NULL ? "source" : options->source_language,
        .target_name = options->target_language == NULL ? "target" : options->target_language,
        .shard_bytes = options->shard_bytes,
        .overwrite = options->overwrite,
        .writes_text = options->writes_text,
    };
    enum status status = pairs_writer_open(&run->writer, &writer);
    if (status == STATUS_OK && options->dropped != NULL)
        status = file_create(&run->dropped, options->dropped);
    if (status < 0 || options->rules.duplicates == PREP_DUPLICATES_KEEP)
        return status;
    status = pairs_writer_temporary(run->writer, &run->stage.file);
    if (status == STATUS_OK)
        status = pairs_writer_temporary(run->writer, &run->keys);
    if (status == STATUS_OK)
        status = duplicates_open(&run->duplicates, run->keys);
    return status;
}

static enum status finish(struct run *run)
{
    const struct prep_options *options = run->options;
    struct prep_report *report = run->report;
    struct buffer text = {0};
    report->kept = pairs_writer_count(run->writer);
    if (report->kept == 0)
        return status_set(STATUS_DATA, "%s: no pair is left of %" PRId64,
                          input_name(options->inputs[0].source), report->lines);
    enum status status = prep_report_append_json(report, options, &text);
    if (status == STATUS_OK && options->dropped != NULL)
        status = file_commit(&run->dropped);
    if (status == STATUS_OK) {
        status = pairs_writer_commit(run->writer, text.data);
        run->writer = NULL;
    }
    buffer_free(&text);
    return status;
}

static void close_run(struct run *run)
{
    for (int i = 0; run->cleaners != NULL && i < run->options->threads; i++)
        cleaner_close(run->cleaners[i]);
    free(run->cleaners);
    duplicates_close(run->duplicates);
    if (run->keys != NULL)
        fclose(run->keys);
    stage_close(&run->stage);
    file_discard(&run->dropped);
    pairs_writer_discard(run->writer);
}

enum status prep_run(const struct prep_options *options, struct prep_report *report)
{
    CHECK(options->n_inputs > 0 && options->threads > 0, "%zu inputs, %d threads",
          options->n_inputs, options->threads);
    *report = (struct prep_report){0};
    struct run run = {
        .options = options,
        .report = report,
        .source_scripts = script_set_of(options->source_language),
        .target_scripts = script_set_of(options->target_language),
    };
    report->input_lines = calloc(options->n_inputs, sizeof *report->input_lines);
    if (report->input_lines == NULL)
        return status_set(STATUS_MEMORY, "no memory for the names of %zu files", options->n_inputs);
    enum status status = open_cleaners(&run);
    if (status == STATUS_OK)
        status = open_output(&run);
    for (size_t i = 0; i < options->n_inputs && status == STATUS_OK; i++)
        status = read_input(&run, i);
    report->is_complete = status == STATUS_OK;
    if (status == STATUS_OK)
        status = write_staged(&run);
    if (status == STATUS_OK)
        status = finish(&run);
    close_run(&run);
    return status;
}

void prep_report_free(struct prep_report *report)
{
    free(report->input_lines);
    buffer_free(&report->repairs);
    *report = (struct prep_report){0};
}
