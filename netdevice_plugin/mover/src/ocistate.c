#include "ocistate.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "json.h"
#include "names.h"

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
static int once(struct json *s, struct reader *reader, const struct json_key *key, unsigned int bit)
{
    if (reader->seen & 1U << bit)
        return json_fail(s, key->offset, "this key is there twice");
    reader->seen |= 1U << bit;
    return 0;
}

/* A string that is kept: `size` with its terminator. */
static int keep_string(struct json *s, char *out, size_t size)
{
    size_t start = s->at;
    struct json_sink sink = {out, size, 0};
    int rc = json_string(s, &sink);
    if (rc < 0)
        return rc;
    if (sink.length >= size)
        return json_fail(s, start, "this string is too long");
    if (strlen(out) != sink.length)
        return json_fail(s, start, "a NUL in this string");
    return 0;
}

static int read_id(struct json *s, struct reader *reader)
{
    size_t start = s->at;
    int rc = keep_string(s, reader->out->id, sizeof reader->out->id);
    if (rc == 0 && !is_container_id(span_of(reader->out->id)))
        return json_fail(s, start,
                         "not a container id (1 to 255 bytes, no '/', no control character)");
    return rc;
}

static int read_pid(struct json *s, int depth, struct reader *reader)
{
    uint64_t pid = 0;
    size_t start = s->at;
    int rc = json_skip(s, depth);
    if (rc == 0)
        rc = parse_unsigned((struct span){s->text + start, s->at - start}, INT_MAX, &pid);
    if (rc < 0)
        return json_fail(s, start, "pid is not a whole number from 0 to 2147483647");
    reader->out->pid = (int)pid;
    return 0;
}

static int read_annotation(struct json *s, int depth, const struct json_key *key, void *context)
{
    (void)depth;
    struct reader *reader = context;
    char unused[OCI_NAME_SIZE];
    struct json_sink nowhere = {0};
    for (unsigned int i = 0; i < ANNOTATIONS; i++) {
        if (!json_key_is(key, annotations[i].key))
            continue;
        bool outdone = i % 2 == 0 && reader->seen & 1U << (8 + i + 1);
        char *field = (char *)reader->out + annotations[i].offset;
        int rc = once(s, reader, key, 8 + i);
        return rc < 0 ? rc : keep_string(s, outdone ? unused : field, OCI_NAME_SIZE);
    }
    return json_string(s, &nowhere);
}

/* Go's encoders write null for a map that was never made. */
static int read_annotations(struct json *s, int depth, struct reader *reader)
{
    return json_null(s) ? 0 : json_object(s, depth, read_annotation, reader);
}

static int read_member(struct json *s, int depth, const struct json_key *key, void *context)
{
    static const char *const names[] = {"id", "pid", "bundle", "annotations"};
    struct reader *reader = context;
    unsigned int i = 0;
    while (i < 4 && !json_key_is(key, names[i]))
        i++;
    int rc = i < 4 ? once(s, reader, key, i) : 0;
    if (rc < 0)
        return rc;
    switch (i) {
    case 0:
        return read_id(s, reader);
    case 1:
        return read_pid(s, depth + 1, reader);
    case 2:
        return keep_string(s, reader->out->bundle, sizeof reader->out->bundle);
    case 3:
        return read_annotations(s, depth + 1, reader);
    default:
        return json_skip(s, depth + 1);
    }
}

int oci_state_parse(const char *text, size_t length, struct oci_state *out,
                    struct parse_error *error)
{
    struct reader reader = {.out = out};

    memset(out, 0, sizeof *out);
    *error = (struct parse_error){0};
    if (length > OCI_STATE_MAX) {
        *error = (struct parse_error){OCI_STATE_MAX, "larger than 1 MiB"};
        return -E2BIG;
    }
    int rc = json_parse(text, length, read_member, &reader, error);
    if (rc == 0 && out->id[0] == '\0') {
        *error = (struct parse_error){length, "no \"id\" in it"};
        rc = -EINVAL;
    }
    if (rc < 0)
        memset(out, 0, sizeof *out);
    return rc;
}
