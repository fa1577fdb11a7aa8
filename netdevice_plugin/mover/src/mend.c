/* Making what hangs on a link equal to what a record says. */

#include "mend.h"

#include <errno.h>
#include <string.h>

#include "capture.h"

static struct item twin(enum thing thing, const struct list *list, int list_index,
                        struct item message, int index)
{
    LIST_EACH(item, list)
        if (messages_equal(thing, item, list_index, message, index))
            return item;
    return (struct item){0};
}

/* One that is there already, or whose time is over, is as good as added. */
static bool is_fine(int rc)
{
    return rc == 0 || rc == -EEXIST || rc == -ETIME;
}

/* One sort of thing on one link, on its way back to what it was. */
struct restoring {
    struct nl *nl;
    enum thing thing;
    const struct list *wanted; /* on ifindex `from`, `elapsed` seconds ago */
    int from, to;
    uint64_t elapsed;
    struct list present; /* on ifindex `to`, when last looked at */
    int rc;              /* the first error, and what it was about */
    struct item *culprit;
};

static void blame(struct restoring *r, int rc, struct item item)
{
    if (r->rc < 0)
        return;
    r->rc = rc;
    *r->culprit = item;
}

static bool is_present(const struct restoring *r, struct item item)
{
    return twin(r->thing, &r->present, r->to, item, r->from).data != NULL;
}

static int add_one(struct restoring *r, struct item item)
{
    if (r->thing == ADDRESS)
        return address_add(r->nl, item, r->from, r->to, r->elapsed);
    return message_send(r->nl, r->thing, ADD, item, r->from, r->to, r->elapsed);
}

/* A route may need another one to reach its gateway: goes on while a round adds any. */
static void add_missing(struct restoring *r)
{
    static bool done[16384];
    size_t added = 1;

    memset(done, 0, sizeof done);
    while (added > 0) {
        size_t n = 0;
        struct item failed_item = {0};
        int failed = 0;
        added = 0;
        LIST_EACH(item, r->wanted) {
            bool *is_done = &done[n++ % (sizeof done / sizeof done[0])];
            *is_done = *is_done || is_present(r, item);
            if (*is_done)
                continue;
            int rc = add_one(r, item);
            *is_done = is_fine(rc);
            added += *is_done;
            if (!*is_done && failed == 0) {
                failed = rc;
                failed_item = item;
            }
        }
        if (failed == 0)
            return;
        if (added == 0 || r->thing != ROUTE) {
            blame(r, failed, failed_item);
            return;
        }
    }
}

static int capture_all(struct nl *nl, enum thing thing, int ifindex, struct list *out)
{
    int rc = messages_capture(nl, thing, ifindex, out);

    return rc == 0 && thing == NEXTHOP ? messages_capture_groups(nl, out) : rc;
}

/* How many were taken off. */
static size_t remove_extra(struct restoring *r)
{
    size_t removed = 0;

    LIST_EACH(item, &r->present) {
        if (twin(r->thing, r->wanted, r->from, item, r->to).data != NULL)
            continue;
        int rc = message_send(r->nl, r->thing, REMOVE, item, r->to, r->to, 0);
        /* Gone already: with the address or the route that it hung on. */
        if (rc < 0 && rc != -ESRCH && rc != -ENOENT && rc != -EADDRNOTAVAIL)
            blame(r, rc, item);
        removed++;
    }
    return removed;
}

static int restore_routes(struct restoring *r)
{
    /*
     * First add: a route that the administrator took away may be what another one's
     * gateway is reached by when it is added. Then take the rest off, and add again
     * what one of those stood in the way of.
     */
    add_missing(r);
    if (remove_extra(r) == 0)
        return r->rc;
    /* What was blamed may have stood in the list that is read anew. */
    r->rc = 0;
    *r->culprit = (struct item){0};
    int rc = capture_all(r->nl, ROUTE, r->to, &r->present);
    if (rc < 0)
        return rc;
    add_missing(r);
    return r->rc;
}

int messages_restore(struct nl *nl, enum thing thing, const struct list *wanted, int from, int to,
                     uint64_t elapsed, struct item *culprit)
{
    static _Alignas(8) unsigned char room[768 << 10];
    struct restoring r = {.nl = nl,
                          .thing = thing,
                          .wanted = wanted,
                          .from = from,
                          .to = to,
                          .elapsed = elapsed,
                          .culprit = culprit};

    list_init(&r.present, room, sizeof room);
    *culprit = (struct item){0};
    int rc = capture_all(nl, thing, to, &r.present);
    if (rc < 0)
        return rc;
    if (thing == ROUTE)
        return restore_routes(&r);
    remove_extra(&r);
    add_missing(&r);
    return r.rc;
}
