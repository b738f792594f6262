/*
 * lisp - a small Lisp that runs a script.
 *
 *     lisp [--heap CELLS] [--stats] SCRIPT [ARGUMENT...]
 *
 * The language is a subset of Scheme: lexical closures, proper tail calls,
 * pairs, whole numbers of 63 bits, strings and symbols. The special forms are
 * quote, if, define, set!, lambda, begin, and, or, let (named or not), let*,
 * cond, when and unless.
 *
 * Expressions are evaluated by a machine with a stack of its own and not by
 * recursion in C. Scripts can thus recurse far deeper than the C stack would
 * let them, and the garbage collector finds every live value without having to
 * look at the C stack.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CELLS = 4096,       /* size of the heap at the start */
    DEFAULT_LIMIT = 2000000,  /* and what it may grow to, without --heap */
    MAX_FRAMES = 200000,      /* how deep evaluation can nest */
    MAX_VALUES = 400000,      /* how many arguments can wait at once */
    MAX_NESTING = 500,        /* of lists inside lists in the reader and the printer */
    SYMBOL_BUCKETS = 256,
};

/* ---- values ---- */

/*
 * A number if the lowest bit is set, or else the address of a cell. It has 64
 * bits whatever the size of a pointer, so that arithmetic is the same everywhere.
 */
typedef int64_t Value;

typedef enum {
    FREE,
    /* These hold other values, in all three slots. */
    PAIR,
    CLOSURE,
    SCOPE,
    BINDING,
    /* These hold none, or are looked after separately. */
    STRING,
    BUILTIN,
    SYMBOL,
    CONSTANT,
} Kind;

typedef struct Builtin {
    const char *name;
    Value (*run)(int count, const Value *arguments);
    int least, most; /* number of arguments; most < 0: no limit */
} Builtin;

typedef struct Cell {
    uint8_t kind;
    bool marked;
    uint32_t extra; /* PAIR: line in the script; STRING: length; SYMBOL: number of its special form */
    union {
        Value slots[3];
        struct { Value car, cdr; } pair;
        struct { Value parameters, body, scope; } closure;
        struct { Value bindings, parent; } scope;
        struct { Value symbol, value, next; } binding;
        struct { Value global; const char *name; struct Cell *next; } symbol;
        char *text;             /* STRING */
        const Builtin *builtin; /* BUILTIN */
        const char *name;       /* CONSTANT */
        struct Cell *next_free; /* FREE */
    };
} Cell;

static Cell nil_cell = {.kind = CONSTANT, .marked = true, .name = "()"};
static Cell true_cell = {.kind = CONSTANT, .marked = true, .name = "#t"};
static Cell false_cell = {.kind = CONSTANT, .marked = true, .name = "#f"};
static Cell nothing_cell = {.kind = CONSTANT, .marked = true, .name = "#<nothing>"};
static Cell unbound_cell = {.kind = CONSTANT, .marked = true, .name = "#<unbound>"};

#define AS_VALUE(cell) ((Value)(intptr_t)(cell))
#define NIL AS_VALUE(&nil_cell)
#define NOTHING AS_VALUE(&nothing_cell)
#define UNBOUND AS_VALUE(&unbound_cell)

static bool is_number(Value value)
{
    return value & 1;
}

static int64_t number_of(Value value)
{
    return value >> 1;
}

static Cell *cell_of(Value value)
{
    return (Cell *)(intptr_t)value;
}

static bool is_kind(Value value, Kind kind)
{
    return !is_number(value) && cell_of(value)->kind == kind;
}

static Value truth(bool condition)
{
    return AS_VALUE(condition ? &true_cell : &false_cell);
}

static bool is_true(Value value)
{
    return value != truth(false);
}

/* ---- the state of the interpreter ---- */

typedef enum { STOP, BRANCH, SEQUENCE, DEFINE, ASSIGN, ARGUMENTS, ALL_OF, ANY_OF } Task;

/* What is left to do once the value of an expression is known. */
typedef struct {
    Task task;
    uint32_t line;
    size_t base; /* ARGUMENTS: where in the values the function is */
    Value rest;  /* expressions to go on with, or the symbol to be set */
    Value scope; /* where to evaluate them */
} Frame;

typedef struct Block {
    struct Block *next;
    size_t count;
    Cell cells[];
} Block;

static struct {
    Block *blocks;
    Cell *free_cells;
    size_t total, limit, live;
    unsigned long collections;
    Value guards[3]; /* contents of the cell being made */
    Cell **pending;  /* marked, but its contents are not yet */
    size_t pending_count, pending_room;
    Cell *symbols[SYMBOL_BUCKETS];
} heap;

static struct {
    const char *script;
    uint32_t line; /* being evaluated, for messages */
    const Builtin *builtin;
    Value expression, scope, value;
    bool returning; /* the value is known, and the expression done with */
    Frame *frames;
    size_t frame_count;
    Value *values; /* functions and arguments, and whatever else must be kept alive */
    size_t value_count;
    Value arguments; /* of the script */
} machine;

/* ---- errors ---- */

static void print_value(FILE *out, Value value, bool quoted, int depth);

static void start_message(void)
{
    fflush(stdout);
    fprintf(stderr, "lisp: %s:%u: ", machine.script, (unsigned)machine.line);
    if (machine.builtin != NULL)
        fprintf(stderr, "%s: ", machine.builtin->name);
}

static _Noreturn void fail(const char *format, ...)
{
    start_message();
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static _Noreturn void fail_about(const char *message, Value value)
{
    start_message();
    fprintf(stderr, "%s: ", message);
    print_value(stderr, value, true, 0);
    fputc('\n', stderr);
    exit(1);
}

static void *must_alloc(void *memory)
{
    if (memory == NULL) {
        fputs("lisp: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

/* ---- garbage collection ---- */

static void mark(Value value)
{
    if (is_number(value) || cell_of(value)->marked)
        return;
    cell_of(value)->marked = true;
    if (heap.pending_count == heap.pending_room) {
        heap.pending_room = heap.pending_room == 0 ? 1024 : heap.pending_room * 2;
        heap.pending = must_alloc(realloc(heap.pending, heap.pending_room * sizeof *heap.pending));
    }
    heap.pending[heap.pending_count++] = cell_of(value);
}

static void mark_roots(void)
{
    for (int i = 0; i < 3; i++)
        mark(heap.guards[i]);
    mark(machine.expression);
    mark(machine.scope);
    mark(machine.value);
    mark(machine.arguments);
    for (size_t i = 0; i < machine.value_count; i++)
        mark(machine.values[i]);
    for (size_t i = 0; i < machine.frame_count; i++) {
        mark(machine.frames[i].rest);
        mark(machine.frames[i].scope);
    }
    for (int i = 0; i < SYMBOL_BUCKETS; i++)
        for (Cell *symbol = heap.symbols[i]; symbol != NULL; symbol = symbol->symbol.next)
            mark(symbol->symbol.global);
}

static void release(Cell *cell)
{
    if (cell->kind == STRING)
        free(cell->text);
    cell->kind = FREE;
    cell->next_free = heap.free_cells;
    heap.free_cells = cell;
}

static void sweep(void)
{
    heap.free_cells = NULL;
    heap.live = 0;
    for (Block *block = heap.blocks; block != NULL; block = block->next) {
        for (size_t i = block->count; i-- > 0;) {
            Cell *cell = &block->cells[i];
            if (cell->marked) {
                cell->marked = false;
                heap.live++;
            } else {
                release(cell);
            }
        }
    }
}

static void collect(void)
{
    mark_roots();
    while (heap.pending_count > 0) {
        Cell *cell = heap.pending[--heap.pending_count];
        if (cell->kind >= PAIR && cell->kind <= BINDING)
            for (int i = 0; i < 3; i++)
                mark(cell->slots[i]);
    }
    sweep();
    heap.collections++;
}

static void add_block(size_t count)
{
    Block *block = must_alloc(calloc(1, sizeof(Block) + count * sizeof(Cell)));
    block->count = count;
    block->next = heap.blocks;
    heap.blocks = block;
    heap.total += count;
    for (size_t i = count; i-- > 0;)
        release(&block->cells[i]);
}

/* Called when no cell is free. Collecting again soon would be a waste, so a fuller heap grows. */
static void make_room(void)
{
    collect();
    if (heap.live * 2 > heap.total && heap.total < heap.limit) {
        size_t more = heap.total < heap.limit - heap.total ? heap.total : heap.limit - heap.total;
        add_block(more);
    }
    if (heap.free_cells == NULL) {
        machine.builtin = NULL;
        fail("heap exhausted: all of its %zu cells are in use", heap.total);
    }
}

/* The contents are safe from the collector; anything else the caller holds on to may not be. */
static Cell *allocate(Kind kind, Value first, Value second, Value third)
{
    if (heap.free_cells == NULL) {
        heap.guards[0] = first;
        heap.guards[1] = second;
        heap.guards[2] = third;
        make_room();
    }
    Cell *cell = heap.free_cells;
    heap.free_cells = cell->next_free;
    cell->kind = (uint8_t)kind;
    cell->extra = 0;
    cell->slots[0] = first;
    cell->slots[1] = second;
    cell->slots[2] = third;
    return cell;
}

/* ---- making values ---- */

static Value make_number(int64_t number)
{
    if (number < INT64_MIN / 2 || number > INT64_MAX / 2)
        fail("the number does not fit into 63 bits");
    return (Value)((uint64_t)number << 1 | 1);
}

static Value cons(Value car, Value cdr)
{
    return AS_VALUE(allocate(PAIR, car, cdr, NIL));
}

/* A string with room for its text and a final NUL, which the caller fills in. */
static Value make_string(size_t length)
{
    char *text = must_alloc(malloc(length + 1));
    text[length] = '\0';
    Cell *cell = allocate(STRING, NIL, NIL, NIL);
    cell->text = text;
    cell->extra = (uint32_t)length;
    return AS_VALUE(cell);
}

static Value copy_string(const char *text, size_t length)
{
    Value string = make_string(length);
    memcpy(cell_of(string)->text, text, length);
    return string;
}

/* Symbols live for ever, outside of the blocks that are swept. */
static Value intern(const char *name, size_t length)
{
    uint32_t hash = 5381;
    for (size_t i = 0; i < length; i++)
        hash = hash * 33 ^ (unsigned char)name[i];
    Cell **bucket = &heap.symbols[hash % SYMBOL_BUCKETS];
    for (Cell *symbol = *bucket; symbol != NULL; symbol = symbol->symbol.next)
        if (strncmp(symbol->symbol.name, name, length) == 0 && symbol->symbol.name[length] == '\0')
            return AS_VALUE(symbol);

    Cell *symbol = must_alloc(calloc(1, sizeof *symbol));
    char *copy = must_alloc(malloc(length + 1));
    memcpy(copy, name, length);
    copy[length] = '\0';
    symbol->kind = SYMBOL;
    symbol->marked = true;
    symbol->symbol.global = UNBOUND;
    symbol->symbol.name = copy;
    symbol->symbol.next = *bucket;
    *bucket = symbol;
    return AS_VALUE(symbol);
}

static Value symbol_named(const char *name)
{
    return intern(name, strlen(name));
}

static void push(Value value)
{
    if (machine.value_count == MAX_VALUES)
        fail("too many arguments at once");
    machine.values[machine.value_count++] = value;
}

/* Makes a list of the values pushed since the count was base, and pops them. */
static Value pop_list(size_t base, Value tail)
{
    while (machine.value_count > base) {
        Value last = machine.values[machine.value_count - 1];
        tail = cons(last, tail);
        machine.value_count--;
    }
    return tail;
}

/* ---- lists and forms ---- */

static Value car(Value pair)
{
    return cell_of(pair)->pair.car;
}

static Value cdr(Value pair)
{
    return cell_of(pair)->pair.cdr;
}

static bool is_pair(Value value)
{
    return is_kind(value, PAIR);
}

/* What follows the first count elements of a special form. */
static Value form_tail(Value form, int count)
{
    Value rest = form;
    for (int i = 0; i < count; i++) {
        if (!is_pair(rest))
            fail_about("bad form", form);
        rest = cdr(rest);
    }
    return rest;
}

static Value form_part(Value form, int index)
{
    Value rest = form_tail(form, index);
    if (!is_pair(rest))
        fail_about("bad form", form);
    return car(rest);
}

/* ---- the printer ---- */

static void print_string(FILE *out, const Cell *string, bool quoted)
{
    if (!quoted) {
        fwrite(string->text, 1, string->extra, out);
        return;
    }
    fputc('"', out);
    for (uint32_t i = 0; i < string->extra; i++) {
        char c = string->text[i];
        if (c == '\n')
            fputs("\\n", out);
        else if (c == '\t')
            fputs("\\t", out);
        else
            fprintf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    fputc('"', out);
}

static void print_list(FILE *out, Value list, bool quoted, int depth)
{
    const char *before = "(";
    for (; is_pair(list); list = cdr(list)) {
        fputs(before, out);
        print_value(out, car(list), quoted, depth + 1);
        before = " ";
    }
    if (list != NIL) {
        fputs(" . ", out);
        print_value(out, list, quoted, depth + 1);
    }
    fputc(')', out);
}

static void print_value(FILE *out, Value value, bool quoted, int depth)
{
    if (is_number(value)) {
        fprintf(out, "%lld", (long long)number_of(value));
        return;
    }
    const Cell *cell = cell_of(value);
    switch (cell->kind) {
    case PAIR:
        if (depth > MAX_NESTING)
            fputs("...", out);
        else
            print_list(out, value, quoted, depth);
        break;
    case STRING: print_string(out, cell, quoted); break;
    case SYMBOL: fputs(cell->symbol.name, out); break;
    case CONSTANT: fputs(cell->name, out); break;
    case BUILTIN: fprintf(out, "#<builtin %s>", cell->builtin->name); break;
    case CLOSURE: fputs("#<closure>", out); break;
    default: fputs("#<internal>", out); break;
    }
}

/* ---- the reader ---- */

typedef struct {
    const char *next;
    uint32_t line; /* 0 in the prelude, whose lines nobody wants to see in a message */
    int depth;
} Reader;

static void advance(Reader *reader)
{
    if (*reader->next == '\n' && reader->line > 0)
        reader->line++;
    reader->next++;
}

static void skip_space(Reader *reader)
{
    for (;;) {
        if (*reader->next == ';')
            while (*reader->next != '\0' && *reader->next != '\n')
                reader->next++;
        if (*reader->next == '\0' || strchr(" \t\r\n", *reader->next) == NULL)
            return;
        advance(reader);
    }
}

static _Noreturn void fail_reading(const Reader *reader, const char *message)
{
    machine.line = reader->line;
    fail("%s", message);
}

static Value read_value(Reader *reader);

static Value read_string(Reader *reader)
{
    const char *start = ++reader->next;
    uint32_t start_line = reader->line;
    size_t length = 0;
    for (const char *p = start; *p != '"'; p++, length++) {
        if (*p == '\\')
            p++;
        if (*p == '\0') {
            machine.line = start_line;
            fail("string without an end");
        }
    }

    Value string = make_string(length);
    for (char *out = cell_of(string)->text; *reader->next != '"'; advance(reader)) {
        char c = *reader->next;
        if (c == '\\') {
            c = *++reader->next;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        *out++ = c;
    }
    reader->next++;
    return string;
}

static Value read_list(Reader *reader)
{
    uint32_t line = reader->line;
    size_t base = machine.value_count;
    Value tail = NIL;

    if (++reader->depth > MAX_NESTING)
        fail_reading(reader, "lists are nested too deep");
    reader->next++;
    for (skip_space(reader); *reader->next != ')'; skip_space(reader)) {
        if (*reader->next == '\0') {
            machine.line = line;
            fail("list without an end");
        }
        bool dot = reader->next[0] == '.' && strchr(" \t\r\n(", reader->next[1]) != NULL;
        if (dot && machine.value_count > base) {
            reader->next++;
            tail = read_value(reader);
            skip_space(reader);
            if (*reader->next != ')')
                fail_reading(reader, "more than one value after the dot");
            break;
        }
        push(read_value(reader));
    }
    reader->next++;
    reader->depth--;

    Value list = pop_list(base, tail);
    if (is_pair(list))
        cell_of(list)->extra = line;
    return list;
}

static bool parse_number(const char *text, size_t length, int64_t *number)
{
    size_t digits = text[0] == '-' && length > 1 ? 1 : 0;
    for (size_t i = digits; i < length; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    if (length == digits)
        return false;

    *number = 0;
    for (size_t i = digits; i < length; i++) {
        int digit = text[i] - '0';
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_sub_overflow(*number, digit, number))
            fail("the number does not fit into 63 bits");
    }
    /* Counted downwards, as there is one more negative number than positive ones. */
    if (digits == 0 && __builtin_sub_overflow((int64_t)0, *number, number))
        fail("the number does not fit into 63 bits");
    return true;
}

static Value read_atom(Reader *reader)
{
    const char *start = reader->next;
    while (*reader->next != '\0' && strchr(" \t\r\n()';\"", *reader->next) == NULL)
        reader->next++;
    size_t length = (size_t)(reader->next - start);

    machine.line = reader->line;
    int64_t number;
    if (parse_number(start, length, &number))
        return make_number(number);
    if (length == 2 && start[0] == '#' && (start[1] == 't' || start[1] == 'f'))
        return truth(start[1] == 't');
    return intern(start, length);
}

static Value read_quoted(Reader *reader)
{
    if (++reader->depth > MAX_NESTING)
        fail_reading(reader, "lists are nested too deep");
    reader->next++;
    Value quoted = read_value(reader);
    reader->depth--;
    return cons(symbol_named("quote"), cons(quoted, NIL));
}

static Value read_value(Reader *reader)
{
    skip_space(reader);
    switch (*reader->next) {
    case '\0': fail_reading(reader, "a value is missing at the end");
    case ')': fail_reading(reader, "closing parenthesis without an opening one");
    case '(': return read_list(reader);
    case '\'': return read_quoted(reader);
    case '"': return read_string(reader);
    default: return read_atom(reader);
    }
}

/* ---- variables ---- */

static Value *find_in_scope(Value scope, Value symbol)
{
    for (Value next = cell_of(scope)->scope.bindings; next != NIL; next = cell_of(next)->binding.next)
        if (cell_of(next)->binding.symbol == symbol)
            return &cell_of(next)->binding.value;
    return NULL;
}

static Value *find_variable(Value symbol)
{
    for (Value scope = machine.scope; scope != NIL; scope = cell_of(scope)->scope.parent) {
        Value *place = find_in_scope(scope, symbol);
        if (place != NULL)
            return place;
    }
    if (cell_of(symbol)->symbol.global == UNBOUND)
        fail("unknown variable %s", cell_of(symbol)->symbol.name);
    return &cell_of(symbol)->symbol.global;
}

static void bind(Value symbol, Value value)
{
    if (!is_kind(symbol, SYMBOL))
        fail_about("not a name", symbol);
    Value next = cell_of(machine.scope)->scope.bindings;
    Value binding = AS_VALUE(allocate(BINDING, symbol, value, next));
    cell_of(machine.scope)->scope.bindings = binding;
}

static void define(Value symbol, Value value)
{
    if (machine.scope == NIL) {
        cell_of(symbol)->symbol.global = value;
        return;
    }
    Value *place = find_in_scope(machine.scope, symbol);
    if (place != NULL)
        *place = value;
    else
        bind(symbol, value);
}

/* ---- the machine ---- */

static void push_frame(Task task, Value rest)
{
    if (machine.frame_count == MAX_FRAMES)
        fail("recursion more than %d levels deep", MAX_FRAMES);
    machine.frames[machine.frame_count++] = (Frame){
        .task = task,
        .line = machine.line,
        .base = machine.value_count,
        .rest = rest,
        .scope = machine.scope,
    };
}

static void evaluate(Value expression)
{
    machine.expression = expression;
    machine.returning = false;
}

static void give(Value value)
{
    machine.value = value;
    machine.returning = true;
}

/* Evaluates expressions one by one. The last one gets no frame: that makes it a tail call. */
static void evaluate_sequence(Value expressions)
{
    if (!is_pair(expressions)) {
        give(NOTHING);
        return;
    }
    if (cdr(expressions) != NIL)
        push_frame(SEQUENCE, cdr(expressions));
    evaluate(car(expressions));
}

static void call_builtin(const Builtin *builtin, size_t base)
{
    int count = (int)(machine.value_count - base - 1);
    machine.builtin = builtin;
    if (count < builtin->least || (builtin->most >= 0 && count > builtin->most))
        fail("called with %d arguments", count);
    Value value = builtin->run(count, machine.values + base + 1);
    machine.builtin = NULL;
    machine.value_count = base;
    give(value);
}

static void call_closure(const Cell *closure, size_t base)
{
    /* The arguments and the closure stay among the values until they are bound. */
    machine.scope = AS_VALUE(allocate(SCOPE, NIL, closure->closure.scope, NIL));
    size_t next = base + 1;
    Value parameters = closure->closure.parameters;
    for (; is_pair(parameters); parameters = cdr(parameters)) {
        if (next == machine.value_count)
            fail_about("too few arguments for the parameters", closure->closure.parameters);
        bind(car(parameters), machine.values[next++]);
    }
    if (parameters != NIL)
        bind(parameters, pop_list(next, NIL));
    else if (next < machine.value_count)
        fail_about("too many arguments for the parameters", closure->closure.parameters);
    machine.value_count = base;
    evaluate_sequence(closure->closure.body);
}

static Value builtin_apply(int count, const Value *arguments);

/* Turns "apply f (a b)" among the values into "f a b". */
static void spread_arguments(size_t base)
{
    if (machine.value_count - base != 3)
        fail("apply: needs a function and a list");
    machine.values[base] = machine.values[base + 1];
    Value list = machine.values[base + 2];
    machine.value_count = base + 1;
    for (; is_pair(list); list = cdr(list))
        push(car(list));
}

static void call(size_t base)
{
    while (is_kind(machine.values[base], BUILTIN) && cell_of(machine.values[base])->builtin->run == builtin_apply)
        spread_arguments(base);

    Value function = machine.values[base];
    if (is_kind(function, BUILTIN))
        call_builtin(cell_of(function)->builtin, base);
    else if (is_kind(function, CLOSURE))
        call_closure(cell_of(function), base);
    else
        fail_about("not a function", function);
}

/* ---- special forms ---- */

static void form_quote(Value form)
{
    give(form_part(form, 1));
}

static void form_if(Value form)
{
    form_part(form, 2);
    push_frame(BRANCH, form_tail(form, 2));
    evaluate(form_part(form, 1));
}

static Value make_closure(Value parameters, Value body)
{
    return AS_VALUE(allocate(CLOSURE, parameters, body, machine.scope));
}

static void form_define(Value form)
{
    Value target = form_part(form, 1);
    if (is_pair(target) && is_kind(car(target), SYMBOL)) {
        define(car(target), make_closure(cdr(target), form_tail(form, 2)));
        give(NOTHING);
        return;
    }
    if (!is_kind(target, SYMBOL))
        fail_about("bad form", form);
    push_frame(DEFINE, target);
    evaluate(form_part(form, 2));
}

static void form_set(Value form)
{
    if (!is_kind(form_part(form, 1), SYMBOL))
        fail_about("bad form", form);
    push_frame(ASSIGN, form_part(form, 1));
    evaluate(form_part(form, 2));
}

static void form_lambda(Value form)
{
    give(make_closure(form_part(form, 1), form_tail(form, 2)));
}

static void form_begin(Value form)
{
    evaluate_sequence(cdr(form));
}

static void evaluate_chain(Task task, Value expressions, Value when_empty)
{
    if (!is_pair(expressions)) {
        give(when_empty);
        return;
    }
    if (cdr(expressions) != NIL)
        push_frame(task, cdr(expressions));
    evaluate(car(expressions));
}

static void form_and(Value form)
{
    evaluate_chain(ALL_OF, cdr(form), truth(true));
}

static void form_or(Value form)
{
    evaluate_chain(ANY_OF, cdr(form), truth(false));
}

/* ---- derived forms ---- */

/*
 * These are rewritten into simpler ones. The rewritten form takes the place of
 * the old one in the program, so that the work is done once.
 *
 * The form itself is safe from the collector since the machine is evaluating
 * it. Of what is made here, only what is pushed or passed to cons is safe.
 */
static void become(Value form, Value replacement)
{
    cell_of(form)->pair.car = car(replacement);
    cell_of(form)->pair.cdr = cdr(replacement);
    evaluate(form);
}

/* (let ((a x) ...) body ...) becomes ((lambda (a ...) body ...) x ...) */
static void form_let(Value form)
{
    Value name = form_part(form, 1);
    bool named = is_kind(name, SYMBOL);
    Value bindings = form_part(form, named ? 2 : 1);
    Value body = form_tail(form, named ? 3 : 2);

    size_t base = machine.value_count;
    for (Value next = bindings; is_pair(next); next = cdr(next))
        push(form_part(car(next), 0));
    Value function = cons(symbol_named("lambda"), cons(pop_list(base, NIL), body));
    if (named) {
        /* ((lambda () (define name function) name)) has a scope in which the function knows its name. */
        push(cons(symbol_named("define"), cons(name, cons(function, NIL))));
        push(name);
        function = cons(symbol_named("lambda"), cons(NIL, pop_list(base, NIL)));
        function = cons(function, NIL);
    }

    push(function);
    for (Value next = bindings; is_pair(next); next = cdr(next))
        push(form_part(car(next), 1));
    become(form, pop_list(base, NIL));
}

/* (let* (first rest ...) body ...) becomes (let (first) (let* (rest ...) body ...)) */
static void form_let_star(Value form)
{
    Value bindings = form_part(form, 1);
    Value body = form_tail(form, 2);
    if (is_pair(bindings) && is_pair(cdr(bindings))) {
        Value inner = cons(symbol_named("let*"), cons(cdr(bindings), body));
        body = cons(inner, NIL);
        push(body);
        bindings = cons(car(bindings), NIL);
        machine.value_count--;
    }
    /* The guards of cons keep both parts alive here. */
    Value rest = cons(bindings, body);
    become(form, cons(symbol_named("let"), rest));
}

/* (cond (test body ...) rest ...) becomes (if test (begin body ...) (cond rest ...)) */
static void form_cond(Value form)
{
    if (cdr(form) == NIL) {
        give(NOTHING);
        return;
    }
    Value clause = form_part(form, 1);
    Value body = cons(symbol_named("begin"), form_tail(clause, 1));
    if (car(clause) == symbol_named("else")) {
        become(form, body);
        return;
    }
    push(body);
    Value others = cons(symbol_named("cond"), form_tail(form, 2));
    Value branches = cons(body, cons(others, NIL));
    machine.value_count--;
    become(form, cons(symbol_named("if"), cons(car(clause), branches)));
}

/* (when test body ...) becomes (if test (begin body ...)) */
static void form_when(Value form)
{
    Value body = cons(symbol_named("begin"), form_tail(form, 2));
    become(form, cons(symbol_named("if"), cons(form_part(form, 1), cons(body, NIL))));
}

/* (unless test body ...) becomes (if test (begin) (begin body ...)) */
static void form_unless(Value form)
{
    Value body = cons(symbol_named("begin"), form_tail(form, 2));
    Value branches = cons(body, NIL);
    push(branches);
    branches = cons(cons(symbol_named("begin"), NIL), branches);
    machine.value_count--;
    become(form, cons(symbol_named("if"), cons(form_part(form, 1), branches)));
}

static const struct {
    const char *name;
    void (*run)(Value form);
} special_forms[] = {
    {"quote", form_quote}, {"if", form_if},       {"define", form_define}, {"set!", form_set},
    {"lambda", form_lambda}, {"begin", form_begin}, {"and", form_and},     {"or", form_or},
    {"let", form_let},     {"let*", form_let_star}, {"cond", form_cond},   {"when", form_when},
    {"unless", form_unless},
};

enum { SPECIAL_FORMS = sizeof special_forms / sizeof *special_forms };

/* ---- running ---- */

static void evaluate_pair(Value form)
{
    if (cell_of(form)->extra > 0)
        machine.line = cell_of(form)->extra;
    Value head = car(form);
    if (is_kind(head, SYMBOL) && cell_of(head)->extra > 0) {
        special_forms[cell_of(head)->extra - 1].run(form);
    } else {
        push_frame(ARGUMENTS, cdr(form));
        evaluate(head);
    }
}

static void evaluate_step(void)
{
    Value expression = machine.expression;
    if (is_pair(expression))
        evaluate_pair(expression);
    else if (is_kind(expression, SYMBOL))
        give(*find_variable(expression));
    else
        give(expression);
}

/* Uses the value that has been found for what the last frame says. */
static void return_step(const Frame *frame)
{
    machine.scope = frame->scope;
    machine.line = frame->line;
    switch (frame->task) {
    case STOP: break;
    case BRANCH: {
        Value branches = is_true(machine.value) ? frame->rest : cdr(frame->rest);
        if (is_pair(branches))
            evaluate(car(branches));
        else
            give(NOTHING);
        break;
    }
    case SEQUENCE: evaluate_sequence(frame->rest); break;
    case DEFINE:
        define(frame->rest, machine.value);
        give(NOTHING);
        break;
    case ASSIGN:
        *find_variable(frame->rest) = machine.value;
        give(NOTHING);
        break;
    case ARGUMENTS:
        push(machine.value);
        if (is_pair(frame->rest)) {
            push_frame(ARGUMENTS, cdr(frame->rest));
            machine.frames[machine.frame_count - 1].base = frame->base;
            evaluate(car(frame->rest));
        } else {
            call(frame->base);
        }
        break;
    case ALL_OF:
        if (is_true(machine.value))
            evaluate_chain(ALL_OF, frame->rest, NIL);
        break;
    case ANY_OF:
        if (!is_true(machine.value))
            evaluate_chain(ANY_OF, frame->rest, NIL);
        break;
    }
}

static void run(Value expression)
{
    machine.scope = NIL;
    push_frame(STOP, NIL);
    evaluate(expression);
    for (;;) {
        if (!machine.returning) {
            evaluate_step();
            continue;
        }
        Frame frame = machine.frames[--machine.frame_count];
        if (frame.task == STOP)
            return;
        return_step(&frame);
    }
}

static void run_text(const char *text, uint32_t first_line)
{
    Reader reader = {.next = text, .line = first_line};
    for (skip_space(&reader); *reader.next != '\0'; skip_space(&reader))
        run(read_value(&reader));
}

/* ---- builtins: numbers ---- */

static int64_t number_argument(Value value)
{
    if (!is_number(value))
        fail_about("not a number", value);
    return number_of(value);
}

static Value builtin_add(int count, const Value *arguments)
{
    int64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum = number_of(make_number(sum + number_argument(arguments[i])));
    return make_number(sum);
}

static Value builtin_subtract(int count, const Value *arguments)
{
    int64_t first = number_argument(arguments[0]);
    if (count == 1)
        return make_number(-first);
    for (int i = 1; i < count; i++)
        first = number_of(make_number(first - number_argument(arguments[i])));
    return make_number(first);
}

static Value builtin_multiply(int count, const Value *arguments)
{
    int64_t product = 1;
    for (int i = 0; i < count; i++) {
        if (__builtin_mul_overflow(product, number_argument(arguments[i]), &product))
            fail("the number does not fit into 63 bits");
        make_number(product);
    }
    return make_number(product);
}

static int64_t divisor_argument(Value value)
{
    int64_t divisor = number_argument(value);
    if (divisor == 0)
        fail("division by zero");
    return divisor;
}

static Value builtin_quotient(int count, const Value *arguments)
{
    (void)count;
    return make_number(number_argument(arguments[0]) / divisor_argument(arguments[1]));
}

static Value builtin_remainder(int count, const Value *arguments)
{
    (void)count;
    return make_number(number_argument(arguments[0]) % divisor_argument(arguments[1]));
}

typedef enum { EQUAL, LESS, LESS_OR_EQUAL } Comparison;

/* Whether each argument compares to the next one. */
static Value compare_numbers(int count, const Value *arguments, Comparison comparison, bool reversed)
{
    bool holds = true;
    for (int i = 0; i + 1 < count; i++) {
        int64_t left = number_argument(arguments[reversed ? i + 1 : i]);
        int64_t right = number_argument(arguments[reversed ? i : i + 1]);
        holds = holds && (comparison == EQUAL ? left == right : comparison == LESS ? left < right : left <= right);
    }
    return truth(holds);
}

static Value builtin_equal_numbers(int count, const Value *arguments)
{
    return compare_numbers(count, arguments, EQUAL, false);
}

static Value builtin_less(int count, const Value *arguments)
{
    return compare_numbers(count, arguments, LESS, false);
}

static Value builtin_greater(int count, const Value *arguments)
{
    return compare_numbers(count, arguments, LESS, true);
}

static Value builtin_at_most(int count, const Value *arguments)
{
    return compare_numbers(count, arguments, LESS_OR_EQUAL, false);
}

static Value builtin_at_least(int count, const Value *arguments)
{
    return compare_numbers(count, arguments, LESS_OR_EQUAL, true);
}

/* ---- builtins: pairs and lists ---- */

static Value pair_argument(Value value)
{
    if (!is_pair(value))
        fail_about("not a pair", value);
    return value;
}

static void list_argument(Value value)
{
    if (value != NIL && !is_pair(value))
        fail_about("not a list", value);
}

static Value builtin_cons(int count, const Value *arguments)
{
    (void)count;
    return cons(arguments[0], arguments[1]);
}

static Value builtin_car(int count, const Value *arguments)
{
    (void)count;
    return car(pair_argument(arguments[0]));
}

static Value builtin_cdr(int count, const Value *arguments)
{
    (void)count;
    return cdr(pair_argument(arguments[0]));
}

static Value builtin_set_car(int count, const Value *arguments)
{
    (void)count;
    cell_of(pair_argument(arguments[0]))->pair.car = arguments[1];
    return NOTHING;
}

static Value builtin_set_cdr(int count, const Value *arguments)
{
    (void)count;
    cell_of(pair_argument(arguments[0]))->pair.cdr = arguments[1];
    return NOTHING;
}

static Value builtin_list(int count, const Value *arguments)
{
    Value list = NIL;
    while (count-- > 0)
        list = cons(arguments[count], list);
    return list;
}

static Value builtin_length(int count, const Value *arguments)
{
    (void)count;
    list_argument(arguments[0]);
    int64_t length = 0;
    for (Value list = arguments[0]; is_pair(list); list = cdr(list))
        length++;
    return make_number(length);
}

static Value builtin_append(int count, const Value *arguments)
{
    Value result = count > 0 ? arguments[count - 1] : NIL;
    for (int i = count - 1; i-- > 0;) {
        list_argument(arguments[i]);
        size_t base = machine.value_count;
        for (Value list = arguments[i]; is_pair(list); list = cdr(list))
            push(car(list));
        result = pop_list(base, result);
    }
    return result;
}

static Value builtin_reverse(int count, const Value *arguments)
{
    (void)count;
    list_argument(arguments[0]);
    Value reversed = NIL;
    for (Value list = arguments[0]; is_pair(list); list = cdr(list))
        reversed = cons(car(list), reversed);
    return reversed;
}

/* ---- builtins: comparing and asking for kinds ---- */

static bool same_text(const Cell *left, const Cell *right)
{
    return left->extra == right->extra && memcmp(left->text, right->text, left->extra) == 0;
}

static bool is_equal(Value left, Value right, int depth)
{
    if (depth > MAX_NESTING)
        fail("lists are nested too deep");
    for (; is_pair(left) && is_pair(right); left = cdr(left), right = cdr(right))
        if (!is_equal(car(left), car(right), depth + 1))
            return false;
    if (is_kind(left, STRING) && is_kind(right, STRING))
        return same_text(cell_of(left), cell_of(right));
    return left == right;
}

static Value builtin_equal(int count, const Value *arguments)
{
    (void)count;
    return truth(is_equal(arguments[0], arguments[1], 0));
}

static Value builtin_same(int count, const Value *arguments)
{
    (void)count;
    return truth(arguments[0] == arguments[1]);
}

static Value builtin_not(int count, const Value *arguments)
{
    (void)count;
    return truth(!is_true(arguments[0]));
}

static Value builtin_is_null(int count, const Value *arguments)
{
    (void)count;
    return truth(arguments[0] == NIL);
}

static Value builtin_is_pair(int count, const Value *arguments)
{
    (void)count;
    return truth(is_pair(arguments[0]));
}

static Value builtin_is_number(int count, const Value *arguments)
{
    (void)count;
    return truth(is_number(arguments[0]));
}

static Value builtin_is_string(int count, const Value *arguments)
{
    (void)count;
    return truth(is_kind(arguments[0], STRING));
}

static Value builtin_is_symbol(int count, const Value *arguments)
{
    (void)count;
    return truth(is_kind(arguments[0], SYMBOL));
}

static Value builtin_is_procedure(int count, const Value *arguments)
{
    (void)count;
    return truth(is_kind(arguments[0], CLOSURE) || is_kind(arguments[0], BUILTIN));
}

/* ---- builtins: strings and symbols ---- */

static Cell *string_argument(Value value)
{
    if (!is_kind(value, STRING))
        fail_about("not a string", value);
    return cell_of(value);
}

static Value builtin_string_append(int count, const Value *arguments)
{
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += string_argument(arguments[i])->extra;
    Value result = make_string(length);
    char *out = cell_of(result)->text;
    for (int i = 0; i < count; i++) {
        const Cell *part = cell_of(arguments[i]);
        memcpy(out, part->text, part->extra);
        out += part->extra;
    }
    return result;
}

static Value builtin_string_length(int count, const Value *arguments)
{
    (void)count;
    return make_number(string_argument(arguments[0])->extra);
}

static Value builtin_substring(int count, const Value *arguments)
{
    const Cell *string = string_argument(arguments[0]);
    int64_t from = number_argument(arguments[1]);
    int64_t to = count > 2 ? number_argument(arguments[2]) : string->extra;
    if (from < 0 || to < from || to > string->extra)
        fail("no part from %lld to %lld in a string of length %u", (long long)from, (long long)to,
             (unsigned)string->extra);
    return copy_string(string->text + from, (size_t)(to - from));
}

static Value builtin_string_equal(int count, const Value *arguments)
{
    (void)count;
    return truth(same_text(string_argument(arguments[0]), string_argument(arguments[1])));
}

static Value builtin_string_less(int count, const Value *arguments)
{
    (void)count;
    const Cell *left = string_argument(arguments[0]), *right = string_argument(arguments[1]);
    uint32_t shorter = left->extra < right->extra ? left->extra : right->extra;
    int order = memcmp(left->text, right->text, shorter);
    return truth(order < 0 || (order == 0 && left->extra < right->extra));
}

static Value builtin_number_to_string(int count, const Value *arguments)
{
    (void)count;
    char text[24];
    int length = snprintf(text, sizeof text, "%lld", (long long)number_argument(arguments[0]));
    return copy_string(text, (size_t)length);
}

/* False when the string holds no number. */
static Value builtin_string_to_number(int count, const Value *arguments)
{
    (void)count;
    const Cell *string = string_argument(arguments[0]);
    int64_t number;
    return parse_number(string->text, string->extra, &number) ? make_number(number) : truth(false);
}

static Value builtin_symbol_to_string(int count, const Value *arguments)
{
    (void)count;
    if (!is_kind(arguments[0], SYMBOL))
        fail_about("not a symbol", arguments[0]);
    const char *name = cell_of(arguments[0])->symbol.name;
    return copy_string(name, strlen(name));
}

static Value builtin_string_to_symbol(int count, const Value *arguments)
{
    (void)count;
    const Cell *string = string_argument(arguments[0]);
    return intern(string->text, string->extra);
}

/* ---- builtins: input, output and control ---- */

static Value builtin_display(int count, const Value *arguments)
{
    (void)count;
    print_value(stdout, arguments[0], false, 0);
    return NOTHING;
}

static Value builtin_write(int count, const Value *arguments)
{
    (void)count;
    print_value(stdout, arguments[0], true, 0);
    return NOTHING;
}

static Value builtin_print(int count, const Value *arguments)
{
    for (int i = 0; i < count; i++)
        print_value(stdout, arguments[i], false, 0);
    putchar('\n');
    return NOTHING;
}

/* A line of standard input without its end, or false when there is none. */
static Value builtin_read_line(int count, const Value *arguments)
{
    (void)count;
    (void)arguments;
    size_t length = 0, room = 0;
    char *line = NULL;
    int c;
    while ((c = getchar()) != EOF && c != '\n') {
        if (length == room) {
            room = room == 0 ? 64 : room * 2;
            line = must_alloc(realloc(line, room));
        }
        line[length++] = (char)c;
    }
    Value result = c == EOF && length == 0 ? truth(false) : copy_string(line != NULL ? line : "", length);
    free(line);
    return result;
}

static Value builtin_arguments(int count, const Value *arguments)
{
    (void)count;
    (void)arguments;
    return machine.arguments;
}

/* Ends the script with a message of its own. */
static Value builtin_error(int count, const Value *arguments)
{
    machine.builtin = NULL;
    start_message();
    for (int i = 0; i < count; i++) {
        if (i > 0)
            fputc(' ', stderr);
        print_value(stderr, arguments[i], i > 0, 0);
    }
    fputc('\n', stderr);
    exit(1);
}

/* Collects now, and tells how many cells were left. */
static Value builtin_collect(int count, const Value *arguments)
{
    (void)count;
    (void)arguments;
    collect();
    return make_number((int64_t)heap.live);
}

/* Never runs: call() deals with apply, so that it makes tail calls. */
static Value builtin_apply(int count, const Value *arguments)
{
    (void)count;
    (void)arguments;
    return NOTHING;
}

static const Builtin builtins[] = {
    {"+", builtin_add, 0, -1},
    {"-", builtin_subtract, 1, -1},
    {"*", builtin_multiply, 0, -1},
    {"quotient", builtin_quotient, 2, 2},
    {"remainder", builtin_remainder, 2, 2},
    {"=", builtin_equal_numbers, 1, -1},
    {"<", builtin_less, 1, -1},
    {">", builtin_greater, 1, -1},
    {"<=", builtin_at_most, 1, -1},
    {">=", builtin_at_least, 1, -1},
    {"cons", builtin_cons, 2, 2},
    {"car", builtin_car, 1, 1},
    {"cdr", builtin_cdr, 1, 1},
    {"set-car!", builtin_set_car, 2, 2},
    {"set-cdr!", builtin_set_cdr, 2, 2},
    {"list", builtin_list, 0, -1},
    {"length", builtin_length, 1, 1},
    {"append", builtin_append, 0, -1},
    {"reverse", builtin_reverse, 1, 1},
    {"equal?", builtin_equal, 2, 2},
    {"eq?", builtin_same, 2, 2},
    {"not", builtin_not, 1, 1},
    {"null?", builtin_is_null, 1, 1},
    {"pair?", builtin_is_pair, 1, 1},
    {"number?", builtin_is_number, 1, 1},
    {"string?", builtin_is_string, 1, 1},
    {"symbol?", builtin_is_symbol, 1, 1},
    {"procedure?", builtin_is_procedure, 1, 1},
    {"string-append", builtin_string_append, 0, -1},
    {"string-length", builtin_string_length, 1, 1},
    {"substring", builtin_substring, 2, 3},
    {"string=?", builtin_string_equal, 2, 2},
    {"string<?", builtin_string_less, 2, 2},
    {"number->string", builtin_number_to_string, 1, 1},
    {"string->number", builtin_string_to_number, 1, 1},
    {"symbol->string", builtin_symbol_to_string, 1, 1},
    {"string->symbol", builtin_string_to_symbol, 1, 1},
    {"display", builtin_display, 1, 1},
    {"write", builtin_write, 1, 1},
    {"print", builtin_print, 0, -1},
    {"read-line", builtin_read_line, 0, 0},
    {"arguments", builtin_arguments, 0, 0},
    {"error", builtin_error, 1, -1},
    {"collect", builtin_collect, 0, 0},
    {"apply", builtin_apply, 2, 2},
};

/* What is easier to say in Lisp. */
static const char prelude[] =
    "(define (newline) (print))"
    "(define (cadr p) (car (cdr p)))"
    "(define (cddr p) (cdr (cdr p)))"
    "(define (caddr p) (car (cddr p)))"
    "(define (zero? n) (= n 0))"
    "(define (even? n) (= (remainder n 2) 0))"
    "(define (odd? n) (not (even? n)))"
    "(define (abs n) (if (< n 0) (- n) n))"
    "(define (min a b) (if (< b a) b a))"
    "(define (max a b) (if (> b a) b a))"
    "(define (modulo n d)"
    "  (let ((r (remainder n d)))"
    "    (if (or (= r 0) (eq? (< r 0) (< d 0))) r (+ r d))))"
    "(define (fold f start l)"
    "  (if (null? l) start (fold f (f start (car l)) (cdr l))))"
    "(define (map f l)"
    "  (let loop ((l l) (done '()))"
    "    (if (null? l) (reverse done) (loop (cdr l) (cons (f (car l)) done)))))"
    "(define (filter keep? l)"
    "  (let loop ((l l) (done '()))"
    "    (cond ((null? l) (reverse done))"
    "          ((keep? (car l)) (loop (cdr l) (cons (car l) done)))"
    "          (else (loop (cdr l) done)))))"
    "(define (for-each f l)"
    "  (unless (null? l) (f (car l)) (for-each f (cdr l))))"
    "(define (range from to)"
    "  (let loop ((n (- to 1)) (l '()))"
    "    (if (< n from) l (loop (- n 1) (cons n l)))))"
    "(define (assoc key l)"
    "  (cond ((null? l) #f) ((equal? (car (car l)) key) (car l)) (else (assoc key (cdr l)))))"
    "(define (member x l)"
    "  (cond ((null? l) #f) ((equal? (car l) x) l) (else (member x (cdr l)))))";

/* ---- the program ---- */

static void start_machine(size_t limit)
{
    heap.limit = limit;
    for (int i = 0; i < 3; i++)
        heap.guards[i] = NIL;
    machine.expression = machine.scope = machine.value = machine.arguments = NIL;
    machine.frames = must_alloc(malloc(MAX_FRAMES * sizeof *machine.frames));
    machine.values = must_alloc(malloc(MAX_VALUES * sizeof *machine.values));
    add_block(FIRST_CELLS < limit ? FIRST_CELLS : limit);

    for (uint32_t i = 0; i < SPECIAL_FORMS; i++)
        cell_of(symbol_named(special_forms[i].name))->extra = i + 1;
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++) {
        Cell *cell = allocate(BUILTIN, NIL, NIL, NIL);
        cell->builtin = &builtins[i];
        cell_of(symbol_named(builtins[i].name))->symbol.global = AS_VALUE(cell);
    }
    run_text(prelude, 0);
}

static char *read_script(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "lisp: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t length = 0, room = 1024, got;
    char *text = must_alloc(malloc(room + 1));
    while ((got = fread(text + length, 1, room - length, file)) > 0) {
        length += got;
        if (length == room) {
            room *= 2;
            text = must_alloc(realloc(text, room + 1));
        }
    }
    fclose(file);
    text[length] = '\0';
    return text;
}

static void set_arguments(char **arguments)
{
    size_t base = machine.value_count;
    for (; *arguments != NULL; arguments++)
        push(copy_string(*arguments, strlen(*arguments)));
    machine.arguments = pop_list(base, NIL);
}

static int usage(void)
{
    fputs("usage: lisp [--heap CELLS] [--stats] SCRIPT [ARGUMENT...]\n"
          "  --heap CELLS   let the heap grow to this many cells (at least 4096)\n"
          "  --stats        tell on standard error how the heap was used\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    (void)argc;
    size_t limit = DEFAULT_LIMIT;
    bool stats = false;
    char **argument = argv + 1;
    for (; *argument != NULL && **argument == '-'; argument++) {
        if (strcmp(*argument, "--stats") == 0) {
            stats = true;
        } else if (strcmp(*argument, "--heap") == 0 && argument[1] != NULL) {
            limit = strtoul(*++argument, NULL, 10);
            if (limit < FIRST_CELLS || limit > 50000000)
                return usage();
        } else {
            return usage();
        }
    }
    if (*argument == NULL)
        return usage();

    machine.script = *argument;
    start_machine(limit);
    set_arguments(argument + 1);
    char *text = read_script(machine.script);
    run_text(text, 1);
    free(text);
    if (stats) {
        fflush(stdout);
        fprintf(stderr, "%lu collections, %zu cells in the heap\n", heap.collections, heap.total);
    }
    return 0;
}
