#ifndef NDM_VF_H
#define NDM_VF_H

#include "lend.h"
#include "link.h"

/*
 * What --vf asks for: settings of a virtual function (SR-IOV) that its physical
 * function's driver makes. Both are found by PCI address, as sysfs shows no link
 * under a function whose link is in a pod.
 */

/* Notes in the record what the settings are now that will be changed. */
int vf_prepare(struct mover *mover);
/* Makes them, in one request. */
int vf_set(struct mover *mover);

/* In the pod: the link takes the MAC that its PF has set for it, if one was asked for. */
int vf_take_mac(struct mover *mover, struct pod *pod, struct link *link);

/* Makes them what the record says; `report` hears what went wrong with which. */
typedef void (*vf_report)(void *arg, int rc, const char *what);
void vf_restore(struct mover *mover, vf_report report, void *arg);
/* Then: the link takes its own MAC again, if its PF had set one. Reads the link. */
int vf_take_own_mac(struct mover *mover, struct link *link);

#endif
