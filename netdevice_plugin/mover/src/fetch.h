#ifndef NDM_FETCH_H
#define NDM_FETCH_H

#include "link.h"
#include "mover.h"

/*
 * -EXDEV, with nothing touched: the pin cannot be seen, and may be mounted all the same,
 * as these are not surely the host's mounts. To remove its file would take it away there.
 */
int check_pin(struct mover *mover);

/*
 * The link of the record on the host, brought there if need be. -ENODEV: it is surely
 * not in the pod, and not on the host, or several there could be it. With any other
 * error it may be in the pod: the pin must stay.
 */
int fetch(struct mover *mover, struct link *out);

/* Whether another NIC is on the host in the place of the record's, and under its name. */
bool is_replaced(struct mover *mover);

/* The network namespace of the record's pod. -ENOENT: it is gone for sure. */
int open_lent(struct mover *mover);

#endif
