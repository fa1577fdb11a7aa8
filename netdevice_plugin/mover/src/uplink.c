/* The last look before a link leaves: is it how the node is reached? */

#include "uplink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "message.h"

#define LINKS 16384 /* more than a kernel manages in reasonable time */

struct relation {
    int ifindex;
    int below;  /* IFLA_LINK, 0 if there is none in this namespace */
    int master;
    bool above; /* stands on the link in question, at whatever height */
};

static struct relation relations[LINKS];
static size_t relation_count;

static int note_relation(const struct nlmsghdr *message, void *arg)
{
    const struct ifinfomsg *info = NLMSG_DATA(message);
    size_t size;

    (void)arg;
    if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof *info))
        return 0;
    if (relation_count == LINKS)
        return -E2BIG;
    const void *attrs = message_attrs(message, sizeof *info, &size);
    bool elsewhere = attr_find(attrs, size, IFLA_LINK_NETNSID) != NULL;
    relations[relation_count++] = (struct relation){
        .ifindex = info->ifi_index,
        .below = elsewhere ? 0 : (int)attr_u32(attr_find(attrs, size, IFLA_LINK), 0),
        .master = (int)attr_u32(attr_find(attrs, size, IFLA_MASTER), 0),
    };
    return 0;
}

static int read_relations(struct nl *nl)
{
    static struct request request;
    const struct ifinfomsg info = {0};
    int rc = -EAGAIN;

    for (int attempt = 0; rc == -EAGAIN && attempt < 8; attempt++) {
        relation_count = 0;
        nl_start(&request, RTM_GETLINK, 0, &info, sizeof info);
        nl_put_u32(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        rc = nl_dump(nl, &request, note_relation, NULL);
    }
    return rc;
}

static struct relation *relation_of(int ifindex)
{
    for (size_t i = 0; i < relation_count; i++)
        if (relations[i].ifindex == ifindex)
            return &relations[i];
    return NULL;
}

/* Two ends of a veth point at each other: neither stands on the other. */
static bool is_peer(const struct relation *one)
{
    const struct relation *other = relation_of(one->below);

    return other != NULL && other->below == one->ifindex;
}

static bool is_above(int ifindex)
{
    const struct relation *relation = ifindex == 0 ? NULL : relation_of(ifindex);

    return relation != NULL && relation->above;
}

/* Marks what stands on `base`, then on that, until a round finds no more. */
static void mark_above(struct relation *base)
{
    bool found = true;

    base->above = true;
    while (found) {
        found = false;
        for (size_t i = 0; i < relation_count; i++) {
            struct relation *one = &relations[i];
            struct relation *master =
                one->above && one->master != 0 ? relation_of(one->master) : NULL;
            if (!one->above && is_above(one->below) && !is_peer(one))
                found = one->above = true;
            if (master != NULL && !master->above)
                found = master->above = true;
        }
    }
}

static bool has_default(const struct list *routes, struct text *why)
{
    LIST_EACH(route, routes) {
        if (!route_is_default(route))
            continue;
        text_put(why, " a default route (");
        message_describe(ROUTE, route, why);
        text_put_char(why, ')');
        return true;
    }
    return false;
}

int uplink_check(struct nl *nl, const struct link *link, const struct list *routes,
                 struct text *why)
{
    static _Alignas(8) unsigned char room[768 << 10];
    static struct link upper;
    struct list others;
    const size_t start = why->length;

    text_put(why, "it is an uplink of this node: it carries");
    if (has_default(routes, why))
        return -EPERM;
    int rc = read_relations(nl);
    struct relation *base = rc == 0 ? relation_of(link->ifindex) : NULL;
    if (base == NULL)
        return rc;
    mark_above(base);
    list_init(&others, room, sizeof room);
    for (size_t i = 0; i < relation_count; i++) {
        if (!relations[i].above || &relations[i] == base)
            continue;
        rc = messages_capture(nl, ROUTE, relations[i].ifindex, &others);
        if (rc < 0)
            return rc;
        why->length = start;
        text_put(why, "it is an uplink of this node: ");
        if (link_get(nl, relations[i].ifindex, NULL, &upper) == 0)
            text_put(why, upper.name);
        text_put(why, ", which stands on it, carries");
        if (has_default(&others, why))
            return -EPERM;
    }
    return 0;
}
