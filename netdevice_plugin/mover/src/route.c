/* Routes: what tells them apart, and which of them a pod can use. */

#include "route.h"

#include <string.h>
#include <sys/socket.h>

#include "parts.h"

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
        return seconds_left(info.ifa_valid, elapsed) == 0;
    }
    return false;
}
