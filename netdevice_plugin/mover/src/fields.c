#include "fields.h"

#include <errno.h>
#include <string.h>

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

static void put_key(struct text *out, const char *key)
{
    text_put(out, key);
    text_put_char(out, '=');
}

/* ---- writing ---- */

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

void fields_put(struct text *out, const struct record *record)
{
    for (size_t i = 0; i < FIELDS; i++)
        put_field(out, &fields[i], record);
}

/* ---- reading ---- */

static int parse_nsid(struct span value, struct nsid *out)
{
    struct span device = span_cut(&value, ':', NULL);
    int rc = parse_unsigned(device, UINT64_MAX, &out->device);

    return rc < 0 ? rc : parse_unsigned(value, UINT64_MAX, &out->inode);
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

int field_parse(struct span key, struct span value, struct record *out)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (span_is(key, fields[i].key))
            return parse_field(&fields[i], value, out);
    return 0; /* of a later version */
}
