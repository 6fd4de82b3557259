/* Files: read with a limit, replaced as a whole or not at all. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

/* Each test gets a folder of its own as its state. */
static int make_folder(void **state)
{
    const char *parent = getenv("TMPDIR");
    char name[128];
    snprintf(name, sizeof name, "%s/mixt-test-XXXXXX", parent && *parent ? parent : P_tmpdir);
    *state = mkdtemp(name) ? strdup(name) : NULL;
    return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[512];
    snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", (char *)*state,
             (char *)*state);
    const int status = system(command);
    free(*state);
    return status;
}

static const char *path_in(void **state, const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", (char *)*state, name);
    return path;
}

static int count_entries(const char *path)
{
    DIR *directory = opendir(path);
    assert_non_null(directory);
    int count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2;
}

static void expect_content(const char *path, const char *wanted)
{
    struct buffer buffer = {0};
    assert_int_equal(file_read(path, 1000, &buffer), STATUS_OK);
    assert_string_equal(buffer.data ? buffer.data : "", wanted);
    buffer_free(&buffer);
}

static void write_file(const char *path, const char *content)
{
    struct file_writer writer;
    assert_int_equal(file_create(&writer, path), STATUS_OK);
    assert_true(fputs(content, writer.stream) >= 0);
    assert_int_equal(file_commit(&writer), STATUS_OK);
    assert_null(writer.stream);
    assert_null(writer.final_path);
    assert_null(writer.temporary_path);
}

static void test_file_replaces(void **state)
{
    const char *path = path_in(state, "file");
    write_file(path, "old");
    expect_content(path, "old");
    struct file_writer writer;
    assert_int_equal(file_create(&writer, path), STATUS_OK);
    fputs("new", writer.stream);
    fflush(writer.stream);
    expect_content(path, "old");
    assert_int_equal(count_entries(*state), 2);
    assert_int_equal(file_commit(&writer), STATUS_OK);
    expect_content(path, "new");
    assert_int_equal(count_entries(*state), 1);
    file_discard(&writer);
    expect_content(path, "new");
}

static void test_file_discard(void **state)
{
    const char *path = path_in(state, "file");
    write_file(path, "old");
    struct file_writer writer;
    assert_int_equal(file_create(&writer, path), STATUS_OK);
    fputs("new", writer.stream);
    file_discard(&writer);
    expect_content(path, "old");
    assert_int_equal(count_entries(*state), 1);
    file_discard(&writer);
}

/* Two writers at once do not disturb each other; the last to commit wins. */
static void test_file_two_writers(void **state)
{
    const char *path = path_in(state, "file");
    struct file_writer first, second;
    assert_int_equal(file_create(&first, path), STATUS_OK);
    assert_int_equal(file_create(&second, path), STATUS_OK);
    fputs("first", first.stream);
    fputs("second", second.stream);
    assert_int_equal(file_commit(&second), STATUS_OK);
    expect_content(path, "second");
    assert_int_equal(file_commit(&first), STATUS_OK);
    expect_content(path, "first");
    assert_int_equal(count_entries(*state), 1);
}

/* A link planted under the temporary name is not followed. */
static void test_file_planted_link(void **state)
{
    char name[64], victim[256];
    snprintf(victim, sizeof victim, "%s", path_in(state, "victim"));
    write_file(victim, "untouched");
    snprintf(name, sizeof name, "file.%ld.0.tmp", (long)getpid());
    assert_int_equal(symlink(victim, path_in(state, name)), 0);
    write_file(path_in(state, "file"), "text");
    expect_content(path_in(state, "file"), "text");
    expect_content(victim, "untouched");
}

static void test_file_mode(void **state)
{
    const mode_t mask = umask(022);
    write_file(path_in(state, "file"), "text");
    umask(mask);
    struct stat information;
    assert_int_equal(stat(path_in(state, "file"), &information), 0);
    assert_int_equal(information.st_mode & 0777, 0644);
}

static void expect_uncreatable(const char *path)
{
    struct file_writer writer;
    assert_int_equal(file_create(&writer, path), STATUS_IO);
    assert_non_null(strstr(status_message(), path));
    assert_null(writer.stream);
    assert_null(writer.final_path);
    assert_null(writer.temporary_path);
}

static void test_file_unwritable(void **state)
{
    expect_uncreatable(path_in(state, "missing/file"));
    write_file(path_in(state, "plain"), "");
    expect_uncreatable(path_in(state, "plain/file"));
    assert_int_equal(chmod(*state, 0555), 0);
    /* The superuser may write everywhere. */
    if (geteuid() != 0)
        expect_uncreatable(path_in(state, "file"));
    assert_int_equal(chmod(*state, 0755), 0);
}

/* Renaming onto a directory fails at the very end; nothing stays behind. */
static void test_file_commit_fails(void **state)
{
    const char *path = path_in(state, "folder");
    assert_int_equal(mkdir(path, 0777), 0);
    struct file_writer writer;
    assert_int_equal(file_create(&writer, path), STATUS_OK);
    fputs("text", writer.stream);
    assert_int_equal(file_commit(&writer), STATUS_IO);
    assert_true(file_is_directory(path));
    assert_int_equal(count_entries(*state), 1);
}

/* The stream of a writer becomes /dev/full: commit must say so and leave the old file. */
static void check_full(void **state, size_t size)
{
    const char *path = path_in(state, "file");
    write_file(path, "old");
    struct file_writer writer;
    assert_int_equal(file_create(&writer, path), STATUS_OK);
    const int full = open("/dev/full", O_WRONLY);
    if (full < 0) {
        file_discard(&writer);
        skip();
    }
    assert_true(dup2(full, fileno(writer.stream)) >= 0);
    close(full);
    for (size_t i = 0; i < size; i++)
        fputc('x', writer.stream);
    assert_int_equal(file_commit(&writer), STATUS_IO);
    assert_non_null(strstr(status_message(), "No space left"));
    expect_content(path, "old");
    assert_int_equal(count_entries(*state), 1);
}

static void test_file_full_at_flush(void **state)
{
    check_full(state, 5);
}

static void test_file_full_while_writing(void **state)
{
    check_full(state, 1 << 17);
}

/* A limit on file sizes: with its signal ignored the write fails, and so must the commit. What is
 * written in one block is not tried again at the flush: only the stream remembers the error. */
static void check_too_large(void **state, bool is_block)
{
    static const char block[1 << 17];
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    const struct rlimit small = {.rlim_cur = 4096, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct file_writer writer;
    const enum status created = file_create(&writer, path_in(state, "file"));
    enum status committed = STATUS_OK;
    if (created == STATUS_OK) {
        if (is_block)
            assert_true(fwrite(block, 1, sizeof block, writer.stream) < sizeof block);
        for (int i = 0; i < 10000 && !is_block; i++)
            fputc('x', writer.stream);
        committed = file_commit(&writer);
    }
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(created, STATUS_OK);
    assert_int_equal(committed, STATUS_IO);
    assert_int_equal(count_entries(*state), 0);
}

static void test_file_too_large(void **state)
{
    check_too_large(state, false);
    check_too_large(state, true);
}

static void test_file_read(void **state)
{
    const char *path = path_in(state, "file");
    write_file(path, "12345678");
    struct buffer buffer = {0};
    assert_int_equal(buffer_append_string(&buffer, "ab"), STATUS_OK);
    assert_int_equal(file_read(path, 8, &buffer), STATUS_OK);
    assert_string_equal(buffer.data, "ab12345678");
    assert_int_equal(file_read(path, 7, &buffer), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), path));
    assert_int_equal(file_read(path_in(state, "missing"), 7, &buffer), STATUS_IO);
    assert_non_null(strstr(status_message(), "No such file"));
    assert_int_equal(file_read(*state, 7, &buffer), STATUS_IO);
    write_file(path_in(state, "empty"), "");
    buffer_clear(&buffer);
    assert_int_equal(file_read(path_in(state, "empty"), 0, &buffer), STATUS_OK);
    assert_int_equal(buffer.size, 0);
    buffer_free(&buffer);
}

static void test_file_large(void **state)
{
    enum { COUNT = 300000 };
    const char *path = path_in(state, "file");
    struct file_writer writer;
    assert_int_equal(file_create(&writer, path), STATUS_OK);
    for (int i = 0; i < COUNT; i++)
        fputc(i % 251, writer.stream);
    assert_int_equal(file_commit(&writer), STATUS_OK);
    struct buffer buffer = {0};
    assert_int_equal(file_read(path, COUNT, &buffer), STATUS_OK);
    assert_int_equal(buffer.size, COUNT);
    for (int i = 0; i < COUNT; i++)
        if ((unsigned char)buffer.data[i] != i % 251)
            fail_msg("byte %d is %d", i, buffer.data[i]);
    buffer_free(&buffer);
}

static void test_directories(void **state)
{
    assert_int_equal(file_make_directories(path_in(state, "a/b/c")), STATUS_OK);
    assert_true(file_is_directory(path_in(state, "a/b/c")));
    assert_int_equal(file_make_directories(path_in(state, "a/b/c")), STATUS_OK);
    assert_int_equal(file_make_directories(path_in(state, "a//b/d/")), STATUS_OK);
    assert_true(file_is_directory(path_in(state, "a/b/d")));
    assert_false(file_exists(path_in(state, "e")));
    write_file(path_in(state, "e"), "");
    assert_true(file_exists(path_in(state, "e")));
    assert_false(file_is_directory(path_in(state, "e")));
    assert_int_equal(file_make_directories(path_in(state, "e")), STATUS_IO);
    assert_int_equal(file_make_directories(path_in(state, "e/f")), STATUS_IO);
    char path[PATH_MAX + 10];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(file_make_directories(path), STATUS_IO);
}

/* A path without a folder part is written in the working directory. */
static void test_file_relative(void **state)
{
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(*state), 0);
    write_file("file", "text");
    expect_content("file", "text");
    assert_int_equal(chdir(before), 0);
    expect_content(path_in(state, "file"), "text");
}

static void temporary_files_have_no_name(void **state)
{
    const char *const directories[] = {*state, NULL};
    for (size_t i = 0; i < 2; i++) {
        char text[8] = "";
        FILE *stream = file_temporary(directories[i]);
        assert_non_null(stream);
        assert_int_equal(fwrite("kept", 1, 5, stream), 5);
        assert_int_equal(fseek(stream, 0, SEEK_SET), 0);
        assert_int_equal(fread(text, 1, 5, stream), 5);
        assert_string_equal(text, "kept");
        assert_int_equal(rmdir(*state), 0); /* nothing is in there */
        assert_int_equal(mkdir(*state, 0700), 0);
        assert_int_equal(fclose(stream), 0);
    }
    errno = 0;
    assert_null(file_temporary(path_in(state, "missing")));
    assert_int_equal(errno, ENOENT);
}

#define FILE_TEST(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(temporary_files_have_no_name),
        FILE_TEST(test_file_replaces),
        FILE_TEST(test_file_discard),
        FILE_TEST(test_file_two_writers),
        FILE_TEST(test_file_planted_link),
        FILE_TEST(test_file_mode),
        FILE_TEST(test_file_unwritable),
        FILE_TEST(test_file_commit_fails),
        FILE_TEST(test_file_full_at_flush),
        FILE_TEST(test_file_full_while_writing),
        FILE_TEST(test_file_too_large),
        FILE_TEST(test_file_read),
        FILE_TEST(test_file_large),
        FILE_TEST(test_directories),
        FILE_TEST(test_file_relative),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
