/*
 * filetool - a small tool that puts the file system and the rest of the system
 * interface through their paces.
 *
 *     filetool selftest DIRECTORY   make, change and remove files below DIRECTORY
 *     filetool links DIRECTORY      the same with hard and symbolic links
 *     filetool host                 clocks, sleep and random bytes
 *     filetool cat FILE...          copy files to standard output
 *     filetool ls DIRECTORY         list a directory with kinds and sizes
 *     filetool env NAME...          print environment variables
 *     filetool args [ARGUMENT...]   print the arguments
 *     filetool echo                 copy standard input, with numbered lines
 *     filetool exit CODE            exit with that code
 *     filetool abort                end abnormally
 *     filetool stack                recurse until the stack is exhausted
 *
 * The output never depends on the time, the machine or the order of directory
 * entries. Errors are printed by their names, since their texts differ between
 * C libraries.
 */
#define _DEFAULT_SOURCE
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 512 };

/* ---- reporting ---- */

static const char *error_name(int error)
{
    switch (error) {
    case EACCES: return "EACCES";
    case EBADF: return "EBADF";
    case EEXIST: return "EEXIST";
    case EINVAL: return "EINVAL";
    case EISDIR: return "EISDIR";
    case ELOOP: return "ELOOP";
    case ENOENT: return "ENOENT";
    case ENOSYS: return "ENOSYS";
    case ENOTDIR: return "ENOTDIR";
    case ENOTEMPTY: return "ENOTEMPTY";
    case EPERM: return "EPERM";
    default: break;
    }
#ifdef ENOTCAPABLE
    /* WASI alone has this one: the path leads out of the directories that were given. */
    if (error == ENOTCAPABLE)
        return "ENOTCAPABLE";
#endif
    return "another error";
}

static int failures;

/* Prints how a step went that ought to succeed. */
static void expect_success(bool succeeded, const char *step)
{
    if (succeeded) {
        printf("%s: ok\n", step);
    } else {
        printf("%s: FAILED with %s\n", step, error_name(errno));
        failures++;
    }
}

/* Prints how a step went that ought to fail with a certain error. */
static void expect_error(bool succeeded, int error, const char *step)
{
    if (succeeded) {
        printf("%s: FAILED by succeeding\n", step);
        failures++;
    } else if (errno != error) {
        printf("%s: FAILED with %s instead of %s\n", step, error_name(errno), error_name(error));
        failures++;
    } else {
        printf("%s: %s, as it should\n", step, error_name(error));
    }
}

/* Prints whether a condition holds that has nothing to do with errno. */
static void expect(bool holds, const char *statement)
{
    printf("%s: %s\n", statement, holds ? "yes" : "NO");
    if (!holds)
        failures++;
}

static int complain(const char *path)
{
    fprintf(stderr, "filetool: %s: %s\n", path, error_name(errno));
    return 1;
}

static void *must_alloc(void *memory)
{
    if (memory == NULL) {
        fputs("filetool: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

/* ---- helpers for files ---- */

/* Names an entry of a directory; the buffer serves until the call after next. */
static const char *in(const char *directory, const char *name)
{
    static char paths[2][PATH_SIZE];
    static int turn;
    char *path = paths[turn];
    turn = 1 - turn;
    int length = snprintf(path, PATH_SIZE, "%s/%s", directory, name);
    if (length < 0 || length >= PATH_SIZE) {
        fputs("filetool: path too long\n", stderr);
        exit(2);
    }
    return path;
}

static bool write_text(const char *path, const char *mode, const char *text)
{
    FILE *file = fopen(path, mode);
    if (file == NULL)
        return false;
    bool good = fputs(text, file) >= 0;
    return fclose(file) == 0 && good;
}

static void show_text(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        expect_success(false, "open for reading");
        return;
    }
    char line[128];
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        printf("  | %s\n", line);
    }
    fclose(file);
}

static const char *kind_name(mode_t mode)
{
    return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "link" : "other";
}

static void show_status(const char *path, const char *name)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        expect_success(false, name);
    else if (S_ISREG(status.st_mode))
        printf("  %s: file of %lld bytes\n", name, (long long)status.st_size);
    else
        printf("  %s: %s\n", name, kind_name(status.st_mode));
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Takes its path by copy, since the caller may have it from in(), as this function does. */
static int list(const char *path)
{
    char home[PATH_SIZE];
    snprintf(home, sizeof home, "%s", path);
    DIR *directory = opendir(home);
    if (directory == NULL)
        return complain(home);

    char **names = NULL;
    size_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        names = must_alloc(realloc(names, (count + 1) * sizeof *names));
        names[count++] = must_alloc(strdup(entry->d_name));
    }
    closedir(directory);

    if (count > 0)
        qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        show_status(in(home, names[i]), names[i]);
        free(names[i]);
    }
    free(names);
    return 0;
}

/* ---- selftest ---- */

static void test_streams(const char *home)
{
    puts("streams");
    expect_success(write_text(in(home, "notes"), "w", "first line\nsecond line\n"), "write");
    expect_success(write_text(in(home, "notes"), "a", "third line\n"), "append");
    show_text(in(home, "notes"));

    FILE *file = fopen(in(home, "notes"), "r+");
    expect_success(file != NULL, "open for update");
    if (file == NULL)
        return;
    expect_success(fseek(file, 6, SEEK_SET) == 0 && fputs("LINE", file) >= 0, "overwrite after a seek");
    expect_success(fseek(file, -5, SEEK_END) == 0, "seek from the end");
    printf("  now at %ld", ftell(file));
    printf(", where '%c' stands\n", fgetc(file));
    expect_success(fseek(file, 100, SEEK_SET) == 0 && fputc('!', file) != EOF, "write past the end");
    expect_success(fclose(file) == 0, "close");
    show_status(in(home, "notes"), "notes");

    expect_success(write_text(in(home, "notes"), "w", "short\n"), "truncate by opening again");
    show_status(in(home, "notes"), "notes");
    show_text(in(home, "notes"));
}

static void test_descriptors(const char *home)
{
    puts("descriptors");
    int file = open(in(home, "bytes"), O_RDWR | O_CREAT | O_EXCL, 0666);
    expect_success(file >= 0, "create");
    expect_error(open(in(home, "bytes"), O_RDWR | O_CREAT | O_EXCL, 0666) >= 0, EEXIST, "create it once more");

    char bytes[8] = {0};
    expect_success(write(file, "abcdefghij", 10) == 10, "write");
    expect_success(pwrite(file, "XY", 2, 4) == 2, "write at an offset");
    expect_success(pread(file, bytes, 4, 3) == 4, "read at an offset");
    printf("  read \"%s\", still at %lld\n", bytes, (long long)lseek(file, 0, SEEK_CUR));
    expect_success(lseek(file, 8, SEEK_SET) == 8, "seek");
    memset(bytes, 0, sizeof bytes);
    expect(read(file, bytes, sizeof bytes) == 2 && strcmp(bytes, "ij") == 0, "a read at the end is short");
    expect(read(file, bytes, sizeof bytes) == 0, "the next one reads nothing");

    expect_success(ftruncate(file, 5) == 0, "cut off");
    expect_success(ftruncate(file, 7) == 0, "fill up");
    expect_success(pread(file, bytes, 7, 0) == 7, "read all");
    printf("  read \"%.5s\" and the bytes %d and %d\n", bytes, bytes[5], bytes[6]);
    expect_success(fsync(file) == 0, "synchronise");
    expect_success(close(file) == 0, "close");
    expect_error(write(file, "z", 1) == 1, EBADF, "write after the close");

    file = open(in(home, "bytes"), O_RDONLY);
    expect_success(file >= 0, "open for reading");
    expect_error(write(file, "z", 1) == 1, EBADF, "write to it");
    struct stat status;
    expect_success(fstat(file, &status) == 0, "status of the descriptor");
    printf("  %s of %lld bytes\n", kind_name(status.st_mode), (long long)status.st_size);
    close(file);
}

static void test_times(const char *home)
{
    puts("times");
    const struct timespec times[2] = {{.tv_sec = 1000000000, .tv_nsec = 0}, {.tv_sec = 1234567890, .tv_nsec = 500}};
    expect_success(utimensat(AT_FDCWD, in(home, "bytes"), times, 0) == 0, "set the times");
    struct stat status;
    expect_success(stat(in(home, "bytes"), &status) == 0, "status");
    printf("  changed at %lld\n", (long long)status.st_mtime);
}

static void test_directories(const char *home)
{
    puts("directories");
    expect_success(mkdir(in(home, "box"), 0777) == 0, "make a directory");
    expect_error(mkdir(in(home, "box"), 0777) == 0, EEXIST, "make it once more");
    expect_success(mkdir(in(home, "box/inner"), 0777) == 0, "make one inside");
    expect_success(rename(in(home, "notes"), in(home, "box/moved")) == 0, "move a file into it");
    expect_error(access(in(home, "notes"), F_OK) == 0, ENOENT, "look for the old name");
    expect_success(access(in(home, "box/moved"), F_OK) == 0, "look for the new name");
    list(home);
    list(in(home, "box"));

    expect_error(rmdir(in(home, "box")) == 0, ENOTEMPTY, "remove the full directory");
    expect_error(fopen(in(home, "box/none"), "r") != NULL, ENOENT, "open a missing file");
    expect_error(fopen(in(home, "bytes/none"), "r") != NULL, ENOTDIR, "open a file inside a file");
    expect_error(fopen(in(home, "box"), "w") != NULL, EISDIR, "write to a directory");
    expect_error(rmdir(in(home, "bytes")) == 0, ENOTDIR, "remove a file as a directory");

    expect_success(rename(in(home, "bytes"), in(home, "box/moved")) == 0, "move a file over another");
    show_status(in(home, "box/moved"), "box/moved");
    expect_success(unlink(in(home, "box/moved")) == 0, "unlink the file");
    expect_error(unlink(in(home, "box/moved")) == 0, ENOENT, "unlink it once more");
    expect_success(rename(in(home, "box/inner"), in(home, "inner")) == 0, "move a directory");
    expect_success(rmdir(in(home, "inner")) == 0, "remove it");
    expect_success(rmdir(in(home, "box")) == 0, "remove the empty directory");
}

/* More entries than fit into one small buffer, so that readdir has to ask again. */
static void test_many_entries(const char *home)
{
    enum { COUNT = 200 };
    static const char prefix[] = "entry-with-a-fairly-long-name-";
    puts("many entries");
    char name[64];
    int made = 0;
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%s%03d", prefix, i);
        made += write_text(in(home, name), "w", name);
    }
    printf("  made %d\n", made);

    bool seen[COUNT] = {false};
    int listed = 0, strange = 0;
    DIR *directory = opendir(home);
    expect_success(directory != NULL, "open the directory");
    if (directory == NULL)
        return;
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        bool ours = strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
        int number = ours ? atoi(entry->d_name + strlen(prefix)) : -1;
        if (number >= 0 && number < COUNT && !seen[number]) {
            seen[number] = true;
            listed++;
        } else {
            strange++;
        }
    }
    closedir(directory);
    printf("  listed %d, strange or twice %d\n", listed, strange);

    int removed = 0;
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%s%03d", prefix, i);
        removed += unlink(in(home, name)) == 0;
    }
    printf("  removed %d\n", removed);
    if (made != COUNT || listed != COUNT || strange != 0 || removed != COUNT)
        failures++;
}

static int finish(const char *home)
{
    expect_success(rmdir(home) == 0, "remove the test directory");
    if (failures > 0)
        printf("%d steps went wrong\n", failures);
    return failures > 0 ? 1 : 0;
}

static char test_home[PATH_SIZE];

/* Makes a directory of our own in the one that was named, which may hold anything. */
static const char *start(const char *directory)
{
    int length = snprintf(test_home, sizeof test_home, "%s/filetool-test", directory);
    if (length < 0 || (size_t)length >= sizeof test_home || mkdir(test_home, 0777) != 0)
        exit(complain(directory));
    return test_home;
}

static int run_selftest(char **arguments)
{
    const char *home = start(arguments[0]);
    test_streams(home);
    test_descriptors(home);
    test_times(home);
    test_directories(home);
    test_many_entries(home);
    return finish(home);
}

static int run_links(char **arguments)
{
    const char *home = start(arguments[0]);
    expect_success(write_text(in(home, "target"), "w", "through a link\n"), "write the target");
    expect_success(symlink("target", in(home, "soft")) == 0, "make a symbolic link");
    expect_success(link(in(home, "target"), in(home, "hard")) == 0, "make a hard link");
    expect_success(symlink("circle", in(home, "circle")) == 0, "make a link to itself");
    list(home);

    char text[64];
    ssize_t length = readlink(in(home, "soft"), text, sizeof text);
    expect_success(length >= 0, "read the symbolic link");
    printf("  it says \"%.*s\"\n", (int)(length > 0 ? length : 0), text);
    show_text(in(home, "soft"));
    expect_error(fopen(in(home, "circle"), "r") != NULL, ELOOP, "open the link to itself");
    expect_error(open(in(home, "soft"), O_RDONLY | O_NOFOLLOW) >= 0, ELOOP, "open the link without following it");

    struct stat first, second;
    bool both = stat(in(home, "target"), &first) == 0 && stat(in(home, "hard"), &second) == 0;
    expect_success(both, "status of both names");
    expect(both && first.st_ino == second.st_ino && first.st_dev == second.st_dev, "both names are one file");
    expect(both && first.st_nlink == 2, "it counts two names");

    expect_success(unlink(in(home, "target")) == 0, "unlink the target");
    expect_error(fopen(in(home, "soft"), "r") != NULL, ENOENT, "open the dangling link");
    show_text(in(home, "hard"));
    expect_success(unlink(in(home, "soft")) == 0, "unlink the symbolic link");
    expect_success(unlink(in(home, "circle")) == 0, "unlink the link to itself");
    expect_success(unlink(in(home, "hard")) == 0, "unlink the hard link");
    return finish(home);
}

/* ---- host: clocks and random bytes ---- */

static int64_t nanoseconds(clockid_t clock)
{
    struct timespec now = {0, 0};
    expect_success(clock_gettime(clock, &now) == 0, "read a clock");
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int run_host(char **arguments)
{
    (void)arguments;
    expect(time(NULL) > 1600000000, "the time is past 2020");

    struct timespec resolution = {0, 0};
    expect_success(clock_getres(CLOCK_MONOTONIC, &resolution) == 0, "resolution of the clock");
    expect(resolution.tv_sec > 0 || resolution.tv_nsec > 0, "it is more than nothing");

    const struct timespec nap = {.tv_sec = 0, .tv_nsec = 20000000};
    int64_t before = nanoseconds(CLOCK_MONOTONIC);
    expect_success(nanosleep(&nap, NULL) == 0, "sleep for 20 ms");
    int64_t after = nanoseconds(CLOCK_MONOTONIC);
    /* The clock may be coarser than the sleep is exact; a tenth is allowed for that. */
    expect(after - before >= 18000000, "that took about 20 ms or longer");

    unsigned char first[32] = {0}, second[32] = {0};
    expect_success(getentropy(first, sizeof first) == 0, "random bytes");
    expect_success(getentropy(second, sizeof second) == 0, "and some more");
    expect(memcmp(first, second, sizeof first) != 0, "they differ");
    return failures > 0 ? 1 : 0;
}

/* ---- small commands ---- */

static int run_cat(char **paths)
{
    int result = 0;
    for (; *paths != NULL; paths++) {
        FILE *file = fopen(*paths, "rb");
        if (file == NULL) {
            result = complain(*paths);
            continue;
        }
        char buffer[4096];
        size_t got;
        while ((got = fread(buffer, 1, sizeof buffer, file)) > 0)
            fwrite(buffer, 1, got, stdout);
        fclose(file);
    }
    return result;
}

static int run_ls(char **arguments)
{
    return list(arguments[0]);
}

static int run_env(char **names)
{
    int result = 0;
    for (; *names != NULL; names++) {
        const char *value = getenv(*names);
        if (value != NULL) {
            printf("%s=%s\n", *names, value);
        } else {
            printf("%s is not set\n", *names);
            result = 1;
        }
    }
    return result;
}

static int run_args(char **arguments)
{
    for (int i = 1; *arguments != NULL; arguments++, i++)
        printf("%d: \"%s\"\n", i, *arguments);
    return 0;
}

static int run_echo(char **arguments)
{
    (void)arguments;
    int byte, line = 1;
    bool at_start = true;
    while ((byte = getchar()) != EOF) {
        if (at_start)
            printf("%3d  ", line++);
        putchar(byte);
        at_start = byte == '\n';
    }
    return 0;
}

static int run_exit(char **arguments)
{
    puts("about to exit");
    return atoi(arguments[0]);
}

static int run_abort(char **arguments)
{
    (void)arguments;
    puts("about to abort");
    fflush(stdout);
    abort();
}

/* Volatile, so that the compiler can neither foresee the end nor drop the work after the call. */
static volatile unsigned deepest_level = ~0u;
static volatile unsigned levels_left;

/* Its own function even when optimised: a backtrace then shows one frame for each level. */
__attribute__((noinline)) static unsigned descend(unsigned level)
{
    if (level == deepest_level)
        return level;
    unsigned below = descend(level + 1);
    levels_left++;
    return below ^ level;
}

static int run_stack(char **arguments)
{
    (void)arguments;
    puts("about to exhaust the stack");
    fflush(stdout);
    printf("the stack has no end: %u\n", descend(0));
    return 0;
}

/* ---- the program ---- */

typedef struct {
    const char *name;
    int (*run)(char **arguments);
    int needed; /* arguments at the least */
    const char *usage;
} Command;

static const Command commands[] = {
    {"selftest", run_selftest, 1, "DIRECTORY"},
    {"links", run_links, 1, "DIRECTORY"},
    {"host", run_host, 0, ""},
    {"cat", run_cat, 1, "FILE..."},
    {"ls", run_ls, 1, "DIRECTORY"},
    {"env", run_env, 1, "NAME..."},
    {"args", run_args, 0, "[ARGUMENT...]"},
    {"echo", run_echo, 0, ""},
    {"exit", run_exit, 1, "CODE"},
    {"abort", run_abort, 0, ""},
    {"stack", run_stack, 0, ""},
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

int main(int argc, char **argv)
{
    for (int i = 0; argc > 1 && i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].needed)
            return commands[i].run(argv + 2);

    fputs("usage:\n", stderr);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(stderr, "  filetool %s %s\n", commands[i].name, commands[i].usage);
    return 2;
}
