#include "tools/bleu/inputs.h"

#include <ctype.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text/metric/tokenizer.h"
#include "text/utf8.h"
#include "tools/bleu/filter.h"
#include "tools/bleu/notice.h"
#include "tools/bleu/scratch.h"

enum encoding { ENCODING_UTF8, ENCODING_ASCII, ENCODING_LATIN1 };

static enum status out_of_memory(void)
{
    return status_set(STATUS_MEMORY, "no memory for the names of the texts");
}

/* Python's names, as "Latin-1" or "ISO_8859_1": case, '-', '_' and ' ' do not matter. */
static enum status find_encoding(const char *name, enum encoding *encoding)
{
    static const struct {
        const char *name;
        enum encoding encoding;
    } known[] = {
        {"utf8", ENCODING_UTF8},     {"u8", ENCODING_UTF8},         {"utf", ENCODING_UTF8},
        {"ascii", ENCODING_ASCII},   {"usascii", ENCODING_ASCII},   {"646", ENCODING_ASCII},
        {"latin1", ENCODING_LATIN1}, {"iso88591", ENCODING_LATIN1}, {"latin", ENCODING_LATIN1},
        {"l1", ENCODING_LATIN1},     {"8859", ENCODING_LATIN1},     {"cp819", ENCODING_LATIN1}};
    char plain[32] = "";
    size_t size = 0;
    for (const char *at = name; *at != '\0' && size + 1 < sizeof plain; at++) {
        if (strchr("-_ ", *at) == NULL)
            plain[size++] = (char)tolower((unsigned char)*at);
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(plain, known[i].name) == 0) {
            *encoding = known[i].encoding;
            return STATUS_OK;
        }
    }
    const enum status code =
        status_set(STATUS_USAGE, "option --encoding wants utf-8, ascii or latin-1, not '%s'", name);
    status_hint("convert the texts with iconv first");
    return code;
}

static enum status recode_line(const struct lines *lines, enum encoding encoding,
                               const struct line *line, struct buffer *output)
{
    for (size_t i = 0; i < line->size; i++) {
        const unsigned char byte = (unsigned char)line->bytes[i];
        if (byte >= 0x80 && encoding == ENCODING_ASCII)
            return status_set(STATUS_DATA, "%s:%lld: a byte that is not ASCII", lines_name(lines),
                              (long long)line->number);
        const enum status code = utf8_append(output, byte);
        if (code < 0)
            return code;
    }
    return buffer_append(output, "\n", 1);
}

/* Replaces a reader by one that gives the same lines in UTF-8. */
static enum status recode(struct lines **lines, enum encoding encoding)
{
    struct scratch scratch = {0};
    struct lines *recoded = NULL;
    enum status code = scratch_create(&scratch);
    for (struct line line = {.bytes = ""}; code == STATUS_OK && line.bytes != NULL;) {
        code = lines_next(*lines, &line);
        if (code == STATUS_OK && line.bytes != NULL)
            code = recode_line(*lines, encoding, &line, &scratch.pending);
        if (code == STATUS_OK)
            code = scratch_write(&scratch);
    }
    if (code == STATUS_OK)
        code = scratch_open(&scratch, lines_name(*lines), &recoded);
    scratch_free(&scratch);
    if (code < 0)
        return code;
    lines_close(*lines);
    *lines = recoded;
    lines_set_verbatim(*lines);
    return STATUS_OK;
}

/* Appends a reader, which it takes over, also on error. */
static enum status add_reader(struct lines ***readers, size_t *n, struct lines *reader,
                              enum encoding encoding)
{
    struct lines **grown = realloc(*readers, (*n + 1) * sizeof(struct lines *));
    if (grown == NULL) {
        lines_close(reader);
        return out_of_memory();
    }
    *readers = grown;
    grown[*n] = reader;
    lines_set_verbatim(reader);
    const enum status code = encoding == ENCODING_UTF8 ? STATUS_OK : recode(&grown[*n], encoding);
    if (code < 0)
        lines_close(grown[*n]);
    else
        (*n)++;
    return code;
}

static enum status add_file(struct bleu_inputs *inputs, struct lines *reader,
                            enum encoding encoding)
{
    return add_reader(&inputs->files, &inputs->n_files, reader, encoding);
}

static enum status add_system(struct bleu_inputs *inputs, struct lines *reader, const char *name,
                              enum encoding encoding)
{
    char **names = realloc(inputs->names, (inputs->n_systems + 1) * sizeof *names);
    char *copy = strdup(name);
    inputs->names = names == NULL ? inputs->names : names;
    if (names == NULL || copy == NULL) {
        free(copy);
        lines_close(reader);
        return out_of_memory();
    }
    names[inputs->n_systems] = copy;
    const enum status code = add_reader(&inputs->systems, &inputs->n_systems, reader, encoding);
    if (code < 0)
        free(copy);
    return code;
}

enum status bleu_inputs_each_set(const struct bleu_options *options,
                                 enum status (*use)(void *context, const struct testset *set),
                                 void *context)
{
    enum status code = STATUS_OK;
    for (const char *at = options->test_set; code == STATUS_OK && at != NULL;) {
        const size_t size = strcspn(at, ",");
        char *name = strndup(at, size);
        struct testset set = {0};
        code = name == NULL ? out_of_memory() : testset_find(&set, name, options->language_pair);
        if (code == STATUS_OK)
            code = use(context, &set);
        testset_free(&set);
        free(name);
        at = at[size] == ',' ? at + size + 1 : NULL;
    }
    return code;
}

/* The references of several test sets, one behind the other. */
struct joined {
    struct scratch *streams; /* [n] */
    size_t n;
    size_t n_sets;
};

static enum status copy_lines(struct lines *lines, struct scratch *scratch)
{
    enum status code = STATUS_OK;
    lines_set_verbatim(lines);
    for (struct line line = {.bytes = ""}; code == STATUS_OK && line.bytes != NULL;) {
        code = lines_next(lines, &line);
        if (code == STATUS_OK && line.bytes != NULL)
            code = buffer_append(&scratch->pending, line.bytes, line.size);
        if (code == STATUS_OK && line.bytes != NULL)
            code = buffer_append(&scratch->pending, "\n", 1);
        if (code == STATUS_OK)
            code = scratch_write(scratch);
    }
    return code;
}

static enum status join_set(void *context, const struct testset *set)
{
    struct joined *joined = context;
    size_t n = 0;
    for (size_t i = 0; i < set->fields.count; i++)
        n += testset_is_reference(set, set->fields.items[i]) ? 1 : 0;
    enum status code = STATUS_OK;
    if (joined->n_sets++ == 0) {
        joined->streams = calloc(n, sizeof *joined->streams);
        joined->n = n;
        if (joined->streams == NULL)
            return out_of_memory();
        for (size_t i = 0; code == STATUS_OK && i < n; i++)
            code = scratch_create(&joined->streams[i]);
    }
    if (n != joined->n)
        return status_set(STATUS_FAILED, "test set %s, %s has %zu references, those before it %zu",
                          set->name, set->pair, n, joined->n);
    for (size_t i = 0, k = 0; code == STATUS_OK && i < set->fields.count; i++) {
        struct lines *lines = NULL;
        if (!testset_is_reference(set, set->fields.items[i]))
            continue;
        code = testset_open(set, set->fields.items[i], &lines);
        if (code == STATUS_OK)
            code = copy_lines(lines, &joined->streams[k++]);
        lines_close(lines);
    }
    return code;
}

static enum status open_sets(struct bleu_inputs *inputs, const struct bleu_options *options,
                             enum encoding encoding)
{
    struct joined joined = {0};
    enum status code = bleu_inputs_each_set(options, join_set, &joined);
    for (size_t i = 0; code == STATUS_OK && i < joined.n; i++) {
        struct lines *lines = NULL;
        code = scratch_open(&joined.streams[i], options->test_set, &lines);
        if (code == STATUS_OK)
            code = add_file(inputs, lines, encoding);
    }
    for (size_t i = 0; joined.streams != NULL && i < joined.n; i++)
        scratch_free(&joined.streams[i]);
    free(joined.streams);
    return code;
}

static enum status open_references(struct bleu_inputs *inputs, const struct bleu_options *options,
                                   const struct option_list *references, enum encoding encoding)
{
    enum status code = STATUS_OK;
    if (options->test_set != NULL)
        code = open_sets(inputs, options, encoding);
    for (size_t i = 0; code == STATUS_OK && i < references->count; i++) {
        struct lines *lines = NULL;
        code = lines_open(&lines, references->items[i]);
        if (code == STATUS_OK)
            code = add_file(inputs, lines, encoding);
    }
    inputs->n_references = options->num_refs > 1 ? (size_t)options->num_refs : inputs->n_files;
    return code;
}

/* True where standard input has no byte: sacreBLEU takes it for one empty line. Waits for the first
 * byte and does not consume it. */
static bool is_stdin_empty(void)
{
    struct stat about;
    if (fstat(STDIN_FILENO, &about) != 0)
        return false;
    if (S_ISREG(about.st_mode))
        return about.st_size <= lseek(STDIN_FILENO, 0, SEEK_CUR);
    if (S_ISCHR(about.st_mode)) {
        char byte;
        return !isatty(STDIN_FILENO) && read(STDIN_FILENO, &byte, 1) == 0;
    }
    struct pollfd waiting = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&waiting, 1, -1) == 1 && (waiting.revents & POLLIN) == 0 &&
           (waiting.revents & POLLHUP) != 0;
}

static enum status open_stdin(struct lines **lines)
{
    if (!is_stdin_empty())
        return lines_open(lines, NULL);
    struct scratch scratch = {0};
    enum status code = scratch_create(&scratch);
    if (code == STATUS_OK)
        code = buffer_append_string(&scratch.pending, "\n");
    if (code == STATUS_OK)
        code = scratch_write(&scratch);
    if (code == STATUS_OK)
        code = scratch_open(&scratch, "standard input", lines);
    scratch_free(&scratch);
    return code;
}

static size_t count_fields(const char *bytes, size_t size)
{
    size_t n = 1;
    for (size_t i = 0; i < size; i++)
        n += bytes[i] == '\t' ? 1 : 0;
    return n;
}

/* Writes the tab-separated texts of a line to the files of the systems. */
static enum status deal(const struct line *line, size_t size, struct scratch *systems, size_t n)
{
    const char *at = line->bytes, *end = line->bytes + size;
    enum status code = STATUS_OK;
    for (size_t i = 0; code == STATUS_OK && i < n; i++) {
        const char *tab = memchr(at, '\t', (size_t)(end - at));
        const char *stop = tab == NULL ? end : tab;
        code = buffer_append(&systems[i].pending, at, (size_t)(stop - at));
        if (code == STATUS_OK)
            code = buffer_append(&systems[i].pending, "\n", 1);
        if (code == STATUS_OK)
            code = scratch_write(&systems[i]);
        at = tab == NULL ? end : tab + 1;
    }
    return code;
}

/* Reads all of standard input and deals it out; the first line says how many systems there are. */
static enum status deal_stdin(struct bleu_inputs *inputs, struct lines *lines,
                              struct scratch **systems, size_t *n_systems)
{
    enum status code = STATUS_OK;
    for (;;) {
        struct line line = {0};
        code = lines_next(lines, &line);
        if (code < 0 || line.bytes == NULL)
            return code;
        const size_t size = tokenizer_strip_end(line.bytes, line.size);
        const size_t n = count_fields(line.bytes, size);
        if (*n_systems == 0) {
            *systems = calloc(n, sizeof **systems);
            if (*systems == NULL)
                return out_of_memory();
            *n_systems = n;
            for (size_t i = 0; code == STATUS_OK && i < n; i++)
                code = scratch_create(&(*systems)[i]);
        }
        inputs->has_wrong_fields = n != *n_systems;
        if (code == STATUS_OK && inputs->has_wrong_fields)
            code = status_set(STATUS_DATA, "standard input:%lld: %zu systems, but %zu in line 1",
                              (long long)line.number, n, *n_systems);
        if (code == STATUS_OK)
            code = deal(&line, size, *systems, n);
        if (code < 0)
            return code;
    }
}

static enum status open_stdin_systems(struct bleu_inputs *inputs, enum encoding encoding)
{
    struct lines *lines = NULL;
    struct scratch *systems = NULL;
    size_t n_systems = 0;
    enum status code = open_stdin(&lines);
    if (code == STATUS_OK) {
        lines_set_verbatim(lines);
        code = deal_stdin(inputs, lines, &systems, &n_systems);
    }
    for (size_t i = 0; code == STATUS_OK && i < n_systems; i++) {
        struct lines *system = NULL;
        char name[48];
        snprintf(name, sizeof name, "standard input, system %zu", i + 1);
        code = scratch_open(&systems[i], name, &system);
        snprintf(name, sizeof name, "System %zu", i + 1);
        if (code == STATUS_OK)
            code = add_system(inputs, system, name, encoding);
    }
    for (size_t i = 0; i < n_systems; i++)
        scratch_free(&systems[i]);
    free(systems);
    lines_close(lines);
    return code;
}

static bool has_name(const struct bleu_inputs *inputs, const char *name)
{
    for (size_t i = 0; i < inputs->n_systems; i++) {
        if (strcmp(inputs->names[i], name) == 0)
            return true;
    }
    return false;
}

static enum status open_system_files(struct bleu_inputs *inputs, const struct bleu_options *options,
                                     enum encoding encoding)
{
    enum status code = STATUS_OK;
    for (size_t i = 0; code == STATUS_OK && i < options->input.count; i++) {
        const char *path = options->input.items[i];
        struct lines *lines = NULL;
        if (has_name(inputs, path)) {
            if (!bleu_options_are_paired(options) || strcmp(path, inputs->names[0]) != 0)
                return status_set(STATUS_FAILED, "'%s' is given twice to --input", path);
            notice_info(options->is_quiet, "Ignoring '%s' as it was also given as the baseline.",
                        path);
            continue;
        }
        code = strcmp(path, "-") == 0 ? open_stdin(&lines) : lines_open(&lines, path);
        if (code == STATUS_OK)
            code = add_system(inputs, lines, path, encoding);
    }
    return code;
}

static enum status open_systems(struct bleu_inputs *inputs, const struct bleu_options *options,
                                enum encoding encoding)
{
    const bool is_stdin = options->input.count == 0 ||
                          (options->input.count == 1 && strcmp(options->input.items[0], "-") == 0);
    if (options->is_stdin_systems)
        return open_stdin_systems(inputs, encoding);
    if (!is_stdin)
        return open_system_files(inputs, options, encoding);
    struct lines *lines = NULL;
    inputs->is_stdin = true;
    const enum status code = open_stdin(&lines);
    return code < 0 ? code : add_system(inputs, lines, "System 1", encoding);
}

/* Calls the first system the baseline, as sacreBLEU does. */
static enum status name_baseline(struct bleu_inputs *inputs, const struct bleu_options *options)
{
    struct buffer name = {0};
    enum status code = STATUS_OK;
    for (size_t i = 0; code == STATUS_OK && i < inputs->n_systems; i++) {
        buffer_clear(&name);
        if (!options->is_stdin_systems && i > 0)
            break;
        if (!options->is_stdin_systems)
            code = buffer_printf(&name, "Baseline: %s", inputs->names[0]);
        else if (i == 0)
            code = buffer_append_string(&name, "Baseline");
        else
            code = buffer_printf(&name, "System %zu", i);
        char *copy = code < 0 ? NULL : strdup(name.data);
        if (copy == NULL) {
            code = out_of_memory();
        } else {
            free(inputs->names[i]);
            inputs->names[i] = copy;
        }
    }
    buffer_free(&name);
    return code;
}

static enum status check_systems(const struct bleu_inputs *inputs,
                                 const struct bleu_options *options)
{
    const bool is_paired = bleu_options_are_paired(options);
    if (options->is_sentence_level && inputs->n_systems > 1)
        return status_set(STATUS_FAILED, "--sentence-level scores one system, not %zu",
                          inputs->n_systems);
    if (options->is_sentence_level && (options->has_confidence || is_paired))
        return status_set(STATUS_FAILED, "--sentence-level does not go with statistical tests");
    if (is_paired && inputs->n_systems == 1)
        return status_set(STATUS_FAILED, "a paired test wants at least two systems");
    if (options->has_confidence && inputs->n_systems > 1)
        return status_set(STATUS_FAILED,
                          "--confidence goes with one system, not %zu; use "
                          "--paired-bs",
                          inputs->n_systems);
    return STATUS_OK;
}

enum status bleu_inputs_open(struct bleu_inputs *inputs, const struct bleu_options *options,
                             const struct option_list *references)
{
    enum encoding encoding = ENCODING_UTF8;
    *inputs = (struct bleu_inputs){0};
    enum status code = find_encoding(options->encoding, &encoding);
    if (code == STATUS_OK)
        code = open_references(inputs, options, references, encoding);
    if (code == STATUS_OK)
        code = bleu_filter_read(inputs, options);
    if (code == STATUS_OK)
        code = open_systems(inputs, options, encoding);
    if (code == STATUS_OK)
        code = check_systems(inputs, options);
    return code < 0 || !bleu_options_are_paired(options) ? code : name_baseline(inputs, options);
}

void bleu_inputs_close(struct bleu_inputs *inputs)
{
    for (size_t i = 0; i < inputs->n_files; i++)
        lines_close(inputs->files[i]);
    for (size_t i = 0; i < inputs->n_systems; i++) {
        lines_close(inputs->systems[i]);
        free(inputs->names[i]);
    }
    free(inputs->files);
    free(inputs->systems);
    free(inputs->names);
    free(inputs->is_kept);
    testset_names_free(&inputs->origlangs);
    testset_names_free(&inputs->domains);
    *inputs = (struct bleu_inputs){0};
}
