/* The binary corpus: its bytes, damage to each of them, and a writer that leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/random.h"
#include "tests/folder.h"
#include "text/lines.h"
#include "text/prep/pairs.h"
#include "text/prep/pairs_writer.h"

static struct folder folder;
static char directory[FOLDER_PATH_BYTES];

static const char REPORT[] = "{\"lines\": 7}";

static struct pairs_writer_options options_for(const char *path)
{
    return (struct pairs_writer_options){
        .directory = path, .source_name = "en", .target_name = "de"};
}

static struct pair pair_of(const char *source, const char *target)
{
    return (struct pair){{source, strlen(source)}, {target, strlen(target)}};
}

/* A text of 0 to 40 letters that only its number and side decide. */
static void make_text(int64_t number, uint32_t side, char text[48])
{
    const struct random_key key = {7, side, 1};
    const struct random_words words = random_philox(key, (uint32_t)number, 0);
    const uint32_t size = words.word[0] % 41;
    for (uint32_t i = 0; i < size; i++)
        text[i] = (char)('a' + (words.word[1] + i * words.word[2]) % 26);
    text[size] = '\0';
}

static void write_corpus(const struct pairs_writer_options *options, int64_t n)
{
    struct pairs_writer *writer = NULL;
    assert_int_equal(pairs_writer_open(&writer, options), STATUS_OK);
    for (int64_t i = 0; i < n; i++) {
        char source[48], target[48];
        make_text(i, 0, source);
        make_text(i, 1, target);
        const struct pair pair = pair_of(source, target);
        assert_int_equal(pairs_writer_add(writer, &pair), STATUS_OK);
    }
    assert_int_equal(pairs_writer_count(writer), n);
    assert_int_equal(pairs_writer_commit(writer, REPORT), STATUS_OK);
}

static void reads_back(const char *path, int64_t n)
{
    struct pairs *pairs = NULL;
    assert_int_equal(pairs_open(&pairs, path), STATUS_OK);
    assert_int_equal(pairs_count(pairs), n);
    assert_string_equal(pairs_name(pairs, PAIRS_SOURCE), "en");
    assert_string_equal(pairs_name(pairs, PAIRS_TARGET), "de");
    assert_non_null(strstr(pairs_report(pairs), "7"));
    int64_t bytes = 0;
    for (int64_t k = 0; k < n; k++) {
        const int64_t i = k % 2 == 0 ? k : n - k; /* to and fro */
        char source[48], target[48];
        struct pair pair;
        make_text(i, 0, source);
        make_text(i, 1, target);
        assert_int_equal(pairs_get(pairs, i, &pair), STATUS_OK);
        assert_string_equal(pair.source.bytes, source);
        assert_string_equal(pair.target.bytes, target);
        assert_int_equal(pair.source.size, strlen(source));
        assert_int_equal(pair.target.size, strlen(target));
        if (k % 100 == 0)
            pairs_forget(pairs);
    }
    for (int64_t i = 0; i < n; i++) {
        char text[48];
        for (uint32_t side = 0; side < 2; side++) {
            make_text(i, side, text);
            bytes += (int64_t)strlen(text);
        }
    }
    assert_int_equal(pairs_text_bytes(pairs), bytes);
    assert_int_equal(pairs_verify(pairs), STATUS_OK);
    pairs_close(pairs);
}

/* Each side, through the reader of text files, by a path that is no file. */
static void a_side_reads_like_a_file(void **state)
{
    (void)state;
    enum { N_PAIRS = 5000 }; /* several blocks of the reader */
    struct pairs_writer_options options = options_for(directory);
    options.overwrite = true;
    write_corpus(&options, N_PAIRS);
    static const char *const sides[] = {"en", "de"};
    char path[FOLDER_PATH_BYTES + 8];
    for (uint32_t side = 0; side < 2; side++) {
        struct lines *lines = NULL;
        snprintf(path, sizeof path, "%s/%s", directory, sides[side]);
        assert_int_equal(lines_open(&lines, path), STATUS_OK);
        assert_string_equal(lines_name(lines), path);
        assert_false(lines_would_block(lines));
        struct line line;
        for (int64_t i = 0; i < N_PAIRS; i++) {
            char text[48];
            make_text(i, side, text);
            assert_int_equal(lines_next(lines, &line), STATUS_OK);
            assert_non_null(line.bytes);
            assert_string_equal(line.bytes, text);
            assert_int_equal(line.size, strlen(text));
        }
        assert_int_equal(lines_next(lines, &line), STATUS_OK);
        assert_null(line.bytes);
        lines_close(lines);
    }
    struct lines *lines = NULL;
    snprintf(path, sizeof path, "%s/fr", directory);
    assert_int_equal(lines_open(&lines, path), STATUS_IO);
    assert_non_null(strstr(status_message(), "/en and "));
    assert_null(lines);
    folder_remove(directory);
}

static void reads_what_was_written(void **state)
{
    (void)state;
    const int64_t counts[] = {1, 2, 3, 300}, shards[] = {0, 1, 500, 4096};
    for (size_t c = 0; c < 4; c++) {
        for (size_t s = 0; s < 4; s++) {
            if (counts[c] == 300 && shards[s] == 1)
                continue; /* each shard is synced to the disk */
            struct pairs_writer_options options = options_for(directory);
            options.shard_bytes = shards[s];
            options.overwrite = true;
            write_corpus(&options, counts[c]);
            reads_back(directory, counts[c]);
        }
    }
    folder_remove(directory);
}

/* The bytes by hand: what pairs.h says is what is in the file. */
static void bytes_are_as_documented(void **state)
{
    (void)state;
    static const char wanted[] = "mixtPAIR\1\0\0\0\0\0\0\0"
                                 "\2\0\0\0\0\0\0\0\13\0\0\0\0\0\0\0"
                                 "ab\0c\0\0\xC3\xA4\xC3\xB6\0\0"
                                 "\0\0\0\0\3\0\0\0\5\0\0\0\6\0\0\0\13\0\0";
    const struct pairs_writer_options options = options_for(directory);
    struct pairs_writer *writer = NULL;
    assert_int_equal(pairs_writer_open(&writer, &options), STATUS_OK);
    const struct pair first = pair_of("ab", "c"), second = pair_of("", "\xC3\xA4\xC3\xB6");
    assert_int_equal(pairs_writer_add(writer, &first), STATUS_OK);
    assert_int_equal(pairs_writer_add(writer, &second), STATUS_OK);
    assert_int_equal(pairs_writer_commit(writer, REPORT), STATUS_OK);
    char path[FOLDER_PATH_BYTES];
    folder_join(&folder, "corpus/pairs-00000.bin", path);
    struct buffer found = folder_read(path);
    assert_int_equal(found.size, sizeof wanted);
    assert_memory_equal(found.data, wanted, sizeof wanted);
    buffer_free(&found);
    folder_remove(directory);
}

/* Opens and reads everything; returns the worst that pairs_verify() or anything before it says. */
static enum status read_all(const char *path)
{
    struct pairs *pairs = NULL;
    enum status status = pairs_open(&pairs, path);
    for (int64_t i = 0; status == STATUS_OK && i < pairs_count(pairs); i++) {
        struct pair pair;
        const enum status got = pairs_get(pairs, i, &pair);
        if (got == STATUS_OK) {
            assert_int_equal(pair.source.bytes[pair.source.size], '\0');
            assert_int_equal(pair.target.bytes[pair.target.size], '\0');
        } else {
            assert_int_equal(got, STATUS_FORMAT);
        }
    }
    if (status == STATUS_OK)
        status = pairs_verify(pairs);
    pairs_close(pairs);
    return status;
}

/* Every byte of a shard flipped, in three ways; every length of it; a byte more. */
static void damaged_shards_are_seen(void **state)
{
    (void)state;
    struct pairs_writer_options options = options_for(directory);
    options.shard_bytes = 300;
    write_corpus(&options, 20);
    char path[FOLDER_PATH_BYTES];
    folder_join(&folder, "corpus/pairs-00001.bin", path);
    struct buffer bytes = folder_read(path);
    for (size_t i = 0; i < bytes.size; i++) {
        static const char flips[] = {1, (char)0x80, (char)0xFF};
        for (size_t k = 0; k < sizeof flips; k++) {
            bytes.data[i] ^= flips[k];
            folder_write(path, bytes.data, bytes.size);
            bytes.data[i] ^= flips[k];
            assert_int_equal(read_all(directory), STATUS_FORMAT);
            assert_non_null(strstr(status_message(), "pairs-00001.bin"));
        }
    }
    for (size_t size = 0; size < bytes.size; size++) {
        folder_write(path, bytes.data, size);
        assert_int_equal(read_all(directory), STATUS_FORMAT);
    }
    folder_write(path, bytes.data, bytes.size + 1); /* with the buffer's NUL */
    assert_int_equal(read_all(directory), STATUS_FORMAT);
    folder_write(path, bytes.data, bytes.size);
    assert_int_equal(read_all(directory), STATUS_OK);
    unlink(path);
    assert_int_equal(read_all(directory), STATUS_IO);
    buffer_free(&bytes);
    folder_remove(directory);
}

/* A flipped byte of the manifest is either seen or in what only people read. */
static void damaged_manifests_are_survived(void **state)
{
    (void)state;
    struct pairs_writer_options options = options_for(directory);
    options.shard_bytes = 300;
    write_corpus(&options, 20);
    char path[FOLDER_PATH_BYTES];
    folder_join(&folder, "corpus/manifest.json", path);
    struct buffer bytes = folder_read(path);
    int n_seen = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.data[i] ^= 4;
        folder_write(path, bytes.data, bytes.size);
        bytes.data[i] ^= 4;
        const enum status status = read_all(directory);
        assert_true(status == STATUS_OK || status == STATUS_FORMAT);
        n_seen += status == STATUS_FORMAT;
    }
    assert_true(n_seen > (int)bytes.size / 2);
    for (size_t size = 0; size + 2 < bytes.size; size++) { /* the last two are "}" and "\n" */
        folder_write(path, bytes.data, size);
        assert_int_equal(read_all(directory), STATUS_FORMAT);
    }
    buffer_free(&bytes);
    folder_remove(directory);
}

/* A manifest that adds up, but of another number of pairs. */
static void manifest_and_shard_must_agree(void **state)
{
    (void)state;
    const struct pairs_writer_options options = options_for(directory);
    write_corpus(&options, 3);
    char path[FOLDER_PATH_BYTES];
    folder_join(&folder, "corpus/manifest.json", path);
    struct buffer text = folder_read(path);
    int n_changed = 0;
    for (char *found = strstr(text.data, "\"pairs\": 3"); found != NULL;
         found = strstr(found, "\"pairs\": 3")) {
        found[strlen("\"pairs\": ")] = '2';
        n_changed++;
    }
    assert_int_equal(n_changed, 2);
    folder_write(path, text.data, text.size);
    struct pairs *pairs = NULL;
    assert_int_equal(pairs_open(&pairs, directory), STATUS_FORMAT);
    assert_null(pairs);
    buffer_free(&text);
    folder_remove(directory);
}

static void manifest_cannot_lead_elsewhere(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"format\": \"mixt pairs\", \"version\": 2}",
        "{\"format\": \"mixt pairs\", \"version\": 1, \"source\": \"../en\", \"target\": \"de\", "
        "\"pairs\": 0, \"shards\": [], \"report\": {}}",
        "{\"format\": \"mixt pairs\", \"version\": 1, \"source\": \"en\", \"target\": \"de\", "
        "\"pairs\": 1, \"shards\": [], \"report\": {}}",
        "{\"format\": \"mixt pairs\", \"version\": 1, \"source\": \"en\", \"target\": \"de\", "
        "\"pairs\": 1, \"shards\": [{\"file\": \"../pairs-00000.bin\", \"pairs\": 1, \"bytes\": "
        "99, \"xxh3_128\": \"00000000000000000000000000000000\"}], \"report\": {}}",
        "{\"format\": \"mixt pairs\", \"version\": 1, \"source\": \"en\", \"target\": \"de\", "
        "\"pairs\": 9223372036854775807, \"shards\": [{\"file\": \"pairs-00000.bin\", \"pairs\": "
        "9223372036854775807, \"bytes\": 9223372036854775807, \"xxh3_128\": "
        "\"00000000000000000000000000000000\"}], \"report\": {}}",
    };
    char path[FOLDER_PATH_BYTES];
    folder_join(&folder, "corpus", path);
    assert_int_equal(file_make_directories(path), STATUS_OK);
    folder_join(&folder, "corpus/manifest.json", path);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        folder_write(path, bad[i], strlen(bad[i]));
        assert_int_equal(read_all(directory), STATUS_FORMAT);
    }
    folder_remove(directory);
}

static void unfinished_is_named_so(void **state)
{
    (void)state;
    assert_int_equal(read_all(directory), STATUS_IO);
    assert_int_equal(file_make_directories(directory), STATUS_OK);
    assert_int_equal(read_all(directory), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "not a finished corpus"));
    folder_remove(directory);
}

/* What is discarded was never there, with the directories that were made for it. */
static void discarding_leaves_nothing(void **state)
{
    (void)state;
    char deep[FOLDER_PATH_BYTES];
    folder_join(&folder, "a/b/corpus//", deep);
    struct pairs_writer_options options = options_for(deep);
    options.shard_bytes = 10;
    options.writes_text = true;
    struct pairs_writer *writer = NULL;
    FILE *work = NULL;
    assert_int_equal(pairs_writer_open(&writer, &options), STATUS_OK);
    assert_int_equal(pairs_writer_temporary(writer, &work), STATUS_OK);
    const struct pair pair = pair_of("some text", "other text");
    for (int i = 0; i < 5; i++)
        assert_int_equal(pairs_writer_add(writer, &pair), STATUS_OK);
    fclose(work);
    pairs_writer_discard(writer);
    assert_int_equal(folder_count(folder.path), 0);
    pairs_writer_discard(NULL);
    options.source_name = "a/b";
    assert_int_equal(pairs_writer_open(&writer, &options), STATUS_CONFIG);
    assert_null(writer);
    assert_int_equal(folder_count(folder.path), 0);
}

static void overwriting_replaces_all(void **state)
{
    (void)state;
    struct pairs_writer_options options = options_for(directory);
    struct pairs_writer *writer = NULL;
    options.shard_bytes = 100;
    options.writes_text = true;
    write_corpus(&options, 100);
    char path[FOLDER_PATH_BYTES];
    folder_join(&folder, "corpus/source.en", path);
    assert_true(file_exists(path));
    assert_int_equal(pairs_writer_open(&writer, &options), STATUS_CONFIG);
    assert_null(writer);
    reads_back(directory, 100);
    options.overwrite = true;
    assert_int_equal(pairs_writer_open(&writer, &options), STATUS_OK);
    const struct pair pair = pair_of("x", "y");
    assert_int_equal(pairs_writer_add(writer, &pair), STATUS_OK);
    pairs_writer_discard(writer);
    reads_back(directory, 100);
    options.shard_bytes = 0;
    options.writes_text = false;
    write_corpus(&options, 50);
    reads_back(directory, 50);
    assert_int_equal(folder_count(directory), 2); /* a shard and the manifest */
    folder_remove(directory);
}

static void text_files_hold_the_text(void **state)
{
    (void)state;
    struct pairs_writer_options options = options_for(directory);
    options.writes_text = true;
    options.target_name = "target";
    struct pairs_writer *writer = NULL;
    assert_int_equal(pairs_writer_open(&writer, &options), STATUS_OK);
    const struct pair first = pair_of("one", "eins"), second = pair_of("two", "zwei");
    assert_int_equal(pairs_writer_add(writer, &first), STATUS_OK);
    assert_int_equal(pairs_writer_add(writer, &second), STATUS_OK);
    assert_int_equal(pairs_writer_commit(writer, REPORT), STATUS_OK);
    char path[FOLDER_PATH_BYTES];
    folder_join(&folder, "corpus/source.en", path);
    struct buffer text = folder_read(path);
    assert_string_equal(text.data, "one\ntwo\n");
    buffer_free(&text);
    folder_join(&folder, "corpus/target.txt", path);
    text = folder_read(path);
    assert_string_equal(text.data, "eins\nzwei\n");
    buffer_free(&text);
    folder_remove(directory);
}

static void one_writer_at_a_time(void **state)
{
    (void)state;
    const struct pairs_writer_options options = options_for(directory);
    struct pairs_writer *first = NULL, *second = NULL;
    assert_int_equal(pairs_writer_open(&first, &options), STATUS_OK);
    assert_int_equal(pairs_writer_open(&second, &options), STATUS_CONFIG);
    assert_non_null(strstr(status_message(), "another"));
    const struct pair pair = pair_of("x", "y");
    assert_int_equal(pairs_writer_add(first, &pair), STATUS_OK);
    assert_int_equal(pairs_writer_commit(first, REPORT), STATUS_OK);
    assert_int_equal(read_all(directory), STATUS_OK);
    folder_remove(directory);
}

/* What a killed run left is cleared by the next. */
static void leftovers_are_cleared(void **state)
{
    (void)state;
    char path[FOLDER_PATH_BYTES];
    folder_join(&folder, "corpus/" PAIRS_UNFINISHED, path);
    assert_int_equal(file_make_directories(path), STATUS_OK);
    folder_join(&folder, "corpus/" PAIRS_UNFINISHED "/pairs-00003.bin", path);
    folder_write(path, "x", 1);
    folder_join(&folder, "corpus/mine", path);
    folder_write(path, "x", 1);
    const struct pairs_writer_options options = options_for(directory);
    write_corpus(&options, 3);
    reads_back(directory, 3);
    assert_int_equal(folder_count(directory), 3); /* shard, manifest and what is the user's */
    folder_remove(directory);
}

static void hash_tells_corpora_apart(void **state)
{
    (void)state;
    uint64_t hashes[3];
    for (int i = 0; i < 3; i++) {
        struct pairs_writer_options options = options_for(directory);
        options.overwrite = true;
        write_corpus(&options, i == 2 ? 30 : 29);
        struct pairs *pairs = NULL;
        assert_int_equal(pairs_open(&pairs, directory), STATUS_OK);
        hashes[i] = pairs_hash(pairs);
        pairs_close(pairs);
    }
    assert_true(hashes[0] == hashes[1]);
    assert_true(hashes[0] != hashes[2]);
    folder_remove(directory);
}

static void shuffling_is_a_permutation(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 400; n += n < 70 ? 1 : 13) {
        bool seen[400] = {false};
        int64_t n_fixed = 0;
        for (int64_t i = 0; i < n; i++) {
            const int64_t place = pairs_shuffled(n, 5, i);
            assert_in_range(place, 0, n - 1);
            assert_false(seen[place]);
            seen[place] = true;
            n_fixed += place == i;
        }
        assert_true(n < 30 || n_fixed < n / 4);
    }
    int64_t n_same = 0;
    for (int64_t i = 0; i < 1000; i++)
        n_same += pairs_shuffled((int64_t)1 << 40, 1, i) == pairs_shuffled((int64_t)1 << 40, 2, i);
    assert_true(n_same < 10);
}

/* Where each of 20 goes, over many seeds, is even: 4000 seeds, 200 wanted a cell, 14 the standard
 * deviation. */
static void shuffling_is_even(void **state)
{
    (void)state;
    int counts[20][20] = {{0}};
    for (uint64_t seed = 0; seed < 4000; seed++) {
        for (int64_t i = 0; i < 20; i++)
            counts[i][pairs_shuffled(20, seed, i)]++;
    }
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < 20; k++)
            assert_in_range(counts[i][k], 130, 270);
    }
}

static int open_folder(void **state)
{
    (void)state;
    folder_open(&folder);
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
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(bytes_are_as_documented),
        cmocka_unit_test(damaged_shards_are_seen),
        cmocka_unit_test(damaged_manifests_are_survived),
        cmocka_unit_test(manifest_and_shard_must_agree),
        cmocka_unit_test(manifest_cannot_lead_elsewhere),
        cmocka_unit_test(unfinished_is_named_so),
        cmocka_unit_test(discarding_leaves_nothing),
        cmocka_unit_test(overwriting_replaces_all),
        cmocka_unit_test(text_files_hold_the_text),
        cmocka_unit_test(one_writer_at_a_time),
        cmocka_unit_test(leftovers_are_cleared),
        cmocka_unit_test(a_side_reads_like_a_file),
        cmocka_unit_test(hash_tells_corpora_apart),
        cmocka_unit_test(shuffling_is_a_permutation),
        cmocka_unit_test(shuffling_is_even),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
