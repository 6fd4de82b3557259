#include "tools/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 28, HELP_WIDTH = 80, LONGEST_NAME = 63, LONGEST_CHOICES = 255 };

/* The words that are left, and where their values go. */
struct parser {
    const struct options_command *command;
    int argc;
    char **argv;
    int next; /* index of the first word not read */
    char *values;
    struct option_list *arguments;
    bool wants_help;
};

static void *target(const struct parser *parser, const struct option *option)
{
    return parser->values + option->offset;
}

/* Cheap growth: lists hold a few words of one command line. */
static enum status list_append(struct option_list *list, const char *item)
{
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (items == NULL)
        return status_set(STATUS_MEMORY, "no memory for the command line");
    items[list->count++] = item;
    list->items = items;
    return STATUS_OK;
}

static void list_free(struct option_list *list)
{
    free(list->items);
    *list = (struct option_list){0};
}

static size_t smallest(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to insert, delete, replace or swap with a neighbour, to make one word of the other. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST_NAME + 1];
    const size_t n_a = strlen(a), n_b = strlen(b);
    if (n_a > LONGEST_NAME || n_b > LONGEST_NAME)
        return LONGEST_NAME;
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= n_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t *reused = before;
        before = above;
        above = row;
        row = reused;
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            row[j] = smallest(above[j], row[j - 1]) + 1;
            row[j] = smallest(row[j], above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smallest(row[j], before[j - 2] + 1);
        }
    }
    return row[n_b];
}

const char *options_nearest(const char *word, const char *const *names, size_t n_names)
{
    const size_t length = strlen(word);
    const char *nearest = NULL;
    size_t least = smallest(length / 3 + 1, 4);
    for (size_t i = 0; i < n_names; i++) {
        const bool is_beginning = length >= 3 && strncmp(word, names[i], length) == 0;
        const size_t distance = is_beginning ? 0 : edit_distance(word, names[i]);
        if (distance < least || (distance == least && nearest == NULL && length >= 3)) {
            nearest = names[i];
            least = distance;
        }
    }
    return nearest;
}

static char dash(char letter)
{
    return letter == '_' ? '-' : letter;
}

/* Whether word [length] is the name; '_' and '-' are the same. */
static bool is_same_name(const char *name, const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '\0' || dash(name[i]) != dash(word[i]))
            return false;
    }
    return name[length] == '\0';
}

static const struct option *find_name(const struct options_command *command, const char *name,
                                      size_t length)
{
    for (size_t i = 0; i < command->n_options; i++) {
        const struct option *option = &command->options[i];
        if (is_same_name(option->name, name, length))
            return option;
    }
    return NULL;
}

/* The first option whose name begins with word [length]; *other is the second, or NULL. */
static const struct option *find_beginning(const struct options_command *command, const char *word,
                                           size_t length, const struct option **other)
{
    const struct option *found = NULL;
    for (size_t i = 0; i < command->n_options && *other == NULL; i++) {
        const struct option *option = &command->options[i];
        if (length == 0 || strncmp(option->name, word, length) != 0)
            continue;
        *(found == NULL ? &found : other) = option;
    }
    return found;
}

static const struct option *find_alias(const struct options_command *command, const char *alias,
                                       size_t length)
{
    for (size_t i = 0; i < command->n_options; i++) {
        const struct option *option = &command->options[i];
        if (option->alias != NULL && strlen(option->alias) == length &&
            strncmp(option->alias, alias, length) == 0)
            return option;
    }
    return NULL;
}

static const struct option *find_letter(const struct options_command *command, char letter)
{
    for (size_t i = 0; i < command->n_options; i++) {
        if (command->options[i].letter == letter && letter != '\0')
            return &command->options[i];
    }
    return NULL;
}

/* Says so, with the name that was probably meant. */
static enum status unknown_option(const struct options_command *command, const char *word)
{
    const char *names[128];
    size_t n_names = 0;
    for (size_t i = 0; i < command->n_options && n_names < sizeof names / sizeof names[0]; i++) {
        if (command->options[i].kind != OPTION_REFUSED)
            names[n_names++] = command->options[i].name;
    }
    char name[LONGEST_NAME + 1] = "";
    const char *bare = word + strspn(word, "-");
    memcpy(name, bare, smallest(strcspn(bare, "="), LONGEST_NAME));
    for (char *letter = strchr(name, '_'); letter != NULL; letter = strchr(letter, '_'))
        *letter = '-';
    const char *nearest = options_nearest(name, names, n_names);
    const int shown = (int)strcspn(word, "=");
    enum status code = STATUS_USAGE;
    if (nearest != NULL)
        code =
            status_set(code, "unknown option '%.*s'; did you mean '--%s'?", shown, word, nearest);
    else
        code = status_set(code, "unknown option '%.*s'", shown, word);
    status_hint("'mixt %s --help' lists the options", command->verb);
    return code;
}

static bool is_any_number(const struct option *option)
{
    return !(option->minimum < 0) && !(option->minimum > 0) && !(option->maximum < 0) &&
           !(option->maximum > 0);
}

/* "option --beam wants a whole number from 1 to 64, not 'x'". */
static enum status bad_number(const struct option *option, const char *word)
{
    const char *what = option->kind == OPTION_INT ? "whole number" : "number";
    if (is_any_number(option))
        return status_set(STATUS_USAGE, "option --%s wants a %s, not '%s'", option->name, what,
                          word);
    if (isinf(option->maximum))
        return status_set(STATUS_USAGE, "option --%s wants a %s from %.15g up, not '%s'",
                          option->name, what, option->minimum, word);
    return status_set(STATUS_USAGE, "option --%s wants a %s from %.15g to %.15g, not '%s'",
                      option->name, what, option->minimum, option->maximum, word);
}

static bool is_in_range(const struct option *option, double number)
{
    return is_any_number(option) || (number >= option->minimum && number <= option->maximum);
}

static enum status store_int(const struct option *option, const char *word, int64_t *number)
{
    char *end = NULL;
    errno = 0;
    const long long parsed = strtoll(word, &end, 10);
    if (end == word || *end != '\0' || errno != 0 || !is_in_range(option, (double)parsed))
        return bad_number(option, word);
    *number = parsed;
    return STATUS_OK;
}

static enum status store_double(const struct option *option, const char *word, double *number)
{
    char *end = NULL;
    const double parsed = strtod(word, &end);
    if (end == word || *end != '\0' || !isfinite(parsed) || !is_in_range(option, parsed))
        return bad_number(option, word);
    *number = parsed;
    return STATUS_OK;
}

static bool is_choice(const char *choices, const char *word)
{
    const size_t length = strlen(word);
    for (const char *choice = choices; *choice != '\0';) {
        const size_t size = strcspn(choice, "|");
        if (size == length && strncmp(choice, word, length) == 0)
            return true;
        choice += size + (choice[size] == '|' ? 1 : 0);
    }
    return false;
}

/* "option --format wants json or text, not 'x'". */
static enum status bad_choice(const struct option *option, const char *word)
{
    char list[LONGEST_CHOICES + 1] = "";
    size_t used = 0;
    for (const char *choice = option->choices; *choice != '\0';) {
        const size_t size = strcspn(choice, "|");
        const char *rest = choice + size;
        const char *joint = used == 0 ? "" : strchr(rest, '|') == NULL ? " or " : ", ";
        const int n = snprintf(list + used, sizeof list - used, "%s%.*s", joint, (int)size, choice);
        used = smallest(used + (size_t)n, LONGEST_CHOICES);
        choice = rest + (*rest == '|' ? 1 : 0);
    }
    return status_set(STATUS_USAGE, "option --%s wants %s, not '%s'", option->name, list, word);
}

/* The words that mean yes and no behind a switch. */
static bool read_switch(const char *word, bool *is_on)
{
    *is_on = is_choice("true|1|yes|t|y", word);
    return *is_on || is_choice("false|0|no|f|n", word);
}

static enum status store(const struct parser *parser, const struct option *option, const char *word)
{
    switch (option->kind) {
    case OPTION_SWITCH:
        if (!read_switch(word, target(parser, option)))
            return status_set(STATUS_USAGE, "option --%s wants true or false, not '%s'",
                              option->name, word);
        return STATUS_OK;
    case OPTION_STRING:
        if (option->choices != NULL && !is_choice(option->choices, word))
            return bad_choice(option, word);
        *(const char **)target(parser, option) = word;
        return STATUS_OK;
    case OPTION_INT:
        return store_int(option, word, target(parser, option));
    case OPTION_DOUBLE:
        return store_double(option, word, target(parser, option));
    case OPTION_LIST:
    case OPTION_WORDS:
        return list_append(target(parser, option), word);
    case OPTION_FLAG:
    case OPTION_REFUSED:
        break;
    }
    CHECK(false, "option --%s takes no value", option->name);
    return STATUS_FAILED;
}

/* A word that starts another option, unlike "-" (a file) and "-1" (a number). */
static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && strchr("0123456789.", word[1]) == NULL;
}

static enum status refuse(const struct option *option)
{
    const enum status code =
        status_set(STATUS_USAGE, "option --%s is not supported yet", option->name);
    if (option->help != NULL)
        status_hint("%s", option->help);
    return code;
}

/* A switch may be followed by its value as a word of its own, if that is "true" or "false". */
static enum status take_switch(struct parser *parser, const struct option *option,
                               const char *attached)
{
    if (attached == NULL && parser->next < parser->argc &&
        is_choice("true|false", parser->argv[parser->next]))
        attached = parser->argv[parser->next++];
    return store(parser, option, attached != NULL ? attached : "true");
}

/* Takes the option's value from after "=" or behind the letter (attached, NULL where there is
 * none), or from the words that follow. */
static enum status take_option(struct parser *parser, const struct option *option,
                               const char *attached)
{
    if (option->kind == OPTION_REFUSED)
        return refuse(option);
    if (option->kind == OPTION_FLAG) {
        if (attached != NULL)
            return status_set(STATUS_USAGE, "option --%s takes no value, but '%s' was given",
                              option->name, attached);
        *(bool *)target(parser, option) = true;
        return STATUS_OK;
    }
    if (option->kind == OPTION_SWITCH)
        return take_switch(parser, option, attached);
    if (option->kind == OPTION_WORDS)
        list_free(target(parser, option));
    if (attached != NULL)
        return store(parser, option, attached);
    if (parser->next >= parser->argc)
        return status_set(STATUS_USAGE, "option --%s wants a value (%s)", option->name,
                          option->value);
    const char *word = parser->argv[parser->next];
    if (is_option(word)) {
        const enum status code =
            status_set(STATUS_USAGE, "option --%s wants a value (%s), but '%s' follows",
                       option->name, option->value, word);
        status_hint("write --%s=%s if that is the value", option->name, word);
        return code;
    }
    do {
        const enum status code = store(parser, option, parser->argv[parser->next++]);
        if (code < 0)
            return code;
    } while (option->kind == OPTION_WORDS && parser->next < parser->argc &&
             !is_option(parser->argv[parser->next]));
    return STATUS_OK;
}

static enum status take_long(struct parser *parser, const char *word)
{
    const char *name = word + 2;
    const size_t length = strcspn(name, "=");
    if (length == 4 && strncmp(name, "help", length) == 0) {
        parser->wants_help = true;
        return STATUS_OK;
    }
    const struct option *option = find_name(parser->command, name, length);
    if (option == NULL && parser->command->allows_beginnings) {
        const struct option *other = NULL;
        option = find_beginning(parser->command, name, length, &other);
        if (other != NULL)
            return status_set(STATUS_USAGE, "option '%.*s' can be --%s or --%s", (int)length + 2,
                              word, option->name, other->name);
    }
    if (option == NULL)
        return unknown_option(parser->command, word);
    return take_option(parser, option, name[length] == '=' ? name + length + 1 : NULL);
}

/* An alias as a whole, or letters: flags one after another, then perhaps one with a value. */
static enum status take_short(struct parser *parser, const char *word)
{
    const char *letter = word + 1;
    const size_t length = strcspn(letter, "=");
    const struct option *option = find_alias(parser->command, letter, length);
    if (option != NULL)
        return take_option(parser, option, letter[length] == '=' ? letter + length + 1 : NULL);
    for (; *letter != '\0'; letter++) {
        option = find_letter(parser->command, *letter);
        if (option == NULL && *letter == 'h') {
            parser->wants_help = true;
            return STATUS_OK;
        }
        if (option == NULL)
            return unknown_option(parser->command, word);
        if (option->kind != OPTION_FLAG && option->kind != OPTION_SWITCH &&
            option->kind != OPTION_REFUSED) {
            const char *rest = letter[1] == '=' ? letter + 2 : letter + 1;
            return take_option(parser, option, letter[1] == '\0' ? NULL : rest);
        }
        const enum status code = take_option(parser, option, NULL);
        if (code < 0)
            return code;
    }
    return STATUS_OK;
}

static enum status check_arguments(const struct options_command *command,
                                   const struct option_list *arguments)
{
    enum status code = STATUS_OK;
    if (arguments->count < command->min_arguments)
        code = status_set(STATUS_USAGE, "%s: too few arguments; wanted: %s", command->verb,
                          command->arguments);
    else if (arguments->count > command->max_arguments)
        code = status_set(STATUS_USAGE, "%s: unexpected argument '%s'", command->verb,
                          arguments->items[command->max_arguments]);
    if (code < 0)
        status_hint("'mixt %s --help' shows the usage", command->verb);
    return code;
}

enum status options_parse(const struct options_command *command, int argc, char **argv,
                          void *values, struct option_list *arguments, bool *wants_help)
{
    struct parser parser = {command, argc, argv, 1, values, arguments, false};
    bool is_ended = false;
    enum status code = STATUS_OK;
    while (code == STATUS_OK && parser.next < argc && !parser.wants_help) {
        const char *word = argv[parser.next++];
        if (is_ended || word[0] != '-' || word[1] == '\0')
            code = list_append(arguments, word);
        else if (strcmp(word, "--") == 0)
            is_ended = true;
        else if (word[1] == '-')
            code = take_long(&parser, word);
        else
            code = take_short(&parser, word);
    }
    *wants_help = parser.wants_help;
    if (code < 0 || parser.wants_help)
        return code;
    return check_arguments(command, arguments);
}

int options_start(const struct options_command *command, int argc, char **argv, void *values,
                  struct option_list *arguments)
{
    bool wants_help = false;
    const enum status code = options_parse(command, argc, argv, values, arguments, &wants_help);
    if (code < 0)
        status_print();
    else if (wants_help)
        options_print_help(command);
    else
        return -1;
    options_free(command, values, arguments);
    return code < 0 ? status_exit_code(code) : 0;
}

void options_free(const struct options_command *command, void *values,
                  struct option_list *arguments)
{
    for (size_t i = 0; i < command->n_options; i++) {
        const struct option *option = &command->options[i];
        if (option->kind == OPTION_LIST || option->kind == OPTION_WORDS)
            list_free((struct option_list *)((char *)values + option->offset));
    }
    list_free(arguments);
}

/* Prints text from column `column` on, wrapped at HELP_WIDTH; '\n' in it starts a new line. */
static void print_wrapped(const char *text, int column)
{
    int at = column;
    for (const char *word = text; *word != '\0';) {
        const int length = (int)strcspn(word, " \n");
        if (at > column && at + 1 + length > HELP_WIDTH) {
            printf("\n%*s", column, "");
            at = column;
        } else if (at > column) {
            putchar(' ');
            at++;
        }
        printf("%.*s", length, word);
        at += length;
        word += length;
        if (*word == '\n') {
            printf("\n%*s", word[1] == '\n' ? 0 : column, "");
            at = column;
        }
        if (*word != '\0')
            word++;
    }
    putchar('\n');
}

static void print_option(const struct option *option)
{
    char left[LONGEST_NAME + 1];
    int used = 0;
    const int room = (int)sizeof left;
    if (option->letter != '\0')
        used = snprintf(left, sizeof left, "  -%c, --%s", option->letter, option->name);
    else if (option->alias != NULL)
        used = snprintf(left, sizeof left, "  -%s, --%s", option->alias, option->name);
    else
        used = snprintf(left, sizeof left, "      --%s", option->name);
    if (option->value != NULL && used < room)
        snprintf(left + used, (size_t)(room - used), " %s%s", option->value,
                 option->kind == OPTION_WORDS ? "..." : "");
    printf("%-*s", HELP_COLUMN, left);
    if (strlen(left) + 2 > HELP_COLUMN)
        printf("\n%*s", HELP_COLUMN, "");
    print_wrapped(option->help, HELP_COLUMN);
}

void options_print_help(const struct options_command *command)
{
    printf("Usage: mixt %s%s%s [OPTION...]\n\n", command->verb,
           command->arguments[0] == '\0' ? "" : " ", command->arguments);
    print_wrapped(command->description, 0);
    printf("\nOptions:\n");
    for (size_t i = 0; i < command->n_options; i++) {
        const struct option *option = &command->options[i];
        if (option->kind != OPTION_REFUSED && option->help != NULL)
            print_option(option);
    }
    print_option(&(struct option){.name = "help", .letter = 'h', .help = "print this and stop"});
    printf("\nExit codes:\n  ");
    print_wrapped(command->exit_codes != NULL
                      ? command->exit_codes
                      : "0 done, 1 failed, 2 wrong usage or configuration, 3 wrong input data, "
                        "4 no memory, 5 training diverged",
                  2);
}
