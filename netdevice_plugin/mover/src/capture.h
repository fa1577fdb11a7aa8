#ifndef NDM_CAPTURE_H
#define NDM_CAPTURE_H

#include "message.h"

/* Dumps all things of one sort on a link into `out`, in the order that they are to be added. */
int messages_capture(struct nl *nl, enum thing thing, int ifindex, struct list *out);

/* The nexthop groups that hold one of the nexthops in `list` go behind them. */
int messages_capture_groups(struct nl *nl, struct list *list);

/* Dumps the routes of a family that `wanted` is true of, through whatever link, behind `out`. */
typedef bool (*route_wanted)(struct item route, const void *arg);
int routes_select(struct nl *nl, uint8_t family, route_wanted wanted, const void *arg,
                  struct list *out);

#endif
