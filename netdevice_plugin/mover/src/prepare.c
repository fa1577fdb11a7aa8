/* Before a link leaves: is it the one that is meant, may it go, what will it need to come home? */

#include <errno.h>
#include <string.h>

#include "born.h"
#include "capture.h"
#include "clock.h"
#include "describe.h"
#include "lend.h"
#include "link.h"
#include "pod.h"
#include "rdma.h"
#include "route.h"
#include "sysctl.h"
#include "tune.h"
#include "uppers.h"
#include "vf.h"

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
    if (mover->options->create.kind[0] != '\0')
        return born_prepare(mover, link);
    int rc = check_routes(mover);
    if (rc == 0)
        rc = check_uppers(mover, link);
    return rc < 0 ? rc : driver_prepare(mover);
}

/* Everything that the way home will need. */
static int capture(struct mover *mover)
{
    struct record *record = &mover->record;
    struct nl *host = &mover->host;
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
    return rc < 0 ? fail_netlink(mover, rc, "record the link", host) : 0;
}

/* The kernel would find out after it has moved the link; so ask first. */
int check_name(struct mover *mover, struct pod *pod, const char *name)
{
    static struct link taken;
    char reason[128];
    struct text text;

    int rc = link_get(&pod->nl, 0, name, &taken);
    if (rc == -ENODEV)
        return 0;
    if (rc < 0)
        return fail_netlink(mover, rc, "look for the name in the pod", &pod->nl);
    text_init(&text, reason, sizeof reason);
    text_put(&text, "the pod has a link named ");
    text_put(&text, name);
    text_put(&text, name == mover->options->as ? " already; choose another name with --as"
                                               : " already; choose another name with --vlan");
    return fail(mover, -EEXIST, "look for the name in the pod", reason);
}

int prepare(struct mover *mover, struct pod *pod)
{
    static struct link parent;
    const struct options *options = mover->options;
    struct record *record = &mover->record;
    bool born = options->create.kind[0] != '\0';
    struct link *link = born ? &parent : &record->link;

    record_init(record);
    record->recorded = clock_read(CLOCK_BOOTTIME, 1);
    span_copy(span_of(options->device), record->device, sizeof record->device);
    span_copy(span_of(options->as), record->pod_name, sizeof record->pod_name);
    path_join(record->pin, options->run_dir, "netns", options->device);
    record->pod_mac = options->mac;
    record->netns = pod->id;
    int rc = find_link(mover, link);
    if (rc == 0 && !born)
        rc = capture(mover);
    if (rc == 0)
        rc = check_link(mover, link);
    if (rc == 0)
        rc = vf_prepare(mover);
    if (rc == 0)
        rc = rdma_prepare(mover);
    if (rc == 0)
        rc = check_name(mover, pod, options->as);
    if (rc == 0)
        rc = pod_prepare(mover, pod);
    if (rc == 0)
        rc = add_holder(mover);
    if (rc == 0) {
        record->phase = born ? PHASE_RETURNING : PHASE_ATTACHING; /* see born_is_nowhere() */
        rc = write_record(mover);
    }
    if (rc < 0)
        record->phase = PHASE_NONE;
    return rc;
}
