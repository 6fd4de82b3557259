#include "tools/bleu/seed.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Appends the digits of a number as Python's int() reads it: white space around it, a plus sign,
 * and single underscores between digits do not matter. False for anything else. */
static bool read_digits(const char *text, char *digits)
{
    static const char spaces[] = " \t\n\r\f\v";
    size_t size = 0;
    text += strspn(text, spaces);
    text += *text == '+' ? 1 : 0;
    const char *start = text;
    for (; *text != '\0' && strchr(spaces, *text) == NULL; text++) {
        if (*text == '_' && text > start && text[-1] != '_' && isdigit((unsigned char)text[1]))
            continue;
        if (!isdigit((unsigned char)*text))
            return false;
        if (size > 0 || *text != '0')
            digits[size++] = *text;
    }
    const bool is_number = text > start && text[strspn(text, spaces)] == '\0';
    if (size == 0)
        digits[size++] = '0';
    digits[size] = '\0';
    return is_number;
}

enum status bleu_seed_read(struct bleu_seed *seed)
{
    const char *text = getenv("SACREBLEU_SEED");
    if (text == NULL)
        text = "12345";
    *seed = (struct bleu_seed){.is_given = strcasecmp(text, "none") != 0};
    enum status code = buffer_append_string(&seed->name, text);
    if (code == STATUS_OK)
        code = buffer_reserve(&seed->digits, strlen(text) + 1);
    if (code < 0)
        return code;
    for (size_t i = 0; i < seed->name.size; i++)
        seed->name.data[i] = (char)tolower((unsigned char)seed->name.data[i]);
    if (seed->is_given && !read_digits(text, seed->digits.data))
        return status_set(STATUS_FAILED,
                          "SACREBLEU_SEED wants a whole number from 0 up, or none, not '%s'", text);
    seed->digits.size = seed->is_given ? strlen(seed->digits.data) : 0;
    return STATUS_OK;
}

void bleu_seed_free(struct bleu_seed *seed)
{
    buffer_free(&seed->digits);
    buffer_free(&seed->name);
}
