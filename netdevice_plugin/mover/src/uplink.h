#ifndef NDM_UPLINK_H
#define NDM_UPLINK_H

#include "link.h"
#include "list.h"
#include "netlink.h"
#include "text.h"

/*
 * Whether the node is reached through a link: it, or one that is stacked on it
 * (VLAN, macvlan, a bond above that), carries a default route. The CDI file may be
 * older than the host's routes, so the mover looks again. -EPERM, and in `why` how.
 */
int uplink_check(struct nl *nl, const struct link *link, const struct list *routes,
                 struct text *why);

#endif
