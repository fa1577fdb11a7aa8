/* Lending: the link from the host into the pod. */

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "link.h"
#include "message.h"
#include "mover.h"
#include "netns.h"
#include "sysctl.h"
#include "uppers.h"

/* The pod's side of one attach. */
struct pod {
    int netns;
    uint64_t device, inode;
    struct nl nl;
};

/* ------------------------------------------------------------------ holders */

static struct holder *find_holder(struct record *record, const char *id)
{
    for (size_t i = 0; i < record->holder_count; i++)
        if (strcmp(record->holders[i].id, id) == 0)
            return &record->holders[i];
    return NULL;
}

/* Enters the container of the OCI state, or refreshes its entry. */
static int add_holder(struct mover *mover)
{
    struct record *record = &mover->record;
    const struct oci_state *state = &mover->state;
    struct holder *holder = find_holder(record, state->id);

    if (holder == NULL && record->holder_count == RECORD_HOLDERS)
        return fail(mover, -E2BIG, "enter the container as a holder",
                    "16 containers of this pod hold the device already");
    if (holder == NULL)
        holder = &record->holders[record->holder_count++];
    memset(holder, 0, sizeof *holder);
    int rc = process_start(state->pid, &holder->start);
    if (rc < 0)
        return fail(mover, rc, "look at the container's process", NULL);
    memcpy(holder->id, state->id, sizeof holder->id);
    holder->pid = state->pid;
    holder->since = (uint64_t)time(NULL);
    memcpy(holder->pod_uid, state->pod_uid, sizeof holder->pod_uid);
    memcpy(holder->container, state->container, sizeof holder->container);
    memcpy(holder->pod_name, state->pod_name, sizeof holder->pod_name);
    memcpy(holder->pod_namespace, state->pod_namespace, sizeof holder->pod_namespace);
    return 0;
}

/* Live holders other than this container, as process_wait() wants them. */
static size_t others_alive(const struct record *record, const char *id, int pids[RECORD_HOLDERS])
{
    size_t count = 0;

    for (size_t i = 0; i < record->holder_count; i++)
        if (strcmp(record->holders[i].id, id) != 0 &&
            process_is(record->holders[i].pid, record->holders[i].start))
            pids[count++] = record->holders[i].pid;
    return count;
}

static void put_holders(struct text *text, const struct record *record)
{
    for (size_t i = 0; i < record->holder_count; i++) {
        const struct holder *holder = &record->holders[i];
        if (!process_is(holder->pid, holder->start))
            continue;
        text_put(text, "container ");
        text_put_quoted(text, span_of(holder->id));
        if (holder->pod_name[0] != '\0') {
            text_put(text, " of pod ");
            text_put_quoted(text, span_of(holder->pod_namespace));
            text_put_char(text, '/');
            text_put_quoted(text, span_of(holder->pod_name));
        }
        text_put(text, " (pid ");
        text_put_unsigned(text, (uint64_t)holder->pid);
        text_put(text, "); ");
    }
}

int fail_held(struct mover *mover)
{
    char reason[RECORD_ERROR_SIZE];
    struct text text;

    text_init(&text, reason, sizeof reason);
    text_put(&text, "it is held by ");
    put_holders(&text, &mover->record);
    text_put(&text, "`netdevice-plugin status` shows it");
    return fail(mover, -EBUSY, "take the device", reason);
}

/* One link has one name, and its first container was promised another. */
static int fail_other_name(struct mover *mover)
{
    char reason[RECORD_ERROR_SIZE];
    struct text text;

    text_init(&text, reason, sizeof reason);
    text_put(&text, "this pod has it as ");
    text_put(&text, mover->record.pod_name);
    text_put(&text, ", used by ");
    put_holders(&text, &mover->record);
    text_put(&text, "ask for it under the same name");
    return fail(mover, -EEXIST, "share the device", reason);
}

/* ------------------------------------------------------------------ the pod */

static int open_pod(struct mover *mover, struct pod *pod)
{
    uint64_t own_device, own_inode;

    pod->nl.fd = -1;
    pod->netns = -1;
    if (mover->state.pid == 0)
        return fail(mover, -EINVAL, "find the pod", "the OCI state names no process (pid)");
    pod->netns = netns_of_process(mover->state.pid);
    if (pod->netns < 0)
        return fail(mover, pod->netns, "open the network namespace of the container's process",
                    NULL);
    int rc = netns_identity(pod->netns, &pod->device, &pod->inode);
    if (rc == 0)
        rc = netns_identity(mover->own, &own_device, &own_inode);
    if (rc < 0)
        return fail(mover, rc, "look at the network namespaces", NULL);
    if (pod->device == own_device && pod->inode == own_inode)
        return fail(mover, -EINVAL, "find the pod",
                    "the container uses the host's own network namespace (hostNetwork), where the "
                    "link is already; give it one of its own or do not ask for the device");
    rc = netns_open_socket(pod->netns, mover->own, &pod->nl);
    return rc < 0 ? fail(mover, rc, "open a socket in the pod", NULL) : 0;
}

static void close_pod(struct pod *pod)
{
    nl_close(&pod->nl);
    if (pod->netns >= 0)
        close(pod->netns);
}

static bool is_in(const struct record *record, const struct pod *pod)
{
    return record->netns_dev == pod->device && record->netns_ino == pod->inode;
}

/*
 * The link is in this pod already: a restart, or another container of the pod.
 * -ENODEV: it should be, but is not.
 */
static int share(struct mover *mover, struct pod *pod)
{
    struct record *record = &mover->record;
    static struct link link;
    int pids[RECORD_HOLDERS];

    int rc = link_get(&pod->nl, record->pod_ifindex, NULL, &link);
    if (rc < 0)
        return rc;
    if (strcmp(record->pod_name, mover->options->as) != 0 &&
        others_alive(record, mover->state.id, pids) > 0)
        return fail_other_name(mover);
    if (strcmp(link.name, mover->options->as) != 0) {
        rc = link_rename(&pod->nl, link.ifindex, mover->options->as);
        if (rc < 0)
            return fail_netlink(mover, rc, "give the link its name in the pod again", &pod->nl);
        memcpy(record->pod_name, mover->options->as, strlen(mover->options->as) + 1);
    }
    rc = add_holder(mover);
    return rc < 0 ? rc : write_record(mover);
}

/* --------------------------------------------------------------- the device */

static int find_link(struct mover *mover, struct link *out)
{
    const struct options *options = mover->options;
    struct identity *spec = &mover->record.spec;
    char reason[400], found[300];
    struct text why, text;

    span_copy(span_of(options->link), spec->name, sizeof spec->name);
    spec->ifindex = (int)options->link_ifindex;
    spec->mac = options->link_mac;
    memcpy(spec->pci, options->link_pci, sizeof spec->pci);
    span_copy(span_of(options->link_kind), spec->kind, sizeof spec->kind);
    text_init(&why, found, sizeof found);
    int rc = link_identify(&mover->host, spec, out, &why);
    if (rc != -ENODEV && rc != -EEXIST)
        return rc < 0 ? fail_netlink(mover, rc, "find the link on the host", &mover->host) : 0;
    text_init(&text, reason, sizeof reason);
    if (rc == -EEXIST) {
        text_put(&text, "several could be ");
        text_put(&text, options->link);
        text_put(&text, ": ");
        text_put(&text, found);
    } else if (found[0] != '\0') {
        text_put(&text, found);
    } else {
        text_put(&text, "no link has the MAC, PCI address and kind of ");
        text_put(&text, options->link);
    }
    text_put(&text, "; run `netdevice-plugin cdi generate` again");
    return fail(mover, rc, "find the link on the host", reason);
}

/* A port that moves leaves its master without a word (a bond's slave even with success). */
static int fail_master(struct mover *mover, const struct link *link)
{
    static struct link master;
    char reason[160];
    struct text text;

    text_init(&text, reason, sizeof reason);
    text_put(&text, "it is a port of ");
    text_put(&text, link_get(&mover->host, link->master, NULL, &master) == 0 ? master.name
                                                                             : "another link");
    text_put(&text, " (its master: a bridge, bond, team or VRF); release it first");
    return fail(mover, -EPERM, "check the link", reason);
}

/* The CDI file can be older than the host's routes. */
static int check_routes(struct mover *mover)
{
    char reason[160];
    struct text text;

    LIST_EACH(route, &mover->record.routes) {
        if (!route_is_default(route))
            continue;
        text_init(&text, reason, sizeof reason);
        text_put(&text, "it is an uplink of this node, it carries a default route (");
        message_describe(ROUTE, route, &text);
        text_put_char(&text, ')');
        return fail(mover, -EPERM, "check the link", reason);
    }
    return 0;
}

static int check_uppers(struct mover *mover, const struct link *link)
{
    char names[160], reason[256];
    struct text who, text;

    text_init(&who, names, sizeof names);
    int rc = uppers_find(&mover->host, link->ifindex, &who);
    if (rc < 0)
        return fail_netlink(mover, rc, "look for links that stand on it", &mover->host);
    if (who.length == 0)
        return 0;
    text_init(&text, reason, sizeof reason);
    text_put(&text, "the host uses it: ");
    text_put(&text, names);
    text_put(&text, " on top of it would be cut off, or destroyed; remove what stands on it first");
    return fail(mover, -EPERM, "check the link", reason);
}

/* What can be wrong with lending a link, seen from the link itself. */
static int check_link(struct mover *mover, const struct link *link)
{
    const struct mac *mac = &mover->options->mac;

    if (link->flags & IFF_LOOPBACK)
        return fail(mover, -EPERM, "check the link", "it is the loopback device");
    if (link->master != 0)
        return fail_master(mover, link);
    if (mac->length != 0 && mac->length != link->mac.length)
        return fail(mover, -EINVAL, "check the link", "--mac is not of the length of its MAC");
    int rc = check_routes(mover);
    return rc < 0 ? rc : check_uppers(mover, link);
}

/* Everything that the way home will need. */
static int capture(struct mover *mover)
{
    struct record *record = &mover->record;
    struct nl *host = &mover->host;
    struct timespec now;
    int ifindex = record->link.ifindex;

    int rc = messages_capture(host, ADDRESS, ifindex, &record->addresses);
    if (rc == 0)
        rc = messages_capture(host, ROUTE, ifindex, &record->routes);
    if (rc == 0)
        rc = messages_capture(host, NEIGHBOUR, ifindex, &record->neighbours);
    if (rc == 0)
        rc = messages_capture(host, NEXTHOP, ifindex, &record->nexthops);
    if (rc == 0)
        rc = messages_capture_groups(host, &record->nexthops);
    if (rc == 0)
        rc = sysctls_capture(record->link.name, record);
    if (rc == -ENOBUFS)
        return fail(mover, rc, "record the link",
                    "it has more addresses, routes or neighbours than a record can hold");
    if (rc < 0)
        return fail_netlink(mover, rc, "record the link", host);
    clock_gettime(CLOCK_BOOTTIME, &now);
    record->recorded = (uint64_t)now.tv_sec;
    return 0;
}

/* The kernel would find out after it has moved the link; so ask first. */
static int check_name(struct mover *mover, struct pod *pod)
{
    static struct link taken;
    char reason[128];
    struct text text;

    int rc = link_get(&pod->nl, 0, mover->options->as, &taken);
    if (rc == -ENODEV)
        return 0;
    if (rc < 0)
        return fail_netlink(mover, rc, "look for the name in the pod", &pod->nl);
    text_init(&text, reason, sizeof reason);
    text_put(&text, "the pod has a link named ");
    text_put(&text, mover->options->as);
    text_put(&text, " already; choose another name with --as");
    return fail(mover, -EEXIST, "look for the name in the pod", reason);
}

static int prepare(struct mover *mover, struct pod *pod)
{
    const struct options *options = mover->options;
    struct record *record = &mover->record;

    record_init(record);
    span_copy(span_of(options->device), record->device, sizeof record->device);
    span_copy(span_of(options->as), record->pod_name, sizeof record->pod_name);
    path_join(record->pin, options->run_dir, "netns", options->device);
    record->pod_mac = options->mac;
    record->netns_dev = pod->device;
    record->netns_ino = pod->inode;
    int rc = find_link(mover, &record->link);
    if (rc == 0)
        rc = capture(mover);
    if (rc == 0)
        rc = check_link(mover, &record->link);
    if (rc == 0)
        rc = check_name(mover, pod);
    if (rc == 0)
        rc = add_holder(mover);
    if (rc == 0) {
        record->phase = PHASE_ATTACHING;
        rc = write_record(mover);
    }
    if (rc < 0)
        record->phase = PHASE_NONE;
    return rc;
}

/* --------------------------------------------------------------- in the pod */

static int set_up_link(struct mover *mover, struct pod *pod, int ifindex)
{
    static struct request request;
    const struct options *options = mover->options;
    bool up = !options->keep_down || mover->record.link.flags & IFF_UP;
    struct ifinfomsg info = {.ifi_index = ifindex};
    int rc = 0;

    nl_start(&request, RTM_SETLINK, 0, &info, sizeof info);
    if (options->mtu != 0)
        nl_put_u32(&request, IFLA_MTU, options->mtu);
    if (options->mac.length != 0)
        nl_put(&request, IFLA_ADDRESS, options->mac.bytes, options->mac.length);
    if (options->mtu != 0 || options->mac.length != 0)
        rc = nl_call(&pod->nl, &request);
    if (rc < 0)
        return fail_netlink(mover, rc, "set MTU and MAC in the pod", &pod->nl);
    if (up)
        rc = link_set_flags(&pod->nl, ifindex, IFF_UP, IFF_UP);
    return rc < 0 ? fail_netlink(mover, rc, "set the link up in the pod", &pod->nl) : 0;
}

static int fail_message(struct mover *mover, struct pod *pod, int rc, const char *verb,
                        enum thing thing, struct item message)
{
    char step_text[200];
    struct text text;

    text_init(&text, step_text, sizeof step_text);
    text_put(&text, verb);
    message_describe(thing, message, &text);
    return fail_netlink(mover, rc, step_text, &pod->nl);
}

static struct item item_of(const struct request *request)
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
    return fail_message(mover, pod, rc, "add in the pod the ", ADDRESS, address);
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

static struct item route_of(const struct route_arg *arg, int ifindex)
{
    static struct request request;
    const struct ip *to = &arg->destination;
    const struct rtmsg header = {
        .rtm_family = to->family,
        .rtm_dst_len = to->prefix,
        .rtm_table = arg->table < 256 ? (uint8_t)arg->table : RT_TABLE_UNSPEC,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope =
            to->family == AF_INET && arg->gateway.family == 0 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
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
        struct item route = route_of(&options->routes[i], ifindex);
        int rc = message_send(&pod->nl, ROUTE, ADD, route, ifindex, ifindex, 0);
        if (rc < 0)
            return fail_message(mover, pod, rc, "add in the pod the ", ROUTE, route);
    }
    return 0;
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
                added += message_send(&pod->nl, ROUTE, ADD, route, mover->record.link.ifindex,
                                      ifindex, 0) == 0;
        }
    }
}

static int configure(struct mover *mover, struct pod *pod)
{
    const struct options *options = mover->options;
    static struct link link;

    int rc = link_get(&pod->nl, 0, options->as, &link);
    if (rc < 0)
        return fail_netlink(mover, rc, "find the link in the pod", &pod->nl);
    if (!options->no_addresses)
        rc = add_addresses(mover, pod, &link);
    if (rc == 0)
        rc = set_up_link(mover, pod, link.ifindex);
    if (rc == 0)
        rc = add_routes(mover, pod, link.ifindex);
    if (rc == 0 && options->route_count == 0 && !options->no_addresses)
        inherit_routes(mover, pod, link.ifindex);
    if (rc < 0)
        return rc;
    mover->record.pod_ifindex = link.ifindex;
    mover->record.phase = PHASE_ATTACHED;
    return write_record(mover);
}

/* Whatever we came to, all of it; what cannot be undone is said behind what failed. */
static void undo(struct mover *mover)
{
    char first[RECORD_ERROR_SIZE], second[RECORD_ERROR_SIZE];
    struct text *error = &mover->error;

    memcpy(first, error->data, error->length + 1);
    text_init(error, mover->error_text, sizeof mover->error_text);
    mover->record.phase = PHASE_ATTACHING;
    mover->record.pod_ifindex = 0;
    int rc = bring_home(mover);
    memcpy(second, error->data, error->length + 1);
    text_init(error, mover->error_text, sizeof mover->error_text);
    text_put(error, first);
    if (rc < 0) {
        text_put(error, "; and then: ");
        text_put(error, second);
    }
}

static int move(struct mover *mover, struct pod *pod)
{
    const struct record *record = &mover->record;
    const struct link *link = &record->link;
    int rc = 0;

    /* A link cannot take a name that it has as an altname; it gets that back at home. */
    if (link_has_altname(link, record->pod_name))
        rc = link_altname(&mover->host, link->ifindex, record->pod_name, false);
    if (rc == 0)
        rc = link_move(&mover->host, link->ifindex, pod->netns, record->pod_name, 0);
    return rc < 0 ? fail_netlink(mover, rc, "move the link to the pod", &mover->host) : 0;
}

static int lend(struct mover *mover, struct pod *pod)
{
    struct record *record = &mover->record;

    int rc = prepare(mover, pod);
    if (rc < 0)
        return rc;
    rc = pin_mount(record->pin, pod->netns);
    if (rc < 0)
        fail(mover, rc, "pin the pod's network namespace", NULL);
    else
        rc = move(mover, pod);
    if (rc == 0)
        rc = configure(mover, pod);
    if (rc < 0)
        undo(mover);
    return rc;
}

/* ------------------------------------------------------- what stands before it */

static uint64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/*
 * Waits for a live holder to end, without the lock: its own detach may be on its
 * way. -EAGAIN: look again; -EBUSY: time is up.
 */
static int wait_for_holder(struct mover *mover, const int *pids, size_t count, uint64_t deadline)
{
    uint64_t now = milliseconds();

    if (now >= deadline)
        return fail_held(mover);
    unlock_device(mover);
    int rc = process_wait(pids, count, (int)(deadline - now));
    if (rc < 0 && rc != -ETIMEDOUT)
        return fail(mover, rc, "wait for the holder to end", NULL);
    rc = lock_device(mover);
    if (rc == 0)
        rc = read_record(mover);
    return rc < 0 ? rc : -EAGAIN;
}

/*
 * What an earlier mover left of this device. 0: it is at home, lend it; 1: this
 * pod has it; -EAGAIN: look again.
 */
static int settle(struct mover *mover, struct pod *pod, uint64_t deadline)
{
    struct record *record = &mover->record;
    int pids[RECORD_HOLDERS];

    if (record->phase == PHASE_NONE)
        return 0;
    if (record->phase == PHASE_ATTACHED) {
        if (is_in(record, pod)) {
            drop_dead_holders(mover, mover->state.id);
            int rc = share(mover, pod);
            if (rc != -ENODEV)
                return rc < 0 ? rc : 1;
        }
        size_t count = others_alive(record, mover->state.id, pids);
        if (count > 0 && !is_in(record, pod))
            return wait_for_holder(mover, pids, count, deadline);
    }
    bool was_lost = record->phase == PHASE_LOST;
    int rc = bring_home(mover);
    if (rc == -ENODEV && was_lost) {
        /* Lost before, and its name may be another link's by now: the arguments decide. */
        text_init(&mover->error, mover->error_text, sizeof mover->error_text);
        rc = record_remove(mover->options->run_dir, record->device);
        record->phase = PHASE_NONE;
    }
    return rc;
}

int attach(struct mover *mover)
{
    uint64_t deadline = milliseconds() + mover->options->wait_ms;
    struct pod pod;

    int rc = open_pod(mover, &pod);
    if (rc == 0)
        rc = lock_device(mover);
    if (rc == 0)
        rc = read_record(mover);
    if (rc == 0) {
        do
            rc = settle(mover, &pod, deadline);
        while (rc == -EAGAIN);
        if (rc == 0)
            rc = lend(mover, &pod);
    }
    close_pod(&pod);
    if (rc >= 0)
        forget_error(mover);
    return rc >= 0 ? EXIT_DONE : rc == -EBUSY ? EXIT_HELD : EXIT_FAILED;
}
