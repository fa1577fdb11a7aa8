#ifndef NDM_FETCH_H
#define NDM_FETCH_H

#include "link.h"
#include "mover.h"

/*
 * The link of the record on the host, brought there if need be. -ENODEV: it is neither
 * in the pod nor on the host; -EEXIST: several on the host could be it.
 */
int fetch(struct mover *mover, struct link *out);

#endif
