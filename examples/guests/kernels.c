/*
 * kernels - small loops that each keep one part of a compiler busy.
 *
 *     kernels sieve LIMIT     bytes in memory, short branches
 *     kernels matrix SIZE     double arithmetic in nested loops
 *     kernels collatz LIMIT   64-bit whole numbers, unpredictable branches
 *     kernels sort COUNT      indirect calls through qsort
 *     kernels tree DEPTH      recursion, malloc and free
 *     kernels mandel SIZE     double arithmetic with an early exit
 *
 * Each prints a line that depends on all of its work.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must_alloc(void *memory)
{
    if (memory == NULL) {
        fputs("kernels: out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed;
}

/* ---- sieve ---- */

static void sieve(long limit)
{
    size_t size = (size_t)limit + 1;
    uint8_t *composite = must_alloc(calloc(size, 1));
    size_t primes = 0, largest = 0;
    for (size_t i = 2; i < size; i++) {
        if (composite[i])
            continue;
        primes++;
        largest = i;
        for (uint64_t multiple = (uint64_t)i * i; multiple < size; multiple += i)
            composite[multiple] = 1;
    }
    printf("%zu primes up to %ld, the largest is %zu\n", primes, limit, largest);
    free(composite);
}

/* ---- matrix ---- */

static void fill_matrix(double *matrix, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size * size; i++)
        matrix[i] = (double)(next_random(&seed) >> 8) / 16777216.0;
}

static void multiply(double *product, const double *left, const double *right, size_t size)
{
    for (size_t row = 0; row < size; row++) {
        double *out = product + row * size;
        memset(out, 0, size * sizeof *out);
        for (size_t k = 0; k < size; k++) {
            double factor = left[row * size + k];
            for (size_t column = 0; column < size; column++)
                out[column] += factor * right[k * size + column];
        }
    }
}

static void matrix(long order)
{
    size_t size = (size_t)order;
    double *left = must_alloc(malloc(size * size * sizeof *left));
    double *right = must_alloc(malloc(size * size * sizeof *right));
    double *product = must_alloc(malloc(size * size * sizeof *product));
    fill_matrix(left, size, 1);
    fill_matrix(right, size, 2);
    multiply(product, left, right, size);

    double trace = 0, sum = 0;
    for (size_t i = 0; i < size; i++)
        trace += product[i * size + i];
    for (size_t i = 0; i < size * size; i++)
        sum += product[i];
    printf("product of %ld by %ld matrices: trace %.9f, sum %.9f\n", order, order, trace, sum);
    free(left);
    free(right);
    free(product);
}

/* ---- collatz ---- */

static void collatz(long limit)
{
    long best = 1, best_steps = 0;
    uint64_t highest = 1;
    for (long start = 1; start <= limit; start++) {
        uint64_t number = (uint64_t)start;
        long steps = 0;
        while (number != 1) {
            number = number % 2 == 0 ? number / 2 : 3 * number + 1;
            if (number > highest)
                highest = number;
            steps++;
        }
        if (steps > best_steps) {
            best = start;
            best_steps = steps;
        }
    }
    printf("up to %ld, %ld takes the most steps (%ld), the highest value is %llu\n", limit, best, best_steps,
           (unsigned long long)highest);
}

/* ---- sort ---- */

static int compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static void sort(long count)
{
    uint32_t *numbers = must_alloc(malloc((size_t)count * sizeof *numbers));
    uint32_t seed = 3;
    for (long i = 0; i < count; i++)
        numbers[i] = next_random(&seed);
    qsort(numbers, (size_t)count, sizeof *numbers, compare_numbers);

    uint32_t check = 0;
    for (long i = 0; i < count; i++) {
        if (i > 0 && numbers[i - 1] > numbers[i]) {
            fputs("kernels: not sorted\n", stderr);
            exit(1);
        }
        check = check * 31 + numbers[i];
    }
    printf("%ld numbers sorted, from %u to %u, check %08x\n", count, (unsigned)numbers[0],
           (unsigned)numbers[count - 1], (unsigned)check);
    free(numbers);
}

/* ---- tree ---- */

typedef struct Node {
    struct Node *left, *right;
    uint32_t key;
} Node;

static Node *grow(long depth, uint32_t *seed)
{
    Node *node = must_alloc(malloc(sizeof *node));
    node->key = next_random(seed);
    node->left = depth > 0 ? grow(depth - 1, seed) : NULL;
    node->right = depth > 0 ? grow(depth - 1, seed) : NULL;
    return node;
}

static uint32_t fold(const Node *node)
{
    return node == NULL ? 0 : node->key ^ 3 * fold(node->left) ^ 5 * fold(node->right);
}

static void fell(Node *node)
{
    if (node != NULL) {
        fell(node->left);
        fell(node->right);
        free(node);
    }
}

static void tree(long depth)
{
    uint32_t seed = 4, check = 0;
    /* Smaller trees come and go while the largest stays, so that free blocks get used again. */
    Node *largest = grow(depth, &seed);
    for (long shorter = 0; shorter < depth; shorter++) {
        Node *root = grow(shorter, &seed);
        check = check * 31 + fold(root);
        fell(root);
    }
    check = check * 31 + fold(largest);
    fell(largest);
    printf("trees up to depth %ld, check %08x\n", depth, (unsigned)check);
}

/* ---- mandel ---- */

static int escape_time(double cx, double cy)
{
    double x = 0, y = 0;
    int steps = 0;
    while (steps < 200 && x * x + y * y <= 4) {
        double next = x * x - y * y + cx;
        y = 2 * x * y + cy;
        x = next;
        steps++;
    }
    return steps;
}

static void mandel(long size)
{
    long inside = 0;
    uint64_t total = 0;
    for (long row = 0; row < size; row++) {
        for (long column = 0; column < size; column++) {
            int steps = escape_time(3.0 * (double)column / (double)size - 2.25, 3.0 * (double)row / (double)size - 1.5);
                inside += steps == 200;
        }
    }
    printf("%ld of %ld points stay inside after %llu steps in all\n", inside, size * size, (unsigned long long)total);
}

/* ---- the program ---- */

typedef struct {
    const char *name;
    void (*run)(long size);
    long most;
} Kernel;

static const Kernel kernels[] = {
    {"sieve", sieve, 100000000}, {"matrix", matrix, 2000}, {"collatz", collatz, 10000000},
    {"sort", sort, 10000000},    {"tree", tree, 22},       {"mandel", mandel, 3000},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof kernels / sizeof *kernels; i++) {
        if (strcmp(argv[1], kernels[i].name) != 0)
            continue;
        char *end;
        long size = strtol(argv[2], &end, 10);
        if (end == argv[2] || *end != '\0' || size < 1 || size > kernels[i].most) {
            fprintf(stderr, "kernels: %s: the size must be from 1 to %ld\n", argv[1], kernels[i].most);
            return 2;
        }
        kernels[i].run(size);
        return 0;
    }
    fputs("usage: kernels sieve|matrix|collatz|sort|tree|mandel SIZE\n", stderr);
    return 2;
}
