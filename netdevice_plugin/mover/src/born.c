/* Links that are born in a pod, and die there: their parent stays on the host. */

#include "born.h"

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "pod.h"

/*
 * It is made with this group, so that a mover that was killed before it had noted the link's
 * number does not take one for it that the pod, or another device's mover, has made since.
 * No rule has this number, see rules.c: one that had would lead nowhere by this link.
 */
static uint32_t group_of(const char *device)
{
    return device_number(device) >> 1;
}

bool born_is(const struct record *record, const struct link *link)
{
    return link->group == group_of(record->device);
}

bool born_is_nowhere(const struct record *record)
{
    return is_born(record) && record->phase == PHASE_RETURNING && record->pod_ifindex == 0;
}

/* What the kernel says to neither, or late, or to one kind alone. */
int born_prepare(struct mover *mover, const struct link *parent)
{
    const struct options *options = mover->options;
    struct record *record = &mover->record;

    if (!(parent->flags & IFF_UP) && !options->keep_down)
        return fail(mover, -ENETDOWN, "check the parent", "it is down; set it up first");
    if (options->mtu > parent->mtu)
        return fail(mover, -EINVAL, "check the parent", "--mtu is more than its own MTU");
    mover->parent = parent->ifindex;
    memcpy(record->born, options->create.kind, sizeof record->born);
    memcpy(record->link.name, record->pod_name, sizeof record->link.name);
    return 0;
}

static int fail_create(struct mover *mover, int rc)
{
    char subject[300];
    struct text text;

    text_init(&text, subject, sizeof subject);
    text_put(&text, mover->options->create.kind);
    text_put(&text, " on ");
    text_put(&text, mover->options->link);
    if (rc == -EEXIST && mover->options->create.sort == CREATE_VLAN)
        text_put(&text, ", which has that VLAN already, on the host or in a pod");
    else if (rc == -EINVAL || rc == -EBUSY)
        text_put(&text, ", which has links of another kind or mode on it");
    text_put(&text, mover->host.why[0] == '\0' ? "" : ": ");
    text_put(&text, mover->host.why);
    return fail_about(mover, rc, "create the link in the pod", &text);
}

int born_create(struct mover *mover, struct pod *pod)
{
    static struct request request;
    const struct options *options = mover->options;
    const struct create_arg *create = &options->create;
    const uint16_t mode = (uint16_t)create->number;

    mover->record.phase = PHASE_ATTACHING;
    int rc = write_record(mover);
    if (rc < 0)
        return rc;
    link_start(&request, options->as, mover->parent, group_of(options->device));
    nl_put_u32(&request, IFLA_NET_NS_FD, (uint32_t)pod->netns);
    if (options->mac.length != 0)
        nl_put(&request, IFLA_ADDRESS, options->mac.bytes, options->mac.length);
    struct nests nests = link_nest(&request, create->kind);
    switch (create->sort) {
    case CREATE_MACVLAN:
        nl_put_u32(&request, IFLA_MACVLAN_MODE, create->number);
        break;
    case CREATE_IPVLAN:
        nl_put(&request, IFLA_IPVLAN_MODE, &mode, sizeof mode);
        nl_put(&request, IFLA_IPVLAN_FLAGS, &create->flag, sizeof create->flag);
        break;
    default:
        link_put_vlan(&request, create->number, create->flag);
    }
    rc = link_make(&mover->host, &request, nests);
    return rc < 0 ? fail_create(mover, rc) : 0;
}

int born_delete(struct mover *mover, struct nl *pod, int ifindex)
{
    int rc = link_remove(pod, ifindex);

    if (rc == 0 || rc == -ENODEV)
        return -ENODEV;
    return fail_netlink(mover, rc, "delete the link in the pod", pod);
}
