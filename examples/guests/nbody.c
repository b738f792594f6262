/*
 * nbody - bodies moving under their mutual gravity.
 *
 *     nbody [BODIES [STEPS]]
 *
 * A disc of light bodies starts on nearly circular orbits about a heavy one. A
 * leapfrog scheme moves them on, which keeps the energy error small however
 * long it runs. All arithmetic is addition, multiplication, division and
 * square roots, for which IEEE 754 leaves no choice of result: every machine
 * prints the same digits, as long as the compiler fuses no operations.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_BODIES = 4096, MAX_STEPS = 10000000, REPORTS = 4 };

static const double TIME_STEP = 1.0 / 1024;
static const double SOFTENING = 1e-4; /* keeps close encounters finite */
static const double CENTRE_MASS = 100.0;

typedef struct {
    double x, y, z;
} Vector;

typedef struct {
    Vector position, velocity, pull;
    double mass;
} Body;

/* ---- vectors ---- */

static Vector difference(Vector a, Vector b)
{
    return (Vector){a.x - b.x, a.y - b.y, a.z - b.z};
}

static double dot(Vector a, Vector b)
{
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

static void add_scaled(Vector *sum, Vector addend, double factor)
{
    sum->x += addend.x * factor;
    sum->y += addend.y * factor;
    sum->z += addend.z * factor;
}

/* ---- starting conditions ---- */

/* A linear congruential generator; returns a fraction in [0, 1). */
static double next_fraction(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) / 9007199254740992.0; /* 53 random bits over 2^53 */
}

/* A random direction in the plane of the disc: points outside the circle are drawn again. */
static void random_direction(uint64_t *seed, double *x, double *y)
{
    double square;
    do {
        *x = 2 * next_fraction(seed) - 1;
        *y = 2 * next_fraction(seed) - 1;
        square = *x * *x + *y * *y;
    } while (square > 1 || square < 0.01);
    *x /= sqrt(square);
    *y /= sqrt(square);
}

static void place_bodies(Body *bodies, int count)
{
    uint64_t seed = 1687;
    bodies[0] = (Body){.mass = CENTRE_MASS};
    Vector momentum = {0, 0, 0};
    for (int i = 1; i < count; i++) {
        double x, y;
        random_direction(&seed, &x, &y);
        double radius = 1 + 9 * next_fraction(&seed);
        double speed = sqrt(CENTRE_MASS / radius);
        double tilt = 0.1 * (next_fraction(&seed) - 0.5);
        bodies[i] = (Body){
            .position = {radius * x, radius * y, radius * tilt},
            .velocity = {-speed * y, speed * x, 0},
            .mass = 0.01 + 0.1 * next_fraction(&seed),
        };
        add_scaled(&momentum, bodies[i].velocity, bodies[i].mass);
    }
    /* The centre takes up the rest, so that the whole system stays in place. */
    add_scaled(&bodies[0].velocity, momentum, -1 / CENTRE_MASS);
}

/* ---- physics ---- */

static void find_pulls(Body *bodies, int count)
{
    for (int i = 0; i < count; i++)
        bodies[i].pull = (Vector){0, 0, 0};
    for (int i = 0; i < count; i++) {
        for (int j = i + 1; j < count; j++) {
            Vector apart = difference(bodies[j].position, bodies[i].position);
            double square = dot(apart, apart) + SOFTENING;
            double inverse_cube = 1 / (square * sqrt(square));
            add_scaled(&bodies[i].pull, apart, bodies[j].mass * inverse_cube);
            add_scaled(&bodies[j].pull, apart, -bodies[i].mass * inverse_cube);
        }
    }
}

/* Expects the pulls at the present positions, and leaves those at the new ones. */
static void advance(Body *bodies, int count)
{
    for (int i = 0; i < count; i++) {
        add_scaled(&bodies[i].velocity, bodies[i].pull, TIME_STEP / 2);
        add_scaled(&bodies[i].position, bodies[i].velocity, TIME_STEP);
    }
    find_pulls(bodies, count);
    for (int i = 0; i < count; i++)
        add_scaled(&bodies[i].velocity, bodies[i].pull, TIME_STEP / 2);
}

static double total_energy(const Body *bodies, int count)
{
    double energy = 0;
    for (int i = 0; i < count; i++) {
        energy += bodies[i].mass * dot(bodies[i].velocity, bodies[i].velocity) / 2;
        for (int j = i + 1; j < count; j++) {
            Vector apart = difference(bodies[j].position, bodies[i].position);
            energy -= bodies[i].mass * bodies[j].mass / sqrt(dot(apart, apart) + SOFTENING);
        }
    }
    return energy;
}

static double total_spin(const Body *bodies, int count)
{
    double spin = 0;
    for (int i = 0; i < count; i++) {
        Vector p = bodies[i].position, v = bodies[i].velocity;
        spin += bodies[i].mass * (p.x * v.y - p.y * v.x);
    }
    return spin;
}

/* ---- the program ---- */

static void report(const Body *bodies, int count, long step)
{
    const Body *last = &bodies[count - 1];
    printf("step %7ld  energy %.9f  spin %.9f  last at (%.6f, %.6f, %.6f)\n", step, total_energy(bodies, count),
           total_spin(bodies, count), last->position.x, last->position.y, last->position.z);
}

static long parse_count(const char *text, long least, long most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "nbody: not a number from %ld to %ld: %s\n", least, most, text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? (int)parse_count(argv[1], 2, MAX_BODIES) : 32;
    long steps = argc > 2 ? parse_count(argv[2], 0, MAX_STEPS) : 1000;

    Body *bodies = malloc((size_t)count * sizeof *bodies);
    if (bodies == NULL) {
        fputs("nbody: out of memory\n", stderr);
        return 2;
    }
    place_bodies(bodies, count);
    find_pulls(bodies, count);

    report(bodies, count, 0);
    for (long step = 1; step <= steps; step++) {
        advance(bodies, count);
        if (step % (steps / REPORTS + 1) == 0 || step == steps)
            report(bodies, count, step);
    }
    free(bodies);
    return 0;
}
