/* Ending a loan: a container that ends, and an operator who takes a device back. */

#include <errno.h>
#include <string.h>

#include "mover.h"
#include "netns.h"

bool sees_holders(const struct mover *mover)
{
    const struct nsid *theirs = &mover->record.pidns;

    return theirs->inode == 0 || nsid_equal(*theirs, mover->pidns);
}

bool holder_lives(const struct mover *mover, const struct holder *holder)
{
    return !sees_holders(mover) || process_is(holder->pid, holder->start);
}

void drop_dead_holders(struct mover *mover, const char *keep)
{
    struct record *record = &mover->record;
    size_t kept = 0;

    for (size_t i = 0; i < record->holder_count; i++) {
        const struct holder *holder = &record->holders[i];
        if (strcmp(holder->id, keep) == 0 || holder_lives(mover, holder))
            record->holders[kept++] = *holder;
    }
    record->holder_count = kept;
}

/* Takes one container out of the record; false: it was not in it. */
static bool drop_holder(struct record *record, const char *id)
{
    struct holder *holder = record_holder(record, id);
    const struct holder *end = record->holders + record->holder_count;

    if (holder == NULL)
        return false;
    memmove(holder, holder + 1, (size_t)(end - holder - 1) * sizeof *holder);
    record->holder_count--;
    return true;
}

/*
 * Does something only for a container that holds the device: a runtime may call an
 * old container's poststop long after the next one has taken the link. The link
 * goes home with the last holder that is alive. What a killed mover left half done
 * is ended whoever calls: nobody holds that.
 */
static int let_go(struct mover *mover)
{
    struct record *record = &mover->record;
    bool half_done = record->phase == PHASE_ATTACHING || record->phase == PHASE_RETURNING;

    if (record->phase == PHASE_NONE)
        return 0;
    if (!drop_holder(record, mover->state.id) && !half_done)
        return 0;
    drop_dead_holders(mover, "");
    if (record->phase == PHASE_ATTACHED && record->holder_count > 0)
        return write_record(mover);
    return bring_home(mover);
}

int detach(struct mover *mover)
{
    int rc = lock_device(mover);

    if (rc == 0)
        rc = read_record(mover);
    if (rc == 0)
        let_go(mover);
    return EXIT_DONE; /* a poststop hook that fails keeps runtimes from cleaning up */
}

int reclaim(struct mover *mover)
{
    struct record *record = &mover->record;
    const struct options *options = mover->options;

    int rc = lock_device(mover);
    if (rc == 0)
        rc = read_record(mover);
    if (rc < 0)
        return EXIT_FAILED;
    if (record->phase == PHASE_NONE)
        return EXIT_DONE;
    bool forgotten =
        options->forget && (record->phase == PHASE_LOST || record->phase == PHASE_STRANDED);
    if (record->phase == PHASE_ATTACHED && !options->force) {
        drop_dead_holders(mover, "");
        if (record->holder_count > 0) {
            fail_held(mover);
            return EXIT_HELD;
        }
    }
    rc = bring_home(mover);
    if (rc < 0 && rc != -EXDEV && forgotten &&
        record_remove(options->run_dir, record->device) == 0) {
        forgive(mover);
        forget_error(mover);
        return EXIT_DONE;
    }
    return rc == 0 ? EXIT_DONE : rc == -ENODEV ? EXIT_LOST : EXIT_FAILED;
}
