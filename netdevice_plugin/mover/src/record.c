/* The record: its lines together, what it must have, and its file. */

#include "record.h"

#include <errno.h>
#include <string.h>

#include "fields.h"
#include "files.h"
#include "message.h"
#include "names.h"
#include "settings.h"

/* What a link may have of each; more is refused before anything is touched. */
static _Alignas(8) unsigned char sysctl_room[16 << 10];
static _Alignas(8) unsigned char ethtool_room[16 << 10];
static _Alignas(8) unsigned char address_room[256 << 10];
static _Alignas(8) unsigned char route_room[768 << 10];
static _Alignas(8) unsigned char nexthop_room[64 << 10];
static _Alignas(8) unsigned char neighbour_room[128 << 10];
static _Alignas(8) unsigned char pod_rule_room[24 << 10];
static _Alignas(8) unsigned char pod_default_room[32 << 10];

static char file_text[RECORD_TEXT_MAX];

static const char phases[] = "attaching attached returning lost stranded";

void record_init(struct record *record)
{
    memset(record, 0, sizeof *record);
    list_init(&record->sysctls, sysctl_room, sizeof sysctl_room);
    list_init(&record->ethtool, ethtool_room, sizeof ethtool_room);
    list_init(&record->addresses, address_room, sizeof address_room);
    list_init(&record->routes, route_room, sizeof route_room);
    list_init(&record->nexthops, nexthop_room, sizeof nexthop_room);
    list_init(&record->neighbours, neighbour_room, sizeof neighbour_room);
    list_init(&record->pod_rules, pod_rule_room, sizeof pod_rule_room);
    list_init(&record->pod_defaults, pod_default_room, sizeof pod_default_room);
}

struct holder *record_holder(struct record *record, const char *id)
{
    for (size_t i = 0; i < record->holder_count; i++)
        if (strcmp(record->holders[i].id, id) == 0)
            return &record->holders[i];
    return NULL;
}

static void put_holder(struct text *out, const struct holder *holder)
{
    text_put(out, "holder=");
    holder_put(out, holder);
    text_put_char(out, '\n');
}

int record_format(const struct record *record, struct text *out)
{
    text_put(out, "format=1\nphase=");
    text_put_span(out, words_at(phases, record->phase - PHASE_ATTACHING));
    text_put_char(out, '\n');
    for (size_t i = 0; i < record->holder_count; i++)
        put_holder(out, &record->holders[i]);
    fields_put(out, record);
    return out->cut ? -ENOBUFS : 0;
}

static int parse_phase(struct span value, struct record *out)
{
    int found = words_find(phases, value);

    out->phase = (enum phase)(PHASE_ATTACHING + found);
    return found < 0 ? -EINVAL : 0;
}

static int parse_holder(struct span value, struct record *out)
{
    if (out->holder_count == RECORD_HOLDERS)
        return -ENOBUFS;
    int rc = holder_parse(value, &out->holders[out->holder_count]);
    out->holder_count += rc == 0;
    return rc;
}

static int parse_line(struct span line, size_t number, struct record *out)
{
    bool found;
    struct span key = span_cut(&line, '=', &found);

    if (!found)
        return -EINVAL;
    if (number == 1)
        return span_is(key, "format") && span_is(line, "1") ? 0 : -EINVAL;
    if (span_is(key, "phase"))
        return parse_phase(line, out);
    if (span_is(key, "holder"))
        return parse_holder(line, out);
    return field_parse(key, line, out);
}

static bool settings_valid(const struct list *lines)
{
    struct setting setting;

    LIST_EACH(line, lines)
        if (setting_parse_line((struct span){line.data, line.size}, &setting) < 0)
            return false;
    return lines->count <= SETTINGS_MAX;
}

/* What a record must have to bring a link home by. */
static bool is_whole(const struct record *record)
{
    struct vf_arg vf;

    return record->phase != PHASE_NONE && record->netns.inode != 0 &&
           (record->link.ifindex != 0 || is_born(record)) &&
           is_device_name(span_of(record->device)) && is_link_name(span_of(record->link.name)) &&
           is_link_name(span_of(record->pod_name)) && messages_valid(ADDRESS, &record->addresses) &&
           messages_valid(ROUTE, &record->routes) && messages_valid(NEXTHOP, &record->nexthops) &&
           settings_valid(&record->ethtool) && messages_valid(NEIGHBOUR, &record->neighbours) &&
           vf_parse(record->vf, &vf) == 0 && messages_valid(RULE, &record->pod_rules) &&
           messages_valid(ROUTE, &record->pod_defaults);
}

int record_parse(const char *text, size_t length, struct record *out, size_t *line)
{
    struct span rest = {text, length};
    bool ended = true;

    record_init(out);
    for (*line = 1; rest.length > 0; (*line)++) {
        struct span one = span_cut(&rest, '\n', &ended);
        if (!ended || parse_line(one, *line, out) < 0)
            return -EINVAL;
    }
    return is_whole(out) ? 0 : -EINVAL;
}

int record_write(const char *directory, const struct record *record)
{
    char path[PATH_SIZE];
    struct text text;

    path_join(path, directory, "attachments", record->device);
    text_init(&text, file_text, sizeof file_text);
    int rc = record_format(record, &text);
    return rc < 0 ? rc : replace_file(path, text.data, text.length);
}

int record_read(const char *directory, const char *device, struct record *out, size_t *line)
{
    char path[PATH_SIZE];

    *line = 0;
    path_join(path, directory, "attachments", device);
    ssize_t size = read_file(path, file_text, sizeof file_text);
    if (size < 0)
        return size == -EFBIG ? -EINVAL : (int)size;
    int rc = record_parse(file_text, (size_t)size, out, line);
    return rc == 0 && strcmp(out->device, device) != 0 ? -EINVAL : rc;
}

int record_remove(const char *directory, const char *device)
{
    char path[PATH_SIZE];

    path_join(path, directory, "attachments", device);
    return remove_replaced(path);
}
