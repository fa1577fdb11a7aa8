#ifndef NDM_ROUTE_H
#define NDM_ROUTE_H

#include "message.h"

/* What a route's message says of it. */

/* Of all tables; the kernel's choice of a metric is 0 for IPv4 and 1024 for IPv6. */
uint32_t route_table(struct item message);
uint32_t route_metric(struct item message);

/* A unicast default route, in whatever table. */
bool route_is_default(struct item message);
/* One that a pod can use: of the main table, by this link alone, made by no kernel and no RA. */
bool route_is_for_pod(struct item message);

/* A route that the kernel made for an address whose lifetime is over by now. */
bool route_outlives(struct item route, const struct list *addresses, uint64_t elapsed);

#endif
