/* Whole runs of mixt prep's library, and duplicates against brute force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "base/random.h"
#include "tests/folder.h"
#include "text/prep/duplicates.h"
#include "text/prep/prep.h"

static struct folder folder;
static char source_path[FOLDER_PATH_BYTES];
static char target_path[FOLDER_PATH_BYTES];
static char directory[FOLDER_PATH_BYTES];

/* Many keys of few texts, against a table of what was there. */
static void finds_duplicates(void **state)
{
    (void)state;
    enum { N_KEYS = 700000 };
    static const uint32_t n_texts[] = {1, 3, 250000, 100000000};
    for (size_t round = 0; round < 4; round++) {
        bool *seen = calloc(n_texts[round], 1), *wanted = calloc(N_KEYS, 1);
        for (int threads = 1; threads <= 4; threads += 3) {
            memset(seen, 0, n_texts[round]);
            FILE *file = tmpfile();
            struct duplicates *duplicates = NULL;
            assert_int_equal(duplicates_open(&duplicates, file), STATUS_OK);
            for (uint32_t i = 0; i < N_KEYS; i++) {
                const struct random_key key = {3, 0, (uint32_t)round};
                const uint32_t text = random_philox(key, i, 0).word[0] % n_texts[round];
                const XXH128_hash_t hash = XXH3_128bits(&text, sizeof text);
                wanted[i] = seen[text];
                seen[text] = true;
                const struct duplicates_key entry = {hash.low64, hash.high64};
                assert_int_equal(duplicates_add(duplicates, &entry), STATUS_OK);
            }
            assert_int_equal(duplicates_find(duplicates, threads), STATUS_OK);
            for (uint32_t i = 0; i < N_KEYS; i++) {
                if (duplicates_has(duplicates, i) != wanted[i])
                    fail_msg("%u texts, key %u", n_texts[round], i);
            }
            duplicates_close(duplicates);
            fclose(file);
        }
        free(seen);
        free(wanted);
    }
}

static struct prep_input files;

static struct prep_options usual_options(void)
{
    files = (struct prep_input){source_path, target_path};
    return (struct prep_options){.inputs = &files,
                                 .n_inputs = 1,
                                 .output = directory,
                                 .overwrite = true,
                                 .rules = prep_rules_default(),
                                 .threads = 2};
}

static void write_files(const char *source, const char *target)
{
    folder_write(source_path, source, strlen(source));
    folder_write(target_path, target, strlen(target));
}

/* The pairs of the corpus as "source|target\n". */
static struct buffer read_corpus(void)
{
    struct pairs *pairs = NULL;
    struct buffer text = {0};
    assert_int_equal(pairs_open(&pairs, directory), STATUS_OK);
    assert_int_equal(pairs_verify(pairs), STATUS_OK);
    for (int64_t i = 0; i < pairs_count(pairs); i++) {
        struct pair pair;
        assert_int_equal(pairs_get(pairs, i, &pair), STATUS_OK);
        assert_int_equal(buffer_printf(&text, "%s|%s\n", pair.source.bytes, pair.target.bytes),
                         STATUS_OK);
    }
    pairs_close(pairs);
    return text;
}

static void runs_to(const struct prep_options *options, struct prep_report *report,
                    const char *wanted)
{
    assert_int_equal(prep_run(options, report), STATUS_OK);
    struct buffer found = read_corpus();
    assert_string_equal(found.data, wanted);
    buffer_free(&found);
    int64_t sum = report->kept;
    for (int rule = 0; rule < PREP_N_RULES; rule++)
        sum += report->dropped[rule].count;
    assert_int_equal(sum, report->lines);
}

static void a_run_by_hand(void **state)
{
    (void)state;
    write_files("one\n\n  two  \none\nthree\nsame\none\nt\xC3\n",
                "eins\nx\nzwei\neins\n\nsame\nein\nu\n");
    struct prep_options options = usual_options();
    struct prep_report report;
    char dropped[FOLDER_PATH_BYTES], wanted[4096];
    folder_join(&folder, "dropped", dropped);
    options.dropped = dropped;
    runs_to(&options, &report, "one|eins\ntwo|zwei\none|ein\nt\xEF\xBF\xBD|u\n");
    assert_int_equal(report.lines, 8);
    assert_int_equal(report.kept, 4);
    assert_int_equal(report.changed, 1);
    assert_int_equal(report.input_lines[0], 8);
    assert_true(report.is_complete);
    assert_int_equal(report.dropped[PREP_EMPTY].count, 2);
    assert_int_equal(report.dropped[PREP_EMPTY].examples[0].line, 2);
    assert_int_equal(report.dropped[PREP_EMPTY].examples[1].line, 5);
    assert_string_equal(report.dropped[PREP_EMPTY].examples[1].source, "three");
    assert_int_equal(report.dropped[PREP_COPY].count, 1);
    assert_int_equal(report.dropped[PREP_COPY].examples[0].line, 6);
    assert_int_equal(report.dropped[PREP_DUPLICATE].count, 1);
    assert_int_equal(report.dropped[PREP_DUPLICATE].examples[0].line, 4);
    assert_non_null(strstr(report.repairs.data, "invalid UTF-8 in 1 line (first: 8)"));
    struct buffer text = folder_read(dropped);
    snprintf(wanted, sizeof wanted,
             "empty\t%s\t2\t\tx\nempty\t%s\t5\tthree\t\ncopy\t%s\t6\tsame\tsame\n"
             "duplicate\t%s\t4\tone\teins\n",
             source_path, source_path, source_path, source_path);
    assert_string_equal(text.data, wanted);
    buffer_clear(&text);
    assert_int_equal(prep_report_append_text(&report, &options, &text), STATUS_OK);
    assert_non_null(strstr(text.data, "8 pairs of lines, 4 kept (50.00 %)"));
    buffer_free(&text);
    prep_report_free(&report);
}

/* Line numbers are of the file, and duplicates of all files together. */
static void several_inputs(void **state)
{
    (void)state;
    write_files("one\ntwo\n", "eins\nzwei\n");
    const struct prep_input twice[] = {
        {source_path, target_path}, {target_path, source_path}, {source_path, target_path}};
    struct prep_options options = usual_options();
    struct prep_report report;
    options.inputs = twice;
    options.n_inputs = 3;
    runs_to(&options, &report, "one|eins\ntwo|zwei\neins|one\nzwei|two\n");
    assert_int_equal(report.dropped[PREP_DUPLICATE].count, 2);
    assert_int_equal(report.dropped[PREP_DUPLICATE].examples[1].input, 2);
    assert_int_equal(report.dropped[PREP_DUPLICATE].examples[1].line, 2);
    prep_report_free(&report);
}

/* Random pairs of few texts; the first occurrences, by looking at all pairs before. */
static void duplicates_by_brute_force(void **state)
{
    (void)state;
    enum { N_LINES = 3000 };
    static int sources[N_LINES], targets[N_LINES];
    struct buffer source = {0}, target = {0};
    for (int i = 0; i < N_LINES; i++) {
        const struct random_words words =
            random_philox((struct random_key){11, 0, 0}, (uint32_t)i, 0);
        sources[i] = (int)(words.word[0] % 40);
        targets[i] = (int)(words.word[1] % 40);
        assert_int_equal(buffer_printf(&source, "s%c%d\n", 'a' + sources[i] % 26, sources[i]), 0);
        assert_int_equal(buffer_printf(&target, "t%c%d\n", 'a' + targets[i] % 26, targets[i]), 0);
    }
    write_files(source.data, target.data);
    for (int kind = PREP_DUPLICATES_KEEP; kind <= PREP_DUPLICATES_TARGET; kind++) {
        struct buffer wanted = {0};
        for (int i = 0; i < N_LINES; i++) {
            bool is_new = true;
            for (int k = 0; k < i && kind != PREP_DUPLICATES_KEEP; k++) {
                const bool same_source = sources[k] == sources[i];
                const bool same_target = targets[k] == targets[i];
                if ((kind == PREP_DUPLICATES_PAIR && same_source && same_target) ||
                    (kind == PREP_DUPLICATES_SOURCE && same_source) ||
                    (kind == PREP_DUPLICATES_TARGET && same_target))
                    is_new = false;
            }
            if (is_new)
                assert_int_equal(buffer_printf(&wanted, "s%c%d|t%c%d\n", 'a' + sources[i] % 26,
                                               sources[i], 'a' + targets[i] % 26, targets[i]),
                                 0);
        }
        struct prep_options options = usual_options();
        struct prep_report report;
        options.rules.duplicates = (enum prep_duplicates)kind;
        options.rules.max_non_letters = 1;
        runs_to(&options, &report, wanted.data);
        prep_report_free(&report);
        buffer_free(&wanted);
    }
    buffer_free(&source);
    buffer_free(&target);
}

/* Every file of the corpus and the file of dropped pairs, one after another. */
static struct buffer read_output(const struct prep_options *options)
{
    static const char *const names[] = {"manifest.json", "pairs-00000.bin", "pairs-00001.bin",
                                        "pairs-00002.bin"};
    struct buffer all = {0};
    for (size_t i = 0; i < 5; i++) {
        char path[2 * FOLDER_PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", directory, i < 4 ? names[i] : "");
        struct buffer bytes = folder_read(i < 4 ? path : options->dropped);
        assert_int_equal(buffer_append(&all, bytes.data, bytes.size), STATUS_OK);
        buffer_free(&bytes);
    }
    return all;
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    struct buffer source = {0}, target = {0}, first = {0};
    for (uint32_t i = 0; i < 30000; i++) {
        const struct random_words words = random_philox((struct random_key){12, 0, 0}, i, 0);
        const char letter = (char)('a' + words.word[0] % 26);
        assert_int_equal(buffer_printf(&source, "%c %u %cx\n", letter, words.word[1] % 900, letter),
                         0);
        assert_int_equal(buffer_printf(&target, "%.*s\n", (int)(words.word[2] % 8), "y z  abcdef"),
                         0);
    }
    write_files(source.data, target.data);
    char dropped[FOLDER_PATH_BYTES];
    folder_join(&folder, "dropped", dropped);
    for (int threads = 1; threads <= 5; threads += 2) {
        struct prep_options options = usual_options();
        struct prep_report report;
        options.threads = threads;
        options.shard_bytes = 140000;
        options.dropped = dropped;
        assert_int_equal(prep_run(&options, &report), STATUS_OK);
        prep_report_free(&report);
        struct buffer found = read_output(&options);
        if (threads == 1) {
            first = found;
        } else {
            assert_int_equal(found.size, first.size);
            assert_memory_equal(found.data, first.data, first.size);
            buffer_free(&found);
        }
    }
    buffer_free(&first);
    buffer_free(&source);
    buffer_free(&target);
}

static bool stop_at_once(void *context, const struct prep_progress *progress)
{
    int64_t *calls = context;
    return progress->is_writing && ++*calls >= 2 ? false : true;
}

static bool stop_reading(void *context, const struct prep_progress *progress)
{
    (void)context, (void)progress;
    return false;
}

/* A stop, unequal files, nothing left and a missing file: the corpus before stays, and is all. */
static void failures_leave_the_corpus(void **state)
{
    (void)state;
    write_files("one\n", "eins\n");
    struct prep_options options = usual_options();
    struct prep_report report;
    runs_to(&options, &report, "one|eins\n");
    prep_report_free(&report);
    const int n_files = folder_count(directory);

    write_files("one\ntwo\n", "eins\nzwei\n");
    options.progress = stop_reading;
    assert_int_equal(prep_run(&options, &report), STATUS_INTERRUPTED);
    prep_report_free(&report);
    int64_t calls = 0;
    options.progress = stop_at_once;
    options.progress_context = &calls;
    assert_int_equal(prep_run(&options, &report), STATUS_INTERRUPTED);
    prep_report_free(&report);
    options.progress = NULL;

    write_files("one\ntwo\n", "eins\n");
    assert_int_equal(prep_run(&options, &report), STATUS_DATA);
    assert_non_null(strstr(status_hint_text(), "--check"));
    assert_false(report.is_complete);
    prep_report_free(&report);

    write_files("\n\n", "eins\n\n");
    assert_int_equal(prep_run(&options, &report), STATUS_DATA);
    assert_non_null(strstr(status_message(), "no pair is left of 2"));
    assert_true(report.is_complete);
    prep_report_free(&report);

    options.overwrite = false;
    assert_int_equal(prep_run(&options, &report), STATUS_CONFIG);
    prep_report_free(&report);
    options.overwrite = true;
    unlink(target_path);
    assert_int_equal(prep_run(&options, &report), STATUS_IO);
    prep_report_free(&report);

    struct buffer found = read_corpus();
    assert_string_equal(found.data, "one|eins\n");
    buffer_free(&found);
    assert_int_equal(folder_count(directory), n_files);
}

static int open_folder(void **state)
{
    (void)state;
    folder_open(&folder);
    folder_join(&folder, "text.en", source_path);
    folder_join(&folder, "text.de", target_path);
    folder_join(&folder, "corpus", directory);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    folder_remove(folder.path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_duplicates),      cmocka_unit_test(a_run_by_hand),
        cmocka_unit_test(several_inputs),        cmocka_unit_test(duplicates_by_brute_force),
        cmocka_unit_test(threads_do_not_matter), cmocka_unit_test(failures_leave_the_corpus),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
