/* Finds the primes below 16 Mi before it says that it is ready: a program with something to do at its
   start, the same for a guest and for a native process. With an argument it stays. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT (16 << 20)

static unsigned char *composite;

#ifdef __wasm__
__attribute__((export_name("init")))
#endif
void init(void)
{
    if (composite)
        return;
    composite = calloc(COUNT, 1);
    for (long i = 2; i * i < COUNT; i++)
        if (!composite[i])
            for (long j = i * i; j < COUNT; j += i)
                composite[j] = 1;
}

int main(int argc, char **argv)
{
    (void)argv;
    init();
    printf("ready, and %d is %s\n", COUNT - 3, composite[COUNT - 3] ? "composite" : "prime");
    fflush(stdout);
    while (argc > 1)
        sleep(1000);
    return 0;
}
