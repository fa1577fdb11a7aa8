#ifndef NDM_TUNE_H
#define NDM_TUNE_H

#include "lend.h"
#include "link.h"

/* What --sysctl, --feature, --ring and --channels ask for. */

/* Notes in the record what the driver is set to, as far as that will be changed. */
int driver_prepare(struct mover *mover);
/* While the link is down: a NIC that is up would start anew for each change. */
int driver_set(struct mover *mover, struct pod *pod, const char *name);

/*
 * Before the link has addresses, which may depend on it, and once more, `late`, when it
 * is up: one with a small MTU has settings of IPv6 no sooner, and an address may have
 * switched IPv6 on. Reads the link anew, as it shows them.
 */
int sysctls_set(struct mover *mover, struct pod *pod, struct link *link, bool late);

#endif
