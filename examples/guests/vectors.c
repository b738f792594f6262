/*
 * vectors - the same small kernels for vectors of every type of number.
 *
 *     vectors LENGTH ROUNDS
 *
 * Works on arrays of LENGTH bytes, as vectors of 16, and prints a line of results for each type: what the kernels made of
 * the arrays, as one number each. Written with the compiler's vectors, so that it is the same source everywhere.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int8_t i8x16 __attribute__((vector_size(16)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef int16_t i16x8 __attribute__((vector_size(16)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int64_t i64x2 __attribute__((vector_size(16)));
typedef uint64_t u64x2 __attribute__((vector_size(16)));
typedef float f32x4 __attribute__((vector_size(16)));
typedef double f64x2 __attribute__((vector_size(16)));

static uint32_t seed;

static uint32_t next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static uint64_t mix(uint64_t sum, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ byte[i]) * 0x100000001b3u;
    return sum;
}

/* In the kernels, V is the vector, T its element, and M a vector of integers as wide, which comparisons give. */

#define SELECT(V, M, mask, yes, no) ((V)(((mask) & (M)(yes)) | (~(mask) & (M)(no))))

#define KERNELS(NAME, V, T, M)                                                                                         \
    static void NAME##_add(V *out, const V *a, const V *b, size_t n)                                                   \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i++)                                                                                 \
            out[i] = a[i] + b[i];                                                                                      \
    }                                                                                                                  \
    static void NAME##_scale(V *out, const V *a, const V *b, size_t n)                                                 \
    {                                                                                                                  \
        V factor = b[0] - b[0] + (T)3;                                                                                 \
        for (size_t i = 0; i < n; i++)                                                                                 \
            out[i] += a[i] * factor - b[i];                                                                            \
    }                                                                                                                  \
    static void NAME##_limit(V *out, const V *a, const V *b, size_t n)                                                 \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i++) {                                                                               \
            V low = SELECT(V, M, (M)(a[i] < b[i]), a[i], b[i]);                                                        \
            out[i] = SELECT(V, M, (M)(low > out[i]), low, out[i]);                                                     \
        }                                                                                                              \
    }                                                                                                                  \
    static void NAME##_count(V *out, const V *a, const V *b, size_t n)                                                 \
    {                                                                                                                  \
        M equal = {0}, less = {0};                                                                                     \
        for (size_t i = 0; i < n; i++) {                                                                               \
            equal -= (M)(a[i] == b[i]);                                                                                \
            less -= (M)(a[i] < b[i]);                                                                                  \
        }                                                                                                              \
        out[0] = (V)(equal ^ less);                                                                                    \
    }                                                                                                                  \
    static void NAME##_filter(V *out, const V *a, const V *b, size_t n)                                                \
    {                                                                                                                  \
        (void)b;                                                                                                       \
        for (size_t i = 1; i + 1 < n; i++)                                                                             \
            out[i] = a[i - 1] + a[i] * (T)2 + a[i + 1];                                                                \
    }                                                                                                                  \
    static void NAME##_sums(V *out, const V *a, const V *b, size_t n)                                                  \
    {                                                                                                                  \
        V s0 = a[0] - a[0], s1 = s0, s2 = s0, s3 = s0;                                                                 \
        for (size_t i = 0; i + 4 <= n; i += 4) {                                                                       \
            s0 += a[i] * b[i];                                                                                         \
            s1 += a[i + 1] * b[i + 1];                                                                                 \
            s2 += a[i + 2] * b[i + 2];                                                                                 \
            s3 += a[i + 3] * b[i + 3];                                                                                 \
        }                                                                                                              \
        out[0] = (s0 + s1) + (s2 + s3);                                                                                \
    }                                                                                                                  \
    static void NAME##_lanes(V *out, const V *a, const V *b, size_t n)                                                 \
    {                                                                                                                  \
        enum { LANES = 16 / sizeof(T) };                                                                               \
        for (size_t i = 0; i < n; i++) {                                                                               \
            V v = a[i];                                                                                                \
            v[0] = b[i][LANES - 1];                                                                                    \
            v[LANES - 1] = a[n - 1 - i][0];                                                                            \
            out[i] = v;                                                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    static void NAME##_run(V *out, V *a, V *b, size_t n, long rounds)                                                  \
    {                                                                                                                  \
        static void (*const kernels[])(V *, const V *, const V *, size_t) = {                                          \
            NAME##_add, NAME##_scale, NAME##_limit, NAME##_count, NAME##_filter, NAME##_sums, NAME##_lanes,            \
        };                                                                                                             \
        T *first = (T *)a, *second = (T *)b;                                                                           \
        for (size_t i = 0; i < n * 16 / sizeof(T); i++) {                                                              \
            first[i] = (T)(next_random() % 200);                                                                       \
            second[i] = (T)(next_random() % 100);                                                                      \
        }                                                                                                              \
        memset(out, 0, n * 16);                                                                                        \
        printf("%-5s", #NAME);                                                                                         \
        for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {                                                \
            for (long round = 0; round < rounds; round++)                                                              \
                kernels[k](out, a, b, n);                                                                              \
            printf(" %08x", (unsigned)mix(k, out, n * 16));                                                            \
        }                                                                                                              \
        printf("\n");                                                                                                  \
    }

KERNELS(i8x16, i8x16, int8_t, i8x16)
KERNELS(u8x16, u8x16, uint8_t, u8x16)
KERNELS(i16x8, i16x8, int16_t, i16x8)
KERNELS(u16x8, u16x8, uint16_t, u16x8)
KERNELS(i32x4, i32x4, int32_t, i32x4)
KERNELS(u32x4, u32x4, uint32_t, u32x4)
KERNELS(i64x2, i64x2, int64_t, i64x2)
KERNELS(u64x2, u64x2, uint64_t, u64x2)
KERNELS(f32x4, f32x4, float, i32x4)
KERNELS(f64x2, f64x2, double, i64x2)

/* ---- what is particular to some types ---- */

/* Mixes two pictures of bytes: three parts of one, one of the other. */
static void blend(u8x16 *out, const u8x16 *a, const u8x16 *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        u16x8 low = __builtin_convertvector(__builtin_shufflevector(a[i], a[i], 0, 1, 2, 3, 4, 5, 6, 7), u16x8) * 3 +
                    __builtin_convertvector(__builtin_shufflevector(b[i], b[i], 0, 1, 2, 3, 4, 5, 6, 7), u16x8);
        u16x8 high =
            __builtin_convertvector(__builtin_shufflevector(a[i], a[i], 8, 9, 10, 11, 12, 13, 14, 15), u16x8) * 3 +
            __builtin_convertvector(__builtin_shufflevector(b[i], b[i], 8, 9, 10, 11, 12, 13, 14, 15), u16x8);
        out[i] = __builtin_shufflevector((u8x16)(low >> 2), (u8x16)(high >> 2), 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22,
                                         24, 26, 28, 30);
    }
}

/* The bytes of each vector in the opposite order, and those of each word exchanged. */
static void swap(u8x16 *out, const u8x16 *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = __builtin_shufflevector(a[i], a[i], 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0) ^
                 __builtin_shufflevector(a[i], a[i], 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12);
}

/* Four rows of four become four columns. */
static void transpose(f32x4 *out, const f32x4 *a, size_t n)
{
    for (size_t i = 0; i + 4 <= n; i += 4) {
        f32x4 ab = __builtin_shufflevector(a[i], a[i + 1], 0, 4, 1, 5);
        f32x4 AB = __builtin_shufflevector(a[i], a[i + 1], 2, 6, 3, 7);
        f32x4 cd = __builtin_shufflevector(a[i + 2], a[i + 3], 0, 4, 1, 5);
        f32x4 CD = __builtin_shufflevector(a[i + 2], a[i + 3], 2, 6, 3, 7);
        out[i] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
        out[i + 1] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
        out[i + 2] = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
        out[i + 3] = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
    }
}

/* Whole numbers to others and back. */
static void convert(i32x4 *out, const i32x4 *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        f32x4 real = __builtin_convertvector(a[i] & 0xffff, f32x4) * 1.5f;
        out[i] = __builtin_convertvector(real, i32x4) << 3 >> 1;
    }
}

static void particular(void *out, void *a, void *b, size_t n)
{
    uint64_t sums[4];
    blend(out, a, b, n);
    sums[0] = mix(1, out, n * 16);
    swap(out, a, n);
    sums[1] = mix(2, out, n * 16);
    convert(out, a, n);
    sums[2] = mix(3, out, n * 16);
    transpose(out, a, n);
    sums[3] = mix(4, out, n * 16);
    printf("blend %08x, swap %08x, convert %08x, transpose %08x\n", (unsigned)sums[0], (unsigned)sums[1],
           (unsigned)sums[2], (unsigned)sums[3]);
}

int main(int argc, char **argv)
{
    long length = argc > 1 ? atol(argv[1]) : 0, rounds = argc > 2 ? atol(argv[2]) : 0;
    if (argc != 3 || length < 64 || length > 1 << 28 || rounds < 1) {
        fputs("usage: vectors LENGTH ROUNDS (LENGTH: bytes, at least 64)\n", stderr);
        return 2;
    }
    size_t n = (size_t)length / 16;
    void *out = aligned_alloc(16, n * 16), *a = aligned_alloc(16, n * 16), *b = aligned_alloc(16, n * 16);
    if (out == NULL || a == NULL || b == NULL) {
        fputs("vectors: out of memory\n", stderr);
        return 2;
    }
    i8x16_run(out, a, b, n, rounds);
    u8x16_run(out, a, b, n, rounds);
    i16x8_run(out, a, b, n, rounds);
    u16x8_run(out, a, b, n, rounds);
    i32x4_run(out, a, b, n, rounds);
    u32x4_run(out, a, b, n, rounds);
    i64x2_run(out, a, b, n, rounds);
    u64x2_run(out, a, b, n, rounds);
    f32x4_run(out, a, b, n, rounds);
    f64x2_run(out, a, b, n, rounds);
    u8x16_run(out, a, b, n, 1);
    particular(out, a, b, n);
    free(out);
    free(a);
    free(b);
    return 0;
}
