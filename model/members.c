/* One member of a JSON object after the other: the frame is read here, names and values by
 * jansson. */
#include "model/members.h"

#include <string.h>

#include "model/quote.h"

static enum status member_error(const struct members *members, size_t at, const char *what)
{
    char quoted[QUOTE_BYTES];
    return status_set(STATUS_FORMAT, "%s: %s, byte %zu: %s", members->path, members->where, at,
                      quote(what, quoted));
}

static char peek(struct members *members)
{
    while (members->at < members->size && strchr(" \t\r\n", members->text[members->at]) &&
           members->text[members->at] != '\0')
        members->at++;
    return members->at < members->size ? members->text[members->at] : '\0';
}

static enum status read_value(struct members *members, json_t **value)
{
    json_error_t error;
    *value = json_loadb(members->text + members->at, members->size - members->at,
                        JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
    if (!*value && json_error_code(&error) == json_error_out_of_memory)
        return status_set(STATUS_MEMORY, "no memory to read %s", members->path);
    if (!*value)
        return member_error(members, members->at + (size_t)error.position, error.text);
    members->at += (size_t)error.position;
    return STATUS_OK;
}

enum status members_next(struct members *members, json_t **name, json_t **value)
{
    *name = NULL;
    *value = NULL;
    if (members->size == 0 || (members->at == 0 && members->text[members->at++] != '{'))
        return member_error(members, 0, "not the start of an object");
    char next = peek(members);
    if (next == '}') {
        members->at++;
        return STATUS_OK;
    }
    if (members->has_member) {
        if (next != ',')
            return member_error(members, members->at, "a comma or '}' is missing");
        members->at++;
        next = peek(members);
    }
    if (next != '"')
        return member_error(members, members->at, "a name is missing");
    members->has_member = true;
    enum status status = read_value(members, name);
    if (status == STATUS_OK && peek(members) != ':')
        status = member_error(members, members->at, "a colon is missing");
    if (status == STATUS_OK) {
        members->at++;
        peek(members);
        status = read_value(members, value);
    }
    if (status < 0) {
        json_decref(*name);
        *name = NULL;
    }
    return status;
}

enum status members_end(const struct members *members)
{
    for (size_t at = members->at; at < members->size; at++)
        if (members->text[at] != ' ')
            return member_error(members, at, "something stands behind the end");
    return STATUS_OK;
}
