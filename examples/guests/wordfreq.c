/*
 * wordfreq - count the words in files and directory trees.
 *
 *     wordfreq [-n COUNT] [-l LENGTH] [-f] PATH...
 *
 * Prints the most frequent words first and words of equal frequency in byte
 * order, so that the answer never depends on the order in which the system
 * lists a directory. Directories are entered recursively.
 */
#define _POSIX_C_SOURCE 200809L

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_WORD = 64, READ_SIZE = 8192, FIRST_BUCKETS = 64 };

typedef struct Word {
    struct Word *next; /* in the same bucket */
    uint32_t hash;
    unsigned long count;
    char text[];
} Word;

typedef struct {
    Word **buckets;
    size_t bucket_count; /* a power of two */
    size_t word_count;
} Table;

typedef struct {
    unsigned long files;
    unsigned long directories;
    unsigned long words;
    unsigned long failures;
} Totals;

typedef struct {
    size_t show;       /* how many words to print */
    size_t min_length; /* shorter words are not counted */
    bool list_files;
} Options;

typedef struct {
    Options options;
    Totals totals;
    Table table;
} Counter;

/* ---- memory ---- */

static void *must_alloc(void *memory)
{
    if (memory == NULL) {
        fputs("wordfreq: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

static char *copy_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(must_alloc(malloc(size)), text, size);
}

/* ---- hash table ---- */

/* FNV-1a: short, and good enough for words. */
static uint32_t hash_bytes(const char *text, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) {
        hash ^= (unsigned char)text[i];
        hash *= 16777619u;
    }
    return hash;
}

static void table_init(Table *table)
{
    table->bucket_count = FIRST_BUCKETS;
    table->word_count = 0;
    table->buckets = must_alloc(calloc(table->bucket_count, sizeof(Word *)));
}

static void table_grow(Table *table)
{
    size_t new_count = table->bucket_count * 2;
    Word **new_buckets = must_alloc(calloc(new_count, sizeof(Word *)));

    for (size_t i = 0; i < table->bucket_count; i++) {
        Word *word = table->buckets[i];
        while (word != NULL) {
            Word *next = word->next;
            Word **home = &new_buckets[word->hash & (new_count - 1)];
            word->next = *home;
            *home = word;
            word = next;
        }
    }
    free(table->buckets);
    table->buckets = new_buckets;
    table->bucket_count = new_count;
}

static void table_count(Table *table, const char *text, size_t length)
{
    uint32_t hash = hash_bytes(text, length);
    Word *word = table->buckets[hash & (table->bucket_count - 1)];

    for (; word != NULL; word = word->next) {
        if (word->hash == hash && strncmp(word->text, text, length) == 0 && word->text[length] == '\0') {
            word->count++;
            return;
        }
    }

    if (table->word_count >= table->bucket_count)
        table_grow(table);
    word = must_alloc(malloc(sizeof(Word) + length + 1));
    word->hash = hash;
    word->count = 1;
    memcpy(word->text, text, length);
    word->text[length] = '\0';

    Word **home = &table->buckets[hash & (table->bucket_count - 1)];
    word->next = *home;
    *home = word;
    table->word_count++;
}

static void table_free(Table *table)
{
    for (size_t i = 0; i < table->bucket_count; i++) {
        Word *word = table->buckets[i];
        while (word != NULL) {
            Word *next = word->next;
            free(word);
            word = next;
        }
    }
    free(table->buckets);
}

/* ---- splitting text into words ---- */

/* The word being read; it outlives one buffer, since a word may straddle two. */
typedef struct {
    char text[MAX_WORD];
    size_t length;
    unsigned long words;
} Splitter;

/* Bytes of multi-byte characters count as letters and are left as they are. */
static bool is_letter(unsigned char byte)
{
    return byte >= 0x80 || isalpha(byte);
}

static void end_word(Counter *counter, Splitter *splitter)
{
    while (splitter->length > 0 && splitter->text[splitter->length - 1] == '\'')
        splitter->length--;
    if (splitter->length > 0 && splitter->length >= counter->options.min_length) {
        table_count(&counter->table, splitter->text, splitter->length);
        splitter->words++;
    }
    splitter->length = 0;
}

static void split_buffer(Counter *counter, Splitter *splitter, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        bool inside = splitter->length > 0;

        if (is_letter(byte) || (byte == '\'' && inside)) {
            if (splitter->length == MAX_WORD)
                end_word(counter, splitter);
            splitter->text[splitter->length++] = (char)(byte < 0x80 ? tolower(byte) : byte);
        } else if (inside) {
            end_word(counter, splitter);
        }
    }
}

/* ---- walking the tree ---- */

static void report(Counter *counter, const char *path)
{
    fprintf(stderr, "wordfreq: %s: %s\n", path, strerror(errno));
    counter->totals.failures++;
}

static void count_file(Counter *counter, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        report(counter, path);
        return;
    }

    Splitter splitter = {.length = 0};
    char buffer[READ_SIZE];
    size_t got;
    while ((got = fread(buffer, 1, sizeof buffer, file)) > 0)
        split_buffer(counter, &splitter, buffer, got);
    end_word(counter, &splitter);
    if (ferror(file))
        report(counter, path);
    fclose(file);

    counter->totals.files++;
    counter->totals.words += splitter.words;
    if (counter->options.list_files)
        printf("%7lu  %s\n", splitter.words, path);
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* The directory's entries in byte order, or NULL with errno set. */
static char **list_directory(const char *path, size_t *count)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return NULL;

    size_t capacity = 16, used = 0;
    char **names = must_alloc(malloc(capacity * sizeof *names));
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (used == capacity) {
            capacity *= 2;
            names = must_alloc(realloc(names, capacity * sizeof *names));
        }
        names[used++] = copy_text(entry->d_name);
    }
    closedir(directory);

    qsort(names, used, sizeof *names, compare_names);
    *count = used;
    return names;
}

static void count_path(Counter *counter, const char *path);

static void count_directory(Counter *counter, const char *path)
{
    size_t count;
    char **names = list_directory(path, &count);
    if (names == NULL) {
        report(counter, path);
        return;
    }

    counter->totals.directories++;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(path) + strlen(names[i]) + 2;
        char *child = must_alloc(malloc(size));
        snprintf(child, size, "%s/%s", path, names[i]);
        count_path(counter, child);
        free(child);
        free(names[i]);
    }
    free(names);
}

static void count_path(Counter *counter, const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        report(counter, path);
    else if (S_ISDIR(status.st_mode))
        count_directory(counter, path);
    else if (S_ISREG(status.st_mode))
        count_file(counter, path);
}

/* ---- the report ---- */

static int compare_words(const void *left, const void *right)
{
    const Word *a = *(Word *const *)left;
    const Word *b = *(Word *const *)right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return strcmp(a->text, b->text);
}

static void print_words(const Counter *counter)
{
    const Table *table = &counter->table;
    /* One more than needed: an empty table must not ask for zero bytes. */
    Word **words = must_alloc(malloc((table->word_count + 1) * sizeof *words));
    size_t used = 0;
    for (size_t i = 0; i < table->bucket_count; i++)
        for (Word *word = table->buckets[i]; word != NULL; word = word->next)
            words[used++] = word;
    qsort(words, used, sizeof *words, compare_words);

    size_t shown = used < counter->options.show ? used : counter->options.show;
    for (size_t i = 0; i < shown; i++)
        printf("%7lu  %s\n", words[i]->count, words[i]->text);
    free(words);
}

static void print_totals(const Counter *counter)
{
    printf("%lu words, %zu different, in %lu files and %lu directories\n", counter->totals.words,
           counter->table.word_count, counter->totals.files, counter->totals.directories);
}

/* ---- command line ---- */

static int usage(void)
{
    fputs("usage: wordfreq [-n COUNT] [-l LENGTH] [-f] PATH...\n"
          "  -n COUNT   show the COUNT most frequent words (default 10)\n"
          "  -l LENGTH  count only words of at least LENGTH bytes\n"
          "  -f         list each file with its number of words\n",
          stderr);
    return 2;
}

static bool parse_size(const char *text, size_t *value)
{
    if (text == NULL || !isdigit((unsigned char)*text))
        return false;
    char *end;
    *value = strtoul(text, &end, 10);
    return *end == '\0';
}

/* Returns the index of the first path, or 0 when the options make no sense. */
static int parse_options(int argc, char **argv, Options *options)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "-f") == 0) {
            options->list_files = true;
        } else if (strcmp(argv[i], "-n") == 0) {
            if (!parse_size(argv[++i], &options->show))
                return 0;
        } else if (strcmp(argv[i], "-l") == 0) {
            if (!parse_size(argv[++i], &options->min_length))
                return 0;
        } else {
            return 0;
        }
    }
    return i < argc ? i : 0;
}

int main(int argc, char **argv)
{
    Counter counter = {.options = {.show = 10, .min_length = 1}};
    int first_path = parse_options(argc, argv, &counter.options);
    if (first_path == 0)
        return usage();

    table_init(&counter.table);
    for (int i = first_path; i < argc; i++)
        count_path(&counter, argv[i]);
    print_words(&counter);
    print_totals(&counter);
    table_free(&counter.table);
    return counter.totals.failures > 0 ? 1 : 0;
}
