#include "tools/bleu/table.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text/metric/tokenizer.h"
#include "text/utf8.h"

enum { HEAD_PADDING = 2, LONGEST_NUMBER = 400 };

struct text {
    const char *bytes;
    size_t size;
};

/* The lines of a row's cells, and the width of each column. */
struct layout {
    const struct table *table;
    struct buffer *out;
    char **names;   /* [n_rows] first column as printed; owned */
    size_t *widths; /* [n_columns] characters */
};

static struct text strip(const char *cell)
{
    size_t size = tokenizer_strip_end(cell, strlen(cell));
    for (size_t space = 0; (space = tokenizer_space_length(cell, size)) > 0;) {
        cell += space;
        size -= space;
    }
    return (struct text){cell, size};
}

/* Characters on the screen: colours, as "ESC [ 33 m", have none. */
static size_t visible_width(struct text text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.size;) {
        if (text.bytes[i] == '\033' && i + 1 < text.size && text.bytes[i + 1] == '[') {
            for (i += 2; i < text.size && (text.bytes[i] < '@' || text.bytes[i] > '~');)
                i++;
            i++;
            continue;
        }
        (void)utf8_next(text.bytes, text.size, &i);
        width++;
    }
    return width;
}

static size_t count_lines(const struct table *table, struct text text)
{
    size_t n = 1;
    for (size_t i = 0; table->style == TABLE_GRID && i < text.size; i++)
        n += text.bytes[i] == '\n' ? 1 : 0;
    return n;
}

/* Line number `line` of a cell; empty behind its last. */
static struct text cell_line(const struct table *table, struct text text, size_t line)
{
    for (size_t i = 0; table->style == TABLE_GRID; i++) {
        const char *end = text.size == 0 ? NULL : memchr(text.bytes, '\n', text.size);
        const size_t size = end == NULL ? text.size : (size_t)(end - text.bytes);
        if (i == line)
            return (struct text){text.bytes, size};
        if (end == NULL)
            return (struct text){"", 0};
        text = (struct text){end + 1, text.size - size - 1};
    }
    return text;
}

static struct text cell_text(const struct layout *layout, size_t row, size_t column)
{
    const struct table *table = layout->table;
    return strip(column == 0 ? layout->names[row] : table->cells[row * table->n_columns + column]);
}

/* "1_000" counts as 1000 for Python; at most LONGEST_NUMBER bytes. */
static bool drop_underscores(struct text text, char number[LONGEST_NUMBER + 1])
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        const char c = text.bytes[i];
        const bool is_inside = i > 0 && i + 1 < text.size && c == '_' &&
                               strchr("0123456789", text.bytes[i - 1]) != NULL &&
                               strchr("0123456789", text.bytes[i + 1]) != NULL;
        if (is_inside)
            continue;
        if (size == LONGEST_NUMBER || c == '\0')
            return false;
        number[size++] = c;
    }
    number[size] = '\0';
    return size > 0;
}

/* "1,000" and "1,234,567.5". */
static bool drop_commas(char *number)
{
    char *start = number + (strchr("+-", number[0]) != NULL ? 1 : 0);
    const size_t whole = strcspn(start, ".");
    const size_t head = strspn(start, "0123456789");
    if (head < 1 || head > 3 || start[head] != ',')
        return false;
    for (size_t i = head; i < whole; i += 4) {
        if (start[i] != ',' || strspn(start + i + 1, "0123456789") < 3)
            return false;
    }
    size_t size = 0;
    for (size_t i = 0; start[i] != '\0'; i++) {
        if (start[i] != ',')
            start[size++] = start[i];
    }
    start[size] = '\0';
    return true;
}

/* NUMBER_ANY: a name that says nothing about the others. */
enum number_kind { NUMBER_NONE, NUMBER_ANY, NUMBER_INT, NUMBER_FLOAT };

/* What Python's int() and float() make of a name. */
static enum number_kind read_number(const char *name, double *value)
{
    char number[LONGEST_NUMBER + 1];
    if (name[0] == '\0' || strcmp(name, "True") == 0 || strcmp(name, "False") == 0)
        return NUMBER_ANY;
    if (!drop_underscores(strip(name), number))
        return NUMBER_NONE;
    const bool has_commas = drop_commas(number);
    const char *digits = number + (strchr("+-", number[0]) != NULL ? 1 : 0);
    const size_t n_digits = strspn(digits, "0123456789");
    char *end = NULL;
    *value = strtod(number, &end);
    if (n_digits > 0 && digits[n_digits] == '\0')
        return NUMBER_INT;
    const bool is_word = strcmp(name, number) == 0 &&
                         (strcasecmp(number, "inf") == 0 || strcasecmp(number, "-inf") == 0 ||
                          strcasecmp(number, "nan") == 0);
    const bool is_plain = *end == '\0' && end != number && isfinite(*value) &&
                          strspn(number, "+-0123456789.eE") == strlen(number);
    return is_word || (is_plain && (!has_commas || strpbrk(number, "eE") == NULL)) ? NUMBER_FLOAT
                                                                                   : NUMBER_NONE;
}

static bool has_colors(const struct table *table)
{
    bool is_found = false;
    for (size_t i = 0; i < table->n_rows * table->n_columns; i++)
        is_found = is_found || strstr(table->cells[i], "\033[") != NULL;
    return is_found;
}

/* Fills names: as given, or as numbers with a fixed number of decimals. In a table with colours,
 * tabulate leaves numbers with commas alone. */
static enum status format_names(struct layout *layout)
{
    const struct table *table = layout->table;
    bool are_numbers = true, is_fraction = false;
    double value = 0;
    for (size_t row = 1; row < table->n_rows; row++) {
        const enum number_kind kind = read_number(table->cells[row * table->n_columns], &value);
        are_numbers = are_numbers && kind != NUMBER_NONE;
        is_fraction = is_fraction || kind == NUMBER_FLOAT;
    }
    for (size_t row = 0; row < table->n_rows; row++) {
        const char *name = table->cells[row * table->n_columns];
        struct buffer text = {0};
        enum status code = STATUS_OK;
        const bool is_kept = row == 0 || !are_numbers || !is_fraction ||
                             (strchr(name, ',') != NULL && has_colors(table));
        if (!is_kept && read_number(name, &value) != NUMBER_ANY)
            code = buffer_printf(&text, "%.*f", table->decimals, value);
        else
            code = buffer_append_string(&text, name);
        layout->names[row] = text.data;
        if (code < 0)
            return code;
    }
    return STATUS_OK;
}

static void measure(struct layout *layout)
{
    const struct table *table = layout->table;
    for (size_t row = 0; row < table->n_rows; row++) {
        for (size_t column = 0; column < table->n_columns; column++) {
            const struct text text = cell_text(layout, row, column);
            for (size_t line = 0; line < count_lines(table, text); line++) {
                const size_t width =
                    visible_width(cell_line(table, text, line)) + (row == 0 ? HEAD_PADDING : 0);
                if (width > layout->widths[column])
                    layout->widths[column] = width;
            }
        }
    }
}

static enum status append_times(struct buffer *out, const char *string, size_t n)
{
    enum status code = STATUS_OK;
    for (size_t i = 0; code == STATUS_OK && i < n; i++)
        code = buffer_append_string(out, string);
    return code;
}

/* LaTeX's special characters written so that they stand for themselves. */
static enum status append_escaped(struct buffer *out, struct text text)
{
    static const struct {
        char plain;
        const char *escaped;
    } special[] = {{'&', "\\&"},
                   {'%', "\\%"},
                   {'$', "\\$"},
                   {'#', "\\#"},
                   {'_', "\\_"},
                   {'^', "\\^{}"},
                   {'{', "\\{"},
                   {'}', "\\}"},
                   {'~', "\\textasciitilde{}"},
                   {'<', "\\ensuremath{<}"},
                   {'>', "\\ensuremath{>}"},
                   {'\\', "\\textbackslash{}"}};
    enum status code = STATUS_OK;
    for (size_t i = 0; code == STATUS_OK && i < text.size; i++) {
        const char *escaped = NULL;
        for (size_t s = 0; s < sizeof special / sizeof special[0]; s++)
            escaped = text.bytes[i] == special[s].plain ? special[s].escaped : escaped;
        code = escaped == NULL ? buffer_append(out, text.bytes + i, 1)
                               : buffer_append_string(out, escaped);
    }
    return code;
}

/* One line of a cell, padded to the column's width and by one space on both sides. */
static enum status append_padded(struct layout *layout, struct text text, size_t column)
{
    const size_t room = layout->widths[column] - visible_width(text);
    const size_t left = column == 0 ? room : room / 2;
    enum status code = append_times(layout->out, " ", left + 1);
    if (code == STATUS_OK && layout->table->style == TABLE_LATEX)
        code = append_escaped(layout->out, text);
    else if (code == STATUS_OK)
        code = buffer_append(layout->out, text.bytes, text.size);
    return code < 0 ? code : append_times(layout->out, " ", room - left + 1);
}

static enum status append_row(struct layout *layout, size_t row)
{
    const struct table *table = layout->table;
    const bool is_grid = table->style == TABLE_GRID;
    size_t height = 1;
    for (size_t column = 0; column < table->n_columns; column++) {
        const size_t n = count_lines(table, cell_text(layout, row, column));
        height = n > height ? n : height;
    }
    for (size_t line = 0; line < height; line++) {
        enum status code = buffer_append_string(layout->out, is_grid ? "│" : "");
        for (size_t column = 0; code == STATUS_OK && column < table->n_columns; column++) {
            if (column > 0)
                code = buffer_append_string(layout->out, is_grid ? "│" : "&");
            if (code == STATUS_OK)
                code = append_padded(layout, cell_line(table, cell_text(layout, row, column), line),
                                     column);
        }
        if (code == STATUS_OK)
            code = buffer_append_string(layout->out, is_grid ? "│\n" : "\\\\\n");
        if (code < 0)
            return code;
    }
    return STATUS_OK;
}

/* A line between rows: its left end, its substance, its crossings, its right end. */
static enum status append_rule(struct layout *layout, const char *const parts[4])
{
    enum status code = buffer_append_string(layout->out, parts[0]);
    for (size_t column = 0; code == STATUS_OK && column < layout->table->n_columns; column++) {
        if (column > 0)
            code = buffer_append_string(layout->out, parts[2]);
        if (code == STATUS_OK)
            code = append_times(layout->out, parts[1], layout->widths[column] + 2);
    }
    return code < 0 ? code : buffer_printf(layout->out, "%s\n", parts[3]);
}

static enum status append_grid(struct layout *layout)
{
    static const char *const above[] = {"╒", "═", "╤", "╕"}, *const head[] = {"╞", "═", "╪", "╡"},
                             *const between[] = {"├", "─", "┼", "┤"},
                             *const below[] = {"╘", "═", "╧", "╛"};
    enum status code = append_rule(layout, above);
    for (size_t row = 0; code == STATUS_OK && row < layout->table->n_rows; row++) {
        if (row > 0)
            code = append_rule(layout, row == 1 ? head : between);
        if (code == STATUS_OK)
            code = append_row(layout, row);
    }
    return code < 0 ? code : append_rule(layout, below);
}

static enum status append_latex(struct layout *layout)
{
    const struct table *table = layout->table;
    enum status code = buffer_append_string(layout->out, "\\begin{tabular}{r");
    if (code == STATUS_OK)
        code = append_times(layout->out, "c", table->n_columns - 1);
    if (code == STATUS_OK)
        code = buffer_append_string(layout->out, "}\n\\toprule\n");
    for (size_t row = 0; code == STATUS_OK && row < table->n_rows; row++) {
        code = append_row(layout, row);
        if (code == STATUS_OK && row == 0)
            code = buffer_append_string(layout->out, "\\midrule\n");
    }
    return code < 0 ? code : buffer_append_string(layout->out, "\\bottomrule\n\\end{tabular}\n");
}

enum status table_append(struct buffer *buffer, const struct table *table)
{
    struct layout layout = {.table = table, .out = buffer};
    layout.names = calloc(table->n_rows, sizeof *layout.names);
    layout.widths = calloc(table->n_columns, sizeof *layout.widths);
    enum status code = STATUS_OK;
    if (layout.names == NULL || layout.widths == NULL)
        code = status_set(STATUS_MEMORY, "no memory for a table of %zu rows", table->n_rows);
    if (code == STATUS_OK)
        code = format_names(&layout);
    if (code == STATUS_OK) {
        measure(&layout);
        code = table->style == TABLE_GRID ? append_grid(&layout) : append_latex(&layout);
    }
    for (size_t row = 0; layout.names != NULL && row < table->n_rows; row++)
        free(layout.names[row]);
    free(layout.names);
    free(layout.widths);
    return code;
}
