/* Home again: the link is made what it was. */

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <unistd.h>

#include "born.h"
#include "clock.h"
#include "describe.h"
#include "ethtool.h"
#include "fetch.h"
#include "link.h"
#include "mend.h"
#include "mover.h"
#include "netns.h"
#include "rdma.h"
#include "route.h"
#include "sysctl.h"
#include "vf.h"

/* Flags that somebody sets; the others are the kernel's. */
#define SET_FLAGS                                                                        \
    (IFF_PROMISC | IFF_ALLMULTI | IFF_NOARP | IFF_DEBUG | IFF_NOTRAILERS | IFF_DYNAMIC | \
     IFF_MULTICAST | IFF_PORTSEL | IFF_AUTOMEDIA)

uint64_t elapsed_since(uint64_t recorded)
{
    uint64_t now = clock_read(CLOCK_BOOTTIME, 1);

    return now < recorded ? 0 : now - recorded;
}

/* All of it is tried; what fails is noted, and the device is stranded. */
struct restore {
    struct mover *mover;
    struct link *now;
    int rc;
};

static void note(struct restore *restore, int rc, const char *step, const char *subject)
{
    char reason[256];
    struct text text;

    if (rc == 0)
        return;
    text_init(&text, reason, sizeof reason);
    text_put(&text, subject);
    text_put(&text, subject[0] == '\0' ? "" : ": ");
    text_put(&text, strerror(-rc));
    if (restore->mover->host.why[0] != '\0') {
        text_put(&text, ": ");
        text_put(&text, restore->mover->host.why);
    }
    fail(restore->mover, rc, step, reason);
    restore->rc = -EUCLEAN;
}

static void note_vf(void *arg, int rc, const char *what)
{
    struct restore *restore = arg;

    note(restore, rc, "give the VF its settings back", what);
}

static void restore_names(struct restore *restore)
{
    struct nl *host = &restore->mover->host;
    const struct link *was = &restore->mover->record.link;
    struct link *now = restore->now;

    for (size_t i = 0; i < now->altname_count; i++)
        if (!link_has_altname(was, now->altnames[i]))
            note(restore, link_altname(host, now->ifindex, now->altnames[i], false),
                 "take an altname off", now->altnames[i]);
    if (strcmp(now->name, was->name) != 0) {
        if (now->flags & IFF_UP) /* older kernels rename no link that is up */
            link_set_flags(host, now->ifindex, 0, IFF_UP);
        int rc = link_rename(host, now->ifindex, was->name);
        note(restore, rc, "give the link its name back", was->name);
        if (rc == 0)
            memcpy(now->name, was->name, sizeof now->name);
    }
    for (size_t i = 0; i < was->altname_count; i++)
        if (!link_has_altname(now, was->altnames[i]))
            note(restore, link_altname(host, now->ifindex, was->altnames[i], true),
                 "give the link its altname back", was->altnames[i]);
}

static void restore_attributes(struct restore *restore)
{
    static struct request request;
    struct nl *host = &restore->mover->host;
    const struct link *was = &restore->mover->record.link, *now = restore->now;
    const uint32_t changed = (was->flags ^ now->flags) & SET_FLAGS;
    bool mac = was->mac.length > 0 && !mac_equal(&was->mac, &now->mac);

    if (mac && now->flags & IFF_UP) /* not every driver changes it while up */
        note(restore, link_set_flags(host, now->ifindex, 0, IFF_UP), "set the link down", "");
    link_change(&request, now->ifindex, was->flags & SET_FLAGS, changed);
    size_t empty = request.head.nlmsg_len;
    if (mac)
        nl_put(&request, IFLA_ADDRESS, was->mac.bytes, was->mac.length);
    if (was->mtu != now->mtu)
        nl_put_u32(&request, IFLA_MTU, was->mtu);
    if (was->txqlen != now->txqlen)
        nl_put_u32(&request, IFLA_TXQLEN, was->txqlen);
    if (was->group != now->group)
        nl_put_u32(&request, IFLA_GROUP, was->group);
    if (strcmp(was->alias, now->alias) != 0)
        nl_put(&request, IFLA_IFALIAS, was->alias, strlen(was->alias));
    if (request.head.nlmsg_len == empty && changed == 0)
        return;
    note(restore, nl_call(host, &request),
         "give the link its MAC, MTU, queue length, group, "
         "alias and flags back",
         "");
}

static void reread(struct restore *restore)
{
    int rc = link_get(&restore->mover->host, restore->now->ifindex, NULL, restore->now);

    note(restore, rc, "read the link again", "");
}

static void restore_sysctls(struct restore *restore, bool files)
{
    char what[PATH_SIZE];
    struct text why;

    text_init(&why, what, sizeof what);
    restore->mover->host.why[0] = '\0';
    int rc = files ? sysctls_restore_files(&restore->mover->record, restore->now, &why) : 0;
    int other = sysctls_restore(&restore->mover->record, restore->now, &why);
    note(restore, rc < 0 ? rc : other, "give the link its settings back", what);
}

/* Read again from what it was, so that what the pod changed of it goes too. */
static void restore_driver(struct restore *restore)
{
    static struct setting settings[SETTINGS_MAX];
    char what[256];
    struct text why;
    struct ethtool e = {restore->mover->host.fd, restore->now->name, settings, 0, &why};

    restore->mover->host.why[0] = '\0';
    LIST_EACH(line, &restore->mover->record.ethtool)
        setting_parse_line((struct span){line.data, line.size}, &settings[e.count++]);
    for (unsigned group = SETTING_CHANNELS; group <= SETTING_FEATURE; group++) {
        text_init(&why, what, sizeof what);
        note(restore, ethtool_set(&e, group, true), "give the link its driver's settings back",
             what);
    }
}

static void restore_token(struct restore *restore)
{
    static struct request request;
    const struct link *was = &restore->mover->record.link, *now = restore->now;

    if (memcmp(was->token, now->token, sizeof was->token) == 0)
        return;
    link_change(&request, now->ifindex, 0, 0);
    size_t spec = nl_nest(&request, IFLA_AF_SPEC);
    size_t v6 = nl_nest(&request, AF_INET6);
    nl_put(&request, IFLA_INET6_TOKEN, was->token, sizeof was->token);
    nl_end_nest(&request, v6);
    nl_end_nest(&request, spec);
    note(restore, nl_call(&restore->mover->host, &request), "give the link its token back", "");
}

static void restore_things(struct restore *restore, enum thing thing, const struct list *wanted,
                           const char *step)
{
    const struct record *record = &restore->mover->record;
    char what[160];
    struct text text;
    struct item culprit;

    int rc = messages_restore(&restore->mover->host, thing, wanted, record->link.ifindex,
                              restore->now->ifindex, elapsed_since(record->recorded), &culprit);
    text_init(&text, what, sizeof what);
    if (rc < 0 && culprit.data != NULL)
        message_describe(thing, culprit, &text);
    note(restore, rc, step, what);
}

static void restore_routes(struct restore *restore)
{
    static _Alignas(8) unsigned char room[768 << 10];
    const struct record *record = &restore->mover->record;
    struct list wanted;

    list_init(&wanted, room, sizeof room);
    LIST_EACH(route, &record->routes)
        if (!route_outlives(route, &record->addresses, elapsed_since(record->recorded)))
            list_add(&wanted, route.data, route.size);
    restore_things(restore, ROUTE, &wanted, "give the link its routes back");
}

static void restore_up(struct restore *restore)
{
    struct nl *host = &restore->mover->host;
    uint32_t wanted = restore->mover->record.link.flags & IFF_UP;

    if ((restore->now->flags & IFF_UP) != wanted)
        note(restore, link_set_flags(host, restore->now->ifindex, wanted, IFF_UP),
             wanted ? "set the link up" : "set the link down", "");
}

/*
 * The order matters: a VF's settings before its MAC, settings before addresses
 * (disable_ipv6), addresses before up (so that the kernel makes no link-local one with
 * duplicate detection of its own), and again what up changes: settings (the IPv6 MTU),
 * addresses that it made.
 */
static int restore_all(struct mover *mover, struct link *now)
{
    struct restore restore = {mover, now, 0};
    const struct record *record = &mover->record;

    restore_names(&restore);
    vf_restore(mover, note_vf, &restore);
    note(&restore, vf_take_own_mac(mover, now), "give the VF its MAC back", "");
    restore_attributes(&restore);
    restore_driver(&restore);
    reread(&restore);
    restore_sysctls(&restore, true);
    restore_things(&restore, ADDRESS, &record->addresses, "give the link its addresses back");
    if ((now->flags ^ record->link.flags) & IFF_UP) {
        restore_up(&restore);
        reread(&restore);
        restore_sysctls(&restore, false);
        restore_things(&restore, ADDRESS, &record->addresses, "give the link its addresses back");
    }
    restore_token(&restore);
    restore_things(&restore, NEIGHBOUR, &record->neighbours, "give the link its neighbours back");
    restore_things(&restore, NEXTHOP, &record->nexthops, "give the link its nexthops back");
    restore_routes(&restore);
    return restore.rc;
}

/* ------------------------------------------------------------------- all of it */

static void keep_error(struct mover *mover, enum phase phase)
{
    struct span line = {mover->error.data, mover->error.length};

    mover->record.phase = phase;
    if (span_copy(line, mover->record.error, sizeof mover->record.error) < 0)
        mover->record.error[0] = '\0';
    write_record(mover);
}

/*
 * It is nowhere. Its record waits for it, unless another NIC has its slot and its name by
 * now, which nobody could use then, and no holder is left.
 */
static int lose(struct mover *mover)
{
    struct record *record = &mover->record;
    bool replaced = is_replaced(mover);

    drop_dead_holders(mover, "");
    fail(mover, -ENODEV, "bring the link home",
         replaced ? "it is gone, and another NIC, which is left alone, has its name and PCI address"
                  : "it is neither in the pod's network namespace nor on the host");
    replaced &= record->holder_count == 0;
    if (!replaced)
        keep_error(mover, PHASE_LOST);
    pin_unmount(record->pin);
    if (replaced && record_remove(mover->options->run_dir, record->device) == 0)
        record->phase = PHASE_NONE;
    return -ENODEV;
}

/* Full or read-only: then the link comes home without a note of it. */
static void note_returning(struct mover *mover)
{
    mover->record.phase = PHASE_RETURNING;
    record_write(mover->options->run_dir, &mover->record);
}

/* Nothing is in the pod any more; `rc` says whether the link is all that it was. */
static int end_loan(struct mover *mover, int rc)
{
    struct record *record = &mover->record;
    int unpinned = pin_unmount(record->pin);

    if (unpinned < 0)
        fail(mover, unpinned, "unmount the pin", NULL);
    if (rc < 0) {
        keep_error(mover, PHASE_STRANDED);
        return rc;
    }
    rc = record_remove(mover->options->run_dir, record->device);
    if (rc < 0)
        return fail(mover, rc, "remove the record", NULL);
    record->phase = PHASE_NONE;
    mover->moved = true;
    if (unpinned == 0)
        forget_error(mover);
    return unpinned;
}

int bring_home(struct mover *mover)
{
    struct record *record = &mover->record;
    static struct link link;

    bool ended = born_is_nowhere(record);
    int rc = ended ? 0 : check_pin(mover);
    if (rc < 0)
        return rc;
    if (record->phase != PHASE_ATTACHING && record->phase != PHASE_RETURNING)
        note_returning(mover);
    int rdma = rdma_home(mover);
    rc = ended ? 0 : fetch(mover, &link);
    if (rc == -ENODEV && is_born(record)) {
        rc = 0;
        ended = true;
        record->pod_ifindex = 0;
        note_returning(mover);
    }
    if (rc == -ENODEV)
        return lose(mover);
    if (rc < 0) {
        fail(mover, rc, "bring the link home", NULL);
        keep_error(mover, record->phase);
        return rc;
    }
    rc = ended ? 0 : restore_all(mover, &link);
    return end_loan(mover, rc < 0 ? rc : rdma);
}
