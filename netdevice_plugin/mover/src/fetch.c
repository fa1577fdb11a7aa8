/* Where is the link, and how does it get to the host? */

#include "fetch.h"

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <unistd.h>

#include "netns.h"

/* ------------------------------------------------------------------ finding */

static bool mac_is_ours(const struct record *record, const struct link *link)
{
    return mac_equal(&link->mac, &record->link.mac) ||
           (record->pod_mac.length > 0 && mac_equal(&link->mac, &record->pod_mac));
}

static bool is_same_function(const struct record *record, const struct link *link)
{
    return record->link.pci[0] != '\0' && strcmp(link->pci, record->link.pci) == 0;
}

/*
 * What no pod can change about a link. Its permanent MAC is part of that, but for
 * drivers of virtual functions that call whatever MAC they have the permanent one.
 */
static bool is_same_make(const struct record *record, const struct link *link)
{
    bool same_mac = mac_equal(&link->permanent, &record->link.permanent) ||
                    (is_same_function(record, link) && mac_equal(&link->permanent, &link->mac));

    return strcmp(link->kind, record->link.kind) == 0 && link->type == record->link.type &&
           same_mac && (record->link.pci[0] == '\0' || is_same_function(record, link));
}

static int open_pod(struct mover *mover)
{
    const struct record *record = &mover->record;
    int netns = pin_open(record->pin, record->netns_dev, record->netns_ino);

    /* Without its pin: somebody unmounted it, or the mover was killed before it was made. */
    return netns >= 0 ? netns : netns_search(record->netns_dev, record->netns_ino);
}

/*
 * Once the pod's ifindex is recorded it names the link, whatever the pod made of
 * its name and MAC. Before, the link may or may not have moved, and a link of the
 * pod's own can have the same number: then the MAC must be ours.
 */
static int find_in_pod(const struct record *record, struct nl *pod, struct link *out)
{
    const char *const names[] = {record->pod_name, record->link.name};

    if (record->pod_ifindex != 0) {
        int rc = link_get(pod, record->pod_ifindex, NULL, out);
        return rc == 0 && !is_same_make(record, out) ? -ENODEV : rc;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int rc = link_get(pod, 0, names[i], out);
        if (rc == 0 && is_same_make(record, out) && mac_is_ours(record, out))
            return 0;
        if (rc < 0 && rc != -ENODEV)
            return rc;
    }
    return -ENODEV;
}

/* The link that has the number on the host, if it is ours by its MAC and make. */
static int find_by_number(struct mover *mover, struct link *out)
{
    const struct record *record = &mover->record;
    int rc = link_get(&mover->host, record->link.ifindex, NULL, out);

    /* A MAC that the pod gave it is taken off before it is moved, see clean_in_pod(). */
    bool ours = mac_is_ours(record, out) || is_same_function(record, out);
    return rc == 0 && !(ours && is_same_make(record, out)) ? -ENODEV : rc;
}

/* Names that it can have at home: its own, the pod's, a spare one of ours or the kernel's. */
static void names_of(const struct record *record, char names[4][IFNAMSIZ])
{
    struct text text;

    memcpy(names[0], record->link.name, IFNAMSIZ);
    memcpy(names[1], record->pod_name, IFNAMSIZ);
    text_init(&text, names[2], IFNAMSIZ);
    text_put(&text, "ndp");
    text_put_unsigned(&text, (uint64_t)record->link.ifindex);
    text_init(&text, names[3], IFNAMSIZ);
    text_put(&text, "dev");
    text_put_unsigned(&text, (uint64_t)record->pod_ifindex);
}

static bool name_is_ours(const struct record *record, const char *name)
{
    char names[4][IFNAMSIZ];

    names_of(record, names);
    for (size_t i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* The link of our PCI function that has one of those names, whatever its MAC is by now. */
static int find_by_name(struct mover *mover, struct link *out)
{
    const struct record *record = &mover->record;
    char names[4][IFNAMSIZ];

    names_of(record, names);
    for (size_t i = 0; i < 4; i++) {
        int rc = link_get(&mover->host, 0, names[i], out);
        if (rc == 0 && is_same_function(record, out) && is_same_make(record, out))
            return 0;
        if (rc < 0 && rc != -ENODEV)
            return rc;
    }
    return -ENODEV;
}

/*
 * By its number, else as any link is recognised. Hardware is known by its PCI address
 * and permanent MAC; another link's MAC may be shared with a twin that never left.
 */
static int find_on_host(struct mover *mover, struct link *out)
{
    const struct record *record = &mover->record;
    struct identity identity = {.ifindex = record->link.ifindex,
                                .mac = *link_identity_mac(&record->link)};
    char found[256];
    struct text why;

    int rc = find_by_number(mover, out);
    if (rc != -ENODEV)
        return rc;
    memcpy(identity.name, record->link.name, sizeof identity.name);
    memcpy(identity.pci, record->link.pci, sizeof identity.pci);
    memcpy(identity.kind, record->link.kind, sizeof identity.kind);
    text_init(&why, found, sizeof found);
    rc = link_identify(&mover->host, &identity, out, &why);
    if (rc == -EEXIST)
        fail(mover, rc, "find the link on the host: several could be it", found);
    if (rc == -ENODEV && record->link.pci[0] != '\0')
        rc = find_by_name(mover, out);
    bool hardware = record->link.pci[0] != '\0' || record->link.permanent.length > 0;
    return rc == 0 && !hardware && !name_is_ours(record, out->name) ? -ENODEV : rc;
}

/* ------------------------------------------------------------------- moving */

static bool name_is_free(struct mover *mover, const char *name)
{
    static struct link taken;

    return link_get(&mover->host, 0, name, &taken) == -ENODEV;
}

/* Takes off what the pod put on the link and what would clash on the host. */
static void clean_in_pod(struct mover *mover, struct nl *pod, const struct link *link)
{
    const struct record *record = &mover->record;
    static struct request request;
    const struct ifinfomsg info = {.ifi_index = link->ifindex};

    for (size_t i = 0; i < link->altname_count; i++)
        if (!link_has_altname(&record->link, link->altnames[i]) ||
            !name_is_free(mover, link->altnames[i]))
            link_altname(pod, link->ifindex, link->altnames[i], false);
    if (mac_equal(&link->mac, &record->link.mac) || record->link.mac.length == 0)
        return;
    /* So that the link can be told by its MAC, should we be killed on the way. */
    link_set_flags(pod, link->ifindex, 0, IFF_UP);
    nl_start(&request, RTM_SETLINK, 0, &info, sizeof info);
    nl_put(&request, IFLA_ADDRESS, record->link.mac.bytes, record->link.mac.length);
    nl_call(pod, &request);
}

static int move_home(struct mover *mover, struct nl *pod, const struct link *link, struct link *out)
{
    const struct record *record = &mover->record;
    int number = link->ifindex == record->link.ifindex ? 0 : record->link.ifindex;
    char spare[IFNAMSIZ];
    const char *name = record->link.name;
    struct text text;

    if (!name_is_free(mover, name)) {
        text_init(&text, spare, sizeof spare);
        text_put(&text, "ndp");
        text_put_unsigned(&text, (uint64_t)record->link.ifindex);
        name = spare;
    }
    int rc = link_move(pod, link->ifindex, mover->own, name, number);
    if (number != 0 && (rc == -EBUSY || rc == -EINVAL))
        rc = link_move(pod, link->ifindex, mover->own, name, 0);
    if (rc < 0)
        return fail_netlink(mover, rc, "move the link home", pod);
    return link_get(&mover->host, 0, name, out);
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
    int netns = open_pod(mover);
    if (netns < 0)
        return find_on_host(mover, out);
    int rc = netns_open_socket(netns, mover->own, &pod);
    if (rc == 0) {
        rc = find_in_pod(&mover->record, &pod, &in_pod);
        if (rc == 0) {
            clean_in_pod(mover, &pod, &in_pod);
            rc = move_home(mover, &pod, &in_pod, out);
        } else if (rc == -ENODEV) {
            rc = find_on_host(mover, out);
        }
        nl_close(&pod);
    }
    close(netns);
    return rc;
}
