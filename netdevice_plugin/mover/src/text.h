/*
 * Bounded text: what the mover reads and writes without stdio, heap or locale.
 *
 * Nothing here makes a system call. Parsers return 0 or -errno (-EINVAL: not of
 * that form, -ERANGE: of that form but out of bounds) and set *out on success only.
 */
#ifndef NDM_TEXT_H
#define NDM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that somebody else owns, without a terminator; `data` is never NULL. */
struct span {
    const char *data;
    size_t length;
};

struct span span_of(const char *string);
bool span_is(struct span span, const char *string);
bool span_equal(struct span one, struct span other);

/*
 * Takes what stands before the first separator, or all of it, off the front of
 * *rest; the separator goes too. `found` says whether there was one; may be NULL.
 */
struct span span_cut(struct span *rest, char separator, bool *found);

bool is_control(char byte); /* below 0x20, or 0x7f */

/* Copies and terminates; -ERANGE if it does not fit, -EINVAL for a NUL within. */
int span_copy(struct span span, char *out, size_t size);

/* Words with a blank between them: the nth from 0, and the number of one, or -1. */
struct span words_at(const char *words, size_t n);
int words_find(const char *words, struct span word);

/*
 * A fixed buffer that is appended to; always terminated. What does not fit is
 * cut off and `cut` stays set, so that a writer checks once, at the end.
 */
struct text {
    char *data;
    size_t size; /* of the buffer, at least 1 */
    size_t length;
    bool cut;
};

void text_init(struct text *text, char *buffer, size_t size);
void text_put(struct text *text, const char *string);
void text_put_span(struct text *text, struct span span);
void text_put_char(struct text *text, char byte);
void text_put_unsigned(struct text *text, uint64_t number);
void text_put_hex(struct text *text, const void *bytes, size_t length); /* 00ff */

/* A record's value: bytes below 0x20, 0x7f and the backslash as \xHH. */
void text_put_escaped(struct text *text, struct span value);

/*
 * One word of a record's value: space and slash are escaped too, so that words
 * can be joined with them; an empty one is "-", and "-" itself is escaped.
 */
void text_put_word(struct text *text, struct span word);

/* For messages: 'value' with control bytes escaped, cut after 64 bytes. */
void text_put_quoted(struct text *text, struct span value);

/* Undoes text_put_escaped; refuses bare control bytes, bad escapes and \x00. */
int text_unescape(struct span value, char *out, size_t size);

/* Decimal digits alone: no sign, no blank, no leading zero. */
int parse_unsigned(struct span span, uint64_t maximum, uint64_t *out);

int hex_digit(char byte); /* -1: it is none */
/* Pairs of hex digits of either case; an empty span is no bytes. -ERANGE: more than `size`. */
int parse_hex(struct span span, uint8_t *out, size_t size, size_t *length);

#endif
