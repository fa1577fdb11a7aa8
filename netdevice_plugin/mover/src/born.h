#ifndef NDM_BORN_H
#define NDM_BORN_H

#include "lend.h"
#include "link.h"

/*
 * A link that is made in the pod, on one that stays on the host, its parent. Nothing of the
 * parent is recorded: the link has nowhere to come home to, and is deleted in its stead.
 */

/* Checks that the parent can have it, and notes it in the record. 0, or -errno. */
int born_prepare(struct mover *mover, const struct link *parent);

/* Makes it, in one request, so that it is never seen on the host. */
int born_create(struct mover *mover, struct pod *pod);

/* Deletes it; -ENODEV: it is gone. */
int born_delete(struct mover *mover, struct nl *pod, int ifindex);

/*
 * Whether it is not there yet, or not any more: then the pin need not be seen. Written down
 * before there is a pin, and before it goes.
 */
bool born_is_nowhere(const struct record *record);

/* Whether a link of the pod's that has its name and kind is it, and not the pod's own. */
bool born_is(const struct record *record, const struct link *link);

#endif
