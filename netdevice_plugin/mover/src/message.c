/* Addresses, routes, nexthops and neighbours as the kernel's own messages: compared, and sent. */

#include "message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "parts.h"

/* Nobody has seen yet that no one else has this address, or somebody has it. */
#define UNCHECKED (IFA_F_TENTATIVE | IFA_F_DADFAILED)

bool messages_valid(enum thing thing, const struct list *list)
{
    LIST_EACH(item, list)
        if (item.size < NLMSG_ALIGN(sorts[thing].header))
            return false;
    return true;
}

/* ---------------------------------------------------------------- comparing */

static bool loose(enum thing thing, const struct rtattr *attr)
{
    /* Stable-privacy is how an address was made, and no one can set it. */
    return attr_type(attr) == sorts[thing].loose ||
           (thing == ADDRESS && attr_type(attr) == IFA_FLAGS);
}

static bool attr_same(enum thing thing, const struct rtattr *one, int one_index,
                      const struct rtattr *other, int other_index)
{
    const void *data = attr_data(one);

    if (attr_size(other) != attr_size(one))
        return false;
    if (sorts[thing].oif != 0 && attr_type(one) == sorts[thing].oif)
        return (int)attr_u32(one, 0) == one_index && (int)attr_u32(other, 0) == other_index;
    if (thing == ROUTE && attr_type(one) == RTA_MULTIPATH)
        data = moved_hops(one, one_index, other_index);
    return data != NULL && memcmp(data, attr_data(other), attr_size(other)) == 0;
}

/* Whether every attribute of the one, of those that count, stands in the other. */
static bool contained(enum thing thing, struct item one, int one_index, struct item other,
                      int other_index)
{
    size_t left;

    for (const struct rtattr *a = first_attr(thing, one, &left); a != NULL;
         a = attr_next(a, &left)) {
        const struct rtattr *twin = find_attr(thing, other, attr_type(a));
        if (loose(thing, a))
            continue;
        if (twin == NULL || !attr_same(thing, a, one_index, twin, other_index))
            return false;
    }
    return true;
}

bool messages_equal(enum thing thing, struct item one, int one_index, struct item other,
                    int other_index)
{
    const uint32_t settable = IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR |
                              IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN;
    union header a = header_of(thing, one), b = header_of(thing, other);

    if (thing == ADDRESS) {
        if ((address_flags(one) ^ address_flags(other)) & settable)
            return false;
        a.address.ifa_flags = b.address.ifa_flags;
        a.address.ifa_index = b.address.ifa_index;
    } else if (thing == NEIGHBOUR) {
        a.neighbour.ndm_ifindex = b.neighbour.ndm_ifindex;
    }
    return memcmp(&a, &b, sizeof a) == 0 && contained(thing, one, one_index, other, other_index) &&
           contained(thing, other, other_index, one, one_index);
}

/* ------------------------------------------------------------------ sending */

static int put_lifetime(struct request *request, const struct rtattr *attr, uint64_t elapsed)
{
    struct ifa_cacheinfo info;

    if (attr_size(attr) < sizeof info)
        return 0;
    memcpy(&info, attr_data(attr), sizeof info);
    info.ifa_valid = seconds_left(info.ifa_valid, elapsed);
    info.ifa_prefered = seconds_left(info.ifa_prefered, elapsed);
    nl_put(request, IFA_CACHEINFO, &info, sizeof info);
    return info.ifa_valid == 0 ? -ETIME : 0;
}

/* A nexthop object stands for these: the kernel shows both and accepts one. */
static bool replaced_by_nexthop(unsigned type)
{
    return type == RTA_OIF || type == RTA_GATEWAY || type == RTA_VIA || type == RTA_MULTIPATH ||
           type == RTA_ENCAP || type == RTA_ENCAP_TYPE;
}

static int put_adjusted(struct request *request, enum thing thing, const struct rtattr *attr,
                        int from, int to, uint64_t elapsed)
{
    unsigned type = attr_type(attr);

    if (sorts[thing].oif != 0 && type == sorts[thing].oif && (int)attr_u32(attr, 0) == from)
        nl_put_u32(request, type, (uint32_t)to);
    else if (thing == ROUTE && type == RTA_MULTIPATH)
        put_hops(request, attr, from, to);
    else if (thing == ROUTE && type == RTA_EXPIRES) {
        uint32_t left = seconds_left(attr_u32(attr, 0), elapsed);
        nl_put_u32(request, type, left);
        return left == 0 ? -ETIME : 0;
    } else if (thing == ADDRESS && type == IFA_CACHEINFO)
        return put_lifetime(request, attr, elapsed);
    else
        nl_put(request, attr->rta_type, attr_data(attr), attr_size(attr));
    return 0;
}

/* Builds the request that repeats a message on another link, or at another time. */
static int build(struct request *request, enum thing thing, enum change change, struct item message,
                 int from, int to, uint64_t elapsed)
{
    const struct sort *sort = &sorts[thing];
    union header header = header_of(thing, message);
    bool group = thing == NEXTHOP && find_attr(NEXTHOP, message, NHA_GROUP) != NULL;
    bool by_object = thing == ROUTE && find_attr(ROUTE, message, RTA_NH_ID) != NULL;
    unsigned flags = change == REPLACE || group ? NLM_F_CREATE | NLM_F_REPLACE
                     : change == ADD            ? NLM_F_CREATE | NLM_F_EXCL
                                                : 0;
    int rc = 0;
    size_t left;

    /* Routes alike but for the gateway stand side by side, with those of others too. */
    if (thing == ROUTE && change == ADD)
        flags = NLM_F_CREATE | NLM_F_APPEND;
    /* So do rules: each device that asks for one takes its own away again. */
    if (thing == RULE && change == ADD)
        flags = NLM_F_CREATE;
    if (thing == ADDRESS)
        header.address.ifa_index = (uint32_t)to;
    else if (thing == NEIGHBOUR)
        header.neighbour.ndm_ifindex = to;
    if (thing == NEXTHOP && change == REMOVE)
        header.nexthop = (struct nhmsg){0};
    nl_start(request, change == REMOVE ? sort->remove : sort->add, flags, &header, sort->header);
    const struct rtattr *a = first_attr(thing, message, &left);
    for (; a != NULL && rc == 0; a = attr_next(a, &left))
        if (!(by_object && replaced_by_nexthop(attr_type(a))) &&
            !(thing == NEXTHOP && change == REMOVE && attr_type(a) != NHA_ID))
            rc = put_adjusted(request, thing, a, from, to, elapsed);
    return change == REMOVE ? 0 : rc;
}

int message_send(struct nl *nl, enum thing thing, enum change change, struct item message, int from,
                 int to, uint64_t elapsed)
{
    static struct request request;
    int rc = build(&request, thing, change, message, from, to, elapsed);

    return rc < 0 ? rc : nl_call(nl, &request);
}

static void set_address_flags(struct request *request, uint32_t flags)
{
    uint8_t narrow = (uint8_t)flags;

    memcpy(request->body + offsetof(struct ifaddrmsg, ifa_flags), &narrow, sizeof narrow);
    nl_put_u32(request, IFA_FLAGS, flags); /* the last one counts */
}

int address_add(struct nl *nl, struct item message, int from, int to, uint64_t elapsed)
{
    static struct request request;
    uint32_t flags = address_flags(message);
    bool v6 = header_of(ADDRESS, message).address.ifa_family == AF_INET6;

    int rc = build(&request, ADDRESS, ADD, message, from, to, elapsed);
    if (rc < 0)
        return rc;
    if (!v6 || flags & UNCHECKED)
        return nl_call(nl, &request); /* the kernel masks the flags that are its own */
    set_address_flags(&request, flags | IFA_F_NODAD);
    rc = nl_call(nl, &request);
    if (rc < 0 || flags & IFA_F_NODAD)
        return rc;
    /* Now that it counts as checked, it may look as it did before. */
    rc = build(&request, ADDRESS, REPLACE, message, from, to, elapsed);
    return rc < 0 ? rc : nl_call(nl, &request);
}
