/* Where is the link, and how does it get to the host? */

#include "fetch.h"

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <unistd.h>

#include "born.h"
#include "netns.h"
#include "pod.h"
#include "vfinfo.h"

#define SPARE_NAMES 100

/* ------------------------------------------------------------------ finding */

/* One that the link had on the host, or that we gave it in the pod. */
static bool is_our_mac(const struct record *record, const struct mac *mac)
{
    return mac_equal(mac, &record->link.mac) ||
           (record->pod_mac.length > 0 && mac_equal(mac, &record->pod_mac));
}

static bool mac_is_ours(const struct record *record, const struct link *link)
{
    return is_born(record) ? born_is(record, link) : is_our_mac(record, &link->mac);
}

static bool is_same_function(const struct record *record, const struct link *link)
{
    return record->link.pci[0] != '\0' && strcmp(link->pci, record->link.pci) == 0;
}

/*
 * What no pod can change about a link. Its permanent MAC is part of that, but for
 * drivers of virtual functions that call whatever MAC they have the permanent one. Any
 * other function with a MAC that is none of ours is another NIC in the same slot.
 */
static bool is_same_make(const struct record *record, const struct link *link)
{
    if (is_born(record))
        return strcmp(link->kind, record->born) == 0;
    bool same_mac = mac_equal(&link->permanent, &record->link.permanent) ||
                    (is_same_function(record, link) &&
                     (is_our_mac(record, &link->permanent) ||
                      (mac_equal(&link->permanent, &link->mac) && vf_is(link->pci))));

    return strcmp(link->kind, record->link.kind) == 0 && link->type == record->link.type &&
           same_mac && (record->link.pci[0] == '\0' || is_same_function(record, link));
}

int open_lent(struct mover *mover)
{
    const struct record *record = &mover->record;
    int pinned = pin_open(record->pin, record->netns);

    if (pinned >= 0)
        return pinned;
    /* Without its pin: somebody unmounted it, or the mover was killed before it was made. */
    int found = netns_search(record->netns);
    if (found >= 0)
        return found;
    if (pinned != -ENOENT)
        return pinned;
    return sees_holders(mover) ? found : -EACCES;
}

static bool is_hardware(const struct record *record)
{
    return record->link.pci[0] != '\0' || record->link.permanent.length > 0;
}

static struct identity identity_of(const struct record *record, const char *name)
{
    struct identity identity = {.ifindex = record->link.ifindex,
                                .mac = *link_identity_mac(&record->link)};

    memcpy(identity.name, name, sizeof identity.name);
    memcpy(identity.pci, record->link.pci, sizeof identity.pci);
    memcpy(identity.kind, record->link.kind, sizeof identity.kind);
    return identity;
}

/*
 * Once the pod's ifindex is recorded it names the link, whatever the pod made of
 * its name and MAC. Before, the link may or may not have moved, and a link of the
 * pod's own can have the same number: then the MAC must be ours. So it must if the
 * link was away from the pod and got another number when it came back.
 */
static int find_in_pod(const struct record *record, struct nl *pod, struct link *out)
{
    const char *const names[] = {record->pod_name, record->link.name};
    const struct identity identity = identity_of(record, record->pod_name);
    char found[256];
    struct text why;

    if (record->pod_ifindex != 0) {
        int rc = link_get(pod, record->pod_ifindex, NULL, out);
        if ((rc == 0 && is_same_make(record, out)) || (rc < 0 && rc != -ENODEV))
            return rc;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int rc = link_get(pod, 0, names[i], out);
        if (rc == 0 && is_same_make(record, out) && mac_is_ours(record, out))
            return 0;
        if (rc < 0 && rc != -ENODEV)
            return rc;
    }
    if (!is_hardware(record))
        return -ENODEV;
    text_init(&why, found, sizeof found);
    int rc = link_identify(pod, &identity, out, &why);
    return rc == 0 && !is_same_make(record, out) ? -ENODEV : rc;
}

/* The link that has the number on the host, if it is ours by its MAC and make. */
static int find_by_number(struct mover *mover, struct link *out)
{
    const struct record *record = &mover->record;

    if (is_born(record)) /* it has never been there */
        return -ENODEV;
    int rc = link_get(&mover->host, record->link.ifindex, NULL, out);

    /* A MAC that the pod gave it is taken off before it is moved, see clean_in_pod(). */
    bool ours = mac_is_ours(record, out) || is_same_function(record, out);
    return rc == 0 && !(ours && is_same_make(record, out)) ? -ENODEV : rc;
}

/* Its own name, then spare ones, which nobody else gives. False: that one is too long. */
static bool home_name(const struct record *record, unsigned which, char out[IFNAMSIZ])
{
    struct text text;

    text_init(&text, out, IFNAMSIZ);
    if (which == 0) {
        text_put(&text, record->link.name);
        return true;
    }
    text_put(&text, "ndp");
    text_put_unsigned(&text, (uint64_t)record->link.ifindex);
    if (which > 1) {
        text_put_char(&text, '-');
        text_put_unsigned(&text, which - 1);
    }
    return !text.cut;
}

/* The name by which it can have come home without us: the pod's, or the kernel's. */
static void fallen_name(const struct record *record, unsigned which, char out[IFNAMSIZ])
{
    struct text text;

    text_init(&text, out, IFNAMSIZ);
    text_put(&text, which == 0 ? record->pod_name : "dev");
    if (which > 0)
        text_put_unsigned(&text, (uint64_t)record->pod_ifindex);
}

static bool name_is_ours(const struct record *record, const char *name)
{
    char ours[IFNAMSIZ];

    for (unsigned i = 0; i < 2; i++) {
        fallen_name(record, i, ours);
        if (strcmp(name, ours) == 0)
            return true;
    }
    for (unsigned i = 0; i <= SPARE_NAMES; i++)
        if (home_name(record, i, ours) && strcmp(name, ours) == 0)
            return true;
    return false;
}

static int find_function(struct mover *mover, const char *name, struct link *out)
{
    int rc = link_get(&mover->host, 0, name, out);

    return rc == 0 && !(is_same_function(&mover->record, out) && is_same_make(&mover->record, out))
               ? -ENODEV
               : rc;
}

/* The link of our PCI function that has one of those names, whatever its MAC is by now. */
static int find_by_name(struct mover *mover, struct link *out)
{
    const struct record *record = &mover->record;
    char name[IFNAMSIZ];
    int rc = -ENODEV;

    for (unsigned i = 0; i < 2 && rc == -ENODEV; i++) {
        fallen_name(record, i, name);
        rc = find_function(mover, name, out);
    }
    for (unsigned i = 0; i <= SPARE_NAMES && rc == -ENODEV; i++)
        if (home_name(record, i, name))
            rc = find_function(mover, name, out);
    return rc;
}

/*
 * By its number, else as any link is recognised. Hardware is known by its PCI address
 * and permanent MAC; another link's MAC may be shared with a twin that never left.
 */
static int find_on_host(struct mover *mover, struct link *out)
{
    const struct record *record = &mover->record;
    const struct identity identity = identity_of(record, record->link.name);
    char found[256];
    struct text why;

    int rc = find_by_number(mover, out);
    if (rc != -ENODEV)
        return rc;
    text_init(&why, found, sizeof found);
    rc = link_identify(&mover->host, &identity, out, &why);
    if (rc == -EEXIST)
        fail(mover, rc, "find the link on the host: several could be it", found);
    if (rc == 0 && !is_same_make(record, out))
        rc = -ENODEV;
    if (rc == -ENODEV && record->link.pci[0] != '\0')
        rc = find_by_name(mover, out);
    return rc == 0 && !is_hardware(record) && !name_is_ours(record, out->name) ? -ENODEV : rc;
}

bool is_replaced(struct mover *mover)
{
    const struct record *record = &mover->record;
    static struct link link;

    return link_get(&mover->host, 0, record->spec.name, &link) == 0 &&
           is_same_function(record, &link) && !is_same_make(record, &link);
}

/* For a link that is surely not in the pod. */
static int search_host(struct mover *mover, struct link *out)
{
    int rc = is_born(&mover->record) ? -ENODEV : find_on_host(mover, out);

    return rc == -EEXIST ? -ENODEV : rc;
}

/* ------------------------------------------------------------------- moving */

static bool name_is_free(struct mover *mover, const char *name)
{
    static struct link taken;

    return link_get(&mover->host, 0, name, &taken) == -ENODEV;
}

/* The altnames that the pod put on the link and those that would clash on the host. */
static void clean_altnames(struct mover *mover, struct nl *pod, struct link *link)
{
    const int ifindex = link->ifindex;
    bool more = true;

    /* A link may have more than we read at once. */
    for (int round = 0; more && round < 64; round++) {
        bool full = link->altname_count == LINK_ALTNAMES;
        more = false;
        for (size_t i = 0; i < link->altname_count; i++)
            if (!link_has_altname(&mover->record.link, link->altnames[i]) ||
                !name_is_free(mover, link->altnames[i]))
                more |= link_altname(pod, ifindex, link->altnames[i], false) == 0;
        more = more && full && link_get(pod, ifindex, NULL, link) == 0;
    }
    link->ifindex = ifindex; /* in case that it could not be read again */
}

/* Takes off what the pod put on the link and what would clash on the host. */
static void clean_in_pod(struct mover *mover, struct nl *pod, struct link *link)
{
    const struct record *record = &mover->record;

    clean_altnames(mover, pod, link);
    if (mac_equal(&link->mac, &record->link.mac) || record->link.mac.length == 0)
        return;
    /* So that the link can be told by its MAC, should we be killed on the way. */
    link_set_flags(pod, link->ifindex, 0, IFF_UP);
    link_set_mac(pod, link->ifindex, &record->link.mac);
}

static int move_as(struct mover *mover, struct nl *pod, const struct link *link, const char *name)
{
    int number = link->ifindex == mover->record.link.ifindex ? 0 : mover->record.link.ifindex;
    int rc = link_move(pod, link->ifindex, mover->own, name, number);

    if (number != 0 && (rc == -EBUSY || rc == -EINVAL))
        rc = link_move(pod, link->ifindex, mover->own, name, 0);
    return rc;
}

/* Whether it is gone from the pod; else reads it again. `pod` keeps the kernel's last words. */
static bool has_left(struct nl *pod, struct link *link)
{
    struct nl probe = *pod;
    int rc = link_get(&probe, link->ifindex, NULL, link);

    pod->seq = probe.seq;
    return rc == -ENODEV;
}

/*
 * Under its own name, or else a spare one: a link under another name is at home, one
 * that stays in the pod is destroyed with it. A name that is free may be taken before we
 * have it. The kernel moves first and renames then, so that a link may have come home all
 * the same, and whoever else renames links on the host may have been quicker than we.
 */
static int move_home(struct mover *mover, struct nl *pod, struct link *link, struct link *out)
{
    const int ifindex = link->ifindex;
    char name[IFNAMSIZ];
    int rc = -EEXIST;

    pod->why[0] = '\0';
    for (unsigned i = 0; i <= SPARE_NAMES && rc == -EEXIST; i++) {
        if (!home_name(&mover->record, i, name) || !name_is_free(mover, name))
            continue;
        clean_in_pod(mover, pod, link);
        link->ifindex = ifindex; /* in case that it could not be read again */
        rc = move_as(mover, pod, link, name);
        if (rc == 0 && link_get(&mover->host, 0, name, out) == 0)
            return 0;
        if (rc == 0 || has_left(pod, link))
            return search_host(mover, out);
    }
    if (rc == -EEXIST)
        fail(mover, rc, "move the link home",
             "links on the host have its name and all spare ones, or an altname of it");
    return fail_netlink(mover, rc, "move the link home", pod);
}

int check_pin(struct mover *mover)
{
    const struct record *record = &mover->record;
    static struct link link;
    char reason[RECORD_ERROR_SIZE];
    struct text text;

    if ((mover->on_host && sees_holders(mover)) || !pin_is_covered(record->pin, record->netns) ||
        find_by_number(mover, &link) == 0)
        return 0;
    text_init(&text, reason, sizeof reason);
    text_put(&text, "from here ");
    text_put(&text, record->pin);
    text_put(&text, " is not the pod's network namespace, but these may not be the host's mounts, "
                    "and there it may be; nothing was touched, run this on the host");
    return fail(mover, -EXDEV, "look for the pin", reason);
}

/* The link on the host, brought there if need be. */
int fetch(struct mover *mover, struct link *out)
{
    static struct link in_pod;
    struct nl pod;
    bool started = mover->record.phase == PHASE_ATTACHING;

    /* A mover that was killed before it moved anything has left the link where it was. */
    if (started && find_by_number(mover, out) == 0)
        return 0;
    int netns = open_lent(mover);
    if (netns < 0) {
        int rc = search_host(mover, out);
        return rc == -ENODEV && netns != -ENOENT
                   ? fail(mover, netns, "look for the pod",
                          "its pin is gone, and not every process can be looked at from here; run "
                          "this on the host, as root with all capabilities")
                   : rc;
    }
    int rc = netns_open_socket(netns, mover->own, NETLINK_ROUTE, &pod);
    if (rc == 0) {
        rc = find_in_pod(&mover->record, &pod, &in_pod);
        if (rc == 0 || rc == -ENODEV)
            pod_undo(mover, &pod, rc == 0 ? in_pod.ifindex : 0);
        if (rc == 0 && is_born(&mover->record))
            rc = born_delete(mover, &pod, in_pod.ifindex);
        else if (rc == 0)
            rc = move_home(mover, &pod, &in_pod, out);
        else if (rc == -ENODEV)
            rc = search_host(mover, out);
        nl_close(&pod);
    }
    close(netns);
    return rc;
}
