/* YAML by libyaml's events. No tree is built, so aliases cannot multiply and nothing can recurse
 * beyond YAML_MAX_DEPTH. */
#include "model/yaml_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/buffer.h"
#include "base/file.h"
#include "model/quote.h"
#include "text/utf8.h"

static const char command_line[] = "command line";

/* One run over one text. */
struct reader {
    yaml_parser_t parser;
    const char *text; /* [size] */
    size_t size;
    struct yaml_settings *settings;
    const char *file;          /* of the entries made */
    bool is_override;          /* entries replace earlier ones and carry no line */
    char path[YAML_KEY_BYTES]; /* dotted key of what is being read; "" at the top */
    size_t line;               /* of that key, from 0 */
};

const char *yaml_entry_place(const struct yaml_entry *entry)
{
    static _Thread_local char place[1024];
    if (entry->line > 0)
        snprintf(place, sizeof place, "%s:%d", entry->file, entry->line);
    else
        snprintf(place, sizeof place, "%s", entry->file);
    return place;
}

/* "FILE:LINE" of line `line`, from 0 as libyaml counts. */
static const char *place_of_line(const struct reader *reader, size_t line)
{
    const struct yaml_entry entry = {
        .file = reader->file,
        .line = reader->is_override ? 0 : (int)line + 1,
    };
    return yaml_entry_place(&entry);
}

static const char *place_of(const struct reader *reader, const yaml_event_t *event)
{
    return place_of_line(reader, event->start_mark.line);
}

/* The line of a byte of the text, from 0. */
static size_t line_of_offset(const struct reader *reader, size_t offset)
{
    size_t line = 0;
    for (size_t i = 0; i < offset && i < reader->size; i++)
        line += reader->text[i] == '\n';
    return line;
}

static enum status syntax_error(const struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return status_set(STATUS_MEMORY, "no memory to read %s", reader->file);
    const size_t line = parser->error == YAML_READER_ERROR
                            ? line_of_offset(reader, parser->problem_offset)
                            : parser->problem_mark.line;
    return status_set(STATUS_CONFIG, "%s: %s%s%s", place_of_line(reader, line),
                      parser->context ? parser->context : "", parser->context ? ", " : "",
                      parser->problem ? parser->problem : "this is no YAML");
}

static enum status refuse_ornaments(const struct reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    bool has_directive = false;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    case YAML_DOCUMENT_START_EVENT:
        has_directive = event->data.document_start.tag_directives.start !=
                        event->data.document_start.tag_directives.end;
        break;
    case YAML_ALIAS_EVENT:
        return status_set(STATUS_CONFIG, "%s: aliases (*name) are not allowed here",
                          place_of(reader, event));
    default:
        break;
    }
    if (anchor)
        return status_set(STATUS_CONFIG, "%s: anchors (&name) are not allowed here",
                          place_of(reader, event));
    if (tag || has_directive)
        return status_set(STATUS_CONFIG, "%s: tags (!name) are not allowed here",
                          place_of(reader, event));
    return STATUS_OK;
}

/* The next event; the caller deletes it when the status is OK. */
static enum status next_event(struct reader *reader, yaml_event_t *event)
{
    if (!yaml_parser_parse(&reader->parser, event))
        return syntax_error(reader);
    const enum status status = refuse_ornaments(reader, event);
    if (status < 0)
        yaml_event_delete(event);
    return status;
}

static void free_entry(struct yaml_entry *entry)
{
    for (size_t i = 0; i < entry->n_values; i++)
        free(entry->value[i]);
    free(entry->value);
    free(entry->key);
    *entry = (struct yaml_entry){0};
}

static enum status no_memory(const struct reader *reader)
{
    return status_set(STATUS_MEMORY, "no memory to read %s", reader->file);
}

/* Makes an entry for the key now in reader->path, and refuses a key given twice. */
static enum status add_entry(struct reader *reader, enum yaml_kind kind, struct yaml_entry **added)
{
    struct yaml_settings *settings = reader->settings;
    struct yaml_entry fresh = {
        .key = strdup(reader->path),
        .kind = kind,
        .file = reader->file,
        .line = reader->is_override ? 0 : (int)reader->line + 1,
    };
    if (!fresh.key)
        return no_memory(reader);
    const struct yaml_entry *found = yaml_settings_find(settings, fresh.key);
    struct yaml_entry *old = found ? settings->entry + (found - settings->entry) : NULL;
    if (old && reader->is_override) {
        free_entry(old);
        *old = fresh;
        *added = old;
        return STATUS_OK;
    }
    char quoted[QUOTE_BYTES];
    enum status status = STATUS_OK;
    if (old)
        status = status_set(STATUS_CONFIG, "%s: '%s' is given twice; it stands on line %d already",
                            yaml_entry_place(&fresh), quote(fresh.key, quoted), old->line);
    else if (settings->n_entries >= YAML_MAX_ENTRIES)
        status = status_set(STATUS_CONFIG, "%s: more than %d keys", yaml_entry_place(&fresh),
                            YAML_MAX_ENTRIES);
    if (status == STATUS_OK && settings->n_entries == settings->capacity) {
        const size_t capacity = settings->capacity ? 2 * settings->capacity : 64;
        struct yaml_entry *grown = realloc(settings->entry, capacity * sizeof *grown);
        if (grown) {
            settings->entry = grown;
            settings->capacity = capacity;
        } else {
            status = no_memory(reader);
        }
    }
    if (status < 0) {
        free_entry(&fresh);
        return status;
    }
    *added = &settings->entry[settings->n_entries++];
    **added = fresh;
    return STATUS_OK;
}

/* Appends a scalar event's text; *capacity is the size of entry->value. */
static enum status add_value(const struct reader *reader, struct yaml_entry *entry,
                             size_t *capacity, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    if (strlen(text) != event->data.scalar.length)
        return status_set(STATUS_CONFIG, "%s: a value may not hold a NUL character",
                          place_of(reader, event));
    if (entry->n_values == *capacity) {
        const size_t wanted = *capacity ? 2 * *capacity : 2;
        char **grown = realloc(entry->value, wanted * sizeof *grown);
        if (!grown)
            return no_memory(reader);
        entry->value = grown;
        *capacity = wanted;
    }
    entry->value[entry->n_values] = strdup(text);
    if (!entry->value[entry->n_values])
        return no_memory(reader);
    entry->n_values++;
    return STATUS_OK;
}

static enum status read_list(struct reader *reader, struct yaml_entry *entry)
{
    size_t capacity = 0;
    for (;;) {
        yaml_event_t event;
        enum status status = next_event(reader, &event);
        if (status < 0)
            return status;
        const bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
        if (event.type == YAML_SCALAR_EVENT)
            status = add_value(reader, entry, &capacity, &event);
        else if (!is_end)
            status = status_set(STATUS_CONFIG, "%s: a list may hold only single values",
                                place_of(reader, &event));
        yaml_event_delete(&event);
        if (status < 0 || is_end)
            return status;
    }
}

static enum status read_mapping(struct reader *reader, int depth);

/* Reads what stands behind the key in reader->path; start is its first event. */
static enum status read_node(struct reader *reader, const yaml_event_t *start, int depth)
{
    struct yaml_entry *entry = NULL;
    const enum yaml_kind kind = start->type == YAML_SCALAR_EVENT           ? YAML_VALUE
                                : start->type == YAML_SEQUENCE_START_EVENT ? YAML_LIST
                                                                           : YAML_SECTION;
    const enum status status = add_entry(reader, kind, &entry);
    if (status < 0)
        return status;
    size_t capacity = 0;
    if (kind == YAML_VALUE)
        return add_value(reader, entry, &capacity, start);
    if (kind == YAML_LIST)
        return read_list(reader, entry);
    return read_mapping(reader, depth + 1);
}

/* Appends a key event's text to reader->path. */
static enum status enter_key(struct reader *reader, const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT)
        return status_set(STATUS_CONFIG, "%s: a key must be a single word",
                          place_of(reader, event));
    const char *key = (const char *)event->data.scalar.value;
    const size_t length = event->data.scalar.length;
    const size_t used = strlen(reader->path);
    if (length == 0 || strlen(key) != length)
        return status_set(STATUS_CONFIG, "%s: a key is empty or holds a NUL character",
                          place_of(reader, event));
    if (used + 1 + length >= sizeof reader->path) {
        char quoted[QUOTE_BYTES];
        return status_set(STATUS_CONFIG, "%s: the key '%s' is too long", place_of(reader, event),
                          quote(key, quoted));
    }
    snprintf(reader->path + used, sizeof reader->path - used, "%s%s", used ? "." : "", key);
    reader->line = event->start_mark.line;
    return STATUS_OK;
}

static enum status read_mapping(struct reader *reader, int depth)
{
    const size_t length = strlen(reader->path);
    for (;;) {
        yaml_event_t event;
        enum status status = next_event(reader, &event);
        if (status < 0)
            return status;
        const bool is_end = event.type == YAML_MAPPING_END_EVENT;
        if (!is_end && depth > YAML_MAX_DEPTH)
            status = status_set(STATUS_CONFIG, "%s: nested deeper than %d levels",
                                place_of(reader, &event), YAML_MAX_DEPTH);
        else if (!is_end)
            status = enter_key(reader, &event);
        yaml_event_delete(&event);
        if (status < 0 || is_end)
            return status;
        if ((status = next_event(reader, &event)) < 0)
            return status;
        status = read_node(reader, &event, depth);
        yaml_event_delete(&event);
        if (status < 0)
            return status;
        reader->path[length] = '\0';
    }
}

/* The one node of the document: a mapping in a file, a value on the command line. */
static enum status read_root(struct reader *reader, const yaml_event_t *event)
{
    if (!reader->is_override && event->type == YAML_MAPPING_START_EVENT)
        return read_mapping(reader, 1);
    if (!reader->is_override)
        return status_set(STATUS_CONFIG, "%s: a configuration is made of 'key: value' lines",
                          place_of(reader, event));
    if (event->type != YAML_MAPPING_START_EVENT)
        return read_node(reader, event, 1);
    return status_set(STATUS_CONFIG, "%s: the value of %s must be one value or a [list]",
                      reader->file, reader->path);
}

/* An empty text has no document: nothing in a file, the empty value on the command line. */
static enum status read_nothing(struct reader *reader)
{
    if (!reader->is_override)
        return STATUS_OK;
    yaml_char_t nothing[] = "";
    const yaml_event_t event = {.type = YAML_SCALAR_EVENT, .data.scalar.value = nothing};
    return read_node(reader, &event, 1);
}

static enum status read_stream(struct reader *reader)
{
    int n_documents = 0;
    for (;;) {
        yaml_event_t event;
        enum status status = next_event(reader, &event);
        if (status < 0)
            return status;
        const yaml_event_type_t type = event.type;
        if (type == YAML_DOCUMENT_START_EVENT && n_documents++ > 0)
            status = status_set(STATUS_CONFIG, "%s: a second document starts here; one is allowed",
                                place_of(reader, &event));
        else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                 type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT)
            status = read_root(reader, &event);
        yaml_event_delete(&event);
        if (status < 0)
            return status;
        if (type == YAML_STREAM_END_EVENT)
            return n_documents ? STATUS_OK : read_nothing(reader);
    }
}

static enum status run(struct reader *reader, const char *text, size_t size)
{
    if (size > YAML_MAX_BYTES)
        return status_set(STATUS_CONFIG, "%s: larger than the %d bytes allowed", reader->file,
                          YAML_MAX_BYTES);
    reader->text = text;
    reader->size = size;
    const size_t valid = utf8_valid_prefix(text, size);
    if (valid < size)
        return status_set(STATUS_CONFIG, "%s: not valid UTF-8",
                          place_of_line(reader, line_of_offset(reader, valid)));
    if (!yaml_parser_initialize(&reader->parser))
        return no_memory(reader);
    yaml_parser_set_encoding(&reader->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, size);
    const enum status status = read_stream(reader);
    yaml_parser_delete(&reader->parser);
    return status;
}

enum status yaml_settings_read_text(struct yaml_settings *settings, const char *text, size_t size,
                                    const char *name)
{
    CHECK(settings->n_entries == 0 && !settings->file, "settings of %s are read twice", name);
    settings->file = strdup(name);
    if (!settings->file)
        return status_set(STATUS_MEMORY, "no memory to read %s", name);
    struct reader reader = {.settings = settings, .file = settings->file};
    return run(&reader, text, size);
}

enum status yaml_settings_read(struct yaml_settings *settings, const char *path)
{
    struct buffer text = {0};
    enum status status = file_read(path, YAML_MAX_BYTES, &text);
    if (status == STATUS_FORMAT)
        status = status_set(STATUS_CONFIG, "%s", status_message());
    if (status == STATUS_OK)
        status = yaml_settings_read_text(settings, text.data ? text.data : "", text.size, path);
    buffer_free(&text);
    return status;
}

enum status yaml_settings_override(struct yaml_settings *settings, const char *assignment)
{
    struct reader reader = {.settings = settings, .file = command_line, .is_override = true};
    const char *equals = strchr(assignment, '=');
    char quoted[QUOTE_BYTES];
    if (!equals || equals == assignment)
        return status_set(STATUS_USAGE, "'%s' is not of the form section.key=value",
                          quote(assignment, quoted));
    const size_t length = (size_t)(equals - assignment);
    if (length >= sizeof reader.path)
        return status_set(STATUS_CONFIG, "%s: the key '%s' is too long", command_line,
                          quote(assignment, quoted));
    memcpy(reader.path, assignment, length);
    const enum status status = run(&reader, equals + 1, strlen(equals + 1));
    if (status == STATUS_CONFIG)
        status_hint("the value of %s is YAML; put text with special characters in quotes",
                    quote(reader.path, quoted));
    return status;
}

const struct yaml_entry *yaml_settings_find(const struct yaml_settings *settings, const char *key)
{
    for (size_t i = 0; i < settings->n_entries; i++)
        if (strcmp(settings->entry[i].key, key) == 0)
            return &settings->entry[i];
    return NULL;
}

void yaml_settings_free(struct yaml_settings *settings)
{
    for (size_t i = 0; i < settings->n_entries; i++)
        free_entry(&settings->entry[i]);
    free(settings->entry);
    free(settings->file);
    *settings = (struct yaml_settings){0};
}
