/* Addresses, routes, nexthops and neighbours as the kernel's own messages. */

#include "message.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#ifndef IFA_PROTO
#define IFA_PROTO 11
#endif

#define FOREVER UINT32_MAX
#define USER_HZ 100 /* of rta_cacheinfo's times, whatever the kernel's own HZ */

/* What the kernel works out by itself, or forgets: no setting. */
#define ADDRESS_STATE IFA_F_DEPRECATED
/* Nobody has seen yet that no one else has this address, or somebody has it. */
#define UNCHECKED (IFA_F_TENTATIVE | IFA_F_DADFAILED)
#define ROUTE_FLAGS (RTNH_F_ONLINK | RTNH_F_PERVASIVE)

struct sort {
    unsigned get, add, remove;
    size_t header;
    unsigned oif;   /* the attribute that names the link, 0 if the header does */
    unsigned loose; /* the attribute that runs down with time */
};

static const struct sort sorts[] = {
    [ADDRESS] = {RTM_GETADDR, RTM_NEWADDR, RTM_DELADDR, sizeof(struct ifaddrmsg), 0, IFA_CACHEINFO},
    [ROUTE] = {RTM_GETROUTE, RTM_NEWROUTE, RTM_DELROUTE, sizeof(struct rtmsg), RTA_OIF,
               RTA_EXPIRES},
    [NEXTHOP] = {RTM_GETNEXTHOP, RTM_NEWNEXTHOP, RTM_DELNEXTHOP, sizeof(struct nhmsg), NHA_OIF, 0},
    [NEIGHBOUR] = {RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH, sizeof(struct ndmsg), 0,
                   NDA_CACHEINFO},
};

union header {
    struct ifaddrmsg address;
    struct rtmsg route;
    struct nhmsg nexthop;
    struct ndmsg neighbour;
    unsigned char bytes[16];
};

static const struct rtattr *find(enum thing thing, struct item message, unsigned type)
{
    size_t header = NLMSG_ALIGN(sorts[thing].header);

    return attr_find((const char *)message.data + header, message.size - header, type);
}

/* Walks what stands behind the header; `left` is the walk's own. */
static const struct rtattr *first(enum thing thing, struct item message, size_t *left)
{
    size_t header = NLMSG_ALIGN(sorts[thing].header);

    *left = message.size - header;
    return attr_first((const char *)message.data + header, *left);
}

static union header header_of(enum thing thing, struct item message)
{
    union header header = {0};

    memcpy(&header, message.data, sorts[thing].header);
    return header;
}

static uint32_t address_flags(struct item message)
{
    uint8_t narrow = header_of(ADDRESS, message).address.ifa_flags;

    return attr_u32(find(ADDRESS, message, IFA_FLAGS), narrow);
}

bool messages_valid(enum thing thing, const struct list *list)
{
    LIST_EACH(item, list)
        if (item.size < NLMSG_ALIGN(sorts[thing].header))
            return false;
    return true;
}

/* ------------------------------------------------------------------ reading */

struct capture {
    enum thing thing;
    int ifindex;
    struct list *out;
};

static bool hop_is(const struct rtnexthop *hop, size_t left)
{
    return left >= sizeof *hop && hop->rtnh_len >= sizeof *hop && hop->rtnh_len <= left;
}

static bool uses(struct item message, int ifindex)
{
    if ((int)attr_u32(find(ROUTE, message, RTA_OIF), 0) == ifindex)
        return true;
    const struct rtattr *hops = find(ROUTE, message, RTA_MULTIPATH);
    size_t left = hops == NULL ? 0 : attr_size(hops);
    for (const struct rtnexthop *hop = hops == NULL ? NULL : attr_data(hops); hop_is(hop, left);) {
        if (hop->rtnh_ifindex == ifindex)
            return true;
        size_t skip = RTNH_ALIGN(hop->rtnh_len);
        left = skip > left ? 0 : left - skip;
        hop = (const void *)((const char *)hop + skip);
    }
    return false;
}

/*
 * The kernel puts these in when it gets to it, some after we are done: taken for
 * missing, one of ours would outlive its address; taken for too many, the address
 * would be deaf.
 */
static bool is_made_by_kernel(struct item message)
{
    struct rtmsg route = header_of(ROUTE, message).route;

    return route.rtm_family == AF_INET6 && route.rtm_protocol == RTPROT_KERNEL &&
           (route.rtm_type == RTN_LOCAL || route.rtm_type == RTN_ANYCAST);
}

/* Whether a message is of this link, and something that an administrator can set. */
static bool belongs(const struct capture *capture, struct item message)
{
    union header header = header_of(capture->thing, message);

    switch (capture->thing) {
    case ADDRESS:
        /* Temporary addresses (RFC 8981) are made by the kernel from another one. */
        return (int)header.address.ifa_index == capture->ifindex &&
               !(header.address.ifa_family == AF_INET6 &&
                 (address_flags(message) & IFA_F_TEMPORARY));
    case ROUTE:
        return (header.route.rtm_flags & RTM_F_CLONED) == 0 && !is_made_by_kernel(message) &&
               uses(message, capture->ifindex);
    case NEXTHOP:
        return (int)attr_u32(find(NEXTHOP, message, NHA_OIF), 0) == capture->ifindex;
    default:
        return header.neighbour.ndm_ifindex == capture->ifindex &&
               (header.neighbour.ndm_state == NUD_PERMANENT ||
                header.neighbour.ndm_flags & NTF_PROXY) &&
               header.neighbour.ndm_type != RTN_MULTICAST;
    }
}

static void put_header(struct request *request, enum thing thing, struct item message)
{
    union header header = header_of(thing, message);

    if (thing == ADDRESS) {
        header.address.ifa_flags &= (uint8_t)~ADDRESS_STATE;
        if (header.address.ifa_family == AF_INET)
            header.address.ifa_flags &= (uint8_t)~IFA_F_SECONDARY;
    } else if (thing == ROUTE) {
        header.route.rtm_flags &= ROUTE_FLAGS;
    } else if (thing == NEXTHOP) {
        header.nexthop.nh_flags &= RTNH_F_ONLINK;
        header.nexthop.nh_scope = 0; /* shown, but not to be asked for */
    }
    nl_start(request, sorts[thing].add, 0, &header, sorts[thing].header);
}

/* A multipath route's hops, with what is state taken off each. */
static void put_hops(struct request *request, const struct rtattr *attr)
{
    static _Alignas(8) unsigned char copy[32768];
    size_t size = attr_size(attr), left = size;

    if (size > sizeof copy) {
        request->full = true;
        return;
    }
    memcpy(copy, attr_data(attr), size);
    for (struct rtnexthop *hop = (void *)copy; hop_is(hop, left);) {
        hop->rtnh_flags &= ROUTE_FLAGS;
        size_t skip = RTNH_ALIGN(hop->rtnh_len);
        left = skip > left ? 0 : left - skip;
        hop = (void *)((char *)hop + skip);
    }
    nl_put(request, RTA_MULTIPATH, copy, size);
}

static void put_route_attr(struct request *request, const struct rtattr *attr)
{
    struct rta_cacheinfo info;

    if (attr_type(attr) == RTA_MULTIPATH) {
        put_hops(request, attr);
    } else if (attr_type(attr) != RTA_CACHEINFO) {
        nl_put(request, attr->rta_type, attr_data(attr), attr_size(attr));
    } else if (attr_size(attr) >= sizeof info) {
        memcpy(&info, attr_data(attr), sizeof info);
        if (info.rta_expires > 0) /* the dump says it so, a request wants it so */
            nl_put_u32(request, RTA_EXPIRES, (uint32_t)info.rta_expires / USER_HZ);
    }
}

static void put_attr(struct request *request, enum thing thing, struct item message,
                     const struct rtattr *attr)
{
    if (thing == ADDRESS && attr_type(attr) == IFA_FLAGS) {
        uint32_t flags = address_flags(message) & ~(uint32_t)ADDRESS_STATE;
        if (header_of(thing, message).address.ifa_family == AF_INET)
            flags &= ~(uint32_t)IFA_F_SECONDARY;
        nl_put_u32(request, IFA_FLAGS, flags);
    } else if (thing == ROUTE) {
        put_route_attr(request, attr);
    } else if (!(thing == NEIGHBOUR &&
                 (attr_type(attr) == NDA_CACHEINFO || attr_type(attr) == NDA_PROBES))) {
        nl_put(request, attr->rta_type, attr_data(attr), attr_size(attr));
    }
}

static int keep(struct list *out, const struct request *request)
{
    if (request->full)
        return -ENOBUFS;
    return list_add(out, request->body, request->head.nlmsg_len - sizeof request->head);
}

/* One hop of several; its weight fits nowhere but in a multipath route, so of one hop then. */
static void put_hop(struct request *request, const struct rtnexthop *hop)
{
    size_t inner = hop->rtnh_len - sizeof *hop;

    if (hop->rtnh_hops > 0) {
        static _Alignas(8) unsigned char copy[1024];
        if (hop->rtnh_len > sizeof copy) {
            request->full = true;
            return;
        }
        memcpy(copy, hop, hop->rtnh_len);
        ((struct rtnexthop *)(void *)copy)->rtnh_flags &= ROUTE_FLAGS;
        nl_put(request, RTA_MULTIPATH, copy, hop->rtnh_len);
        return;
    }
    nl_put_u32(request, RTA_OIF, (uint32_t)hop->rtnh_ifindex);
    for (const struct rtattr *a = attr_first(hop + 1, inner); a; a = attr_next(a, &inner))
        nl_put(request, a->rta_type, attr_data(a), attr_size(a));
}

/*
 * IPv6 shows equal-cost routes as one, but adds and removes them one by one: keep
 * of such a route only the hops that leave through this link, as routes of their own.
 */
static int split_hops(const struct capture *capture, struct item message, const struct rtattr *hops)
{
    static struct request one;
    size_t left = attr_size(hops);
    const struct rtnexthop *hop = attr_data(hops);
    int rc = 0;

    for (; rc == 0 && hop_is(hop, left);) {
        if (hop->rtnh_ifindex == capture->ifindex) {
            size_t rest;
            put_header(&one, ROUTE, message);
            union header header = header_of(ROUTE, message);
            header.route.rtm_flags = hop->rtnh_flags & ROUTE_FLAGS;
            memcpy(one.body, &header, sizeof header.route);
            const struct rtattr *a = first(ROUTE, message, &rest);
            for (; a != NULL; a = attr_next(a, &rest))
                if (attr_type(a) != RTA_MULTIPATH)
                    put_route_attr(&one, a);
            put_hop(&one, hop);
            rc = keep(capture->out, &one);
        }
        size_t skip = RTNH_ALIGN(hop->rtnh_len);
        left = skip > left ? 0 : left - skip;
        hop = (const void *)((const char *)hop + skip);
    }
    return rc;
}

static int keep_message(const struct nlmsghdr *message, void *arg)
{
    static struct request kept;
    const struct capture *capture = arg;
    size_t left, header = NLMSG_ALIGN(sorts[capture->thing].header);

    if (message->nlmsg_type != sorts[capture->thing].add ||
        message->nlmsg_len < NLMSG_LENGTH(header))
        return 0;
    struct item item = {NLMSG_DATA(message), message->nlmsg_len - NLMSG_LENGTH(0)};
    if (!belongs(capture, item))
        return 0;
    if (capture->thing == ROUTE && header_of(ROUTE, item).route.rtm_family == AF_INET6) {
        const struct rtattr *hops = find(ROUTE, item, RTA_MULTIPATH);
        if (hops != NULL)
            return split_hops(capture, item, hops);
    }
    put_header(&kept, capture->thing, item);
    const struct rtattr *a = first(capture->thing, item, &left);
    for (; a != NULL; a = attr_next(a, &left))
        put_attr(&kept, capture->thing, item, a);
    return keep(capture->out, &kept);
}

static int dump(struct nl *nl, const struct capture *capture, uint8_t family, uint8_t flags)
{
    static struct request request;
    const struct sort *sort = &sorts[capture->thing];
    union header header = {0};
    size_t used = capture->out->used, count = capture->out->count;
    int rc = -EAGAIN;

    header.bytes[0] = family; /* every one of the headers starts with it */
    if (capture->thing == ADDRESS)
        header.address.ifa_index = (uint32_t)capture->ifindex;
    if (capture->thing == NEIGHBOUR)
        header.neighbour.ndm_flags = flags;
    for (int attempt = 0; rc == -EAGAIN && attempt < 8; attempt++) {
        capture->out->used = used;
        capture->out->count = count;
        nl_start(&request, sort->get, 0, &header, sort->header);
        if (sort->oif != 0)
            nl_put_u32(&request, sort->oif, (uint32_t)capture->ifindex);
        else if (capture->thing == NEIGHBOUR && flags == 0)
            nl_put_u32(&request, NDA_IFINDEX, (uint32_t)capture->ifindex);
        rc = nl_dump(nl, &request, keep_message, (void *)capture);
    }
    return rc;
}

/* The kernel lists the IPv6 addresses of one scope last added first. */
static int reverse(struct list *list, size_t from)
{
    static _Alignas(8) unsigned char room[256 << 10];
    struct list turned;

    list_init(&turned, room, sizeof room);
    for (size_t i = list->count; i > 0; i--) {
        struct item item = list_at(list, i - 1);
        if (i > from && list_add(&turned, item.data, item.size) < 0)
            return -ENOBUFS;
    }
    while (list->count > from) {
        struct item last = list_at(list, list->count - 1);
        list->used = (size_t)((const unsigned char *)last.data - list->buffer) - sizeof(uint64_t);
        list->count--;
    }
    LIST_EACH(item, &turned) {
        int rc = list_add(list, item.data, item.size);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int messages_capture(struct nl *nl, enum thing thing, int ifindex, struct list *out)
{
    const struct capture capture = {thing, ifindex, out};

    list_clear(out);
    if (thing == NEXTHOP)
        return dump(nl, &capture, AF_UNSPEC, 0);
    if (thing == NEIGHBOUR) {
        int rc = dump(nl, &capture, AF_UNSPEC, 0);
        return rc < 0 ? rc : dump(nl, &capture, AF_UNSPEC, NTF_PROXY);
    }
    int rc = dump(nl, &capture, AF_INET, 0);
    size_t v4 = out->count;
    if (rc == 0)
        rc = dump(nl, &capture, AF_INET6, 0);
    /* EAFNOSUPPORT and EOPNOTSUPP: a kernel without IPv6. */
    if (rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP)
        rc = 0;
    return rc == 0 && thing == ADDRESS ? reverse(out, v4) : rc;
}

struct groups {
    struct list *nexthops;
    size_t singles;
};

static int keep_group(const struct nlmsghdr *message, void *arg)
{
    static struct request kept;
    const struct groups *groups = arg;
    struct item item = {NLMSG_DATA(message), message->nlmsg_len - NLMSG_LENGTH(0)};
    const struct rtattr *group = find(NEXTHOP, item, NHA_GROUP);
    bool ours = false;
    size_t left;

    for (size_t at = 0; group != NULL && at + sizeof(struct nexthop_grp) <= attr_size(group);
         at += sizeof(struct nexthop_grp)) {
        struct nexthop_grp member;
        memcpy(&member, (const char *)attr_data(group) + at, sizeof member);
        struct item single = list_first(groups->nexthops);
        for (size_t i = 0; i < groups->singles; i++) {
            ours |= attr_u32(find(NEXTHOP, single, NHA_ID), 0) == member.id;
            single = list_next(groups->nexthops, single);
        }
    }
    if (!ours)
        return 0;
    put_header(&kept, NEXTHOP, item);
    for (const struct rtattr *a = first(NEXTHOP, item, &left); a != NULL; a = attr_next(a, &left))
        if (attr_type(a) == NHA_ID || attr_type(a) == NHA_GROUP || attr_type(a) == NHA_GROUP_TYPE)
            nl_put(&kept, a->rta_type, attr_data(a), attr_size(a));
    return keep(groups->nexthops, &kept);
}

int messages_capture_groups(struct nl *nl, struct list *list)
{
    static struct request request;
    const struct nhmsg header = {0};
    struct groups groups = {list, list->count};
    const size_t used = list->used;
    int rc = groups.singles == 0 ? 0 : -EAGAIN;

    for (int attempt = 0; rc == -EAGAIN && attempt < 8; attempt++) {
        list->used = used;
        list->count = groups.singles;
        nl_start(&request, RTM_GETNEXTHOP, 0, &header, sizeof header);
        nl_put(&request, NHA_GROUPS, NULL, 0);
        rc = nl_dump(nl, &request, keep_group, &groups);
    }
    return rc;
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
    static _Alignas(8) unsigned char copy[32768];
    size_t left = attr_size(one);

    if (attr_size(other) != left)
        return false;
    if (sorts[thing].oif != 0 && attr_type(one) == sorts[thing].oif)
        return (int)attr_u32(one, 0) == one_index && (int)attr_u32(other, 0) == other_index;
    if (thing != ROUTE || attr_type(one) != RTA_MULTIPATH || left > sizeof copy)
        return memcmp(attr_data(one), attr_data(other), left) == 0;
    memcpy(copy, attr_data(one), left);
    for (struct rtnexthop *hop = (void *)copy; hop_is(hop, left);) {
        if (hop->rtnh_ifindex == one_index)
            hop->rtnh_ifindex = other_index;
        size_t skip = RTNH_ALIGN(hop->rtnh_len);
        left = skip > left ? 0 : left - skip;
        hop = (void *)((char *)hop + skip);
    }
    return memcmp(copy, attr_data(other), attr_size(other)) == 0;
}

/* Whether every attribute of the one, of those that count, stands in the other. */
static bool contained(enum thing thing, struct item one, int one_index, struct item other,
                      int other_index)
{
    size_t left;

    for (const struct rtattr *a = first(thing, one, &left); a != NULL; a = attr_next(a, &left)) {
        const struct rtattr *twin = find(thing, other, attr_type(a));
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

/* Seconds left of a lifetime; FOREVER stays. */
static uint32_t remaining(uint32_t seconds, uint64_t elapsed)
{
    if (seconds == FOREVER)
        return FOREVER;
    return elapsed >= seconds ? 0 : seconds - (uint32_t)elapsed;
}

static int put_lifetime(struct request *request, const struct rtattr *attr, uint64_t elapsed)
{
    struct ifa_cacheinfo info;

    if (attr_size(attr) < sizeof info)
        return 0;
    memcpy(&info, attr_data(attr), sizeof info);
    info.ifa_valid = remaining(info.ifa_valid, elapsed);
    info.ifa_prefered = remaining(info.ifa_prefered, elapsed);
    nl_put(request, IFA_CACHEINFO, &info, sizeof info);
    return info.ifa_valid == 0 ? -ETIME : 0;
}

/* A nexthop object stands for these: the kernel shows both and accepts one. */
static bool replaced_by_nexthop(unsigned type)
{
    return type == RTA_OIF || type == RTA_GATEWAY || type == RTA_VIA || type == RTA_MULTIPATH ||
           type == RTA_ENCAP || type == RTA_ENCAP_TYPE;
}

static void put_hops_of(struct request *request, const struct rtattr *attr, int from, int to)
{
    size_t start = request->head.nlmsg_len - sizeof request->head + RTA_LENGTH(0);
    size_t left = attr_size(attr);

    put_hops(request, attr);
    if (request->full)
        return;
    for (struct rtnexthop *hop = (void *)(request->body + start); hop_is(hop, left);) {
        if (hop->rtnh_ifindex == from)
            hop->rtnh_ifindex = to;
        size_t skip = RTNH_ALIGN(hop->rtnh_len);
        left = skip > left ? 0 : left - skip;
        hop = (void *)((char *)hop + skip);
    }
}

static int put_adjusted(struct request *request, enum thing thing, const struct rtattr *attr,
                        int from, int to, uint64_t elapsed)
{
    unsigned type = attr_type(attr);

    if (sorts[thing].oif != 0 && type == sorts[thing].oif)
        nl_put_u32(request, type, (uint32_t)to);
    else if (thing == ROUTE && type == RTA_MULTIPATH)
        put_hops_of(request, attr, from, to);
    else if (thing == ROUTE && type == RTA_EXPIRES) {
        uint32_t left = remaining(attr_u32(attr, 0), elapsed);
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
    bool group = thing == NEXTHOP && find(NEXTHOP, message, NHA_GROUP) != NULL;
    bool by_object = thing == ROUTE && find(ROUTE, message, RTA_NH_ID) != NULL;
    unsigned flags = change == REPLACE || group ? NLM_F_CREATE | NLM_F_REPLACE
                     : change == ADD            ? NLM_F_CREATE | NLM_F_EXCL
                                                : 0;
    int rc = 0;
    size_t left;

    /* Routes alike but for the gateway stand side by side, with those of others too. */
    if (thing == ROUTE && change == ADD)
        flags = NLM_F_CREATE | NLM_F_APPEND;
    if (thing == ADDRESS)
        header.address.ifa_index = (uint32_t)to;
    else if (thing == NEIGHBOUR)
        header.neighbour.ndm_ifindex = to;
    if (thing == NEXTHOP && change == REMOVE)
        header.nexthop = (struct nhmsg){0};
    nl_start(request, change == REMOVE ? sort->remove : sort->add, flags, &header, sort->header);
    const struct rtattr *a = first(thing, message, &left);
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

static struct item twin(enum thing thing, const struct list *list, int list_index,
                        struct item message, int index)
{
    LIST_EACH(item, list)
        if (messages_equal(thing, item, list_index, message, index))
            return item;
    return (struct item){0};
}

bool route_outlives(struct item route, const struct list *addresses, uint64_t elapsed)
{
    const struct rtattr *source = find(ROUTE, route, RTA_PREFSRC);
    struct ifa_cacheinfo info;

    if (source == NULL || header_of(ROUTE, route).route.rtm_protocol != RTPROT_KERNEL)
        return false;
    LIST_EACH(address, addresses) {
        const struct rtattr *local = find(ADDRESS, address, IFA_LOCAL);
        const struct rtattr *life = find(ADDRESS, address, IFA_CACHEINFO);
        if (local == NULL || life == NULL || attr_size(local) != attr_size(source) ||
            memcmp(attr_data(local), attr_data(source), attr_size(local)) != 0 ||
            attr_size(life) < sizeof info)
            continue;
        memcpy(&info, attr_data(life), sizeof info);
        return remaining(info.ifa_valid, elapsed) == 0;
    }
    return false;
}

/* One that is there already, or whose time is over, is as good as added. */
static bool is_fine(int rc)
{
    return rc == 0 || rc == -EEXIST || rc == -ETIME;
}

/* One sort of thing on one link, on its way back to what it was. */
struct restoring {
    struct nl *nl;
    enum thing thing;
    const struct list *wanted; /* on ifindex `from`, `elapsed` seconds ago */
    int from, to;
    uint64_t elapsed;
    struct list present; /* on ifindex `to`, when last looked at */
    int rc;              /* the first error, and what it was about */
    struct item *culprit;
};

static void blame(struct restoring *r, int rc, struct item item)
{
    if (r->rc < 0)
        return;
    r->rc = rc;
    *r->culprit = item;
}

static bool is_present(const struct restoring *r, struct item item)
{
    return twin(r->thing, &r->present, r->to, item, r->from).data != NULL;
}

static int add_one(struct restoring *r, struct item item)
{
    if (r->thing == ADDRESS)
        return address_add(r->nl, item, r->from, r->to, r->elapsed);
    return message_send(r->nl, r->thing, ADD, item, r->from, r->to, r->elapsed);
}

/* A route may need another one to reach its gateway: goes on while a round adds any. */
static void add_missing(struct restoring *r)
{
    static bool done[16384];
    size_t added = 1;

    memset(done, 0, sizeof done);
    while (added > 0) {
        size_t n = 0;
        struct item failed_item = {0};
        int failed = 0;
        added = 0;
        LIST_EACH(item, r->wanted) {
            bool *is_done = &done[n++ % (sizeof done / sizeof done[0])];
            *is_done = *is_done || is_present(r, item);
            if (*is_done)
                continue;
            int rc = add_one(r, item);
            *is_done = is_fine(rc);
            added += *is_done;
            if (!*is_done && failed == 0) {
                failed = rc;
                failed_item = item;
            }
        }
        if (failed == 0)
            return;
        if (added == 0 || r->thing != ROUTE) {
            blame(r, failed, failed_item);
            return;
        }
    }
}

static int capture_all(struct nl *nl, enum thing thing, int ifindex, struct list *out)
{
    int rc = messages_capture(nl, thing, ifindex, out);

    return rc == 0 && thing == NEXTHOP ? messages_capture_groups(nl, out) : rc;
}

/* How many were taken off. */
static size_t remove_extra(struct restoring *r)
{
    size_t removed = 0;

    LIST_EACH(item, &r->present) {
        if (twin(r->thing, r->wanted, r->from, item, r->to).data != NULL)
            continue;
        int rc = message_send(r->nl, r->thing, REMOVE, item, r->to, r->to, 0);
        /* Gone already: with the address or the route that it hung on. */
        if (rc < 0 && rc != -ESRCH && rc != -ENOENT && rc != -EADDRNOTAVAIL)
            blame(r, rc, item);
        removed++;
    }
    return removed;
}

static int restore_routes(struct restoring *r)
{
    /*
     * First add: a route that the administrator took away may be what another one's
     * gateway is reached by when it is added. Then take the rest off, and add again
     * what one of those stood in the way of.
     */
    add_missing(r);
    if (remove_extra(r) == 0)
        return r->rc;
    /* What was blamed may have stood in the list that is read anew. */
    r->rc = 0;
    *r->culprit = (struct item){0};
    int rc = capture_all(r->nl, ROUTE, r->to, &r->present);
    if (rc < 0)
        return rc;
    add_missing(r);
    return r->rc;
}

int messages_restore(struct nl *nl, enum thing thing, const struct list *wanted, int from, int to,
                     uint64_t elapsed, struct item *culprit)
{
    static _Alignas(8) unsigned char room[768 << 10];
    struct restoring r = {.nl = nl,
                          .thing = thing,
                          .wanted = wanted,
                          .from = from,
                          .to = to,
                          .elapsed = elapsed,
                          .culprit = culprit};

    list_init(&r.present, room, sizeof room);
    *culprit = (struct item){0};
    int rc = capture_all(nl, thing, to, &r.present);
    if (rc < 0)
        return rc;
    if (thing == ROUTE)
        return restore_routes(&r);
    remove_extra(&r);
    add_missing(&r);
    return r.rc;
}

/* ------------------------------------------------------------- for messages */

static void put_address(struct text *out, uint8_t family, const struct rtattr *attr)
{
    struct ip ip = {.family = family, .prefix = family == AF_INET ? 32 : 128};

    if (attr == NULL || attr_size(attr) != ip_size(&ip))
        return;
    memcpy(ip.bytes, attr_data(attr), attr_size(attr));
    text_put_ip(out, &ip);
}

static void describe_route(struct item message, struct text *out)
{
    struct rtmsg route = header_of(ROUTE, message).route;
    uint32_t table = attr_u32(find(ROUTE, message, RTA_TABLE), route.rtm_table);
    const struct rtattr *gateway = find(ROUTE, message, RTA_GATEWAY);

    text_put(out, "route ");
    if (route.rtm_dst_len == 0) {
        text_put(out, "default");
    } else {
        put_address(out, route.rtm_family, find(ROUTE, message, RTA_DST));
        text_put_char(out, '/');
        text_put_unsigned(out, route.rtm_dst_len);
    }
    if (gateway != NULL)
        text_put(out, " via ");
    put_address(out, route.rtm_family, gateway);
    if (table != RT_TABLE_MAIN) {
        text_put(out, " table ");
        text_put_unsigned(out, table);
    }
}

void message_describe(enum thing thing, struct item message, struct text *out)
{
    union header header = header_of(thing, message);

    if (thing == ROUTE) {
        describe_route(message, out);
    } else if (thing == ADDRESS) {
        const struct rtattr *local = find(ADDRESS, message, IFA_LOCAL);
        text_put(out, "address ");
        put_address(out, header.address.ifa_family,
                    local != NULL ? local : find(ADDRESS, message, IFA_ADDRESS));
        text_put_char(out, '/');
        text_put_unsigned(out, header.address.ifa_prefixlen);
    } else if (thing == NEXTHOP) {
        text_put(out, "nexthop ");
        text_put_unsigned(out, attr_u32(find(NEXTHOP, message, NHA_ID), 0));
    } else {
        text_put(out, "neighbour ");
        put_address(out, header.neighbour.ndm_family, find(NEIGHBOUR, message, NDA_DST));
    }
}

bool route_is_default(struct item message)
{
    struct rtmsg route = header_of(ROUTE, message).route;

    return route.rtm_dst_len == 0 && route.rtm_type == RTN_UNICAST;
}

bool route_is_for_pod(struct item message)
{
    struct rtmsg route = header_of(ROUTE, message).route;
    uint32_t table = attr_u32(find(ROUTE, message, RTA_TABLE), route.rtm_table);

    return table == RT_TABLE_MAIN && route.rtm_type == RTN_UNICAST &&
           route.rtm_protocol != RTPROT_KERNEL && route.rtm_protocol != RTPROT_RA &&
           route.rtm_protocol != RTPROT_REDIRECT && find(ROUTE, message, RTA_MULTIPATH) == NULL;
}
