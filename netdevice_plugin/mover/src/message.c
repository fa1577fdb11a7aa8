/* Addresses, routes, nexthops and neighbours as the kernel's own messages. */

#include "message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "parts.h"

#define FOREVER UINT32_MAX

/* Nobody has seen yet that no one else has this address, or somebody has it. */
#define UNCHECKED (IFA_F_TENTATIVE | IFA_F_DADFAILED)

const struct sort sorts[] = {
    [ADDRESS] = {RTM_GETADDR, RTM_NEWADDR, RTM_DELADDR, sizeof(struct ifaddrmsg), 0, IFA_CACHEINFO},
    [ROUTE] = {RTM_GETROUTE, RTM_NEWROUTE, RTM_DELROUTE, sizeof(struct rtmsg), RTA_OIF,
               RTA_EXPIRES},
    [NEXTHOP] = {RTM_GETNEXTHOP, RTM_NEWNEXTHOP, RTM_DELNEXTHOP, sizeof(struct nhmsg), NHA_OIF, 0},
    [NEIGHBOUR] = {RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH, sizeof(struct ndmsg), 0,
                   NDA_CACHEINFO},
    [RULE] = {RTM_GETRULE, RTM_NEWRULE, RTM_DELRULE, sizeof(struct fib_rule_hdr), 0, 0},
};

const struct rtattr *find_attr(enum thing thing, struct item message, unsigned type)
{
    size_t header = NLMSG_ALIGN(sorts[thing].header);

    return attr_find((const char *)message.data + header, message.size - header, type);
}

const struct rtattr *first_attr(enum thing thing, struct item message, size_t *left)
{
    size_t header = NLMSG_ALIGN(sorts[thing].header);

    *left = message.size - header;
    return attr_first((const char *)message.data + header, *left);
}

union header header_of(enum thing thing, struct item message)
{
    union header header = {0};

    memcpy(&header, message.data, sorts[thing].header);
    return header;
}

uint32_t address_flags(struct item message)
{
    uint8_t narrow = header_of(ADDRESS, message).address.ifa_flags;

    return attr_u32(find_attr(ADDRESS, message, IFA_FLAGS), narrow);
}

bool messages_valid(enum thing thing, const struct list *list)
{
    LIST_EACH(item, list)
        if (item.size < NLMSG_ALIGN(sorts[thing].header))
            return false;
    return true;
}

/* The hop at `data` if all of it is in the `left` bytes there. */
struct rtnexthop *hop_first(const void *data, size_t left)
{
    const struct rtnexthop *hop = data;
    bool whole = left >= sizeof *hop && hop->rtnh_len >= sizeof *hop && hop->rtnh_len <= left;

    return whole ? (struct rtnexthop *)hop : NULL;
}

struct rtnexthop *hop_next(const struct rtnexthop *hop, size_t *left)
{
    size_t skip = RTNH_ALIGN(hop->rtnh_len);

    if (skip >= *left)
        return NULL;
    *left -= skip;
    return hop_first((const char *)hop + skip, *left);
}

void put_hops(struct request *request, const struct rtattr *attr, int from, int to)
{
    static _Alignas(8) unsigned char copy[32768];
    size_t size = attr_size(attr), left = size;

    if (size > sizeof copy) {
        request->full = true;
        return;
    }
    memcpy(copy, attr_data(attr), size);
    for (struct rtnexthop *hop = hop_first(copy, left); hop; hop = hop_next(hop, &left)) {
        hop->rtnh_flags &= HOP_FLAGS;
        if (hop->rtnh_ifindex == from)
            hop->rtnh_ifindex = to;
    }
    nl_put(request, RTA_MULTIPATH, copy, size);
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
    for (struct rtnexthop *hop = hop_first(copy, left); hop; hop = hop_next(hop, &left))
        if (hop->rtnh_ifindex == one_index)
            hop->rtnh_ifindex = other_index;
    return memcmp(copy, attr_data(other), attr_size(other)) == 0;
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

static int put_adjusted(struct request *request, enum thing thing, const struct rtattr *attr,
                        int from, int to, uint64_t elapsed)
{
    unsigned type = attr_type(attr);

    if (sorts[thing].oif != 0 && type == sorts[thing].oif && (int)attr_u32(attr, 0) == from)
        nl_put_u32(request, type, (uint32_t)to);
    else if (thing == ROUTE && type == RTA_MULTIPATH)
        put_hops(request, attr, from, to);
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

bool route_outlives(struct item route, const struct list *addresses, uint64_t elapsed)
{
    const struct rtattr *source = find_attr(ROUTE, route, RTA_PREFSRC);
    struct ifa_cacheinfo info;

    if (source == NULL || header_of(ROUTE, route).route.rtm_protocol != RTPROT_KERNEL)
        return false;
    LIST_EACH(address, addresses) {
        const struct rtattr *local = find_attr(ADDRESS, address, IFA_LOCAL);
        const struct rtattr *life = find_attr(ADDRESS, address, IFA_CACHEINFO);
        if (local == NULL || life == NULL || attr_size(local) != attr_size(source) ||
            memcmp(attr_data(local), attr_data(source), attr_size(local)) != 0 ||
            attr_size(life) < sizeof info)
            continue;
        memcpy(&info, attr_data(life), sizeof info);
        return remaining(info.ifa_valid, elapsed) == 0;
    }
    return false;
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

static void put_number(struct text *out, const char *word, uint32_t number)
{
    text_put(out, word);
    text_put_unsigned(out, number);
}

uint32_t route_table(struct item message)
{
    return attr_u32(find_attr(ROUTE, message, RTA_TABLE),
                    header_of(ROUTE, message).route.rtm_table);
}

uint32_t route_metric(struct item message)
{
    uint32_t metric = attr_u32(find_attr(ROUTE, message, RTA_PRIORITY), 0);
    bool v6 = header_of(ROUTE, message).route.rtm_family == AF_INET6;

    return metric == 0 && v6 ? 1024 : metric;
}

static void describe_route(struct item message, struct text *out)
{
    struct rtmsg route = header_of(ROUTE, message).route;
    uint32_t table = route_table(message);
    const struct rtattr *gateway = find_attr(ROUTE, message, RTA_GATEWAY);

    text_put(out, "route ");
    if (route.rtm_dst_len == 0) {
        text_put(out, "default");
    } else {
        put_address(out, route.rtm_family, find_attr(ROUTE, message, RTA_DST));
        put_number(out, "/", route.rtm_dst_len);
    }
    if (gateway != NULL)
        text_put(out, " via ");
    put_address(out, route.rtm_family, gateway);
    if (table != RT_TABLE_MAIN)
        put_number(out, " table ", table);
}

static void describe_rule(struct item message, struct text *out)
{
    struct fib_rule_hdr rule = header_of(RULE, message).rule;

    text_put(out, "rule");
    if (rule.src_len > 0) {
        text_put(out, " from ");
        put_address(out, rule.family, find_attr(RULE, message, FRA_SRC));
        put_number(out, "/", rule.src_len);
    }
    if (rule.dst_len > 0) {
        text_put(out, " to ");
        put_address(out, rule.family, find_attr(RULE, message, FRA_DST));
        put_number(out, "/", rule.dst_len);
    }
    put_number(out, " table ", attr_u32(find_attr(RULE, message, FRA_TABLE), rule.table));
}

void message_describe(enum thing thing, struct item message, struct text *out)
{
    union header header = header_of(thing, message);

    if (thing == ROUTE) {
        describe_route(message, out);
    } else if (thing == ADDRESS) {
        const struct rtattr *local = find_attr(ADDRESS, message, IFA_LOCAL);
        text_put(out, "address ");
        put_address(out, header.address.ifa_family,
                    local != NULL ? local : find_attr(ADDRESS, message, IFA_ADDRESS));
        put_number(out, "/", header.address.ifa_prefixlen);
    } else if (thing == NEXTHOP) {
        put_number(out, "nexthop ", attr_u32(find_attr(NEXTHOP, message, NHA_ID), 0));
    } else if (thing == RULE) {
        describe_rule(message, out);
    } else {
        text_put(out, "neighbour ");
        put_address(out, header.neighbour.ndm_family, find_attr(NEIGHBOUR, message, NDA_DST));
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

    return route_table(message) == RT_TABLE_MAIN && route.rtm_type == RTN_UNICAST &&
           route.rtm_protocol != RTPROT_KERNEL && route.rtm_protocol != RTPROT_RA &&
           route.rtm_protocol != RTPROT_REDIRECT &&
           find_attr(ROUTE, message, RTA_MULTIPATH) == NULL;
}
