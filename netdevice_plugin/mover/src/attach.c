/* Lending: the link from the host into the pod. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "born.h"
#include "clock.h"
#include "lend.h"
#include "link.h"
#include "mover.h"
#include "netns.h"
#include "rdma.h"
#include "vf.h"

/* ------------------------------------------------------------------ holders */

int add_holder(struct mover *mover)
{
    struct record *record = &mover->record;
    const struct oci_state *state = &mover->state;
    struct holder *holder = record_holder(record, state->id);

    bool only = record->holder_count == (holder != NULL);
    if (holder == NULL && record->holder_count == RECORD_HOLDERS)
        return fail(mover, -E2BIG, "enter the container as a holder",
                    "16 containers of this pod hold the device already");
    if (!only && !sees_holders(mover))
        return fail(mover, -EXDEV, "enter the container as a holder",
                    "the other containers that hold the device are of another PID namespace, and "
                    "one record can be of one alone");
    if (only)
        record->pidns = mover->pidns;
    if (holder == NULL)
        holder = &record->holders[record->holder_count++];
    memset(holder, 0, sizeof *holder);
    int rc = process_start(state->pid, &holder->start);
    if (rc < 0)
        return fail(mover, rc, "look at the container's process", NULL);
    memcpy(holder->id, state->id, sizeof holder->id);
    holder->pid = state->pid;
    holder->since = clock_read(CLOCK_REALTIME, 1);
    memcpy(holder->pod_uid, state->pod_uid, sizeof holder->pod_uid);
    memcpy(holder->container, state->container, sizeof holder->container);
    memcpy(holder->pod_name, state->pod_name, sizeof holder->pod_name);
    memcpy(holder->pod_namespace, state->pod_namespace, sizeof holder->pod_namespace);
    return 0;
}

/* Live holders other than this container, as process_wait() wants them. */
static size_t others_alive(const struct mover *mover, int pids[RECORD_HOLDERS])
{
    const struct record *record = &mover->record;
    size_t count = 0;

    for (size_t i = 0; i < record->holder_count; i++)
        if (strcmp(record->holders[i].id, mover->state.id) != 0 &&
            holder_lives(mover, &record->holders[i]))
            pids[count++] = record->holders[i].pid;
    return count;
}

static void put_holders(struct text *text, const struct mover *mover)
{
    for (size_t i = 0; i < mover->record.holder_count; i++) {
        const struct holder *holder = &mover->record.holders[i];
        if (!holder_lives(mover, holder))
            continue;
        text_put(text, "container ");
        text_put_quoted(text, span_of(holder->id));
        if (holder->pod_name[0] != '\0') {
            text_put(text, " of pod ");
            text_put_quoted(text, span_of(holder->pod_namespace));
            text_put_char(text, '/');
            text_put_quoted(text, span_of(holder->pod_name));
        }
        text_put(text, " (pid ");
        text_put_unsigned(text, (uint64_t)holder->pid);
        text_put(text, "); ");
    }
}

int fail_held(struct mover *mover)
{
    char reason[RECORD_ERROR_SIZE];
    struct text text;

    text_init(&text, reason, sizeof reason);
    text_put(&text, "it is held by ");
    put_holders(&text, mover);
    if (!sees_holders(mover))
        text_put(&text, "whether that lives cannot be told in this PID namespace, which is not "
                        "the one of its runtime: run this on the host; ");
    text_put(&text, "`netdevice-plugin status` shows it");
    mover->held = true;
    return fail(mover, -EBUSY, "take the device", reason);
}

/* One link has one name, and its first container was promised another. */
static int fail_other_name(struct mover *mover)
{
    char reason[RECORD_ERROR_SIZE];
    struct text text;

    text_init(&text, reason, sizeof reason);
    text_put(&text, "this pod has it as ");
    text_put(&text, mover->record.pod_name);
    text_put(&text, ", used by ");
    put_holders(&text, mover);
    text_put(&text, "ask for it under the same name");
    return fail(mover, -EEXIST, "share the device", reason);
}

/* ------------------------------------------------------------------ the pod */

static int open_pod(struct mover *mover, struct pod *pod)
{
    struct nsid own;

    pod->nl.fd = -1;
    pod->netns = -1;
    if (mover->state.pid == 0)
        return fail(mover, -EINVAL, "find the pod", "the OCI state names no process (pid)");
    pod->netns = netns_of_process(mover->state.pid);
    if (pod->netns < 0)
        return fail(mover, pod->netns, "open the network namespace of the container's process",
                    NULL);
    int rc = netns_identity(pod->netns, &pod->id);
    if (rc == 0)
        rc = netns_identity(mover->own, &own);
    if (rc < 0)
        return fail(mover, rc, "look at the network namespaces", NULL);
    if (nsid_equal(pod->id, own))
        return fail(mover, -EINVAL, "find the pod",
                    "the container uses the host's own network namespace (hostNetwork), where the "
                    "link is already; give it one of its own or do not ask for the device");
    rc = netns_open_socket(pod->netns, mover->own, NETLINK_ROUTE, &pod->nl);
    return rc < 0 ? fail(mover, rc, "open a socket in the pod", NULL) : 0;
}

static void close_pod(struct pod *pod)
{
    nl_close(&pod->nl);
    if (pod->netns >= 0)
        close(pod->netns);
}

static bool is_in(const struct record *record, const struct pod *pod)
{
    return nsid_equal(record->netns, pod->id);
}

/*
 * The link is in this pod already: a restart, or another container of the pod.
 * -ENODEV: it should be, but is not.
 */
static int share(struct mover *mover, struct pod *pod)
{
    struct record *record = &mover->record;
    static struct link link;
    int pids[RECORD_HOLDERS];

    int rc = link_get(&pod->nl, record->pod_ifindex, NULL, &link);
    if (rc < 0)
        return rc;
    if (strcmp(record->pod_name, mover->options->as) != 0 && others_alive(mover, pids) > 0)
        return fail_other_name(mover);
    if (strcmp(link.name, mover->options->as) != 0) {
        rc = link_rename(&pod->nl, link.ifindex, mover->options->as);
        if (rc < 0)
            return fail_netlink(mover, rc, "give the link its name in the pod again", &pod->nl);
        memcpy(record->pod_name, mover->options->as, strlen(mover->options->as) + 1);
    }
    rc = add_holder(mover);
    return rc < 0 ? rc : write_record(mover);
}

/* ---------------------------------------------------------------------- lending */

/* Whatever we came to, all of it; what cannot be undone is said behind what failed. */
static void undo(struct mover *mover)
{
    char first[RECORD_ERROR_SIZE], second[RECORD_ERROR_SIZE];
    struct text *error = &mover->error;

    memcpy(first, error->data, error->length + 1);
    text_init(error, mover->error_text, sizeof mover->error_text);
    mover->record.phase = PHASE_ATTACHING;
    mover->record.pod_ifindex = 0;
    int rc = bring_home(mover);
    memcpy(second, error->data, error->length + 1);
    text_init(error, mover->error_text, sizeof mover->error_text);
    text_put(error, first);
    if (rc < 0 || second[0] != '\0') {
        text_put(error, "; and then: ");
        text_put(error, second);
    }
}

static int move(struct mover *mover, struct pod *pod)
{
    const struct record *record = &mover->record;
    const struct link *link = &record->link;
    int rc = 0;

    if (is_born(record))
        return born_create(mover, pod);
    /* A link cannot take a name that it has as an altname; it gets that back at home. */
    if (link_has_altname(link, record->pod_name))
        rc = link_altname(&mover->host, link->ifindex, record->pod_name, false);
    if (rc == 0)
        rc = link_move(&mover->host, link->ifindex, pod->netns, record->pod_name, 0);
    return rc < 0 ? fail_netlink(mover, rc, "move the link to the pod", &mover->host) : 0;
}

static int lend(struct mover *mover, struct pod *pod)
{
    struct record *record = &mover->record;

    int rc = prepare(mover, pod);
    if (rc < 0)
        return rc;
    rc = pin_mount(record->pin, pod->netns);
    if (rc < 0)
        fail(mover, rc, "pin the pod's network namespace", NULL);
    else
        rc = vf_set(mover);
    if (rc == 0)
        rc = rdma_move(mover, pod);
    if (rc == 0)
        rc = move(mover, pod);
    if (rc == 0)
        rc = configure(mover, pod);
    if (rc < 0)
        undo(mover);
    else
        mover->moved = true;
    return rc;
}

static uint64_t milliseconds(void)
{
    return clock_read(CLOCK_MONOTONIC, 1000);
}

/*
 * Waits for a live holder to end, without the lock: its own detach may be on its
 * way. -EAGAIN: look again; -EBUSY: time is up.
 */
static int wait_for_holder(struct mover *mover, const int *pids, size_t count, uint64_t deadline)
{
    uint64_t now = milliseconds();

    if (now >= deadline)
        return fail_held(mover);
    unlock_device(mover);
    /* The numbers of processes that we do not see are those of others here. */
    int rc = process_wait(pids, sees_holders(mover) ? count : 0, (int)(deadline - now));
    if (rc < 0 && rc != -ETIMEDOUT)
        return fail(mover, rc, "wait for the holder to end", NULL);
    rc = lock_device(mover);
    if (rc == 0)
        rc = read_record(mover);
    return rc < 0 ? rc : -EAGAIN;
}

/*
 * What an earlier mover left of this device. 0: it is at home, lend it; 1: this
 * pod has it; -EAGAIN: look again.
 */
static int settle(struct mover *mover, struct pod *pod, uint64_t deadline)
{
    struct record *record = &mover->record;
    int pids[RECORD_HOLDERS];

    if (record->phase == PHASE_NONE)
        return 0;
    if (record->phase == PHASE_ATTACHED) {
        if (is_in(record, pod)) {
            drop_dead_holders(mover, mover->state.id);
            int rc = share(mover, pod);
            if (rc != -ENODEV)
                return rc < 0 ? rc : 1;
        }
        size_t count = others_alive(mover, pids);
        if (count > 0 && !is_in(record, pod))
            return wait_for_holder(mover, pids, count, deadline);
    }
    bool was_lost = record->phase == PHASE_LOST;
    int rc = bring_home(mover);
    if (rc == 0)
        forgive(mover); /* what could not be undone in a pod that had it before */
    if (rc == -ENODEV && (was_lost || record->phase == PHASE_NONE)) {
        /* Lost before, or its name is another link's by now: the arguments decide. */
        forgive(mover);
        rc = record_remove(mover->options->run_dir, record->device);
        record->phase = PHASE_NONE;
    }
    return rc;
}

int attach(struct mover *mover)
{
    uint64_t deadline = milliseconds() + mover->options->wait_ms;
    struct pod pod;

    int rc = open_pod(mover, &pod);
    if (rc == 0)
        rc = lock_device(mover);
    if (rc == 0)
        rc = read_record(mover);
    if (rc == 0) {
        do
            rc = settle(mover, &pod, deadline);
        while (rc == -EAGAIN);
        if (rc == 0)
            rc = lend(mover, &pod);
    }
    close_pod(&pod);
    if (rc >= 0)
        forget_error(mover);
    return rc >= 0 ? EXIT_DONE : mover->held ? EXIT_HELD : EXIT_FAILED;
}
