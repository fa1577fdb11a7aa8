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
 * Removes them. They would go on to hear what the link hears, wherever it is: the kernel
 * moves it from under a VLAN or macvlan without a word.
 */
int uppers_remove(struct nl *nl, int ifindex);

#endif
