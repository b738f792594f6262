/*
 * page - renders HTML pages from templates that are parsed once.
 *
 * In a template, {{name}} is a value with HTML's special characters replaced, {{#name}}...{{/name}} is repeated for
 * each item of a list, {{?name}}...{{/name}} is there if the value is not empty, and {{>name}} is another template. A
 * request names a template on its first line, and then gives a value on each line: `name=value` or, for a list,
 * `name+=value`, which {{.}} stands for.
 */
#include "request.h"

#include <stdbool.h>
#include <string.h>

static void *must_alloc(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* ---- templates ---- */

typedef enum { TEXT, VALUE, EACH, WHEN, INCLUDE } Kind;

typedef struct Node Node;
struct Node {
    Kind kind;
    char *text; /* or a name */
    Node *inside;
    Node *next;
};

typedef struct Template Template;
struct Template {
    const char *name;
    Node *first;
    Template *next;
};

static Template *templates;

static char *copy(const char *from, size_t length)
{
    char *text = must_alloc(malloc(length + 1));
    memcpy(text, from, length);
    text[length] = '\0';
    return text;
}

static Node *parse(const char **at)
{
    Node *first = NULL, **last = &first;
    while (**at != '\0') {
        const char *open = strstr(*at, "{{");
        size_t plain = open == NULL ? strlen(*at) : (size_t)(open - *at);
        if (plain > 0) {
            *last = must_alloc(calloc(1, sizeof(Node)));
            (*last)->text = copy(*at, plain);
            last = &(*last)->next;
        }
        *at += plain;
        if (open == NULL)
            break;
        const char *name = open + 2, *close = strstr(name, "}}");
        if (close == NULL)
            abort();
        *at = close + 2;
        if (*name == '/')
            break;
        Kind kind = *name == '#' ? EACH : *name == '?' ? WHEN : *name == '>' ? INCLUDE : VALUE;
        name += kind != VALUE;
        *last = must_alloc(calloc(1, sizeof(Node)));
        (*last)->kind = kind;
        (*last)->text = copy(name, (size_t)(close - name));
        if (kind == EACH || kind == WHEN)
            (*last)->inside = parse(at);
        last = &(*last)->next;
    }
    return first;
}

static void add_template(const char *name, const char *text)
{
    Template *added = must_alloc(calloc(1, sizeof *added));
    added->name = name;
    added->first = parse(&text);
    added->next = templates;
    templates = added;
}

/* ---- values ---- */

typedef struct Item Item;
struct Item {
    char *name;
    char *value;
    Item *next;
};

static Item *items, **last_item;

static void add_item(char *line)
{
    char *value = strchr(line, '=');
    if (value == NULL)
        return;
    Item *item = must_alloc(calloc(1, sizeof *item));
    size_t name = (size_t)(value - line);
    item->name = copy(line, name > 0 && line[name - 1] == '+' ? name - 1 : name);
    item->value = copy(value + 1, strlen(value + 1));
    *last_item = item;
    last_item = &item->next;
}

static const Item *find(const Item *from, const char *name)
{
    while (from != NULL && strcmp(from->name, name) != 0)
        from = from->next;
    return from;
}

/* ---- rendering ---- */

static void escape(const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<': fputs("&lt;", answer); break;
        case '>': fputs("&gt;", answer); break;
        case '&': fputs("&amp;", answer); break;
        case '"': fputs("&quot;", answer); break;
        default: fputc(*text, answer);
        }
    }
}

static void render(const Node *node, const Item *dot);

static void render_template(const char *name, const Item *dot)
{
    for (const Template *it = templates; it != NULL; it = it->next)
        if (strcmp(it->name, name) == 0)
            render(it->first, dot);
}

static void render(const Node *node, const Item *dot)
{
    for (; node != NULL; node = node->next) {
        const Item *item = node->text[0] == '.' ? dot : find(items, node->text);
        switch (node->kind) {
        case TEXT: fputs(node->text, answer); break;
        case VALUE:
            if (item != NULL)
                escape(item->value);
            break;
        case EACH:
            for (; item != NULL; item = find(item->next, node->text))
                render(node->inside, item);
            break;
        case WHEN:
            if (item != NULL && item->value[0] != '\0')
                render(node->inside, dot);
            break;
        case INCLUDE: render_template(node->text, dot); break;
        }
    }
}

/* ---- the guest ---- */

static void prepare(void)
{
    add_template("head", "<!doctype html><html lang=\"{{lang}}\"><head><title>{{title}}</title>"
                         "<meta charset=\"utf-8\"></head><body><header><h1>{{title}}</h1>{{>menu}}</header>\n");
    add_template("menu", "<nav>{{#menu}}<a href=\"/{{.}}\">{{.}}</a> {{/menu}}</nav>");
    add_template("foot", "<footer>{{?user}}Signed in as {{user}}.{{/user}} {{year}}</footer></body></html>\n");
    add_template("row", "<li class=\"row\"><b>{{.}}</b> <a href=\"/item?q={{.}}\">more about {{.}}</a></li>\n");
    add_template("list", "{{>head}}<main><p>{{intro}}</p><ul>{{#item}}{{>row}}{{/item}}</ul></main>{{>foot}}");
    /* A site has many more templates than one page needs. */
    for (int i = 0; i < 400; i++) {
        char *name = must_alloc(malloc(16)), text[512];
        snprintf(name, 16, "part-%d", i);
        snprintf(text, sizeof text, "<section id=\"%d\">{{?title}}<h2>{{title}}</h2>{{/title}}"
                                    "{{#item}}<p>{{.}} (%d)</p>{{/item}}{{>foot}}</section>", i, i);
        add_template(name, text);
    }
}

static void answer_request(void)
{
    last_item = &items;
    char *template = strtok(request, "\n");
    for (char *line; (line = strtok(NULL, "\n")) != NULL;)
        add_item(line);
    if (template != NULL)
        render_template(template, NULL);
    while (items != NULL) {
        Item *next = items->next;
        free(items->name);
        free(items->value);
        free(items);
        items = next;
    }
}
