#include "holder.h"

#include <errno.h>
#include <string.h>

void holder_put(struct text *out, const struct holder *holder)
{
    text_put_word(out, span_of(holder->id));
    text_put_char(out, ' ');
    text_put_unsigned(out, (uint64_t)holder->pid);
    text_put_char(out, ' ');
    text_put_unsigned(out, holder->start);
    text_put_char(out, ' ');
    text_put_unsigned(out, holder->since);
    text_put_char(out, ' ');
    if (holder->pod_name[0] == '\0' && holder->pod_namespace[0] == '\0') {
        text_put_char(out, '-');
    } else {
        text_put_word(out, span_of(holder->pod_namespace));
        text_put_char(out, '/');
        text_put_word(out, span_of(holder->pod_name));
    }
    text_put_char(out, ' ');
    text_put_word(out, span_of(holder->pod_uid));
    text_put_char(out, ' ');
    text_put_word(out, span_of(holder->container));
}

/* A word as text_put_word() wrote it; "-" is nothing, no word at all is wrong. */
static int parse_word(struct span word, char *out, size_t size)
{
    if (word.length == 0)
        return -EINVAL;
    return span_is(word, "-") ? 0 : text_unescape(word, out, size);
}

static int parse_pod(struct span word, struct holder *holder)
{
    if (span_is(word, "-"))
        return 0;
    struct span first = span_cut(&word, '/', NULL);
    int rc = parse_word(first, holder->pod_namespace, sizeof holder->pod_namespace);
    return rc < 0 ? rc : parse_word(word, holder->pod_name, sizeof holder->pod_name);
}

int holder_parse(struct span value, struct holder *out)
{
    struct span words[7];
    uint64_t pid;

    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < 7; i++)
        words[i] = span_cut(&value, ' ', NULL);
    if (value.length > 0 || parse_word(words[0], out->id, sizeof out->id) < 0 ||
        out->id[0] == '\0' || parse_unsigned(words[1], INT32_MAX, &pid) < 0 ||
        parse_unsigned(words[2], UINT64_MAX, &out->start) < 0 ||
        parse_unsigned(words[3], UINT64_MAX, &out->since) < 0 || parse_pod(words[4], out) < 0 ||
        parse_word(words[5], out->pod_uid, sizeof out->pod_uid) < 0 ||
        parse_word(words[6], out->container, sizeof out->container) < 0)
        return -EINVAL;
    out->pid = (int)pid;
    return 0;
}
