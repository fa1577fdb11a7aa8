#ifndef NDM_RDMA_H
#define NDM_RDMA_H

#include "lend.h"

/*
 * What --rdma asks for: the link's RDMA device goes where the link goes. Only while the
 * kernel's RDMA devices are of one network namespace each ("exclusive", see rdma-system(8));
 * else every namespace has them all, and nothing is done.
 */

/* Notes the device in the record, if it is to be moved. */
int rdma_prepare(struct mover *mover);
/* Before the link: its driver may take the link for lost otherwise. */
int rdma_move(struct mover *mover, struct pod *pod);
/* From the pod, if it is there. -EUCLEAN: it is, and stays. */
int rdma_home(struct mover *mover);

#endif
