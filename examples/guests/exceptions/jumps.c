// jumps: setjmp and longjmp, which LLVM makes WebAssembly exceptions of.

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

static jmp_buf outer, inner;
static int steps;

__attribute__((noinline)) static void down(int n, jmp_buf *to, int value) {
    steps++;
    if (n == 0) longjmp(*to, value);
    down(n - 1, to, value);
    puts("not reached");
}

// An error handler as interpreters have it: a stack of buffers.
static jmp_buf handlers[8];
static int depth;

static void fail(int code) { longjmp(handlers[--depth], code); }

static int protect(int (*body)(int), int argument) {
    int code = setjmp(handlers[depth]);
    if (code != 0) return -code;
    depth++;
    int result = body(argument);
    depth--;
    return result;
}

static int checked(int n) {
    if (n % 5 == 0) fail(n + 1);
    return n * 2;
}

static int nested(int n) {
    int first = protect(checked, n);
    if (first < 0 && n % 2 == 0) fail(100 + n);
    return first;
}

int main(void) {
    volatile int rounds = 0;
    int value = setjmp(outer);
    printf("outer %d after %d steps\n", value, steps);
    if (value < 5) {
        rounds++;
        down(10 * rounds, &outer, value + 1);
    }
    if (setjmp(inner) == 0) {
        if (setjmp(outer) == 0) down(3, &outer, 1);
        else {
            puts("outer again");
            down(3, &inner, 0); // 0 arrives as 1
        }
    } else {
        puts("inner");
    }
    for (int i = 0; i < 12; i++) printf("%d ", protect(nested, i));
    printf("\ndepth %d, rounds %d\n", depth, rounds);
    volatile long long sum = 0;
    for (int i = 0; i < 100000; i++) sum += protect(checked, i);
    printf("sum %lld\n", sum);
    return 0;
}
