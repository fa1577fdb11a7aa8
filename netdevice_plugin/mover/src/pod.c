/* What we make in a pod, and its end. */

#include "pod.h"

#include <errno.h>

#include "message.h"
#include "uppers.h"

int pod_prepare(struct mover *mover, struct pod *pod)
{
    int rc = vlan_prepare(mover, pod);

    if (rc == 0)
        rc = vrf_prepare(mover, pod);
    if (rc == 0)
        rc = gateway_prepare(mover, pod);
    return rc == 0 ? rules_prepare(mover) : rc;
}

/* It is not there any more, or what it needs is not: then the pod, or the kernel, removed it. */
static bool is_gone(int rc)
{
    return rc == -ENOENT || rc == -ESRCH || rc == -ENODEV || rc == -EEXIST || rc == -ETIME ||
           rc == -ENETDOWN || rc == -ENETUNREACH || rc == -EHOSTUNREACH || rc == -EAFNOSUPPORT;
}

/*
 * The kernel removes the first rule that has all that is asked for, and that may be another
 * one of ours which has more: each is asked for until there is none, but not for ever.
 */
static void undo_messages(struct mover *mover, struct nl *pod, enum thing thing, enum change change,
                          struct list *list, uint64_t elapsed)
{
    LIST_EACH(item, list) {
        size_t again = thing == RULE ? list->count : 0;
        int rc;
        do
            rc = message_send(pod, thing, change, item, 0, 0, elapsed);
        while (rc == 0 && again-- > 0);
        if (rc < 0 && !is_gone(rc))
            fail_message(mover, pod, rc, "undo in the pod the ", thing, item);
    }
    list_clear(list);
}

void pod_undo(struct mover *mover, struct nl *pod, int ifindex)
{
    struct record *record = &mover->record;

    undo_messages(mover, pod, RULE, REMOVE, &record->pod_rules, 0);
    undo_messages(mover, pod, ROUTE, ADD, &record->pod_defaults, elapsed_since(record->recorded));
    int rc = ifindex == 0 ? 0 : uppers_remove(pod, ifindex);
    if (rc < 0)
        fail_netlink(mover, rc, "remove in the pod what stands on the link", pod);
    rc = record->pod_vrf[0] == '\0' ? 0 : vrf_leave(pod, record->pod_vrf, ifindex);
    if (rc < 0 && !is_gone(rc))
        fail_netlink(mover, rc, "undo in the pod the VRF", pod);
    record->pod_vlan[0] = '\0';
    record->pod_vrf[0] = '\0';
}
