/*
 * Strict JSON (RFC 8259, of UTF-8), walked from the first byte to the last: each member's
 * value is left to a function, which keeps it or passes over it.
 *
 * No heap, no system call, no recursion beyond JSON_DEPTH. All return 0, -EINVAL (not JSON,
 * or not what was asked for) or -ELOOP (nested too deep).
 */
#ifndef NDM_JSON_H
#define NDM_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

#define JSON_DEPTH 64
#define JSON_KEY_SIZE 64 /* longer than any key that we look for */

struct parse_error {
    size_t offset;    /* in bytes from 0 */
    const char *what; /* "expected ':'"; never NULL after a failure */
};

/* A position in the text, and what was wrong there. */
struct json {
    const char *text;
    size_t length;
    size_t at;
    struct parse_error *error;
};

/* Where a string's value goes. What does not fit is counted, not stored. */
struct json_sink {
    char *data; /* NULL: nowhere */
    size_t size;
    size_t length;
};

/* A member's name, decoded: "\u0069d" is id. */
struct json_key {
    char data[JSON_KEY_SIZE];
    size_t length;
    size_t offset;
};

bool json_key_is(const struct json_key *key, const char *name);

/* Takes the value at the position, which is of `key` in an object at `depth`. */
typedef int json_member(struct json *s, int depth, const struct json_key *key, void *context);

/* A text that is an object, and nothing behind it. */
int json_parse(const char *text, size_t length, json_member *member, void *context,
               struct parse_error *error);

/* What may stand at the position; `depth` is the value's own, from 1. */
int json_object(struct json *s, int depth, json_member *member, void *context);
int json_string(struct json *s, struct json_sink *sink);
bool json_null(struct json *s);
int json_skip(struct json *s, int depth);

/* Says what is wrong, and returns -EINVAL. */
int json_fail(struct json *s, size_t offset, const char *what);

#endif
