/*
 * jsonq - answers queries about a JSON document that is parsed once.
 *
 * The parser is that of ../jsonfmt.c. The document has two thousand people. A query is
 *
 *     FIELD=VALUE RESULT...
 *
 * and its answer is an array with the named members of everyone whose field has that value.
 */
#include "request.h"

#define main jsonfmt_main
#define putchar(c) fputc(c, answer)
#undef stdout
#define stdout answer
#include "../jsonfmt.c"
#undef stdout
#undef putchar
#undef main

enum { PEOPLE = 2000, MOST_RESULTS = 8 };

static Value document;

static void append(char **end, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    *end += vsprintf(*end, format, arguments);
    va_end(arguments);
}

/* Writes the document's text: what another program would read from a file. */
static char *write_document(char *end)
{
    static const char *const cities[] = {"Bergen", "Gen\\u00e8ve", "Kyoto", "L\\u00fcbeck", "Oslo", "Porto", "Quito"};
    append(&end, "[");
    for (int i = 0; i < PEOPLE; i++) {
        append(&end, "%s{\"id\": %d, \"name\": \"Person %d\", ", i > 0 ? ", " : "", i, i * 7919 % PEOPLE);
        append(&end, "\"city\": \"%s\", \"age\": %d, ", cities[i % 7], 18 + i * 31 % 70);
        append(&end, "\"tags\": [\"t%d\", \"t%d\"], \"balance\": %d.25}", i % 11, i % 13, i * 37 % 10000);
    }
    append(&end, "]");
    return end;
}

static void prepare(void)
{
    char *text = must_alloc(malloc(PEOPLE * 200));
    Parser parser = {.name = "people.json", .start = text, .next = text, .end = write_document(text)};
    document = parse_text(&parser);
    free(text);
}

static const Value *member(const Value *of, const char *key)
{
    for (size_t i = 0; i < of->count; i++) {
        const Text *name = &of->members[i].key;
        if (strlen(key) == name->length && memcmp(key, name->bytes, name->length) == 0)
            return &of->members[i].value;
    }
    return NULL;
}

static void answer_request(void)
{
    char *value = strchr(request, '=');
    if (value == NULL) {
        fputs("what is that?\n", answer);
        return;
    }
    *value++ = '\0';
    char *results[MOST_RESULTS];
    size_t wanted = 0;
    strtok(value, " \n");
    for (char *name; wanted < MOST_RESULTS && (name = strtok(NULL, " \n")) != NULL;)
        results[wanted++] = name;

    /* What is found becomes a value of its own, whose texts are the document's. */
    Value found = {.kind = JSON_ARRAY};
    for (size_t i = 0; i < document.count; i++) {
        const Value *person = &document.members[i].value;
        const Value *field = member(person, request);
        if (field == NULL || field->text.length != strlen(value)
            || memcmp(field->text.bytes, value, field->text.length) != 0)
            continue;
        Value row = {.kind = JSON_OBJECT};
        for (size_t w = 0; w < wanted; w++) {
            const Value *result = member(person, results[w]);
            if (result == NULL)
                continue;
            Member *added = add_member(&row);
            added->key = (Text){results[w], strlen(results[w])};
            added->value = *result;
        }
        add_member(&found)->value = row;
    }
    Options options = {.compact = true};
    print_value(&found, 0, &options);
    fputc('\n', answer);
    for (size_t i = 0; i < found.count; i++)
        free(found.members[i].value.members);
    free(found.members);
}
