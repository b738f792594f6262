/*
 * sha256sum - SHA-256 (FIPS 180-4) of files, of standard input, or of
 * generated data.
 *
 *     sha256sum [FILE...]
 *     sha256sum --bench MEBIBYTES
 *
 * With --bench the program does nothing but compute, so that a run under a
 * WebAssembly runtime can be timed against the native build.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 64, DIGEST_SIZE = 32, LENGTH_OFFSET = 56, READ_SIZE = 16384 };

typedef struct {
    uint32_t state[8];
    uint64_t length; /* bytes taken in so far */
    uint8_t block[BLOCK_SIZE];
    size_t filled; /* bytes waiting in the block */
} Sha256;

static uint32_t round_constant[64];
static uint32_t initial_state[8];

/* ---- constants ---- */

/*
 * The standard defines its constants as the first 32 bits of the fractional
 * parts of roots of the first primes: square roots for the initial state, cube
 * roots for the rounds. They are worked out here instead of being listed, with
 * whole numbers only: the root is found one bit at a time, from the top.
 */

/* Whether candidate^power <= prime * 2^(32 * power), with candidate < 2^36. */
static bool root_fits(uint64_t candidate, int power, uint64_t prime)
{
    /* Little-endian limbs of 32 bits; a 36-bit number cubed needs four. */
    uint32_t product[5] = {1, 0, 0, 0, 0};
    for (int factor = 0; factor < power; factor++) {
        uint32_t low = (uint32_t)candidate;
        uint32_t high = (uint32_t)(candidate >> 32);
        uint32_t next[5] = {0, 0, 0, 0, 0};
        uint64_t carry = 0;
        for (int i = 0; i < 5; i++) {
            uint64_t below = i > 0 ? product[i - 1] : 0;
            /* high is at most 15, so the sum cannot leave 64 bits. */
            carry += (uint64_t)product[i] * low + below * high;
            next[i] = (uint32_t)carry;
            carry >>= 32;
        }
        memcpy(product, next, sizeof product);
    }

    if (product[power + 1] != 0 || product[power] != prime)
        return product[power + 1] == 0 && product[power] < prime;
    for (int i = 0; i < power; i++)
        if (product[i] != 0)
            return false;
    return true;
}

static uint32_t root_fraction(uint64_t prime, int power)
{
    uint64_t root = 0;
    for (int bit = 36; bit-- > 0;) {
        uint64_t candidate = root | (uint64_t)1 << bit;
        if (root_fits(candidate, power, prime))
            root = candidate;
    }
    return (uint32_t)root;
}

static bool is_prime(unsigned number)
{
    for (unsigned divisor = 2; divisor * divisor <= number; divisor++)
        if (number % divisor == 0)
            return false;
    return true;
}

static void make_constants(void)
{
    int found = 0;
    for (unsigned number = 2; found < 64; number++) {
        if (!is_prime(number))
            continue;
        if (found < 8)
            initial_state[found] = root_fraction(number, 2);
        round_constant[found] = root_fraction(number, 3);
        found++;
    }
}

/* ---- the hash ---- */

static uint32_t rotate(uint32_t word, int by)
{
    return word >> by | word << (32 - by);
}

static uint32_t load_word(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void fill_schedule(uint32_t schedule[64], const uint8_t *block)
{
    for (int i = 0; i < 16; i++)
        schedule[i] = load_word(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t w15 = schedule[i - 15], w2 = schedule[i - 2];
        uint32_t small0 = rotate(w15, 7) ^ rotate(w15, 18) ^ w15 >> 3;
        uint32_t small1 = rotate(w2, 17) ^ rotate(w2, 19) ^ w2 >> 10;
        schedule[i] = schedule[i - 16] + small0 + schedule[i - 7] + small1;
    }
}

static void hash_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t schedule[64];
    fill_schedule(schedule, block);

    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i++) {
        uint32_t big1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t choice = (e & f) ^ (~e & g);
        uint32_t first = h + big1 + choice + round_constant[i] + schedule[i];
        uint32_t big0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
        h = g;
        g = f;
        f = e;
        e = d + first;
        d = c;
        c = b;
        b = a;
        a = first + big0 + majority;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

static void sha256_begin(Sha256 *hash)
{
    memcpy(hash->state, initial_state, sizeof initial_state);
    hash->length = 0;
    hash->filled = 0;
}

static void sha256_add(Sha256 *hash, const uint8_t *data, size_t size)
{
    hash->length += size;
    if (hash->filled > 0) {
        size_t room = BLOCK_SIZE - hash->filled;
        size_t taken = size < room ? size : room;
        memcpy(hash->block + hash->filled, data, taken);
        hash->filled += taken;
        data += taken;
        size -= taken;
        if (hash->filled < BLOCK_SIZE)
            return;
        hash_block(hash->state, hash->block);
        hash->filled = 0;
    }
    /* Whole blocks are hashed where they lie, without a copy. */
    for (; size >= BLOCK_SIZE; data += BLOCK_SIZE, size -= BLOCK_SIZE)
        hash_block(hash->state, data);
    memcpy(hash->block, data, size);
    hash->filled = size;
}

static void sha256_end(Sha256 *hash, uint8_t digest[DIGEST_SIZE])
{
    static const uint8_t padding[BLOCK_SIZE] = {0x80};
    uint64_t bits = hash->length * 8;
    size_t pad = hash->filled < LENGTH_OFFSET ? LENGTH_OFFSET - hash->filled
                                              : BLOCK_SIZE + LENGTH_OFFSET - hash->filled;
    uint8_t tail[8];
    for (int i = 0; i < 8; i++)
        tail[i] = (uint8_t)(bits >> (56 - 8 * i));

    sha256_add(hash, padding, pad);
    sha256_add(hash, tail, sizeof tail);
    for (int i = 0; i < DIGEST_SIZE; i++)
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- the program ---- */

static void print_digest(Sha256 *hash, const char *name)
{
    uint8_t digest[DIGEST_SIZE];
    sha256_end(hash, digest);
    for (int i = 0; i < DIGEST_SIZE; i++)
        printf("%02x", digest[i]);
    printf("  %s\n", name);
}

static bool sum_stream(FILE *stream, const char *name)
{
    static uint8_t buffer[READ_SIZE];
    Sha256 hash;
    sha256_begin(&hash);

    size_t got;
    while ((got = fread(buffer, 1, sizeof buffer, stream)) > 0)
        sha256_add(&hash, buffer, got);
    if (ferror(stream)) {
        fprintf(stderr, "sha256sum: %s: %s\n", name, strerror(errno));
        return false;
    }
    print_digest(&hash, name);
    return true;
}

static bool sum_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "sha256sum: %s: %s\n", path, strerror(errno));
        return false;
    }
    bool good = sum_stream(file, path);
    fclose(file);
    return good;
}

/* A xorshift generator: its output is the same everywhere. */
static uint32_t next_random(uint32_t *seed)
{
    uint32_t x = *seed;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *seed = x;
}

static int bench(const char *argument)
{
    char *end;
    unsigned long mebibytes = strtoul(argument, &end, 10);
    if (end == argument || *end != '\0') {
        fprintf(stderr, "sha256sum: not a number: %s\n", argument);
        return 2;
    }

    static uint8_t chunk[READ_SIZE];
    uint32_t seed = 20240229;
    Sha256 hash;
    sha256_begin(&hash);
    for (unsigned long left = mebibytes * (1048576 / READ_SIZE); left > 0; left--) {
        for (size_t i = 0; i < sizeof chunk; i += 4) {
            uint32_t word = next_random(&seed);
            for (int j = 0; j < 4; j++)
                chunk[i + j] = (uint8_t)(word >> 8 * j);
        }
        sha256_add(&hash, chunk, sizeof chunk);
    }

    char name[48];
    snprintf(name, sizeof name, "(%lu MiB of generated data)", mebibytes);
    print_digest(&hash, name);
    return 0;
}

int main(int argc, char **argv)
{
    make_constants();
    if (argc == 3 && strcmp(argv[1], "--bench") == 0)
        return bench(argv[2]);
    if (argc == 1)
        return sum_stream(stdin, "-") ? 0 : 1;

    int failures = 0;
    for (int i = 1; i < argc; i++)
        if (!sum_file(argv[i]))
            failures++;
    return failures > 0 ? 1 : 0;
}
