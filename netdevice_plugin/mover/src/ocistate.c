#include "ocistate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "names.h"
#include "text.h"

#define KEY_SIZE 64 /* longer than any key that we look for */

/* ---- the scanner: a position in the text, and what was wrong there ---- */

struct scanner {
    const char *text;
    size_t length;
    size_t at;
    struct parse_error *error;
};

/* Where a string's value goes. What does not fit is counted, not stored. */
struct sink {
    char *data; /* NULL: nowhere */
    size_t size;
    size_t length;
};

/* A member's name, decoded: "\u0069d" is id. */
struct key {
    char data[KEY_SIZE];
    size_t length;
    size_t offset;
};

/* Scans the value that stands at s->at, which belongs to `key`. */
typedef int member_fn(struct scanner *s, int depth, const struct key *key, void *context);

static int fail_with(struct scanner *s, int code, size_t offset, const char *what)
{
    *s->error = (struct parse_error){offset, what};
    return code;
}

static int fail(struct scanner *s, size_t offset, const char *what)
{
    return fail_with(s, -EINVAL, offset, what);
}

/* The byte at the position; -1 at the end. */
static int peek(const struct scanner *s)
{
    return s->at < s->length ? (uint8_t)s->text[s->at] : -1;
}

static bool accept(struct scanner *s, char byte)
{
    if (peek(s) != byte)
        return false;
    s->at++;
    return true;
}

static int expect(struct scanner *s, char byte, const char *what)
{
    return accept(s, byte) ? 0 : fail(s, s->at, what);
}

static void skip_space(struct scanner *s)
{
    while (peek(s) == ' ' || peek(s) == '\t' || peek(s) == '\n' || peek(s) == '\r')
        s->at++;
}

/* ---- strings ---- */

static void put(struct sink *sink, uint32_t byte)
{
    if (sink->data && sink->length < sink->size)
        sink->data[sink->length] = (char)byte;
    sink->length++;
}

static void put_code_point(struct sink *sink, uint32_t point)
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
static int scan_utf8(struct scanner *s, struct sink *sink)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    size_t start = s->at;
    uint32_t point = (uint8_t)s->text[s->at++];
    int more = point >= 0xf0 ? 3 : point >= 0xe0 ? 2 : 1;
    if (point < 0xc2 || point > 0xf4)
        return fail(s, start, "not UTF-8");
    point &= 0x3fU >> more;
    for (int i = 0; i < more; i++) {
        int byte = peek(s);
        if (byte < 0x80 || byte > 0xbf)
            return fail(s, start, "not UTF-8");
        point = point << 6 | ((uint32_t)byte & 0x3f);
        s->at++;
    }
    if (point < least[more] || point > 0x10ffff || is_surrogate(point))
        return fail(s, start, "not UTF-8");
    put_code_point(sink, point);
    return 0;
}

static int scan_hex4(struct scanner *s, uint32_t *out)
{
    uint8_t bytes[2];
    size_t length;
    if (s->length - s->at < 4 ||
        parse_hex((struct span){s->text + s->at, 4}, bytes, sizeof bytes, &length) < 0)
        return fail(s, s->at, "expected four hex digits");
    *out = (uint32_t)bytes[0] << 8 | bytes[1];
    s->at += 4;
    return 0;
}

/* What follows "\u"; `start` is where the backslash stands. */
static int scan_unicode_escape(struct scanner *s, struct sink *sink, size_t start)
{
    uint32_t point = 0;
    uint32_t low = 0;
    int rc = scan_hex4(s, &point);
    if (rc < 0)
        return rc;
    if (is_surrogate(point)) {
        if (point >= 0xdc00 || !accept(s, '\\') || !accept(s, 'u'))
            return fail(s, start, "half of a surrogate pair");
        rc = scan_hex4(s, &low);
        if (rc < 0)
            return rc;
        if (low < 0xdc00 || low > 0xdfff)
            return fail(s, start, "half of a surrogate pair");
        point = 0x10000 + ((point - 0xd800) << 10 | (low - 0xdc00));
    }
    put_code_point(sink, point);
    return 0;
}

static int scan_escape(struct scanner *s, struct sink *sink)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    size_t start = s->at++;
    if (accept(s, 'u'))
        return scan_unicode_escape(s, sink, start);
    int byte = peek(s);
    const char *name = byte > 0 ? memchr(names, byte, sizeof names - 1) : NULL;
    if (!name)
        return fail(s, start, "no such escape");
    put(sink, (uint8_t)values[name - names]);
    s->at++;
    return 0;
}

static int scan_string_part(struct scanner *s, struct sink *sink)
{
    int byte = peek(s);
    if (byte < 0)
        return fail(s, s->at, "unterminated string");
    if (byte < 0x20)
        return fail(s, s->at, "control character in a string");
    if (byte == '\\')
        return scan_escape(s, sink);
    if (byte >= 0x80)
        return scan_utf8(s, sink);
    put(sink, (uint8_t)byte);
    s->at++;
    return 0;
}

static int scan_string(struct scanner *s, struct sink *sink)
{
    int rc = expect(s, '"', "expected a string");
    while (rc == 0 && !accept(s, '"'))
        rc = scan_string_part(s, sink);
    if (rc == 0 && sink->data && sink->length < sink->size)
        sink->data[sink->length] = '\0';
    return rc;
}

/* ---- values that nobody asked for: checked, and passed over ---- */

static bool skip_digits(struct scanner *s)
{
    size_t start = s->at;
    while (peek(s) >= '0' && peek(s) <= '9')
        s->at++;
    return s->at > start;
}

static int skip_number(struct scanner *s)
{
    accept(s, '-');
    if (!accept(s, '0') && !skip_digits(s))
        return fail(s, s->at, "expected a value");
    if (accept(s, '.') && !skip_digits(s))
        return fail(s, s->at, "expected a digit");
    if (accept(s, 'e') || accept(s, 'E')) {
        if (!accept(s, '+'))
            accept(s, '-');
        if (!skip_digits(s))
            return fail(s, s->at, "expected a digit");
    }
    return 0;
}

static bool skip_literal(struct scanner *s)
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

static int skip_value(struct scanner *s, int depth);

static int check_depth(struct scanner *s, int depth)
{
    return depth <= OCI_STATE_DEPTH ? 0 : fail_with(s, -ELOOP, s->at, "nested too deep");
}

static int skip_array(struct scanner *s, int depth)
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
        rc = skip_value(s, depth + 1);
        if (rc < 0)
            return rc;
        skip_space(s);
    } while (accept(s, ','));
    return expect(s, ']', "expected ',' or ']'");
}

/* ---- objects ---- */

static int scan_key(struct scanner *s, struct key *key)
{
    struct sink sink = {key->data, sizeof key->data, 0};
    key->offset = s->at;
    int rc = scan_string(s, &sink);
    if (rc < 0)
        return rc;
    key->length = sink.length;
    skip_space(s);
    rc = expect(s, ':', "expected ':'");
    skip_space(s);
    return rc;
}

static bool key_is(const struct key *key, const char *name)
{
    return key->length < sizeof key->data && span_is((struct span){key->data, key->length}, name);
}

/* An object at depth `depth`, counted from 1; each member's value is left to `member`. */
static int scan_object(struct scanner *s, int depth, member_fn *member, void *context)
{
    struct key key;
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

static int skip_member(struct scanner *s, int depth, const struct key *key, void *context)
{
    (void)key;
    (void)context;
    return skip_value(s, depth + 1);
}

static int skip_value(struct scanner *s, int depth)
{
    struct sink nowhere = {0};
    switch (peek(s)) {
    case '{':
        return scan_object(s, depth, skip_member, NULL);
    case '[':
        return skip_array(s, depth);
    case '"':
        return scan_string(s, &nowhere);
    default:
        return skip_literal(s) ? 0 : skip_number(s);
    }
}

/* ---- the OCI state ---- */

struct reader {
    struct oci_state *out;
    uint32_t seen; /* bits: a member of the state, or 8 + the number of an annotation */
};

/*
 * The second of each pair, CRI-O's, wins: CRI-O hands on every annotation of a pod,
 * so one of containerd's name may be the user's own. containerd hands on none.
 */
static const struct annotation {
    char key[36]; /* no pointer, which would need a relocation */
    uint16_t offset;
} annotations[] = {
    {"io.kubernetes.cri.sandbox-name", offsetof(struct oci_state, pod_name)},
    {"io.kubernetes.pod.name", offsetof(struct oci_state, pod_name)},
    {"io.kubernetes.cri.sandbox-namespace", offsetof(struct oci_state, pod_namespace)},
    {"io.kubernetes.pod.namespace", offsetof(struct oci_state, pod_namespace)},
    {"io.kubernetes.cri.sandbox-uid", offsetof(struct oci_state, pod_uid)},
    {"io.kubernetes.pod.uid", offsetof(struct oci_state, pod_uid)},
    {"io.kubernetes.cri.container-name", offsetof(struct oci_state, container)},
    {"io.kubernetes.container.name", offsetof(struct oci_state, container)},
};

enum { ANNOTATIONS = sizeof annotations / sizeof annotations[0] };

/* A key that may not come twice: readers would differ in which one they believe. */
static int once(struct scanner *s, struct reader *reader, const struct key *key, unsigned int bit)
{
    if (reader->seen & 1U << bit)
        return fail(s, key->offset, "this key is there twice");
    reader->seen |= 1U << bit;
    return 0;
}

/* A string that is kept: `size` with its terminator. */
static int keep_string(struct scanner *s, char *out, size_t size)
{
    size_t start = s->at;
    struct sink sink = {out, size, 0};
    int rc = scan_string(s, &sink);
    if (rc < 0)
        return rc;
    if (sink.length >= size)
        return fail(s, start, "this string is too long");
    if (strlen(out) != sink.length)
        return fail(s, start, "a NUL in this string");
    return 0;
}

static int read_id(struct scanner *s, struct reader *reader)
{
    size_t start = s->at;
    int rc = keep_string(s, reader->out->id, sizeof reader->out->id);
    if (rc == 0 && !is_container_id(span_of(reader->out->id)))
        return fail(s, start, "not a container id (1 to 255 bytes, no '/', no control character)");
    return rc;
}

static int read_pid(struct scanner *s, struct reader *reader)
{
    uint64_t pid = 0;
    size_t start = s->at;
    int rc = skip_number(s);
    if (rc == 0)
        rc = parse_unsigned((struct span){s->text + start, s->at - start}, INT_MAX, &pid);
    if (rc < 0)
        return fail(s, start, "pid is not a whole number from 0 to 2147483647");
    reader->out->pid = (int)pid;
    return 0;
}

static int read_annotation(struct scanner *s, int depth, const struct key *key, void *context)
{
    (void)depth;
    struct reader *reader = context;
    char unused[OCI_NAME_SIZE];
    struct sink nowhere = {0};
    for (unsigned int i = 0; i < ANNOTATIONS; i++) {
        if (!key_is(key, annotations[i].key))
            continue;
        bool outdone = i % 2 == 0 && reader->seen & 1U << (8 + i + 1);
        char *field = (char *)reader->out + annotations[i].offset;
        int rc = once(s, reader, key, 8 + i);
        return rc < 0 ? rc : keep_string(s, outdone ? unused : field, OCI_NAME_SIZE);
    }
    return scan_string(s, &nowhere);
}

/* Go's encoders write null for a map that was never made. */
static int read_annotations(struct scanner *s, int depth, struct reader *reader)
{
    if (peek(s) == 'n' && skip_literal(s))
        return 0;
    return scan_object(s, depth, read_annotation, reader);
}

static int read_member(struct scanner *s, int depth, const struct key *key, void *context)
{
    static const char *const names[] = {"id", "pid", "bundle", "annotations"};
    struct reader *reader = context;
    unsigned int i = 0;
    while (i < 4 && !key_is(key, names[i]))
        i++;
    int rc = i < 4 ? once(s, reader, key, i) : 0;
    if (rc < 0)
        return rc;
    switch (i) {
    case 0:
        return read_id(s, reader);
    case 1:
        return read_pid(s, reader);
    case 2:
        return keep_string(s, reader->out->bundle, sizeof reader->out->bundle);
    case 3:
        return read_annotations(s, depth + 1, reader);
    default:
        return skip_value(s, depth + 1);
    }
}

static int read_state(struct scanner *s, struct oci_state *out)
{
    struct reader reader = {.out = out};
    if (s->length > OCI_STATE_MAX)
        return fail_with(s, -E2BIG, OCI_STATE_MAX, "larger than 1 MiB");
    skip_space(s);
    if (s->at == s->length)
        return fail(s, s->at, "empty");
    int rc = scan_object(s, 1, read_member, &reader);
    if (rc < 0)
        return rc;
    skip_space(s);
    if (s->at < s->length)
        return fail(s, s->at, "more after the end of the object");
    return out->id[0] ? 0 : fail(s, s->at, "no \"id\" in it");
}

int oci_state_parse(const char *text, size_t length, struct oci_state *out,
                    struct parse_error *error)
{
    struct scanner scanner = {text, length, 0, error};
    memset(out, 0, sizeof *out);
    *error = (struct parse_error){0};
    int rc = read_state(&scanner, out);
    if (rc < 0)
        memset(out, 0, sizeof *out);
    return rc;
}
