/* Heat maps, drawn by cairo. */
#include "tools/routing/heat_map.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cairo-svg.h>

#include "base/file.h"

/* Lengths in points, which are pixels of a PNG. */
enum {
    MARGIN = 16,
    PANEL_WIDTH = 512,
    LONGEST_CELL = 24,
    TITLE_HEIGHT = 18,
    SCALE_HEIGHT = 44,
    SCALE_WIDTH = 256
};

static bool ends_with(const char *path, const char *end)
{
    const size_t length = strlen(path), end_length = strlen(end);
    return length > end_length && strcmp(path + length - end_length, end) == 0;
}

enum status heat_map_check(const char *path)
{
    if (ends_with(path, ".svg") || ends_with(path, ".png"))
        return STATUS_OK;
    return status_set(STATUS_USAGE,
                      "option --plot wants a name that ends in .svg or .png, not '%s'", path);
}

/* Blue below an even share, white at it, red above, by powers of two up to four; black for none. */
static void set_colour(cairo_t *cairo, double value)
{
    static const double ends[2][3] = {{0.13, 0.35, 0.66}, {0.75, 0.12, 0.15}};
    if (!(value > 0)) {
        cairo_set_source_rgb(cairo, 0, 0, 0);
        return;
    }
    const double power = fmax(-1, fmin(1, log2(value) / 2)), part = fabs(power);
    const double *end = ends[power > 0];
    cairo_set_source_rgb(cairo, 1 + part * (end[0] - 1), 1 + part * (end[1] - 1),
                         1 + part * (end[2] - 1));
}

static void write_text(cairo_t *cairo, double x, double y, const char *text)
{
    cairo_set_source_rgb(cairo, 0, 0, 0);
    cairo_move_to(cairo, x, y);
    cairo_show_text(cairo, text);
}

static double cell_length(const struct heat_map_panel *panel)
{
    const double length = PANEL_WIDTH / (double)panel->columns;
    return length < LONGEST_CELL ? length : LONGEST_CELL;
}

static double panel_height(const struct heat_map_panel *panel)
{
    const int64_t lines = (panel->count + panel->columns - 1) / panel->columns;
    return TITLE_HEIGHT + cell_length(panel) * (double)lines + MARGIN;
}

static void draw_panel(cairo_t *cairo, const struct heat_map_panel *panel, double x, double y)
{
    const double length = cell_length(panel);
    write_text(cairo, x, y + TITLE_HEIGHT - 6, panel->title);
    for (int64_t i = 0; i < panel->count; i++) {
        const double column = (double)(i % panel->columns), line = (double)(i / panel->columns);
        cairo_rectangle(cairo, x + column * length, y + TITLE_HEIGHT + line * length, length,
                        length);
        set_colour(cairo, panel->values[i]);
        cairo_fill(cairo);
    }
    const double lines = ceil((double)panel->count / (double)panel->columns);
    cairo_rectangle(cairo, x, y + TITLE_HEIGHT, (double)panel->columns * length, lines * length);
    cairo_set_source_rgb(cairo, 0.6, 0.6, 0.6);
    cairo_stroke(cairo);
}

static void draw_scale(cairo_t *cairo, double x, double y)
{
    static const char *const labels[] = {"1/4", "1/2", "1", "2", "4"};
    for (int i = 0; i < SCALE_WIDTH; i++) {
        cairo_rectangle(cairo, x + i, y, 1, 10);
        set_colour(cairo, exp2(4.0 * i / (SCALE_WIDTH - 1) - 2));
        cairo_fill(cairo);
    }
    for (int i = 0; i < 5; i++)
        write_text(cairo, x + i * (SCALE_WIDTH - 1) / 4.0 - (i == 2 ? 3 : 6), y + 24, labels[i]);
    write_text(cairo, x + SCALE_WIDTH + MARGIN, y + 10, "x an even share; black: none");
}

/* The height of a row of two panels. */
static double row_height(const struct heat_map_panel *panels, int64_t n_panels, int64_t first)
{
    const double left = panel_height(&panels[first]);
    return first + 1 < n_panels ? fmax(left, panel_height(&panels[first + 1])) : left;
}

static void draw(cairo_t *cairo, const struct heat_map_panel *panels, int64_t n_panels)
{
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo, 11);
    cairo_set_line_width(cairo, 0.5);
    double y = MARGIN;
    for (int64_t i = 0; i < n_panels; i += 2) {
        draw_panel(cairo, &panels[i], MARGIN, y);
        if (i + 1 < n_panels)
            draw_panel(cairo, &panels[i + 1], 2 * MARGIN + PANEL_WIDTH, y);
        y += row_height(panels, n_panels, i);
    }
    draw_scale(cairo, MARGIN, y);
}

static cairo_status_t write_bytes(void *stream, const unsigned char *bytes, unsigned int size)
{
    return fwrite(bytes, 1, size, stream) == size ? CAIRO_STATUS_SUCCESS : CAIRO_STATUS_WRITE_ERROR;
}

/* Draws into the stream; cairo's errors stick to their objects, so the last ones tell. */
static cairo_status_t draw_to(FILE *stream, bool is_svg, const struct heat_map_panel *panels,
                              int64_t n_panels)
{
    const double width = 3 * MARGIN + 2 * PANEL_WIDTH;
    double height = MARGIN + SCALE_HEIGHT;
    for (int64_t i = 0; i < n_panels; i += 2)
        height += row_height(panels, n_panels, i);
    cairo_surface_t *surface =
        is_svg ? cairo_svg_surface_create_for_stream(write_bytes, stream, width, height)
               : cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)ceil(height));
    cairo_t *cairo = cairo_create(surface);
    draw(cairo, panels, n_panels);
    cairo_status_t status = cairo_status(cairo);
    cairo_destroy(cairo);
    if (status == CAIRO_STATUS_SUCCESS && !is_svg)
        status = cairo_surface_write_to_png_stream(surface, write_bytes, stream);
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    return status;
}

enum status heat_map_write(const char *path, const struct heat_map_panel *panels, int64_t n_panels)
{
    struct file_writer writer;
    enum status status = heat_map_check(path);
    if (status >= 0)
        status = file_create(&writer, path);
    if (status < 0)
        return status;
    const cairo_status_t drawn = draw_to(writer.stream, ends_with(path, ".svg"), panels, n_panels);
    if (drawn == CAIRO_STATUS_SUCCESS)
        return file_commit(&writer);
    file_discard(&writer);
    return status_set(drawn == CAIRO_STATUS_NO_MEMORY ? STATUS_MEMORY : STATUS_IO,
                      "cannot draw %s: %s", path, cairo_status_to_string(drawn));
}
