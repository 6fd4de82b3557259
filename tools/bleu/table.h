/* Tables as the tabulate package prints them for sacreBLEU: a grid of lines, or LaTeX with
 * booktabs. The first column is flush right, the others are centred. */
#ifndef MIXT_TOOLS_BLEU_TABLE_H
#define MIXT_TOOLS_BLEU_TABLE_H

#include "base/buffer.h"

enum table_style { TABLE_GRID, TABLE_LATEX };

struct table {
    enum table_style style;
    const char *const *cells; /* [n_rows, n_columns] the first row is the head; '\n' starts a new
                               * line within a grid's cell; colours take no room */
    size_t n_rows;
    size_t n_columns;
    int decimals; /* of numbers in the first column */
};

/* Appends the table with a line end. Where all names in the first column are numbers and one has a
 * fraction, they are printed anew with the decimals. STATUS_MEMORY. */
enum status table_append(struct buffer *buffer, const struct table *table) STATUS_CHECKED;

#endif
