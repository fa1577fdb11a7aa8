#include "text.h"

#include <errno.h>
#include <string.h>

#define QUOTED_MAX 64

/* ---- spans ---- */

struct span span_of(const char *string)
{
    return (struct span){string, strlen(string)};
}

bool span_is(struct span span, const char *string)
{
    return span_equal(span, span_of(string));
}

bool span_equal(struct span one, struct span other)
{
    return one.length == other.length && memcmp(one.data, other.data, one.length) == 0;
}

struct span span_cut(struct span *rest, char separator, bool *found)
{
    const char *end = memchr(rest->data, separator, rest->length);
    struct span head = {rest->data, end ? (size_t)(end - rest->data) : rest->length};
    size_t taken = head.length + (end ? 1 : 0);
    *rest = (struct span){rest->data + taken, rest->length - taken};
    if (found)
        *found = end;
    return head;
}

struct span words_at(const char *words, size_t n)
{
    struct span rest = span_of(words), word = span_cut(&rest, ' ', NULL);

    while (n-- > 0 && word.length > 0)
        word = span_cut(&rest, ' ', NULL);
    return word;
}

int words_find(const char *words, struct span word)
{
    struct span rest = span_of(words);

    for (int i = 0; rest.length > 0; i++)
        if (span_equal(span_cut(&rest, ' ', NULL), word))
            return i;
    return -1;
}

int span_copy(struct span span, char *out, size_t size)
{
    if (span.length >= size)
        return -ERANGE;
    if (memchr(span.data, '\0', span.length))
        return -EINVAL;
    memcpy(out, span.data, span.length);
    out[span.length] = '\0';
    return 0;
}

/* ---- writing ---- */

void text_init(struct text *text, char *buffer, size_t size)
{
    *text = (struct text){.data = buffer, .size = size};
    buffer[0] = '\0';
}

void text_put_span(struct text *text, struct span span)
{
    size_t room = text->cut ? 0 : text->size - text->length - 1;
    size_t taken = span.length < room ? span.length : room;
    memcpy(text->data + text->length, span.data, taken);
    text->length += taken;
    text->data[text->length] = '\0';
    text->cut = text->cut || taken < span.length;
}

void text_put_char(struct text *text, char byte)
{
    text_put_span(text, (struct span){&byte, 1});
}

void text_put(struct text *text, const char *string)
{
    text_put_span(text, span_of(string));
}

void text_put_unsigned(struct text *text, uint64_t number)
{
    char digits[20]; /* 2^64 has twenty */
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    text_put_span(text, (struct span){digits + first, sizeof digits - first});
}

static void put_byte(struct text *text, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    text_put_char(text, digits[byte >> 4]);
    text_put_char(text, digits[byte & 15]);
}

void text_put_hex(struct text *text, const void *bytes, size_t length)
{
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < length; i++)
        put_byte(text, byte[i]);
}

bool is_control(char byte)
{
    return (uint8_t)byte < 0x20 || byte == 0x7f;
}

static void put_escape(struct text *text, char byte)
{
    text_put(text, "\\x");
    put_byte(text, (uint8_t)byte);
}

static void put_escaping(struct text *text, struct span value, const char *also)
{
    for (size_t i = 0; i < value.length; i++) {
        char byte = value.data[i];
        if (is_control(byte) || memchr(also, byte, strlen(also)) != NULL)
            put_escape(text, byte);
        else
            text_put_char(text, byte);
    }
}

void text_put_escaped(struct text *text, struct span value)
{
    put_escaping(text, value, "\\");
}

void text_put_word(struct text *text, struct span word)
{
    if (word.length == 0)
        text_put_char(text, '-');
    else
        put_escaping(text, word, span_is(word, "-") ? "-" : "\\ /");
}

void text_put_quoted(struct text *text, struct span value)
{
    bool shorten = value.length > QUOTED_MAX;
    text_put_char(text, '\'');
    put_escaping(text, (struct span){value.data, shorten ? QUOTED_MAX : value.length}, "'\\");
    text_put(text, shorten ? "...'" : "'");
}

/* ---- numbers and bytes ---- */

int parse_unsigned(struct span span, uint64_t maximum, uint64_t *out)
{
    uint64_t number = 0;
    bool over = false;
    if (span.length == 0 || (span.length > 1 && span.data[0] == '0'))
        return -EINVAL;
    for (size_t i = 0; i < span.length; i++) {
        if (span.data[i] < '0' || span.data[i] > '9')
            return -EINVAL;
        uint64_t digit = (uint64_t)(span.data[i] - '0');
        over = over || digit > maximum || number > (maximum - digit) / 10;
        if (!over)
            number = number * 10 + digit;
    }
    if (over)
        return -ERANGE;
    *out = number;
    return 0;
}

int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* The two digits at `text` as a byte, or -1. */
static int hex_pair(const char *text)
{
    int high = hex_digit(text[0]);
    int low = hex_digit(text[1]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

int parse_hex(struct span span, uint8_t *out, size_t size, size_t *length)
{
    if (span.length % 2)
        return -EINVAL;
    if (span.length / 2 > size)
        return -ERANGE;
    for (size_t i = 0; i < span.length / 2; i++) {
        int byte = hex_pair(span.data + 2 * i);
        if (byte < 0)
            return -EINVAL;
        out[i] = (uint8_t)byte;
    }
    *length = span.length / 2;
    return 0;
}

/* One byte of a value, escaped or not, off its front; -EINVAL for what we never write. */
static int unescape_byte(struct span *rest)
{
    const char *text = rest->data;
    size_t taken = 1;
    int byte = (uint8_t)text[0];
    if (is_control(text[0]))
        return -EINVAL;
    if (text[0] == '\\') {
        taken = 4;
        if (rest->length < taken || text[1] != 'x')
            return -EINVAL;
        byte = hex_pair(text + 2);
    }
    *rest = (struct span){text + taken, rest->length - taken};
    return byte > 0 ? byte : -EINVAL;
}

int text_unescape(struct span value, char *out, size_t size)
{
    size_t length = 0;
    while (value.length > 0) {
        int byte = unescape_byte(&value);
        if (byte < 0)
            return byte;
        if (length >= size)
            return -ERANGE;
        out[length++] = (char)byte;
    }
    if (length >= size)
        return -ERANGE;
    out[length] = '\0';
    return 0;
}
