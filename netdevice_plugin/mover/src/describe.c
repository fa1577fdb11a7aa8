/* Messages in the words of people. */

#include "describe.h"

#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "parts.h"
#include "route.h"

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

static void put_network(struct text *out, uint8_t family, const struct rtattr *attr, uint8_t prefix)
{
    put_address(out, family, attr);
    put_number(out, "/", prefix);
}

static void describe_route(struct item message, struct text *out)
{
    struct rtmsg route = header_of(ROUTE, message).route;
    uint32_t table = route_table(message);
    const struct rtattr *gateway = find_attr(ROUTE, message, RTA_GATEWAY);

    text_put(out, "route ");
    if (route.rtm_dst_len == 0)
        text_put(out, "default");
    else
        put_network(out, route.rtm_family, find_attr(ROUTE, message, RTA_DST), route.rtm_dst_len);
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
        put_network(out, rule.family, find_attr(RULE, message, FRA_SRC), rule.src_len);
    }
    if (rule.dst_len > 0) {
        text_put(out, " to ");
        put_network(out, rule.family, find_attr(RULE, message, FRA_DST), rule.dst_len);
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
        put_network(out, header.address.ifa_family,
                    local != NULL ? local : find_attr(ADDRESS, message, IFA_ADDRESS),
                    header.address.ifa_prefixlen);
    } else if (thing == NEXTHOP) {
        put_number(out, "nexthop ", attr_u32(find_attr(NEXTHOP, message, NHA_ID), 0));
    } else if (thing == RULE) {
        describe_rule(message, out);
    } else {
        text_put(out, "neighbour ");
        put_address(out, header.neighbour.ndm_family, find_attr(NEIGHBOUR, message, NDA_DST));
    }
}
