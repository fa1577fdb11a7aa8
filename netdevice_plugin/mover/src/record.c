/* The record: a struct, its text, and the file. One table serves reader and writer. */

#include "record.h"

#include <errno.h>
#include <string.h>

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

enum form { TEXT, INT, U32, U64, NSID, MAC, BYTES16, WORDS, NAMES, MESSAGES, LINES };

/* Narrow, and without a pointer: each of those needs 24 bytes more for its relocation. */
struct field {
    char key[20];
    uint8_t form;
    uint16_t offset;
    uint16_t size;  /* of a text */
    uint16_t count; /* offset of the number of elements, for WORDS and NAMES */
};

_Static_assert(sizeof(struct record) <= UINT16_MAX, "its offsets must fit");

#define AT(member) offsetof(struct record, member)
#define SIZED(member) AT(member), sizeof((struct record *)0)->member

static const struct field fields[] = {
    {"netns", NSID, AT(netns), 0, 0},
    {"pidns", NSID, AT(pidns), 0, 0},
    {"device", TEXT, SIZED(device), 0},
    {"pin", TEXT, SIZED(pin), 0},
    {"born", TEXT, SIZED(born), 0},
    {"recorded", U64, AT(recorded), 0, 0},
    {"pod.name", TEXT, SIZED(pod_name), 0},
    {"pod.ifindex", INT, AT(pod_ifindex), 0, 0},
    {"pod.mac", MAC, AT(pod_mac), 0, 0},
    {"pod.vlan", TEXT, SIZED(pod_vlan), 0},
    {"pod.vrf", TEXT, SIZED(pod_vrf), 0},
    {"pod.rule", MESSAGES, AT(pod_rules), 0, 0},
    {"pod.default", MESSAGES, AT(pod_defaults), 0, 0},
    {"spec.link", TEXT, SIZED(spec.name), 0},
    {"spec.ifindex", INT, AT(spec.ifindex), 0, 0},
    {"spec.mac", MAC, AT(spec.mac), 0, 0},
    {"spec.pci", TEXT, SIZED(spec.pci), 0},
    {"spec.kind", TEXT, SIZED(spec.kind), 0},
    {"link.name", TEXT, SIZED(link.name), 0},
    {"link.ifindex", INT, AT(link.ifindex), 0, 0},
    {"link.kind", TEXT, SIZED(link.kind), 0},
    {"link.type", U32, AT(link.type), 0, 0},
    {"link.mac", MAC, AT(link.mac), 0, 0},
    {"link.permanent-mac", MAC, AT(link.permanent), 0, 0},
    {"link.pci", TEXT, SIZED(link.pci), 0},
    {"link.mtu", U32, AT(link.mtu), 0, 0},
    {"link.txqlen", U32, AT(link.txqlen), 0, 0},
    {"link.group", U32, AT(link.group), 0, 0},
    {"link.flags", U32, AT(link.flags), 0, 0},
    {"link.alias", TEXT, SIZED(link.alias), 0},
    {"link.altname", NAMES, AT(link.altnames), LINK_ALTNAMES, AT(link.altname_count)},
    {"link.conf4", WORDS, AT(link.conf4), CONF4_MAX, AT(link.conf4_count)},
    {"link.conf6", WORDS, AT(link.conf6), CONF6_MAX, AT(link.conf6_count)},
    {"link.token", BYTES16, AT(link.token), 0, 0},
    {"link.secret", TEXT, SIZED(secret), 0},
    {"link.sysctl", LINES, AT(sysctls), 0, 0},
    {"link.ethtool", LINES, AT(ethtool), 0, 0},
    {"link.vf", TEXT, SIZED(vf), 0},
    {"link.rdma", TEXT, SIZED(rdma), 0},
    {"address", MESSAGES, AT(addresses), 0, 0},
    {"route", MESSAGES, AT(routes), 0, 0},
    {"nexthop", MESSAGES, AT(nexthops), 0, 0},
    {"neighbour", MESSAGES, AT(neighbours), 0, 0},
    {"error", TEXT, SIZED(error), 0},
};

#define FIELDS (sizeof fields / sizeof fields[0])

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

static void put_key(struct text *out, const char *key)
{
    text_put(out, key);
    text_put_char(out, '=');
}

static void put_list(struct text *out, const struct field *field, const struct list *list)
{
    LIST_EACH(item, list) {
        put_key(out, field->key);
        if (field->form == MESSAGES)
            text_put_hex(out, item.data, item.size);
        else
            text_put_escaped(out, (struct span){item.data, item.size});
        text_put_char(out, '\n');
    }
}

static void put_names(struct text *out, const struct field *field, const char *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_key(out, field->key);
        text_put_escaped(out, span_of(names + i * LINK_ALTNAME_SIZE));
        text_put_char(out, '\n');
    }
}

static uint64_t number_at(const struct field *field, const char *at)
{
    uint64_t wide;
    uint32_t narrow;

    if (field->form == U64) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

static size_t count_at(const struct field *field, const struct record *record)
{
    size_t count;

    memcpy(&count, (const char *)record + field->count, sizeof count);
    return count;
}

/* Whether there is anything to say. */
static bool is_set(const struct field *field, const char *at, const struct record *record)
{
    static const uint8_t zeros[16];

    switch (field->form) {
    case TEXT:
        return at[0] != '\0';
    case NSID:
        return ((const struct nsid *)(const void *)at)->inode != 0;
    case MAC:
        return ((const struct mac *)(const void *)at)->length > 0;
    case BYTES16:
        return memcmp(at, zeros, sizeof zeros) != 0;
    case WORDS:
        return count_at(field, record) > 0;
    default:
        return true;
    }
}

static void put_nsid(struct text *out, const struct nsid *id)
{
    text_put_unsigned(out, id->device);
    text_put_char(out, ':');
    text_put_unsigned(out, id->inode);
}

static void put_field(struct text *out, const struct field *field, const struct record *record)
{
    const char *at = (const char *)record + field->offset;

    if (field->form == MESSAGES || field->form == LINES) {
        put_list(out, field, (const struct list *)(const void *)at);
        return;
    }
    if (field->form == NAMES) {
        put_names(out, field, at, count_at(field, record));
        return;
    }
    if (!is_set(field, at, record))
        return;
    put_key(out, field->key);
    if (field->form == TEXT)
        text_put_escaped(out, span_of(at));
    else if (field->form == NSID)
        put_nsid(out, (const struct nsid *)(const void *)at);
    else if (field->form == MAC)
        text_put_mac(out, (const struct mac *)(const void *)at);
    else if (field->form == BYTES16)
        text_put_hex(out, at, 16);
    else if (field->form == WORDS)
        text_put_hex(out, at, count_at(field, record) * sizeof(int32_t));
    else
        text_put_unsigned(out, number_at(field, at));
    text_put_char(out, '\n');
}

static void put_holder(struct text *out, const struct holder *holder)
{
    put_key(out, "holder");
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
    text_put_char(out, '\n');
}

int record_format(const struct record *record, struct text *out)
{
    text_put(out, "format=1\nphase=");
    text_put_span(out, words_at(phases, record->phase - PHASE_ATTACHING));
    text_put_char(out, '\n');
    for (size_t i = 0; i < record->holder_count; i++)
        put_holder(out, &record->holders[i]);
    for (size_t i = 0; i < FIELDS; i++)
        put_field(out, &fields[i], record);
    return out->cut ? -ENOBUFS : 0;
}

static int parse_phase(struct span value, struct record *out)
{
    int found = words_find(phases, value);

    out->phase = (enum phase)(PHASE_ATTACHING + found);
    return found < 0 ? -EINVAL : 0;
}

static int parse_nsid(struct span value, struct nsid *out)
{
    struct span device = span_cut(&value, ':', NULL);
    int rc = parse_unsigned(device, UINT64_MAX, &out->device);

    return rc < 0 ? rc : parse_unsigned(value, UINT64_MAX, &out->inode);
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

static int parse_holder(struct span value, struct record *out)
{
    struct holder *holder = &out->holders[out->holder_count];
    struct span words[7];
    uint64_t pid;

    if (out->holder_count == RECORD_HOLDERS)
        return -ENOBUFS;
    memset(holder, 0, sizeof *holder);
    for (size_t i = 0; i < 7; i++)
        words[i] = span_cut(&value, ' ', NULL);
    if (value.length > 0 || parse_word(words[0], holder->id, sizeof holder->id) < 0 ||
        holder->id[0] == '\0' || parse_unsigned(words[1], INT32_MAX, &pid) < 0 ||
        parse_unsigned(words[2], UINT64_MAX, &holder->start) < 0 ||
        parse_unsigned(words[3], UINT64_MAX, &holder->since) < 0 ||
        parse_pod(words[4], holder) < 0 ||
        parse_word(words[5], holder->pod_uid, sizeof holder->pod_uid) < 0 ||
        parse_word(words[6], holder->container, sizeof holder->container) < 0)
        return -EINVAL;
    holder->pid = (int)pid;
    out->holder_count++;
    return 0;
}

static int parse_number(const struct field *field, struct span value, char *at)
{
    uint64_t max = field->form == U64 ? UINT64_MAX : field->form == INT ? INT32_MAX : UINT32_MAX;
    uint64_t number;
    int rc = parse_unsigned(value, max, &number);

    if (rc < 0)
        return rc;
    uint32_t narrow = (uint32_t)number;
    if (field->form == U64)
        memcpy(at, &number, sizeof number);
    else
        memcpy(at, &narrow, sizeof narrow);
    return 0;
}

static int parse_words(const struct field *field, struct span value, char *at, struct record *out)
{
    size_t length;
    int rc = parse_hex(value, (uint8_t *)at, field->size * sizeof(int32_t), &length);

    if (rc < 0 || length % sizeof(int32_t) != 0)
        return -EINVAL;
    length /= sizeof(int32_t);
    memcpy((char *)out + field->count, &length, sizeof length);
    return 0;
}

static int parse_name(const struct field *field, struct span value, char *at, struct record *out)
{
    size_t count = count_at(field, out);

    if (count == field->size)
        return -ENOBUFS;
    int rc = text_unescape(value, at + count * LINK_ALTNAME_SIZE, LINK_ALTNAME_SIZE);
    if (rc < 0)
        return rc;
    count++;
    memcpy((char *)out + field->count, &count, sizeof count);
    return 0;
}

static int parse_message(struct span value, struct list *list, bool hex)
{
    static _Alignas(8) uint8_t bytes[65536];
    size_t length;
    int rc = hex ? parse_hex(value, bytes, sizeof bytes, &length)
                 : text_unescape(value, (char *)bytes, sizeof bytes);

    if (rc < 0)
        return rc;
    return list_add(list, bytes, hex ? length : strlen((char *)bytes));
}

static int parse_field(const struct field *field, struct span value, struct record *out)
{
    char *at = (char *)out + field->offset;
    size_t length;

    switch (field->form) {
    case TEXT:
        return text_unescape(value, at, field->size);
    case NSID:
        return parse_nsid(value, (struct nsid *)(void *)at);
    case MAC:
        return parse_mac(value, (struct mac *)(void *)at);
    case BYTES16:
        return parse_hex(value, (uint8_t *)at, 16, &length) < 0 || length != 16 ? -EINVAL : 0;
    case WORDS:
        return parse_words(field, value, at, out);
    case NAMES:
        return parse_name(field, value, at, out);
    case MESSAGES:
    case LINES:
        return parse_message(value, (struct list *)(void *)at, field->form == MESSAGES);
    default:
        return parse_number(field, value, at);
    }
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
    for (size_t i = 0; i < FIELDS; i++)
        if (span_is(key, fields[i].key))
            return parse_field(&fields[i], line, out);
    return 0; /* of a later version */
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
