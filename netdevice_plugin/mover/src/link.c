/* Links: reading them, telling them apart, moving them. */

#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/if_link.h>
#include <string.h>
#include <unistd.h>

static void read_mac(const struct rtattr *attr, struct mac *out)
{
    memset(out, 0, sizeof *out);
    if (attr == NULL || attr_size(attr) > MAC_MAX)
        return;
    out->length = (uint8_t)attr_size(attr);
    memcpy(out->bytes, attr_data(attr), out->length);
}

static void read_altnames(const struct rtattr *list, struct link *out)
{
    if (list == NULL)
        return;
    size_t left = attr_size(list);
    for (const struct rtattr *a = attr_first(attr_data(list), left); a; a = attr_next(a, &left))
        if (attr_type(a) == IFLA_ALT_IFNAME && out->altname_count < LINK_ALTNAMES)
            attr_text(a, out->altnames[out->altname_count++], LINK_ALTNAME_SIZE);
}

static size_t read_conf(const struct rtattr *attr, int32_t *out, size_t max)
{
    if (attr == NULL)
        return 0;
    size_t count = attr_size(attr) / sizeof *out;
    if (count > max)
        count = max;
    memcpy(out, attr_data(attr), count * sizeof *out);
    return count;
}

/* IFLA_AF_SPEC: one attribute a family, with all of that family's per-link settings. */
static void read_families(const struct rtattr *spec, struct link *out)
{
    if (spec == NULL)
        return;
    const struct rtattr *v4 = attr_find(attr_data(spec), attr_size(spec), AF_INET);
    const struct rtattr *v6 = attr_find(attr_data(spec), attr_size(spec), AF_INET6);
    if (v4 != NULL)
        out->conf4_count = read_conf(attr_find(attr_data(v4), attr_size(v4), IFLA_INET_CONF),
                                     out->conf4, CONF4_MAX);
    if (v6 == NULL)
        return;
    out->conf6_count =
        read_conf(attr_find(attr_data(v6), attr_size(v6), IFLA_INET6_CONF), out->conf6, CONF6_MAX);
    const struct rtattr *token = attr_find(attr_data(v6), attr_size(v6), IFLA_INET6_TOKEN);
    if (token != NULL && attr_size(token) == sizeof out->token)
        memcpy(out->token, attr_data(token), sizeof out->token);
}

static void read_kind(const struct rtattr *info, struct link *out)
{
    if (info == NULL)
        return;
    attr_text(attr_find(attr_data(info), attr_size(info), IFLA_INFO_KIND), out->kind,
              sizeof out->kind);
    const struct rtattr *data = attr_find(attr_data(info), attr_size(info), IFLA_INFO_DATA);
    if (data != NULL && strcmp(out->kind, "vrf") == 0)
        out->vrf_table = attr_u32(attr_find(attr_data(data), attr_size(data), IFLA_VRF_TABLE), 0);
}

int link_read(const struct nlmsghdr *message, void *arg)
{
    struct link *out = arg;
    const struct ifinfomsg *info = NLMSG_DATA(message);
    size_t size;

    if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof *info))
        return -EPROTO;
    const void *attrs = message_attrs(message, sizeof *info, &size);
    memset(out, 0, sizeof *out);
    out->ifindex = info->ifi_index;
    out->type = info->ifi_type;
    out->flags = info->ifi_flags;
    out->master = (int)attr_u32(attr_find(attrs, size, IFLA_MASTER), 0);
    out->mtu = attr_u32(attr_find(attrs, size, IFLA_MTU), 0);
    out->txqlen = attr_u32(attr_find(attrs, size, IFLA_TXQLEN), 0);
    out->group = attr_u32(attr_find(attrs, size, IFLA_GROUP), 0);
    attr_text(attr_find(attrs, size, IFLA_IFNAME), out->name, sizeof out->name);
    attr_text(attr_find(attrs, size, IFLA_IFALIAS), out->alias, sizeof out->alias);
    attr_text(attr_find(attrs, size, IFLA_PARENT_DEV_NAME), out->parent, sizeof out->parent);
    attr_text(attr_find(attrs, size, IFLA_PARENT_DEV_BUS_NAME), out->parent_bus,
              sizeof out->parent_bus);
    read_mac(attr_find(attrs, size, IFLA_ADDRESS), &out->mac);
    read_mac(attr_find(attrs, size, IFLA_PERM_ADDRESS), &out->permanent);
    read_kind(attr_find(attrs, size, IFLA_LINKINFO), out);
    read_altnames(attr_find(attrs, size, IFLA_PROP_LIST), out);
    read_families(attr_find(attrs, size, IFLA_AF_SPEC), out);
    return 0;
}

int link_get(struct nl *nl, int ifindex, const char *name, struct link *out)
{
    static struct request request;
    const struct ifinfomsg info = {.ifi_index = ifindex};

    out->ifindex = 0;
    nl_start(&request, RTM_GETLINK, 0, &info, sizeof info);
    if (ifindex == 0)
        nl_put_text(&request, strlen(name) < IFNAMSIZ ? IFLA_IFNAME : IFLA_ALT_IFNAME, name);
    int rc = nl_get(nl, &request, link_read, out);
    /* A name that is short enough to be a link's may be another's altname all the same. */
    if (rc == -ENODEV && ifindex == 0 && strlen(name) < IFNAMSIZ) {
        nl_start(&request, RTM_GETLINK, 0, &info, sizeof info);
        nl_put_text(&request, IFLA_ALT_IFNAME, name);
        rc = nl_get(nl, &request, link_read, out);
    }
    if (rc == 0)
        link_find_pci(out);
    return rc;
}

int links_each(struct nl *nl, int master, nl_each each, void *arg)
{
    static struct request request;
    const struct ifinfomsg info = {0};

    nl_start(&request, RTM_GETLINK, 0, &info, sizeof info);
    nl_put_u32(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    if (master != 0)
        nl_put_u32(&request, IFLA_MASTER, (uint32_t)master);
    return nl_dump(nl, &request, each, arg);
}

void pci_in_symlink(const char *path, char out[PCI_ADDRESS_SIZE])
{
    char target[PATH_MAX];
    ssize_t size = readlink(path, target, sizeof target);

    if (size <= 0 || (size_t)size == sizeof target)
        return;
    struct span rest = {target, (size_t)size};
    while (rest.length > 0)
        parse_pci(span_cut(&rest, '/', NULL), out);
}

void link_find_pci(struct link *link)
{
    char path[128];
    struct text text;

    if (strcmp(link->parent_bus, "pci") == 0) {
        parse_pci(span_of(link->parent), link->pci);
        return;
    }
    if (link->parent[0] == '\0' || link->parent_bus[0] == '\0')
        return;
    /* virtio: ../../../devices/pci0000:00/0000:00:03.0/virtio0 */
    text_init(&text, path, sizeof path);
    text_put(&text, "/sys/bus/");
    text_put(&text, link->parent_bus);
    text_put(&text, "/devices/");
    text_put(&text, link->parent);
    pci_in_symlink(path, link->pci);
}

bool link_has_altname(const struct link *link, const char *name)
{
    for (size_t i = 0; i < link->altname_count; i++)
        if (strcmp(link->altnames[i], name) == 0)
            return true;
    return false;
}

const struct mac *link_identity_mac(const struct link *link)
{
    return link->permanent.length > 0 ? &link->permanent : &link->mac;
}

/* Everything but name and ifindex, which can change under a link. */
static bool resembles(const struct link *link, const struct identity *identity)
{
    if (identity->pci[0] != '\0' && strcmp(link->pci, identity->pci) != 0)
        return false;
    if (identity->mac.length > 0 && !mac_equal(&identity->mac, &link->mac) &&
        !mac_equal(&identity->mac, &link->permanent))
        return false;
    return strcmp(link->kind, identity->kind) == 0 && (link->flags & IFF_LOOPBACK) == 0;
}

struct search {
    const struct identity *identity;
    struct text *why;
    size_t start;           /* of what is said in `why` */
    struct link *candidate; /* the one with the ifindex, else the last one */
    size_t count;
    bool by_index;
    int named; /* ifindex of the candidate that has the name */
};

static int consider(const struct nlmsghdr *message, void *arg)
{
    static struct link link;
    struct search *search = arg;

    if (message == NULL) {
        search->why->length = search->start;
        search->candidate->ifindex = 0;
        search->count = 0;
        search->by_index = false;
        search->named = 0;
        return 0;
    }
    int rc = link_read(message, &link);
    if (rc < 0)
        return rc;
    link_find_pci(&link);
    if (!resembles(&link, search->identity))
        return 0;
    text_put(search->why, search->count++ == 0 ? "" : ", ");
    text_put(search->why, link.name);
    text_put(search->why, " (ifindex ");
    text_put_unsigned(search->why, (uint64_t)link.ifindex);
    text_put(search->why, ")");
    bool by_index = link.ifindex == search->identity->ifindex;
    if (strcmp(link.name, search->identity->name) == 0)
        search->named = link.ifindex;
    if (!search->by_index)
        *search->candidate = link;
    search->by_index |= by_index;
    return 0;
}

/*
 * Some drivers of virtual functions call whatever MAC they have the permanent one: a
 * link that has the number given, on the PCI function given, is the one all the same.
 */
static int find_by_function(struct nl *nl, const struct identity *identity, struct link *out)
{
    struct identity function = *identity;

    if (identity->pci[0] == '\0' || identity->ifindex == 0)
        return -ENODEV;
    function.mac.length = 0;
    int rc = link_get(nl, identity->ifindex, NULL, out);
    return rc == 0 && !resembles(out, &function) ? -ENODEV : rc;
}

int link_identify(struct nl *nl, const struct identity *identity, struct link *out,
                  struct text *why)
{
    bool anonymous = identity->mac.length == 0 && identity->pci[0] == '\0';
    struct search search = {.identity = identity, .why = why, .candidate = out};

    int rc = link_get(nl, 0, identity->name, out);
    if (rc < 0 && rc != -ENODEV)
        return rc;
    bool exact = rc == 0 && strcmp(out->name, identity->name) == 0 && resembles(out, identity);
    if (exact && out->ifindex == identity->ifindex)
        return 0;
    if (anonymous) {
        text_put(why, "it has no MAC or PCI address to be known by, and no link has its name, "
                      "ifindex and kind");
        return exact && identity->ifindex == 0 ? 0 : -ENODEV;
    }
    search.start = why->length;
    rc = links_each(nl, 0, consider, &search);
    if (rc < 0)
        return rc;
    if (search.count == 0)
        return find_by_function(nl, identity, out);
    if (search.count == 1)
        return link_get(nl, out->ifindex, NULL, out);
    if (!search.by_index || (search.named != 0 && search.named != identity->ifindex))
        return -EEXIST;
    return link_get(nl, identity->ifindex, NULL, out);
}

static void start(struct request *request, unsigned type, int ifindex, uint32_t flags,
                  uint32_t mask)
{
    const struct ifinfomsg info = {.ifi_index = ifindex, .ifi_flags = flags, .ifi_change = mask};

    nl_start(request, type, 0, &info, sizeof info);
}

void link_change(struct request *request, int ifindex, uint32_t flags, uint32_t mask)
{
    start(request, RTM_SETLINK, ifindex, flags, mask);
}

int link_set_flags(struct nl *nl, int ifindex, uint32_t flags, uint32_t mask)
{
    static struct request request;

    link_change(&request, ifindex, flags, mask);
    return nl_call(nl, &request);
}

int link_set_mac(struct nl *nl, int ifindex, const struct mac *mac)
{
    static struct request request;

    link_change(&request, ifindex, 0, 0);
    nl_put(&request, IFLA_ADDRESS, mac->bytes, mac->length);
    return nl_call(nl, &request);
}

int link_rename(struct nl *nl, int ifindex, const char *name)
{
    static struct request request;

    link_change(&request, ifindex, 0, 0);
    nl_put_text(&request, IFLA_IFNAME, name);
    return nl_call(nl, &request);
}

int link_remove(struct nl *nl, int ifindex)
{
    static struct request request;

    start(&request, RTM_DELLINK, ifindex, 0, 0);
    return nl_call(nl, &request);
}

int link_altname(struct nl *nl, int ifindex, const char *name, bool add)
{
    static struct request request;

    start(&request, add ? RTM_NEWLINKPROP : RTM_DELLINKPROP, ifindex, 0, 0);
    request.head.nlmsg_flags |= add ? NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND : 0;
    size_t nest = nl_nest(&request, IFLA_PROP_LIST);
    nl_put_text(&request, IFLA_ALT_IFNAME, name);
    nl_end_nest(&request, nest);
    return nl_call(nl, &request);
}

void link_start(struct request *request, const char *name, int below, uint32_t group)
{
    start(request, RTM_NEWLINK, 0, 0, 0);
    request->head.nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
    nl_put_text(request, IFLA_IFNAME, name);
    if (below != 0)
        nl_put_u32(request, IFLA_LINK, (uint32_t)below);
    if (group != 0)
        nl_put_u32(request, IFLA_GROUP, group);
}

struct nests link_nest(struct request *request, const char *kind)
{
    struct nests nests = {.info = nl_nest(request, IFLA_LINKINFO)};

    nl_put_text(request, IFLA_INFO_KIND, kind);
    nests.data = nl_nest(request, IFLA_INFO_DATA);
    return nests;
}

void link_put_vlan(struct request *request, uint32_t id, uint16_t protocol)
{
    const uint16_t number = (uint16_t)id, ethertype = htons(protocol);

    nl_put(request, IFLA_VLAN_ID, &number, sizeof number);
    nl_put(request, IFLA_VLAN_PROTOCOL, &ethertype, sizeof ethertype);
}

int link_make(struct nl *nl, struct request *request, struct nests nests)
{
    nl_end_nest(request, nests.data);
    nl_end_nest(request, nests.info);
    return nl_call(nl, request);
}

int link_move(struct nl *nl, int ifindex, int netns, const char *name, int number)
{
    static struct request request;

    link_change(&request, ifindex, 0, 0);
    nl_put_u32(&request, IFLA_NET_NS_FD, (uint32_t)netns);
    nl_put_text(&request, IFLA_IFNAME, name);
    if (number != 0)
        nl_put_u32(&request, IFLA_NEW_IFINDEX, (uint32_t)number);
    return nl_call(nl, &request);
}
