/*
 * What the guests that serve requests have in common.
 *
 * A guest prepares itself once, in `prepare`, and then answers requests, each with a call of `answer_request`. As a
 * Wasm module it exports
 *
 *     _initialize    sets up the C library
 *     setup          prepares the guest
 *     buffer         returns where a request goes; at most REQUEST_ROOM bytes
 *     serve          takes the request's length, and returns the answer's address (high half) and length (low half)
 *
 * Natively it is a program that prepares itself, answers the request on standard input, and ends.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { REQUEST_ROOM = 4096, ANSWER_ROOM = 65536 };

/* The request, ending with a NUL, and a stream for its answer. */
static char request[REQUEST_ROOM + 1];
static FILE *answer;

static void prepare(void);
static void answer_request(void);

static char answer_bytes[ANSWER_ROOM];

static void start(void)
{
    answer = fmemopen(answer_bytes, ANSWER_ROOM, "w");
    if (answer == NULL)
        abort();
    prepare();
}

static size_t respond(size_t length)
{
    request[length] = '\0';
    rewind(answer);
    answer_request();
    fflush(answer);
    return (size_t)ftell(answer);
}

#ifdef __wasm__

__attribute__((export_name("setup"))) void exported_setup(void)
{
    start();
}

__attribute__((export_name("buffer"))) char *exported_buffer(void)
{
    return request;
}

__attribute__((export_name("serve"))) uint64_t exported_serve(size_t length)
{
    if (length > REQUEST_ROOM)
        abort();
    uint64_t written = respond(length);
    return (uint64_t)(uintptr_t)answer_bytes << 32 | written;
}

#else

int main(void)
{
    start();
    size_t length = fread(request, 1, REQUEST_ROOM, stdin);
    fwrite(answer_bytes, 1, respond(length), stdout);
    return 0;
}

#endif
#endif
