/* A default route through the link, and the pod's own. */

#include <errno.h>
#include <sys/socket.h>

#include "capture.h"
#include "describe.h"
#include "parts.h"
#include "pod.h"
#include "route.h"

static uint32_t metric_of(const struct route_arg *arg)
{
    return arg->metric == 0 && arg->destination.family == AF_INET6 ? 1024 : arg->metric;
}

static bool is_of_a_device(struct rtmsg header)
{
    return header.rtm_protocol == OUR_PROTOCOL;
}

/*
 * Whether a route of the pod is in the way of a default route that it is to get: with
 * --gateway one that would be taken before ours, else one in the very same place. So too
 * one of another device's --gateway, which would not come back if that device left first.
 */
static bool is_in_the_way(struct item route, const void *arg)
{
    const struct options *options = arg;
    struct rtmsg header = header_of(ROUTE, route).route;

    if (header.rtm_dst_len != 0 || header.rtm_src_len != 0 || header.rtm_tos != 0)
        return false;
    for (size_t i = 0; i < options->route_count; i++) {
        const struct route_arg *ours = &options->routes[i];
        if (ours->destination.prefix != 0 || ours->destination.family != header.rtm_family ||
            ours->table != route_table(route))
            continue;
        uint32_t metric = route_metric(route);
        if (options->gateway && !is_of_a_device(header) ? metric <= metric_of(ours)
                                                        : metric == metric_of(ours))
            return true;
    }
    return false;
}

static int fail_taken(struct mover *mover, struct item route)
{
    char reason[200];
    struct text text;

    text_init(&text, reason, sizeof reason);
    text_put(&text, "the pod has the ");
    message_describe(ROUTE, route, &text);
    text_put(&text, is_of_a_device(header_of(ROUTE, route).route)
                        ? " already, by another device's --gateway; ask for another metric or table"
                        : " already; ask for --gateway, or for another metric or table");
    return fail(mover, -EEXIST, "look for default routes in the pod", reason);
}

int gateway_prepare(struct mover *mover, struct pod *pod)
{
    const struct options *options = mover->options;
    struct list *found = &mover->record.pod_defaults;
    bool wanted[2] = {false};
    int rc = 0;

    for (size_t i = 0; i < options->route_count; i++)
        if (options->routes[i].destination.prefix == 0)
            wanted[options->routes[i].destination.family == AF_INET6] = true;
    for (size_t i = 0; i < 2 && rc == 0; i++)
        if (wanted[i])
            rc =
                routes_select(&pod->nl, i == 0 ? AF_INET : AF_INET6, is_in_the_way, options, found);
    if (rc < 0)
        return fail_netlink(mover, rc, "look for default routes in the pod", &pod->nl);
    LIST_EACH(route, found)
        if (!options->gateway || is_of_a_device(header_of(ROUTE, route).route))
            return fail_taken(mover, route);
    return 0;
}

/* Once ours are there: the pod is at no time without one. */
int gateway_take(struct mover *mover, struct pod *pod)
{
    LIST_EACH(route, &mover->record.pod_defaults) {
        int rc = message_send(&pod->nl, ROUTE, REMOVE, route, 0, 0, 0);
        if (rc < 0 && rc != -ESRCH)
            return fail_message(mover, &pod->nl, rc, "take the place in the pod of the ", ROUTE,
                                route);
    }
    return 0;
}
