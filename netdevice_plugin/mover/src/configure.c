/* In the pod: addresses, MTU, MAC, up, routes. */

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "describe.h"
#include "netns.h"
#include "pod.h"
#include "route.h"
#include "sysctl.h"
#include "tune.h"
#include "vf.h"

static int set_up_link(struct mover *mover, struct pod *pod, int ifindex, uint32_t mtu,
                       const struct mac *mac)
{
    static struct request request;
    bool up = !mover->options->keep_down || mover->record.link.flags & IFF_UP;
    int rc = 0;

    link_change(&request, ifindex, 0, 0);
    if (mtu != 0)
        nl_put_u32(&request, IFLA_MTU, mtu);
    if (mac->length != 0)
        nl_put(&request, IFLA_ADDRESS, mac->bytes, mac->length);
    if (mtu != 0 || mac->length != 0)
        rc = nl_call(&pod->nl, &request);
    if (rc < 0)
        return fail_netlink(mover, rc, "set MTU and MAC in the pod", &pod->nl);
    if (up)
        rc = link_set_flags(&pod->nl, ifindex, IFF_UP, IFF_UP);
    return rc < 0 ? fail_netlink(mover, rc, "set the link up in the pod", &pod->nl) : 0;
}

int fail_message(struct mover *mover, const struct nl *nl, int rc, const char *verb,
                 enum thing thing, struct item message)
{
    static const char names[][10] = {
        [ADDRESS] = "address", [ROUTE] = "route", [NEIGHBOUR] = "neighbour", [RULE] = "rule"};
    char step_text[200];
    struct text text;

    if (mover->error.length > 0)
        return rc;
    /* Counted without what it names, of which there is no end. */
    text_init(&text, mover->step, sizeof mover->step);
    text_put(&text, verb);
    text_put(&text, names[thing]);
    text_init(&text, step_text, sizeof step_text);
    text_put(&text, verb);
    message_describe(thing, message, &text);
    return fail_netlink(mover, rc, step_text, nl);
}

struct item item_of(const struct request *request)
{
    return (struct item){request->body, request->head.nlmsg_len - sizeof request->head};
}

/* An IPv4 label starts with the link's name, by custom; without one it is the name. */
static struct item relabel(struct item address, const char *from, const char *to)
{
    static struct request copy;
    char label[IFNAMSIZ];
    size_t left = address.size - sizeof(struct ifaddrmsg), length = strlen(from);
    const char *attrs = (const char *)address.data + sizeof(struct ifaddrmsg);
    struct text text;

    nl_start(&copy, RTM_NEWADDR, 0, address.data, sizeof(struct ifaddrmsg));
    for (const struct rtattr *a = attr_first(attrs, left); a; a = attr_next(a, &left)) {
        if (attr_type(a) != IFA_LABEL) {
            nl_put(&copy, a->rta_type, attr_data(a), attr_size(a));
            continue;
        }
        attr_text(a, label, sizeof label);
        if (strncmp(label, from, length) != 0 || label[length] != ':')
            continue;
        char renamed[2 * IFNAMSIZ];
        text_init(&text, renamed, sizeof renamed);
        text_put(&text, to);
        text_put(&text, label + length);
        if (text.length < IFNAMSIZ)
            nl_put_text(&copy, IFA_LABEL, renamed);
    }
    return item_of(&copy);
}

static struct item address_of(const struct ip *ip)
{
    static struct request request;
    const struct ifaddrmsg header = {.ifa_family = ip->family, .ifa_prefixlen = ip->prefix};

    nl_start(&request, RTM_NEWADDR, 0, &header, sizeof header);
    nl_put(&request, IFA_LOCAL, ip->bytes, ip_size(ip));
    nl_put(&request, IFA_ADDRESS, ip->bytes, ip_size(ip));
    return item_of(&request);
}

static bool is_v6(struct item address)
{
    return *(const uint8_t *)address.data == AF_INET6;
}

static int add_address(struct mover *mover, struct pod *pod, struct item address, int ifindex)
{
    int rc = address_add(&pod->nl, address, mover->record.link.ifindex, ifindex, 0);

    if (rc == 0)
        return 0;
    return fail_message(mover, &pod->nl, rc, "add in the pod the ", ADDRESS, address);
}

static int enable_ipv6(void *name)
{
    return ipv6_enable(name);
}

/* Pods are often born with IPv6 off by default; a link with an IPv6 address needs it. */
static int want_ipv6(struct mover *mover, struct pod *pod, struct link *link)
{
    if (!ipv6_is_disabled(link))
        return 0;
    int rc = netns_within(pod->netns, mover->own, enable_ipv6, link->name);
    return rc < 0 ? fail(mover, rc, "switch IPv6 on for the link in the pod", NULL) : 0;
}

static int add_addresses(struct mover *mover, struct pod *pod, struct link *link)
{
    const struct options *options = mover->options;
    bool renamed = strcmp(mover->record.link.name, link->name) != 0;
    bool v6 = false;
    int rc = 0;

    for (size_t i = 0; i < options->address_count; i++)
        v6 |= options->addresses[i].family == AF_INET6;
    if (options->address_count == 0)
        LIST_EACH(address, &mover->record.addresses)
            v6 |= is_v6(address);
    if (v6)
        rc = want_ipv6(mover, pod, link);
    for (size_t i = 0; rc == 0 && i < options->address_count; i++)
        rc = add_address(mover, pod, address_of(&options->addresses[i]), link->ifindex);
    if (rc < 0 || options->address_count > 0)
        return rc;
    LIST_EACH(address, &mover->record.addresses) {
        struct item item =
            renamed ? relabel(address, mover->record.link.name, link->name) : address;
        rc = add_address(mover, pod, item, link->ifindex);
        if (rc < 0)
            break;
    }
    return rc;
}

static struct item route_of(const struct route_arg *arg, bool gateway, int ifindex)
{
    static struct request request;
    const struct ip *to = &arg->destination;
    bool direct = to->family == AF_INET && arg->gateway.family == 0;
    const struct rtmsg header = {
        .rtm_family = to->family,
        .rtm_dst_len = to->prefix,
        .rtm_table = arg->table < 256 ? (uint8_t)arg->table : RT_TABLE_UNSPEC,
        .rtm_protocol = gateway && to->prefix == 0 ? OUR_PROTOCOL : RTPROT_STATIC,
        .rtm_scope = arg->scope != SCOPE_BY_KERNEL ? arg->scope
                     : direct                      ? RT_SCOPE_LINK
                                                   : RT_SCOPE_UNIVERSE,
        .rtm_type = RTN_UNICAST,
        .rtm_flags = arg->onlink ? RTNH_F_ONLINK : 0,
    };

    nl_start(&request, RTM_NEWROUTE, 0, &header, sizeof header);
    if (to->prefix > 0)
        nl_put(&request, RTA_DST, to->bytes, ip_size(to));
    if (arg->gateway.family != 0)
        nl_put(&request, RTA_GATEWAY, arg->gateway.bytes, ip_size(&arg->gateway));
    if (arg->source.family != 0)
        nl_put(&request, RTA_PREFSRC, arg->source.bytes, ip_size(&arg->source));
    if (arg->metric != 0)
        nl_put_u32(&request, RTA_PRIORITY, arg->metric);
    nl_put_u32(&request, RTA_TABLE, arg->table);
    nl_put_u32(&request, RTA_OIF, (uint32_t)ifindex);
    return item_of(&request);
}

/* In the order given: who writes several knows which one the next one needs. */
static int add_routes(struct mover *mover, struct pod *pod, int ifindex)
{
    const struct options *options = mover->options;

    for (size_t i = 0; i < options->route_count; i++) {
        struct item route = route_of(&options->routes[i], options->gateway, ifindex);
        int rc = message_send(&pod->nl, ROUTE, ADD, route, ifindex, ifindex, 0);
        if (rc < 0)
            return fail_message(mover, &pod->nl, rc, "add in the pod the ", ROUTE, route);
    }
    return 0;
}

/* Of two tables in a message the last one counts. */
static struct item into_table(struct item route, uint32_t table)
{
    static struct request copy;

    if (table == 0 || route.size > sizeof copy.body / 2)
        return route;
    nl_start(&copy, RTM_NEWROUTE, 0, route.data, route.size);
    nl_put_u32(&copy, RTA_TABLE, table);
    return item_of(&copy);
}

/*
 * The host's routes through the link are a service: one that the pod has already, or
 * that needs what stayed on the host, is left out.
 */
static void inherit_routes(struct mover *mover, struct pod *pod, int ifindex)
{
    size_t added = 1;

    for (size_t pass = 0; added > 0 && pass < 8; pass++) {
        added = 0;
        LIST_EACH(route, &mover->record.routes) {
            if (route_is_for_pod(route))
                added +=
                    message_send(&pod->nl, ROUTE, ADD, into_table(route, mover->options->vrf.table),
                                 mover->record.link.ifindex, ifindex, 0) == 0;
        }
    }
}

/* Where there is no IPv6 there is no file. */
static int disable_ipv6(void *name)
{
    return sysctl_set(name, span_of("ipv6/conf/disable_ipv6=1"), false, NULL);
}

/*
 * The link gets only what the VLAN on it needs. With IPv6 it would have addresses of its
 * own, and take a default route from whoever is on the network that the VLAN is to leave.
 */
static int make_vlan(struct mover *mover, struct pod *pod, struct link *link, struct link *vlan)
{
    const struct options *options = mover->options;
    uint32_t mtu = options->mtu > link->mtu ? options->mtu : 0;

    int rc = netns_within(pod->netns, mover->own, disable_ipv6, link->name);
    if (rc < 0)
        return fail(mover, rc, "switch IPv6 off below the VLAN", NULL);
    rc = set_up_link(mover, pod, link->ifindex, mtu, &options->mac);
    return rc < 0 ? rc : vlan_add(mover, pod, link->ifindex, vlan);
}

static int add_all_routes(struct mover *mover, struct pod *pod, int ifindex)
{
    const struct options *options = mover->options;
    int rc = add_routes(mover, pod, ifindex);

    if (rc == 0 && options->route_count == 0 && !options->no_addresses)
        inherit_routes(mover, pod, ifindex);
    return rc == 0 ? gateway_take(mover, pod) : rc;
}

/* `link` is the VLAN where there is one. */
static int configure_link(struct mover *mover, struct pod *pod, struct link *link)
{
    static const struct mac none;
    const struct options *options = mover->options;
    int rc = sysctls_set(mover, pod, link, false);

    if (rc == 0 && options->vrf.table != 0)
        rc = vrf_join(mover, pod, link->ifindex);
    if (rc == 0 && !options->no_addresses)
        rc = add_addresses(mover, pod, link);
    if (rc == 0)
        rc = set_up_link(mover, pod, link->ifindex, options->mtu,
                         options->vlan.id != 0 ? &none : &options->mac);
    if (rc == 0)
        rc = sysctls_set(mover, pod, link, true);
    if (rc == 0)
        rc = neighbours_add(mover, pod, link);
    if (rc == 0)
        rc = add_all_routes(mover, pod, link->ifindex);
    return rc == 0 ? rules_add(mover, pod) : rc;
}

int configure(struct mover *mover, struct pod *pod)
{
    const struct options *options = mover->options;
    static struct link link, vlan;

    int rc = link_get(&pod->nl, 0, options->as, &link);
    if (rc < 0)
        return fail_netlink(mover, rc, "find the link in the pod", &pod->nl);
    rc = vf_take_mac(mover, pod, &link);
    if (rc == 0)
        rc = driver_set(mover, pod, link.name);
    if (rc == 0 && options->vlan.id != 0)
        rc = make_vlan(mover, pod, &link, &vlan);
    if (rc == 0)
        rc = configure_link(mover, pod, options->vlan.id != 0 ? &vlan : &link);
    if (rc < 0)
        return rc;
    mover->record.pod_ifindex = link.ifindex;
    if (is_born(&mover->record) && options->mac.length == 0)
        mover->record.pod_mac = link.mac;
    mover->record.phase = PHASE_ATTACHED;
    return write_record(mover);
}
