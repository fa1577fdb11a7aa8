/*
 * Any bytes as a record: what is read is written alike, however often, and the
 * kernel's messages in it, which may say anything, are looked at within their bounds.
 */
#include <string.h>

#include "describe.h"
#include "fuzz.h"
#include "message.h"
#include "names.h"
#include "record.h"
#include "route.h"

static char first[RECORD_TEXT_MAX];
static char second[RECORD_TEXT_MAX];
static struct record record;

static void check_record(void)
{
    MUST(is_device_name(span_of(record.device)));
    MUST(is_link_name(span_of(record.link.name)) && is_link_name(span_of(record.pod_name)));
    MUST(record.phase != PHASE_NONE && record.holder_count <= RECORD_HOLDERS);
    MUST(record.link.altname_count <= LINK_ALTNAMES);
    MUST(record.link.conf4_count <= CONF4_MAX && record.link.conf6_count <= CONF6_MAX);
    for (size_t i = 0; i < record.holder_count; i++)
        MUST(record.holders[i].id[0] != '\0' && record.holders[i].pid >= 0);
}

static void look_at(enum thing thing, const struct list *list)
{
    static char buffer[512];
    struct nl nobody = {.fd = -1}; /* requests are built, and go nowhere */
    struct text text;

    LIST_EACH(item, list) {
        text_init(&text, buffer, sizeof buffer);
        message_describe(thing, item, &text);
        messages_equal(thing, item, 7, list_first(list), 7);
        MUST(message_send(&nobody, thing, ADD, item, 7, 8, 100) < 0);
        if (thing == ROUTE && route_is_default(item))
            route_is_for_pod(item);
        if (thing == ADDRESS)
            MUST(address_add(&nobody, item, 7, 8, 100) < 0);
    }
}

/* Reads a record and writes it again; how long it is, or 0 for what is none. */
static size_t rewrite(const char *text, size_t length, char out[RECORD_TEXT_MAX])
{
    struct text written;
    size_t line = 0;

    if (record_parse(text, length, &record, &line) < 0) {
        MUST(line > 0);
        return 0;
    }
    check_record();
    text_init(&written, out, RECORD_TEXT_MAX);
    return record_format(&record, &written) < 0 ? 0 : written.length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length = rewrite((const char *)data, size, first);

    if (length == 0)
        return 0;
    look_at(ADDRESS, &record.addresses);
    look_at(ROUTE, &record.routes);
    look_at(NEXTHOP, &record.nexthops);
    look_at(NEIGHBOUR, &record.neighbours);
    look_at(RULE, &record.pod_rules);
    look_at(ROUTE, &record.pod_defaults);
    MUST(rewrite(first, length, second) == length);
    MUST(memcmp(first, second, length) == 0);
    return 0;
}
