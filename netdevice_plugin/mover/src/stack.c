/* Links of the pod's that ours stands on, or under: a VRF and a VLAN. */

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "pod.h"

/*
 * The group of a VRF that we made, "ndpv". Its alias tells people, but cannot be set as
 * it is made: a mover that is killed just then would leave one that nobody removes.
 */
#define OUR_GROUP 0x6e647076
#define OUR_ALIAS "netdevice-plugin"

/* ------------------------------------------------------------------- VLAN */

int vlan_prepare(struct mover *mover, struct pod *pod)
{
    const struct vlan_arg *vlan = &mover->options->vlan;

    if (vlan->id == 0)
        return 0;
    memcpy(mover->record.pod_vlan, vlan->name, sizeof vlan->name);
    return check_name(mover, pod, vlan->name);
}

int vlan_add(struct mover *mover, struct pod *pod, int below, struct link *out)
{
    static struct request request;
    const struct vlan_arg *vlan = &mover->options->vlan;

    link_start(&request, vlan->name, below, 0);
    struct nests nests = link_nest(&request, "vlan");
    link_put_vlan(&request, vlan->id, vlan->protocol);
    int rc = link_make(&pod->nl, &request, nests);
    if (rc == 0)
        rc = link_get(&pod->nl, 0, vlan->name, out);
    return rc < 0 ? fail_netlink(mover, rc, "create the VLAN in the pod", &pod->nl) : 0;
}

/* -------------------------------------------------------------------- VRF */

static int fail_vrf(struct mover *mover, int rc, const char *why)
{
    char reason[160];
    struct text text;

    text_init(&text, reason, sizeof reason);
    text_put(&text, "the pod has a link named ");
    text_put(&text, mover->options->vrf.name);
    text_put(&text, why);
    return fail(mover, rc, "look for the VRF in the pod", reason);
}

/* -ENODEV: there is none of that name; any other failure is noted. */
static int find_vrf(struct mover *mover, struct pod *pod, struct link *out)
{
    const struct vrf_arg *wanted = &mover->options->vrf;
    int rc = link_get(&pod->nl, 0, wanted->name, out);

    if (rc < 0)
        return rc == -ENODEV ? rc
                             : fail_netlink(mover, rc, "look for the VRF in the pod", &pod->nl);
    if (strcmp(out->kind, "vrf") != 0)
        return fail_vrf(mover, -EEXIST, " already, which is no VRF; choose another name");
    if (out->vrf_table != wanted->table)
        return fail_vrf(mover, -EEXIST, " already, a VRF of another table; choose another name");
    return 0;
}

int vrf_prepare(struct mover *mover, struct pod *pod)
{
    static struct link vrf;
    const struct vrf_arg *wanted = &mover->options->vrf;

    if (wanted->table == 0)
        return 0;
    memcpy(mover->record.pod_vrf, wanted->name, sizeof wanted->name);
    int rc = find_vrf(mover, pod, &vrf);
    return rc == -ENODEV ? 0 : rc;
}

static int make_vrf(struct nl *pod, const struct vrf_arg *wanted)
{
    static struct request request;

    link_start(&request, wanted->name, 0, OUR_GROUP);
    struct nests nests = link_nest(&request, "vrf");
    nl_put_u32(&request, IFLA_VRF_TABLE, wanted->table);
    int rc = link_make(pod, &request, nests);
    return rc == -EEXIST ? 0 : rc; /* another device's mover was quicker */
}

/* Whoever made it, and was killed just then. */
static int set_up_vrf(struct nl *pod, const struct link *vrf)
{
    static struct request request;

    if (vrf->group != OUR_GROUP || vrf->flags & IFF_UP)
        return 0;
    link_change(&request, vrf->ifindex, IFF_UP, IFF_UP);
    nl_put(&request, IFLA_IFALIAS, OUR_ALIAS, sizeof OUR_ALIAS - 1);
    return nl_call(pod, &request);
}

/* Before it has addresses: the kernel takes IPv6 ones off a link that becomes a port. */
int vrf_join(struct mover *mover, struct pod *pod, int ifindex)
{
    static struct link vrf;
    static struct request request;

    int rc = find_vrf(mover, pod, &vrf);
    if (rc == -ENODEV)
        rc = make_vrf(&pod->nl, &mover->options->vrf);
    if (rc == 0)
        rc = find_vrf(mover, pod, &vrf);
    if (rc == 0)
        rc = set_up_vrf(&pod->nl, &vrf);
    if (rc < 0)
        return fail_netlink(mover, rc, "create the VRF in the pod", &pod->nl);
    link_change(&request, ifindex, 0, 0);
    nl_put_u32(&request, IFLA_MASTER, (uint32_t)vrf.ifindex);
    rc = nl_call(&pod->nl, &request);
    return rc < 0 ? fail_netlink(mover, rc, "put the link into the VRF", &pod->nl) : 0;
}

struct ports {
    int vrf, port;
    int others;
};

static int count_port(const struct nlmsghdr *message, void *arg)
{
    struct ports *ports = arg;
    size_t size;

    if (message == NULL) {
        ports->others = 0;
        return 0;
    }
    const struct ifinfomsg *info = NLMSG_DATA(message);
    const void *attrs = message_attrs(message, sizeof *info, &size);

    ports->others += info->ifi_index != ports->port &&
                     (int)attr_u32(attr_find(attrs, size, IFLA_MASTER), 0) == ports->vrf;
    return 0;
}

static int other_ports(struct nl *pod, int vrf, int port)
{
    struct ports ports = {.vrf = vrf, .port = port};
    int rc = links_each(pod, vrf, count_port, &ports);

    return rc < 0 ? rc : ports.others;
}

int vrf_leave(struct nl *pod, const char *name, int port)
{
    static struct link vrf;

    int rc = link_get(pod, 0, name, &vrf);
    if (rc < 0 || strcmp(vrf.kind, "vrf") != 0 || vrf.group != OUR_GROUP)
        return rc;
    rc = other_ports(pod, vrf.ifindex, port);
    return rc == 0 ? link_remove(pod, vrf.ifindex) : rc < 0 ? rc : 0;
}
