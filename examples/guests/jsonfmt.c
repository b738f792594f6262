/*
 * jsonfmt - check a JSON text (RFC 8259) and print it in a uniform layout.
 *
 *     jsonfmt [--compact] [--indent WIDTH] [--sort-keys] [--ascii] [FILE]
 *
 * Reads standard input when no file is named. The whole text is parsed into a
 * tree before anything is printed, so a faulty text yields an error message and
 * no output. Numbers keep the digits they were written with, whatever their
 * size or precision.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 500, MAX_INDENT = 16 };

/* ---- values ---- */

typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } Kind;

/* Decoded text; it may hold NUL bytes, so it has a length. */
typedef struct {
    char *bytes;
    size_t length;
} Text;

typedef struct Member Member;

typedef struct {
    Kind kind;
    Text text;       /* a number as written, or a string's contents */
    Member *members; /* of an array or object */
    size_t count;
} Value;

/* An array's members have no key. */
struct Member {
    Text key;
    Value value;
};

typedef struct {
    const char *name; /* for messages */
    const char *start;
    const char *next;
    const char *end;
    int depth;
} Parser;

typedef struct {
    bool compact;
    bool sort_keys;
    bool ascii;
    int indent;
    const char *path; /* NULL: standard input */
} Options;

static void *must_alloc(void *memory)
{
    if (memory == NULL) {
        fputs("jsonfmt: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

static void free_value(Value *value)
{
    for (size_t i = 0; i < value->count; i++) {
        free(value->members[i].key.bytes);
        free_value(&value->members[i].value);
    }
    free(value->members);
    free(value->text.bytes);
}

/* ---- errors ---- */

/* Reports a fault at a place in the text; columns count characters, not bytes. */
static _Noreturn void fail_at(const Parser *parser, const char *place, const char *format, ...)
{
    unsigned long line = 1, column = 1;
    for (const char *p = parser->start; p < place; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            column++;
        }
    }

    fprintf(stderr, "jsonfmt: %s:%lu:%lu: ", parser->name, line, column);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* Says what stands where something else was wanted. */
static _Noreturn void fail_expecting(const Parser *parser, const char *wanted)
{
    if (parser->next == parser->end)
        fail_at(parser, parser->next, "expected %s, found the end of the text", wanted);
    unsigned char found = (unsigned char)*parser->next;
    if (found > ' ' && found < 0x7F)
        fail_at(parser, parser->next, "expected %s, found '%c'", wanted, found);
    fail_at(parser, parser->next, "expected %s, found byte 0x%02x", wanted, found);
}

/* ---- lexical helpers ---- */

static bool at(const Parser *parser, char byte)
{
    return parser->next < parser->end && *parser->next == byte;
}

static bool at_digit(const Parser *parser)
{
    return parser->next < parser->end && *parser->next >= '0' && *parser->next <= '9';
}

static bool skip(Parser *parser, char byte)
{
    if (!at(parser, byte))
        return false;
    parser->next++;
    return true;
}

static void skip_space(Parser *parser)
{
    while (at(parser, ' ') || at(parser, '\t') || at(parser, '\n') || at(parser, '\r'))
        parser->next++;
}

/* ---- strings ---- */

static uint32_t parse_hex4(Parser *parser)
{
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        char c = parser->next < parser->end ? *parser->next : '\0';
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A' + 10);
        else
            fail_expecting(parser, "four hexadecimal digits after \\u");
        code = code << 4 | digit;
        parser->next++;
    }
    return code;
}

/* The digits of a \u escape; characters past U+FFFF take two of them. */
static uint32_t parse_unicode_escape(Parser *parser)
{
    const char *place = parser->next - 2;
    uint32_t code = parse_hex4(parser);
    if (code >= 0xDC00 && code <= 0xDFFF)
        fail_at(parser, place, "low surrogate without a high one before it");
    if (code < 0xD800 || code > 0xDBFF)
        return code;

    if (!skip(parser, '\\') || !skip(parser, 'u'))
        fail_at(parser, place, "high surrogate without a low one after it");
    uint32_t low = parse_hex4(parser);
    if (low < 0xDC00 || low > 0xDFFF)
        fail_at(parser, place, "high surrogate without a low one after it");
    return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

static char *encode_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xF0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3F));
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

/*
 * Decodes one well-formed UTF-8 sequence and returns its length, or 0 for a
 * stray, truncated, overlong or out-of-range one.
 */
static size_t decode_utf8(const char *bytes, const char *end, uint32_t *code)
{
    unsigned char first = (unsigned char)*bytes;
    size_t length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (length == 0 || (size_t)(end - bytes) < length)
        return 0;

    static const unsigned char first_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    *code = first & first_bits[length];
    for (size_t i = 1; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if ((byte & 0xC0) != 0x80)
            return 0;
        *code = *code << 6 | (byte & 0x3F);
    }
    bool surrogate = *code >= 0xD800 && *code <= 0xDFFF;
    return *code < least[length] || *code > 0x10FFFF || surrogate ? 0 : length;
}

static char *parse_escape(Parser *parser, char *out)
{
    const char *place = parser->next++; /* past the backslash */
    if (parser->next == parser->end)
        fail_expecting(parser, "an escape");
    switch (*parser->next++) {
    case '"': *out++ = '"'; break;
    case '\\': *out++ = '\\'; break;
    case '/': *out++ = '/'; break;
    case 'b': *out++ = '\b'; break;
    case 'f': *out++ = '\f'; break;
    case 'n': *out++ = '\n'; break;
    case 'r': *out++ = '\r'; break;
    case 't': *out++ = '\t'; break;
    case 'u': return encode_utf8(out, parse_unicode_escape(parser));
    default: fail_at(parser, place, "unknown escape in a string");
    }
    return out;
}

static char *parse_plain_character(Parser *parser, char *out)
{
    if ((unsigned char)*parser->next < ' ')
        fail_at(parser, parser->next, "control character 0x%02x in a string must be escaped",
                (unsigned char)*parser->next);
    uint32_t code;
    size_t length = decode_utf8(parser->next, parser->end, &code);
    if (length == 0)
        fail_at(parser, parser->next, "invalid UTF-8 in a string");
    memcpy(out, parser->next, length);
    parser->next += length;
    return out + length;
}

/* Finds the closing quote, so that a string's buffer can be allocated at once. */
static size_t string_room(const Parser *parser)
{
    const char *p = parser->next;
    while (p < parser->end && *p != '"')
        p += *p == '\\' && p + 1 < parser->end ? 2 : 1;
    return (size_t)(p - parser->next);
}

static Text parse_string(Parser *parser)
{
    const char *place = parser->next;
    if (!skip(parser, '"'))
        fail_expecting(parser, "a string");

    /* Decoding never lengthens a string: the shortest escape of n bytes of UTF-8 is longer than n. */
    char *bytes = must_alloc(malloc(string_room(parser) + 1));
    char *out = bytes;
    while (!skip(parser, '"')) {
        if (parser->next == parser->end)
            fail_at(parser, place, "string without an end");
        out = *parser->next == '\\' ? parse_escape(parser, out) : parse_plain_character(parser, out);
    }
    return (Text){bytes, (size_t)(out - bytes)};
}

/* ---- numbers, words, arrays and objects ---- */

static void skip_digits(Parser *parser, const char *wanted)
{
    if (!at_digit(parser))
        fail_expecting(parser, wanted);
    while (at_digit(parser))
        parser->next++;
}

static Value parse_number(Parser *parser)
{
    const char *start = parser->next;
    skip(parser, '-');
    if (at(parser, '0')) {
        parser->next++;
        if (at_digit(parser))
            fail_at(parser, start, "number with a leading zero");
    } else {
        skip_digits(parser, "a digit");
    }
    if (skip(parser, '.'))
        skip_digits(parser, "a digit after the decimal point");
    if (skip(parser, 'e') || skip(parser, 'E')) {
        if (!skip(parser, '+'))
            skip(parser, '-');
        skip_digits(parser, "a digit in the exponent");
    }

    size_t length = (size_t)(parser->next - start);
    char *copy = must_alloc(malloc(length));
    memcpy(copy, start, length);
    return (Value){.kind = JSON_NUMBER, .text = {copy, length}};
}

static Value parse_word(Parser *parser)
{
    static const struct {
        const char *word;
        Kind kind;
    } words[] = {{"null", JSON_NULL}, {"false", JSON_FALSE}, {"true", JSON_TRUE}};

    const char *start = parser->next;
    while (parser->next < parser->end && *parser->next >= 'a' && *parser->next <= 'z')
        parser->next++;
    size_t length = (size_t)(parser->next - start);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (length == strlen(words[i].word) && memcmp(start, words[i].word, length) == 0)
            return (Value){.kind = words[i].kind};
    fail_at(parser, start, "unknown word '%.*s'", (int)(length < 40 ? length : 40), start);
}

static Value parse_value(Parser *parser);

static Member *add_member(Value *parent)
{
    /* The room for members is always the next power of two. */
    if ((parent->count & (parent->count - 1)) == 0) {
        size_t room = parent->count == 0 ? 1 : parent->count * 2;
        parent->members = must_alloc(realloc(parent->members, room * sizeof(Member)));
    }
    Member *member = &parent->members[parent->count++];
    *member = (Member){.key = {NULL, 0}};
    return member;
}

static void enter(Parser *parser)
{
    if (++parser->depth > MAX_DEPTH)
        fail_at(parser, parser->next, "nested more than %d levels deep", MAX_DEPTH);
    parser->next++;
    skip_space(parser);
}

static Value parse_array(Parser *parser)
{
    Value array = {.kind = JSON_ARRAY};
    enter(parser);
    if (!skip(parser, ']')) {
        do {
            Value element = parse_value(parser);
            add_member(&array)->value = element;
        } while (skip(parser, ','));
        if (!skip(parser, ']'))
            fail_expecting(parser, "',' or ']' in an array");
    }
    parser->depth--;
    return array;
}

static Value parse_object(Parser *parser)
{
    Value object = {.kind = JSON_OBJECT};
    enter(parser);
    if (!skip(parser, '}')) {
        do {
            skip_space(parser);
            if (!at(parser, '"'))
                fail_expecting(parser, "a key in double quotes");
            Text key = parse_string(parser);
            skip_space(parser);
            if (!skip(parser, ':'))
                fail_expecting(parser, "':' after a key");
            Value value = parse_value(parser);
            *add_member(&object) = (Member){key, value};
        } while (skip(parser, ','));
        if (!skip(parser, '}'))
            fail_expecting(parser, "',' or '}' in an object");
    }
    parser->depth--;
    return object;
}

/* Parses a value with the space on both sides of it. */
static Value parse_value(Parser *parser)
{
    Value value;
    skip_space(parser);
    if (at(parser, '{'))
        value = parse_object(parser);
    else if (at(parser, '['))
        value = parse_array(parser);
    else if (at(parser, '"'))
        value = (Value){.kind = JSON_STRING, .text = parse_string(parser)};
    else if (at(parser, '-') || at_digit(parser))
        value = parse_number(parser);
    else if (parser->next < parser->end && *parser->next >= 'a' && *parser->next <= 'z')
        value = parse_word(parser);
    else
        fail_expecting(parser, "a value");
    skip_space(parser);
    return value;
}

static Value parse_text(Parser *parser)
{
    Value value = parse_value(parser);
    if (parser->next < parser->end)
        fail_expecting(parser, "the end of the text after the value");
    return value;
}

/* ---- sorting ---- */

static int compare_keys(const void *left, const void *right)
{
    const Text *a = &((const Member *)left)->key;
    const Text *b = &((const Member *)right)->key;
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = shorter > 0 ? memcmp(a->bytes, b->bytes, shorter) : 0;
    if (order != 0)
        return order;
    return a->length < b->length ? -1 : a->length > b->length;
}

/*
 * A merge sort, since it is stable: keys that occur twice must stay in the
 * order of the text, and qsort need not keep it.
 */
static void sort_members(Member *members, Member *spare, size_t count)
{
    if (count < 2)
        return;
    size_t half = count / 2;
    sort_members(members, spare, half);
    sort_members(members + half, spare, count - half);

    memcpy(spare, members, half * sizeof *spare);
    size_t left = 0, right = half, out = 0;
    while (left < half)
        if (right < count && compare_keys(&members[right], &spare[left]) < 0)
            members[out++] = members[right++];
        else
            members[out++] = spare[left++];
}

static void sort_keys(Value *value)
{
    if (value->kind == JSON_OBJECT && value->count > 1) {
        Member *spare = must_alloc(malloc(value->count * sizeof *spare));
        sort_members(value->members, spare, value->count);
        free(spare);
    }
    for (size_t i = 0; i < value->count; i++)
        sort_keys(&value->members[i].value);
}

/* ---- printing ---- */

static void print_escaped(uint32_t code)
{
    static const char short_names[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *pair = short_names; *pair != '\0'; pair += 2) {
        if (code == (unsigned char)pair[0]) {
            printf("\\%c", pair[1]);
            return;
        }
    }
    if (code < 0x10000)
        printf("\\u%04x", (unsigned)code);
    else
        printf("\\u%04x\\u%04x", (unsigned)(0xD800 + ((code - 0x10000) >> 10)),
               (unsigned)(0xDC00 + ((code - 0x10000) & 0x3FF)));
}

static void print_string(const Text *text, const Options *options)
{
    putchar('"');
    const char *p = text->bytes, *end = text->bytes + text->length;
    while (p < end) {
        uint32_t code = 0;
        size_t length = decode_utf8(p, end, &code);
        if (code < ' ' || code == '"' || code == '\\' || (options->ascii && code > '~'))
            print_escaped(code);
        else
            fwrite(p, 1, length, stdout);
        p += length;
    }
    putchar('"');
}

static void print_line_start(int depth, const Options *options)
{
    if (options->compact)
        return;
    putchar('\n');
    for (int i = depth * options->indent; i > 0; i--)
        putchar(' ');
}

static void print_value(const Value *value, int depth, const Options *options);

static void print_members(const Value *value, int depth, const Options *options)
{
    for (size_t i = 0; i < value->count; i++) {
        const Member *member = &value->members[i];
        if (i > 0)
            putchar(',');
        print_line_start(depth + 1, options);
        if (value->kind == JSON_OBJECT) {
            print_string(&member->key, options);
            fputs(options->compact ? ":" : ": ", stdout);
        }
        print_value(&member->value, depth + 1, options);
    }
    if (value->count > 0)
        print_line_start(depth, options);
}

static void print_value(const Value *value, int depth, const Options *options)
{
    switch (value->kind) {
    case JSON_NULL: fputs("null", stdout); break;
    case JSON_FALSE: fputs("false", stdout); break;
    case JSON_TRUE: fputs("true", stdout); break;
    case JSON_NUMBER: fwrite(value->text.bytes, 1, value->text.length, stdout); break;
    case JSON_STRING: print_string(&value->text, options); break;
    case JSON_ARRAY:
        putchar('[');
        print_members(value, depth, options);
        putchar(']');
        break;
    case JSON_OBJECT:
        putchar('{');
        print_members(value, depth, options);
        putchar('}');
        break;
    }
}

/* ---- the program ---- */

static Text read_all(FILE *file, const char *name)
{
    Text text = {NULL, 0};
    size_t room = 0, got;
    do {
        if (text.length == room) {
            room = room == 0 ? 4096 : room * 2;
            text.bytes = must_alloc(realloc(text.bytes, room));
        }
        got = fread(text.bytes + text.length, 1, room - text.length, file);
        text.length += got;
    } while (got > 0);

    if (ferror(file)) {
        fprintf(stderr, "jsonfmt: %s: %s\n", name, strerror(errno));
        exit(2);
    }
    return text;
}

static Text read_input(const Options *options)
{
    if (options->path == NULL)
        return read_all(stdin, "<stdin>");
    FILE *file = fopen(options->path, "rb");
    if (file == NULL) {
        fprintf(stderr, "jsonfmt: %s: %s\n", options->path, strerror(errno));
        exit(2);
    }
    Text text = read_all(file, options->path);
    fclose(file);
    return text;
}

static _Noreturn void usage(void)
{
    fputs("usage: jsonfmt [--compact] [--indent WIDTH] [--sort-keys] [--ascii] [FILE]\n"
          "  --compact        print no space at all\n"
          "  --indent WIDTH   indent by WIDTH spaces, 0 to 16 (default 2)\n"
          "  --sort-keys      print the keys of each object in byte order\n"
          "  --ascii          escape all characters outside ASCII\n",
          stderr);
    exit(2);
}

static int parse_indent(const char *argument)
{
    char *end = NULL;
    long width = argument != NULL ? strtol(argument, &end, 10) : -1;
    if (width < 0 || width > MAX_INDENT || end == argument || *end != '\0')
        usage();
    return (int)width;
}

static Options parse_options(char **argv)
{
    Options options = {.indent = 2};
    for (char **argument = argv + 1; *argument != NULL; argument++) {
        if (strcmp(*argument, "--compact") == 0)
            options.compact = true;
        else if (strcmp(*argument, "--sort-keys") == 0)
            options.sort_keys = true;
        else if (strcmp(*argument, "--ascii") == 0)
            options.ascii = true;
        else if (strcmp(*argument, "--indent") == 0)
            options.indent = parse_indent(*++argument);
        else if (**argument == '-' || options.path != NULL)
            usage();
        else
            options.path = *argument;
    }
    return options;
}

int main(int argc, char **argv)
{
    (void)argc;
    Options options = parse_options(argv);
    Text input = read_input(&options);
    Parser parser = {
        .name = options.path != NULL ? options.path : "<stdin>",
        .start = input.bytes,
        .next = input.bytes,
        .end = input.bytes + input.length,
    };

    Value value = parse_text(&parser);
    if (options.sort_keys)
        sort_keys(&value);
    print_value(&value, 0, &options);
    putchar('\n');
    free_value(&value);
    free(input.bytes);
    return 0;
}
