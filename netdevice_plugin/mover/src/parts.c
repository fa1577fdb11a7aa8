/* How each sort of message is made up: its header, its attributes, a route's hops. */

#include "parts.h"

#include <string.h>

#define FOREVER UINT32_MAX

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

const void *moved_hops(const struct rtattr *attr, int from, int to)
{
    static _Alignas(8) unsigned char copy[32768];
    size_t left = attr_size(attr);

    if (left > sizeof copy)
        return NULL;
    memcpy(copy, attr_data(attr), left);
    for (struct rtnexthop *hop = hop_first(copy, left); hop; hop = hop_next(hop, &left)) {
        hop->rtnh_flags &= HOP_FLAGS;
        if (hop->rtnh_ifindex == from)
            hop->rtnh_ifindex = to;
    }
    return copy;
}

void put_hops(struct request *request, const struct rtattr *attr, int from, int to)
{
    const void *hops = moved_hops(attr, from, to);

    if (hops == NULL)
        request->full = true;
    else
        nl_put(request, RTA_MULTIPATH, hops, attr_size(attr));
}

uint32_t seconds_left(uint32_t lifetime, uint64_t elapsed)
{
    if (lifetime == FOREVER)
        return FOREVER;
    return elapsed >= lifetime ? 0 : lifetime - (uint32_t)elapsed;
}
