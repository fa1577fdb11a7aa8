#include "json.h"

#include <errno.h>
#include <string.h>

int json_fail(struct json *s, size_t offset, const char *what)
{
    *s->error = (struct parse_error){offset, what};
    return -EINVAL;
}

/* The byte at the position; -1 at the end. */
static int peek(const struct json *s)
{
    return s->at < s->length ? (uint8_t)s->text[s->at] : -1;
}

static bool accept(struct json *s, char byte)
{
    if (peek(s) != byte)
        return false;
    s->at++;
    return true;
}

static int expect(struct json *s, char byte, const char *what)
{
    return accept(s, byte) ? 0 : json_fail(s, s->at, what);
}

static void skip_space(struct json *s)
{
    while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\n' || peek(s) == '\r')
        s->at++;
}

/* ---- strings ---- */

static void put(struct json_sink *sink, uint32_t byte)
{
    if (sink->data && sink->length < sink->size)
        sink->data[sink->length] = (char)byte;
    sink->length++;
}

static void put_code_point(struct json_sink *sink, uint32_t point)
{
    if (point < 0x80) {
        put(sink, point);
        return;
    }
    if (point < 0x800) {
        put(sink, 0xc0 | point >> 6);
    } else {
        if (point < 0x10000) {
            put(sink, 0xe0 | point >> 12);
        } else {
            put(sink, 0xf0 | point >> 18);
            put(sink, 0x80 | (point >> 12 & 0x3f));
        }
        put(sink, 0x80 | (point >> 6 & 0x3f));
    }
    put(sink, 0x80 | (point & 0x3f));
}

static bool is_surrogate(uint32_t point)
{
    return point >= 0xd800 && point <= 0xdfff;
}

/* One code point of two bytes or more; overlong forms and surrogates are not UTF-8. */
static int scan_utf8(struct json *s, struct json_sink *sink)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    size_t start = s->at;
    uint32_t point = (uint8_t)s->text[s->at++];
    int more = point >= 0xf0 ? 3 : point >= 0xe0 ? 2 : 1;
    if (point < 0xc2 || point > 0xf4)
        return json_fail(s, start, "not UTF-8");
    point &= 0x3fU >> more;
    for (int i = 0; i < more; i++) {
        int byte = peek(s);
        if (byte < 0x80 || byte > 0xbf)
            return json_fail(s, start, "not UTF-8");
        point = point << 6 | ((uint32_t)byte & 0x3f);
        s->at++;
    }
    if (point < least[more] || point > 0x10ffff || is_surrogate(point))
        return json_fail(s, start, "not UTF-8");
    put_code_point(sink, point);
    return 0;
}

static int scan_hex4(struct json *s, uint32_t *out)
{
    uint8_t bytes[2];
    size_t length;
    if (s->length - s->at < 4 ||
        parse_hex((struct span){s->text + s->at, 4}, bytes, sizeof bytes, &length) < 0)
        return json_fail(s, s->at, "expected four hex digits");
    *out = (uint32_t)bytes[0] << 8 | bytes[1];
    s->at += 4;
    return 0;
}

/* What follows "\u"; `start` is where the backslash stands. */
static int scan_unicode_escape(struct json *s, struct json_sink *sink, size_t start)
{
    uint32_t point = 0;
    uint32_t low = 0;
    int rc = scan_hex4(s, &point);
    if (rc < 0)
        return rc;
    if (is_surrogate(point)) {
        if (point >= 0xdc00 || !accept(s, '\\') || !accept(s, 'u'))
            return json_fail(s, start, "half of a surrogate pair");
        rc = scan_hex4(s, &low);
        if (rc < 0)
            return rc;
        if (low < 0xdc00 || low > 0xdfff)
            return json_fail(s, start, "half of a surrogate pair");
        point = 0x10000 + ((point - 0xd800) << 10 | (low - 0xdc00));
    }
    put_code_point(sink, point);
    return 0;
}

static int scan_escape(struct json *s, struct json_sink *sink)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    size_t start = s->at++;
    if (accept(s, 'u'))
        return scan_unicode_escape(s, sink, start);
    int byte = peek(s);
    const char *name = byte > 0 ? memchr(names, byte, sizeof names - 1) : NULL;
    if (!name)
        return json_fail(s, start, "no such escape");
    put(sink, (uint8_t)values[name - names]);
    s->at++;
    return 0;
}

static int scan_string_part(struct json *s, struct json_sink *sink)
{
    int byte = peek(s);
    if (byte < 0)
        return json_fail(s, s->at, "unterminated string");
    if (byte < 0x20)
        return json_fail(s, s->at, "control character in a string");
    if (byte == '\\')
        return scan_escape(s, sink);
    if (byte >= 0x80)
        return scan_utf8(s, sink);
    put(sink, (uint8_t)byte);
    s->at++;
    return 0;
}

int json_string(struct json *s, struct json_sink *sink)
{
    int rc = expect(s, '"', "expected a string");
    while (rc == 0 && !accept(s, '"'))
        rc = scan_string_part(s, sink);
    if (rc == 0 && sink->data && sink->length < sink->size)
        sink->data[sink->length] = '\0';
    return rc;
}

/* ---- values that nobody asks for ---- */

static bool skip_digits(struct json *s)
{
    size_t start = s->at;
    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at > start;
}

static int skip_number(struct json *s)
{
    accept(s, '-');
    if (!accept(s, '0') && !skip_digits(s))
        return json_fail(s, s->at, "expected a value");
    if (accept(s, '.') && !skip_digits(s))
        return json_fail(s, s->at, "expected a digit");
    if (accept(s, 'e') || accept(s, 'E')) {
        if (!accept(s, '+'))
            accept(s, '-');
        if (!skip_digits(s))
            return json_fail(s, s->at, "expected a digit");
    }
    return 0;
}

static bool skip_literal(struct json *s)
{
    static const char literals[][6] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof literals / sizeof literals[0]; i++) {
        size_t size = strlen(literals[i]);
        if (s->length - s->at >= size && memcmp(s->text + s->at, literals[i], size) == 0) {
            s->at += size;
            return true;
        }
    }
    return false;
}

static int check_depth(struct json *s, int depth)
{
    if (depth <= JSON_DEPTH)
        return 0;
    json_fail(s, s->at, "nested too deep");
    return -ELOOP;
}

static int skip_array(struct json *s, int depth)
{
    int rc = check_depth(s, depth);
    if (rc < 0)
        return rc;
    s->at++;
    skip_space(s);
    if (accept(s, ']'))
        return 0;
    do {
        skip_space(s);
        rc = json_skip(s, depth + 1);
        if (rc < 0)
            return rc;
        skip_space(s);
    } while (accept(s, ','));
    return expect(s, ']', "expected ',' or ']'");
}

/* ---- objects ---- */

static int scan_key(struct json *s, struct json_key *key)
{
    struct json_sink sink = {key->data, sizeof key->data, 0};
    key->offset = s->at;
    int rc = json_string(s, &sink);
    if (rc < 0)
        return rc;
    key->length = sink.length;
    skip_space(s);
    rc = expect(s, ':', "expected ':'");
    skip_space(s);
    return rc;
}

bool json_key_is(const struct json_key *key, const char *name)
{
    return key->length < sizeof key->data && span_is((struct span){key->data, key->length}, name);
}

int json_object(struct json *s, int depth, json_member *member, void *context)
{
    struct json_key key;
    int rc = check_depth(s, depth);
    if (rc == 0)
        rc = expect(s, '{', "expected an object");
    if (rc < 0)
        return rc;
    skip_space(s);
    if (accept(s, '}'))
        return 0;
    do {
        skip_space(s);
        rc = scan_key(s, &key);
        if (rc == 0)
            rc = member(s, depth, &key, context);
        if (rc < 0)
            return rc;
        skip_space(s);
    } while (accept(s, ','));
    return expect(s, '}', "expected ',' or '}'");
}

static int skip_member(struct json *s, int depth, const struct json_key *key, void *context)
{
    (void)key;
    (void)context;
    return json_skip(s, depth + 1);
}

bool json_null(struct json *s)
{
    return peek(s) == 'n' && skip_literal(s);
}

int json_skip(struct json *s, int depth)
{
    struct json_sink nowhere = {0};
    switch (peek(s)) {
    case '{':
        return json_object(s, depth, skip_member, NULL);
    case '[':
        return skip_array(s, depth);
    case '"':
        return json_string(s, &nowhere);
    default:
        return skip_literal(s) ? 0 : skip_number(s);
    }
}

int json_parse(const char *text, size_t length, json_member *member, void *context,
               struct parse_error *error)
{
    struct json scanner = {text, length, 0, error}, *s = &scanner;

    skip_space(s);
    if (s->at == length)
        return json_fail(s, length, "empty");
    int rc = json_object(s, 1, member, context);
    skip_space(s);
    return rc == 0 && s->at < length ? json_fail(s, s->at, "more after the end of the object") : rc;
}
