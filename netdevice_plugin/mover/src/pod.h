#ifndef NDM_POD_H
#define NDM_POD_H

#include "lend.h"
#include "link.h"

/*
 * What is made in the pod that does not go away with the link: rules, a VRF, a VLAN,
 * the pod's own default routes that had to stand back. The record names it before
 * anything is touched; what the pod had is never taken for ours.
 */

/* Checks that it can be had, and notes it in the record. 0, or -errno with nothing touched. */
int pod_prepare(struct mover *mover, struct pod *pod);

/*
 * Undoes it, and removes what else stands on the link, which is `ifindex` there, 0 if it is
 * gone. What fails is noted, and all else is done; what was never made is no failure.
 */
void pod_undo(struct mover *mover, struct nl *pod, int ifindex);

/*
 * Who made a rule, as RTPROT_BOOT is ip(8): no other rule is ever taken for ours, however
 * alike. So it is with default routes of --gateway. 110 is nobody's.
 */
#define OUR_PROTOCOL 110

/* The parts, which docs/reference/mover.md explains. */
int gateway_prepare(struct mover *mover, struct pod *pod);
int gateway_take(struct mover *mover, struct pod *pod);

/* From 2^30 to 2^31 - 1, and the same whenever it is asked for. */
uint32_t device_number(const char *device);

int rules_prepare(struct mover *mover);
int rules_add(struct mover *mover, struct pod *pod);

int neighbours_add(struct mover *mover, struct pod *pod, const struct link *link);

int vlan_prepare(struct mover *mover, struct pod *pod);
int vlan_add(struct mover *mover, struct pod *pod, int below, struct link *out);

int vrf_prepare(struct mover *mover, struct pod *pod);
int vrf_join(struct mover *mover, struct pod *pod, int ifindex);
/* Removes the VRF if it is ours and has no port but `port`. */
int vrf_leave(struct nl *pod, const char *name, int port);

#endif
