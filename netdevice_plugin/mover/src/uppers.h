#ifndef NDM_UPPERS_H
#define NDM_UPPERS_H

#include "netlink.h"
#include "text.h"

/*
 * Links of this namespace that stand on another one: VLANs, macvlans, tunnels. They
 * are in use by the host, and a move would cut them off, reset (macvlan) or destroy
 * (vxlan) them. Writes "eth1.100, mac0" to `names`; 0 or -errno.
 */
int uppers_find(struct nl *nl, int ifindex, struct text *names);

/*
 * The ifindexes of the VLANs that stand on a link: how many there are, of which no more
 * than `max` are in `out`, or -errno.
 */
int uppers_vlans(struct nl *nl, int ifindex, int *out, int max);

#endif
