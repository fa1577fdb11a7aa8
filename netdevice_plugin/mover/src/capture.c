/* Reading what hangs on a link, less what is state and not setting. */

#include "capture.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "parts.h"

#define USER_HZ 100 /* of rta_cacheinfo's times, whatever the kernel's own HZ */

/* What the kernel works out by itself from an address's lifetime. */
#define ADDRESS_STATE IFA_F_DEPRECATED

struct capture {
    enum thing thing;
    int ifindex; /* 0: routes through any, of those that are `wanted` */
    struct list *out;
    route_wanted wanted;
    const void *arg;
    size_t before; /* how many `out` has already */
};

static bool uses(struct item message, int ifindex)
{
    if ((int)attr_u32(find_attr(ROUTE, message, RTA_OIF), 0) == ifindex)
        return true;
    const struct rtattr *hops = find_attr(ROUTE, message, RTA_MULTIPATH);
    if (hops == NULL)
        return false;
    size_t left = attr_size(hops);
    const struct rtnexthop *hop = hop_first(attr_data(hops), left);
    for (; hop != NULL; hop = hop_next(hop, &left))
        if (hop->rtnh_ifindex == ifindex)
            return true;
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
               (capture->ifindex != 0 ? uses(message, capture->ifindex)
                                      : capture->wanted(message, capture->arg));
    case NEXTHOP:
        return (int)attr_u32(find_attr(NEXTHOP, message, NHA_OIF), 0) == capture->ifindex;
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
        header.route.rtm_flags &= HOP_FLAGS;
    } else if (thing == NEXTHOP) {
        header.nexthop.nh_flags &= RTNH_F_ONLINK;
        header.nexthop.nh_scope = 0; /* shown, but not to be asked for */
    }
    nl_start(request, sorts[thing].add, 0, &header, sorts[thing].header);
}

static void put_route_attr(struct request *request, const struct rtattr *attr)
{
    struct rta_cacheinfo info;

    if (attr_type(attr) == RTA_MULTIPATH) {
        put_hops(request, attr, 0, 0);
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
        ((struct rtnexthop *)(void *)copy)->rtnh_flags &= HOP_FLAGS;
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
    size_t left = attr_size(hops), rest;
    const struct rtnexthop *hop = hop_first(attr_data(hops), left);
    int rc = 0;

    for (; rc == 0 && hop != NULL; hop = hop_next(hop, &left)) {
        if (capture->ifindex != 0 && hop->rtnh_ifindex != capture->ifindex)
            continue;
        union header header = header_of(ROUTE, message);
        header.route.rtm_flags = hop->rtnh_flags & HOP_FLAGS;
        nl_start(&one, RTM_NEWROUTE, 0, &header, sizeof header.route);
        const struct rtattr *a = first_attr(ROUTE, message, &rest);
        for (; a != NULL; a = attr_next(a, &rest))
            if (attr_type(a) != RTA_MULTIPATH)
                put_route_attr(&one, a);
        put_hop(&one, hop);
        rc = keep(capture->out, &one);
    }
    return rc;
}

static int keep_message(const struct nlmsghdr *message, void *arg)
{
    static struct request kept;
    const struct capture *capture = arg;
    size_t left, header = NLMSG_ALIGN(sorts[capture->thing].header);

    if (message == NULL)
        list_cut(capture->out, capture->before);
    if (message == NULL || message->nlmsg_type != sorts[capture->thing].add ||
        message->nlmsg_len < NLMSG_LENGTH(header))
        return 0;
    struct item item = {NLMSG_DATA(message), message->nlmsg_len - NLMSG_LENGTH(0)};
    if (!belongs(capture, item))
        return 0;
    if (capture->thing == ROUTE && header_of(ROUTE, item).route.rtm_family == AF_INET6) {
        const struct rtattr *hops = find_attr(ROUTE, item, RTA_MULTIPATH);
        if (hops != NULL)
            return split_hops(capture, item, hops);
    }
    put_header(&kept, capture->thing, item);
    const struct rtattr *a = first_attr(capture->thing, item, &left);
    for (; a != NULL; a = attr_next(a, &left))
        put_attr(&kept, capture->thing, item, a);
    return keep(capture->out, &kept);
}

static int dump(struct nl *nl, struct capture *capture, uint8_t family, uint8_t flags)
{
    static struct request request;
    const struct sort *sort = &sorts[capture->thing];
    union header header = {0};

    capture->before = capture->out->count;
    header.bytes[0] = family; /* every one of the headers starts with it */
    if (capture->thing == ADDRESS)
        header.address.ifa_index = (uint32_t)capture->ifindex;
    if (capture->thing == NEIGHBOUR)
        header.neighbour.ndm_flags = flags;
    nl_start(&request, sort->get, 0, &header, sort->header);
    if (sort->oif != 0 && capture->ifindex != 0)
        nl_put_u32(&request, sort->oif, (uint32_t)capture->ifindex);
    else if (capture->thing == NEIGHBOUR && flags == 0)
        nl_put_u32(&request, NDA_IFINDEX, (uint32_t)capture->ifindex);
    return nl_dump(nl, &request, keep_message, capture);
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
    list_cut(list, from);
    LIST_EACH(item, &turned) {
        int rc = list_add(list, item.data, item.size);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int messages_capture(struct nl *nl, enum thing thing, int ifindex, struct list *out)
{
    struct capture capture = {.thing = thing, .ifindex = ifindex, .out = out};

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

int routes_select(struct nl *nl, uint8_t family, route_wanted wanted, const void *arg,
                  struct list *out)
{
    struct capture capture = {.thing = ROUTE, .out = out, .wanted = wanted, .arg = arg};

    return dump(nl, &capture, family, 0);
}

struct groups {
    struct list *nexthops;
    size_t singles;
};

static int keep_group(const struct nlmsghdr *message, void *arg)
{
    static struct request kept;
    const struct groups *groups = arg;
    bool ours = false;
    size_t left;

    if (message == NULL) {
        list_cut(groups->nexthops, groups->singles);
        return 0;
    }
    struct item item = {NLMSG_DATA(message), message->nlmsg_len - NLMSG_LENGTH(0)};
    const struct rtattr *group = find_attr(NEXTHOP, item, NHA_GROUP);
    for (size_t at = 0; group != NULL && at + sizeof(struct nexthop_grp) <= attr_size(group);
         at += sizeof(struct nexthop_grp)) {
        struct nexthop_grp member;
        memcpy(&member, (const char *)attr_data(group) + at, sizeof member);
        struct item single = list_first(groups->nexthops);
        for (size_t i = 0; i < groups->singles; i++) {
            ours |= attr_u32(find_attr(NEXTHOP, single, NHA_ID), 0) == member.id;
            single = list_next(groups->nexthops, single);
        }
    }
    if (!ours)
        return 0;
    put_header(&kept, NEXTHOP, item);
    for (const struct rtattr *a = first_attr(NEXTHOP, item, &left); a != NULL;
         a = attr_next(a, &left))
        if (attr_type(a) == NHA_ID || attr_type(a) == NHA_GROUP || attr_type(a) == NHA_GROUP_TYPE)
            nl_put(&kept, a->rta_type, attr_data(a), attr_size(a));
    return keep(groups->nexthops, &kept);
}

int messages_capture_groups(struct nl *nl, struct list *list)
{
    static struct request request;
    const struct nhmsg header = {0};
    struct groups groups = {list, list->count};

    if (groups.singles == 0)
        return 0;
    nl_start(&request, RTM_GETNEXTHOP, 0, &header, sizeof header);
    nl_put(&request, NHA_GROUPS, NULL, 0);
    return nl_dump(nl, &request, keep_group, &groups);
}
