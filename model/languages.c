/* Languages and their pieces. */
#include "model/languages.h"

#include <stdio.h>
#include <string.h>

#include "model/quote.h"

/* Index of a language's first mention, n where there is none. */
static int64_t find(const struct config_languages *languages, const char *name)
{
    int64_t i = 0;
    while (i < languages->n && strcmp(languages->name[i], name) != 0)
        i++;
    return i;
}

/* Appends prefix, name and suffix of each language once, with the separator between. */
static enum status list(const struct config_languages *languages, const char *prefix,
                        const char *suffix, const char *separator, struct buffer *text)
{
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < languages->n && status == STATUS_OK; i++)
        if (find(languages, languages->name[i]) == i)
            status = buffer_printf(text, "%s%s%s%s", i ? separator : "", prefix, languages->name[i],
                                   suffix);
    return status;
}

enum status languages_symbols(const struct config_languages *languages, struct buffer *text)
{
    return list(languages, "<2", ">", ",", text);
}

/* Says what is wrong with the name, and what may stand there. */
static enum status refuse(const struct config_languages *languages, const char *name)
{
    char quoted[QUOTE_BYTES];
    struct buffer names = {0};
    enum status status = list(languages, "", "", ", ", &names);
    if (status == STATUS_OK && name)
        status = status_set(STATUS_CONFIG, "the model does not translate to '%s', but to: %s",
                            quote(name, quoted), names.data);
    else if (status == STATUS_OK)
        status = status_set(STATUS_CONFIG,
                            "the model translates to several languages, so one must be chosen "
                            "(--to): %s",
                            names.data);
    buffer_free(&names);
    return status;
}

static bool has_several(const struct config_languages *languages)
{
    for (int64_t i = 1; i < languages->n; i++)
        if (strcmp(languages->name[i], languages->name[0]) != 0)
            return true;
    return false;
}

enum status languages_piece(const struct config_languages *languages, const struct subword *subword,
                            const char *name, int32_t *piece)
{
    char quoted[QUOTE_BYTES], text[CONFIG_LANGUAGE_BYTES + 3];
    *piece = -1;
    if (languages->n == 0 && name)
        return status_set(STATUS_CONFIG,
                          "the model knows one language only and cannot be asked for '%s'",
                          quote(name, quoted));
    if (languages->n == 0)
        return STATUS_OK;
    if (name ? find(languages, name) == languages->n : has_several(languages))
        return refuse(languages, name);
    snprintf(text, sizeof text, "<2%s>", name ? name : languages->name[0]);
    *piece = subword_id(subword, text);
    if (*piece >= 0)
        return STATUS_OK;
    (void)status_set(STATUS_CONFIG, "the subword model has no piece %s, which data.languages needs",
                     text);
    status_hint("leave data.subword.model empty, or make that model with --control-symbols");
    return STATUS_CONFIG;
}
