// calc: evaluates expressions, a line each, from standard input.
//
// Every way to go wrong is a C++ exception: thrown deep in the parser, passing destructors, caught by type and by base
// class, thrown again, or thrown from a constructor. The program needs nothing of the C++ library but its exceptions.

#include <cstdio>
#include <cstdlib>

namespace {

struct Error {
    explicit Error(const char *text) : text(text) {}
    virtual ~Error() {}
    virtual const char *kind() const { return "error"; }
    const char *text;
};

struct SyntaxError : Error {
    SyntaxError(const char *text, int column) : Error(text), column(column) {}
    const char *kind() const override { return "syntax"; }
    int column;
};

struct MathError : Error {
    using Error::Error;
    const char *kind() const override { return "math"; }
};

int live = 0, unwound = 0;

// Counts itself, also when an exception passes by.
struct Guard {
    explicit Guard(int depth) : depth(depth) {
        if (depth > 200) throw Error("too deep");
        live++;
    }
    ~Guard() {
        live--;
        unwound++;
    }
    int depth;
};

struct Parser {
    const char *start, *at;

    [[noreturn]] void fail(const char *text) { throw SyntaxError(text, int(at - start) + 1); }

    void skip() {
        while (*at == ' ') at++;
    }

    long primary(int depth) {
        Guard guard(depth);
        skip();
        if (*at == '(') {
            at++;
            long value = sum(depth + 1);
            skip();
            if (*at != ')') fail("expected `)`");
            at++;
            return value;
        }
        if (*at == '-') {
            at++;
            return -primary(depth + 1);
        }
        if (*at == '!') throw int(at - start); // not an Error at all
        if (*at < '0' || *at > '9') fail("expected a number");
        long value = 0;
        while (*at >= '0' && *at <= '9') {
            if (value > 100000000) throw MathError("too large");
            value = value * 10 + (*at++ - '0');
        }
        return value;
    }

    long product(int depth) {
        Guard guard(depth);
        long value = primary(depth + 1);
        for (;;) {
            skip();
            char op = *at;
            if (op != '*' && op != '/' && op != '%') return value;
            at++;
            long right = primary(depth + 1);
            if (op != '*' && right == 0) throw MathError("division by zero");
            value = op == '*' ? value * right : op == '/' ? value / right : value % right;
        }
    }

    long sum(int depth) {
        try {
            Guard guard(depth);
            long value = product(depth + 1);
            for (;;) {
                skip();
                char op = *at;
                if (op != '+' && op != '-') return value;
                at++;
                long right = product(depth + 1);
                value = op == '+' ? value + right : value - right;
            }
        } catch (const MathError &) {
            if (depth > 0) throw; // the outermost sum says it
            throw MathError("in the sum");
        }
    }

    long line() {
        long value = sum(0);
        skip();
        if (*at != '\0' && *at != '\n') fail("expected an operator");
        return value;
    }
};

void evaluate(const char *text) {
    try {
        Parser parser{text, text};
        std::printf("%ld", parser.line());
    } catch (const SyntaxError &error) {
        std::printf("%s: %s at column %d", error.kind(), error.text, error.column);
    } catch (const Error &error) {
        std::printf("%s: %s", error.kind(), error.text);
    } catch (...) {
        try {
            throw;
        } catch (int column) {
            std::printf("number %d was thrown", column);
        }
    }
    std::printf(" (live %d, unwound %d)\n", live, unwound);
    unwound = 0;
}

} // namespace

int main() {
    char line[4096];
    while (std::fgets(line, sizeof line, stdin)) evaluate(line);
    // Many throws, some through many frames.
    long long caught = 0;
    for (int i = 0; i < 20000; i++) {
        try {
            if (i % 3 == 0) throw i;
            if (i % 3 == 1) throw MathError("again");
            Parser parser{"((((((((((1/0", "((((((((((1/0"};
            parser.line();
        } catch (int number) {
            caught += number;
        } catch (const Error &) {
            caught++;
        }
    }
    std::printf("caught %lld\n", caught);
    return 0;
}
